//! Lines that are like the one at the cursor, and how they go on: what somebody would copy.
//!
//! Takes the text on both sides of a cursor; gives the rests of its other lines, the likeliest first. A line counts by
//! how far back it is the same as what is typed before the cursor, and by how alike the lines around both are.

use std::iter;

use glm::LineWeights;

/// Most lines that are given. Of eight a model's guess is as good as of sixteen.
const MOST: usize = 8;

/// Bytes of the longest line that is looked at: longer ones are data.
const LONGEST: usize = 400;

/// How a line goes on, and how much that counts beside a model that counts 1, as a logarithm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Alike<'a> {
    pub(super) rest: &'a str,
    pub(super) weight: f32,
}

/// The lines that are most like the one at the end of `before`; their rests end where `after` goes on.
///
/// The last `open` bytes before the cursor are what an answer has to begin with. They say which lines there are, but not
/// how much each counts: what the model says before them is no surer for them either.
pub(super) fn alike<'a>(
    before: &'a str,
    after: &'a str,
    open: usize,
    weights: &LineWeights,
) -> Vec<Alike<'a>> {
    let (above, typed) = before.rsplit_once('\n').unwrap_or(("", before));
    let (behind, below) = after.split_once('\n').unwrap_or((after, ""));
    let (typed, behind) = (typed.trim_start(), behind.trim_end());
    let open = open.min(typed.len());
    let (above, below) = (lines(above), lines(below));
    let previous = above.last().copied().unwrap_or_default();
    let next = below.first().copied().unwrap_or_default();
    let mut found: Vec<Alike> = Vec::new();
    for side in [&above, &below] {
        let earlier = iter::once("").chain(side.iter().copied());
        let later = side.iter().copied().skip(1).chain(iter::once(""));
        for ((&line, earlier), later) in side.iter().zip(earlier).zip(later) {
            let Some((rest, own)) = rest(line, typed, open, weights) else {
                continue;
            };
            let rest = rest.strip_suffix(behind).unwrap_or(rest);
            if rest.is_empty() {
                continue;
            }
            let [by_earlier, by_later] = if typed.len() == open {
                weights.untyped_around
            } else {
                weights.typed_around
            };
            let around =
                by_earlier * likeness(earlier, previous) + by_later * likeness(later, next);
            let weight = own + around;
            found.push(Alike { rest, weight });
        }
    }
    found.sort_by(|one, other| other.weight.total_cmp(&one.weight));
    found.truncate(MOST);
    found
}

/// The lines with something in them, without their indentation.
fn lines(text: &str) -> Vec<&str> {
    let trimmed = text.lines().map(str::trim);
    trimmed
        .filter(|line| (1..=LONGEST).contains(&line.len()))
        .collect()
}

/// What follows in `line` where it is most like the end of `typed`, and what it counts for what is the same before the
/// last `open` bytes.
fn rest<'a>(
    line: &'a str,
    typed: &str,
    open: usize,
    weights: &LineWeights,
) -> Option<(&'a str, f32)> {
    if typed.len() == open {
        return Some((line.strip_prefix(typed)?, weights.untyped));
    }
    let last = typed.chars().next_back()?;
    let places = line.match_indices(last).map(|(at, last)| at + last.len());
    let matches = places.map(|at| {
        let ends = line[..at].bytes().rev().zip(typed.bytes().rev());
        let common = ends.take_while(|(one, other)| one == other).count();
        (common, common == at && common == typed.len(), at)
    });
    let (common, is_all, at) =
        matches.max_by_key(|(common, is_all, _)| common + usize::from(*is_all))?;
    let settled = common.checked_sub(open).filter(|settled| *settled > 0)?;
    let length = (settled as f32 + 1.0).log2();
    let whole = if is_all { weights.whole } else { 0.0 };
    Some((&line[at..], weights.typed + weights.length * length + whole))
}

/// The share of the longer line that both begin and end with, 0 to 1.
fn likeness(one: &str, other: &str) -> f32 {
    let shorter = one.len().min(other.len());
    if shorter == 0 {
        return 0.0;
    }
    let same = |(one, other): &(u8, u8)| one == other;
    let begin = one.bytes().zip(other.bytes()).take_while(same).count();
    let ends = one.bytes().rev().zip(other.bytes().rev());
    let end = ends.take(shorter - begin).take_while(same).count();
    (begin + end) as f32 / one.len().max(other.len()) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEIGHTS: LineWeights = LineWeights {
        typed: -5.0,
        length: 1.0,
        whole: 0.5,
        typed_around: [1.0, 0.5],
        untyped: -6.0,
        untyped_around: [2.0, 4.0],
        followed: 1.0,
    };

    /// What is found at `‸`, and what it counts.
    fn found(text: &str) -> Vec<(&str, f32)> {
        found_behind(text, "")
    }

    /// The same if an answer has to begin with `open`.
    fn found_behind<'a>(text: &'a str, open: &str) -> Vec<(&'a str, f32)> {
        let (before, after) = text.split_once('‸').unwrap();
        let found = alike(before, after, open.len(), &WEIGHTS);
        found.iter().map(|line| (line.rest, line.weight)).collect()
    }

    #[test]
    fn where_nothing_is_typed_the_lines_around_count() {
        let text = "f {\n  a(1);\n  b(1);\n}\ng {\n  a(2);\n  ‸\n}\n";
        let lines = found(text);
        assert_eq!(lines[0], ("b(1);", -6.0 + 2.0 * 0.8 + 4.0));
        assert!(lines.iter().all(|(_, weight)| *weight <= lines[0].1));
        assert_eq!(lines.len(), 7);
    }

    #[test]
    fn where_something_is_typed_it_counts_how_far_back_a_line_has_it() {
        let lines = found("let a = get(one);\nset(two);\nlet b = get(‸\n");
        assert_eq!(
            lines,
            [
                ("one);", -5.0 + 8f32.log2()),
                ("two);", -5.0 + 4f32.log2() + 2.0 / 17.0),
            ]
        );
        let lines = found("  return x;\nmy return y;\nreturn ‸");
        assert_eq!(
            lines,
            [
                ("x;", -5.0 + 8f32.log2() + 0.5),
                ("y;", -5.0 + 8f32.log2() + 1.0 / 12.0),
            ]
        );
    }

    #[test]
    fn what_an_answer_has_to_begin_with_counts_nothing() {
        let text = "f(one);\nf(other);\nf(two);\nf(o‸\n";
        let counts = -5.0 + 3f32.log2() + 0.5;
        assert_eq!(
            found_behind(text, "o"),
            [("ther);", counts + 4.0 / 7.0), ("ne);", counts)]
        );
        let text = "one();\ntwo();\non‸\n";
        assert_eq!(found_behind(text, "on"), [("e();", -6.0)]);
        assert_eq!(found_behind(text, "\non"), found_behind(text, "on"));
    }

    #[test]
    fn what_stands_behind_the_cursor_is_not_given_again() {
        assert_eq!(found("f(one);\nf(‸);\n")[0].0, "one");
        assert_eq!(found("f();\nf(‸);\n"), []);
    }

    #[test]
    fn there_may_be_nothing_to_copy() {
        for text in ["‸", "x = ‸", "\n\n‸\n\n", "é = 1\nx‸"] {
            assert_eq!(found(text), [], "{text}");
        }
        let long = format!("x = {};\nx = ‸", "1".repeat(LONGEST));
        assert_eq!(found(&long), []);
    }

    #[test]
    fn likeness_is_what_both_begin_and_end_with() {
        assert_eq!(likeness("abc", "abc"), 1.0);
        assert_eq!(likeness("abxyc", "abc"), 0.6);
        assert_eq!(likeness("aa", "a"), 0.5);
        assert_eq!(likeness("", "a"), 0.0);
    }
}
