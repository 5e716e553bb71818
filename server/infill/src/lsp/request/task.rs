//! `infill.task`: what a model writes about a selection.
//!
//! Written behind anything that a keystroke asks for. What has come is told as it comes; the whole is the answer.

use std::sync::Arc;

use engine::{Class, Ended, Flow, Sampling, Watch};
use finish::unfenced;
use grammars::Language;
use prompt::{Kind, Task};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tower_lsp::lsp_types::{NumberOrString, Range, TextDocumentIdentifier};
use vocab::Stream;

use crate::input;
use crate::lsp::convert;
use crate::lsp::session::Session;
use crate::rooms::Rooms;

/// Most tokens of an answer.
const MOST_TOKENS: usize = 2048;

/// What is asked.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Arguments {
    /// `explain`, `comment`, `translate`, `fix` or `tests`.
    pub kind: String,
    /// The document.
    pub text_document: TextDocumentIdentifier,
    /// The selection.
    pub range: Range,
    /// The language id to translate into.
    pub to: Option<String>,
    /// What the user adds, such as an error message.
    #[serde(default)]
    pub note: String,
    /// Where what has come is told.
    pub partial_result_token: Option<NumberOrString>,
}

/// Why there is no answer.
pub enum Refused {
    /// The arguments are wrong.
    Arguments(String),
    /// The model cannot do it, or failed.
    Model(String),
}

/// Puts the task to the model. `said` gets the text as it comes.
///
/// # Errors
/// [`Refused`], in words for the user.
pub async fn run(
    session: &Session,
    arguments: &Arguments,
    said: mpsc::UnboundedSender<String>,
) -> Result<Value, Refused> {
    let url = &arguments.text_document.uri;
    let view = session.documents.view(url);
    let snapshot = view
        .ok_or_else(|| Refused::Arguments(format!("{url} is not open")))?
        .snapshot;
    if let Some(off) = session.admission.off(url) {
        return Err(Refused::Model(off.to_string()));
    }
    let encoding = session.agreed().encoding;
    let start = convert::offset(&snapshot, arguments.range.start, encoding);
    let end = convert::offset(&snapshot, arguments.range.end, encoding);
    let code = snapshot.slice(start..end.max(start));
    if code.trim().is_empty() {
        return Err(Refused::Arguments("select some code first".to_owned()));
    }
    let kind = kind(arguments)?;
    let task = Task {
        kind,
        language: snapshot.language(),
        code: &code,
        note: &arguments.note,
    };
    let rooms = session.rooms().await;
    let rooms = rooms.map_err(|why| Refused::Model(why.to_string()))?;
    let text = ask(&rooms, &task, said).await?;
    let language = match kind {
        Kind::Explain => "markdown",
        Kind::Translate { to } => to.name(),
        _ => snapshot.language().name(),
    };
    let text = match kind {
        Kind::Explain => text.trim().to_owned(),
        _ => unfenced(&text),
    };
    Ok(json!({ "text": text, "language": language }))
}

fn kind(arguments: &Arguments) -> Result<Kind, Refused> {
    Ok(match &*arguments.kind {
        "explain" => Kind::Explain,
        "comment" => Kind::Comment,
        "fix" => Kind::Fix,
        "tests" => Kind::Tests,
        "translate" => {
            let to = arguments.to.as_deref().unwrap_or_default();
            let to = Language::named(to).ok_or_else(|| {
                Refused::Arguments(format!(
                    "`to` must be a language to translate into, not `{to}`"
                ))
            })?;
            Kind::Translate { to }
        }
        other => {
            return Err(Refused::Arguments(format!(
                "there is no task `{other}`; there are explain, comment, translate, fix and tests"
            )));
        }
    })
}

async fn ask(
    rooms: &Rooms,
    task: &Task<'_>,
    said: mpsc::UnboundedSender<String>,
) -> Result<String, Refused> {
    let input = prompt::task(rooms.template, &rooms.vocab, task).map_err(|error| {
        let model = &rooms.model.name;
        Refused::Model(format!(
            "{model} cannot do this: {error}. Choose a model that chats; `infill model pull codegeex4-all-9b` gets one"
        ))
    })?;
    let room = rooms.model.context.saturating_sub(input.ids.len());
    if room == 0 {
        return Err(Refused::Model(format!(
            "the selection has {} tokens, more than {} can read",
            input.ids.len(),
            rooms.model.name
        )));
    }
    let most = room.min(MOST_TOKENS);
    let job = input::job(input, Class::Batch, most, Sampling::GREEDY);
    let teller = Teller {
        stream: Stream::new(Arc::clone(&rooms.vocab)),
        said,
    };
    let answer = rooms.run(job, Box::new(teller)).await;
    let answer = answer.ok_or_else(|| Refused::Model("the engine has stopped".to_owned()))?;
    match answer.ended {
        Ended::Failed(why) => Err(Refused::Model(format!("the model could not be run: {why}"))),
        _ => Ok(rooms.vocab.decode(&answer.ids)),
    }
}

/// Tells the text of an answer as it comes.
struct Teller {
    stream: Stream,
    said: mpsc::UnboundedSender<String>,
}

impl Watch for Teller {
    fn token(&mut self, id: u32) -> Flow {
        let text = self.stream.push(id);
        match text.is_empty() || self.said.send(text).is_ok() {
            true => Flow::More,
            false => Flow::Enough,
        }
    }
}
