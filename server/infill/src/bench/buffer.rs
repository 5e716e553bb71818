//! The text that a replay types into, as an editor holds it: what stands before the cursor and what behind it.
//!
//! [`Key`] is what a person does; [`Buffer::press`] does it and says what an editor then tells its server. Nothing here
//! knows the protocol or a clock.

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use text::Encoding;

/// What a person does to the text. Serialized as the `kind` and `data` of a recording's lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "data", rename_all = "snake_case")]
pub enum Key {
    /// A key that inserts `text`; the editor adds `tail` behind the cursor: the closer of a bracket or quote, or the
    /// line on which the closer of a block goes.
    Type {
        /// A character, or a line end with the indentation that an editor brings along.
        text: String,
        /// What the editor adds.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        tail: String,
    },
    /// A closer that the editor has added is typed all the same: the cursor passes it.
    Over {
        /// The closer.
        text: String,
    },
    /// A wrong key.
    Slip {
        /// What it inserts.
        text: String,
    },
    /// Takes the character before the cursor away.
    Backspace,
    /// The cursor walks over text that is there, with a key like Down or End.
    Walk {
        /// The text that it passes.
        text: String,
    },
    /// The cursor goes to another part of the text.
    Jump {
        /// The line, from 0.
        line: usize,
        /// The column, from 0, in bytes.
        column: usize,
    },
    /// A block of text from the clipboard.
    Paste {
        /// The block.
        text: String,
    },
    /// The suggestion that was shown was taken.
    Accept {
        /// What it inserted.
        text: String,
        /// What it replaced behind the cursor.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        over: String,
    },
}

impl Key {
    /// Whether it counts as a key that a person must press to write the text: not what undoes a slip, not the mouse.
    pub fn is_needed(&self) -> bool {
        !matches!(self, Key::Slip { .. } | Key::Backspace | Key::Jump { .. })
    }
}

/// A place in the text, as the protocol has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The line, from 0.
    pub line: usize,
    /// The column, from 0, in the units agreed on.
    pub column: usize,
}

/// What replaces a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Where the range begins.
    pub start: Place,
    /// Where it ends.
    pub end: Place,
    /// What stands there now.
    pub text: String,
}

/// An edit around the cursor, which afterwards stands behind `text`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Bytes that go before the cursor.
    pub back: usize,
    /// Bytes that go behind it.
    pub over: usize,
    /// What is inserted.
    pub text: String,
}

/// A text with a cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// How many lines there are above `before`, if this is a part of a text.
    above: usize,
    before: String,
    after: String,
    encoding: Encoding,
}

impl Buffer {
    /// A text with the cursor at its start.
    pub fn new(text: &str, encoding: Encoding) -> Buffer {
        Buffer {
            above: 0,
            before: String::new(),
            after: text.to_owned(),
            encoding,
        }
    }

    /// The whole text.
    pub fn text(&self) -> String {
        [self.before.as_str(), self.after.as_str()].concat()
    }

    /// Where the cursor stands.
    pub fn cursor(&self) -> Place {
        self.place(&self.before)
    }

    /// The lines around the cursor, some `bytes` in each direction, as a buffer of its own.
    pub fn near(&self, bytes: usize) -> Buffer {
        let cut = floor(&self.before, self.before.len().saturating_sub(bytes));
        let start = match cut {
            0 => 0,
            // A line that is cut has no columns, so the part begins with a whole one.
            _ => self.before[cut..]
                .find('\n')
                .map_or(self.before.len(), |at| cut + at + 1),
        };
        let end = floor(&self.after, bytes.min(self.after.len()));
        Buffer {
            above: self.above + lines(&self.before[..start]),
            before: self.before[start..].to_owned(),
            after: self.after[..end].to_owned(),
            encoding: self.encoding,
        }
    }

    /// Presses a key. None if the text is as before.
    ///
    /// # Errors
    /// If the key does not fit the text: a recording of another one.
    pub fn press(&mut self, key: &Key) -> anyhow::Result<Option<Change>> {
        match key {
            Key::Type { text, tail } => Ok(Some(self.replace(0, 0, text, tail))),
            Key::Slip { text } | Key::Paste { text } => Ok(Some(self.replace(0, 0, text, ""))),
            Key::Over { text } => {
                self.check(text)?;
                Ok(Some(self.replace(0, text.len(), text, "")))
            }
            Key::Accept { text, over } => {
                self.check(over)?;
                Ok(Some(self.replace(0, over.len(), text, "")))
            }
            Key::Backspace => {
                let last = self.before.chars().next_back();
                let last = last.context("there is nothing before the cursor to take away")?;
                Ok(Some(self.replace(last.len_utf8(), 0, "", "")))
            }
            Key::Walk { text } => {
                self.check(text)?;
                self.after.drain(..text.len());
                self.before.push_str(text);
                Ok(None)
            }
            &Key::Jump { line, column } => {
                self.jump(line, column)?;
                Ok(None)
            }
        }
    }

    /// Makes an edit around the cursor.
    pub fn edit(&mut self, edit: &Edit) -> Change {
        self.replace(edit.back, edit.over, &edit.text, "")
    }

    /// The edit that puts `text` in this range. None if the range does not hold the cursor, or reaches out of this part
    /// of the text.
    pub fn edit_of(&self, start: Place, end: Place, text: &str) -> Option<Edit> {
        let whole = self.text();
        let (start, end) = (self.offset(&whole, start)?, self.offset(&whole, end)?);
        let cursor = self.before.len();
        Some(Edit {
            back: cursor.checked_sub(start)?,
            over: end.checked_sub(cursor)?,
            text: text.to_owned(),
        })
    }

    fn replace(&mut self, back: usize, over: usize, text: &str, tail: &str) -> Change {
        let start = self.before.len() - back;
        let end = match self.after[..over].rfind('\n') {
            Some(line_end) => Place {
                line: self.above + lines(&self.before) + lines(&self.after[..over]),
                column: self.columns(&self.after[line_end + 1..over]),
            },
            None => {
                let Place { line, column } = self.cursor();
                Place {
                    line,
                    column: column + self.columns(&self.after[..over]),
                }
            }
        };
        let change = Change {
            start: self.place(&self.before[..start]),
            end,
            text: [text, tail].concat(),
        };
        self.before.truncate(start);
        self.before.push_str(text);
        self.after.replace_range(..over, tail);
        change
    }

    fn check(&self, text: &str) -> anyhow::Result<()> {
        if !self.after.starts_with(text) {
            let found: String = self.after.chars().take(text.chars().count()).collect();
            bail!("behind the cursor stands {found:?} and not {text:?}");
        }
        Ok(())
    }

    /// Puts the cursor at a line and a column in bytes.
    fn jump(&mut self, line: usize, column: usize) -> anyhow::Result<()> {
        let whole = self.text();
        let start = line_start(&whole, line);
        let at = start.map(|start| start + column);
        let at = at.filter(|&at| whole.is_char_boundary(at));
        let at = at.with_context(|| format!("there is no line {line} with a column {column}"))?;
        self.after = whole[at..].to_owned();
        self.before = whole;
        self.before.truncate(at);
        Ok(())
    }

    /// The place behind a text that begins where `before` does.
    fn place(&self, text: &str) -> Place {
        let start = text.rfind('\n').map_or(0, |at| at + 1);
        Place {
            line: self.above + lines(text),
            column: self.columns(&text[start..]),
        }
    }

    /// The byte of `whole`, this part's text, at a place.
    fn offset(&self, whole: &str, place: Place) -> Option<usize> {
        let start = line_start(whole, place.line.checked_sub(self.above)?)?;
        let line = whole[start..].split('\n').next().unwrap_or_default();
        let mut column = 0;
        for (at, char) in line.char_indices() {
            if column >= place.column {
                return Some(start + at);
            }
            column += self.columns(char.encode_utf8(&mut [0; 4]));
        }
        (column >= place.column).then_some(start + line.len())
    }

    fn columns(&self, text: &str) -> usize {
        match self.encoding {
            Encoding::Utf8 => text.len(),
            Encoding::Utf16 => text.encode_utf16().count(),
            Encoding::Utf32 => text.chars().count(),
        }
    }
}

/// Where a line begins, if there is one.
fn line_start(text: &str, line: usize) -> Option<usize> {
    match line {
        0 => Some(0),
        _ => text.match_indices('\n').nth(line - 1).map(|(at, _)| at + 1),
    }
}

fn lines(text: &str) -> usize {
    text.bytes().filter(|&byte| byte == b'\n').count()
}

fn floor(text: &str, at: usize) -> usize {
    (0..=at)
        .rev()
        .find(|&at| text.is_char_boundary(at))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pressed(text: &str, keys: &[Key]) -> (Buffer, Vec<Option<Change>>) {
        let mut buffer = Buffer::new(text, Encoding::Utf16);
        let changes = keys.iter().map(|key| buffer.press(key).unwrap()).collect();
        (buffer, changes)
    }

    fn place(line: usize, column: usize) -> Place {
        Place { line, column }
    }

    fn typed(text: &str, tail: &str) -> Key {
        let (text, tail) = (text.to_owned(), tail.to_owned());
        Key::Type { text, tail }
    }

    #[test]
    fn keys_change_the_text_and_say_where() {
        let over = Key::Over {
            text: ")".to_owned(),
        };
        let jump = Key::Jump { line: 1, column: 2 };
        let keys = [jump, typed("(", ")"), over, Key::Backspace];
        let (buffer, changes) = pressed("a\né𝄞b\n", &keys);
        assert_eq!(buffer.text(), "a\né(𝄞b\n");
        assert_eq!(buffer.cursor(), place(1, 2));
        let places = |change: &Option<Change>| change.as_ref().map(|at| (at.start, at.end));
        let expected = [
            None,
            Some((place(1, 1), place(1, 1))),
            Some((place(1, 2), place(1, 3))),
            Some((place(1, 2), place(1, 3))),
        ];
        assert_eq!(changes.iter().map(places).collect::<Vec<_>>(), expected);
        assert_eq!(changes[1].as_ref().unwrap().text, "()");
    }

    #[test]
    fn columns_are_counted_in_the_units_agreed_on() {
        for (encoding, column) in [
            (Encoding::Utf8, 6),
            (Encoding::Utf16, 3),
            (Encoding::Utf32, 2),
        ] {
            let mut buffer = Buffer::new("x\né𝄞b", encoding);
            buffer.press(&Key::Jump { line: 1, column: 6 }).unwrap();
            assert_eq!(buffer.cursor(), place(1, column));
            let edit = buffer.edit_of(place(1, column), place(1, column + 1), "");
            assert_eq!(edit.unwrap().over, 1, "{encoding:?}");
        }
    }

    #[test]
    fn a_walk_and_a_block_of_lines_pass_line_ends() {
        let keys = [
            typed("{", "}"),
            typed("\n  ", "\n"),
            typed("x", ""),
            Key::Walk {
                text: "\n}".to_owned(),
            },
        ];
        let (buffer, changes) = pressed("", &keys);
        assert_eq!(buffer.text(), "{\n  x\n}");
        assert_eq!((buffer.cursor(), &changes[3]), (place(2, 1), &None));
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let mut buffer = Buffer::new("ab", Encoding::Utf8);
        for key in [
            Key::Backspace,
            Key::Over {
                text: ")".to_owned(),
            },
            Key::Jump { line: 1, column: 0 },
            Key::Jump { line: 0, column: 3 },
        ] {
            assert!(buffer.press(&key).is_err(), "{key:?}");
        }
        assert_eq!(buffer.text(), "ab");
    }

    #[test]
    fn a_part_has_the_places_of_the_whole() {
        let text = "line\n".repeat(100);
        let mut buffer = Buffer::new(&text, Encoding::Utf8);
        buffer
            .press(&Key::Jump {
                line: 50,
                column: 2,
            })
            .unwrap();
        let mut near = buffer.near(12);
        assert_eq!(near.text(), "line\nline\nline\nline");
        assert_eq!(near.cursor(), buffer.cursor());
        // The range from the line's start to the cursor, as servers repeat what is there.
        let edit = near.edit_of(place(50, 0), place(50, 2), "lint").unwrap();
        assert_eq!((edit.back, edit.over), (2, 0));
        assert_eq!(near.edit(&edit), buffer.edit(&edit));
        assert!(near.edit_of(place(0, 0), place(50, 2), "").is_none());
        assert!(
            near.edit_of(place(50, 3), place(50, 4), "")
                .is_some_and(|edit| edit.text.is_empty())
        );
    }
}
