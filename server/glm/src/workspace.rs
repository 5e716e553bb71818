//! The memory of a pass: what it computes in, and the logits that come out.
//!
//! Taken once a thread that runs a model and given to each of its passes; grows to the largest of them.

use crate::Logits;

/// The buffers of one pass at a time. A pass that runs inside another's `between` needs one of its own.
#[derive(Debug, Default)]
pub struct Workspace {
    vocabulary: usize,
    /// For each part of the last pass, how many rows of logits it and those before it have.
    ends: Vec<usize>,
    logits: Vec<f32>,
}

impl Workspace {
    pub(crate) fn new(vocabulary: usize) -> Workspace {
        Workspace {
            vocabulary,
            ..Workspace::default()
        }
    }

    /// The logits of one part of the last pass, by its place among the parts.
    ///
    /// # Panics
    /// If the last pass had no such part, or did not come to its end.
    pub fn logits(&self, part: usize) -> Logits<'_> {
        let end = self.ends[part];
        let first = if part == 0 { 0 } else { self.ends[part - 1] };
        Logits {
            rows: end - first,
            vocab: self.vocabulary,
            values: &self.logits[first * self.vocabulary..end * self.vocabulary],
        }
    }

    pub(crate) fn clear(&mut self) {
        self.ends.clear();
        self.logits.clear();
    }

    pub(crate) fn extend(&mut self, logits: &[f32]) {
        self.logits.extend_from_slice(logits);
    }

    pub(crate) fn close(&mut self, rows: usize) {
        let first = self.ends.last().copied().unwrap_or(0);
        self.ends.push(first + rows);
    }
}
