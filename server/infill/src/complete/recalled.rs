//! What a document and those beside it say elsewhere, for the engine to mix in: the text around a blank, and lines like the
//! one at hand.

use std::ops::Range;
use std::sync::Arc;

use engine::{Line, Recall};
use prompt::Until;

use super::Trip;
use super::alike::alike;
use super::anchors::Standing;

/// Bytes of text on each side of the cursor that are looked at.
const REACH: usize = 32 << 10;

impl Trip {
    /// The tokens of the text on both sides of a blank, if they are to be mixed in. Before it come those of other documents.
    pub(super) fn sides(&self, hole: &Range<usize>) -> Option<[Arc<[u32]>; 2]> {
        self.rooms.recall.as_ref()?;
        let view = &self.ask.view;
        let anchors = &self.rooms.anchors;
        Some(anchors.encode(view.number, self.around(hole), &self.rooms.vocab))
    }

    /// What is mixed into the answer to a question; `begun` is what its prompt has of the answer.
    pub(super) fn recall(
        &self,
        standing: &Standing,
        begun: &[u32],
        until: Until,
    ) -> Option<Recall> {
        let recalling = self.rooms.recall.as_ref()?;
        let asked = &standing.asked;
        let sides = standing.placed.sides.clone()?;
        let recall = recalling.beside(sides, begun, until, &asked.prompt.stops);
        let Some(weights) = &recalling.lines else {
            return Some(recall);
        };
        let offset = self.ask.offset;
        let [before, after] = self.around(&(offset..offset));
        let lines = alike(&before, &after, asked.open.len(), weights)
            .into_iter()
            .map(|line| {
                // The answer begins with the end of what was typed.
                let text = format!("{}{}", asked.open, line.rest);
                Line {
                    ids: self.rooms.vocab.encode(&text),
                    weight: line.weight,
                }
            });
        Some(recall.copying(lines.collect(), weights.followed))
    }

    fn around(&self, hole: &Range<usize>) -> [String; 2] {
        let text = &self.ask.view.snapshot;
        let before = text.slice(hole.start.saturating_sub(REACH)..hole.start);
        [
            self.beside().looked_up.clone() + &before,
            text.slice(hole.end..hole.end + REACH),
        ]
    }
}
