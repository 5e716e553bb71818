//! Translation of code into another language, with what it stands among and what went wrong before.
//!
//! A model that chats is asked in words, and told of each earlier attempt what a compiler or a test said of it.
//! CodeGeeX-13B gets the form that it was measured in, CodeGeeX2 comments that announce the translation; to these an
//! earlier attempt is a comment on what to avoid, since they only go on with code.
//!
//! Sources: `codegeex/benchmark` of THUDM/CodeGeeX for its form; the guides of THUDM/CodeGeeX4 for the kind of words.

use grammars::Language;

use crate::chat::{Message, Role};
use crate::request::Request;
use crate::task::{PERSONA, block, comment, refused, tag};
use crate::{Error, Kind, Template};

/// What the requests of this module look like, by a name: any change of what it gives is a new one.
pub const VERSION: &str = "translation_v1";

/// Most lines of a complaint that a model without conversation is told.
const COMPLAINT_LINES: usize = 3;

/// A piece of code to translate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Translation<'a> {
    /// The code's language.
    pub from: Language,
    /// The language to translate into.
    pub to: Language,
    /// The code.
    pub code: &'a str,
    /// Code of the same file that it uses and that is not to be translated, such as imports and signatures; may be empty.
    pub context: &'a str,
    /// How the translation begins, such as its signature; may be empty.
    pub declaration: &'a str,
    /// What the user adds; may be empty.
    pub note: &'a str,
    /// Earlier attempts, oldest first.
    pub attempts: &'a [Attempt],
}

/// A translation that was not good enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The code that the model gave.
    pub code: String,
    /// What a compiler, a test or a reader said of it.
    pub complaint: String,
}

impl Translation<'_> {
    /// Asks a model of this template for it.
    ///
    /// # Errors
    /// If the model does not translate.
    pub fn request(&self, template: Template) -> Result<Request, Error> {
        match template {
            Template::CodeGeex | Template::CodeGeex2 => Ok(Request::Text(self.text(template))),
            _ => match template.untrained() {
                Some(reason) => Err(refused(template, Kind::Translate { to: self.to }, reason)),
                None => Ok(Request::Chat(self.conversation(template))),
            },
        }
    }

    /// What the translation begins with that the model is not asked to repeat: text goes on from there, an answer in a
    /// conversation is whole.
    pub fn begun(&self, request: &Request) -> &str {
        match request {
            Request::Text(_) => self.declaration,
            Request::Chat(_) => "",
        }
    }

    fn conversation(&self, template: Template) -> Vec<Message> {
        let message = |role, content| Message { role, content };
        let mut messages = vec![
            message(Role::System, instructions(self.to)),
            message(Role::User, self.question(template)),
        ];
        for Attempt { code, complaint } in self.attempts {
            messages.push(message(Role::Assistant, block(template, self.to, code)));
            messages.push(message(Role::User, self.correction(complaint)));
        }
        messages
    }

    fn question(&self, template: Template) -> String {
        let mut question = format!(
            "{}\n{}",
            block(template, self.from, self.code),
            question(self.to)
        );
        if !self.context.is_empty() {
            let context = block(template, self.from, self.context);
            question +=
                &format!("\nIt stands among this code, which is not to be translated:\n{context}");
        }
        if !self.declaration.is_empty() {
            let declaration = block(template, self.to, self.declaration);
            question += &format!("\nThe translation begins like this:\n{declaration}");
        }
        if !self.note.is_empty() {
            question += &format!("\n{}", self.note);
        }
        question
    }

    fn correction(&self, complaint: &str) -> String {
        let complaint = complaint.trim_end();
        format!(
            "This does not work:\n```\n{complaint}\n```\nCorrect it. Answer with all of the {} code and nothing else.",
            self.to.title()
        )
    }

    /// Text to go on with, for the two CodeGeeX that are asked so.
    pub(crate) fn text(&self, template: Template) -> String {
        match template {
            Template::CodeGeex => self.sections(),
            _ => self.announced(),
        }
    }

    /// CodeGeeX-13B's own form.
    fn sections(&self) -> String {
        let (from, to) = (self.from.title(), self.to.title());
        let source = self.source();
        let begun = self.begun_text();
        format!("code translation\n{from}:\n{source}\n{to}:\n{begun}")
    }

    /// The source, then a comment that announces the translation.
    fn announced(&self) -> String {
        let (from, to) = (self.from.title(), self.to.title());
        let announcement = comment(self.to, &format!("The {from} code above in {to}:"));
        format!(
            "{}{}\n\n{}{announcement}{}",
            tag(self.from),
            self.source(),
            tag(self.to),
            self.begun_text()
        )
    }

    fn source(&self) -> String {
        let code = self.code.trim_end_matches('\n');
        match self.context.trim_end_matches('\n') {
            "" => code.to_owned(),
            context => format!("{context}\n\n{code}"),
        }
    }

    /// What stands before the place where the model goes on.
    fn begun_text(&self) -> String {
        let mut text = String::new();
        if !self.note.is_empty() {
            text += &comment(self.to, &self.note.replace('\n', " "));
        }
        if let Some(last) = self.attempts.last() {
            let lines = last
                .complaint
                .lines()
                .filter(|line| !line.trim().is_empty());
            for line in lines.take(COMPLAINT_LINES) {
                text += &comment(self.to, &format!("Avoid: {}", line.trim()));
            }
        }
        text + self.declaration
    }
}

/// What a model is told of its task.
pub(crate) fn instructions(to: Language) -> String {
    let to = to.title();
    format!(
        "{PERSONA} Translate the code that you are given into {to}, so that it does the same and reads as {to} usually \
         does. Answer with the code only."
    )
}

/// What the user asks for, below the code.
pub(crate) fn question(to: Language) -> String {
    format!("Translate this code into {}.", to.title())
}
