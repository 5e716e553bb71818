//! What the client can do, what it wants, and what the server therefore offers.
//!
//! Read from the raw JSON of `initialize`, because half of it is newer than tower-lsp's types.

use serde_json::{Value, json};
use text::Encoding;
use tower_lsp::lsp_types::{
    CompletionOptions, ExecuteCommandOptions, OneOf, PositionEncodingKind, ServerCapabilities,
    TextDocumentSyncCapability, TextDocumentSyncKind, TextDocumentSyncOptions,
    TextDocumentSyncSaveOptions, WorkDoneProgressOptions, WorkspaceFoldersServerCapabilities,
    WorkspaceServerCapabilities,
};

use crate::lsp::admission::RULES;
use crate::lsp::proposed::INLINE_COMPLETION;
use crate::models::settings;

/// The command that switches to another model; its one argument is the name or path, or null for the built-in one.
pub const SELECT_MODEL: &str = "infill.selectModel";

/// The command that lists the models in the store and those that could be pulled.
pub const LIST_MODELS: &str = "infill.listModels";

/// The command that pulls a model into the store; its one argument is the name.
pub const PULL_MODEL: &str = "infill.pullModel";

/// The command that puts a task on a selection to the model; its one argument is an object.
pub const TASK: &str = "infill.task";

/// The command of a suggestion, which clients run once it was taken; its one argument is the document.
pub const DID_ACCEPT: &str = "infill.didAccept";

/// What was agreed on in `initialize`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// How columns are counted.
    pub encoding: Encoding,
    /// The client wants inline completion registered by a request instead of announced.
    pub registers: bool,
    /// The client tells of changed files if it is asked to.
    pub watches: bool,
    /// The client shows progress that the server reports.
    pub progress: bool,
    /// The client wants to know what each answer took.
    pub timings: bool,
    /// The client wants to know how the server is.
    pub status: bool,
    /// The client runs commands that the server names.
    pub commands: bool,
    /// The client wants suggestions as items of a menu, too.
    pub items: bool,
    /// The process whose end is the server's end, too.
    pub client: Option<u32>,
}

impl Default for Agreed {
    /// What holds for a client that says nothing.
    fn default() -> Agreed {
        Agreed {
            encoding: Encoding::Utf16,
            registers: false,
            watches: false,
            progress: false,
            timings: false,
            status: false,
            commands: false,
            items: false,
            client: None,
        }
    }
}

impl Agreed {
    /// Reads the parameters of `initialize`; what is missing or odd counts as not said.
    pub fn from_params(params: &Value) -> Agreed {
        let told = |pointer: &str| params.pointer(pointer).and_then(Value::as_bool) == Some(true);
        Agreed {
            encoding: encoding(params.pointer("/capabilities/general/positionEncodings")),
            registers: told("/capabilities/textDocument/inlineCompletion/dynamicRegistration"),
            watches: told("/capabilities/workspace/didChangeWatchedFiles/dynamicRegistration"),
            progress: told("/capabilities/window/workDoneProgress"),
            timings: told("/initializationOptions/infill/timings"),
            status: told("/initializationOptions/infill/status")
                || params
                    .pointer("/initializationOptions/editorInfo")
                    .is_some(),
            commands: params
                .pointer("/capabilities/workspace/executeCommand")
                .is_some(),
            items: told("/initializationOptions/infill/completionItems"),
            client: params
                .get("processId")
                .and_then(Value::as_u64)
                .and_then(|id| u32::try_from(id).ok()),
        }
    }

    /// What the server offers, as far as tower-lsp's types go.
    pub fn capabilities(&self) -> ServerCapabilities {
        ServerCapabilities {
            position_encoding: Some(match self.encoding {
                Encoding::Utf8 => PositionEncodingKind::UTF8,
                Encoding::Utf16 => PositionEncodingKind::UTF16,
                Encoding::Utf32 => PositionEncodingKind::UTF32,
            }),
            text_document_sync: Some(TextDocumentSyncCapability::Options(
                TextDocumentSyncOptions {
                    open_close: Some(true),
                    change: Some(TextDocumentSyncKind::INCREMENTAL),
                    save: Some(TextDocumentSyncSaveOptions::Supported(true)),
                    ..TextDocumentSyncOptions::default()
                },
            )),
            execute_command_provider: Some(ExecuteCommandOptions {
                commands: [SELECT_MODEL, LIST_MODELS, PULL_MODEL, TASK, DID_ACCEPT]
                    .map(str::to_owned)
                    .to_vec(),
                work_done_progress_options: WorkDoneProgressOptions {
                    work_done_progress: Some(true),
                },
            }),
            workspace: Some(WorkspaceServerCapabilities {
                workspace_folders: Some(WorkspaceFoldersServerCapabilities {
                    supported: Some(true),
                    change_notifications: Some(OneOf::Left(true)),
                }),
                file_operations: None,
            }),
            completion_provider: self.items.then(|| CompletionOptions {
                // Menus come up by themselves inside of words; these are where a suggestion is worth most besides.
                trigger_characters: Some([" ", ".", "(", "=", ":"].map(str::to_owned).to_vec()),
                ..CompletionOptions::default()
            }),
            ..ServerCapabilities::default()
        }
    }

    /// Adds what the types do not know to the result of `initialize`. A client that takes
    /// registrations gets one later instead: the protocol forbids both.
    pub fn complete(&self, result: &mut Value) {
        if let Some(capabilities) = result.get_mut("capabilities").filter(|_| !self.registers) {
            capabilities["inlineCompletionProvider"] = json!(true);
        }
    }

    /// The parameters of `client/registerCapability`, for a client that wants them: inline completion without a
    /// document selector of ours, since the client's own list of documents holds; and the files of settings.
    pub fn registration(&self) -> Option<Value> {
        let completion = self.registers.then(|| {
            json!({
                "id": "infill-inline-completion",
                "method": INLINE_COMPLETION,
                "registerOptions": { "documentSelector": null },
            })
        });
        let files = self.watches.then(|| {
            json!({
                "id": "infill-settings",
                "method": "workspace/didChangeWatchedFiles",
                "registerOptions": { "watchers": [
                    { "globPattern": format!("**/{}", settings::NAME) },
                    { "globPattern": format!("**/{RULES}") },
                ] },
            })
        });
        let registrations: Vec<Value> = completion.into_iter().chain(files).collect();
        (!registrations.is_empty()).then(|| json!({ "registrations": registrations }))
    }
}

/// UTF-8 if the client knows it, since inside all offsets are bytes; else what the client likes
/// best. UTF-16 is what every client knows.
fn encoding(offered: Option<&Value>) -> Encoding {
    let offered = offered
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let known: Vec<Encoding> = offered
        .iter()
        .filter_map(|kind| match kind.as_str()? {
            "utf-8" => Some(Encoding::Utf8),
            "utf-16" => Some(Encoding::Utf16),
            "utf-32" => Some(Encoding::Utf32),
            _ => None,
        })
        .collect();
    if known.contains(&Encoding::Utf8) {
        return Encoding::Utf8;
    }
    known.first().copied().unwrap_or(Encoding::Utf16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_client_gets_the_protocols_defaults() {
        assert_eq!(Agreed::from_params(&json!({})), Agreed::default());
        assert_eq!(Agreed::from_params(&Value::Null), Agreed::default());
        assert_eq!(
            Agreed::from_params(&json!({ "processId": null })),
            Agreed::default()
        );
    }

    #[test]
    fn the_encoding_is_one_that_the_client_offers() {
        let table = [
            (json!(["utf-16", "utf-8"]), Encoding::Utf8),
            (json!(["utf-8"]), Encoding::Utf8),
            (json!(["utf-16"]), Encoding::Utf16),
            (json!(["utf-32"]), Encoding::Utf32),
            (json!(["utf-32", "utf-16"]), Encoding::Utf32),
            (json!(["utf-7", "utf-16", "utf-32"]), Encoding::Utf16),
            (json!([]), Encoding::Utf16),
            (json!("utf-8"), Encoding::Utf16),
        ];
        for (offered, expected) in table {
            let params = json!({ "capabilities": { "general": { "positionEncodings": offered } } });
            assert_eq!(Agreed::from_params(&params).encoding, expected, "{offered}");
        }
    }

    #[test]
    fn inline_completion_is_announced_or_registered_but_never_both() {
        for dynamic in [false, true] {
            let agreed = Agreed::from_params(&json!({ "capabilities": { "textDocument": {
                "inlineCompletion": { "dynamicRegistration": dynamic } } } }));
            let mut result = json!({ "capabilities": {} });
            agreed.complete(&mut result);
            let announced = result
                .pointer("/capabilities/inlineCompletionProvider")
                .is_some();
            assert_eq!(
                (announced, agreed.registration().is_some()),
                (!dynamic, dynamic)
            );
        }
    }
}
