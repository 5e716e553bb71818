//! The memory of a pass: what it computes in, and the logits or the tokens that come out.
//!
//! Taken once a thread that runs a model and given to each of its passes; grows to the largest of them.

use crate::{
    Choice, Draw, Logits, choose, gpu,
    layer::{Heads, Inner, Latents, Products, Routing, Span},
    positions::Turns,
};
use std::ops::Range;

/// The buffers of one pass at a time. A pass that runs inside another's `between` needs one of its own.
#[derive(Debug, Default)]
pub struct Workspace {
    vocabulary: usize,
    /// For each part of the last pass, how many rows of logits it and those before it have.
    ends: Vec<usize>,
    pub(crate) logits: Vec<f32>,
    /// How a token is chosen from each row of logits, where one is.
    pub(crate) draws: Vec<Option<Draw>>,
    /// What a GPU chose from each row, if it did.
    pub(crate) choices: Vec<Option<Choice>>,
    pub(crate) spans: Vec<Span>,
    pub(crate) turns: Turns,
    pub(crate) states: States,
    pub(crate) rooms: Rooms,
    /// The same on each GPU.
    pub(crate) gpus: Vec<gpu::Rooms>,
    /// What was recorded of passes on each GPU.
    pub(crate) steps: Vec<gpu::Steps>,
    /// What the last layer's queries come from, where that is learned.
    pub(crate) asking: Vec<f32>,
}

/// Hidden states, a row a token.
#[derive(Debug, Default)]
pub(crate) struct States {
    pub(crate) x: Vec<f32>,
    pub(crate) normed: Vec<f32>,
    /// What a half of a layer gives.
    pub(crate) out: Vec<f32>,
}

/// What the layers compute in.
#[derive(Debug, Default)]
pub(crate) struct Rooms {
    pub(crate) products: Products,
    pub(crate) heads: Heads,
    pub(crate) latents: Latents,
    pub(crate) inner: Inner,
    pub(crate) routing: Routing,
}

/// Room for `count` numbers, whatever they are, in a buffer that grows but never shrinks.
pub(crate) fn room(buffer: &mut Vec<f32>, count: usize) -> &mut [f32] {
    if buffer.len() < count {
        buffer.resize(count, 0.0);
    }
    &mut buffer[..count]
}

impl Workspace {
    pub(crate) fn new(vocabulary: usize) -> Workspace {
        Workspace {
            vocabulary,
            ..Workspace::default()
        }
    }

    /// The logits of one part of the last pass, by its place among the parts; no rows if it wanted tokens.
    ///
    /// # Panics
    /// If the last pass had no such part, or did not come to its end.
    pub fn logits(&self, part: usize) -> Logits<'_> {
        let rows = self.rows(part);
        let rows = match self.draws.get(rows.start) {
            Some(Some(_)) => 0..0,
            _ => rows,
        };
        Logits {
            rows: rows.len(),
            vocab: self.vocabulary,
            values: &self.logits[rows.start * self.vocabulary..rows.end * self.vocabulary],
        }
    }

    /// The token chosen from a row of one part of the last pass, which wanted [`crate::Want::Choices`]; none if none of
    /// the row's logits is a number, which only a broken model gives.
    ///
    /// # Panics
    /// If the last pass had no such part, did not come to its end, or was not asked to choose from such a row.
    pub fn choice(&self, part: usize, row: usize) -> Option<Choice> {
        let rows = self.rows(part);
        let place = rows.start + row;
        assert!(place < rows.end, "row {row} of {}", rows.len());
        match self.choices.get(place) {
            Some(choice) => *choice,
            None => {
                let draw = self.draws[place];
                // The caller's affair, as the comment above says.
                let draw = draw.expect("a part that wanted tokens");
                let first = place * self.vocabulary;
                choose(&self.logits[first..][..self.vocabulary], None, draw)
            }
        }
    }

    /// The rows of logits of one part.
    fn rows(&self, part: usize) -> Range<usize> {
        let first = if part == 0 { 0 } else { self.ends[part - 1] };
        first..self.ends[part]
    }

    /// Forgets the last pass's logits and tokens.
    pub(crate) fn clear(&mut self) {
        self.ends.clear();
        self.draws.clear();
        self.choices.clear();
        self.spans.clear();
        self.turns.clear();
    }

    /// Room for the logits of all rows that are kept.
    pub(crate) fn logits_mut(&mut self, rows: usize) -> (&mut [f32], &mut States, &mut Products) {
        let logits = room(&mut self.logits, rows * self.vocabulary);
        (logits, &mut self.states, &mut self.rooms.products)
    }

    /// Counts the parts' logits, so that they can be asked for.
    pub(crate) fn close(&mut self) {
        let mut end = 0;
        self.ends.extend(self.spans.iter().map(|span| {
            end += span.kept;
            end
        }));
    }
}
