//! `infill/status`: how the server is, for editors' status lines and for tests.

use serde::Serialize;

use crate::lsp::session::{Model, Session};

/// How the server is.
#[derive(Debug, Serialize)]
pub struct Status {
    /// `loading`, `ready` or `failed`.
    pub state: &'static str,
    /// The model's name, once it is loaded.
    pub model: Option<String>,
    /// Why the model could not be loaded.
    pub message: Option<String>,
    /// Whether another model is being loaded while this one answers.
    pub switching: bool,
    /// Whether the engine has nothing to do.
    pub engine_idle: bool,
    /// How many documents are open.
    pub documents: usize,
    /// How many completions are under way.
    pub pending: usize,
    /// The stored answers.
    pub cache: Cache,
}

/// The stored answers.
#[derive(Debug, Default, Serialize)]
pub struct Cache {
    /// How many there are.
    pub entries: usize,
    /// What they take, in bytes.
    pub bytes: usize,
}

/// How the server is right now.
pub fn status(session: &Session) -> Status {
    let mut status = Status {
        state: "loading",
        model: None,
        message: None,
        switching: false,
        engine_idle: true,
        documents: session.documents.len(),
        pending: session.pending.len(),
        cache: Cache::default(),
    };
    match session.model() {
        Model::Loading => {}
        Model::Failed(message) => {
            status.state = "failed";
            status.message = Some(message);
        }
        Model::Ready(rooms) => {
            status.state = "ready";
            status.switching = session.switching();
            status.model = Some(rooms.model.name.clone());
            status.engine_idle = rooms.engine.idle();
            status.cache = Cache {
                entries: rooms.store.len(),
                bytes: rooms.store.bytes(),
            };
        }
    }
    status
}
