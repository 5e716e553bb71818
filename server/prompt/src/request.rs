//! What a model is asked, in words, before it becomes tokens.
//!
//! The same words serve a model in this process, which reads ids, and one behind an HTTP endpoint, which reads text.

use vocab::Vocab;

use crate::chat::{Message, chat};
use crate::sequence::Input;
use crate::template::{codegeex, codegeex2};
use crate::tokens::Tokens;
use crate::{Error, Template};

/// What a model is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// A conversation that the model is to go on with.
    Chat(Vec<Message>),
    /// Text that the model is to go on with.
    Text(String),
}

impl Request {
    /// Lays it out as token ids, in the family's frame.
    ///
    /// # Errors
    /// If the model does not do that, or its vocabulary lacks a token of the frame.
    pub fn input(&self, template: Template, vocab: &Vocab) -> Result<Input, Error> {
        let tokens = Tokens { vocab, template };
        match (self, template) {
            (Request::Chat(messages), _) => chat(template, vocab, messages),
            (Request::Text(text), Template::CodeGeex) => codegeex::text(tokens, text),
            (Request::Text(text), Template::CodeGeex2) => codegeex2::text(tokens, text),
            (Request::Text(_), _) => Err(Error::NoText { template }),
        }
    }
}
