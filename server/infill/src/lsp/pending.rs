//! The completions under way, so that they can be ended: by the client, or by a newer request for
//! the same document.
//!
//! Ending one aborts its task at once, from inside the message that asked for it; dropping the task
//! cancels its job in the engine. What the client is then told is decided in `lsp::front`.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;
use tower_lsp::jsonrpc::Id;
use tower_lsp::lsp_types::Url;

/// Why a completion ended before its answer was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The client took the request back.
    Cancelled,
    /// A newer request for the same document came in.
    Superseded,
}

/// All completions under way, by request.
#[derive(Default)]
pub struct Pending {
    requests: Mutex<HashMap<Id, Running>>,
}

struct Running {
    document: Url,
    task: AbortHandle,
    ended: Option<Ended>,
}

impl Pending {
    /// Files a request, ending the older ones for the same document.
    pub fn begin(&self, id: Id, document: Url, task: AbortHandle) {
        let mut requests = self.lock();
        for running in requests
            .values_mut()
            .filter(|running| running.document == document)
        {
            running.end(Ended::Superseded);
        }
        requests.insert(
            id,
            Running {
                document,
                task,
                ended: None,
            },
        );
    }

    /// Ends a request because the client took it back. Returns false if it is not one of these.
    pub fn cancel(&self, id: &Id) -> bool {
        let mut requests = self.lock();
        let Some(running) = requests.get_mut(id) else {
            return false;
        };
        running.end(Ended::Cancelled);
        true
    }

    /// Ends the requests for a document, for instance because it was closed.
    pub fn supersede(&self, document: &Url) {
        let mut requests = self.lock();
        for running in requests
            .values_mut()
            .filter(|running| running.document == *document)
        {
            running.end(Ended::Superseded);
        }
    }

    /// Takes a request off the list and says why it was ended, if it was.
    pub fn finish(&self, id: &Id) -> Option<Ended> {
        self.lock().remove(id).and_then(|running| running.ended)
    }

    /// How many requests are under way.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether no request is under way.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Id, Running>> {
        // The map is whole between any two statements, so a panic elsewhere has not broken it.
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    /// The first reason counts: a client that takes back a superseded request is told nothing new.
    fn end(&mut self, why: Ended) {
        self.ended.get_or_insert(why);
        self.task.abort();
    }
}
