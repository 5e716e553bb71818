//! The handlers that tower-lsp routes to: the life of the connection, and `infill/status`.
//!
//! Nothing here computes. What must be in order is done before, in [`front`](super::front); the
//! model is loaded on a thread of its own, with progress for clients that show it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;
use tower_lsp::jsonrpc::{Error, Result};
use tower_lsp::lsp_types::notification::Progress;
use tower_lsp::lsp_types::request::{RegisterCapability, WorkDoneProgressCreate};
use tower_lsp::lsp_types::{
    DidChangeConfigurationParams, DidChangeWatchedFilesParams, DidSaveTextDocumentParams,
    ExecuteCommandParams, FileEvent, InitializeParams, InitializeResult, InitializedParams,
    MessageType, NumberOrString, ProgressParams, ProgressParamsValue, RegistrationParams,
    ServerInfo, Url, WorkDoneProgress, WorkDoneProgressBegin, WorkDoneProgressCreateParams,
    WorkDoneProgressEnd,
};
use tower_lsp::{Client, LanguageServer, async_trait};

use crate::lsp::capabilities::SELECT_MODEL;
use crate::lsp::request::status::{self, Status};
use crate::lsp::session::Session;
use crate::lsp::typing::Manners;
use crate::lsp::watchdog;
use crate::models::settings::{self, Choice};
use crate::rooms::Rooms;

/// How long a client may take to make room for a load's progress; past it the load goes on unshown.
const CREATE_WAIT: Duration = Duration::from_secs(5);

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

    /// `infill/status`.
    ///
    /// # Errors
    /// Never; the type is what tower-lsp takes for a request.
    pub async fn status(&self) -> Result<Status> {
        Ok(status::status(&self.session))
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
        tokio::spawn(report(
            loading,
            self.client.clone(),
            self.session.agreed().progress,
        ));
    }

    /// Acts on settings of what is done while the user types.
    async fn behave(&self, settings: &Value) {
        if Manners::KEYS.iter().all(|key| settings.get(key).is_none()) {
            return;
        }
        match Manners::from_settings(settings) {
            Ok(manners) => self.session.typing.behave(manners),
            Err(message) => complain(&self.client, &message).await,
        }
    }

    /// Acts on settings that the client sent.
    async fn choose(&self, settings: &Value) {
        match chosen(settings) {
            Ok(choice) => {
                self.session.choose(choice);
                self.load();
            }
            Err(message) => complain(&self.client, &message).await,
        }
    }
}

/// The choice in a client's `infill` settings; keys that are not about the model are others'.
fn chosen(settings: &Value) -> std::result::Result<Choice, String> {
    let text = |key| match settings.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(other) => Err(format!(
            "the setting infill.{key} must be a text, not {other}"
        )),
    };
    let count = |key| match settings.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(other) => match other.as_u64().and_then(|count| usize::try_from(count).ok()) {
            Some(count) if count > 0 => Ok(Some(count)),
            _ => Err(format!(
                "the setting infill.{key} must be a number from 1, not {other}"
            )),
        },
    };
    let quant = text("quant")?.map(|name| name.parse()).transpose()?;
    Ok(Choice {
        model: text("model")?,
        quant,
        template: text("template")?,
        threads: count("threads")?,
        window: count("window")?,
    })
}

fn is_settings(url: &Url) -> bool {
    url.path().rsplit('/').next() == Some(settings::NAME)
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
        let options = params.initialization_options.unwrap_or_default();
        if let Some(settings) = options.get("infill") {
            self.behave(settings).await;
            match chosen(settings) {
                Ok(choice) => self.session.choose(choice),
                Err(message) => complain(&self.client, &message).await,
            }
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
        if let Some(client) = agreed.client {
            tokio::spawn(watchdog::watch(Arc::clone(&self.session), client));
        }
    }

    async fn did_change_configuration(&self, params: DidChangeConfigurationParams) {
        // Clients send this unasked; only what speaks of the model changes it.
        let Some(settings) = params.settings.get("infill") else {
            return;
        };
        self.behave(settings).await;
        if Choice::KEYS.iter().any(|key| settings.get(key).is_some()) {
            self.choose(settings).await;
        }
    }

    async fn did_change_watched_files(&self, params: DidChangeWatchedFilesParams) {
        let is_ours = |change: &FileEvent| is_settings(&change.uri);
        if params.changes.iter().any(is_ours) {
            self.load();
        }
    }

    async fn did_save(&self, params: DidSaveTextDocumentParams) {
        if is_settings(&params.text_document.uri) {
            self.load();
        }
    }

    async fn execute_command(&self, params: ExecuteCommandParams) -> Result<Option<Value>> {
        if params.command != SELECT_MODEL {
            return Err(Error::invalid_params(format!(
                "there is no command {}",
                params.command
            )));
        }
        let [Value::String(model)] = &params.arguments[..] else {
            return Err(Error::invalid_params(
                "give one argument: a model's name or path",
            ));
        };
        self.session.choose(Choice {
            model: Some(model.clone()),
            ..Choice::default()
        });
        self.load();
        Ok(None)
    }

    async fn shutdown(&self) -> Result<()> {
        Ok(())
    }
}

/// Tells the client how loading the model goes, and the user if it failed: nothing would ever be
/// shown then, and only the user can choose another file.
async fn report(loading: JoinHandle<Loaded>, client: Client, shows_progress: bool) {
    // One token a load: two may be under way.
    static LOADS: AtomicUsize = AtomicUsize::new(0);
    let number = LOADS.fetch_add(1, Ordering::Relaxed);
    let token = NumberOrString::String(format!("infill/load/{number}"));
    let created = WorkDoneProgressCreateParams {
        token: token.clone(),
    };
    // A client that never answers must not keep a failure from its user.
    let created = timeout(
        CREATE_WAIT,
        client.send_request::<WorkDoneProgressCreate>(created),
    );
    let progress = shows_progress && matches!(created.await, Ok(Ok(())));
    let tell = async |step| {
        if progress {
            let value = ProgressParamsValue::WorkDone(step);
            client
                .send_notification::<Progress>(ProgressParams {
                    token: token.clone(),
                    value,
                })
                .await;
        }
    };
    tell(WorkDoneProgress::Begin(WorkDoneProgressBegin {
        title: "Infill".to_owned(),
        message: Some("loading the model".to_owned()),
        ..WorkDoneProgressBegin::default()
    }))
    .await;
    let message = match loading.await {
        Ok(Ok(Some(rooms))) => Ok(format!("{} is ready", rooms.model.name)),
        Ok(Ok(None)) => Ok("the model is the same".to_owned()),
        Ok(Err(message)) => Err(message),
        Err(_) => Err("loading ended without a model".to_owned()),
    };
    match &message {
        Ok(message) => tracing::info!("{message}"),
        Err(message) => complain(&client, message).await,
    }
    let message = Some(message.unwrap_or_else(|_| "the model could not be loaded".to_owned()));
    tell(WorkDoneProgress::End(WorkDoneProgressEnd { message })).await;
}

async fn register(client: Client, registration: Value) {
    let params: RegistrationParams =
        serde_json::from_value(registration).expect("the registration has the protocol's shape");
    if let Err(error) = client.send_request::<RegisterCapability>(params).await {
        tracing::warn!("the client did not register what it said it would: {error}");
    }
}
