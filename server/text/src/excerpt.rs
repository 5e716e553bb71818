//! Which part of a long text is parsed for a place in it, so that a keystroke costs no more in a long text than in a
//! short one.
//!
//! Takes a rope, the place, and what an earlier tree was parsed of; gives a range of whole lines, which begins and ends
//! where a definition of the outermost level is likely to begin. Tree-sitter parses it as if there were no more text, with
//! the offsets of the whole.

use std::ops::Range;

use ropey::Rope;
use tree_sitter::{Point, Tree};

use crate::position;

/// Bytes of a text that is parsed as a whole.
const WHOLE: usize = 48 << 10;
/// Bytes of an excerpt before the place and behind it, at least.
const BEFORE: usize = 24 << 10;
const BEHIND: usize = 8 << 10;
/// Bytes further in which a good line to begin or end with is looked for.
const SEARCHED: usize = 8 << 10;
/// An excerpt is kept while as many bytes of it are on either side of the place.
const MARGIN: usize = 4 << 10;
/// What tree-sitter has for the end of a text that is parsed as a whole, however long it grows.
const END: usize = u32::MAX as usize;

/// What is to be parsed for the place `near`, or for all places, if `earlier` is of the text before the last edits.
pub(crate) fn parsed_for(rope: &Rope, near: Option<usize>, earlier: Option<&Tree>) -> Range<usize> {
    let len = rope.len_bytes();
    let Some(near) = near.filter(|_| len > WHOLE) else {
        return 0..END;
    };
    let kept = earlier.map(of).filter(|kept| {
        let is_short = kept.end.min(len).saturating_sub(kept.start) <= 2 * WHOLE;
        let has_before = kept.start == 0 || kept.start + MARGIN <= near;
        let has_behind = kept.end >= len || near + MARGIN <= kept.end;
        is_short && has_before && has_behind
    });
    kept.unwrap_or_else(|| {
        let start = near.saturating_sub(BEFORE);
        let start = (start > 0).then(|| begin(rope, start.saturating_sub(SEARCHED)..start));
        let end = near.saturating_add(BEHIND);
        let end = (end + SEARCHED < len).then(|| begin(rope, end..end + SEARCHED));
        start.unwrap_or(0)..end.unwrap_or(len)
    })
}

/// What a tree was parsed of.
pub(crate) fn of(tree: &Tree) -> Range<usize> {
    let ranges = tree.included_ranges();
    match (ranges.first(), ranges.last()) {
        // What is inserted at the very beginning moves the start.
        (Some(first), Some(last)) if last.end_byte != END => first.start_byte..last.end_byte,
        _ => 0..END,
    }
}

/// Whether a tree says something about the place, or about all places.
pub(crate) fn holds(tree: &Tree, near: Option<usize>) -> bool {
    let range = of(tree);
    match near {
        Some(near) => range.start <= near && near <= range.end,
        None => range == (0..END),
    }
}

/// A range as tree-sitter takes it.
pub(crate) fn included(rope: &Rope, range: &Range<usize>, lone_cr: bool) -> tree_sitter::Range {
    let end_point = if range.end == END {
        Point::new(END, END)
    } else {
        position::point(rope, range.end, lone_cr)
    };
    tree_sitter::Range {
        start_byte: range.start,
        end_byte: range.end,
        start_point: position::point(rope, range.start, lone_cr),
        end_point,
    }
}

/// The last line in the range that may begin a definition of the outermost level, else the last line that begins there,
/// else its start.
fn begin(rope: &Rope, range: Range<usize>) -> usize {
    let range = position::clamp(rope, &range);
    let (first, last) = (rope.byte_to_line(range.start), rope.byte_to_line(range.end));
    let lines = || (first + 1..=last).rev();
    let is_outermost = |line: &usize| {
        let starts =
            |line: usize, fits: fn(char) -> bool| rope.line(line).chars().next().is_some_and(fits);
        // A body has ended before it, or nothing has begun.
        let follows = starts(line - 1, |c| matches!(c, '\n' | '\r' | '}' | ')' | ']'));
        follows
            && starts(*line, |c| {
                c.is_alphabetic() || matches!(c, '_' | '@' | '#' | '/' | '<')
            })
    };
    let line = lines().find(is_outermost).or_else(|| lines().next());
    line.map_or(range.start, |line| rope.line_to_byte(line))
}
