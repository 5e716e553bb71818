//! The handlers that tower-lsp routes to: the life of the connection, and `infill/status`.
//!
//! Nothing here computes. What must be in order is done before, in [`front`](super::front); the
//! model is loaded on a thread of its own, with progress for clients that show it.

use std::sync::Arc;

use serde_json::Value;
use tokio::task::{JoinHandle, spawn_blocking};
use tower_lsp::jsonrpc::Result;
use tower_lsp::lsp_types::notification::Progress;
use tower_lsp::lsp_types::request::{RegisterCapability, WorkDoneProgressCreate};
use tower_lsp::lsp_types::{
    DidChangeConfigurationParams, InitializeParams, InitializeResult, InitializedParams,
    MessageType, NumberOrString, ProgressParams, ProgressParamsValue, RegistrationParams,
    ServerInfo, WorkDoneProgress, WorkDoneProgressBegin, WorkDoneProgressCreateParams,
    WorkDoneProgressEnd,
};
use tower_lsp::{Client, LanguageServer, async_trait};

use crate::lsp::request::status::{self, Status};
use crate::lsp::session::{Model, Session};
use crate::lsp::watchdog;

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

#[async_trait]
impl LanguageServer for Backend {
    async fn initialize(&self, _: InitializeParams) -> Result<InitializeResult> {
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
        let session = Arc::clone(&self.session);
        let loading = spawn_blocking(move || session.load());
        tokio::spawn(report(loading, self.client.clone(), agreed.progress));
        if let Some(registration) = agreed.registration() {
            tokio::spawn(register(self.client.clone(), registration));
        }
        if let Some(client) = agreed.client {
            tokio::spawn(watchdog::watch(Arc::clone(&self.session), client));
        }
    }

    /// There are no settings yet, but clients send this unasked.
    async fn did_change_configuration(&self, _: DidChangeConfigurationParams) {}

    async fn shutdown(&self) -> Result<()> {
        Ok(())
    }
}

/// Tells the client how loading the model goes, and the user if it failed: nothing would ever be
/// shown then, and only the user can choose another file.
async fn report(loading: JoinHandle<Model>, client: Client, shows_progress: bool) {
    let token = NumberOrString::String("infill/load".to_owned());
    let created = WorkDoneProgressCreateParams {
        token: token.clone(),
    };
    let progress = shows_progress
        && client
            .send_request::<WorkDoneProgressCreate>(created)
            .await
            .is_ok();
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
        Ok(Model::Ready(rooms)) => Ok(format!("{} is ready", rooms.model.name)),
        Ok(Model::Failed(message)) => Err(message),
        Ok(Model::Loading) | Err(_) => Err("loading ended without a model".to_owned()),
    };
    match &message {
        Ok(message) => tracing::info!("{message}"),
        Err(message) => {
            tracing::error!("{message}");
            client
                .show_message(MessageType::ERROR, format!("Infill: {message}"))
                .await;
        }
    }
    let message = Some(message.unwrap_or_else(|_| "no model".to_owned()));
    tell(WorkDoneProgress::End(WorkDoneProgressEnd { message })).await;
}

async fn register(client: Client, registration: Value) {
    let params: RegistrationParams =
        serde_json::from_value(registration).expect("the registration has the protocol's shape");
    if let Err(error) = client.send_request::<RegisterCapability>(params).await {
        tracing::warn!("the client did not register inline completion: {error}");
    }
}
