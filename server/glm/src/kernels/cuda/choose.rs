//! The next tokens, chosen on the device.
//!
//! Takes logits and how each row's token is to be chosen, gives tokens with their logarithms of the probability: what
//! `choice.rs` chooses from the same logits, without these leaving the device.

use super::device::{Arg, Device, DeviceError, Launch, Plain, View};
use crate::{Choice, Draw};

/// Threads of a block, and logits of a block of the first kernel, as in `choose.cu`.
const THREADS: u32 = 256;
const PART: usize = 4096;
/// No token.
const NONE: u32 = u32::MAX;
/// Bytes of what a part comes to: `Best`.
const BEST: usize = 16;

/// A [`Draw`] as the device has it: `Draw` of `choose.cu`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct DrawRow {
    number: f64,
    temperature: f32,
    top_p: f32,
}

/// What was chosen in a row, as the device has it: `Choice` of `choose.cu`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct ChoiceRow {
    id: u32,
    logprob: f32,
    runner_up: f32,
    spare: u32,
}

// SAFETY: numbers without gaps between them.
unsafe impl Plain for DrawRow {}
// SAFETY: as above.
unsafe impl Plain for ChoiceRow {}

impl From<Draw> for DrawRow {
    fn from(draw: Draw) -> DrawRow {
        DrawRow {
            number: draw.number,
            temperature: draw.temperature,
            top_p: draw.top_p,
        }
    }
}

impl ChoiceRow {
    /// The token; none where no logit is a number.
    pub fn choice(self) -> Option<Choice> {
        (self.id != NONE).then_some(Choice {
            id: self.id,
            logprob: self.logprob,
            runner_up: self.runner_up,
        })
    }
}

/// Bytes of room that [`choose`] needs for so many rows, its choices included.
pub fn choice_room(rows: usize, vocabulary: usize) -> usize {
    rows * (size_of::<ChoiceRow>() + vocabulary.div_ceil(PART) * BEST)
}

/// The choices ([`ChoiceRow`]) of the rows of `logits` (rows, vocabulary), one for each draw ([`DrawRow`]); they lie at the
/// beginning of the room. `weights` has a place for each logit, or nothing if no row's token is drawn: the caller has
/// seen to that.
///
/// # Panics
/// If a size is wrong.
pub fn choose<'a>(
    device: &dyn Device,
    logits: View,
    vocabulary: usize,
    draws: View,
    weights: View,
    room: View<'a>,
) -> Result<View<'a>, DeviceError> {
    let rows = draws.bytes() / size_of::<DrawRow>();
    assert_eq!(logits.bytes(), 4 * rows * vocabulary, "a row a draw");
    assert!([0, logits.bytes()].contains(&weights.bytes()), "weights");
    assert!(room.bytes() >= choice_room(rows, vocabulary), "room");
    let parts = vocabulary.div_ceil(PART);
    let choices = room.slice(0, rows * size_of::<ChoiceRow>());
    let bests = room.slice(choices.bytes(), rows * parts * BEST);
    if rows == 0 {
        return Ok(choices);
    }
    let vocabulary = Arg::U32(vocabulary as u32);
    let launch = Launch {
        kernel: "choose_parts",
        grid: [parts as u32, rows as u32, 1],
        threads: THREADS,
        args: &[logits.into(), vocabulary, bests.into()],
    };
    // SAFETY: there are so many rows, and room for all parts.
    unsafe { device.launch(&launch) }?;
    let launch = Launch {
        kernel: "choose",
        grid: [rows as u32, 1, 1],
        threads: THREADS,
        args: &[
            logits.into(),
            vocabulary,
            bests.into(),
            Arg::U32(parts as u32),
            draws.into(),
            weights.into(),
            choices.into(),
        ],
    };
    // SAFETY: as above; there are so many draws, and the caller vouches for room for weights if any row is drawn.
    unsafe { device.launch(&launch) }?;
    Ok(choices)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fixture::Random,
        kernels::cuda::{
            bytes_of_mut,
            emulated::Emulated,
            testing::{room, upload},
        },
    };

    const GREEDY: Draw = Draw::GREEDY;

    fn run(logits: &[f32], draws: &[Draw]) -> Vec<Option<Choice>> {
        let device = Emulated::new();
        let (rows, vocabulary) = (draws.len(), logits.len() / draws.len());
        let there = upload(&device, logits);
        let is_drawn = draws.iter().any(|draw| !draw.is_greedy());
        let weights = room(&device, if is_drawn { logits.len() } else { 0 });
        let draws: Vec<DrawRow> = draws.iter().copied().map(DrawRow::from).collect();
        let draws = upload(&device, &draws);
        let room = device.allocate(choice_room(rows, vocabulary)).unwrap();
        let (there, draws, weights) = (there.view(), draws.view(), weights.view());
        let view = choose(&device, there, vocabulary, draws, weights, room.view()).unwrap();
        let mut choices = vec![ChoiceRow::default(); rows];
        device.download(view, bytes_of_mut(&mut choices)).unwrap();
        choices.into_iter().map(ChoiceRow::choice).collect()
    }

    /// The ids that count and their weights in the order of ids, in the plainest code: sorted whole.
    fn counted(logits: &[f32], draw: &Draw) -> Vec<(u32, f64)> {
        let ids = 0..logits.len() as u32;
        let ids: Vec<u32> = ids.filter(|&id| logits[id as usize].is_finite()).collect();
        let largest = ids
            .iter()
            .map(|&id| logits[id as usize])
            .fold(f32::MIN, f32::max);
        let weight = |id: u32| f64::from((logits[id as usize] - largest) / draw.temperature).exp();
        let mut all: Vec<(u32, f64)> = ids.into_iter().map(|id| (id, weight(id))).collect();
        if draw.top_p < 1.0 {
            let total: f64 = all.iter().map(|it| it.1).sum();
            all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            let mut sum = 0.0;
            let needed = all.iter().take_while(|it| {
                let is_needed = sum < f64::from(draw.top_p) * total;
                sum += it.1;
                is_needed
            });
            let needed = needed.count().max(1);
            all.truncate(needed);
            all.sort_by_key(|it| it.0);
        }
        all
    }

    /// The row's token has its place where the number points to, give or take what rounding to f32 may move.
    #[track_caller]
    fn check(logits: &[f32], draw: Draw) {
        let counted = counted(logits, &draw);
        let whole: f64 = counted.iter().map(|it| it.1).sum();
        let got = run(logits, &[draw])[0].expect("a token");
        let at = counted.iter().position(|it| it.0 == got.id);
        let at = at.unwrap_or_else(|| panic!("{got:?} does not count in {draw:?}"));
        let before: f64 = counted[..at].iter().map(|it| it.1).sum();
        let (low, high) = (before / whole, (before + counted[at].1) / whole);
        assert!(
            low - 1e-5 <= draw.number && draw.number <= high + 1e-5,
            "{got:?} lies from {low} to {high}: {draw:?}"
        );
        check_logprobs(logits, got);
    }

    /// Its probability, and that of the best other one.
    #[track_caller]
    fn check_logprobs(logits: &[f32], got: Choice) {
        let sum: f64 = logits.iter().map(|&x| f64::from(x).exp()).sum();
        let others = logits.iter().enumerate();
        let others = others.filter(|&(id, _)| id != got.id as usize);
        let second = others.fold(f32::NEG_INFINITY, |a, (_, &b)| a.max(b));
        for (got_one, logit) in [
            (got.logprob, logits[got.id as usize]),
            (got.runner_up, second),
        ] {
            let want = f64::from(logit) - sum.ln();
            let is_near = f64::from(got_one) == want || (f64::from(got_one) - want).abs() < 1e-4;
            assert!(is_near, "{got:?}: {want}");
        }
    }

    #[test]
    fn the_first_of_the_greatest() {
        let mut logits: Vec<f32> = Random::new(1).normal(2 * 9001);
        for (place, row) in [(8999, 0), (5000, 1), (70, 1)] {
            logits[row * 9001 + place] = 7.0;
        }
        let got = run(&logits, &[GREEDY, GREEDY]);
        let got: Vec<Choice> = got.into_iter().flatten().collect();
        assert_eq!([got[0].id, got[1].id], [8999, 70]);
        check_logprobs(&logits[..9001], got[0]);
        check_logprobs(&logits[9001..], got[1]);
    }

    /// In one part and in another, of one thread and of another; where the best is the last and where there is one alone.
    #[test]
    fn the_best_other_one() {
        let mut logits = Random::new(3).normal(9001);
        logits[4097] = 8.0;
        for place in [4097 + 256, 4098, 9000, 0, 4096] {
            let mut logits = logits.clone();
            logits[place] = 7.5;
            let got = run(&logits, &[GREEDY])[0].unwrap();
            assert_eq!(got.id, 4097);
            assert!((got.logprob - got.runner_up - 0.5).abs() < 1e-5, "{got:?}");
            check_logprobs(&logits, got);
            logits[place] = 9.0;
            let got = run(&logits, &[GREEDY])[0].unwrap();
            assert_eq!(got.id, place as u32);
            assert!((got.logprob - got.runner_up - 1.0).abs() < 1e-5, "{got:?}");
        }
        for logits in [&[2.0][..], &[f32::NEG_INFINITY, 2.0]] {
            let got = run(logits, &[GREEDY])[0].unwrap();
            assert_eq!((got.logprob, got.runner_up), (0.0, f32::NEG_INFINITY));
        }
    }

    /// What the processor chooses from the same logits.
    #[test]
    fn the_processors_choice() {
        let logits = Random::new(4).normal(8 * 5000);
        for (row, logits) in logits.chunks_exact(5000).enumerate() {
            let hot = Draw {
                temperature: 0.7,
                top_p: 0.8,
                number: row as f64 / 8.0,
            };
            for draw in [GREEDY, hot] {
                let want = crate::choose(logits, None, draw).unwrap();
                let got = run(logits, &[draw])[0].unwrap();
                assert_eq!(got.id, want.id, "{draw:?}");
                assert!((got.logprob - want.logprob).abs() < 1e-4);
                assert!((got.runner_up - want.runner_up).abs() < 1e-4);
            }
        }
    }

    #[test]
    fn no_number_no_token() {
        let mut logits = vec![f32::NAN; 5000];
        assert_eq!(run(&logits, &[GREEDY]), [None]);
        logits[4500] = -3.0;
        assert_eq!(run(&logits, &[GREEDY])[0].unwrap().id, 4500);
        let hot = Draw {
            temperature: 1.0,
            top_p: 1.0,
            number: 0.99,
        };
        assert_eq!(run(&logits, &[hot])[0].unwrap().id, 4500);
        logits[1] = f32::INFINITY;
        assert_eq!(run(&logits, &[GREEDY]), [None]);
    }

    #[test]
    fn drawn_where_the_number_points_to() {
        let logits: Vec<f32> = (0..3000)
            .map(|id| (id as f32 * 0.37).sin() * 6.0 + (id as f32 * 0.011).cos())
            .collect();
        for temperature in [0.4, 1.0, 3.0] {
            for top_p in [0.0, 0.3, 0.9, 0.999, 1.0] {
                for number in [0.0, 0.123, 0.5, 0.87, 1.0 - f64::EPSILON] {
                    let draw = Draw {
                        temperature,
                        top_p,
                        number,
                    };
                    check(&logits, draw);
                }
            }
        }
    }

    #[test]
    fn of_equals_the_first_count() {
        // 0.42, 0.26, 0.26, 0.06, 0.01.
        let logits = [1.0, 3.0, f32::NEG_INFINITY, 2.5, -1.0, 2.5];
        for (top_p, number, want) in [
            (0.5, 0.9, 3),
            (0.5, 0.3, 1),
            (0.9, 0.9, 5),
            (0.4, 0.999, 1),
            (-1.0, 0.999, 1),
            (0.95, 0.0, 0),
            (f32::NAN, 0.999, 5),
        ] {
            let draw = Draw {
                temperature: 1.0,
                top_p,
                number,
            };
            assert_eq!(run(&logits, &[draw])[0].unwrap().id, want, "{draw:?}");
        }
        for temperature in [f32::MIN_POSITIVE, 1e-30] {
            let draw = Draw {
                temperature,
                top_p: 1.0,
                number: 0.999,
            };
            assert_eq!(run(&logits, &[draw])[0].unwrap().id, 1);
        }
    }
}
