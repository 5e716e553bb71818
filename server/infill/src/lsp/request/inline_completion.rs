//! `textDocument/inlineCompletion`: what to show at a cursor.
//!
//! Two halves. [`Asked::new`] runs as the message arrives and only takes down what was asked about;
//! [`answer`] runs as a task of its own and leads it through [`complete`].

use std::sync::Arc;
use std::time::Duration;

use engine::Class;
use tower_lsp::lsp_types::{Command, Position, Url};

use crate::complete::{Ask, Shown, Why, alternatives, complete};
use crate::lsp::capabilities::DID_ACCEPT;
use crate::lsp::convert;
use crate::lsp::proposed::{
    InlineCompletionContext, InlineCompletionItem, InlineCompletionList, InlineCompletionParams,
    SelectedCompletionInfo,
};
use crate::lsp::request::why::Told;
use crate::lsp::session::Session;
use crate::lsp::typing;

/// Tokens typed since the anchor beyond which the text is read anew at once, not only when the user
/// rests.
const LONG_HEAD: usize = 48;

/// A request as it arrived, with the text as it was then.
pub struct Asked {
    ask: Ask,
    position: Position,
    selected: Option<SelectedCompletionInfo>,
}

impl Asked {
    /// Takes a request down. None if its document is not open or left alone, or if nobody asked for it by hand and the
    /// settings want nothing else.
    pub fn new(session: &Session, params: InlineCompletionParams) -> Option<Asked> {
        let url = params.place.text_document.uri;
        let view = session.documents.view(&url)?;
        if !session.admission.admits(&url) {
            return None;
        }
        let settings = session.settings();
        let encoding = session.agreed().encoding;
        let class = match params.context.trigger_kind {
            InlineCompletionContext::INVOKED => Class::Invoked,
            _ if !settings.automatic => return None,
            _ => Class::Keystroke,
        };
        let delay = match class {
            Class::Keystroke => settings.delay.unwrap_or_else(|| session.typing.delay(&url)),
            _ => Duration::ZERO,
        };
        let position = params.place.position;
        let offset = convert::offset(&view.snapshot, position, encoding);
        let ask = Ask {
            url,
            view,
            offset,
            class,
            hypothetical: false,
            single_line: settings.single_line,
            delay,
        };
        Some(Asked {
            ask,
            position,
            selected: params.context.selected_completion_info,
        })
    }

    /// The document that was asked about.
    pub fn url(&self) -> &Url {
        &self.ask.url
    }

    /// The cursor, in bytes.
    pub fn offset(&self) -> usize {
        self.ask.offset
    }

    /// The text that was asked about.
    #[cfg(test)]
    pub fn text(&self) -> String {
        self.ask.view.snapshot.text()
    }
}

/// What to show, if anything. Having nothing to show is an answer like any other, never an error.
pub async fn answer(session: Arc<Session>, asked: Asked) -> InlineCompletionList {
    let url = asked.ask.url.clone();
    match items(&session, asked).await {
        Ok(list) => list,
        Err(why) => {
            tracing::debug!("no completion in {url}: {why}");
            InlineCompletionList::default()
        }
    }
}

async fn items(session: &Arc<Session>, asked: Asked) -> Result<InlineCompletionList, Why> {
    let Asked {
        mut ask,
        position,
        selected,
    } = asked;
    let agreed = session.agreed();
    let rooms = session.rooms().await?;
    if let Some(info) = &selected {
        // The selected entry counts as typed: the text is completed as it would be with it.
        let edit = convert::selected(&ask.view.snapshot, info, agreed.encoding);
        ask.offset = edit.range.start + edit.text.len();
        ask.hypothetical = true;
        ask.view.snapshot = ask.view.snapshot.edited(&edit);
    }
    let question = ask.clone();
    let documents = || Arc::clone(&session.documents);
    let outcome = complete(Arc::clone(&rooms), documents(), ask).await;
    let Ask { url, class, .. } = &question;
    let record = &outcome.record;
    if let Some(time) = record.engine_time() {
        session.typing.answered(url, time);
    }
    let stands_badly = record.head_tokens > LONG_HEAD || record.anchor.ends_with("near");
    if *class == Class::Keystroke && stands_badly {
        typing::read(session, url);
    }
    // A late answer must not bring a closed document back.
    if session.admission.admits(url) {
        let told = Told::new(&question, position, &outcome);
        session.told.insert(url.clone(), told);
    }
    session.touch();
    let command = agreed.commands.then(|| did_accept(url));
    let item = |shown: &Shown| {
        let item = match &selected {
            Some(info) => convert::item_after(info, shown),
            None => Some(convert::item(shown, agreed.encoding)),
        };
        item.map(|item| InlineCompletionItem {
            command: command.clone(),
            ..item
        })
    };
    let mut items = Vec::new();
    match &outcome.shown {
        Ok(shown) => items.extend(item(shown)),
        Err(why) => tracing::debug!("nothing to show: {why}"),
    }
    if let (Ok(shown), false) = (outcome.shown, items.is_empty()) {
        if selected.is_none() {
            let (start, text, there) = convert::offered(&shown);
            session.usage.offer(url, start, &text, there);
        }
        match class {
            Class::Invoked => {
                let others = alternatives(rooms, documents(), question, &shown).await;
                items.extend(others.iter().filter_map(item));
            }
            _ => typing::shown(session, question, shown),
        }
    }
    Ok(InlineCompletionList {
        items,
        infill: agreed.timings.then_some(outcome.record),
    })
}

/// What a client runs after it has put a suggestion in.
fn did_accept(url: &Url) -> Command {
    Command {
        title: "Infill: accepted".to_owned(),
        command: DID_ACCEPT.to_owned(),
        arguments: Some(vec![url.as_str().into()]),
    }
}

#[cfg(test)]
mod tests {
    use grammars::Language;
    use serde_json::{Value, json};

    use super::*;

    const TEXT: &str = "import os\nos.pa\n";

    /// What the client gets that asks behind `os.pa`, if the model has said `answer` behind `left`.
    /// No model runs: the answer is in the store, and is being typed along.
    async fn inserted(left: &str, answer: &str, context: Value) -> Value {
        let session = Arc::new(Session::new(crate::models::settings::Choice::default()));
        session.load().expect("the embedded model is whole");
        let rooms = session.rooms().await.expect("the embedded model is whole");
        let url = Url::parse("file:///a.py").expect("it is a URL");
        let python = Language::named("python").expect("Python is in the table");
        session.documents.open(url.clone(), TEXT, 1, python);
        session.admission.open(&url, "python", &session.settings());
        let stored = cache::Context {
            model: &rooms.model.id,
            template: rooms.template.name(),
            language: python.name(),
            path: url.as_str(),
            kind: 0,
            beside: 0,
            left,
            right: "\n",
        };
        rooms.store.insert(
            &stored,
            cache::Answer {
                text: answer.to_owned(),
                score: 1.0,
            },
        );
        let params = json!({
            "textDocument": { "uri": url },
            "position": { "line": 1, "character": 5 },
            "context": context,
        });
        let params = serde_json::from_value(params).expect("the parameters are right");
        let asked = Asked::new(&session, params).expect("the document is open");
        let list = super::answer(session, asked).await;
        assert!(list.infill.is_none(), "nobody asked for timings");
        serde_json::to_value(&list.items).expect("items have a JSON form")
    }

    fn range(start: u32, end: u32) -> Value {
        json!({ "start": { "line": 1, "character": start }, "end": { "line": 1, "character": end } })
    }

    #[tokio::test]
    async fn an_item_repeats_what_the_line_has_before_the_cursor() {
        let items = inserted("import os\nos.p", "ath.sep", json!({ "triggerKind": 2 })).await;
        assert_eq!(
            items,
            json!([{ "insertText": "os.path.sep", "range": range(0, 5) }])
        );
    }

    #[tokio::test]
    async fn a_selected_entry_counts_as_typed() {
        let selected = json!({ "range": range(3, 5), "text": "path" });
        let context = json!({ "triggerKind": 2, "selectedCompletionInfo": selected });
        let items = inserted("import os\nos.pat", "h.sep", context).await;
        assert_eq!(
            items,
            json!([{ "insertText": "path.sep", "range": range(3, 5) }])
        );
    }
}
