//! `infill.listModels` and `infill.pullModel`: the store, from an editor.
//!
//! A pull touches the network, so it is only ever done because the user asked for a model by its name.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use crate::lsp::session::{Model, Session};
use crate::models::hub::Hub;
use crate::models::names::{self, KNOWN, Place};
use crate::models::pull::{self, Watch};
use crate::models::store::Store;

/// The models in the store and those that could be pulled.
///
/// # Errors
/// If the store cannot be read, with what to do.
pub fn list(session: &Session) -> anyhow::Result<Value> {
    let store = Store::of_user()?;
    let models = store.list()?.into_iter().map(|record| {
        json!({
            "name": record.name,
            "bytes": record.bytes(),
            "licence": record.licence,
            "path": store.folder(&record.name),
        })
    });
    let models: Vec<Value> = models.collect();
    let known = KNOWN.iter().filter_map(|known| match known.place {
        Place::Hub(repository) => Some(json!({
            "name": known.name,
            "repository": repository,
            "licence": names::licence_note(repository),
        })),
        Place::Elsewhere(_) => None,
    });
    let current = match session.model() {
        Model::Ready(rooms) => Some(rooms.model.name.clone()),
        Model::Loading | Model::Failed(_) => None,
    };
    Ok(json!({
        "current": current,
        "chosen": session.settings().choice.model,
        "models": models,
        "known": known.collect::<Vec<_>>(),
    }))
}

/// How far a pull has come, in bytes. Dropped by whoever waits for it, it ends.
#[derive(Default)]
pub struct Pulling {
    come: AtomicU64,
    all: AtomicU64,
    given_up: AtomicBool,
}

impl Pulling {
    /// Hundredths of it that have come.
    pub fn percent(&self) -> u32 {
        let all = self.all.load(Ordering::Relaxed);
        let come = self.come.load(Ordering::Relaxed).min(all);
        come.saturating_mul(100).checked_div(all).unwrap_or(0) as u32
    }

    /// Ends it with the next bytes that come.
    pub fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }
}

impl Watch for Pulling {
    fn has(&self, come: u64, all: u64) -> bool {
        self.come.store(come, Ordering::Relaxed);
        self.all.store(all, Ordering::Relaxed);
        !self.given_up.load(Ordering::Relaxed)
    }
}

/// Pulls a model; what has come stays when it is given up, and the next pull goes on from there.
///
/// # Errors
/// As [`pull::pull`].
pub async fn pull(name: String, watch: Arc<Pulling>) -> anyhow::Result<Value> {
    let pulled = spawn_blocking(move || {
        let store = Store::of_user()?;
        let endpoint = std::env::var("INFILL_ENDPOINT").ok();
        let hub = Hub::of_user(endpoint.as_deref())?;
        pull::pull(&store, &hub, &name, pull::NEWEST, &*watch)
    });
    let record = pulled.await??;
    Ok(json!({
        "name": record.name,
        "repository": record.repository,
        "licence": record.licence,
        "bytes": record.bytes(),
    }))
}
