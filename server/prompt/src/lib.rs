//! From a cursor in a snapshot to a prompt, by the template of the model at hand.
//!
//! [`situate`] looks at the cursor and says which kind of blank it is, or why there is nothing to
//! fill; [`build`] lays the text around it out as token ids with positions, the way the model's
//! [`Template`] wants it. [`Anchor`] is such a prompt that stays while the user types on. [`chat`] and
//! [`task`] do the same for conversations and for requests about a piece of code, [`Translation`] for code that is to
//! be carried into another language, whose [`Request`] may also go to a model elsewhere. [`example`] makes training examples with the same code, so that a model is
//! trained on what it will be asked. Reading files, running models and judging answers belong to
//! other crates.

mod anchor;
mod boundary;
mod chat;
mod error;
pub mod example;
mod gate;
mod neighbours;
mod opener;
mod request;
mod sequence;
mod situation;
mod task;
mod template;
mod tokens;
mod translation;
mod window;

use std::ops::Range;

pub use anchor::{Anchor, Asked, HEAD_BYTES};
pub use chat::{Message, Role, chat};
pub use error::Error;
pub use gate::{Excluded, Gate};
pub use neighbours::{Here, Neighbour, choose};
pub use request::Request;
pub use sequence::{Advance, Input};
pub use situation::{Mask, Situation, Until, Why, situate};
pub use task::{Kind, Task, task};
pub use template::{Facts, Template};
use text::Snapshot;
pub use translation::{Attempt, Translation, VERSION as TRANSLATION_VERSION};
use vocab::Vocab;

use template::Blank;
use tokens::Tokens;
use window::Kept;

/// How many tokens a prompt and its answer may take; their sum fits the model's context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Tokens of the question: the text around the blank and the template's own tokens.
    pub part_a: usize,
    /// Tokens of the answer, with the `sop` that opens it in the templates that have one.
    pub part_b: usize,
}

/// What lies around the text.
#[derive(Debug, Clone, Copy, Default)]
pub struct Around<'a> {
    /// The file's path in its workspace, or its name alone; may be empty.
    pub path: &'a str,
    /// Other files worth knowing, the best first. Templates without a place for them leave them out.
    pub references: &'a [Reference<'a>],
}

/// An excerpt of another file.
#[derive(Debug, Clone, Copy)]
pub struct Reference<'a> {
    /// Its path, as the model is to be told it.
    pub path: &'a str,
    /// The excerpt.
    pub text: &'a str,
}

/// A prompt for a blank, ready for a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// The question, then what opens the answer.
    pub ids: Vec<u32>,
    /// Two positions an id, as in [`Input`].
    pub positions: [Vec<u32>; 2],
    /// How many ids at the start see one another; 0 if each sees only those before it.
    pub part_a: usize,
    /// Index of the mask token, in templates that have one.
    pub mask_at: Option<usize>,
    /// How positions go on in the answer.
    pub advance: Advance,
    /// Tokens that end the answer.
    pub stops: Vec<u32>,
    /// The bytes of the snapshot that are shown.
    pub window: Range<usize>,
    /// The cursor, as a byte offset into the snapshot.
    pub offset: usize,
}

impl Prompt {
    /// Adds the beginning of the answer.
    pub(crate) fn extend(&mut self, ids: &[u32]) {
        let last = self.positions.each_ref().map(|row| row.last().copied());
        // A prompt without a token has its first at 0.
        let (last, from) = match last {
            [Some(row_0), Some(row_1)] => ([row_0, row_1], 1),
            _ => ([0, 0], 0),
        };
        for (count, &id) in (from..).zip(ids) {
            let places = self.advance.after(last, count);
            self.ids.push(id);
            for (row, place) in self.positions.iter_mut().zip(places) {
                row.push(place);
            }
        }
    }
}

/// Lays out the text around the cursor for the situation it is in.
///
/// Only lines near the cursor are read and encoded, so the cost follows the budget and not the
/// length of the text. References may take the part of the question's budget that the template has for them; those that do
/// not fit are left out. A budget below the template's own few tokens gives a prompt without text that is longer
/// than the budget.
///
/// # Errors
/// If the template does not fill in blanks, or the vocabulary lacks a token that it needs.
pub fn build(
    snapshot: &Snapshot,
    situation: &Situation,
    vocab: &Vocab,
    template: Template,
    around: &Around,
    budget: Budget,
) -> Result<Prompt, Why> {
    let blank = situation.offset..situation.offset;
    lay_out(
        snapshot, situation, &blank, vocab, template, around, budget, None,
    )
}

/// [`build`] for an answer that begins before the cursor: what stands there whose tokens are not settled, such as half of a
/// word, is not shown, and the answer has to begin with it.
///
/// # Errors
/// As [`build`].
pub fn build_open(
    snapshot: &Snapshot,
    situation: &Situation,
    vocab: &Vocab,
    template: Template,
    around: &Around,
    budget: Budget,
) -> Result<Asked, Why> {
    let line = snapshot.slice(situation.line_left.clone());
    let hole = situation.line_left.start + boundary::settled(vocab, &line)..situation.offset;
    let prompt = lay_out(
        snapshot, situation, &hole, vocab, template, around, budget, None,
    )?;
    Ok(Asked {
        prompt,
        head: 0,
        open: snapshot.slice(hole),
    })
}

/// [`build`] for a blank that takes the place of the bytes of `hole`, which are not shown. The window
/// is the one to `keep`, if it still fits; one that is cut in its stead leaves some room, so that it can
/// be kept in its turn while the text grows.
#[expect(
    clippy::too_many_arguments,
    reason = "what a prompt is made of, each from another owner"
)]
pub(crate) fn lay_out(
    snapshot: &Snapshot,
    situation: &Situation,
    hole: &Range<usize>,
    vocab: &Vocab,
    template: Template,
    around: &Around,
    budget: Budget,
    keep: Option<Kept>,
) -> Result<Prompt, Why> {
    let sides = template.sides(situation.mask)?;
    let mut blank = Blank {
        tokens: Tokens { vocab, template },
        language: snapshot.language(),
        situation,
        around: Around {
            references: &[],
            ..*around
        },
        left: &[],
        right: &[],
        reaches_end: true,
    };
    let kept = fitting(&blank, around, template.references(budget.part_a))?;
    blank.around.references = &kept;
    let taken = template.blank(&blank)?.question();
    let room = budget.part_a.saturating_sub(taken);
    let window = match keep {
        None => window::cut(snapshot, hole, vocab, room, sides),
        Some(kept) => window::keep(snapshot, hole, vocab, room, &kept)
            .unwrap_or_else(|| window::cut(snapshot, hole, vocab, room - room / 8, sides)),
    };
    blank.left = &window.left;
    blank.right = &window.right;
    blank.reaches_end = window.range.end == snapshot.len();
    let input = template.blank(&blank)?;
    Ok(Prompt {
        ids: input.ids,
        positions: input.positions,
        part_a: input.part_a,
        mask_at: input.mask_at,
        advance: input.advance,
        stops: input.stops,
        window: window.range,
        offset: hole.start,
    })
}

/// Those of the references that together, and with what a blank without text takes anyway, are at most `most` tokens.
fn fitting<'a>(
    blank: &Blank<'a>,
    around: &Around<'a>,
    most: usize,
) -> Result<Vec<Reference<'a>>, Why> {
    let mut kept: Vec<Reference> = Vec::new();
    for reference in around.references.iter().filter(|_| most > 0) {
        kept.push(*reference);
        let references = &kept;
        let with = Blank {
            around: Around {
                references,
                ..*around
            },
            ..*blank
        };
        if blank.tokens.template.blank(&with)?.question() > most {
            kept.pop();
        }
    }
    Ok(kept)
}
