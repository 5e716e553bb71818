//! An edit as a value: these bytes are replaced by this text.
//!
//! Takes byte ranges only; the columns of a client become bytes in `position`.
//! Gives the way of an offset through the edit. Applying it is the document's.

use std::ops::Range;

/// One replacement in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The bytes of the old text that go; empty for an insertion.
    pub range: Range<usize>,
    /// What stands there afterwards; empty for a deletion.
    pub text: String,
}

/// Which side an offset keeps to when text comes in right at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bias {
    /// The offset stays before the new text.
    Before,
    /// The offset moves behind the new text.
    After,
}

impl Edit {
    /// The offset in the new text of what was at `offset` in the old one.
    ///
    /// An offset before the edit stays, one behind it shifts by the change of
    /// length. What was strictly inside the replaced bytes, or where bytes were
    /// inserted, has no place of its own any more: `bias` says on which side of
    /// the new text it comes to rest.
    pub fn map(&self, offset: usize, bias: Bias) -> usize {
        let Range { start, end } = self.range;
        let new_end = start + self.text.len();
        if offset < start || (offset == start && start < end) {
            offset
        } else if offset > end || (offset == end && start < end) {
            new_end + (offset - end)
        } else {
            match bias {
                Bias::Before => start,
                Bias::After => new_end,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_follow_the_text_around_an_edit() {
        let insertion = (4..4, "xy");
        let deletion = (2..5, "");
        let replacement = (2..5, "wxyz");
        let table = [
            (&insertion, 3, 3, 3),
            (&insertion, 4, 4, 6),
            (&insertion, 5, 7, 7),
            (&deletion, 2, 2, 2),
            (&deletion, 4, 2, 2),
            (&deletion, 5, 2, 2),
            (&deletion, 9, 6, 6),
            (&replacement, 1, 1, 1),
            (&replacement, 2, 2, 2),
            (&replacement, 3, 2, 6),
            (&replacement, 5, 6, 6),
            (&replacement, 6, 7, 7),
        ];
        for ((range, text), offset, before, after) in table {
            let edit = Edit {
                range: range.clone(),
                text: text.to_string(),
            };
            assert_eq!(edit.map(offset, Bias::Before), before, "{edit:?} {offset}");
            assert_eq!(edit.map(offset, Bias::After), after, "{edit:?} {offset}");
        }
    }
}
