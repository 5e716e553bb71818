//! `textDocument/completion`: suggestions as items of a menu, for editors that draw no ghost text.
//!
//! Asked only of a server whose settings have `completionItems`. The question and the answer are inline completion's;
//! here they get the older method's form, in which an item replaces the word at the cursor.

use serde_json::Value;
use tower_lsp::lsp_types::{
    CompletionItem, CompletionItemKind, CompletionItemLabelDetails, CompletionList,
    CompletionTextEdit, Documentation, Position, Range, TextDocumentPositionParams, TextEdit,
};

use crate::lsp::convert;
use crate::lsp::proposed::{InlineCompletionContext, InlineCompletionItem, InlineCompletionList};
use crate::lsp::session::Session;

/// The method's name.
pub const COMPLETION: &str = "textDocument/completion";

/// Characters of an item's line that a menu shows.
const LABEL: usize = 60;

/// The parameters as inline completion has them. Clients ask while the user types, whatever they say of the reason.
pub fn as_inline(mut params: Value) -> Value {
    if let Some(params) = params.as_object_mut() {
        let context = InlineCompletionContext {
            trigger_kind: InlineCompletionContext::AUTOMATIC,
            selected_completion_info: None,
        };
        let context = serde_json::to_value(context).unwrap_or_default();
        params.insert("context".to_owned(), context);
    }
    params
}

/// The suggestions for a place as items. The list is never complete: the next key may have others.
pub fn list(
    session: &Session,
    place: &TextDocumentPositionParams,
    list: InlineCompletionList,
) -> CompletionList {
    let items = list.items.into_iter();
    let items = items.filter_map(|item| as_item(session, place, item));
    CompletionList {
        is_incomplete: true,
        items: items.collect(),
    }
}

fn as_item(
    session: &Session,
    place: &TextDocumentPositionParams,
    item: InlineCompletionItem,
) -> Option<CompletionItem> {
    let encoding = session.agreed().encoding;
    let snapshot = session.documents.view(&place.text_document.uri)?.snapshot;
    let range = item.range?;
    let start = convert::offset(&snapshot, range.start, encoding);
    let cursor = convert::offset(&snapshot, place.position, encoding);
    let typed = snapshot.slice(start..cursor.max(start));
    let rest = item.insert_text.strip_prefix(&*typed)?;
    let word = typed.rfind(|c: char| !c.is_alphanumeric() && c != '_');
    let word = word.map_or(&*typed, |at| {
        let after = typed[at..].chars().next().map_or(0, char::len_utf8);
        &typed[at + after..]
    });
    let from: Position = convert::range(&snapshot, &(cursor - word.len()..cursor), encoding).start;
    let text = format!("{word}{rest}");
    let line = text.lines().find(|line| !line.trim().is_empty())?.trim();
    let has_more = text.trim_end().lines().count() > 1;
    let mut label: String = line.chars().take(LABEL).collect();
    if has_more || label.len() < line.len() {
        label.push('…');
    }
    Some(CompletionItem {
        label,
        label_details: Some(CompletionItemLabelDetails {
            detail: None,
            description: Some("Infill".to_owned()),
        }),
        kind: Some(CompletionItemKind::SNIPPET),
        documentation: Some(Documentation::String(text.clone())),
        // Before the items of servers that know names, and kept while the word stays.
        sort_text: Some("\u{1}".to_owned()),
        filter_text: Some(word.to_owned()),
        preselect: Some(true),
        text_edit: Some(CompletionTextEdit::Edit(TextEdit {
            range: Range {
                start: from,
                end: range.end,
            },
            new_text: text,
        })),
        command: item.command,
        ..CompletionItem::default()
    })
}
