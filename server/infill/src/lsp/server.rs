//! The handlers that tower-lsp routes to: the life of the connection, settings, commands, and the requests of our own.
//!
//! Nothing here computes. What must be in order is done before, in [`front`](super::front); the
//! model is loaded on a thread of its own, with progress for clients that show it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};
use tower_lsp::jsonrpc::{Error, ErrorCode, Result};
use tower_lsp::lsp_types::notification::Notification;
use tower_lsp::lsp_types::request::RegisterCapability;
use tower_lsp::lsp_types::{
    DidChangeConfigurationParams, DidChangeWatchedFilesParams, DidChangeWorkspaceFoldersParams,
    DidSaveTextDocumentParams, ExecuteCommandParams, InitializeParams, InitializeResult,
    InitializedParams, MessageType, NumberOrString, RegistrationParams, ServerInfo,
    TextDocumentIdentifier, Url, WorkspaceFolder, WorkspaceFoldersChangeEvent,
};
use tower_lsp::{Client, LanguageServer, async_trait};

use crate::lsp::admission::RULES;
use crate::lsp::announce::announce;
use crate::lsp::capabilities::{DID_ACCEPT, LIST_MODELS, PULL_MODEL, SELECT_MODEL, TASK};
use crate::lsp::events::accepted;
use crate::lsp::progress::Progress;
use crate::lsp::request::models::Pulling;
use crate::lsp::request::status::{self, Status};
use crate::lsp::request::why::{self, Why};
use crate::lsp::request::{self, task};
use crate::lsp::session::Session;
use crate::lsp::watchdog;
use crate::models::settings;
use crate::rooms::Rooms;

/// The error code for a request that was right and could not be done, as the protocol has it.
const REQUEST_FAILED: i64 = -32803;

/// What loading a model gives; see [`Session::load`].
type Loaded = std::result::Result<Option<Arc<Rooms>>, String>;

/// The server's side of a connection.
pub struct Backend {
    session: Arc<Session>,
    client: Client,
}

impl Backend {
    /// The handlers for this session.
    pub fn new(session: Arc<Session>, client: Client) -> Backend {
        Backend { session, client }
    }

    /// What the handlers of other files work on.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// `infill/status`.
    ///
    /// # Errors
    /// Never; the type is what tower-lsp takes for a request.
    pub async fn status(&self, about: About) -> Result<Status> {
        Ok(status::status(&self.session, about.url()))
    }

    /// `infill/why`.
    ///
    /// # Errors
    /// Never; the type is what tower-lsp takes for a request.
    pub async fn why(&self, about: About) -> Result<Option<Why>> {
        Ok(why::why(&self.session, about.url()))
    }
}

/// The document that a request is about; none is the one in focus.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct About {
    text_document: Option<TextDocumentIdentifier>,
}

impl About {
    fn url(self) -> Option<Url> {
        self.text_document.map(|document| document.uri)
    }
}

impl Backend {
    /// Loads the model that is chosen now, in the background.
    fn load(&self) {
        let session = Arc::clone(&self.session);
        let under_way = session.begin_load();
        let loading = spawn_blocking(move || {
            let loaded = session.load();
            drop(under_way);
            loaded
        });
        let session = Arc::clone(&self.session);
        tokio::spawn(report(loading, session, self.client.clone()));
    }

    /// Takes over what the client set, and complains of what cannot be understood.
    async fn set(&self, said: &Value) {
        for fault in self.session.set(|settings| settings.take(said)) {
            complain(&self.client, &fault).await;
        }
    }

    /// A file changed that says how the server is to behave.
    fn look_again(&self, urls: &[&Url]) {
        let is = |name| {
            urls.iter()
                .any(|url| url.path().rsplit('/').next() == Some(name))
        };
        if is(settings::NAME) {
            self.load();
        }
        if is(RULES) {
            self.session.set(|_| ());
        }
    }

    async fn pull(&self, name: String, token: Option<NumberOrString>) -> Result<Value> {
        let pulling = Arc::new(Pulling::default());
        let _until_dropped = GiveUp(Arc::clone(&pulling));
        let progress = Progress::begin(&self.client, token, format!("pulling {name}")).await;
        let pulled = request::models::pull(name, Arc::clone(&pulling));
        let pulled = progress.during(pulled, || Some(pulling.percent())).await;
        pulled.map_err(|error| failed(format!("{error:#}")))
    }

    async fn task(&self, arguments: Value, token: Option<NumberOrString>) -> Result<Value> {
        let arguments: task::Arguments = serde_json::from_value(arguments)
            .map_err(|error| Error::invalid_params(error.to_string()))?;
        let (said, mut heard) = mpsc::unbounded_channel::<String>();
        let partial = arguments.partial_result_token.clone();
        let client = self.client.clone();
        let tell = async move {
            while let Some(mut text) = heard.recv().await {
                // All that has come meanwhile goes together.
                while let Ok(more) = heard.try_recv() {
                    text.push_str(&more);
                }
                if let Some(token) = partial.clone() {
                    client
                        .send_notification::<Partial>(PartialText {
                            token,
                            value: json!({ "text": text }),
                        })
                        .await;
                }
            }
        };
        let progress = Progress::begin(&self.client, token, "writing".to_owned()).await;
        let run = async { tokio::join!(task::run(&self.session, &arguments, said), tell).0 };
        match progress.during(run, || None).await {
            Ok(text) => Ok(text),
            Err(task::Refused::Arguments(why)) => Err(Error::invalid_params(why)),
            Err(task::Refused::Model(why)) => Err(failed(why)),
        }
    }
}

/// `$/progress` with a part of a result, which the protocol's types leave open.
enum Partial {}

#[derive(Debug, Deserialize, Serialize)]
struct PartialText {
    token: NumberOrString,
    value: Value,
}

impl Notification for Partial {
    type Params = PartialText;
    const METHOD: &'static str = "$/progress";
}

/// Gives a pull up when nobody waits for it any more.
struct GiveUp(Arc<Pulling>);

impl Drop for GiveUp {
    fn drop(&mut self) {
        self.0.give_up();
    }
}

/// An error whose message is for the user.
fn failed(message: String) -> Error {
    Error {
        code: ErrorCode::ServerError(REQUEST_FAILED),
        message: message.into(),
        data: None,
    }
}

async fn complain(client: &Client, message: &str) {
    tracing::error!("{message}");
    client
        .show_message(MessageType::ERROR, format!("Infill: {message}"))
        .await;
}

#[async_trait]
impl LanguageServer for Backend {
    async fn initialize(&self, params: InitializeParams) -> Result<InitializeResult> {
        let folders = params.workspace_folders.unwrap_or_default();
        let root = folders
            .first()
            .map(|folder| &folder.uri)
            .or(params.root_uri.as_ref());
        if let Some(folder) = root.and_then(|url| url.to_file_path().ok()) {
            self.session.settle_in(&folder);
        }
        let paths = folders.iter().map(|folder| &folder.uri).chain(root);
        let paths = paths.filter_map(|url| url.to_file_path().ok());
        self.session.admission.work_in(paths.collect());
        let options = params.initialization_options.unwrap_or_default();
        if let Some(said) = options.get("infill") {
            self.set(said).await;
        }
        Ok(InitializeResult {
            capabilities: self.session.agreed().capabilities(),
            server_info: Some(ServerInfo {
                name: env!("CARGO_PKG_NAME").to_owned(),
                version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            }),
        })
    }

    async fn initialized(&self, _: InitializedParams) {
        let agreed = self.session.agreed();
        self.load();
        if let Some(registration) = agreed.registration() {
            tokio::spawn(register(self.client.clone(), registration));
        }
        if agreed.status {
            tokio::spawn(announce(Arc::clone(&self.session), self.client.clone()));
        }
        if let Some(client) = agreed.client {
            tokio::spawn(watchdog::watch(Arc::clone(&self.session), client));
        }
    }

    async fn did_change_configuration(&self, params: DidChangeConfigurationParams) {
        // Clients send this unasked; only what speaks of the model changes it.
        let Some(said) = params.settings.get("infill") else {
            return;
        };
        let before = self.session.settings();
        self.set(said).await;
        let now = self.session.settings();
        if (&now.choice, now.trusted) != (&before.choice, before.trusted) {
            self.load();
        }
    }

    async fn did_change_workspace_folders(&self, params: DidChangeWorkspaceFoldersParams) {
        let WorkspaceFoldersChangeEvent { added, removed } = params.event;
        let paths = |folders: Vec<WorkspaceFolder>| -> Vec<PathBuf> {
            let paths = folders.iter().map(|folder| folder.uri.to_file_path());
            paths.filter_map(std::result::Result::ok).collect()
        };
        self.session
            .admission
            .move_to(paths(added), &paths(removed));
        self.session.set(|_| ());
    }

    async fn did_change_watched_files(&self, params: DidChangeWatchedFilesParams) {
        let urls: Vec<&Url> = params.changes.iter().map(|change| &change.uri).collect();
        self.look_again(&urls);
    }

    async fn did_save(&self, params: DidSaveTextDocumentParams) {
        self.look_again(&[&params.text_document.uri]);
    }

    async fn execute_command(&self, params: ExecuteCommandParams) -> Result<Option<Value>> {
        let token = params.work_done_progress_params.work_done_token;
        let mut arguments = params.arguments;
        let first = arguments.first_mut().map(Value::take).unwrap_or_default();
        let needs = |what| Err(Error::invalid_params(format!("give one argument: {what}")));
        match (&*params.command, first) {
            (SELECT_MODEL, first @ (Value::String(_) | Value::Null)) => {
                self.set(&json!({ "model": first })).await;
                self.load();
                Ok(None)
            }
            (SELECT_MODEL, _) => needs("a model's name or path, or null for the built-in one"),
            (LIST_MODELS, _) => {
                let session = Arc::clone(&self.session);
                let listed = spawn_blocking(move || request::models::list(&session)).await;
                let listed = listed.map_err(|_| Error::internal_error())?;
                listed
                    .map(Some)
                    .map_err(|error| failed(format!("{error:#}")))
            }
            (PULL_MODEL, Value::String(name)) => self.pull(name, token).await.map(Some),
            (PULL_MODEL, _) => needs("a model's name"),
            (TASK, arguments @ Value::Object(_)) => self.task(arguments, token).await.map(Some),
            (TASK, _) => needs("an object"),
            (DID_ACCEPT, url) => {
                if let Some(url) = accepted(&[url]) {
                    self.session.usage.accepted(&url);
                }
                Ok(None)
            }
            (command, _) => Err(Error::invalid_params(format!(
                "there is no command {command}"
            ))),
        }
    }

    async fn shutdown(&self) -> Result<()> {
        Ok(())
    }
}

/// Tells the client how loading the model goes, and the user if it failed: nothing would ever be
/// shown then, and only the user can choose another file.
async fn report(loading: JoinHandle<Loaded>, session: Arc<Session>, client: Client) {
    // One token a load: two may be under way.
    static LOADS: AtomicUsize = AtomicUsize::new(0);
    let number = LOADS.fetch_add(1, Ordering::Relaxed);
    let token = NumberOrString::String(format!("infill/load/{number}"));
    let token = match session.agreed().progress {
        true => Progress::create(&client, token).await,
        false => None,
    };
    let progress = Progress::begin(&client, token, "loading the model".to_owned()).await;
    let loading = async {
        match loading.await {
            Ok(Ok(Some(rooms))) => Ok(format!("{} is ready", rooms.model.name)),
            Ok(Ok(None)) => Ok("the model is the same".to_owned()),
            Ok(Err(message)) => Err(message),
            Err(_) => Err("loading ended without a model".to_owned()),
        }
    };
    match progress.during(loading, || session.percent()).await {
        Ok(message) => tracing::info!("{message}"),
        Err(message) => complain(&client, &message).await,
    }
}

async fn register(client: Client, registration: Value) {
    let params: RegistrationParams =
        serde_json::from_value(registration).expect("the registration has the protocol's shape");
    if let Err(error) = client.send_request::<RegisterCapability>(params).await {
        tracing::warn!("the client did not register what it said it would: {error}");
    }
}
