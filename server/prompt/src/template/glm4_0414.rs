//! GLM-4-0414 and GLM-Z1: GLM-4's turns, rendered as one text between role tokens.
//!
//! Past answers lose their reasoning. Z1's turn opens inside `<think>`, so its answer is what comes
//! after `</think>`. Code is completed by the 0414 models from what stands before the cursor; Z1
//! cannot begin with anything but its reasoning.
//!
//! Source: descriptions of GLM-Z1's chat template. That of the 0414 models was not found; theirs is
//! taken to be the same up to where the answer begins, which is GLM-4-9B's form.

use super::Blank;
use super::glm4::STOPS;
use super::plain::{self, SOP};
use crate::Error;
use crate::chat::{self, Message, Role};
use crate::sequence::Input;
use crate::tokens::{Script, Tokens};

pub(crate) fn blank(blank: &Blank) -> Result<Input, Error> {
    plain::blank(blank, STOPS, plain::path_comment)
}

pub(crate) fn chat(tokens: Tokens, messages: &[Message]) -> Result<Input, Error> {
    let mut script = turns(tokens, messages)?;
    Ok(Input::causal(script.done(), tokens.all(STOPS)))
}

/// The same for a model that reasons.
pub(crate) fn chat_z1(tokens: Tokens, messages: &[Message]) -> Result<Input, Error> {
    let mut script = turns(tokens, messages)?;
    script.text("\n").mark("<think>");
    Ok(Input::causal(script.done(), tokens.all(STOPS)))
}

fn turns<'a>(tokens: Tokens<'a>, messages: &[Message]) -> Result<Script<'a>, Error> {
    chat::check(tokens.template, messages)?;
    let mut script = tokens.script();
    script.token(&["[gMASK]"])?.token(SOP)?;
    for Message { role, content } in messages {
        let content = match role {
            Role::Assistant => chat::without_reasoning(content),
            _ => content,
        };
        script.token(&[role.token()])?.text("\n").text(content);
    }
    script.token(&["<|assistant|>"])?;
    Ok(script)
}
