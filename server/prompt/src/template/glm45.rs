//! GLM-4.5, 4.5-Air and 4.6: turns with reasoning switched off; blanks by code tokens.
//!
//! The makers switch reasoning off with `/nothink` behind each user message and an empty
//! `<think></think>` before the answer; past answers carry the empty one as well.
//!
//! The vocabulary has `<|code_suffix|>`, `<|code_prefix|>` and `<|code_middle|>`, but no layout has
//! been published for these models. CodeGeeX4's order is used, the only one that the makers of
//! these tokens document: suffix first, then prefix, then the middle.
//!
//! Source of the turns: `chat_template.jinja` of GLM-4.6.

use super::glm4::STOPS;
use super::plain::SOP;
use super::{Blank, codegeex4};
use crate::Error;
use crate::chat::{self, Message, Role};
use crate::sequence::Input;
use crate::tokens::Tokens;

/// The blank of a model without a frame around it, also GLM-4.7's.
pub(crate) fn blank(blank: &Blank) -> Result<Input, Error> {
    let mut script = blank.tokens.script();
    script.token(&["[gMASK]"])?.token(SOP)?;
    codegeex4::middle(&mut script, blank)?;
    let stops = [STOPS, codegeex4::CODE_STOPS].concat();
    Ok(Input::causal(script.done(), blank.tokens.all(&stops)))
}

pub(crate) fn chat(tokens: Tokens, messages: &[Message]) -> Result<Input, Error> {
    chat::check(tokens.template, messages)?;
    let mut script = tokens.script();
    script.token(&["[gMASK]"])?.token(SOP)?;
    for Message { role, content } in messages {
        script.token(&[role.token()])?.text("\n");
        match role {
            Role::System => {
                script.text(content);
            }
            Role::User => {
                script.text(content);
                if !content.ends_with("/nothink") {
                    script.mark("/nothink");
                }
            }
            Role::Assistant => {
                script.mark("<think>").mark("</think>");
                let content = chat::without_reasoning(content).trim();
                if !content.is_empty() {
                    script.text("\n").text(content);
                }
            }
            Role::Observation => {
                script
                    .mark("<tool_response>")
                    .text("\n")
                    .text(content)
                    .text("\n");
                script.mark("</tool_response>");
            }
        }
    }
    script.token(&["<|assistant|>"])?.text("\n");
    script.mark("<think>").mark("</think>");
    Ok(Input::causal(script.done(), tokens.all(STOPS)))
}
