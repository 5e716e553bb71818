//! How fast a server is asked, and how long one waits before it is asked again.
//!
//! Requests get turns at equal distances, if there is a limit; a server that asks for a pause gets one from all of them.
//! Between tries of one request the wait doubles, less a random part, so that many that failed together do not come back
//! together.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use reqwest::header::{HeaderMap, RETRY_AFTER};
use tokio::time::{Instant, sleep_until};

/// The first wait between two tries.
const SHORTEST: Duration = Duration::from_millis(500);

/// The longest wait between two tries.
const LONGEST: Duration = Duration::from_secs(60);

/// The longest pause that a server may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// Turns for requests.
pub(super) struct Pace {
    /// The least distance of two turns.
    gap: Duration,
    times: Mutex<Times>,
}

struct Times {
    /// When the next turn is.
    next: Instant,
    /// No turn comes before.
    paused: Instant,
}

impl Pace {
    /// At most so many turns in a minute.
    pub(super) fn new(per_minute: Option<usize>) -> Pace {
        let gap = per_minute.map(|count| Duration::from_secs(60).div_f64(count as f64));
        Pace {
            gap: gap.unwrap_or_default(),
            times: Mutex::new(Times {
                next: Instant::now(),
                paused: Instant::now(),
            }),
        }
    }

    /// Waits for a turn.
    pub(super) async fn turn(&self) {
        loop {
            let turn = {
                let mut times = self.times();
                let turn = Instant::now().max(times.next);
                times.next = turn + self.gap;
                turn
            };
            sleep_until(turn).await;
            // Who waited already when a pause was asked for takes another turn behind it.
            if self.times().paused <= turn {
                return;
            }
        }
    }

    /// No turn comes before so much time has passed.
    pub(super) fn pause(&self, wait: Duration) {
        let mut times = self.times();
        times.paused = times.paused.max(Instant::now() + wait);
        times.next = times.next.max(times.paused);
    }

    fn times(&self) -> MutexGuard<'_, Times> {
        // Nothing that can panic runs under this lock.
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The waits between the tries of a request: at most so many, each about twice as long as the one before.
pub(super) struct Patience {
    left: u32,
    wait: Duration,
}

impl Patience {
    /// For so many tries after the first.
    pub(super) fn new(retries: u32) -> Patience {
        Patience {
            left: retries,
            wait: SHORTEST,
        }
    }
}

impl Iterator for Patience {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.left = self.left.checked_sub(1)?;
        let wait = self.wait.mul_f64(0.5 + 0.5 * fastrand::f64());
        self.wait = (2 * self.wait).min(LONGEST);
        Some(wait)
    }
}

/// How long a server asks to wait: in seconds, or until a date.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match value.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = httpdate::parse_http_date(value).ok()?;
            date.duration_since(SystemTime::now()).unwrap_or_default()
        }
    };
    Some(wait.min(LONGEST_PAUSE))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn waits_double_and_end() {
        let waits: Vec<Duration> = Patience::new(10).collect();
        assert_eq!(waits.len(), 10);
        for (number, wait) in waits.iter().enumerate() {
            let most = LONGEST.min(SHORTEST * 2u32.pow(number as u32));
            assert!(*wait >= most / 2 && *wait <= most, "{number}: {wait:?}");
        }
    }

    #[test]
    fn a_pause_is_in_seconds_or_until_a_date() {
        let read = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, value.parse().unwrap());
            retry_after(&headers)
        };
        assert_eq!(read("7"), Some(Duration::from_secs(7)));
        assert_eq!(read("9999999"), Some(LONGEST_PAUSE));
        let soon = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(100));
        assert!(read(&soon).is_some_and(|wait| wait > Duration::from_secs(90)));
        assert_eq!(read("Fri, 01 Jan 2021 00:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!((read("soon"), retry_after(&HeaderMap::new())), (None, None));
    }

    #[tokio::test(start_paused = true)]
    async fn turns_keep_their_distance_and_pauses_hold_for_all() {
        let pace = Pace::new(Some(60));
        let began = Instant::now();
        for number in 0..5 {
            pace.turn().await;
            assert_eq!(began.elapsed().as_secs(), number);
        }
        pace.pause(Duration::from_secs(30));
        pace.turn().await;
        assert_eq!(began.elapsed().as_secs(), 34);
        let free = Pace::new(None);
        free.turn().await;
        free.turn().await;
        assert_eq!(began.elapsed().as_secs(), 34);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_holds_for_those_who_wait_already() {
        let pace = Arc::new(Pace::new(Some(60)));
        let began = Instant::now();
        let waiting = (0..4).map(|_| {
            let pace = Arc::clone(&pace);
            async move {
                pace.turn().await;
                began.elapsed().as_secs()
            }
        });
        let waiting: tokio::task::JoinSet<u64> = waiting.collect();
        tokio::time::sleep(Duration::from_millis(1500)).await;
        pace.pause(Duration::from_secs(20));
        let mut turns = waiting.join_all().await;
        turns.sort_unstable();
        assert_eq!(turns[..2], [0, 1]);
        assert!(turns[2] >= 21 && turns[3] > turns[2], "{turns:?}");
    }
}
