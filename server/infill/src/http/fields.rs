//! The keys of a request, read one by one, so that what is wrong with one names it.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::http::LARGEST_BODY;
use crate::http::refusal::Refusal;

/// The keys of a request. Keys that nobody asks for do not matter.
pub struct Fields(Map<String, Value>);

impl Fields {
    /// The keys of a body.
    ///
    /// # Errors
    /// If it is too large, or no JSON object.
    pub fn of(body: Result<Bytes, BytesRejection>) -> Result<Fields, Refusal> {
        let body = body.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Refusal::of(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("a request may have {} MiB", LARGEST_BODY >> 20),
            ),
            status => Refusal::of(status, rejection.body_text()),
        })?;
        match serde_json::from_slice(&body) {
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
