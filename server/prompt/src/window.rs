//! Which bytes around the cursor a prompt shows.
//!
//! Lines are taken outwards from the blank and encoded one by one, which tells how many fit. In a
//! vocabulary whose tokens never cross the start of a line these ids are the text's; in others each
//! side is encoded once more as a whole. The left side has three quarters of the room and the right
//! side one; what one does not use the other gets. A window that an earlier prompt showed is shown
//! again if it still fits, or its start is, so that a model that goes on from what it has read finds
//! the same beginning.

use std::ops::Range;

use text::Snapshot;
use vocab::Vocab;

/// Bytes of one line that are read for each token there is room for. Code has 2 to 5 bytes a
/// token; a line that is longer than this allows is cut anyway.
const BYTES_PER_TOKEN: usize = 16;

/// The text around the cursor, both sides encoded apart.
pub(crate) struct Window {
    pub left: Vec<u32>,
    pub right: Vec<u32>,
    /// The bytes from the start of the left side to the end of the right one.
    pub range: Range<usize>,
}

/// What of the text a template shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sides {
    /// What stands before the cursor and what follows it.
    Both,
    /// What stands before the cursor.
    Left,
}

/// Cuts the window around the bytes of `blank`, which it leaves out, that has at most `room` tokens.
///
/// It starts at a line start and ends at a line end, except where a single line does not fit: the
/// part of that line nearest to the blank is taken then.
pub(crate) fn cut(
    snapshot: &Snapshot,
    blank: &Range<usize>,
    vocab: &Vocab,
    room: usize,
    sides: Sides,
) -> Window {
    let side = |side, offset| Reader {
        snapshot,
        offset,
        vocab,
        side,
    };
    let left = side(Side::Left, blank.start);
    let right = side(Side::Right, blank.end);
    let above = left.read(room);
    let below = match sides {
        Sides::Both => right.read(room),
        Sides::Left => Vec::new(),
    };
    let share = right.take(&below, room / 4);
    let before = left.take(&above, room - share.ids.len());
    let after = right.take(&below, room - before.ids.len());
    Window {
        range: blank.start - before.bytes..blank.end + after.bytes,
        left: before.ids,
        right: after.ids,
    }
}

/// What of an earlier window is to be shown again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kept {
    /// All of it.
    Whole(Range<usize>),
    /// Where it starts.
    Start(usize),
}

/// The window around `blank` that an earlier one becomes, if it has at most `room` tokens and the left side is worth its
/// share.
pub(crate) fn keep(
    snapshot: &Snapshot,
    blank: &Range<usize>,
    vocab: &Vocab,
    room: usize,
    kept: &Kept,
) -> Option<Window> {
    match kept {
        Kept::Whole(range) => {
            let left = vocab.encode(&snapshot.slice(range.start..blank.start));
            let right = vocab.encode(&snapshot.slice(blank.end..range.end));
            let range = range.clone();
            (left.len() + right.len() <= room).then_some(Window { left, right, range })
        }
        Kept::Start(start) => {
            let most = room.saturating_mul(BYTES_PER_TOKEN);
            let bytes = blank.start.checked_sub(*start);
            let bytes = bytes.filter(|bytes| (1..=most).contains(bytes))?;
            let left = vocab.encode(&snapshot.slice(*start..blank.start));
            // A side that `cut` would give much more to is worth more than what need not be read.
            if !(room / 3..=room - room / 8).contains(&left.len()) {
                return None;
            }
            let right = Reader {
                snapshot,
                offset: blank.end,
                vocab,
                side: Side::Right,
            };
            let room = room - left.len();
            let after = right.take(&right.read(room), room);
            Some(Window {
                range: blank.start - bytes..blank.end + after.bytes,
                left,
                right: after.ids,
            })
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// A line, or the part of it on one side of the cursor, with its terminator.
struct Line {
    range: Range<usize>,
    ids: Vec<u32>,
}

/// The text on one side of the cursor, from the cursor on or up to it.
#[derive(Default)]
struct Piece {
    ids: Vec<u32>,
    bytes: usize,
}

/// Reads one side of the cursor.
struct Reader<'a> {
    snapshot: &'a Snapshot,
    offset: usize,
    vocab: &'a Vocab,
    side: Side,
}

impl Reader<'_> {
    /// The lines, nearest first, until `room` is exceeded.
    fn read(&self, room: usize) -> Vec<Line> {
        let Reader {
            snapshot,
            offset,
            vocab,
            side,
        } = *self;
        let longest = room.saturating_mul(BYTES_PER_TOKEN);
        let mut lines = Vec::new();
        let mut tokens = 0;
        let mut number = snapshot.line_of(offset);
        loop {
            let whole = snapshot.line_start(number)..snapshot.line_start(number + 1);
            let range = match side {
                Side::Left => {
                    let end = whole.end.min(offset);
                    end.saturating_sub(longest).max(whole.start)..end
                }
                Side::Right => {
                    let start = whole.start.max(offset);
                    start..whole.end.min(start.saturating_add(longest))
                }
            };
            let is_cut = range.len() == longest;
            // A line that is cut here may be cut inside a character, which a slice leaves out.
            let text = snapshot.slice(range.clone());
            let range = match side {
                Side::Left => range.end - text.len()..range.end,
                Side::Right => range.start..range.start + text.len(),
            };
            let ids = vocab.encode(&text);
            tokens += ids.len();
            lines.push(Line { range, ids });
            let is_last = match side {
                Side::Left => number == 0,
                Side::Right => number + 1 >= snapshot.line_count(),
            };
            if tokens > room || is_cut || is_last {
                return lines;
            }
            match side {
                Side::Left => number -= 1,
                Side::Right => number += 1,
            }
        }
    }

    /// As many of the lines as fit. A line is taken in part only if it is the cursor's or too long
    /// for the room even by itself.
    fn take(&self, lines: &[Line], room: usize) -> Piece {
        let mut parts: Vec<Vec<u32>> = Vec::new();
        let mut rest = room;
        let mut bytes = 0;
        for (distance, line) in lines.iter().enumerate() {
            if line.ids.len() <= rest {
                parts.push(line.ids.clone());
                rest -= line.ids.len();
                bytes += line.range.len();
                continue;
            }
            if distance == 0 || line.ids.len() > room {
                let part = self.nearest(line, rest);
                parts.push(part.ids);
                bytes += part.bytes;
            }
            break;
        }
        if !self.vocab.is_line_local() {
            return self.whole(lines, bytes, room);
        }
        if self.side == Side::Left {
            parts.reverse();
        }
        Piece {
            ids: parts.concat(),
            bytes,
        }
    }

    /// The `bytes` next to the cursor encoded together, or fewer whole lines of them if that is
    /// more than `room` tokens, which the lines' own counts do not rule out.
    fn whole(&self, lines: &[Line], bytes: usize, room: usize) -> Piece {
        let mut ends: Vec<usize> = vec![0];
        for line in lines {
            ends.push(ends.last().unwrap_or(&0) + line.range.len());
        }
        let fewer = ends.iter().rev().copied().filter(|&end| end < bytes);
        for bytes in [bytes].into_iter().chain(fewer.filter(|&end| end > 0)) {
            let ids = self.encode(bytes);
            if ids.len() <= room {
                return Piece { ids, bytes };
            }
        }
        lines
            .first()
            .map_or_else(Piece::default, |line| self.fit(line, room))
    }

    /// The tokens of a line that are nearest to the cursor, `count` of them, or a few less so that
    /// no character is cut in two.
    fn nearest(&self, line: &Line, count: usize) -> Piece {
        let bytes = |ids: &[u32]| {
            ids.iter()
                .map(|&id| self.vocab.bytes(id).len())
                .sum::<usize>()
        };
        // A vocabulary that normalizes text, as sentencepiece does, has tokens that do not tell
        // which bytes they came from.
        if bytes(&line.ids) != line.range.len() {
            return self.fit(line, count);
        }
        let starts_inside = |id: &u32| {
            let first = self.vocab.bytes(*id).first();
            first.is_some_and(|byte| byte & 0xc0 == 0x80)
        };
        let ids = match self.side {
            Side::Left => {
                let mut start = line.ids.len() - count;
                while line.ids.get(start).is_some_and(starts_inside) {
                    start += 1;
                }
                &line.ids[start..]
            }
            Side::Right => {
                let mut end = count;
                while end > 0 && line.ids.get(end).is_some_and(starts_inside) {
                    end -= 1;
                }
                &line.ids[..end]
            }
        };
        Piece {
            ids: ids.to_vec(),
            bytes: bytes(ids),
        }
    }

    /// The longest part of a line next to the cursor, or next to the lines taken before it, that
    /// has at most `count` tokens when it is encoded by itself.
    fn fit(&self, line: &Line, count: usize) -> Piece {
        let text = self.snapshot.slice(line.range.clone());
        let part = |cut: usize| match self.side {
            Side::Left => &text[cut..],
            Side::Right => &text[..cut],
        };
        let mut cuts: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
        cuts.push(text.len());
        if self.side == Side::Left {
            cuts.reverse();
        }
        // A longer part has more tokens, give or take one: near enough to search by halves, and
        // what is found is checked.
        let fits = |&cut: &usize| self.vocab.encode(part(cut)).len() <= count;
        let mut longest = cuts.partition_point(fits);
        while longest > 1 && !fits(&cuts[longest - 1]) {
            longest -= 1;
        }
        let cut = cuts[longest.saturating_sub(1)];
        Piece {
            ids: self.vocab.encode(part(cut)),
            bytes: part(cut).len(),
        }
    }

    /// The ids of so many bytes next to the cursor.
    fn encode(&self, bytes: usize) -> Vec<u32> {
        let range = match self.side {
            Side::Left => self.offset - bytes..self.offset,
            Side::Right => self.offset..self.offset + bytes,
        };
        self.vocab.encode(&self.snapshot.slice(range))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use grammars::Language;
    use vocab::fixture;

    fn check(text: &str, offset: usize, room: usize, expected: Range<usize>) {
        let vocab = fixture::vocab();
        let window = cut(
            &Snapshot::new(text, Language::PLAIN),
            &(offset..offset),
            &vocab,
            room,
            Sides::Both,
        );
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

    /// Each side is the ids of its text as a whole, and its bytes are told exactly.
    #[test]
    fn tokens_across_lines_are_counted_by_line_and_encoded_together() {
        let vocab = fixture::across_lines();
        assert!(!vocab.is_line_local());
        let text = "fn f() {\n\n    g();\n}\n\n\n世界".repeat(20) + &"1 ".repeat(500);
        let snapshot = Snapshot::new(&text, Language::PLAIN);
        let mut saved = 0;
        for offset in [0, 11, 30, 200, 301, 610, 1100, text.len()] {
            for room in [0, 1, 7, 40, 100, 10_000] {
                for sides in [Sides::Both, Sides::Left] {
                    let Window { left, right, range } =
                        cut(&snapshot, &(offset..offset), &vocab, room, sides);
                    let context = format!("{offset} {room} {sides:?} {range:?}");
                    let [before, after] = [&text[range.start..offset], &text[offset..range.end]];
                    assert_eq!(left, vocab.encode(before), "{context}");
                    assert_eq!(right, vocab.encode(after), "{context}");
                    assert!(left.len() + right.len() <= room, "{context}");
                    assert!(sides == Sides::Both || after.is_empty(), "{context}");
                    let by_line = before.split_inclusive('\n').flat_map(|l| vocab.encode(l));
                    saved += by_line.count() - left.len();
                }
            }
        }
        assert!(saved > 0, "no token crossed a line");
    }
}
