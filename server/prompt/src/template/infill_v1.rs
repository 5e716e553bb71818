//! Infill's own GLM, version 1.
//!
//! Part A is `[CLS]`, the language's tag line, the text with its masks, and `<|endoftext|>` if the
//! text reaches the end of the file. Part B follows, a piece a mask: `<|startofpiece|>`, the
//! answer, `<|endofpiece|>`.

use grammars::Language;
use vocab::{Special, Vocab};

use super::Blank;
use crate::sequence::Input;
use crate::tokens::Tokens;
use crate::{Error, Mask};

/// The name of this template, as models, shards and cache keys carry it. Any change of what the
/// functions here give is a new version.
pub(crate) const VERSION: &str = "infill_v1";

/// Part A with the places of its masks.
pub(crate) struct PartA {
    pub ids: Vec<u32>,
    pub masks: Vec<usize>,
}

/// A blank with the text around it. The answer ends at `<|endofpiece|>`, or with the file.
pub(crate) fn blank(blank: &Blank) -> Result<Input, Error> {
    let tokens = blank.tokens;
    let special = special(tokens)?;
    let part_a = part_a(
        tokens.vocab,
        &special,
        blank.language,
        &[blank.left, blank.right],
        &[blank.situation.mask],
        blank.reaches_end,
    );
    let mask_at = part_a.masks[0];
    let stops = vec![special.eop, special.eos];
    Ok(Input::blank(part_a.ids, mask_at, special.sop, stops))
}

/// The tokens that a prompt and its answer are made of.
pub(crate) fn special(tokens: Tokens) -> Result<Special, Error> {
    Ok(Special {
        mask: tokens.id(&["[MASK]"])?,
        smask: tokens.id(&["[sMASK]"])?,
        gmask: tokens.id(&["[gMASK]"])?,
        sop: tokens.id(&["<|startofpiece|>"])?,
        eop: tokens.id(&["<|endofpiece|>"])?,
        cls: tokens.id(&["[CLS]"])?,
        eos: tokens.id(&["<|endoftext|>"])?,
    })
}

/// Part A of the text `pieces[0] masks[0] pieces[1] masks[1] … pieces[n]`.
pub(crate) fn part_a(
    vocab: &Vocab,
    special: &Special,
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
    let mut ids = head(vocab, special, language);
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
pub(crate) fn overhead(vocab: &Vocab, special: &Special, language: Language) -> usize {
    head(vocab, special, language).len() + 2
}

/// What comes before the text.
fn head(vocab: &Vocab, special: &Special, language: Language) -> Vec<u32> {
    let mut ids = vec![special.cls];
    if let Some(tag) = language.tag() {
        ids.extend(vocab.encode(&format!("{tag}\n")));
    }
    ids
}
