//! The keys of a request, read one by one, so that what is wrong with one names it.
//!
//! The body they come in may be neither too large nor too slow.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use futures_util::StreamExt as _;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokio::time::timeout;

use crate::http::refusal::Refusal;

/// Bytes of the largest body: more text than any model here can read.
const LARGEST: usize = 8 << 20;

/// Bytes that are read of a body that is too large. A client that is cut off while it sends does not read why.
const MOST_READ: usize = 64 << 20;

/// How long a body may take to come.
const PATIENCE: Duration = Duration::from_secs(60);

/// The keys of a request. Keys that nobody asks for do not matter.
pub struct Fields(Map<String, Value>);

impl<S: Sync> FromRequest<S> for Fields {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Fields, Refusal> {
        taken(request).await
    }
}

/// The keys of a request, once all of it has come.
async fn taken(request: Request) -> Result<Fields, Refusal> {
    // Who waits to be told to go on does not send what is too large for nothing.
    let waits = request.headers().contains_key(header::EXPECT);
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if waits && length.is_some_and(|length| length > LARGEST) {
        return Err(too_large());
    }
    match timeout(PATIENCE, whole(request.into_body())).await {
        Ok(body) => Fields::of(&body?),
        Err(_) => Err(Refusal::of(
            StatusCode::REQUEST_TIMEOUT,
            format!("a request may take {} seconds to come", PATIENCE.as_secs()),
        )),
    }
}

/// All of a body.
async fn whole(body: Body) -> Result<Vec<u8>, Refusal> {
    let mut pieces = body.into_data_stream();
    let mut bytes = Vec::new();
    let mut read = 0;
    while let Some(piece) = pieces.next().await {
        let piece =
            piece.map_err(|error| Refusal::bad(format!("the request broke off: {error}")))?;
        read += piece.len();
        if read > MOST_READ {
            break;
        }
        match read > LARGEST {
            true => bytes = Vec::new(),
            false => bytes.extend_from_slice(&piece),
        }
    }
    match read > LARGEST {
        true => Err(too_large()),
        false => Ok(bytes),
    }
}

fn too_large() -> Refusal {
    Refusal::of(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!("a request may have {} MiB", LARGEST >> 20),
    )
}

impl Fields {
    /// The keys of a body.
    fn of(body: &[u8]) -> Result<Fields, Refusal> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(keys)) => Ok(Fields(keys)),
            Ok(_) => Err(Refusal::bad("the request must be a JSON object")),
            Err(error) => Err(Refusal::bad(format!("the request is no JSON: {error}"))),
        }
    }

    /// What a key says, if it is there and not null.
    ///
    /// # Errors
    /// If it says something else than what is wanted.
    pub fn take<T: DeserializeOwned>(&mut self, key: &str) -> Result<Option<T>, Refusal> {
        match self.0.remove(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match serde_json::from_value(value) {
                Ok(value) => Ok(Some(value)),
                Err(error) => Err(Refusal::bad_key(key, format!("is wrong: {error}"))),
            },
        }
    }

    /// A text, or several.
    ///
    /// # Errors
    /// If it is anything else.
    pub fn take_texts(&mut self, key: &str) -> Result<Option<Vec<String>>, Refusal> {
        let text = |value| match value {
            Value::String(text) => Ok(text),
            _ => Err(Refusal::bad_key(
                key,
                "must be a string or a list of strings",
            )),
        };
        match self.0.remove(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Array(texts)) => texts
                .into_iter()
                .map(text)
                .collect::<Result<_, _>>()
                .map(Some),
            Some(value) => Ok(Some(vec![text(value)?])),
        }
    }

    /// Refuses keys that ask for what this server does not do; values that ask for nothing are fine.
    ///
    /// # Errors
    /// For the first such key.
    pub fn refuse(&self, keys: &[&str]) -> Result<(), Refusal> {
        let asked = keys
            .iter()
            .find(|&&key| self.0.get(key).is_some_and(asks_for_something));
        asked.map_or(Ok(()), |&key| {
            Err(Refusal::bad_key(
                key,
                "is not supported by this server; leave it out",
            ))
        })
    }
}

fn asks_for_something(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Bool(true) => true,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !matches!(&**text, "" | "none" | "auto"),
        Value::Array(list) => !list.is_empty(),
        Value::Object(keys) => !keys.is_empty() && keys.get("type") != Some(&Value::from("text")),
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream::{iter, pending};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_refused() {
        let begun = iter([Ok::<_, Infallible>("{\"prompt\": \"")]);
        let body = Body::from_stream(begun.chain(pending()));
        let refusal = taken(Request::new(body)).await.err().unwrap();
        assert_eq!(refusal.status, StatusCode::REQUEST_TIMEOUT);
        assert!(refusal.message.contains("60 seconds"), "{refusal:?}");
    }

    #[tokio::test]
    async fn a_body_may_be_as_large_as_is_said_and_no_larger() {
        let of = |length: usize| {
            let text = "x".repeat(length - r#"{"prompt":""}"#.len());
            Request::new(Body::from(format!(r#"{{"prompt":"{text}"}}"#)))
        };
        assert!(taken(of(LARGEST)).await.is_ok());
        for length in [LARGEST + 1, MOST_READ + 1] {
            let refusal = taken(of(length)).await.err().unwrap();
            assert_eq!(refusal.status, StatusCode::PAYLOAD_TOO_LARGE, "{length}");
        }
    }
}
