//! ChatGLM2-6B: `[gMASK] sop` before the text, one row of positions, numbered rounds from 1.
//!
//! Code is completed from what stands before the cursor.
//!
//! Source: `tokenization_chatglm.py` of the published checkpoint.

use super::Blank;
use super::plain::{self, SOP};
use crate::Error;
use crate::chat::{self, Message, Round};
use crate::sequence::Input;
use crate::tokens::Tokens;

/// What ends a text.
const STOPS: &[&str] = &["</s>", "<eos>"];

pub(crate) fn blank(blank: &Blank) -> Result<Input, Error> {
    plain::blank(blank, STOPS, plain::path_comment)
}

pub(crate) fn chat(tokens: Tokens, messages: &[Message]) -> Result<Input, Error> {
    let rounds = chat::rounds(tokens.template, messages)?;
    let mut script = tokens.script();
    script.token(&["[gMASK]"])?.token(SOP)?;
    for (number, Round { question, answer }) in (1..).zip(&rounds) {
        script.text(&format!("[Round {number}]\n\n问：{question}\n\n答："));
        if let Some(answer) = answer {
            script.text(&format!("{answer}\n\n"));
        }
    }
    Ok(Input::causal(script.done(), tokens.all(STOPS)))
}
