//! Tasks on a piece of code: explain, comment, translate, fix, review, test.
//!
//! A model that chats is asked in words, in its family's frame. The first two CodeGeeX only go on
//! with code, so they get code that begins what is wanted: for translation CodeGeeX-13B's own form,
//! for explanations and comments a comment that announces them. All other models say that they
//! cannot.

use grammars::Language;
use vocab::Vocab;

use crate::chat::{Message, Role};
use crate::request::Request;
use crate::sequence::Input;
use crate::translation::{self, Translation};
use crate::{Error, Template};

/// What to do with a piece of code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Task<'a> {
    /// What is wanted.
    pub kind: Kind,
    /// The code's language.
    pub language: Language,
    /// The code; for a review, the change as a unified diff.
    pub code: &'a str,
    /// What the user adds, such as an error message; may be empty.
    pub note: &'a str,
}

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What the code does, and how.
    Explain,
    /// The code with comments.
    Comment,
    /// The code in another language.
    Translate {
        /// That language.
        to: Language,
    },
    /// The code without its errors.
    Fix,
    /// What is wrong with a change.
    Review,
    /// Unit tests for the code.
    Tests,
}

impl Kind {
    /// The task as a verb with its object.
    fn verb(self) -> &'static str {
        match self {
            Kind::Explain => "explain code",
            Kind::Comment => "comment code",
            Kind::Translate { .. } => "translate code",
            Kind::Fix => "fix code",
            Kind::Review => "review changes",
            Kind::Tests => "write tests",
        }
    }

    /// What the model is told of its task.
    fn instructions(self) -> String {
        let task = match self {
            Kind::Explain => {
                "Explain the code that you are given: what it is for, how it works, and what to \
                 watch out for when using it."
            }
            Kind::Comment => {
                "Add comments to the code that you are given, above functions and beside steps \
                 that are hard to follow. Change nothing else. Answer with the code only."
            }
            Kind::Translate { to } => return translation::instructions(to),
            Kind::Fix => {
                "Find the errors in the code that you are given and correct them. Leave comments \
                 as they are. Answer with the corrected code only."
            }
            Kind::Review => {
                "Review the change that you are given as a unified diff. Name errors, risks and \
                 code that is hard to read, each with the line it is in, the worst first."
            }
            Kind::Tests => {
                "Write unit tests for the code that you are given, for usual input and for the \
                 limits of it. Answer with the code of the tests only."
            }
        };
        format!("{PERSONA} {task}")
    }

    /// What the user asks for, below the code.
    fn request(self) -> String {
        match self {
            Kind::Explain => "Explain this code.".to_owned(),
            Kind::Comment => "Add comments to this code.".to_owned(),
            Kind::Translate { to } => translation::question(to),
            Kind::Fix => "Correct the errors in this code.".to_owned(),
            Kind::Review => "Review this change.".to_owned(),
            Kind::Tests => "Write unit tests for this code.".to_owned(),
        }
    }
}

pub(crate) const PERSONA: &str = "You are a programming assistant.";

/// Puts a task to a model.
///
/// # Errors
/// If the model cannot do it, or its vocabulary lacks a token of its template.
pub fn task(template: Template, vocab: &Vocab, task: &Task) -> Result<Input, Error> {
    let request = match template {
        Template::CodeGeex | Template::CodeGeex2 => Request::Text(begun(template, task)?),
        _ => match template.untrained() {
            Some(reason) => return Err(refused(template, task.kind, reason)),
            None => Request::Chat(messages(template, task).into()),
        },
    };
    request.input(template, vocab)
}

pub(crate) fn refused(template: Template, kind: Kind, reason: &'static str) -> Error {
    Error::NoTask {
        template,
        task: kind.verb(),
        reason,
    }
}

/// The task in words.
fn messages(template: Template, task: &Task) -> [Message; 2] {
    let code = match task.kind {
        Kind::Review => fenced(template, "diff", task.code),
        _ => block(template, task.language, task.code),
    };
    let mut question = format!("{code}\n{}", task.kind.request());
    if !task.note.is_empty() {
        question = format!("{question}\n{}", task.note);
    }
    [
        Message {
            role: Role::System,
            content: task.kind.instructions(),
        },
        Message {
            role: Role::User,
            content: question,
        },
    ]
}

/// A block of code as a model of this template knows it best.
pub(crate) fn block(template: Template, language: Language, code: &str) -> String {
    let name = if language == Language::PLAIN {
        ""
    } else {
        language.name()
    };
    fenced(template, name, code)
}

/// CodeGeeX4 was taught on bare code; others know a fence better.
fn fenced(template: Template, name: &str, code: &str) -> String {
    let code = code.trim_end_matches('\n');
    match template {
        Template::CodeGeex4 => code.to_owned(),
        _ => format!("```{name}\n{code}\n```"),
    }
}

/// Text that a model goes on from into what is wanted.
fn begun(template: Template, task: &Task) -> Result<String, Error> {
    let Task { language, note, .. } = *task;
    let code = task.code.trim_end_matches('\n');
    let announced = |announcement: &str| {
        let note = match note {
            "" => String::new(),
            note => comment(language, &note.replace('\n', " ")),
        };
        let announcement = comment(language, announcement);
        format!("{}{code}\n\n{note}{announcement}", tag(language))
    };
    match task.kind {
        Kind::Explain => Ok(announced("What the code above does, step by step:")),
        Kind::Comment => Ok(announced("The same code with a comment on each step:")),
        Kind::Translate { to } => Ok(Translation {
            from: language,
            to,
            code,
            context: "",
            declaration: "",
            note,
            attempts: &[],
        }
        .text(template)),
        Kind::Fix | Kind::Review | Kind::Tests => {
            let reason = template.untrained().unwrap_or("it only goes on with text");
            Err(refused(template, task.kind, reason))
        }
    }
}

/// The line that names a language to models that were trained with it; none for a language without one.
pub(crate) fn tag(language: Language) -> String {
    language
        .tag()
        .map_or(String::new(), |tag| format!("{tag}\n"))
}

/// A line of comment, or the line itself where the language has none.
pub(crate) fn comment(language: Language, line: &str) -> String {
    match (language.line_comment(), language.block_comment()) {
        (Some(mark), _) => format!("{mark} {line}\n"),
        (None, Some((open, close))) => format!("{open} {line} {close}\n"),
        (None, None) => format!("{line}\n"),
    }
}
