//! GLM of 2021 and 2022: blank infilling as its authors ask for it.
//!
//! Part A is `[CLS]`, the text with its mask, and `<|endoftext|>` unless the text ends with
//! `[gMASK]`; then `<|startofpiece|>` opens the answer, which ends at `<|endofpiece|>`. Masks say
//! what is missing: `[MASK]` a few words, `[sMASK]` sentences, `[gMASK]` a long rest. Models that
//! were trained on short spans alone have only `[MASK]` in their vocabulary, and get it.
//!
//! Source: `data_utils`, `generate_samples.py` and `generation_utils.py` of THUDM/GLM.

use super::Blank;
use crate::sequence::Input;
use crate::{Error, Mask};

pub(crate) fn blank(blank: &Blank) -> Result<Input, Error> {
    let tokens = blank.tokens;
    let short = tokens.id(&["[MASK]"])?;
    let gmask = tokens.find(&["[gMASK]"]);
    let mask = match blank.situation.mask {
        Mask::Mask => short,
        Mask::SMask => tokens.find(&["[sMASK]"]).unwrap_or(short),
        Mask::GMask => gmask.unwrap_or(short),
    };
    // The models with BERT's vocabulary end texts with its padding.
    let eos = tokens.id(&["<|endoftext|>", "[PAD]"])?;
    let mut ids = vec![tokens.id(&["[CLS]"])?];
    ids.extend_from_slice(blank.left);
    let mask_at = ids.len();
    ids.push(mask);
    ids.extend_from_slice(blank.right);
    let ends_in_gmask = blank.right.is_empty() && Some(mask) == gmask;
    if !ends_in_gmask {
        ids.push(eos);
    }
    let sop = tokens.id(&["<|startofpiece|>", "<sop>"])?;
    let stops = vec![tokens.id(&["<|endofpiece|>", "<eop>"])?, eos];
    Ok(Input::blank(ids, mask_at, sop, stops))
}
