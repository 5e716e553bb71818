//! `infill/why`: what the model was asked last in a document, what it said, and what came of that.

use serde::Serialize;
use tower_lsp::lsp_types::{Position, Url};

use crate::complete::{Ask, Exchange, Outcome, Record};
use crate::lsp::session::{Model, Session};
use engine::Class;

/// The last question of a document, and what came of it.
#[derive(Clone, Debug)]
pub struct Told {
    position: Position,
    version: i32,
    trigger: &'static str,
    exchange: Exchange,
    decision: String,
    shown: Option<String>,
    /// What it took.
    pub record: Record,
}

/// The same in words, or why a document is left alone.
#[derive(Debug, Serialize)]
pub struct Why {
    uri: Url,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<Position>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trigger: Option<&'static str>,
    /// What the model read, its special tokens spelled out.
    prompt: Option<String>,
    /// What it said behind what was typed.
    answer: Option<String>,
    decision: String,
    shown: Option<String>,
    record: Option<Record>,
}

impl Told {
    /// Takes a question down with its outcome.
    pub fn new(ask: &Ask, position: Position, outcome: &Outcome) -> Told {
        let (decision, shown) = match &outcome.shown {
            Ok(shown) => ("shown".to_owned(), Some(shown.item.ghost.clone())),
            Err(why) => (why.to_string(), None),
        };
        Told {
            position,
            version: ask.view.snapshot.version(),
            trigger: match ask.class {
                Class::Invoked => "invoked",
                _ => "automatic",
            },
            exchange: outcome.exchange.clone(),
            decision,
            shown,
            record: outcome.record.clone(),
        }
    }
}

/// What is known of a document, or of the one in focus. None if nothing was asked of it.
pub fn why(session: &Session, url: Option<Url>) -> Option<Why> {
    let uri = url.or_else(|| session.focus())?;
    let told = session.told.get(&uri).map(|told| told.clone());
    if let Some(off) = session.admission.off(&uri) {
        return Some(Why {
            uri,
            position: None,
            version: None,
            trigger: None,
            prompt: None,
            answer: None,
            decision: off.to_string(),
            shown: None,
            record: None,
        });
    }
    let told = told?;
    let prompt = match session.model() {
        Model::Ready(rooms) => told.exchange.prompt.map(|ids| rooms.vocab.spell(&ids)),
        Model::Loading | Model::Failed(_) => None,
    };
    Some(Why {
        uri,
        position: Some(told.position),
        version: Some(told.version),
        trigger: Some(told.trigger),
        prompt,
        answer: told.exchange.answer,
        decision: told.decision,
        shown: told.shown,
        record: Some(told.record),
    })
}
