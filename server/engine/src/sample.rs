//! The next token: what the model chose, or what is chosen here from its logits where only some tokens are allowed, with
//! numbers that come from the job's seed, so that the same prompt always gets the same answer.
//!
//! A choice remembers what it was made from, so that it can serve again where it would be made again.

use crate::Allowed;
use glm::Draw;

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
    /// What the model chose by this draw, which may be any token.
    pub(crate) fn of(choice: glm::Choice, draw: Draw) -> Choice {
        Choice {
            id: choice.id,
            key: None,
            draw,
            recalled: 0,
            logprob: choice.logprob,
            runner_up: choice.runner_up,
        }
    }

    /// One of the tokens allowed by one row of logits: the best, or the one that the draw hits. None if none of their
    /// logits is a number, which only a broken model gives.
    pub(crate) fn make(
        logits: &[f32],
        allowed: Allowed,
        draw: Draw,
        recalled: u64,
    ) -> Option<Choice> {
        let (key, ids) = match allowed {
            Allowed::Any => (None, None),
            Allowed::Only { key, ids } => (Some(key), Some(ids)),
        };
        let choice = glm::choose(logits, ids, draw)?;
        let is_best = draw.is_greedy() && glm::greedy(logits) == Some(choice.id);
        let key = key.filter(|_| !is_best).map(Into::into);
        Some(Choice {
            key,
            recalled,
            ..Choice::of(choice, draw)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sampling;

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
            let id = glm::choose(&LOGITS, only, draw).unwrap().id;
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
}
