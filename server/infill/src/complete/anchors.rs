//! The questions that the open documents stand at, so that a keystroke finds its own.
//!
//! Each document has a few anchored prompts, newest first: small windows that answer at once after a
//! jump, and full ones that are read behind them. Which of them a keystroke goes on with is chosen
//! here; reading them ahead of time is [`ahead`](super::ahead)'s. Nothing here runs a model: the KV
//! caches are the engine's, and one that it has dropped is only a slower answer.

use std::collections::VecDeque;
use std::mem;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dashmap::DashMap;
use engine::{Cancel, Line};
use prompt::{Anchor, Asked};
use text::Snapshot;
use tokio::sync::watch;
use vocab::Vocab;

use super::context::Beside;
use super::encoded::Lines;
use crate::documents::View;

/// Anchors kept for a document: a small and a full window for the place where the user types and for
/// those where the user was before.
const KEPT: usize = 6;

/// Tokens typed since the anchor beyond which a keystroke does not go on with it: the model has
/// long since seen other text than what is there.
const LONGEST_HEAD: usize = 128;

/// How much of the text an anchor shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// What is next to the cursor.
    Near,
    /// As much as the model may see.
    Full,
}

/// An anchor of a document.
#[derive(Debug)]
pub struct Placed {
    /// The question.
    pub anchor: Anchor,
    /// How much it shows.
    pub extent: Extent,
    /// The key of the excerpts of other documents that it is asked with.
    beside: u64,
    /// The text on both sides of the blank, if the model is to be told what it says.
    pub sides: Option<[Arc<[u32]>; 2]>,
    /// What the model wrote in the blank last.
    written: Mutex<Arc<[u32]>>,
    stage: watch::Sender<Stage>,
}

/// How far the model has come with a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Unread,
    Reading,
    Read,
}

impl Placed {
    /// An anchor that the model has not read.
    pub fn new(
        anchor: Anchor,
        extent: Extent,
        beside: u64,
        sides: Option<[Arc<[u32]>; 2]>,
    ) -> Arc<Placed> {
        Arc::new(Placed {
            anchor,
            extent,
            beside,
            sides,
            written: Mutex::default(),
            stage: watch::Sender::new(Stage::Unread),
        })
    }

    /// Whether it is asked with these excerpts.
    pub fn is_beside(&self, beside: u64) -> bool {
        self.beside == beside
    }

    /// Notes what the model wrote in the blank.
    pub fn set_written(&self, ids: Arc<[u32]>) {
        *self.written() = ids;
    }

    fn written(&self) -> MutexGuard<'_, Arc<[u32]>> {
        // A whole value is put there at once, so that a panic cannot leave half of one.
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the model has read it.
    pub fn set_read(&self) {
        self.stage.send_replace(Stage::Read);
    }

    /// Whether the model has read it.
    pub fn is_read(&self) -> bool {
        *self.stage.borrow() == Stage::Read
    }

    /// Whether the model is reading it ahead of time.
    pub fn is_being_read(&self) -> bool {
        *self.stage.borrow() == Stage::Reading
    }

    /// Waits while the model is reading it.
    pub async fn being_read(&self) {
        let mut stage = self.stage.subscribe();
        // The sender lives in `self`, so waiting ends with a stage and not with an error.
        let _ = stage.wait_for(|&stage| stage != Stage::Reading).await;
    }
}

/// An anchor that fits a cursor, with what was typed since.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The anchor.
    pub placed: Arc<Placed>,
    /// The bytes that were typed since.
    pub head: Range<usize>,
    /// The question to ask.
    pub asked: Asked,
    /// The lines that are most like the one at the cursor, for recall.
    pub alike: Arc<[Line]>,
}

impl Standing {
    /// The anchor as it stands in this text; none if it is not about this cursor.
    pub fn at(
        placed: &Arc<Placed>,
        snapshot: &Snapshot,
        cursor: usize,
        vocab: &Vocab,
    ) -> Option<Standing> {
        let head = placed.anchor.fits(snapshot, cursor)?;
        let written = Arc::clone(&placed.written());
        let typed = snapshot.slice(head.clone());
        let asked = placed.anchor.ask(vocab, &typed, &written);
        Some(Standing {
            placed: Arc::clone(placed),
            head,
            asked,
            alike: Arc::default(),
        })
    }

    /// Whether the model need not read much before it answers.
    pub fn answers_at_once(&self) -> bool {
        self.placed.is_read() || self.placed.extent == Extent::Near
    }

    /// Better ones are greater: a full window that is read, then a small one, then a full one that is
    /// not read; among equals the one that was anchored last.
    fn merit(&self) -> (u8, usize) {
        let rank = match (self.placed.extent, self.placed.is_read()) {
            (Extent::Full, true) => 2,
            (Extent::Near, _) => 1,
            (Extent::Full, false) => 0,
        };
        (rank, usize::MAX - self.head.len())
    }
}

/// The anchors of all open documents, by [`View::number`].
#[derive(Default)]
pub struct Anchors {
    documents: DashMap<u64, Place>,
}

/// What is known of a document.
#[derive(Default)]
struct Place {
    /// Newest first.
    placed: VecDeque<Arc<Placed>>,
    /// Text of the file outside of the window.
    surroundings: Vec<Arc<[u32]>>,
    /// The lines around its blanks as tokens.
    lines: Lines,
    /// The excerpts of other documents that were chosen last.
    beside: Option<Arc<Beside>>,
    /// What was shown last.
    shown: Option<Arc<[u32]>>,
    /// What the model is reading ahead of time.
    reading: Option<Reading>,
}

/// A question that the model is reading; given up when this is dropped.
struct Reading {
    placed: Arc<Placed>,
    cancel: Cancel,
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

impl Anchors {
    /// Adds an anchor; the oldest gives way.
    pub fn add(&self, document: u64, placed: &Arc<Placed>) {
        let kept = &mut self.documents.entry(document).or_default().placed;
        kept.push_front(Arc::clone(placed));
        kept.truncate(KEPT);
    }

    /// Notes that the model reads a question; another one of the document is given up.
    pub fn begin_reading(&self, document: u64, placed: &Arc<Placed>, cancel: Cancel) {
        placed.stage.send_replace(Stage::Reading);
        let placed = Arc::clone(placed);
        let reading = Reading { placed, cancel };
        self.documents.entry(document).or_default().reading = Some(reading);
    }

    /// Notes that the model has read a question, or will not.
    pub fn end_reading(&self, document: u64, placed: &Arc<Placed>, is_read: bool) {
        let stage = if is_read { Stage::Read } else { Stage::Unread };
        placed.stage.send_replace(stage);
        if let Some(mut place) = self.documents.get_mut(&document) {
            place
                .reading
                .take_if(|reading| Arc::ptr_eq(&reading.placed, placed));
        }
    }

    /// The text on both sides of a blank as tokens.
    pub fn encode(&self, document: u64, sides: [String; 2], vocab: &Vocab) -> [Arc<[u32]>; 2] {
        // Taken out, so that no guard of the map is held meanwhile.
        let place = self.documents.get_mut(&document);
        let mut lines = place.map_or_else(Lines::default, |mut place| mem::take(&mut place.lines));
        let encoded = lines.encode(sides, vocab);
        self.documents.entry(document).or_default().lines = lines;
        encoded
    }

    /// The excerpts of other documents that were chosen last.
    pub fn beside(&self, document: u64) -> Option<Arc<Beside>> {
        self.documents.get(&document)?.beside.clone()
    }

    /// Notes which excerpts were chosen.
    pub fn set_beside(&self, document: u64, beside: &Arc<Beside>) {
        self.documents.entry(document).or_default().beside = Some(Arc::clone(beside));
    }

    /// Notes what was shown. If it is not accepted, parts of it may still be what the user wants.
    pub fn show(&self, document: u64, ids: Vec<u32>) {
        self.documents.entry(document).or_default().shown = Some(ids.into());
    }

    /// Sets the text in which continuations are looked up beside the question's own.
    pub fn look_up_in(&self, document: u64, surroundings: impl FnOnce() -> Vec<Arc<[u32]>>) {
        // Made before the map is touched: it takes a while.
        let surroundings = surroundings();
        self.documents.entry(document).or_default().surroundings = surroundings;
    }

    /// Token runs in which a continuation may be found: what was shown last, and the file's text.
    pub fn drafts(&self, document: u64) -> Vec<Arc<[u32]>> {
        let place = self.documents.get(&document);
        place.map_or_else(Vec::new, |place| {
            place
                .shown
                .iter()
                .chain(&place.surroundings)
                .cloned()
                .collect()
        })
    }

    /// The best anchor for a keystroke at this cursor, beside these excerpts.
    pub fn find(&self, view: &View, cursor: usize, beside: u64, vocab: &Vocab) -> Option<Standing> {
        self.standing(view, cursor, vocab)
            .filter(|standing| standing.asked.head <= LONGEST_HEAD)
            .filter(|standing| standing.placed.is_beside(beside))
            .max_by_key(Standing::merit)
    }

    /// All anchors that are about this cursor, newest first.
    pub fn standing(
        &self,
        view: &View,
        cursor: usize,
        vocab: &Vocab,
    ) -> impl Iterator<Item = Standing> {
        // Cloned, so that no guard of the map is held while texts are compared.
        let kept = self
            .documents
            .get(&view.number)
            .map(|place| place.placed.clone());
        let kept = kept.unwrap_or_default().into_iter();
        kept.filter_map(move |placed| Standing::at(&placed, &view.snapshot, cursor, vocab))
    }

    /// The full window that was anchored last.
    pub fn newest(&self, document: u64) -> Option<Arc<Placed>> {
        let place = self.documents.get(&document)?;
        let mut placed = place.placed.iter();
        placed.find(|placed| placed.extent == Extent::Full).cloned()
    }

    /// Forgets a document.
    pub fn close(&self, document: u64) {
        self.documents.remove(&document);
    }
}
