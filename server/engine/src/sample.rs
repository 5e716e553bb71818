//! The next token from the logits: the greatest, so that the same prompt always gets the same answer.
//!
//! A choice remembers what it was made from, so that it can serve again where it would be made again.

use crate::Allowed;
use glm::Logits;
use std::cmp::Ordering;

/// Numbers looked at side by side, so that the search is vector code.
const LANES: usize = 16;

/// A token that was chosen.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Choice {
    pub(crate) id: u32,
    /// The key of the constraint without which the token would have been another; none if it was the best of all.
    pub(crate) key: Option<Box<[u8]>>,
    /// Its natural logarithm of the probability among all tokens.
    pub(crate) logprob: f32,
}

impl Choice {
    /// The best of the tokens allowed by one row of logits. None if none of their logits is a number, which only a
    /// broken model gives.
    pub(crate) fn make(logits: &Logits, row: usize, allowed: Allowed) -> Option<Choice> {
        let best = greedy(logits.row(row))?;
        let (id, key) = match allowed {
            Allowed::Only { key, ids } if !ids.contains(&best) => {
                (best_of(logits.row(row), ids)?, Some(key.into()))
            }
            Allowed::Any | Allowed::Only { .. } => (best, None),
        };
        let logprob = logits.log_probability(row, id);
        Some(Choice { id, key, logprob })
    }

    /// Whether the same token would be chosen under this constraint. It would if it is the best of a larger set and
    /// in the smaller one.
    pub(crate) fn stands(&self, allowed: Allowed) -> bool {
        match (allowed, &self.key) {
            (Allowed::Any, key) => key.is_none(),
            (Allowed::Only { key, ids }, mine) => {
                key.starts_with(mine.as_deref().unwrap_or(&[])) && ids.contains(&self.id)
            }
        }
    }
}

/// The token with the greatest logit, the first of equals. None if no logit is a number.
fn greedy(logits: &[f32]) -> Option<u32> {
    let (chunks, rest) = logits.as_chunks::<LANES>();
    let mut largest = [f32::NEG_INFINITY; LANES];
    for chunk in chunks {
        for (largest, &logit) in largest.iter_mut().zip(chunk) {
            *largest = if logit > *largest { logit } else { *largest };
        }
    }
    let largest = largest
        .iter()
        .chain(rest)
        .fold(f32::NEG_INFINITY, |a, &b| a.max(b));
    let place = logits.iter().position(|&logit| logit == largest)?;
    largest.is_finite().then_some(place as u32)
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
    fn a_choice_stands_under_what_its_constraint_contains() {
        let only = |key, ids| Allowed::Only { key, ids };
        let choice = |key: Option<&[u8]>| Choice {
            id: 5,
            key: key.map(Into::into),
            logprob: 0.0,
        };
        let free = choice(None);
        assert!(free.stands(Allowed::Any) && free.stands(only(b"x", &[4, 5])));
        assert!(!free.stands(only(b"x", &[4])));
        let bound = choice(Some(b"ab"));
        assert!(bound.stands(only(b"ab", &[5])) && bound.stands(only(b"abc", &[5, 6])));
        assert!(!bound.stands(Allowed::Any) && !bound.stands(only(b"a", &[5])));
        assert!(!bound.stands(only(b"abc", &[6])));
    }
}
