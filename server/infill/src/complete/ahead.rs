//! What is done while nobody waits, so that the next answer is there at once.
//!
//! [`prepare`] lets the model read the full window around a cursor that has come to rest; [`look_ahead`]
//! lets it go on behind a suggestion as if that had been accepted. Both give way to anything that a
//! user waits for, and leave nothing behind but what the engine and the store of answers keep.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use engine::{Class, Ended, Flow, Job, Sampling, Watch};
use text::{Edit, Snapshot};
use vocab::Vocab;

use super::anchors::{Extent, Standing};
use super::{Ask, Shown, Trip, advance, complete};
use crate::documents::Documents;
use crate::rooms::Rooms;

/// Tokens typed since the anchor beyond which it is worth anchoring anew.
const LONG_HEAD: usize = 24;

/// Bytes of text on each side of the window in which the model's words are looked up as well.
const LOOKED_UP: usize = 24 << 10;

/// Watches a job that generates nothing.
struct Nothing;

impl Watch for Nothing {
    fn token(&mut self, _: u32) -> Flow {
        Flow::Enough
    }
}

/// Reads the full window around the cursor, unless what was read before still serves. `ask` is of
/// class [`Class::Ahead`].
pub async fn prepare(rooms: Arc<Rooms>, documents: Arc<Documents>, ask: Ask) {
    let trip = Trip::new(rooms, documents, ask);
    if let Ok(Some(standing)) = trip.on_pool(|trip| Ok(trip.wanting())).await {
        trip.read(standing).await;
    }
}

/// Generates what would follow if what is shown were accepted, so that it is stored when it is.
pub async fn look_ahead(rooms: Arc<Rooms>, documents: Arc<Documents>, ask: Ask, shown: &Shown) {
    let edit = Edit {
        range: shown.item.range.clone(),
        text: shown.item.text.clone(),
    };
    let mut ask = ask;
    ask.offset = edit.range.start + edit.text.len();
    ask.view.snapshot = shown.snapshot.edited(&edit);
    ask.hypothetical = true;
    ask.class = Class::Ahead;
    ask.delay = Duration::ZERO;
    complete(rooms, documents, ask).await;
}

impl Trip {
    /// The full window to read; none if the cursor wants no completion or stands well already.
    fn wanting(&self) -> Option<Standing> {
        let situation = self.situate().ok()?;
        let view = &self.ask.view;
        let Rooms { anchors, vocab, .. } = &*self.rooms;
        let full = anchors
            .standing(view, situation.offset, vocab)
            .filter(|standing| standing.placed.extent == Extent::Full)
            .filter(|standing| standing.placed.is_beside(self.beside().key));
        let mut full: Vec<Standing> = full.collect();
        full.sort_by_key(|standing| standing.asked.head);
        let stands_well = |standing: &Standing| {
            let typed = view.snapshot.slice(standing.head.clone());
            standing.asked.head <= LONG_HEAD && !typed.contains('\n')
        };
        if let Some(standing) = full.iter().position(stands_well) {
            let standing = full.swap_remove(standing);
            return (!standing.placed.is_read()).then_some(standing);
        }
        let placed = self.anchor(&situation, Extent::Full).ok()?;
        anchors.add(view.number, &placed);
        let window = &placed.anchor.prompt().window;
        anchors.look_up_in(view.number, || surroundings(vocab, &view.snapshot, window));
        Standing::at(&placed, &view.snapshot, situation.offset, vocab)
    }

    /// Lets the model read a question without answering it.
    async fn read(&self, standing: Standing) {
        let (document, placed) = (self.ask.view.number, &standing.placed);
        let anchors = &self.rooms.anchors;
        if placed.is_being_read() {
            return;
        }
        let question = placed.anchor.prompt();
        let job = Job {
            ids: question.ids.clone(),
            positions: question.positions.clone(),
            advance: advance(question.advance),
            part_a: question.part_a,
            mask_at: question.mask_at,
            class: Class::Ahead,
            stops: Vec::new(),
            max_tokens: 0,
            sampling: Sampling::GREEDY,
            document,
            drafts: Vec::new(),
            recall: None,
        };
        let (cancel, answer) = self.submit(job, Box::new(Nothing));
        anchors.begin_reading(document, placed, cancel);
        let answer = answer.await;
        let is_read = answer.is_ok_and(|answer| answer.ended == Ended::Length);
        anchors.end_reading(document, placed, is_read);
    }
}

/// The text of the file on both sides of a window, encoded.
pub fn surroundings(vocab: &Vocab, snapshot: &Snapshot, window: &Range<usize>) -> Vec<Arc<[u32]>> {
    let sides = [
        window.start.saturating_sub(LOOKED_UP)..window.start,
        window.end..window.end + LOOKED_UP,
    ];
    let texts = sides.map(|side| snapshot.slice(side));
    let full = texts.iter().filter(|text| !text.is_empty());
    full.map(|text| vocab.encode(text).into()).collect()
}
