//! The next token from the logits: the greatest, or one drawn by a number that comes from the job's seed, so that the
//! same prompt always gets the same answer.
//!
//! A choice remembers what it was made from, so that it can serve again where it would be made again.

use crate::{Allowed, draw::Draw};
use glm::Logits;
use std::cmp::Ordering;

/// Numbers looked at side by side, so that the search is vector code.
const LANES: usize = 16;

/// A token that was chosen.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Choice {
    pub(crate) id: u32,
    /// The key of the constraint without which the token would have been another; none if it was the best of all. Of a
    /// token that was drawn, the key of the constraint that it was drawn under.
    pub(crate) key: Option<Box<[u8]>>,
    /// How it was chosen.
    pub(crate) draw: Draw,
    /// The print of what was recalled beside it; 0 if nothing was.
    pub(crate) recalled: u64,
    /// Its natural logarithm of the probability among all tokens.
    pub(crate) logprob: f32,
    /// The same of the best other token that was allowed; minus infinity if there was none.
    pub(crate) runner_up: f32,
}

impl Choice {
    /// One of the tokens allowed by one row of logits: the best, or the one that the draw hits. None if none of their
    /// logits is a number, which only a broken model gives.
    pub(crate) fn make(
        logits: &Logits,
        row: usize,
        allowed: Allowed,
        draw: Draw,
        recalled: u64,
    ) -> Option<Choice> {
        let best = greedy(logits.row(row))?;
        let (id, key) = match allowed {
            Allowed::Any if draw.is_greedy() => (best, None),
            Allowed::Any => (drawn(logits.row(row), None, draw)?, None),
            Allowed::Only { ids, .. } if draw.is_greedy() && ids.contains(&best) => (best, None),
            Allowed::Only { key, ids } if draw.is_greedy() => {
                (best_of(logits.row(row), ids)?, Some(key.into()))
            }
            Allowed::Only { key, ids } => {
                (drawn(logits.row(row), Some(ids), draw)?, Some(key.into()))
            }
        };
        let values = logits.row(row);
        let logprob = logits.log_probability(row, id);
        // Both have the same denominator.
        let runner_up = second(values, id, allowed) - values[id as usize] + logprob;
        Some(Choice {
            id,
            key,
            draw,
            recalled,
            logprob,
            runner_up,
        })
    }

    /// Whether the same token would be chosen by this draw under this constraint, beside what is recalled. The best of a larger set is the best
    /// of a smaller one that it is in; what was drawn from another set is not.
    pub(crate) fn stands(&self, allowed: Allowed, draw: Draw, recalled: u64) -> bool {
        if (self.draw, self.recalled) != (draw, recalled) {
            return false;
        }
        match (allowed, self.key.as_deref()) {
            (Allowed::Any, key) => key.is_none(),
            (Allowed::Only { key, .. }, mine) if !draw.is_greedy() => mine == Some(key),
            (Allowed::Only { key, ids }, mine) => {
                key.starts_with(mine.unwrap_or_default()) && ids.contains(&self.id)
            }
        }
    }
}

/// The greatest logit of those allowed but one; minus infinity if there is no other.
fn second(logits: &[f32], but: u32, allowed: Allowed) -> f32 {
    match allowed {
        Allowed::Any => {
            let (before, rest) = logits.split_at(but as usize);
            greatest(before).max(greatest(&rest[1..]))
        }
        Allowed::Only { ids, .. } => {
            let others = ids.iter().filter(|&&id| id != but);
            let others = others.filter_map(|&id| logits.get(id as usize));
            others.fold(f32::NEG_INFINITY, |a, &b| a.max(b))
        }
    }
}

/// The token with the greatest logit, the first of equals. None if no logit is a number.
fn greedy(logits: &[f32]) -> Option<u32> {
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
    use crate::Sampling;

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
    fn a_choice_stands_under_what_its_constraint_contains() {
        let only = |key, ids| Allowed::Only { key, ids };
        let choice = |key: Option<&[u8]>, draw| Choice {
            id: 5,
            key: key.map(Into::into),
            draw,
            recalled: 3,
            logprob: 0.0,
            runner_up: 0.0,
        };
        let greedy = Draw::GREEDY;
        let free = choice(None, greedy);
        assert!(
            free.stands(Allowed::Any, greedy, 3) && free.stands(only(b"x", &[4, 5]), greedy, 3)
        );
        assert!(!free.stands(only(b"x", &[4]), greedy, 3));
        assert!(!free.stands(Allowed::Any, greedy, 0), "beside other text");
        let bound = choice(Some(b"ab"), greedy);
        assert!(bound.stands(only(b"ab", &[5]), greedy, 3));
        assert!(bound.stands(only(b"abc", &[5, 6]), greedy, 3));
        assert!(
            !bound.stands(Allowed::Any, greedy, 3) && !bound.stands(only(b"a", &[5]), greedy, 3)
        );
        assert!(!bound.stands(only(b"abc", &[6]), greedy, 3));

        let sampled = sampling(1.0, 1.0, 7).draw(3);
        let drawn = choice(None, sampled);
        assert!(drawn.stands(Allowed::Any, sampled, 3));
        assert!(
            !drawn.stands(only(b"x", &[5]), sampled, 3),
            "from another set"
        );
        assert!(!drawn.stands(Allowed::Any, greedy, 3) && !free.stands(Allowed::Any, sampled, 3));
        for other in [
            sampling(1.0, 1.0, 7).draw(4),
            sampling(1.0, 1.0, 8).draw(3),
            sampling(0.9, 1.0, 7).draw(3),
            sampling(1.0, 0.9, 7).draw(3),
        ] {
            assert!(!drawn.stands(Allowed::Any, other, 3), "{other:?}");
        }
        let bound = choice(Some(b"ab"), sampled);
        assert!(bound.stands(only(b"ab", &[5, 6]), sampled, 3));
        assert!(!bound.stands(only(b"abc", &[5, 6]), sampled, 3));
    }

    fn sampling(temperature: f32, top_p: f32, seed: u64) -> Sampling {
        Sampling {
            temperature,
            top_p,
            seed,
        }
    }

    const LOGITS: [f32; 6] = [1.0, 3.0, f32::NAN, 2.5, -1.0, 2.5];

    /// How often each token is drawn, of 40,000 times.
    fn frequencies(temperature: f32, top_p: f32, only: Option<&[u32]>) -> [f64; 6] {
        let mut counts = [0.0; 6];
        for seed in 0..40_000 {
            let draw = sampling(temperature, top_p, seed).draw(0);
            let id = drawn(&LOGITS, only, draw).unwrap();
            counts[id as usize] += 1.0 / 40_000.0;
        }
        counts
    }

    /// What the frequencies must be, if these tokens count.
    fn softmax(temperature: f32, counted: &[usize]) -> [f64; 6] {
        let mut weights = [0.0; 6];
        for &id in counted {
            weights[id] = f64::from(LOGITS[id] / temperature).exp();
        }
        let sum: f64 = weights.iter().sum();
        weights.map(|weight| weight / sum)
    }

    #[test]
    fn tokens_are_drawn_as_often_as_they_are_likely() {
        let all = [0, 1, 3, 4, 5];
        for (temperature, top_p, only, counted) in [
            (1.0, 1.0, None, &all[..]),
            (0.4, 1.0, None, &all),
            (3.0, 1.0, None, &all),
            // 0.42, 0.26, 0.26, 0.06, 0.01: what is likely enough, one of two equals by its id, the last one needed.
            (1.0, 0.0, None, &[1]),
            (1.0, 0.4, None, &[1]),
            (1.0, 0.5, None, &[1, 3]),
            (1.0, 0.9, None, &[1, 3, 5]),
            (1.0, 0.95, None, &[0, 1, 3, 5]),
            // Among those that are allowed alone.
            (1.0, 1.0, Some(&[5, 0, 4, 5, 900][..]), &[0, 4, 5]),
            (1.0, 0.7, Some(&[4, 5, 0]), &[5]),
        ] {
            let expected = softmax(temperature, counted);
            let found = frequencies(temperature, top_p, only);
            for (expected, found) in expected.iter().zip(found) {
                // Five standard deviations.
                let bound = 5.0 * (expected * (1.0 - expected) / 40_000.0).sqrt();
                assert!(
                    (expected - found).abs() <= bound + 1e-9,
                    "{temperature} {top_p} {only:?}: {found}, not {expected}"
                );
            }
        }
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
        for temperature in [f32::MIN_POSITIVE, 1e-30, 1e30, f32::INFINITY] {
            for number in [0.0, 0.5, 1.0 - f64::EPSILON / 2.0] {
                for top_p in [-1.0, 0.0, 0.5, 1.0, f32::NAN] {
                    let draw = Draw {
                        temperature,
                        top_p,
                        number,
                    };
                    let id = drawn(&LOGITS, None, draw).unwrap();
                    assert!(id != 2 && (temperature > 1.0 || id == 1), "{draw:?}: {id}");
                }
            }
        }
        let draw = sampling(1.0, 0.5, 1).draw(0);
        assert_eq!(drawn(&[f32::NAN; 3], None, draw), None);
        assert_eq!(drawn(&[0.0], Some(&[3]), draw), None);
    }
}
