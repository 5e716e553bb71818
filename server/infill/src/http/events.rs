//! Answers as server-sent events, piece by piece.

use std::collections::VecDeque;
use std::convert::Infallible;

use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use serde_json::Value;

use crate::http::answers::{Answers, End, Event};

/// How pieces are told, which each endpoint does in its own way.
pub trait Shape: Send + 'static {
    /// Before anything has come of so many answers.
    fn opening(&self, count: usize) -> Vec<Value>;
    /// More of an answer.
    fn text(&self, index: usize, text: String) -> Value;
    /// The end of an answer.
    fn end(&mut self, index: usize, end: &End) -> Value;
    /// After the end of all: data as they are sent.
    fn closing(&self) -> Vec<String>;
}

/// Answers as they are written. When the client leaves, the response is dropped, and the answers with it.
pub fn response(answers: Answers, shape: impl Shape) -> Response {
    let opening = shape.opening(answers.count());
    let telling = Telling {
        ready: opening.iter().map(Value::to_string).collect(),
        answers: Some(answers),
        shape,
    };
    let events = unfold(telling, |mut telling| async {
        let data = telling.next().await?;
        let event = sse::Event::default().data(data);
        Some((Ok::<_, Infallible>(event), telling))
    });
    Sse::new(events)
        .keep_alive(KeepAlive::default())
        .into_response()
}

struct Telling<S> {
    ready: VecDeque<String>,
    /// None once all is said.
    answers: Option<Answers>,
    shape: S,
}

impl<S: Shape> Telling<S> {
    async fn next(&mut self) -> Option<String> {
        if let Some(data) = self.ready.pop_front() {
            return Some(data);
        }
        match self.answers.as_mut()?.next().await {
            Ok(Some((index, Event::Text(text)))) => Some(self.shape.text(index, text).to_string()),
            Ok(Some((index, Event::End(end)))) => Some(self.shape.end(index, &end).to_string()),
            Ok(None) => {
                self.answers = None;
                self.ready.extend(self.shape.closing());
                self.ready.pop_front()
            }
            Err(refusal) => {
                self.answers = None;
                Some(refusal.json().to_string())
            }
        }
    }
}
