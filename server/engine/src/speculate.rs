//! Speculation by lookup: what followed the same tokens before is likely to follow them again.
//!
//! Takes the tokens so far and other runs of tokens, gives a draft of what comes next. The model runs a draft in one
//! pass, and as much of it counts as the model would have chosen itself, so an answer is the same with drafts and
//! without. (Prompt lookup decoding; Saxena 2023, and Yang et al. 2023, "Inference with Reference".)

use std::sync::Arc;

/// Most tokens of a draft.
pub(crate) const LONGEST: usize = 7;

/// Tokens that must be the same before a draft is taken from behind them. Of several places the one with more of them
/// wins, up to the greater number: where text repeats itself a short context is found in many places.
const CONTEXT: std::ops::RangeInclusive<usize> = 2..=16;

/// Longest pause after drafts that failed, in tokens.
const LONGEST_PAUSE: u32 = 32;

/// How one job drafts: the more of its drafts the model agrees with, the longer they are; after failures it pauses.
#[derive(Debug)]
pub(crate) struct Drafter {
    length: usize,
    /// Tokens still to come before the next draft.
    pause: u32,
    /// Drafts in a row of which nothing was right.
    failures: u32,
}

impl Default for Drafter {
    fn default() -> Drafter {
        Drafter {
            length: 4,
            pause: 0,
            failures: 0,
        }
    }
}

impl Drafter {
    /// Puts into `draft` up to `most` tokens that may come after `ids`. Looked up in `others`, then in `ids` from the
    /// end; the longest context that is the same wins.
    pub(crate) fn draft(
        &mut self,
        ids: &[u32],
        others: &[Arc<[u32]>],
        most: usize,
        draft: &mut Vec<u32>,
    ) {
        draft.clear();
        if most == 0 {
            return;
        }
        if self.pause > 0 {
            self.pause -= 1;
            return;
        }
        let mut best = (0, &[][..]);
        for source in others.iter().map(|other| &**other).chain([ids]) {
            let (length, found) = look_up(ids, source);
            if length > best.0 {
                best = (length, found);
            }
        }
        draft.extend(best.1.iter().take(most.min(self.length)));
    }

    /// The model agreed with the first `accepted` tokens of a draft.
    pub(crate) fn learn(&mut self, drafted: usize, accepted: usize) {
        if accepted == drafted {
            self.failures = 0;
            self.length = (self.length * 2).min(LONGEST);
        } else if accepted > 0 {
            self.failures = 0;
            self.length = (accepted + 1).min(LONGEST);
        } else {
            self.failures += 1;
            self.length = (self.length / 2).max(2);
            // One draft that fails says little, several in a row a lot.
            self.pause = (1 << self.failures.min(6)).min(LONGEST_PAUSE) - 2;
        }
    }
}

/// The longest end of `ids`, up to the longest context, that is followed by something in `source`, its length, and what
/// follows it. The last of equals.
fn look_up<'a>(ids: &[u32], source: &'a [u32]) -> (usize, &'a [u32]) {
    let mut best = (0, &[][..]);
    let Some(last) = ids.last() else {
        return best;
    };
    for end in (1..source.len()).rev() {
        if source[end - 1] != *last {
            continue;
        }
        let backwards = source[..end].iter().rev().zip(ids.iter().rev());
        let length = backwards
            .take(*CONTEXT.end())
            .take_while(|(a, b)| a == b)
            .count();
        if length > best.0 && CONTEXT.contains(&length) {
            best = (length, &source[end..]);
            if length == *CONTEXT.end() {
                break;
            }
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(ids: &[u32], others: &[Vec<u32>], most: usize) -> Vec<u32> {
        let mut draft = Vec::new();
        let others: Vec<_> = others.iter().map(|other| other.as_slice().into()).collect();
        Drafter::default().draft(ids, &others, most, &mut draft);
        draft
    }

    #[test]
    fn a_draft_is_what_followed_the_longest_context_last() {
        let ids = [1, 2, 3, 4, 9, 9, 2, 3, 5, 6, 7, 2, 3];
        assert_eq!(draft(&ids, &[], 3), [5, 6, 7], "the last of two");
        let ids = [1, 2, 3, 4, 9, 9, 2, 3, 5, 6, 7, 1, 2, 3];
        assert_eq!(draft(&ids, &[], 2), [4, 9], "the longer one");
        assert_eq!(draft(&ids, &[vec![1, 2, 3, 8]], 2), [8], "others first");
        assert_eq!(draft(&ids, &[vec![2, 3, 8]], 2), [4, 9], "not if shorter");
        assert_eq!(draft(&ids, &[], 0), [0; 0]);
    }

    #[test]
    fn one_token_is_no_context_and_an_end_has_nothing_behind_it() {
        assert_eq!(draft(&[3, 4, 1, 3], &[], 7), [0; 0]);
        assert_eq!(draft(&[1, 2], &[vec![5, 1, 2]], 7), [0; 0]);
        assert_eq!(draft(&[], &[vec![5, 1, 2]], 7), [0; 0]);
        assert_eq!(draft(&[7, 7, 7], &[], 7), [7], "runs look at themselves");
    }

    #[test]
    fn failures_bring_pauses_and_success_long_drafts() {
        let ids = [1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2];
        let mut drafter = Drafter::default();
        let mut out = Vec::new();
        let mut next = |drafter: &mut Drafter| {
            drafter.draft(&ids, &[], LONGEST, &mut out);
            out.len()
        };
        assert_eq!(next(&mut drafter), 4);
        drafter.learn(4, 4);
        assert_eq!(next(&mut drafter), 7);
        for (pause, length) in [(0, 3), (2, 2), (6, 2), (14, 2), (30, 2), (30, 2)] {
            drafter.learn(2, 0);
            for _ in 0..pause {
                assert_eq!(next(&mut drafter), 0);
            }
            assert_eq!(next(&mut drafter), length);
        }
        drafter.learn(2, 1);
        assert_eq!(drafter.length, 2);
        drafter.learn(2, 2);
        assert_eq!(next(&mut drafter), 4);
    }
}
