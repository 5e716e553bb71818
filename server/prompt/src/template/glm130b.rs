//! GLM-130B: a short blank among text, or the rest of a text.
//!
//! It was trained on two masks: `[MASK]` for a short span with text on both sides, then `</s>`;
//! `[gMASK]` for the whole rest of a text, with nothing behind it. So a block is asked for as the
//! rest of what stands before the cursor, anything shorter as a blank. Positions have one row: after
//! `[gMASK]` they count on, for `[MASK]` the answer has the place of its mask throughout.
//!
//! Source: `generate.py` of THUDM/GLM-130B.

use super::Blank;
use crate::sequence::{Advance, Input};
use crate::window::Sides;
use crate::{Error, Mask};

/// The rest of a text has nothing behind it.
pub(crate) fn sides(mask: Mask) -> Sides {
    match mask {
        Mask::Mask | Mask::SMask => Sides::Both,
        Mask::GMask => Sides::Left,
    }
}

pub(crate) fn blank(blank: &Blank) -> Result<Input, Error> {
    let tokens = blank.tokens;
    let eos = tokens.id(&["</s>"])?;
    let sop = tokens.id(&["sop", "<sop>", "<|startofpiece|>"])?;
    let eop = tokens.id(&["eop", "<eop>", "<|endofpiece|>"])?;
    let is_rest = sides(blank.situation.mask) == Sides::Left;
    let mut ids = blank.left.to_vec();
    let mask_at = ids.len();
    if is_rest {
        ids.push(tokens.id(&["[gMASK]", "gMASK"])?);
    } else {
        ids.push(tokens.id(&["[MASK]", "MASK"])?);
        ids.extend_from_slice(blank.right);
        // A text that ends in its mask has no end mark.
        if !blank.right.is_empty() {
            ids.push(eos);
        }
    }
    let place = if is_rest { ids.len() } else { mask_at };
    let mut input = Input::blank(ids, mask_at, sop, vec![eop, eos]);
    if let [Some(row_0), Some(row_1)] = input.positions.each_mut().map(|row| row.last_mut()) {
        (*row_0, *row_1) = (place as u32, 0);
    }
    input.advance = if is_rest {
        Advance::Place
    } else {
        Advance::Still
    };
    Ok(input)
}
