//! What became of what was shown: taken or not, and still there a while later.
//!
//! Told of every suggestion that is sent and of every edit. An edit that brings more of a suggestion at once than one
//! key can type took it, whatever the client says of it; clients that do say so are believed, too. Only counts are kept,
//! for the status; nothing of this leaves the machine or outlives the process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use text::{Bias, Edit, Snapshot};
use tower_lsp::lsp_types::Url;

use crate::lsp::session::Session;

/// What was taken counts as kept if it is still there after this time, or when its document is closed.
const KEPT_AFTER: Duration = Duration::from_secs(30);

/// The counts of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Suggestions that were shown.
    pub shown: u64,
    /// Suggestions of which something was taken.
    pub accepted: u64,
    /// Takings that were still there a while later.
    pub kept: u64,
    /// Characters that were taken.
    pub characters: u64,
}

/// What became of what was shown.
#[derive(Default)]
pub struct Usage {
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    counts: Counts,
    /// The client tells what is on the screen; what was only sent does not count then.
    client_tells: bool,
    documents: HashMap<Url, Document>,
    /// How many parts were taken.
    takings: u64,
}

#[derive(Default)]
struct Document {
    offer: Option<Offer>,
    takings: Vec<Taking>,
}

/// A suggestion that may be taken.
struct Offer {
    /// Where its text begins, in bytes.
    start: usize,
    text: String,
    /// Bytes of it that are in the document.
    there: usize,
    is_taken: bool,
}

/// A part of a suggestion that was taken.
struct Taking {
    number: u64,
    start: usize,
    text: String,
}

impl Usage {
    /// The counts so far.
    pub fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// A suggestion was sent: this text from this offset on, of which so many bytes are in the document already.
    pub fn offer(&self, url: &Url, start: usize, text: &str, there: usize) {
        let mut held = self.lock();
        let document = held.documents.entry(url.clone()).or_default();
        let before = document.offer.as_ref();
        // Typing along a suggestion asks for it again.
        let is_known = before.is_some_and(|offer| offer.start == start && offer.text == text);
        if !is_known {
            document.offer = Some(Offer {
                start,
                text: text.to_owned(),
                there,
                is_taken: false,
            });
            held.counts.shown += u64::from(!held.client_tells);
        }
    }

    /// The client says that a suggestion is on the screen.
    pub fn shown(&self) {
        let mut held = self.lock();
        if !held.client_tells {
            // Until now, what was sent was counted in its stead.
            held.client_tells = true;
            held.counts.shown = held.counts.shown.saturating_sub(1);
        }
        held.counts.shown += 1;
    }

    /// The client says that something of a document's suggestion was taken. Nothing new if its edit has told so.
    pub fn accepted(&self, url: &Url) {
        let mut held = self.lock();
        let document = held.documents.get_mut(url);
        let offer = document.and_then(|document| document.offer.as_mut());
        if let Some(offer) = offer.filter(|offer| !offer.is_taken) {
            offer.is_taken = true;
            held.counts.accepted += 1;
        }
    }

    /// The document was edited, and this is its text now. Gives the number of what was taken by that.
    pub fn edited(&self, url: &Url, edits: &[Edit], now: &Snapshot) -> Option<u64> {
        let mut held = self.lock();
        let Held {
            counts,
            documents,
            takings: number,
            ..
        } = &mut *held;
        let document = documents.get_mut(url)?;
        for edit in edits {
            for taking in &mut document.takings {
                taking.start = edit.map(taking.start, Bias::After);
            }
        }
        let cursor = edits.last().map(|edit| edit.range.start + edit.text.len());
        let offer = document.offer.as_mut()?;
        let there = cursor.and_then(|cursor| offer.there_at(cursor, now));
        let Some(there) = there else {
            document.offer = None;
            return None;
        };
        let new = offer.text.get(offer.there..there).unwrap_or_default();
        let (start, text) = (offer.start + offer.there, new.to_owned());
        offer.there = there;
        let characters = text.chars().count() as u64;
        // One key types one character, or a line end with the indentation behind it.
        if characters < 2 || text.trim().is_empty() {
            return None;
        }
        counts.characters += characters;
        counts.accepted += u64::from(!offer.is_taken);
        offer.is_taken = true;
        *number += 1;
        let number = *number;
        document.takings.push(Taking {
            number,
            start,
            text,
        });
        Some(number)
    }

    /// Counts something that was taken as kept if it is still there.
    fn settle(&self, url: &Url, number: u64, now: &Snapshot) {
        let mut held = self.lock();
        let Held {
            counts, documents, ..
        } = &mut *held;
        let Some(document) = documents.get_mut(url) else {
            return;
        };
        let takings = document
            .takings
            .extract_if(.., |taking| taking.number == number);
        let kept = takings.filter(|taking| taking.is_there(now)).count();
        counts.kept += kept as u64;
    }

    /// The document is about to be closed.
    pub fn close(&self, url: &Url, now: Option<&Snapshot>) {
        let mut held = self.lock();
        if let (Some(document), Some(now)) = (held.documents.remove(url), now) {
            let kept = document
                .takings
                .iter()
                .filter(|taking| taking.is_there(now));
            held.counts.kept += kept.count() as u64;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        // Counts are whole between any two statements.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Offer {
    /// Bytes of its text that are in the document if this is the cursor; none if what is there is something else.
    fn there_at(&self, cursor: usize, now: &Snapshot) -> Option<usize> {
        let there = cursor.checked_sub(self.start)?;
        let begun = self.text.get(..there)?;
        (now.slice(self.start..cursor) == begun).then_some(there)
    }
}

impl Taking {
    fn is_there(&self, now: &Snapshot) -> bool {
        let end = self.start + self.text.len();
        end <= now.len() && now.slice(self.start..end) == self.text
    }
}

/// The document was edited. What was taken by that is looked at again a while later.
pub fn edited(session: &Arc<Session>, url: &Url, edits: &[Edit]) {
    let Some(view) = session.documents.view(url) else {
        return;
    };
    let Some(number) = session.usage.edited(url, edits, &view.snapshot) else {
        return;
    };
    let (session, url) = (Arc::clone(session), url.clone());
    tokio::spawn(async move {
        tokio::time::sleep(KEPT_AFTER).await;
        if let Some(view) = session.documents.view(&url) {
            session.usage.settle(&url, number, &view.snapshot);
        }
    });
}

#[cfg(test)]
mod tests {
    use grammars::Language;

    use super::*;

    struct Editor {
        usage: Usage,
        url: Url,
        text: String,
    }

    impl Editor {
        fn with(text: &str) -> Editor {
            Editor {
                usage: Usage::default(),
                url: Url::parse("file:///a.py").unwrap(),
                text: text.to_owned(),
            }
        }

        fn now(&self) -> Snapshot {
            Snapshot::new(&self.text, Language::PLAIN)
        }

        fn edit(&mut self, range: std::ops::Range<usize>, text: &str) -> Option<u64> {
            self.text.replace_range(range.clone(), text);
            let edit = Edit {
                range,
                text: text.to_owned(),
            };
            self.usage.edited(&self.url, &[edit], &self.now())
        }

        fn counts(&self) -> (u64, u64, u64, u64) {
            let counts = self.usage.counts();
            (
                counts.shown,
                counts.accepted,
                counts.kept,
                counts.characters,
            )
        }
    }

    #[test]
    fn what_comes_at_once_was_taken_and_what_comes_key_by_key_was_typed() {
        let mut editor = Editor::with("x = 1\nret");
        editor.usage.offer(&editor.url, 6, "return x + 1", 3);
        for (at, key) in [(9, "u"), (10, "r"), (11, "n")] {
            assert_eq!(editor.edit(at..at, key), None);
            editor.usage.offer(&editor.url, 6, "return x + 1", at - 5);
        }
        assert_eq!(editor.counts(), (1, 0, 0, 0));
        let word = editor.edit(12..12, " x").unwrap();
        assert_eq!(editor.counts(), (1, 1, 0, 2));
        let rest = editor.edit(14..14, " + 1").unwrap();
        assert_eq!(editor.counts(), (1, 1, 0, 6));
        // The text moves, and the last of it is changed.
        assert_eq!(editor.edit(0..0, "import os\n"), None);
        assert_eq!(editor.edit(27..28, "2"), None);
        editor.usage.settle(&editor.url, word, &editor.now());
        editor.usage.settle(&editor.url, rest, &editor.now());
        assert_eq!(editor.counts(), (1, 1, 1, 6));
    }

    #[test]
    fn other_text_ends_an_offer() {
        let mut editor = Editor::with("");
        editor.usage.offer(&editor.url, 0, "return", 0);
        assert_eq!(editor.edit(0..0, "raise"), None);
        assert_eq!(editor.edit(0..5, "return"), None);
        assert_eq!(editor.counts(), (1, 0, 0, 0));
    }

    #[test]
    fn clients_that_tell_are_believed_and_nothing_counts_twice() {
        let mut editor = Editor::with("");
        editor.usage.offer(&editor.url, 0, "return", 0);
        editor.usage.shown();
        editor.usage.offer(&editor.url, 0, "return 1", 0);
        assert_eq!(
            editor.counts(),
            (1, 0, 0, 0),
            "sent, and never on the screen"
        );
        editor.usage.shown();
        editor.usage.accepted(&editor.url);
        editor.edit(0..0, "return 1").unwrap();
        editor.usage.accepted(&editor.url);
        assert_eq!(editor.counts(), (2, 1, 0, 8));
        editor.usage.close(&editor.url, Some(&editor.now()));
        assert_eq!(editor.counts(), (2, 1, 1, 8));
    }
}
