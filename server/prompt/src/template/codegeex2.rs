//! CodeGeeX2-6B: a tag line that names the language, then code to go on with.
//!
//! It is a base model on ChatGLM2's vocabulary: no layout for blanks has been published, and none
//! for requests. Its tasks are code that begins what is asked for.
//!
//! Source: README and `evaluation/utils.py` of THUDM/CodeGeeX2.

use super::Blank;
use super::plain::{self, SOP};
use crate::Error;
use crate::sequence::Input;
use crate::tokens::Tokens;

const STOPS: &[&str] = &["</s>", "<eos>"];

pub(crate) fn blank(blank: &Blank) -> Result<Input, Error> {
    plain::blank(blank, STOPS, plain::tag_line)
}

/// Text to go on with.
pub(crate) fn text(tokens: Tokens, text: &str) -> Result<Input, Error> {
    let mut script = tokens.script();
    script.token(&["[gMASK]"])?.token(SOP)?.text(text);
    Ok(Input::causal(script.done(), tokens.all(STOPS)))
}
