//! The next token from a row of logits: the greatest, or one drawn by a number.
//!
//! Takes logits and how a token is to be chosen from them, gives the token with its probability and that of the best other
//! one. `kernels/cuda/choose.cu` is the same on a GPU. What the number comes from, and which tokens are allowed, is for
//! others.

use crate::kernels::cpu;
use std::cmp::Ordering;

/// Numbers looked at side by side, so that the search is vector code.
const LANES: usize = 16;

/// How a token is chosen from a row of logits. From the same row, the same draw always takes the same token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Draw {
    /// What logits are divided by before they become probabilities; 0 takes the likeliest token, and the other fields do
    /// not matter.
    pub temperature: f32,
    /// Only the likeliest tokens count that together have this probability; 1 lets all count.
    pub top_p: f32,
    /// From 0 to 1, less than 1: how far up the probabilities to go.
    pub number: f64,
}

impl Draw {
    /// The likeliest token.
    pub const GREEDY: Draw = Draw {
        temperature: 0.0,
        top_p: 0.0,
        number: 0.0,
    };

    /// Whether it takes the likeliest token.
    pub fn is_greedy(&self) -> bool {
        self.temperature == 0.0
    }
}

/// A token that was chosen from a row of logits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    /// The token.
    pub id: u32,
    /// Its natural logarithm of the probability among all tokens.
    pub logprob: f32,
    /// The same of the best other token that was allowed; minus infinity if there was none.
    pub runner_up: f32,
}

/// One of the tokens of a row, or of those of them that are allowed, in any order: the best, or the one that the draw
/// hits. None if none of their logits is a number, which only a broken model gives.
pub fn choose(logits: &[f32], allowed: Option<&[u32]>, draw: Draw) -> Option<Choice> {
    let best = greedy(logits)?;
    let id = match allowed {
        None if draw.is_greedy() => best,
        Some(ids) if draw.is_greedy() && ids.contains(&best) => best,
        Some(ids) if draw.is_greedy() => best_of(logits, ids)?,
        _ => drawn(logits, allowed, draw)?,
    };
    let logprob = logits[id as usize] - cpu::log_sum_exp(logits);
    // Both have the same denominator.
    let runner_up = second(logits, id, allowed) - logits[id as usize] + logprob;
    Some(Choice {
        id,
        logprob,
        runner_up,
    })
}

/// The greatest logit of those allowed but one; minus infinity if there is no other.
fn second(logits: &[f32], but: u32, allowed: Option<&[u32]>) -> f32 {
    match allowed {
        None => {
            let (before, rest) = logits.split_at(but as usize);
            greatest(before).max(greatest(&rest[1..]))
        }
        Some(ids) => {
            let others = ids.iter().filter(|&&id| id != but);
            let others = others.filter_map(|&id| logits.get(id as usize));
            others.fold(f32::NEG_INFINITY, |a, &b| a.max(b))
        }
    }
}

/// The token with the greatest logit, the first of equals. None if no logit is a number.
pub fn greedy(logits: &[f32]) -> Option<u32> {
    let largest = greatest(logits);
    let place = logits.iter().position(|&logit| logit == largest)?;
    largest.is_finite().then_some(place as u32)
}

/// The greatest logit; minus infinity if none is a number.
fn greatest(logits: &[f32]) -> f32 {
    let (chunks, rest) = logits.as_chunks::<LANES>();
    let mut largest = [f32::NEG_INFINITY; LANES];
    for chunk in chunks {
        for (largest, &logit) in largest.iter_mut().zip(chunk) {
            *largest = if logit > *largest { logit } else { *largest };
        }
    }
    let all = largest.iter().chain(rest);
    all.fold(f32::NEG_INFINITY, |a, &b| a.max(b))
}

/// The one of `ids` with the greatest logit, the least of equals. Ids that the model lacks do not count.
fn best_of(logits: &[f32], ids: &[u32]) -> Option<u32> {
    let known = ids
        .iter()
        .filter_map(|&id| Some((*logits.get(id as usize)?, id)));
    let best = known
        .filter(|(logit, _)| logit.is_finite())
        .max_by(|(a, a_id), (b, b_id)| {
            // Two finite numbers always compare, and 0 is -0 here as it is for `greedy`.
            let order = a.partial_cmp(b).unwrap_or(Ordering::Equal);
            order.then(b_id.cmp(a_id))
        });
    best.map(|(_, id)| id)
}

/// The token that a draw hits: the likeliest ones that together have the probability `top_p` (at least one) lie one
/// behind the other in the order of their ids, each as long as it is likely, and the draw's number is a place there.
fn drawn(logits: &[f32], only: Option<&[u32]>, draw: Draw) -> Option<u32> {
    let mut weights = weights(logits, only, draw.temperature)?;
    let total: f64 = weights.iter().map(|(_, weight)| weight).sum();
    if draw.top_p < 1.0 {
        keep_likeliest(&mut weights, f64::from(draw.top_p) * total, total);
    }
    let whole: f64 = weights.iter().map(|(_, weight)| weight).sum();
    let mut left = draw.number * whole;
    for &(id, weight) in &weights {
        left -= weight;
        if left < 0.0 {
            return Some(id);
        }
    }
    // Sums are rounded, so that the last place may lie behind all of them.
    weights.last().map(|&(id, _)| id)
}

/// How likely each token is, by its id, beside the likeliest, which has 1. Those are left out that no number of 64 bits
/// could tell from impossible. None if none of the logits is a number.
fn weights(logits: &[f32], only: Option<&[u32]>, temperature: f32) -> Option<Vec<(u32, f64)>> {
    let finite = |id: u32| {
        let logit = *logits.get(id as usize)?;
        logit.is_finite().then_some((id, logit))
    };
    let mut known: Vec<(u32, f32)> = match only {
        None => (0..logits.len() as u32).filter_map(finite).collect(),
        Some(ids) => ids.iter().copied().filter_map(finite).collect(),
    };
    if only.is_some() {
        // They come in any order, and one may come twice.
        known.sort_unstable_by_key(|&(id, _)| id);
        known.dedup();
    }
    let largest = known.iter().map(|&(_, logit)| logit).reduce(f32::max)?;
    let weight = |(id, logit)| {
        let weight = (f64::from(logit - largest) / f64::from(temperature)).exp();
        (weight > f64::MIN_POSITIVE).then_some((id, weight))
    };
    Some(known.into_iter().filter_map(weight).collect())
}

/// Leaves the likeliest tokens that together weigh at least `enough` of `total`, in the order of their ids.
fn keep_likeliest(weights: &mut Vec<(u32, f64)>, enough: f64, total: f64) {
    // Even together, tokens as light as this do not weigh what may be missing; so few are left to be sorted.
    let light = (total - enough) / weights.len() as f64;
    let heaviest = weights
        .iter()
        .map(|&(_, weight)| weight)
        .fold(0.0, f64::max);
    weights.retain(|&(_, weight)| weight >= light.min(heaviest));
    weights.sort_unstable_by(|(a_id, a), (b_id, b)| b.total_cmp(a).then(a_id.cmp(b_id)));
    let mut sum = 0.0;
    let needed = weights.iter().take_while(|(_, weight)| {
        let is_needed = sum < enough;
        sum += weight;
        is_needed
    });
    let count = needed.count().max(1);
    weights.truncate(count);
    weights.sort_unstable_by_key(|&(id, _)| id);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_the_greatest() {
        assert_eq!(greedy(&[0.0, 3.0, -1.0, 3.0]), Some(1));
        let mut logits = vec![-5.0; 100];
        logits[97] = -4.0;
        assert_eq!(greedy(&logits), Some(97));
        logits[40] = -4.0;
        assert_eq!(greedy(&logits), Some(40));
        logits[3] = f32::NAN;
        assert_eq!(greedy(&logits), Some(40));
    }

    #[test]
    fn no_number_no_token() {
        assert_eq!(greedy(&[f32::NAN; 40]), None);
        assert_eq!(greedy(&[f32::NAN]), None);
        assert_eq!(greedy(&[]), None);
        assert_eq!(best_of(&[f32::NAN, 1.0], &[0, 7]), None);
    }

    #[test]
    fn the_best_of_those_allowed() {
        assert_eq!(best_of(&[0.0, 3.0, -1.0, 3.0], &[3, 2, 1]), Some(1));
        assert_eq!(best_of(&[0.0, 3.0, -1.0, 3.0], &[2, 0]), Some(0));
        assert_eq!(best_of(&[-0.5, -3.0], &[1, 900]), Some(1));
    }

    #[test]
    fn a_choice_knows_the_best_other_one() {
        let logits = [1.0, 3.0, f32::NEG_INFINITY, 2.5, -1.0, 2.5];
        let sum: f32 = logits.iter().map(|x| x.exp()).sum();
        let check = |allowed, draw, id, runner_up: f32| {
            let choice = choose(&logits, allowed, draw).unwrap();
            assert_eq!(choice.id, id);
            assert!((choice.logprob - logits[id as usize] + sum.ln()).abs() < 1e-6);
            let want = runner_up - sum.ln();
            assert!(choice.runner_up == want || (choice.runner_up - want).abs() < 1e-6);
        };
        let drawn = |number| Draw {
            temperature: 1.0,
            top_p: 1.0,
            number,
        };
        check(None, Draw::GREEDY, 1, 2.5);
        check(Some(&[4, 1, 0]), Draw::GREEDY, 1, 1.0);
        check(Some(&[4, 0]), Draw::GREEDY, 0, -1.0);
        check(Some(&[4]), Draw::GREEDY, 4, f32::NEG_INFINITY);
        check(None, drawn(0.999), 5, 3.0);
        check(None, drawn(0.3), 1, 2.5);
        check(Some(&[3, 4]), drawn(0.1), 3, -1.0);
    }

    #[test]
    fn the_nucleus_of_many_tokens_is_that_of_sorting_them_all() {
        let logits: Vec<f32> = (0..5000)
            .map(|id| (id as f32 * 0.37).sin() * 6.0 + (id as f32 * 0.011).cos())
            .collect();
        for top_p in [0.0, 0.001, 0.3, 0.9, 0.999] {
            let mut kept = weights(&logits, None, 0.8).unwrap();
            let total: f64 = kept.iter().map(|(_, weight)| weight).sum();
            let mut sorted = kept.clone();
            sorted.sort_by(|(_, a), (_, b)| b.total_cmp(a));
            let mut sum = 0.0;
            let mut expected = Vec::new();
            for (id, weight) in sorted {
                if expected.is_empty() || sum < top_p * total {
                    expected.push(id);
                }
                sum += weight;
            }
            expected.sort_unstable();
            keep_likeliest(&mut kept, top_p * total, total);
            let kept: Vec<u32> = kept.into_iter().map(|(id, _)| id).collect();
            assert_eq!(kept, expected, "{top_p}");
        }
    }

    #[test]
    fn extreme_temperatures_and_numbers_draw_a_token() {
        let logits = [1.0, 3.0, f32::NAN, 2.5, -1.0, 2.5];
        for temperature in [f32::MIN_POSITIVE, 1e-30, 1e30, f32::INFINITY] {
            for number in [0.0, 0.5, 1.0 - f64::EPSILON / 2.0] {
                for top_p in [-1.0, 0.0, 0.5, 1.0, f32::NAN] {
                    let draw = Draw {
                        temperature,
                        top_p,
                        number,
                    };
                    let id = drawn(&logits, None, draw).unwrap();
                    assert!(id != 2 && (temperature > 1.0 || id == 1), "{draw:?}: {id}");
                }
            }
        }
        let draw = Draw {
            temperature: 1.0,
            top_p: 0.5,
            number: 0.5,
        };
        assert_eq!(drawn(&[f32::NAN; 3], None, draw), None);
        assert_eq!(drawn(&[0.0], Some(&[3]), draw), None);
    }
}
