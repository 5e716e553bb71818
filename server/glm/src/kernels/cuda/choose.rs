//! The next tokens, chosen on the device.
//!
//! Takes logits and how each row's token is to be chosen, gives tokens with their logarithms of the probability: what
//! `engine` would choose from the same logits, without these leaving the device.

use super::device::{Arg, Device, DeviceError, Launch, Plain, View, bytes_of_mut};

/// Threads of a block, and logits of a block of the first kernel, as in `choose.cu`.
const THREADS: u32 = 256;
const PART: usize = 4096;
/// No token, and no list.
const NONE: u32 = u32::MAX;
/// Bytes of what a part comes to: `Best`.
const BEST: usize = 16;

/// How the token of a row is chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Draw<'a> {
    /// What logits are divided by before they become probabilities; 0 takes the greatest.
    pub temperature: f32,
    /// Only the likeliest tokens count that together have this probability; 1 lets all count.
    pub top_p: f32,
    /// From 0 to 1, less than 1: how far up the probabilities to go.
    pub number: f64,
    /// The tokens that may be chosen, in any order; all if there is no list.
    pub allowed: Option<&'a [u32]>,
}

/// What was chosen in a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Chosen {
    /// The greatest of all tokens.
    pub best: u32,
    /// The one chosen.
    pub id: u32,
    /// Its natural logarithm of the probability among all tokens.
    pub logprob: f32,
}

/// `Draw` of `choose.cu`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct OneDraw {
    number: f64,
    temperature: f32,
    top_p: f32,
    first: u32,
    count: u32,
}

/// `Choice` of `choose.cu`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct Choice {
    best: u32,
    chosen: u32,
    logprob: f32,
    spare: u32,
}

// SAFETY: numbers without gaps between them.
unsafe impl Plain for OneDraw {}
// SAFETY: as above.
unsafe impl Plain for Choice {}

/// The choices of the rows of `logits` (rows, vocabulary), one for each draw; none where no logit is a number or none is
/// allowed. Waits for the device.
///
/// # Panics
/// If there are not as many rows as draws.
pub fn choose(
    device: &dyn Device,
    logits: View,
    vocabulary: usize,
    draws: &[Draw],
) -> Result<Vec<Option<Chosen>>, DeviceError> {
    let rows = draws.len();
    assert_eq!(logits.bytes(), 4 * rows * vocabulary, "a row a draw");
    if rows == 0 {
        return Ok(Vec::new());
    }
    let (mut table, mut lists) = (Vec::new(), Vec::<u32>::new());
    for draw in draws {
        let first = lists.len() as u32;
        let count = draw.allowed.map_or(NONE, |ids| {
            let mut ids: Vec<u32> = ids.to_vec();
            ids.retain(|&id| (id as usize) < vocabulary);
            ids.sort_unstable();
            ids.dedup();
            lists.extend(&ids);
            ids.len() as u32
        });
        table.push(OneDraw {
            number: draw.number,
            temperature: draw.temperature,
            top_p: draw.top_p,
            first,
            count,
        });
    }
    let parts = vocabulary.div_ceil(PART);
    let bests = device.allocate(rows * parts * BEST)?;
    let draws_there = device.filled(&table)?;
    let lists = device.filled(&lists)?;
    let is_drawn = draws.iter().any(|draw| draw.temperature != 0.0);
    let weights = device.allocate(if is_drawn { logits.bytes() } else { 0 })?;
    let out = device.allocate(rows * size_of::<Choice>())?;
    let vocabulary = Arg::U32(vocabulary as u32);
    let launch = Launch {
        kernel: "choose_parts",
        grid: [parts as u32, rows as u32, 1],
        threads: THREADS,
        args: &[logits.into(), vocabulary, (&bests).into()],
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
            (&bests).into(),
            Arg::U32(parts as u32),
            (&draws_there).into(),
            (&lists).into(),
            (&weights).into(),
            (&out).into(),
        ],
    };
    // SAFETY: as above; there are so many draws, their lists hold known ids only, and there is room for weights if
    // any row is drawn.
    unsafe { device.launch(&launch) }?;
    let mut choices = vec![Choice::default(); rows];
    device.download(out.view(), bytes_of_mut(&mut choices))?;
    let chosen = choices.into_iter().map(|choice| {
        (choice.chosen != NONE).then_some(Chosen {
            best: choice.best,
            id: choice.chosen,
            logprob: choice.logprob,
        })
    });
    Ok(chosen.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fixture::Random,
        kernels::cuda::{emulated::Emulated, testing::upload},
    };

    const GREEDY: Draw = Draw {
        temperature: 0.0,
        top_p: 1.0,
        number: 0.0,
        allowed: None,
    };

    fn run(logits: &[f32], draws: &[Draw]) -> Vec<Option<Chosen>> {
        let device = Emulated::new();
        let there = upload(&device, logits);
        choose(&device, there.view(), logits.len() / draws.len(), draws).unwrap()
    }

    /// The ids that count and their weights in the order of ids, in the plainest code: sorted whole.
    fn counted(logits: &[f32], draw: &Draw) -> Vec<(u32, f64)> {
        let ids = 0..logits.len() as u32;
        let ids = ids.filter(|id| draw.allowed.is_none_or(|allowed| allowed.contains(id)));
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
        check_logprob(logits, got);
    }

    #[track_caller]
    fn check_logprob(logits: &[f32], got: Chosen) {
        let sum: f64 = logits.iter().map(|&x| f64::from(x).exp()).sum();
        let want = f64::from(logits[got.id as usize]) - sum.ln();
        assert!(
            (f64::from(got.logprob) - want).abs() < 1e-4,
            "{got:?}: {want}"
        );
    }

    #[test]
    fn the_first_of_the_greatest() {
        let mut logits: Vec<f32> = Random::new(1).normal(2 * 9001);
        for (place, row) in [(8999, 0), (5000, 1), (70, 1)] {
            logits[row * 9001 + place] = 7.0;
        }
        let got = run(&logits, &[GREEDY, GREEDY]);
        let got: Vec<Chosen> = got.into_iter().flatten().collect();
        assert_eq!([got[0].id, got[1].id], [8999, 70]);
        assert_eq!([got[0].best, got[1].best], [8999, 70]);
        check_logprob(&logits[..9001], got[0]);
        check_logprob(&logits[9001..], got[1]);
    }

    #[test]
    fn only_what_is_allowed() {
        let mut logits = Random::new(2).normal(5000);
        logits[17] = 9.0;
        logits[4000] = 8.0;
        logits[30] = 8.0;
        let allowed = |ids| Draw {
            allowed: Some(ids),
            ..GREEDY
        };
        let id = |ids| run(&logits, &[allowed(ids)])[0].map(|chosen| (chosen.best, chosen.id));
        assert_eq!(id(&[4000, 17, 3]), Some((17, 17)));
        assert_eq!(id(&[4000, 31, 30, 4000, 90_000]), Some((17, 30)));
        assert_eq!(id(&[]), None);
        assert_eq!(id(&[5000]), None);
    }

    #[test]
    fn no_number_no_token() {
        let mut logits = vec![f32::NAN; 5000];
        assert_eq!(run(&logits, &[GREEDY]), [None]);
        logits[4500] = -3.0;
        assert_eq!(run(&logits, &[GREEDY])[0].unwrap().id, 4500);
        let hot = Draw {
            temperature: 1.0,
            number: 0.99,
            ..GREEDY
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
        let few: Vec<u32> = (0..700).map(|i| (i * 13) % 3100).collect();
        for temperature in [0.4, 1.0, 3.0] {
            for top_p in [0.0, 0.3, 0.9, 0.999, 1.0] {
                for allowed in [None, Some(&few[..])] {
                    for number in [0.0, 0.123, 0.5, 0.87, 1.0 - f64::EPSILON] {
                        let draw = Draw {
                            temperature,
                            top_p,
                            number,
                            allowed,
                        };
                        check(&logits, draw);
                    }
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
                allowed: None,
            };
            assert_eq!(run(&logits, &[draw])[0].unwrap().id, want, "{draw:?}");
        }
        for temperature in [f32::MIN_POSITIVE, 1e-30] {
            let draw = Draw {
                temperature,
                number: 0.999,
                ..GREEDY
            };
            assert_eq!(run(&logits, &[draw])[0].unwrap().id, 1);
        }
    }
}
