//! When a keystroke is worth asking the model about.
//!
//! Where an answer takes a small part of the time between two keys, every key is answered at once: little
//! is lost if the user types on. Where it takes more, an answer that comes as the next key is pressed was
//! worked out in vain, so the model is asked after a delay, which follows the rhythm of the typing and the
//! time that answers have taken of late: half the usual gap between two keys, less the expected time of
//! the answer.

use std::time::{Duration, Instant};

/// A gap that is longer than this is a pause, not a part of the rhythm.
const PAUSE: Duration = Duration::from_millis(800);

/// The longest delay: a person who has stopped typing should not notice it.
const LONGEST: Duration = Duration::from_millis(40);

/// Answers that take no more than this part of a gap are asked for at once.
const SMALL: f64 = 0.125;

/// How much a new gap or answer counts against all before it.
const WEIGHT: f64 = 0.2;

/// How fast the keys come, and the answers. In seconds; none before the first.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rhythm {
    last: Option<Instant>,
    gap: Option<f64>,
    answer: Option<f64>,
}

impl Rhythm {
    /// A key was pressed.
    pub fn key(&mut self, now: Instant) {
        let gap = self.last.map(|last| now.saturating_duration_since(last));
        if let Some(gap) = gap.filter(|&gap| gap < PAUSE) {
            follow(&mut self.gap, gap);
        }
        self.last = Some(now);
    }

    /// The model took so long for an answer.
    pub fn answered(&mut self, time: Duration) {
        follow(&mut self.answer, time);
    }

    /// How long to wait after a key before the model is asked.
    pub fn delay(&self) -> Duration {
        let (Some(gap), Some(answer)) = (self.gap, self.answer) else {
            return Duration::ZERO;
        };
        if answer <= SMALL * gap {
            return Duration::ZERO;
        }
        Duration::from_secs_f64((gap / 2.0 - answer).max(0.0)).min(LONGEST)
    }
}

/// Moves an average towards a new figure.
fn follow(average: &mut Option<f64>, time: Duration) {
    let time = time.as_secs_f64();
    *average = Some(match *average {
        None => time,
        Some(average) => average + WEIGHT * (time - average),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typing(gaps: &[u64], answer: u64) -> Duration {
        let mut rhythm = Rhythm::default();
        let mut now = Instant::now();
        rhythm.key(now);
        for &gap in gaps {
            now += Duration::from_millis(gap);
            rhythm.key(now);
        }
        rhythm.answered(Duration::from_millis(answer));
        rhythm.delay()
    }

    #[test]
    fn the_delay_is_half_a_gap_less_the_answers_time() {
        assert_eq!(typing(&[100; 9], 20), Duration::from_millis(30));
        assert_eq!(typing(&[100; 9], 60), Duration::ZERO);
        assert_eq!(typing(&[700; 9], 100), LONGEST);
        assert_eq!(typing(&[700; 9], 20), Duration::ZERO, "a small part");
        assert_eq!(typing(&[], 20), Duration::ZERO);
    }

    #[test]
    fn pauses_are_no_part_of_the_rhythm() {
        let steady = typing(&[100; 20], 20);
        assert_eq!(typing(&[&[100; 19][..], &[5000, 100]].concat(), 20), steady);
    }

    #[test]
    fn a_client_that_types_as_fast_as_it_is_answered_is_not_slowed_down() {
        let mut rhythm = Rhythm::default();
        let mut now = Instant::now();
        for _ in 0..50 {
            rhythm.key(now);
            let answer = Duration::from_millis(10);
            rhythm.answered(answer);
            now += rhythm.delay() + answer;
        }
        assert_eq!(rhythm.delay(), Duration::ZERO);
    }
}
