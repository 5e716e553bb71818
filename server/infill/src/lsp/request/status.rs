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
    /// What the engine has done since the model was loaded.
    pub engine: Engine,
    /// How many documents are open.
    pub documents: usize,
    /// How many completions are under way.
    pub pending: usize,
    /// The stored answers.
    pub cache: Cache,
}

/// What the engine has done, in tokens: for those who asked, and ahead of time.
#[derive(Debug, Default, Serialize)]
pub struct Engine {
    /// Read.
    pub prefilled: u64,
    /// Chosen in steps of the model.
    pub decoded: u64,
    /// Taken over from what was chosen before.
    pub replayed: u64,
    /// Read ahead.
    pub ahead_prefilled: u64,
    /// Chosen ahead.
    pub ahead_decoded: u64,
    /// Bytes of the KV caches that are kept.
    pub kept_bytes: u64,
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
        engine: Engine::default(),
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
            let counters = rooms.engine.counters();
            status.engine = Engine {
                prefilled: counters.interactive.prefilled,
                decoded: counters.interactive.decoded,
                replayed: counters.interactive.replayed,
                ahead_prefilled: counters.background.prefilled,
                ahead_decoded: counters.background.decoded,
                kept_bytes: counters.kept_bytes,
            };
            status.cache = Cache {
                entries: rooms.store.len(),
                bytes: rooms.store.bytes(),
            };
        }
    }
    status
}
