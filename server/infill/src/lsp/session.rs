//! What one connection to a client holds: the documents, the requests under way, what was agreed
//! on, and the model in its three states.
//!
//! Shared by [`front`](super::front), which must never wait, and
//! [`server`](super::server)'s handlers, which may.

use std::panic::catch_unwind;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{Notify, watch};
use tower_lsp::jsonrpc::{Error, ErrorCode};

use crate::complete::Why;
use crate::documents::Documents;
use crate::lsp::capabilities::Agreed;
use crate::lsp::pending::Pending;
use crate::rooms::Rooms;

/// How long a completion waits for a model that is still being loaded before it answers with
/// nothing. Loading the embedded model takes well under a second.
const MODEL_WAIT: Duration = Duration::from_secs(5);

/// The error code for a request before `initialize`, as the protocol has it.
const SERVER_NOT_INITIALIZED: i64 = -32002;

/// One connection to a client.
pub struct Session {
    /// What the client holds open.
    pub documents: Arc<Documents>,
    /// The completions under way.
    pub pending: Pending,
    path: Option<PathBuf>,
    model: watch::Sender<Model>,
    agreed: OnceLock<Agreed>,
    shut_down: AtomicBool,
    ended: Notify,
}

/// The model, as far as it has come.
#[derive(Clone)]
pub enum Model {
    /// Not there yet.
    Loading,
    /// Ready to answer.
    Ready(Arc<Rooms>),
    /// It will not come, and why.
    Failed(String),
}

impl Session {
    /// A session whose model will come from this GGUF file (or from the binary itself, if none is
    /// named) once [`Session::load`] is called.
    pub fn new(path: Option<PathBuf>) -> Session {
        Session {
            documents: Arc::default(),
            pending: Pending::default(),
            path,
            model: watch::Sender::new(Model::Loading),
            agreed: OnceLock::new(),
            shut_down: AtomicBool::new(false),
            ended: Notify::new(),
        }
    }

    /// Loads the model on the calling thread, which must be one that may be busy.
    pub fn load(&self) -> Model {
        let path = self.path.as_deref();
        let opened = catch_unwind(|| Rooms::open(path));
        let model = match opened {
            Ok(Ok(rooms)) => Model::Ready(Arc::new(rooms)),
            Ok(Err(error)) => Model::Failed(format!("{error:#}")),
            Err(_) => Model::Failed("loading the model failed; run with `--log error`".to_owned()),
        };
        self.model.send_replace(model.clone());
        model
    }

    /// The model, as far as it has come.
    pub fn model(&self) -> Model {
        self.model.borrow().clone()
    }

    /// The rooms of the loaded model, waiting for it a little if need be.
    ///
    /// # Errors
    /// [`Why::NotReady`] if the model is not there in time or will never be.
    pub async fn rooms(&self) -> Result<Arc<Rooms>, Why> {
        let mut model = self.model.subscribe();
        let come = model.wait_for(|model| !matches!(model, Model::Loading));
        match tokio::time::timeout(MODEL_WAIT, come).await {
            Ok(Ok(model)) => match &*model {
                Model::Ready(rooms) => Ok(Arc::clone(rooms)),
                Model::Loading | Model::Failed(_) => Err(Why::NotReady),
            },
            Ok(Err(_)) | Err(_) => Err(Why::NotReady),
        }
    }

    /// Takes down what `initialize` agrees on; the first one counts.
    pub fn agree(&self, params: &Value) -> Agreed {
        self.agreed
            .get_or_init(|| Agreed::from_params(params))
            .clone()
    }

    /// What was agreed on, or the protocol's defaults before that.
    pub fn agreed(&self) -> Agreed {
        self.agreed.get().cloned().unwrap_or_default()
    }

    /// The error for a request that comes before `initialize` or after `shutdown`.
    pub fn refusal(&self) -> Option<Error> {
        if self.was_shut_down() {
            Some(Error::invalid_request())
        } else if self.agreed.get().is_none() {
            let mut error = Error::new(ErrorCode::ServerError(SERVER_NOT_INITIALIZED));
            error.message = "the server is not initialized".into();
            Some(error)
        } else {
            None
        }
    }

    /// Notes that the client asked the server to shut down.
    pub fn shut_down(&self) {
        self.shut_down.store(true, Ordering::Release);
    }

    /// Whether the client asked the server to shut down: then its end is an orderly one.
    pub fn was_shut_down(&self) -> bool {
        self.shut_down.load(Ordering::Acquire)
    }

    /// Ends the session: the client said `exit`, or is gone.
    pub fn end(&self) {
        self.ended.notify_one();
    }

    /// Waits for [`Session::end`].
    pub async fn ended(&self) {
        self.ended.notified().await;
    }
}
