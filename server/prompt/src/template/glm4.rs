//! GLM-4-9B of 2024, base and chat: ChatGLM3's turns in a byte-level vocabulary.
//!
//! Code is completed from what stands before the cursor. After the role of the answer the model
//! itself writes the line end.
//!
//! Source: the published `tokenization_chatglm.py`; the demos of THUDM/GLM-4.

use super::{Blank, chatglm3, plain};
use crate::Error;
use crate::chat::Message;
use crate::sequence::Input;
use crate::tokens::Tokens;

/// What ends a text or a turn in every vocabulary from GLM-4 on.
pub(crate) const STOPS: &[&str] = &["<|endoftext|>", "<|user|>", "<|observation|>"];

pub(crate) fn blank(blank: &Blank) -> Result<Input, Error> {
    plain::blank(blank, STOPS, plain::path_comment)
}

pub(crate) fn chat(tokens: Tokens, messages: &[Message]) -> Result<Input, Error> {
    chatglm3::turns(tokens, messages, STOPS)
}
