//! Answers that go round in circles: the same lines again and again, or the same few characters to
//! the end of a line. Greedy decoding of a small model does this whenever it has lost the thread.

use crate::lines::{is_telling, numbered};
use crate::why::Why;

/// Lines that may make up one turn of a circle.
const TURN_LINES: usize = 4;

/// Turns on one line that make a circle, and the length of one turn in characters. Eight zeros in a
/// table are meant; eight times the same call is not. Of what has no letters it takes more, and what
/// has no digits either is a line drawn across.
const TURNS: usize = 4;
const TURNS_OF_DIGITS: usize = 16;

/// The same while the line is still being written: it may yet come to an end.
const TURNS_SO_FAR: usize = 8;
const TURN_CHARS: std::ops::RangeInclusive<usize> = 2..=32;

/// Characters that a circle on one line has at least.
const CIRCLE_CHARS: usize = 24;

/// The text before it begins to repeat itself; nothing if it does so on its first line.
pub(crate) fn cut(text: &str) -> Result<&str, Why> {
    let text = &text[..line_circle(text).unwrap_or(text.len())];
    for (start, line) in numbered(text) {
        if is_circle(line, TURNS) {
            let kept = text[..start].trim_end();
            return if kept.is_empty() {
                Err(Why::Loop)
            } else {
                Ok(kept)
            };
        }
    }
    Ok(text)
}

/// Whether an answer that is still being written has begun to repeat itself, so that [`cut`] would take away what is yet
/// to come.
pub(crate) fn has_begun(text: &str) -> bool {
    let (lines, last) = text.split_at(text.rfind('\n').map_or(0, |end| end + 1));
    // Half a line may yet turn out to be another.
    is_circle(last, TURNS_SO_FAR) || line_circle(lines).is_some()
}

/// The byte at which a run of lines is followed by itself: twice for several lines or if the text
/// ends amid the next turn, three times for a single one.
fn line_circle(text: &str) -> Option<usize> {
    let lines: Vec<_> = numbered(text).collect();
    let same = |one: usize, other: usize| lines[one].1.trim() == lines[other].1.trim();
    (1..lines.len()).find_map(|second| {
        (1..=TURN_LINES.min(second)).find_map(|turn| {
            let first = second - turn;
            let turns = if turn == 1 { 3 } else { 2 };
            let whole = first + turn * turns <= lines.len();
            let told = (first..second).any(|line| is_telling(lines[line].1));
            let again = || (second..first + turn * turns).all(|line| same(line, line - turn));
            (whole && told && again()).then(|| lines[second].0)
        })
    })
}

/// Whether a line ends in the same few characters said over and over, so many times if they are words.
fn is_circle(line: &str, turns: usize) -> bool {
    let line: Vec<char> = line.trim().chars().collect();
    TURN_CHARS.into_iter().any(|turn| {
        let run = line.iter().rev().zip(line.iter().rev().skip(turn));
        let same = run.take_while(|(one, other)| one == other).count() + turn;
        let has = |is: fn(char) -> bool| line.iter().rev().take(turn).any(|&c| is(c));
        let turns = if has(char::is_alphabetic) {
            turns
        } else if has(char::is_numeric) {
            TURNS_OF_DIGITS
        } else {
            return false;
        };
        same >= CIRCLE_CHARS && same >= turn * turns
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_circles_from_tables() {
        let is_circle = |line: &str| is_circle(line, TURNS);
        assert!(is_circle("x = foo(foo(foo(foo(foo(foo(foo("));
        assert!(is_circle("self.a.b.a.b.a.b.a.b.a.b.a.b.a.b"));
        assert!(!is_circle("x = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]"));
        assert!(is_circle(&format!("x = [{}", "0, ".repeat(17))));
        assert!(!is_circle("# ----------------------------------------"));
        assert!(!is_circle("return first(a) + second(a) + third(a)"));
    }
}
