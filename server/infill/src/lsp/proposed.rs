//! The types of `textDocument/inlineCompletion` (LSP 3.18), which tower-lsp's protocol types are
//! too old to know.
//!
//! Shapes only, as the specification has them, and one field of our own, [`InlineCompletionList`]'s
//! `infill`, which no client gets that did not ask for it.

use serde::{Deserialize, Serialize};
use tower_lsp::lsp_types::{Range, TextDocumentPositionParams};

use crate::complete::Record;

/// The method's name.
pub const INLINE_COMPLETION: &str = "textDocument/inlineCompletion";

/// Where and why the client asks.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InlineCompletionParams {
    /// The document and the cursor's position in it.
    #[serde(flatten)]
    pub place: TextDocumentPositionParams,
    /// What made the client ask.
    pub context: InlineCompletionContext,
}

/// What made the client ask.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InlineCompletionContext {
    /// 1: the user asked. 2: the client asked by itself, while the user was typing.
    pub trigger_kind: u32,
    /// The entry that is selected in the client's completion popup, if one is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selected_completion_info: Option<SelectedCompletionInfo>,
}

impl InlineCompletionContext {
    /// `trigger_kind` of a request that the user made by hand.
    pub const INVOKED: u32 = 1;
    /// `trigger_kind` of a request that the client made while the user was typing.
    pub const AUTOMATIC: u32 = 2;
}

/// The entry that is selected in the client's completion popup.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct SelectedCompletionInfo {
    /// What accepting it would replace.
    pub range: Range,
    /// What accepting it would put there.
    pub text: String,
}

/// The answer: no items if there is nothing to show.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct InlineCompletionList {
    /// The suggestions, the best first.
    pub items: Vec<InlineCompletionItem>,
    /// What it took to answer, for clients that set `initializationOptions.infill.timings`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub infill: Option<Record>,
}

/// One suggestion.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InlineCompletionItem {
    /// What replaces the range.
    pub insert_text: String,
    /// What the client compares with the text in the range, if not the text to insert.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter_text: Option<String>,
    /// What is replaced; it starts and ends on one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range: Option<Range>,
    /// What the client runs after the text was inserted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<tower_lsp::lsp_types::Command>,
}
