//! The open documents: one entry a URL.
//!
//! Edits come in, snapshots go out. A map guard lives for one closure and never across an await or
//! an inference, so a keystroke waits at most for another keystroke. What a document *is* belongs
//! to `text`; converting the protocol's positions belongs to `lsp::convert`. What of them may be shown beside one
//! another is [`neighbours`]'s.

pub mod neighbours;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use grammars::Language;
use prompt::Neighbour;
use text::{Document, ParsedTree, Snapshot};
use tower_lsp::lsp_types::Url;

/// The longest that the first parse of a document may take: a hundred times what it does take. There are texts, of some
/// thousand bytes, on which a grammar's parser loses itself and takes more and more memory.
const WARMING: Duration = Duration::from_millis(500);

/// All documents that an editor holds open.
#[derive(Default)]
pub struct Documents {
    open: DashMap<Url, Open>,
    opened: AtomicU64,
    edits: AtomicU64,
}

struct Open {
    document: Document,
    number: u64,
    /// Of all edits and openings, the last one of this document.
    edit: u64,
    is_lent: bool,
    /// Its excerpts, and its edit when they were cut.
    cut: Option<(u64, Arc<Neighbour>)>,
}

/// A document as it was at one moment.
#[derive(Clone)]
pub struct View {
    /// The text.
    pub snapshot: Snapshot,
    /// Which opening of which document this is: unique in the process, so that an answer for a
    /// document that was closed and opened again is never mistaken for one of the new.
    pub number: u64,
}

impl Documents {
    /// Takes a document in; a document of the same URL is replaced.
    pub fn open(&self, url: Url, text: &str, version: i32, language: Language) {
        let number = self.opened.fetch_add(1, Ordering::Relaxed);
        let open = Open {
            document: Document::new(text, version, language),
            number,
            edit: self.edits.fetch_add(1, Ordering::Relaxed),
            is_lent: false,
            cut: None,
        };
        self.open.insert(url, open);
    }

    /// Changes a document. Returns false if it is not open.
    pub fn change(&self, url: &Url, change: impl FnOnce(&mut Document)) -> bool {
        match self.open.get_mut(url) {
            Some(mut open) => {
                change(&mut open.document);
                open.edit = self.edits.fetch_add(1, Ordering::Relaxed);
                true
            }
            None => false,
        }
    }

    /// Forgets a document. Returns false if it was not open.
    pub fn close(&self, url: &Url) -> bool {
        self.open.remove(url).is_some()
    }

    /// The document as it is now.
    pub fn view(&self, url: &Url) -> Option<View> {
        let open = self.open.get(url)?;
        Some(View {
            snapshot: open.document.snapshot(),
            number: open.number,
        })
    }

    /// The text as it is now, if this is still the same opening of the document.
    pub fn newest(&self, url: &Url, number: u64) -> Option<Snapshot> {
        self.view(url)
            .filter(|view| view.number == number)
            .map(|view| view.snapshot)
    }

    /// Hands a finished tree back, so that the next snapshot starts from it.
    pub fn adopt(&self, url: &Url, number: u64, tree: ParsedTree) {
        if let Some(mut open) = self.open.get_mut(url).filter(|open| open.number == number) {
            open.document.adopt(tree);
        }
    }

    /// Parses a document, of a long one the beginning, so that later requests only need to parse again what was edited.
    /// For a thread that may be busy.
    pub fn warm(&self, url: &Url) {
        let Some(View { snapshot, number }) = self.view(url) else {
            return;
        };
        let began = Instant::now();
        snapshot.tree_near(0, &mut || began.elapsed() > WARMING);
        if let Some(tree) = snapshot.parsed() {
            self.adopt(url, number, tree);
        }
    }

    /// How many documents are open.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether no document is open.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}
