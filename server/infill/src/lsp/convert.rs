//! Every conversion between the protocol's types and ours, in both directions.
//!
//! Positions in the protocol are lines and columns in the units that were agreed on; inside the
//! rooms there are byte offsets only. Nothing else in this crate knows both.

use std::ops::Range;

use text::{Document, Edit, Encoding, Snapshot};
use tower_lsp::lsp_types::{self, TextDocumentContentChangeEvent};

use crate::complete::Shown;
use crate::lsp::proposed::{InlineCompletionItem, SelectedCompletionInfo};

/// Applies one change of `textDocument/didChange`. Positions count in the text as the changes
/// before this one have left it. Gives the edit, unless all of the text is replaced.
pub fn apply(
    document: &mut Document,
    change: &TextDocumentContentChangeEvent,
    encoding: Encoding,
) -> Option<Edit> {
    match change.range {
        None => {
            document.replace(&change.text);
            None
        }
        Some(range) => {
            let start = document.offset(from_position(range.start), encoding);
            let end = document.offset(from_position(range.end), encoding);
            let edit = narrowed(document, start..end.max(start), &change.text);
            document.edit(&edit);
            Some(edit)
        }
    }
}

/// An edit without what it only repeats at its beginning. Editors put a suggestion in by replacing all of its range,
/// and what was there before the cursor has not changed by that.
fn narrowed(document: &Document, range: Range<usize>, text: &str) -> Edit {
    let old = document.snapshot().slice(range.clone());
    let same = old.chars().zip(text.chars()).take_while(|(a, b)| a == b);
    let same: usize = same.map(|(a, _)| a.len_utf8()).sum();
    Edit {
        range: range.start + same..range.end,
        text: text[same..].to_owned(),
    }
}

/// The byte offset of a position.
pub fn offset(snapshot: &Snapshot, at: lsp_types::Position, encoding: Encoding) -> usize {
    snapshot.offset(from_position(at), encoding)
}

/// The protocol's range of a range of bytes.
pub fn range(snapshot: &Snapshot, bytes: &Range<usize>, encoding: Encoding) -> lsp_types::Range {
    let position = |offset| {
        let position = snapshot.position(offset, encoding);
        lsp_types::Position {
            line: position.line,
            character: position.column,
        }
    };
    lsp_types::Range {
        start: position(bytes.start),
        end: position(bytes.end),
    }
}

/// The edit that accepting the selected entry of a completion popup would make.
pub fn selected(snapshot: &Snapshot, info: &SelectedCompletionInfo, encoding: Encoding) -> Edit {
    let start = offset(snapshot, info.range.start, encoding);
    let end = offset(snapshot, info.range.end, encoding).max(start);
    Edit {
        range: start..end,
        text: info.text.clone(),
    }
}

/// A suggestion as the protocol has it. Its range is widened to where the line's text begins and
/// the text that is there is repeated, because some clients leave behind what was typed between
/// the request and the answer if the range starts at the cursor (neovim/neovim#36529).
pub fn item(shown: &Shown, encoding: Encoding) -> InlineCompletionItem {
    let (start, insert_text, _) = offered(shown);
    let bytes = start..shown.item.range.end;
    InlineCompletionItem {
        insert_text,
        filter_text: None,
        range: Some(range(&shown.snapshot, &bytes, encoding)),
        command: None,
    }
}

/// A suggestion with the text of its line before it: where that begins, all of the text, and how many bytes of it are
/// there already.
pub fn offered(shown: &Shown) -> (usize, String, usize) {
    let Shown { item, snapshot } = shown;
    let line = snapshot.line_range(snapshot.line_of(item.range.start));
    let before = snapshot.slice(line.start..item.range.start);
    let typed = before.trim_start();
    let start = item.range.start - typed.len();
    (start, format!("{typed}{}", item.text), typed.len())
}

/// A suggestion that goes on from the selected entry of a completion popup: it must have that
/// entry's range and begin with its text, else no client shows it.
///
/// None if the suggestion replaces text behind the cursor that it does not repeat at its end, which
/// the entry's range leaves no room for.
pub fn item_after(info: &SelectedCompletionInfo, shown: &Shown) -> Option<InlineCompletionItem> {
    let replaced = shown.snapshot.slice(shown.item.range.clone());
    let added = shown.item.text.strip_suffix(replaced.as_str())?;
    Some(InlineCompletionItem {
        insert_text: format!("{}{added}", info.text),
        filter_text: None,
        range: Some(info.range),
        command: None,
    })
}

fn from_position(position: lsp_types::Position) -> text::Position {
    text::Position {
        line: position.line,
        column: position.character,
    }
}

#[cfg(test)]
mod tests {
    use grammars::Language;

    use super::*;

    const TEXT: &str = "fn f() {\r\n    let é😀 = g(a)\r\n}\r\n";

    fn at(line: u32, character: u32) -> lsp_types::Position {
        lsp_types::Position { line, character }
    }

    fn span(start: lsp_types::Position, end: lsp_types::Position) -> lsp_types::Range {
        lsp_types::Range { start, end }
    }

    fn shown(range: Range<usize>, text: &str) -> Shown {
        let item = finish::Item {
            text: text.to_owned(),
            range,
            ghost: text.to_owned(),
        };
        Shown {
            item,
            snapshot: Snapshot::new(TEXT, Language::PLAIN),
        }
    }

    #[test]
    fn several_changes_in_one_notification_build_on_each_other() {
        let mut document = Document::new("aé😀b\nsecond", 1, Language::PLAIN);
        let changes = [
            (Some(span(at(0, 4), at(0, 5))), "X\nY"),
            (Some(span(at(1, 1), at(1, 1))), "Z"),
            (Some(span(at(2, 0), at(9, 9))), "end"),
            (Some(span(at(0, 0), at(0, 1))), ""),
        ];
        for (range, text) in changes {
            let change = TextDocumentContentChangeEvent {
                range,
                range_length: None,
                text: text.to_owned(),
            };
            apply(&mut document, &change, Encoding::Utf16);
        }
        assert_eq!(document.snapshot().text(), "é😀X\nYZ\nend");
        let repeating = TextDocumentContentChangeEvent {
            range: Some(span(at(0, 0), at(0, 4))),
            range_length: None,
            text: "é😀X+".to_owned(),
        };
        let edit = apply(&mut document, &repeating, Encoding::Utf16);
        assert_eq!(
            edit.map(|edit| (edit.range, edit.text)),
            Some((7..7, "+".to_owned()))
        );
        assert_eq!(document.snapshot().text(), "é😀X+\nYZ\nend");
        let whole = TextDocumentContentChangeEvent {
            range: None,
            range_length: None,
            text: "new".to_owned(),
        };
        apply(&mut document, &whole, Encoding::Utf16);
        assert_eq!(document.snapshot().text(), "new");
    }

    #[test]
    fn an_inverted_range_changes_nothing_but_its_start() {
        let mut document = Document::new("abc", 1, Language::PLAIN);
        let range = Some(span(at(0, 2), at(0, 1)));
        let change = TextDocumentContentChangeEvent {
            range,
            range_length: None,
            text: "X".to_owned(),
        };
        apply(&mut document, &change, Encoding::Utf16);
        assert_eq!(document.snapshot().text(), "abXc");
    }

    #[test]
    fn items_start_where_the_text_of_the_line_starts() {
        let cursor = TEXT.find("a)").expect("the text has a call");
        let table = [
            (Encoding::Utf8, 20),
            (Encoding::Utf16, 17),
            (Encoding::Utf32, 16),
        ];
        for (encoding, end) in table {
            let item = item(&shown(cursor..cursor + 1, "b, c"), encoding);
            assert_eq!(item.insert_text, "let é😀 = g(b, c");
            assert_eq!(item.range, Some(span(at(1, 4), at(1, end))), "{encoding:?}");
        }
    }

    #[test]
    fn an_item_on_a_blank_line_starts_at_the_cursor() {
        let item = item(&shown(14..14, "x"), Encoding::Utf16);
        assert_eq!(
            (item.insert_text.as_str(), item.range),
            ("x", Some(span(at(1, 4), at(1, 4))))
        );
    }

    #[test]
    fn an_item_after_a_selected_entry_has_its_range_and_goes_on_from_its_text() {
        let info = SelectedCompletionInfo {
            range: span(at(1, 4), at(1, 7)),
            text: "letter".to_owned(),
        };
        let close = TEXT.find(')').expect("the text has brackets");
        let extended =
            item_after(&info, &shown(close..close + 1, "(1))")).map(|item| item.insert_text);
        assert_eq!(extended.as_deref(), Some("letter(1)"));
        assert!(item_after(&info, &shown(close..close + 1, "(1]")).is_none());
    }
}
