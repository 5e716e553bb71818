//! GLM-4.7 and 4.7-Flash: GLM-4.5's turns without line ends, reasoning switched off.
//!
//! Here the makers switch reasoning off with a lone `</think>` before the answer, and past answers
//! carry the same. Blanks are laid out as for GLM-4.5.
//!
//! Source: `chat_template.jinja` of GLM-4.7, as the grammar of its answers in public servers has it.

use super::glm4::STOPS;
use super::plain::SOP;
use super::{Blank, glm45};
use crate::Error;
use crate::chat::{self, Message, Role};
use crate::sequence::Input;
use crate::tokens::Tokens;

pub(crate) fn blank(blank: &Blank) -> Result<Input, Error> {
    glm45::blank(blank)
}

pub(crate) fn chat(tokens: Tokens, messages: &[Message]) -> Result<Input, Error> {
    chat::check(tokens.template, messages)?;
    let mut script = tokens.script();
    script.token(&["[gMASK]"])?.token(SOP)?;
    for Message { role, content } in messages {
        script.token(&[role.token()])?;
        match role {
            Role::System | Role::User => {
                script.text(content);
            }
            Role::Assistant => {
                script.mark("</think>");
                script.text(chat::without_reasoning(content).trim());
            }
            Role::Observation => {
                script.mark("<tool_response>").text(content);
                script.mark("</tool_response>");
            }
        }
    }
    script.token(&["<|assistant|>"])?.mark("</think>");
    Ok(Input::causal(script.done(), tokens.all(STOPS)))
}
