//! What the model said at a cursor, how sure it was, and where it might have said something else.
//!
//! Takes the engine's answer, which may begin with what was typed since the question; gives what counts behind that.

use engine::Answer;
use vocab::Vocab;

/// What the model said.
pub(super) struct Said {
    /// Its answer behind what was typed.
    pub(super) text: String,
    /// How likely it finds the first line of that, 0 to 1.
    pub(super) score: f32,
    /// The tokens of its answer, those of what was typed included.
    pub(super) ids: Vec<u32>,
    /// Its tokens up to the first that says more than what was typed: where another answer may begin to differ.
    pub(super) way: Vec<u32>,
    /// Where another first line may begin: other ways than those that this answer avoided.
    pub(super) branches: Vec<Branch>,
}

/// Where another answer leaves one that was heard.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Branch {
    /// No answer there has a first line that is likelier.
    pub(super) bound: f32,
    /// What the model must not say to go there: each ends with a token that must not follow those before it.
    pub(super) avoid: Vec<Vec<u32>>,
}

/// The probability that the model gives to the first line of its answer behind `typed` bytes, empty lines before it and
/// its end included; and the branches on the way. `avoided` is what it must not say; one of `stops` may end it.
pub(super) fn first_line(
    vocab: &Vocab,
    answer: &Answer,
    typed: usize,
    avoided: &[Vec<u32>],
    stops: &[u32],
) -> (f32, Vec<Branch>) {
    let mut text: Vec<u8> = Vec::new();
    let mut sum = 0.0;
    let mut branches = Vec::new();
    for (place, (logprob, runner_up)) in answer.logprobs.iter().zip(&answer.runners_up).enumerate()
    {
        // Of the token that says the last of what was typed, its beginning was no choice.
        let was_typed = text.len() < typed;
        // A stop token has no id in the answer and ends the line.
        let chosen = answer.ids.get(place);
        text.extend_from_slice(chosen.map_or(&[], |&id| vocab.bytes(id)));
        let said = text.get(typed..).unwrap_or_default();
        if was_typed && said.is_empty() {
            continue;
        }
        let bound = f32::exp(sum + runner_up);
        if bound > 0.0 {
            let taken = chosen.map_or(stops, std::slice::from_ref);
            let taken = taken
                .iter()
                .map(|&id| [&answer.ids[..place], &[id]].concat());
            let avoid = avoided.iter().cloned().chain(taken).collect();
            branches.push(Branch { bound, avoid });
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
    (sum.exp(), branches)
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
