//! Which bytes around the cursor are Part A.
//!
//! Lines are taken outwards from the cursor and encoded one by one, which gives the same ids as
//! encoding them together, since no token crosses the start of a line. The left side has three
//! quarters of the room and the right side one; what one does not use the other gets.

use std::ops::Range;

use text::Snapshot;
use vocab::Vocab;

/// Bytes of one line that are read for each token there is room for. Code has 2 to 5 bytes a
/// token; a line that is longer than this allows is cut anyway.
const BYTES_PER_TOKEN: usize = 16;

/// The text of Part A around the cursor, both sides encoded apart.
pub(crate) struct Window {
    pub left: Vec<u32>,
    pub right: Vec<u32>,
    /// The bytes both sides cover.
    pub range: Range<usize>,
}

/// Cuts the window around `offset` that has at most `room` tokens.
///
/// It starts at a line start and ends at a line end, except where a single line does not fit: the
/// part of that line nearest to the cursor is taken then.
pub(crate) fn cut(snapshot: &Snapshot, offset: usize, vocab: &Vocab, room: usize) -> Window {
    let above = read(snapshot, offset, vocab, room, Side::Left);
    let below = read(snapshot, offset, vocab, room, Side::Right);
    let share = take(&below, room / 4, vocab, Side::Right);
    let left = take(&above, room - share.len(), vocab, Side::Left);
    let right = take(&below, room - left.len(), vocab, Side::Right);
    let bytes = |ids: &[u32]| ids.iter().map(|&id| vocab.bytes(id).len()).sum::<usize>();
    let range = offset - bytes(&left)..offset + bytes(&right);
    Window { left, right, range }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// The ids of the lines on one side of `offset`, nearest first, until `room` is exceeded. The
/// nearest is the cursor's own line up to the cursor; each has its terminator.
fn read(
    snapshot: &Snapshot,
    offset: usize,
    vocab: &Vocab,
    room: usize,
    side: Side,
) -> Vec<Vec<u32>> {
    let longest = room.saturating_mul(BYTES_PER_TOKEN);
    let mut lines = Vec::new();
    let mut tokens = 0;
    let mut line = snapshot.line_of(offset);
    loop {
        let whole = snapshot.line_start(line)..snapshot.line_start(line + 1);
        let part = match side {
            Side::Left => {
                let end = whole.end.min(offset);
                end.saturating_sub(longest).max(whole.start)..end
            }
            Side::Right => {
                let start = whole.start.max(offset);
                start..whole.end.min(start.saturating_add(longest))
            }
        };
        let is_cut = part.len() == longest;
        let ids = vocab.encode(&snapshot.slice(part));
        tokens += ids.len();
        lines.push(ids);
        let is_last = match side {
            Side::Left => line == 0,
            Side::Right => line + 1 >= snapshot.line_count(),
        };
        if tokens > room || is_cut || is_last {
            return lines;
        }
        match side {
            Side::Left => line -= 1,
            Side::Right => line += 1,
        }
    }
}

/// The ids, in the order of the text, of as many of the lines as fit. A line is taken in part only
/// if it is the cursor's or too long for the room even by itself.
fn take(lines: &[Vec<u32>], room: usize, vocab: &Vocab, side: Side) -> Vec<u32> {
    let mut taken: Vec<&[u32]> = Vec::new();
    let mut rest = room;
    for (distance, line) in lines.iter().enumerate() {
        if line.len() <= rest {
            taken.push(line);
            rest -= line.len();
            continue;
        }
        if distance == 0 || line.len() > room {
            taken.push(nearest(line, rest, vocab, side));
        }
        break;
    }
    if side == Side::Left {
        taken.reverse();
    }
    taken.concat()
}

/// The `count` tokens of a line that are nearest to the cursor, or a few less so that no character
/// is cut in two.
fn nearest<'a>(line: &'a [u32], count: usize, vocab: &Vocab, side: Side) -> &'a [u32] {
    let starts_inside = |id: u32| {
        vocab
            .bytes(id)
            .first()
            .is_some_and(|byte| byte & 0xc0 == 0x80)
    };
    match side {
        Side::Left => {
            let mut start = line.len() - count;
            while line.get(start).is_some_and(|&id| starts_inside(id)) {
                start += 1;
            }
            &line[start..]
        }
        Side::Right => {
            let mut end = count;
            while end > 0 && line.get(end).is_some_and(|&id| starts_inside(id)) {
                end -= 1;
            }
            &line[..end]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use grammars::Language;
    use vocab::fixture;

    fn check(text: &str, offset: usize, room: usize, expected: Range<usize>) {
        let vocab = fixture::vocab();
        let window = cut(&Snapshot::new(text, Language::PLAIN), offset, &vocab, room);
        assert_eq!(
            window.range,
            expected,
            "{:?}",
            text.get(window.range.clone())
        );
        assert!(window.left.len() + window.right.len() <= room);
        assert_eq!(vocab.decode(&window.left), text[expected.start..offset]);
        assert_eq!(vocab.decode(&window.right), text[offset..expected.end]);
    }

    #[test]
    fn windows_are_cut_at_lines_and_shares_are_passed_on() {
        // Each line is 4 tokens: "1", " ", "2", newline.
        let text = "1 2\n".repeat(10);
        check(&text, 20, 1000, 0..40);
        check(&text, 20, 16, 8..24);
        check(&text, 20, 19, 8..24);
        check(&text, 0, 16, 0..16);
        check(&text, 40, 16, 24..40);
        check(&text, 36, 16, 24..40);
        check(&text, 21, 0, 21..21);
        check("", 0, 16, 0..0);
    }

    #[test]
    fn a_line_that_does_not_fit_is_cut_near_the_cursor() {
        let text = "1 ".repeat(50_000);
        check(&text, 50_000, 16, 49_988..50_004);
        check(&format!("{text}\n\n1"), 100_002, 8, 99_995..100_003);
        let text = "世".repeat(50);
        check(&text, 75, 10, 66..75);
    }
}
