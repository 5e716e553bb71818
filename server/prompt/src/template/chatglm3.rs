//! ChatGLM3-6B: `[gMASK] sop`, then turns that open with a token of their role.
//!
//! The line end behind a role and the message are encoded apart, each as a text of its own. Code is
//! completed from what stands before the cursor.
//!
//! Source: `build_single_message` and `build_chat_input` of the published `tokenization_chatglm.py`.

use super::Blank;
use super::plain::{self, SOP};
use crate::Error;
use crate::chat::{self, Message};
use crate::sequence::Input;
use crate::tokens::Tokens;

/// What ends a text or a turn.
const STOPS: &[&str] = &["</s>", "<eos>", "<|user|>", "<|observation|>"];

pub(crate) fn blank(blank: &Blank) -> Result<Input, Error> {
    plain::blank(blank, STOPS, plain::path_comment)
}

pub(crate) fn chat(tokens: Tokens, messages: &[Message]) -> Result<Input, Error> {
    turns(tokens, messages, STOPS)
}

/// The turns of ChatGLM3 and GLM-4-9B, up to the role of the answer.
pub(crate) fn turns(
    tokens: Tokens,
    messages: &[Message],
    stops: &[&'static str],
) -> Result<Input, Error> {
    chat::check(tokens.template, messages)?;
    let mut script = tokens.script();
    script.token(&["[gMASK]"])?.token(SOP)?;
    for Message { role, content } in messages {
        script.token(&[role.token()])?;
        script.piece("\n").piece(content);
    }
    script.token(&["<|assistant|>"])?;
    Ok(Input::causal(script.done(), tokens.all(stops)))
}
