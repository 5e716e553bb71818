//! What clients tell that the protocol has no word for: what is on the screen, what was taken of it, where the user looks.
//!
//! The names are those that other completion servers made common, so that their clients need no change.

use serde::Deserialize;
use serde_json::Value;
use tower_lsp::lsp_types::{TextDocumentIdentifier, Url};

use crate::lsp::capabilities::DID_ACCEPT;
use crate::lsp::proposed::InlineCompletionItem;
use crate::lsp::server::Backend;

/// An item that something happened to.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ItemParams {
    /// The item as the server gave it.
    pub item: InlineCompletionItem,
    /// UTF-16 units of its text that are in the document after it was taken in part.
    pub accepted_length: Option<u32>,
}

/// A document that the user looks at.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FocusParams {
    /// None if it is no document of ours.
    pub text_document: Option<TextDocumentIdentifier>,
}

impl Backend {
    /// `textDocument/didShowCompletion`.
    pub async fn did_show(&self, _: ItemParams) {
        self.session().usage.shown();
    }

    /// `textDocument/didPartiallyAcceptCompletion`.
    pub async fn did_accept_part(&self, params: ItemParams) {
        if params.accepted_length != Some(0)
            && let Some(url) = document(&params.item)
        {
            self.session().usage.accepted(&url);
        }
    }

    /// `textDocument/didFocus`.
    pub async fn did_focus(&self, params: FocusParams) {
        if let Some(document) = params.text_document {
            self.session().set_focus(&document.uri);
        }
    }
}

/// The document that an item was made for; it is in the item's command.
fn document(item: &InlineCompletionItem) -> Option<Url> {
    let command = item
        .command
        .as_ref()
        .filter(|command| command.command == DID_ACCEPT)?;
    accepted(command.arguments.as_deref().unwrap_or_default())
}

/// The document in the arguments of [`DID_ACCEPT`].
pub fn accepted(arguments: &[Value]) -> Option<Url> {
    Url::parse(arguments.first()?.as_str()?).ok()
}
