//! From a cursor in a snapshot to a GLM blank-infilling prompt.
//!
//! [`situate`] looks at the cursor and says which kind of blank it is, or why there is nothing to
//! fill; [`build`] lays the text around it out as token ids with GLM's two-dimensional positions.
//! [`example`] makes training examples with the same code, so that a model is trained on what it
//! will be asked. Reading files, running models and judging answers belong to other crates.

pub mod example;
mod opener;
mod sequence;
mod situation;
pub mod template;
mod window;

use std::ops::Range;

pub use situation::{Mask, Situation, Until, Why, situate};
use text::Snapshot;
use vocab::Vocab;

use sequence::Sequence;
use template::infill_v1;

/// How many tokens a prompt and its answer may take; their sum fits the model's context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Tokens of Part A: the text around the blank, the mask and the template's own tokens.
    pub part_a: usize,
    /// Tokens of Part B: `sop` and the answer.
    pub part_b: usize,
}

/// A prompt, ready for a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// Part A with its one mask token, then `sop`.
    pub ids: Vec<u32>,
    /// Row 0: the place in Part A (for Part B, the place of its mask). Row 1: 0 in Part A, then
    /// 1, 2, … in Part B.
    pub positions: [Vec<u32>; 2],
    /// Length of Part A in tokens.
    pub part_a: usize,
    /// Index of the mask token.
    pub mask_at: usize,
    /// The bytes of the snapshot that are in Part A.
    pub window: Range<usize>,
    /// The cursor, as a byte offset into the snapshot.
    pub offset: usize,
}

/// Lays out the text around the cursor for the situation it is in, by the template
/// [`infill_v1`].
///
/// Only lines near the cursor are read and encoded, so the cost follows the budget and not the
/// length of the text. A budget below the template's own few tokens gives a prompt without text
/// that is longer than the budget.
pub fn build(snapshot: &Snapshot, situation: &Situation, vocab: &Vocab, budget: Budget) -> Prompt {
    let language = snapshot.language();
    let room = budget
        .part_a
        .saturating_sub(infill_v1::overhead(vocab, language));
    let window = window::cut(snapshot, situation.offset, vocab, room);
    let reaches_end = window.range.end == snapshot.len();
    let pieces = [window.left.as_slice(), window.right.as_slice()];
    let part_a = infill_v1::part_a(vocab, language, &pieces, &[situation.mask], reaches_end);
    let mask_at = part_a.masks[0];
    let mut sequence = Sequence::new(part_a.ids);
    sequence.open(mask_at, &[], &vocab.special().expect("a vocabulary of this template has its special tokens"));
    Prompt {
        ids: sequence.ids,
        positions: sequence.positions,
        part_a: sequence.part_a,
        mask_at,
        window: window.range,
        offset: situation.offset,
    }
}
