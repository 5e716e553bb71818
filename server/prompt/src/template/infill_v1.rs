//! Infill's own GLM, version 1.
//!
//! Part A is `[CLS]`, the language's tag line, the text with its masks, and `<|endoftext|>` if the
//! text reaches the end of the file. Part B follows, a piece a mask: `<|startofpiece|>`, the
//! answer, `<|endofpiece|>`.

use grammars::Language;
use vocab::Vocab;

use crate::Mask;

/// The name of this template, as models, shards and cache keys carry it. Any change of what the
/// functions here give is a new version.
pub const VERSION: &str = "infill_v1";

/// Part A with the places of its masks.
pub(crate) struct PartA {
    pub ids: Vec<u32>,
    pub masks: Vec<usize>,
}

/// Part A of the text `pieces[0] masks[0] pieces[1] masks[1] … pieces[n]`.
pub(crate) fn part_a(
    vocab: &Vocab,
    language: Language,
    pieces: &[&[u32]],
    masks: &[Mask],
    reaches_end: bool,
) -> PartA {
    debug_assert_eq!(
        pieces.len(),
        masks.len() + 1,
        "a mask between any two pieces"
    );
    let special = vocab.special().expect("a vocabulary of this template has its special tokens");
    let mut ids = head(vocab, language);
    let mut places = Vec::with_capacity(masks.len());
    for (index, piece) in pieces.iter().enumerate() {
        ids.extend_from_slice(piece);
        if let Some(mask) = masks.get(index) {
            places.push(ids.len());
            ids.push(match mask {
                Mask::Mask => special.mask,
                Mask::SMask => special.smask,
                Mask::GMask => special.gmask,
            });
        }
    }
    if reaches_end {
        ids.push(special.eos);
    }
    PartA { ids, masks: places }
}

/// Tokens of Part A that are not text: the head, one mask and `<|endoftext|>`.
pub(crate) fn overhead(vocab: &Vocab, language: Language) -> usize {
    head(vocab, language).len() + 2
}

/// What comes before the text.
fn head(vocab: &Vocab, language: Language) -> Vec<u32> {
    let mut ids = vec![vocab.special().expect("a vocabulary of this template has its special tokens").cls];
    if let Some(tag) = language.tag() {
        ids.extend(vocab.encode(&format!("{tag}\n")));
    }
    ids
}
