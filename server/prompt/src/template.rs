//! How each model wants to be asked: one module a family and version.
//!
//! A template lays text out that was chosen elsewhere: the two sides of a blank, or the messages of
//! a chat. Which of the two a family knows, and which template a model's files call for, is here;
//! what it looks like is in the modules. Names carry a version: any change of what a template gives
//! is a new one, since answers are stored under it and models are trained on it.

mod chatglm;
mod chatglm2;
mod chatglm3;
pub(crate) mod codegeex;
pub(crate) mod codegeex2;
mod codegeex4;
mod detect;
mod glm;
mod glm130b;
mod glm4;
mod glm45;
mod glm47;
mod glm4_0414;
pub(crate) mod infill_v1;
mod infill_v2;
mod plain;

use std::fmt;

pub use detect::Facts;
use grammars::Language;

use crate::chat::Message;
use crate::sequence::Input;
use crate::tokens::Tokens;
use crate::window::Sides;
use crate::{Around, Error, Mask, Situation};

/// A family's way of asking, in one version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Template {
    /// Infill's own GLM.
    InfillV1,
    /// The same with a place for other files.
    InfillV2,
    /// GLM of 2021 and 2022, 110M to 10B, English and Chinese.
    Glm,
    /// GLM-130B.
    Glm130b,
    /// ChatGLM-6B.
    ChatGlm,
    /// ChatGLM2-6B.
    ChatGlm2,
    /// ChatGLM3-6B.
    ChatGlm3,
    /// CodeGeeX-13B.
    CodeGeex,
    /// CodeGeeX2-6B.
    CodeGeex2,
    /// CodeGeeX4-ALL-9B.
    CodeGeex4,
    /// GLM-4-9B of 2024, base and chat.
    Glm4,
    /// GLM-4-0414, 9B and 32B.
    Glm4_0414,
    /// GLM-Z1, which reasons before it answers.
    GlmZ1,
    /// GLM-4.5, 4.5-Air and 4.6.
    Glm45,
    /// GLM-4.7 and 4.7-Flash.
    Glm47,
}

/// A blank to lay out: the text around it, encoded, and what is known of it.
#[derive(Clone, Copy)]
pub(crate) struct Blank<'a> {
    pub tokens: Tokens<'a>,
    pub language: Language,
    pub situation: &'a Situation,
    pub around: Around<'a>,
    pub left: &'a [u32],
    pub right: &'a [u32],
    /// Whether the text ends where `right` does.
    pub reaches_end: bool,
}

impl Template {
    /// All of them.
    pub const ALL: [Template; 15] = [
        Template::InfillV1,
        Template::InfillV2,
        Template::Glm,
        Template::Glm130b,
        Template::ChatGlm,
        Template::ChatGlm2,
        Template::ChatGlm3,
        Template::CodeGeex,
        Template::CodeGeex2,
        Template::CodeGeex4,
        Template::Glm4,
        Template::Glm4_0414,
        Template::GlmZ1,
        Template::Glm45,
        Template::Glm47,
    ];

    /// The name that models, settings and cache keys carry.
    pub fn name(self) -> &'static str {
        match self {
            Template::InfillV1 => infill_v1::VERSION,
            Template::InfillV2 => infill_v2::VERSION,
            Template::Glm => "glm_v1",
            Template::Glm130b => "glm130b_v1",
            Template::ChatGlm => "chatglm_v1",
            Template::ChatGlm2 => "chatglm2_v1",
            Template::ChatGlm3 => "chatglm3_v1",
            Template::CodeGeex => "codegeex_v1",
            Template::CodeGeex2 => "codegeex2_v1",
            Template::CodeGeex4 => "codegeex4_v1",
            Template::Glm4 => "glm4_v1",
            Template::Glm4_0414 => "glm4_0414_v1",
            Template::GlmZ1 => "glm_z1_v1",
            Template::Glm45 => "glm45_v1",
            Template::Glm47 => "glm47_v1",
        }
    }

    /// The template of this name.
    ///
    /// # Errors
    /// If there is none; the error lists all names.
    pub fn from_name(name: &str) -> Result<Template, Error> {
        let found = Template::ALL.into_iter().find(|t| t.name() == name);
        found.ok_or_else(|| Error::Unknown {
            name: name.to_owned(),
        })
    }

    /// What of the text around a blank this template shows.
    pub(crate) fn sides(self, mask: Mask) -> Result<Sides, Error> {
        Ok(match self {
            Template::InfillV1
            | Template::InfillV2
            | Template::Glm
            | Template::CodeGeex4
            | Template::Glm45
            | Template::Glm47 => Sides::Both,
            Template::Glm130b => glm130b::sides(mask),
            Template::ChatGlm => chatglm::sides(mask),
            Template::ChatGlm2
            | Template::ChatGlm3
            | Template::CodeGeex
            | Template::CodeGeex2
            | Template::Glm4
            | Template::Glm4_0414 => Sides::Left,
            Template::GlmZ1 => return Err(self.reasons_first()),
        })
    }

    /// How many of the question's tokens may be excerpts of other files and what belongs to no text; 0 if the template has no
    /// place for excerpts. The text near the cursor says more than they do, to a small model above all.
    pub fn references(self, part_a: usize) -> usize {
        match self {
            Template::InfillV2 => part_a / 3,
            Template::CodeGeex4 => part_a / 2,
            _ => 0,
        }
    }

    /// Lays a blank out. [`Template::sides`] says which sides to fill.
    pub(crate) fn blank(self, blank: &Blank) -> Result<Input, Error> {
        match self {
            Template::InfillV1 => infill_v1::blank(blank),
            Template::InfillV2 => infill_v2::blank(blank),
            Template::Glm => glm::blank(blank),
            Template::Glm130b => glm130b::blank(blank),
            Template::ChatGlm => chatglm::blank(blank),
            Template::ChatGlm2 => chatglm2::blank(blank),
            Template::ChatGlm3 => chatglm3::blank(blank),
            Template::CodeGeex => codegeex::blank(blank),
            Template::CodeGeex2 => codegeex2::blank(blank),
            Template::CodeGeex4 => codegeex4::blank(blank),
            Template::Glm4 => glm4::blank(blank),
            Template::Glm4_0414 => glm4_0414::blank(blank),
            Template::GlmZ1 => Err(self.reasons_first()),
            Template::Glm45 => glm45::blank(blank),
            Template::Glm47 => glm47::blank(blank),
        }
    }

    fn reasons_first(self) -> Error {
        Error::NoBlank {
            template: self,
            reason: "it reasons before it answers, so it cannot go on in the middle of a text; \
                     use it for tasks such as explaining or reviewing",
        }
    }

    /// Lays a conversation out, up to where the model's turn begins.
    pub(crate) fn chat(self, tokens: Tokens, messages: &[Message]) -> Result<Input, Error> {
        match self {
            Template::ChatGlm => chatglm::chat(tokens, messages),
            Template::ChatGlm2 => chatglm2::chat(tokens, messages),
            Template::ChatGlm3 => chatglm3::chat(tokens, messages),
            Template::CodeGeex4 => codegeex4::chat(tokens, messages),
            Template::Glm4 => glm4::chat(tokens, messages),
            Template::Glm4_0414 => glm4_0414::chat(tokens, messages),
            Template::GlmZ1 => glm4_0414::chat_z1(tokens, messages),
            Template::Glm45 => glm45::chat(tokens, messages),
            Template::Glm47 => glm47::chat(tokens, messages),
            Template::InfillV1
            | Template::InfillV2
            | Template::Glm
            | Template::Glm130b
            | Template::CodeGeex
            | Template::CodeGeex2 => Err(Error::NoChat {
                template: self,
                reason: self
                    .untrained()
                    .unwrap_or("it was not trained on conversations"),
            }),
        }
    }

    /// What such a model can do with a piece of code, by the names of [`Kind`](crate::Kind); a review aside, which is of a
    /// change.
    pub fn tasks(self) -> &'static [&'static str] {
        match self {
            Template::InfillV1 | Template::InfillV2 | Template::Glm | Template::Glm130b => &[],
            Template::CodeGeex | Template::CodeGeex2 => &["explain", "comment", "translate"],
            _ => &["explain", "comment", "translate", "fix", "tests"],
        }
    }

    /// Why a model does not follow requests; none if it does.
    pub(crate) fn untrained(self) -> Option<&'static str> {
        match self {
            Template::InfillV1 | Template::InfillV2 | Template::Glm | Template::Glm130b => {
                Some("it fills in blanks and was not trained to follow requests")
            }
            Template::CodeGeex | Template::CodeGeex2 => {
                Some("it goes on with code and was not trained to follow requests")
            }
            _ => None,
        }
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
