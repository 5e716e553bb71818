//! What the user of each document is doing: where the cursor is, how fast the keys come, and what is
//! prepared once they stop.
//!
//! Told of every edit and request as it arrives. When a document has been left alone for a moment, the
//! model reads the text around its cursor; when something is shown, what would follow its acceptance is
//! generated. A newer key ends both. With [`Manners::automatic`] off, nothing of this happens.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use engine::Class;
use serde_json::Value;
use tokio::task::AbortHandle;
use tower_lsp::lsp_types::Url;

use crate::complete::{Ask, Shown, look_ahead, prepare};
use crate::lsp::session::{Model, Session};
use crate::trigger::Rhythm;

/// How long a document must be left alone before the text around its cursor is read.
const REST: Duration = Duration::from_millis(150);

/// The longest delay that settings may ask for.
const LONGEST_DELAY: Duration = Duration::from_secs(10);

/// How the server behaves while the user types, as the client's settings have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manners {
    /// Whether anything is done that the user has not asked for by hand.
    pub automatic: bool,
    /// How long to wait after a key; none is as the rhythm of the typing has it.
    pub delay: Option<Duration>,
}

impl Default for Manners {
    fn default() -> Manners {
        Manners {
            automatic: true,
            delay: None,
        }
    }
}

impl Manners {
    /// The keys of these settings.
    pub const KEYS: [&str; 2] = ["automatic", "delay"];

    /// Reads a client's `infill` settings; what they do not say is as by default.
    ///
    /// # Errors
    /// Which key has a value that it cannot have.
    pub fn from_settings(settings: &Value) -> Result<Manners, String> {
        let automatic = match settings.get("automatic") {
            None | Some(Value::Null) => true,
            Some(Value::Bool(automatic)) => *automatic,
            Some(other) => {
                return Err(format!(
                    "the setting infill.automatic must be true or false, not {other}"
                ));
            }
        };
        let delay = match settings.get("delay") {
            None | Some(Value::Null) => None,
            Some(other) => {
                let delay = other.as_u64().map(Duration::from_millis);
                Some(delay.filter(|&delay| delay <= LONGEST_DELAY).ok_or_else(|| {
                    format!(
                        "the setting infill.delay must be milliseconds from 0 to {}, not {other}",
                        LONGEST_DELAY.as_millis()
                    )
                })?)
            }
        };
        Ok(Manners { automatic, delay })
    }
}

/// All open documents.
#[derive(Default)]
pub struct Typing {
    manners: Mutex<Manners>,
    documents: Mutex<HashMap<Url, Hand>>,
}

/// The user's hand in one document.
#[derive(Default)]
struct Hand {
    cursor: usize,
    rhythm: Rhythm,
    /// Waits for the hand to rest.
    rest: Option<AbortHandle>,
    /// Generates what would follow.
    ahead: Option<AbortHandle>,
}

impl Hand {
    fn moves(&mut self, cursor: usize) {
        self.cursor = cursor;
        let tasks = [self.rest.take(), self.ahead.take()];
        tasks.iter().flatten().for_each(AbortHandle::abort);
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        self.moves(0);
    }
}

impl Typing {
    /// How to behave.
    pub fn manners(&self) -> Manners {
        *self.manners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes down how to behave.
    pub fn behave(&self, manners: Manners) {
        *self.manners.lock().unwrap_or_else(PoisonError::into_inner) = manners;
    }

    /// A document was closed.
    pub fn close(&self, url: &Url) {
        self.lock().remove(url);
    }

    /// How long to wait before the model is asked after a key in this document.
    pub fn delay(&self, url: &Url) -> Duration {
        let rhythm = || self.lock().get(url).map(|hand| hand.rhythm.delay());
        self.manners().delay.or_else(rhythm).unwrap_or_default()
    }

    /// The model took so long for an answer in this document.
    pub fn answered(&self, url: &Url, time: Duration) {
        if let Some(hand) = self.lock().get_mut(url) {
            hand.rhythm.answered(time);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Url, Hand>> {
        // The map is whole between any two statements, so a panic elsewhere has not broken it.
        self.documents
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The document was opened or edited, and the cursor is here now. Runs inside the message.
pub fn edited(session: &Arc<Session>, url: &Url, cursor: usize) {
    let mut documents = session.typing.lock();
    let hand = documents.entry(url.clone()).or_default();
    hand.rhythm.key(Instant::now());
    hand.moves(cursor);
    hand.rest = waiting(session, url);
}

/// A completion was asked for at this cursor. Runs inside the message.
pub fn asked(session: &Arc<Session>, url: &Url, cursor: usize) {
    let mut documents = session.typing.lock();
    let hand = documents.entry(url.clone()).or_default();
    hand.moves(cursor);
    hand.rest = waiting(session, url);
}

/// Something was shown at this question; goes on as if it had been accepted.
pub fn shown(session: &Arc<Session>, ask: Ask, shown: Shown) {
    let Model::Ready(rooms) = session.model() else {
        return;
    };
    let url = ask.url.clone();
    let mut documents = session.typing.lock();
    let Some(hand) = documents.get_mut(&url) else {
        return;
    };
    let known = Arc::clone(&session.documents);
    let task = tokio::spawn(async move { look_ahead(rooms, known, ask, &shown).await });
    if let Some(older) = hand.ahead.replace(task.abort_handle()) {
        older.abort();
    }
}

/// Reads the full window around the document's cursor, if that is worth it. Not ended by a newer key:
/// what is read serves that as well.
pub fn read(session: &Arc<Session>, url: &Url) {
    let Model::Ready(rooms) = session.model() else {
        return;
    };
    let Some(view) = session.documents.view(url) else {
        return;
    };
    let Some(offset) = session.typing.lock().get(url).map(|hand| hand.cursor) else {
        return;
    };
    let ask = Ask {
        url: url.clone(),
        view,
        offset,
        class: Class::Ahead,
        hypothetical: false,
        delay: Duration::ZERO,
    };
    tokio::spawn(prepare(rooms, Arc::clone(&session.documents), ask));
}

fn waiting(session: &Arc<Session>, url: &Url) -> Option<AbortHandle> {
    if !session.typing.manners().automatic {
        return None;
    }
    let (session, url) = (Arc::clone(session), url.clone());
    let wait = tokio::spawn(async move {
        tokio::time::sleep(REST).await;
        read(&session, &url);
    });
    Some(wait.abort_handle())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn manners_are_read_or_refused_by_key() {
        let read = |settings| Manners::from_settings(&settings);
        assert_eq!(read(json!({})), Ok(Manners::default()));
        assert_eq!(
            read(json!({ "automatic": false, "delay": 120 })),
            Ok(Manners {
                automatic: false,
                delay: Some(Duration::from_millis(120)),
            })
        );
        for (settings, key) in [
            (json!({ "automatic": "no" }), "infill.automatic"),
            (json!({ "delay": -1 }), "infill.delay"),
            (json!({ "delay": "fast" }), "infill.delay"),
            (json!({ "delay": 99_999 }), "infill.delay"),
        ] {
            let error = read(settings).unwrap_err();
            assert!(error.contains(key), "{error}");
        }
    }
}
