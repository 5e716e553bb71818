//! ChatGLM-6B: `[gMASK]` and `<sop>` after the text, two rows of positions.
//!
//! Conversations are numbered rounds, from 0, once there is more than one; a single question stands
//! for itself. There is no role for instructions: they come before the first question.
//!
//! Blanks are GLM-130B's, on whose recipe it was trained: `[MASK]` in the text where something short
//! is missing between two sides, `[gMASK]` behind the text where a block is. The model was tuned on
//! the latter alone, but only the former lets it see what follows the cursor.
//!
//! Source: `tokenization_chatglm.py` and `modeling_chatglm.py` of the published checkpoint.

use super::Blank;
use crate::chat::{self, Message, Round};
use crate::sequence::Input;
use crate::tokens::Tokens;
use crate::window::Sides;
use crate::{Error, Mask};

const SOP: &[&str] = &["<sop>", "sop"];
const EOP: &[&str] = &["<eop>", "eop"];

/// What follows `[gMASK]` is never shown.
pub(crate) fn sides(mask: Mask) -> Sides {
    super::glm130b::sides(mask)
}

pub(crate) fn blank(blank: &Blank) -> Result<Input, Error> {
    let tokens = blank.tokens;
    let mut ids = blank.left.to_vec();
    let mask_at = ids.len();
    if sides(blank.situation.mask) == Sides::Left {
        ids.push(tokens.id(&["[gMASK]"])?);
    } else {
        ids.push(tokens.id(&["[MASK]"])?);
        ids.extend_from_slice(blank.right);
        if !blank.right.is_empty() {
            ids.extend(tokens.find(&["</s>"]));
        }
    }
    let sop = tokens.id(SOP)?;
    Ok(Input::blank(ids, mask_at, sop, vec![tokens.id(EOP)?]))
}

pub(crate) fn chat(tokens: Tokens, messages: &[Message]) -> Result<Input, Error> {
    let rounds = chat::rounds(tokens.template, messages)?;
    let text = match rounds.as_slice() {
        [Round { question, .. }] => question.clone(),
        _ => (0..)
            .zip(&rounds)
            .map(|(number, round)| write(number, round))
            .collect(),
    };
    let mut script = tokens.script();
    let mut ids = script.text(&text).done();
    let mask_at = ids.len();
    ids.push(tokens.id(&["[gMASK]"])?);
    Ok(Input::blank(
        ids,
        mask_at,
        tokens.id(SOP)?,
        vec![tokens.id(EOP)?],
    ))
}

fn write(number: usize, Round { question, answer }: &Round) -> String {
    let answer = answer
        .as_ref()
        .map_or(String::new(), |text| format!("{text}\n"));
    format!("[Round {number}]\n问：{question}\n答：{answer}")
}
