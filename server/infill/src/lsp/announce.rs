//! `didChangeStatus`: tells a client how the server is whenever that changes.
//!
//! The notification's name and its first three fields are those that other completion servers made common; what only we
//! know is beside them.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tower_lsp::Client;
use tower_lsp::lsp_types::Url;
use tower_lsp::lsp_types::notification::Notification;

use crate::lsp::session::{Model, Session};

/// How long changes are gathered: an answer that comes sooner was no wait that a person sees.
const GATHERED: Duration = Duration::from_millis(60);

/// The notification.
pub enum DidChangeStatus {}

impl Notification for DidChangeStatus {
    type Params = News;
    const METHOD: &'static str = "didChangeStatus";
}

/// How the server is.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct News {
    /// `Normal`, `Inactive`, `Warning` or `Error`.
    pub kind: String,
    /// Whether a model is being loaded or a completion is under way.
    pub busy: bool,
    /// The same in words.
    pub message: String,
    /// More than others know.
    pub infill: More,
}

/// What only our clients know of.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct More {
    /// `loading`, `ready`, `off` or `failed`.
    pub state: String,
    /// The model's name, once one is loaded.
    pub model: Option<String>,
    /// Hundredths of the model that are loaded, while one is.
    pub percent: Option<u32>,
    /// The document in focus.
    pub uri: Option<Url>,
    /// Why there is no model, or no completion in this document.
    pub why: Option<String>,
    /// Milliseconds that the last answer in this document took.
    pub ms: Option<f64>,
}

/// Sends the client what has changed, for as long as the connection stands.
pub async fn announce(session: Arc<Session>, client: Client) {
    let mut last = None;
    loop {
        let news = news(&session);
        if last.as_ref() != Some(&news) {
            client
                .send_notification::<DidChangeStatus>(news.clone())
                .await;
            last = Some(news);
        }
        session.news().await;
        tokio::time::sleep(GATHERED).await;
    }
}

fn news(session: &Session) -> News {
    let uri = session.focus();
    let off = uri.as_ref().and_then(|uri| session.admission.off(uri));
    let told = uri.as_ref().and_then(|uri| session.told.get(uri));
    let ms = told.and_then(|told| told.record.timings_ms.get("total").copied());
    let percent = session.percent();
    let trouble = session.trouble();
    let (model, failed) = match session.model() {
        Model::Loading => (None, None),
        Model::Ready(rooms) => (Some(rooms.model.name.clone()), None),
        Model::Failed(why) => (None, Some(why)),
    };
    let name = model.as_deref().unwrap_or("the model");
    let (kind, state, message) = match (&failed, &off, &percent, &trouble) {
        (Some(why), ..) => ("Error", "failed", why.clone()),
        (_, Some(off), ..) => ("Inactive", "off", off.to_string()),
        (.., Some(_), _) => ("Normal", "loading", "loading the model".to_owned()),
        (.., Some(trouble)) => ("Warning", "ready", format!("{name} goes on: {trouble}")),
        _ => ("Normal", "ready", format!("{name} is ready")),
    };
    News {
        kind: kind.to_owned(),
        busy: percent.is_some() || !session.pending.is_empty(),
        message,
        infill: More {
            state: state.to_owned(),
            model,
            percent,
            uri,
            why: failed.or(off.map(|off| off.to_string())).or(trouble),
            ms,
        },
    }
}
