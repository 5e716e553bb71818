//! What a document and those beside it say elsewhere, for the engine to mix in: the text around a blank, and lines like the
//! one at hand.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

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
        Some(match &recalling.lines {
            Some(weights) => recall.copying(standing.alike.to_vec(), weights.followed),
            None => recall,
        })
    }

    /// The lines that are most like the one at the cursor, as an answer that begins with `open` would go on like them.
    pub(super) fn alike(&self, open: &str) -> Arc<[Line]> {
        let weights = self.rooms.recall.as_ref();
        let Some(weights) = weights.and_then(|recalling| recalling.lines.as_ref()) else {
            return Arc::default();
        };
        let started = Instant::now();
        let offset = self.ask.offset;
        let [before, after] = self.around(&(offset..offset));
        let lines = alike(&before, &after, open.len(), weights)
            .into_iter()
            .map(|line| Line {
                ids: self.rooms.vocab.encode(&format!("{open}{}", line.rest)),
                weight: line.weight,
            });
        let lines = lines.collect();
        self.took("alike", started);
        lines
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
