//! The first to see each message, in the order of arrival.
//!
//! tower-lsp polls its handlers in no order and a bounded number at a time, so an edit that is
//! handled there may be applied late or out of order, and a cancellation may wait behind what it
//! should cancel. This service stands in front of it and does at once, inside `call`, what must be
//! in order: edits of documents (rope and tree edit, microseconds; nothing is parsed), the snapshot
//! that a completion is asked about, superseding and cancelling. The rest goes on to tower-lsp.
//! It also adds to the answer of `initialize` what tower-lsp's types do not know.

use std::borrow::Cow;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use grammars::Language;
use serde::de::DeserializeOwned;
use serde::{Deserialize as _, Serialize};
use serde_json::{Value, json};
use tower_lsp::jsonrpc::{Error, Id, Request, Response};
use tower_lsp::lsp_types::{
    DidChangeTextDocumentParams, DidCloseTextDocumentParams, DidOpenTextDocumentParams,
    TextDocumentItem, TextDocumentPositionParams,
};
use tower_service::Service;

use crate::complete::LARGEST_DOCUMENT;
use crate::lsp::convert;
use crate::lsp::pending::Ended;
use crate::lsp::proposed::{INLINE_COMPLETION, InlineCompletionList, InlineCompletionParams};
use crate::lsp::request::completion::{self, COMPLETION};
use crate::lsp::request::inline_completion;
use crate::lsp::session::Session;
use crate::lsp::typing;
use crate::lsp::usage;

/// tower-lsp's service with ours in front.
pub struct Front<S> {
    inner: S,
    session: Arc<Session>,
}

/// A message's answer in the making; a notification's is `None`.
type Answer<E> = Pin<Box<dyn Future<Output = Result<Option<Response>, E>> + Send>>;

impl<S> Front<S> {
    /// Puts a front before this service.
    pub fn new(inner: S, session: Arc<Session>) -> Front<S> {
        Front { inner, session }
    }
}

impl<S> Service<Request> for Front<S>
where
    S: Service<Request, Response = Option<Response>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Option<Response>;
    type Error = S::Error;
    type Future = Answer<S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Answer<S::Error> {
        let (method, id, params) = request.into_parts();
        match (&*method, id) {
            ("textDocument/didOpen", None) => self.open(params),
            ("textDocument/didChange", None) => self.change(params),
            ("textDocument/didClose", None) => self.close(params),
            ("$/cancelRequest", None) => {
                if !self.cancel(params.as_ref()) {
                    return self.pass(build(method, None, params));
                }
            }
            (INLINE_COMPLETION, Some(id)) => return self.complete(id, params),
            (COMPLETION, Some(id)) => return self.list(id, params),
            ("initialize", Some(id)) => return self.initialize(id, params),
            ("exit", None) => {
                self.session.end();
                return self.pass(build(method, None, None));
            }
            ("shutdown", Some(id)) => {
                self.session.shut_down();
                return self.pass(build(method, Some(id), None));
            }
            // A method of ours may be asked without parameters, which tower-lsp takes for a fault.
            ("infill/status" | "infill/why", Some(id)) => {
                let params = params.filter(|params| !params.is_null());
                let params = params.unwrap_or_else(|| json!({}));
                return self.pass(build(method, Some(id), Some(params)));
            }
            (_, id) => return self.pass(build(method, id, params)),
        }
        Box::pin(async { Ok(None) })
    }
}

impl<S> Front<S>
where
    S: Service<Request, Response = Option<Response>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    fn pass(&mut self, request: Request) -> Answer<S::Error> {
        Box::pin(self.inner.call(request))
    }

    fn initialize(&mut self, id: Id, params: Option<Value>) -> Answer<S::Error> {
        let agreed = self.session.agree(params.as_ref().unwrap_or(&Value::Null));
        let response = self
            .inner
            .call(build("initialize".into(), Some(id), params));
        Box::pin(async move {
            Ok(response.await?.map(|response| {
                let (id, body) = response.into_parts();
                Response::from_parts(
                    id,
                    body.map(|mut result| {
                        agreed.complete(&mut result);
                        result
                    }),
                )
            }))
        })
    }

    /// `textDocument/inlineCompletion`.
    fn complete(&self, id: Id, params: Option<Value>) -> Answer<S::Error> {
        self.answer(id, params, |_, _, list| value(&list))
    }

    /// `textDocument/completion`: the same question, and its answer in that method's form.
    fn list(&self, id: Id, params: Option<Value>) -> Answer<S::Error> {
        let params = params.map(completion::as_inline);
        self.answer(id, params, |session, place, list| {
            value(&completion::list(session, place, list))
        })
    }

    /// Row 3 of a completion's path. The snapshot is taken here and now: an edit that is already
    /// waiting behind this request must not move the text under its cursor.
    fn answer(
        &self,
        id: Id,
        params: Option<Value>,
        form: impl Fn(&Session, &TextDocumentPositionParams, InlineCompletionList) -> Value
        + Send
        + 'static,
    ) -> Answer<S::Error> {
        if let Some(refusal) = self.session.refusal() {
            return respond(id, Err(refusal));
        }
        let params = serde_json::from_value(params.unwrap_or(Value::Null));
        let params: InlineCompletionParams = match params {
            Ok(params) => params,
            Err(error) => return respond(id, Err(Error::invalid_params(error.to_string()))),
        };
        let session = Arc::clone(&self.session);
        let place = params.place.clone();
        let Some(asked) = inline_completion::Asked::new(&self.session, params) else {
            let nothing = form(&session, &place, InlineCompletionList::default());
            return respond(id, Ok(nothing));
        };
        let url = asked.url().clone();
        typing::asked(&session, &url, asked.offset());
        session.set_focus(&url);
        let task = tokio::spawn(inline_completion::answer(Arc::clone(&session), asked));
        session.pending.begin(id.clone(), url, task.abort_handle());
        session.touch();
        Box::pin(async move {
            let answer = task.await;
            let body = match (session.pending.finish(&id), answer) {
                (Some(Ended::Cancelled), _) => Err(Error::request_cancelled()),
                (Some(Ended::Superseded), _) => Ok(InlineCompletionList::default()),
                (None, Ok(list)) => Ok(list),
                (None, Err(broken)) => {
                    tracing::error!("a completion failed, and was answered with nothing: {broken}");
                    Ok(InlineCompletionList::default())
                }
            };
            session.touch();
            Ok(Some(Response::from_parts(
                id,
                body.map(|list| form(&session, &place, list)),
            )))
        })
    }
}

impl<S> Front<S> {
    fn open(&self, params: Option<Value>) {
        let Some(params) = read::<DidOpenTextDocumentParams>("textDocument/didOpen", params) else {
            return;
        };
        let TextDocumentItem {
            uri,
            language_id,
            version,
            text,
        } = params.text_document;
        let language = Language::detect(
            Some(
                &uri.to_file_path()
                    .unwrap_or_else(|()| Path::new(uri.path()).to_owned()),
            ),
            Some(&language_id),
            text.lines().next().unwrap_or_default(),
        );
        self.session
            .documents
            .open(uri.clone(), &text, version, language);
        let settings = self.session.settings();
        self.session.admission.open(&uri, &language_id, &settings);
        let is_lent = settings.neighbours && self.session.admission.admits(&uri);
        self.session.documents.lend(&uri, is_lent);
        self.session.set_focus(&uri);
        // Editors open a file at its beginning.
        typing::edited(&self.session, &uri, 0);
        if text.len() <= LARGEST_DOCUMENT {
            let documents = Arc::clone(&self.session.documents);
            tokio::task::spawn_blocking(move || documents.warm(&uri));
        }
    }

    fn change(&self, params: Option<Value>) {
        let method = "textDocument/didChange";
        let Some(params) = read::<DidChangeTextDocumentParams>(method, params) else {
            return;
        };
        let encoding = self.session.agreed().encoding;
        let uri = params.text_document.uri;
        let mut edits = Vec::new();
        let known = self.session.documents.change(&uri, |document| {
            for change in &params.content_changes {
                match convert::apply(document, change, encoding) {
                    Some(edit) => edits.push(edit),
                    None => edits.clear(),
                }
            }
            document.set_version(params.text_document.version);
        });
        if !known {
            tracing::warn!("the client changed {uri}, which is not open");
        }
        self.session.set_focus(&uri);
        usage::edited(&self.session, &uri, &edits);
        if let Some(edit) = edits.last() {
            typing::edited(&self.session, &uri, edit.range.start + edit.text.len());
        }
    }

    fn close(&self, params: Option<Value>) {
        let method = "textDocument/didClose";
        let Some(params) = read::<DidCloseTextDocumentParams>(method, params) else {
            return;
        };
        self.session.close(&params.text_document.uri);
    }

    /// Ends one of our requests. Returns false if it is one of tower-lsp's.
    fn cancel(&self, params: Option<&Value>) -> bool {
        params
            .and_then(|params| Id::deserialize(params.get("id")?).ok())
            .is_some_and(|id| self.session.pending.cancel(&id))
    }
}

fn build(method: Cow<'static, str>, id: Option<Id>, params: Option<Value>) -> Request {
    let mut request = Request::build(method);
    if let Some(id) = id {
        request = request.id(id);
    }
    if let Some(params) = params {
        request = request.params(params);
    }
    request.finish()
}

fn respond<E: Send + 'static>(id: Id, body: Result<Value, Error>) -> Answer<E> {
    Box::pin(async { Ok(Some(Response::from_parts(id, body))) })
}

fn value(list: &impl Serialize) -> Value {
    serde_json::to_value(list).expect("a list of strings and numbers has a JSON form")
}

/// A notification has no answer, so one that cannot be read can only be logged.
fn read<P: DeserializeOwned>(method: &str, params: Option<Value>) -> Option<P> {
    serde_json::from_value(params.unwrap_or(Value::Null))
        .inspect_err(|error| tracing::error!("cannot read {method}, which is ignored: {error}"))
        .ok()
}

#[cfg(test)]
mod tests;
