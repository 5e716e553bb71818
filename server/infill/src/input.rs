//! What a model reads when nobody's cursor stands anywhere: a text to go on with, as it is or as a blank at its end.
//!
//! `infill generate` and `infill serve` lay out by this, so that a text means the same to both.

use engine::{Class, Job, Sampling};
use grammars::Language;
use prompt::{Around, Budget, Input, Prompt, Template, Why};
use text::Snapshot;
use vocab::Vocab;

use crate::complete::advance;

/// Tokens that end a text given as it is, by the spellings of all families.
const ENDS: [&str; 6] = [
    "<|endoftext|>",
    "<|endofpiece|>",
    "<eop>",
    "</s>",
    "<|user|>",
    "<|observation|>",
];

/// Those of a vocabulary that end a text given as it is.
pub fn ends(vocab: &Vocab) -> Vec<u32> {
    ENDS.iter().filter_map(|end| vocab.id(end)).collect()
}

/// A text as it is, read from its start to its end.
pub fn as_it_is(text: &str, vocab: &Vocab) -> Input {
    let ids = vocab.encode_start(text);
    // No model has a context that a `u32` could not count.
    let places = (0..ids.len() as u32).collect();
    Input {
        positions: [places, vec![0; ids.len()]],
        ids,
        part_a: 0,
        mask_at: None,
        advance: prompt::Advance::Place,
        stops: ends(vocab),
    }
}

/// A text with a blank at its end. What does not fit the budget is left out at its start.
///
/// # Errors
/// If the template does not fill in blanks.
pub fn blank_at_end(
    text: &str,
    vocab: &Vocab,
    template: Template,
    budget: Budget,
) -> Result<Prompt, Why> {
    let snapshot = Snapshot::new(text, Language::PLAIN);
    let situation = prompt::situate(&snapshot, None, text.len())?;
    let around = Around::default();
    prompt::build(&snapshot, &situation, vocab, template, &around, budget)
}

/// The input of a prompt.
pub fn of(prompt: Prompt) -> Input {
    Input {
        ids: prompt.ids,
        positions: prompt.positions,
        part_a: prompt.part_a,
        mask_at: prompt.mask_at,
        advance: prompt.advance,
        stops: prompt.stops,
    }
}

/// A job that goes on from an input, for no document of an editor.
pub fn job(input: Input, class: Class, max_tokens: usize, sampling: Sampling) -> Job {
    Job {
        ids: input.ids,
        positions: input.positions,
        advance: advance(input.advance),
        part_a: input.part_a,
        mask_at: input.mask_at,
        class,
        stops: input.stops,
        max_tokens,
        sampling,
        document: 0,
        drafts: Vec::new(),
        recall: None,
    }
}
