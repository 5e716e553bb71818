//! Answers that say again what stands below the cursor's line.
//!
//! A model that sees the text on both sides still likes to write on until it meets that text, and
//! then into it. The answer is cut where it meets it, be it word for word or nearly so.

use text::Snapshot;

use crate::ask::Ask;
use crate::brackets::scan;
use crate::lines::{columns, is_telling, numbered};

/// Lines below the cursor that an answer is compared with.
const LINES_BELOW: usize = 12;

/// Characters that half a line has at least to be taken for the beginning of the next one.
const HALF_LINE: usize = 8;

/// The next lines below the cursor's that are not blank.
pub(crate) fn below(snapshot: &Snapshot, offset: usize) -> Vec<String> {
    let first = snapshot.line_of(offset) + 1;
    (first..snapshot.line_count())
        .map(|line| snapshot.slice(snapshot.line_range(line)))
        .filter(|line| !line.trim().is_empty())
        .take(LINES_BELOW)
        .collect()
}

/// The answer up to the line at which it begins to say what is `below`.
pub(crate) fn cut<'a>(text: &'a str, ask: &Ask, below: &[String]) -> &'a str {
    let Some(next) = below.first() else {
        return text;
    };
    let lines: Vec<_> = numbered(text)
        .filter(|(_, line)| !line.trim().is_empty())
        .collect();
    for (index, (start, line)) in lines.iter().enumerate() {
        let on_cursor_line = *start == 0;
        let line = if on_cursor_line {
            &format!("{}{line}", ask.line_left)
        } else {
            *line
        };
        let is_last = index + 1 == lines.len();
        let starts_line = !on_cursor_line || ask.starts_line();
        let repeats = is_same(line, next, is_last && starts_line)
            || closes_again(text, *start, line, next, ask)
            || runs_into(&lines[index..], below);
        if repeats {
            return text[..*start].trim_end();
        }
    }
    text
}

/// Whether a line of the answer is the `next` one, or says the same with other blanks and marks.
/// The last line of an answer may also be half of it.
fn is_same(line: &str, next: &str, may_be_half: bool) -> bool {
    let (line, next) = (line.trim(), next.trim());
    let is_half = may_be_half && line.len() >= HALF_LINE && next.starts_with(line);
    is_telling(line) && (is_half || bare(line) == bare(next))
}

/// A line without what a model writes one way or another: blanks, the kind of quotes, the mark at
/// the end.
fn bare(line: &str) -> String {
    let line = line.trim_end_matches([';', ',', '.', ':', ' ']);
    let marks = line.chars().filter(|c| !c.is_whitespace());
    marks
        .map(|c| if matches!(c, '\'' | '`') { '"' } else { c })
        .collect()
}

/// Whether a line of the answer closes the block that the `next` line closes already: the same
/// closing line at the same indentation, for something that the answer has not opened itself.
fn closes_again(text: &str, start: usize, line: &str, next: &str, ask: &Ask) -> bool {
    if start == 0 || is_telling(line) || line.trim() != next.trim() {
        return false;
    }
    let before = format!("{}{}", ask.line_left, &text[..start]);
    let open = scan(&before, None, ask.language).open_count();
    let with = scan(&format!("{before}{line}"), None, ask.language);
    let closes_nothing_of_its_own = with.open_count() >= open;
    columns(line) == columns(next)
        && closes_nothing_of_its_own
        && (!with.closed.is_empty() || columns(line) < columns(&ask.indent))
}

/// Whether an answer goes on with two or more lines that stand below in the same order.
fn runs_into(rest: &[(usize, &str)], below: &[String]) -> bool {
    (0..below.len()).any(|skip| {
        let pairs = rest.iter().zip(&below[skip..]);
        let same = pairs.take_while(|((_, line), other)| line.trim() == other.trim());
        let telling = same.clone().any(|((_, line), _)| is_telling(line));
        telling && same.count() >= 2
    })
}
