//! Speculation by lookup: what followed the same tokens before is likely to follow them again.
//!
//! Takes the tokens so far and other runs of tokens, gives a draft of what comes next. The model runs a draft in one
//! pass, and as much of it counts as the model would have chosen itself, so an answer is the same with drafts and
//! without. (Prompt lookup decoding; Saxena 2023, and Yang et al. 2023, "Inference with Reference".)

use std::sync::Arc;

/// Most tokens of a draft.
pub(crate) const LONGEST: usize = 7;

/// Most tokens that are compared before a place: text that repeats itself for longer is the same text.
const CONTEXT: usize = 16;

/// Tokens looked at side by side, so that the search is vector code.
const LANES: usize = 32;

/// Drafts in a row of which nothing was right, after which [`SURE`] tokens have to be the same.
const DOUBT: u32 = 4;

/// Tokens that are seldom the same by chance.
const SURE: usize = 4;

/// How one job drafts.
#[derive(Debug, Default)]
pub(crate) struct Drafter {
    /// Drafts in a row of which nothing was right.
    failures: u32,
}

/// Tokens of a draft behind so many that are the same. The more there are, the likelier the text goes on as it did
/// there: in code the next token is right for 3 in 10 places that share one token, 6 in 10 that share five, 8 in 10
/// that share twelve. What a draft costs grows with its length: products with a matrix take rows by fours, and a pass
/// of 4 rows costs 1.5 of 1 row, one of 8 rows 2.3 to 3 (`tests/it/cost.rs`).
fn length(context: usize) -> usize {
    match context {
        // What follows a single token is right too seldom.
        0 | 1 => 0,
        2 => 2,
        3..=11 => 3,
        _ => LONGEST,
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
        if best.context < SURE && self.failures >= DOUBT {
            return;
        }
        let length = length(best.context).min(best.room);
        for index in best.end..best.end + length {
            draft.push(match found.get(index) {
                Some(&id) => id,
                None => draft[index - found.len()],
            });
        }
    }

    /// The model agreed with so many tokens of a draft.
    pub(crate) fn learn(&mut self, accepted: usize) {
        self.failures = if accepted > 0 { 0 } else { self.failures + 1 };
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
    let chunks = source.chunks(LANES).enumerate().rev();
    let ends = chunks
        .filter(|(_, chunk)| chunk.iter().fold(false, |any, id| any | (id == last)))
        .flat_map(|(index, chunk)| (1..=chunk.len()).rev().map(move |end| index * LANES + end))
        .filter(|&end| end < source.len() && source[end - 1] == *last);
    for end in ends {
        let backwards = source[..end].iter().rev().zip(ids.iter().rev());
        let context = backwards.take(CONTEXT).take_while(|(a, b)| a == b).count();
        let room = room(end);
        let found = Found { context, room, end };
        if found.is_better(best) {
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
        assert_eq!(draft(&ids, &[], 3), [5, 6], "the last of two");
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
    fn an_end_has_nothing_behind_it() {
        assert_eq!(draft(&[1, 2], &[vec![5, 1, 2]], 7), [0; 0]);
        assert_eq!(draft(&[], &[vec![5, 1, 2]], 7), [0; 0]);
        assert_eq!(draft(&[7, 7, 7, 7], &[], 7), [7; 3], "runs go on");
        assert_eq!(
            draft(&[9, 8, 9, 8, 9, 8], &[], 7),
            [9, 8, 9],
            "circles, too"
        );
    }

    #[test]
    fn the_longer_the_context_the_longer_the_draft() {
        let text: Vec<u32> = (0..40).collect();
        for (context, length) in [
            (1, 0),
            (2, 2),
            (3, 3),
            (11, 3),
            (12, LONGEST),
            (20, LONGEST),
        ] {
            let ids = [&text[..], &text[10..10 + context as usize]].concat();
            assert_eq!(draft(&ids, &[], LONGEST).len(), length, "{context}");
        }
    }

    #[test]
    fn after_failures_a_short_context_is_none_until_something_is_right() {
        let mut drafter = Drafter::default();
        let next = |drafter: &mut Drafter, ids: &[u32]| {
            let mut out = Vec::new();
            drafter.draft(ids, &[], LONGEST, &mut out);
            out.len()
        };
        let (short, long) = ([1, 2, 3, 1, 2], [1, 2, 3, 4, 5, 6, 1, 2, 3, 4]);
        for _ in 0..DOUBT {
            assert_eq!(next(&mut drafter, &short), 2);
            drafter.learn(0);
        }
        assert_eq!(next(&mut drafter, &short), 0);
        assert_eq!(next(&mut drafter, &long), 3);
        drafter.learn(1);
        assert_eq!(next(&mut drafter, &short), 2);
    }
}
