//! What the user of each document is doing: where the cursor is, how fast the keys come, and what is
//! prepared once they stop.
//!
//! Told of every edit and request as it arrives. When a document has been left alone for a moment, the
//! model reads the text around its cursor; when something is shown, what would follow its acceptance is
//! generated. A newer key ends both. Nothing of this happens where the settings say that nothing is
//! done unasked, or for a document that is left alone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use engine::Class;
use tokio::task::AbortHandle;
use tower_lsp::lsp_types::Url;

use crate::complete::{Ask, Shown, look_ahead, prepare};
use crate::lsp::session::{Model, Session};
use crate::trigger::Rhythm;

/// How long a document must be left alone before the text around its cursor is read.
const REST: Duration = Duration::from_millis(150);

/// All open documents.
#[derive(Default)]
pub struct Typing {
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
    /// A document was closed.
    pub fn close(&self, url: &Url) {
        self.lock().remove(url);
    }

    /// How long the rhythm of the typing has it to wait before the model is asked after a key in this document.
    pub fn delay(&self, url: &Url) -> Duration {
        let documents = self.lock();
        documents
            .get(url)
            .map(|hand| hand.rhythm.delay())
            .unwrap_or_default()
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
        single_line: session.settings().single_line,
        delay: Duration::ZERO,
    };
    tokio::spawn(prepare(rooms, Arc::clone(&session.documents), ask));
}

fn waiting(session: &Arc<Session>, url: &Url) -> Option<AbortHandle> {
    if !session.settings().automatic || !session.admission.admits(url) {
        return None;
    }
    let (session, url) = (Arc::clone(session), url.clone());
    let wait = tokio::spawn(async move {
        tokio::time::sleep(REST).await;
        read(&session, &url);
    });
    Some(wait.abort_handle())
}
