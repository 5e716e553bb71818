//! Speculation by lookup: what followed the same tokens before is likely to follow them again.
//!
//! Takes the tokens so far and other runs of tokens, gives a draft of what comes next. The model runs a draft in one
//! pass, and as much of it counts as the model would have chosen itself, so an answer is the same with drafts and
//! without. (Prompt lookup decoding; Saxena 2023, and Yang et al. 2023, "Inference with Reference".)

use std::sync::Arc;

/// Most tokens of a draft.
pub(crate) const LONGEST: usize = 7;

/// Tokens of a draft as long as nothing is known of its job. Products with a matrix take rows by fours: a pass of 4
/// rows costs 1.6 of 1 row, one of 8 rows 3.3 (`tests/it/cost.rs`), so a shorter draft would hardly be cheaper.
const SHORT: usize = 3;

/// Tokens that must be the same before a draft is taken from behind them. Of several places the one with more of them
/// wins, up to the greater number: where text repeats itself a short context is found in many places.
const CONTEXT: std::ops::RangeInclusive<usize> = 2..=16;

/// Longest pause after drafts that failed, in tokens.
const LONGEST_PAUSE: u32 = 32;

/// How one job drafts: long drafts after one that was right to its end, a pause after those that were all wrong.
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
            length: SHORT,
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
        let most = most.min(self.length);
        let mut best = Found::default();
        let mut found = &[][..];
        for source in others {
            let place = look_up(ids, source, |end| most.min(source.len() - end));
            if place.is_better(best) {
                (best, found) = (place, &source[..]);
            }
        }
        // What follows a place here may reach into the draft itself: text that goes round in a circle goes on so.
        let place = look_up(ids, ids, |_| most);
        if place.is_better(best) {
            (best, found) = (place, ids);
        }
        for index in best.end..best.end + best.room {
            draft.push(match found.get(index) {
                Some(&id) => id,
                None => draft[index - found.len()],
            });
        }
    }

    /// The model agreed with the first `accepted` tokens of a draft.
    pub(crate) fn learn(&mut self, drafted: usize, accepted: usize) {
        self.length = if accepted == drafted { LONGEST } else { SHORT };
        self.failures = if accepted > 0 { 0 } else { self.failures + 1 };
        // One draft that fails says little, several in a row a lot.
        self.pause = ((1 << self.failures.min(6)) - 1).min(LONGEST_PAUSE);
    }
}

/// A place where the last tokens stood before.
#[derive(Debug, Clone, Copy, Default)]
struct Found {
    /// How many of them.
    context: usize,
    /// How long a draft can be taken from there.
    room: usize,
    /// Behind the context.
    end: usize,
}

impl Found {
    fn is_better(self, other: Found) -> bool {
        (self.context, self.room) > (other.context, other.room)
    }
}

/// The place in `source` with the longest context before it and of these the one with most room behind it, which `room`
/// tells from the place; the last of equals.
fn look_up(ids: &[u32], source: &[u32], room: impl Fn(usize) -> usize) -> Found {
    let mut best = Found::default();
    let Some(last) = ids.last() else {
        return best;
    };
    for end in (1..source.len()).rev() {
        if source[end - 1] != *last {
            continue;
        }
        let backwards = source[..end].iter().rev().zip(ids.iter().rev());
        let context = backwards
            .take(*CONTEXT.end())
            .take_while(|(a, b)| a == b)
            .count();
        let room = room(end);
        let found = Found { context, room, end };
        if CONTEXT.contains(&context) && found.is_better(best) {
            best = found;
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
        assert_eq!(
            draft(&ids, &[vec![1, 2, 3, 8, 8]], 2),
            [8, 8],
            "others first"
        );
        let short = vec![1, 2, 3, 8];
        assert_eq!(draft(&ids, &[short], 2), [4, 9], "not if they end");
        assert_eq!(draft(&ids, &[vec![2, 3, 8]], 2), [4, 9], "not if shorter");
        assert_eq!(draft(&ids, &[], 0), [0; 0]);
    }

    #[test]
    fn one_token_is_no_context_and_an_end_has_nothing_behind_it() {
        assert_eq!(draft(&[3, 4, 1, 3], &[], 7), [0; 0]);
        assert_eq!(draft(&[1, 2], &[vec![5, 1, 2]], 7), [0; 0]);
        assert_eq!(draft(&[], &[vec![5, 1, 2]], 7), [0; 0]);
        assert_eq!(draft(&[7, 7, 7], &[], 7), [7; SHORT], "runs go on");
        assert_eq!(draft(&[1, 9, 8, 9, 8], &[], 7), [9, 8, 9], "circles, too");
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
        assert_eq!(next(&mut drafter), SHORT);
        drafter.learn(SHORT, SHORT);
        assert_eq!(next(&mut drafter), LONGEST);
        for pause in [1, 3, 7, 15, 31, 32, 32] {
            drafter.learn(LONGEST, 0);
            for _ in 0..pause {
                assert_eq!(next(&mut drafter), 0);
            }
            assert_eq!(next(&mut drafter), SHORT);
        }
        drafter.learn(SHORT, 1);
        assert_eq!(next(&mut drafter), SHORT);
    }
}
