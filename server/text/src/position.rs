//! Places in a text: bytes here, lines and columns at a client.
//!
//! Takes a rope and a place in one form, gives it in the other. Everything
//! clamps as the LSP asks: a column behind the line's end is the line's end, a
//! line behind the text is the end of the text, and a place inside a character
//! is that character's start. All of it costs O(log n).

use std::ops::Range;

use ropey::Rope;
use tree_sitter::Point;

/// A place as a client counts it. Both numbers start at 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line; LF, CRLF and CR each end one.
    pub line: u32,
    /// Units of the negotiated [`Encoding`] from the start of the line.
    pub column: u32,
}

/// What a client counts in columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// Bytes of UTF-8.
    Utf8,
    /// Code units of UTF-16, the LSP's default; a character beyond U+FFFF counts two.
    Utf16,
    /// Characters (Unicode scalar values).
    Utf32,
}

/// `offset`, moved back to the end of the text or the start of a character.
pub(crate) fn floor(rope: &Rope, offset: usize) -> usize {
    rope.char_to_byte(rope.byte_to_char(offset.min(rope.len_bytes())))
}

/// `range` with both ends at characters' starts inside the text; empty if it was reversed.
pub(crate) fn clamp(rope: &Rope, range: &Range<usize>) -> Range<usize> {
    let start = floor(rope, range.start);
    start..floor(rope, range.end).max(start)
}

/// Where `line` starts; lines behind the last start at the text's end.
pub(crate) fn line_start(rope: &Rope, line: usize) -> usize {
    if line < rope.len_lines() {
        rope.line_to_byte(line)
    } else {
        rope.len_bytes()
    }
}

/// The bytes of `line` without what ends it.
pub(crate) fn line_range(rope: &Rope, line: usize) -> Range<usize> {
    let start = line_start(rope, line);
    let mut end = line_start(rope, line.saturating_add(1));
    let ends_with = |end: usize, byte: u8| end > start && rope.byte(end - 1) == byte;
    if ends_with(end, b'\n') {
        end -= 1;
    }
    if ends_with(end, b'\r') {
        end -= 1;
    }
    start..end
}

/// The byte offset of a client's `position`.
pub(crate) fn to_offset(rope: &Rope, position: Position, encoding: Encoding) -> usize {
    let line = line_range(rope, position.line as usize);
    let column = position.column as usize;
    let offset = match encoding {
        Encoding::Utf8 => floor(rope, line.start.saturating_add(column)),
        Encoding::Utf16 => {
            let start = rope.char_to_utf16_cu(rope.byte_to_char(line.start));
            let unit = start.saturating_add(column).min(rope.len_utf16_cu());
            rope.char_to_byte(rope.utf16_cu_to_char(unit))
        }
        Encoding::Utf32 => {
            let start = rope.byte_to_char(line.start);
            let char = start.saturating_add(column).min(rope.len_chars());
            rope.char_to_byte(char)
        }
    };
    offset.min(line.end)
}

/// The client's position of a byte offset. Between CR and LF it is the line's end.
pub(crate) fn from_offset(rope: &Rope, offset: usize, encoding: Encoding) -> Position {
    let offset = floor(rope, offset);
    let line = rope.byte_to_line(offset);
    let range = line_range(rope, line);
    let offset = offset.min(range.end);
    let chars = || (rope.byte_to_char(range.start), rope.byte_to_char(offset));
    let column = match encoding {
        Encoding::Utf8 => offset - range.start,
        Encoding::Utf16 => {
            let (start, end) = chars();
            rope.char_to_utf16_cu(end) - rope.char_to_utf16_cu(start)
        }
        Encoding::Utf32 => {
            let (start, end) = chars();
            end - start
        }
    };
    Position {
        line: u32::try_from(line).unwrap_or(u32::MAX),
        column: u32::try_from(column).unwrap_or(u32::MAX),
    }
}

/// Tree-sitter's place of a byte offset. It ends lines at LF alone, so that with
/// a lone CR anywhere (`lone_cr`) the rope's lines are not its rows.
///
/// It has to be exact: by rows tree-sitter finds what else an edit touches where
/// the columns of tokens matter, and edits add up until the next parse.
pub(crate) fn point(rope: &Rope, offset: usize, lone_cr: bool) -> Point {
    if lone_cr {
        return point_by_count(rope, offset);
    }
    let row = rope.byte_to_line(offset);
    Point::new(row, offset - rope.line_to_byte(row))
}

/// [`point`] by reading everything before `offset`: linear, for rare texts only.
fn point_by_count(rope: &Rope, offset: usize) -> Point {
    let (mut row, mut line_start, mut at) = (0, 0, 0);
    for chunk in rope.byte_slice(..offset).chunks() {
        let bytes = chunk.as_bytes();
        row += bytes.iter().filter(|&&byte| byte == b'\n').count();
        if let Some(last) = bytes.iter().rposition(|&byte| byte == b'\n') {
            line_start = at + last + 1;
        }
        at += bytes.len();
    }
    Point::new(row, offset - line_start)
}

/// Whether a CR without an LF behind it is in `range`, or right before it.
pub(crate) fn has_lone_cr(rope: &Rope, range: Range<usize>) -> bool {
    let start = range.start.saturating_sub(1);
    let end = (range.end + 1).min(rope.len_bytes());
    let mut after_cr = false;
    for byte in rope.bytes_at(start).take(end - start) {
        if after_cr && byte != b'\n' {
            return true;
        }
        after_cr = byte == b'\r';
    }
    after_cr && end == rope.len_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "aé😀b\r\nx\ry\n\n😀";

    fn at(line: u32, column: u32) -> Position {
        Position { line, column }
    }

    #[test]
    fn columns_are_counted_in_the_clients_units() {
        let rope = Rope::from_str(TEXT);
        let table = [
            // offset, UTF-8, UTF-16, UTF-32
            (0, at(0, 0), at(0, 0), at(0, 0)),
            (3, at(0, 3), at(0, 2), at(0, 2)),
            (7, at(0, 7), at(0, 4), at(0, 3)),
            (8, at(0, 8), at(0, 5), at(0, 4)),
            (10, at(1, 0), at(1, 0), at(1, 0)),
            (12, at(2, 0), at(2, 0), at(2, 0)),
            (14, at(3, 0), at(3, 0), at(3, 0)),
            (15, at(4, 0), at(4, 0), at(4, 0)),
            (19, at(4, 4), at(4, 2), at(4, 1)),
        ];
        for (offset, utf8, utf16, utf32) in table {
            for (encoding, position) in [
                (Encoding::Utf8, utf8),
                (Encoding::Utf16, utf16),
                (Encoding::Utf32, utf32),
            ] {
                assert_eq!(
                    from_offset(&rope, offset, encoding),
                    position,
                    "{offset} {encoding:?}"
                );
                assert_eq!(
                    to_offset(&rope, position, encoding),
                    offset,
                    "{position:?} {encoding:?}"
                );
            }
        }
    }

    #[test]
    fn positions_that_do_not_exist_are_clamped() {
        let rope = Rope::from_str(TEXT);
        let table = [
            (at(0, 99), Encoding::Utf16, 8),
            (at(0, u32::MAX), Encoding::Utf8, 8),
            (at(0, 3), Encoding::Utf16, 3), // between the two surrogates
            (at(0, 2), Encoding::Utf8, 1),  // inside é
            (at(0, 5), Encoding::Utf8, 3),  // inside 😀
            (at(1, 2), Encoding::Utf32, 11), // behind a lone CR
            (at(4, 9), Encoding::Utf32, 19),
            (at(9, 0), Encoding::Utf16, 19),
            (at(u32::MAX, u32::MAX), Encoding::Utf16, 19),
        ];
        for (position, encoding, offset) in table {
            assert_eq!(
                to_offset(&rope, position, encoding),
                offset,
                "{position:?} {encoding:?}"
            );
        }
        assert_eq!(
            from_offset(&rope, 9, Encoding::Utf16),
            at(0, 5),
            "between CR and LF"
        );
        assert_eq!(
            from_offset(&rope, 4, Encoding::Utf16),
            at(0, 2),
            "inside 😀"
        );
        assert_eq!(
            from_offset(&rope, 99, Encoding::Utf16),
            at(4, 2),
            "behind the text"
        );
    }

    #[test]
    fn rows_end_at_line_feeds_whatever_the_lines_do() {
        for text in ["", "a\nb\r\n\nc", TEXT, "\r", "\r\r\n\r", "a\rb\nc\rd\re"] {
            let rope = Rope::from_str(text);
            let lone_cr = has_lone_cr(&rope, 0..text.len());
            assert_eq!(lone_cr, text.replace("\r\n", "").contains('\r'), "{text:?}");
            for (offset, _) in text.char_indices().chain([(text.len(), ' ')]) {
                let before = &text[..offset];
                let start = before.rfind('\n').map_or(0, |at| at + 1);
                let expected = Point::new(before.matches('\n').count(), offset - start);
                assert_eq!(point(&rope, offset, lone_cr), expected, "{text:?} {offset}");
            }
        }
    }
}
