//! What the model said at a cursor, and how sure it was.
//!
//! Takes the engine's answer, which may begin with what was typed since the question; gives what counts behind that.

use vocab::Vocab;

/// What the model said.
pub(super) struct Said {
    /// Its answer behind what was typed.
    pub(super) text: String,
    /// How likely it finds the first line of that, 0 to 1.
    pub(super) score: f32,
    /// Its tokens up to the first that says more than what was typed: where another answer may begin to differ.
    pub(super) way: Vec<u32>,
}

/// The probability that the model gives to the first line of its answer behind `typed` bytes, empty lines before it and
/// its end included.
pub(super) fn sureness(vocab: &Vocab, answer: &engine::Answer, typed: usize) -> f32 {
    let mut text: Vec<u8> = Vec::new();
    let mut sum = 0.0;
    for (place, logprob) in answer.logprobs.iter().enumerate() {
        // Of the token that says the last of what was typed, its beginning was no choice.
        let was_typed = text.len() < typed;
        // A stop token has no id in the answer and ends the line.
        let bytes = answer.ids.get(place).map_or(&[][..], |&id| vocab.bytes(id));
        text.extend_from_slice(bytes);
        let said = text.get(typed..).unwrap_or_default();
        if was_typed && said.is_empty() {
            continue;
        }
        sum += logprob;
        if said
            .trim_ascii_start()
            .iter()
            .any(|byte| matches!(byte, b'\n' | b'\r'))
        {
            break;
        }
    }
    sum.exp()
}

/// The tokens up to the first that goes beyond so many bytes.
pub(super) fn way(vocab: &Vocab, ids: &[u32], typed: usize) -> Vec<u32> {
    let mut bytes = 0;
    let within = ids.iter().take_while(|&&id| {
        bytes += vocab.bytes(id).len();
        bytes <= typed
    });
    let within = within.count();
    ids[..ids.len().min(within + 1)].to_vec()
}
