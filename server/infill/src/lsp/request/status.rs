//! `infill/status`: how the server is, for editors' status lines and for tests.

use serde::Serialize;

use tower_lsp::lsp_types::Url;

use crate::lsp::session::{Model, Session};
use crate::lsp::usage::Counts;

/// How the server is.
#[derive(Debug, Serialize)]
pub struct Status {
    /// `loading`, `ready` or `failed`.
    pub state: &'static str,
    /// The model's name, once it is loaded.
    pub model: Option<String>,
    /// Why the model, or the one chosen instead of it, could not be loaded, or does not run where it was wanted.
    pub message: Option<String>,
    /// What the model runs on, once it is loaded.
    pub device: Option<String>,
    /// Whether another model is being loaded while this one answers.
    pub switching: bool,
    /// Hundredths of the model that are loaded, while one is.
    pub percent: Option<u32>,
    /// This server's version.
    pub version: &'static str,
    /// What the model can do with a selection.
    pub tasks: &'static [&'static str],
    /// What became of what was shown.
    pub usage: Counts,
    /// The document that was asked about.
    pub document: Option<Document>,
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

/// A document, as far as completing it goes.
#[derive(Debug, Serialize)]
pub struct Document {
    /// Its address.
    pub uri: Url,
    /// Whether it is completed.
    pub active: bool,
    /// Its language as the client calls it; none if it is not open.
    pub language: Option<String>,
    /// Why it is left alone.
    pub why: Option<String>,
    /// The other documents of which the model reads excerpts beside it.
    pub neighbours: Vec<Url>,
}

impl Document {
    fn new(session: &Session, uri: Url) -> Document {
        let language = session.admission.language(&uri);
        let why = match &language {
            None => Some("the document is not open".to_owned()),
            Some(_) => session.admission.off(&uri).map(|off| off.to_string()),
        };
        Document {
            active: why.is_none(),
            neighbours: session.neighbours(&uri),
            uri,
            language,
            why,
        }
    }
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

/// How the server is right now, and this document or the one in focus.
pub fn status(session: &Session, url: Option<Url>) -> Status {
    let mut status = Status {
        state: "loading",
        model: None,
        message: None,
        device: None,
        switching: false,
        percent: session.percent(),
        version: env!("CARGO_PKG_VERSION"),
        tasks: &[],
        usage: session.usage.counts(),
        document: url
            .or_else(|| session.focus())
            .map(|url| Document::new(session, url)),
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
            status.message = session.trouble();
            status.tasks = rooms.template.tasks();
            status.model = Some(rooms.model.name.clone());
            status.device = Some(rooms.engine.place());
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
