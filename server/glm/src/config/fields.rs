//! One way to read the values of a description, whichever kind of file it is.
//!
//! Takes a checkpoint, gives counts, numbers, flags and texts by key, each checked; every error names file and key.

use crate::{
    Activation, Error,
    checkpoint::{Checkpoint, Description, Value},
};

/// Greatest size that a description may state; it keeps products of sizes far from overflow.
const LARGEST: u64 = 1 << 24;

/// The values of a checkpoint's description, all keys under one prefix.
pub(super) struct Fields<'a> {
    checkpoint: &'a Checkpoint<'a>,
    prefix: String,
}

/// A value of either kind of file.
enum Field {
    Integer(u64),
    Float(f64),
    Flag(bool),
    Text(String),
    Other,
}

impl<'a> Fields<'a> {
    /// The values whose keys begin with `prefix`.
    pub(super) fn new(checkpoint: &'a Checkpoint, prefix: &str) -> Fields<'a> {
        Fields {
            checkpoint,
            prefix: prefix.to_owned(),
        }
    }

    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// The value of a key; a dot goes down into an object of a JSON file. Null is as good as absent.
    fn get(&self, key: &str) -> Option<Field> {
        let json = match self.checkpoint.description() {
            Description::Gguf(metadata) => {
                return Some(match metadata.get(self.key(key).as_str())? {
                    Value::Integer(number) => Field::Integer(*number),
                    Value::Float(number) => Field::Float(*number),
                    Value::Bool(flag) => Field::Flag(*flag),
                    Value::Text(text) => Field::Text((*text).to_owned()),
                    Value::Negative | Value::Array(_) => Field::Other,
                });
            }
            Description::Json(object) => object,
            Description::Sat(object) => object?,
        };
        let mut value = None;
        let mut object = Some(json);
        for part in key.split('.') {
            value = object?.get(part);
            object = value.and_then(serde_json::Value::as_object);
        }
        Some(match value? {
            serde_json::Value::Null => return None,
            serde_json::Value::Bool(flag) => Field::Flag(*flag),
            serde_json::Value::String(text) => Field::Text(text.clone()),
            serde_json::Value::Number(number) => match number.as_u64() {
                Some(number) => Field::Integer(number),
                None => Field::Float(number.as_f64()?),
            },
            _ => Field::Other,
        })
    }

    /// Whether the key is there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// An error about a key.
    pub(super) fn bad(&self, key: &str, why: impl Into<String>) -> Error {
        self.checkpoint.bad_metadata(&self.key(key), why)
    }

    /// A size, at least 1.
    pub(super) fn count(&self, key: &str) -> Result<usize, Error> {
        self.optional_count(key)?
            .ok_or_else(|| self.bad(key, "is missing"))
    }

    /// A size, at least 1, that may be absent.
    pub(super) fn optional_count(&self, key: &str) -> Result<Option<usize>, Error> {
        match self.get(key) {
            None => Ok(None),
            Some(Field::Integer(count)) if (1..=LARGEST).contains(&count) => {
                Ok(Some(count as usize))
            }
            Some(_) => Err(self.bad(key, "is not a positive count of sensible size")),
        }
    }

    /// A size that may be 0 or absent, which is the same.
    pub(super) fn count_or_zero(&self, key: &str) -> Result<usize, Error> {
        match self.get(key) {
            Some(Field::Integer(0)) => Ok(0),
            _ => Ok(self.optional_count(key)?.unwrap_or(0)),
        }
    }

    /// A finite number that may be absent.
    pub(super) fn float(&self, key: &str) -> Result<Option<f32>, Error> {
        let number = match self.get(key) {
            None => return Ok(None),
            Some(Field::Float(number)) => number as f32,
            Some(Field::Integer(number)) => number as f32,
            Some(_) => f32::NAN,
        };
        if number.is_finite() {
            Ok(Some(number))
        } else {
            Err(self.bad(key, "is not a finite number"))
        }
    }

    /// A yes or no, with what absence means.
    pub(super) fn flag(&self, key: &str, absent: bool) -> Result<bool, Error> {
        match self.get(key) {
            None => Ok(absent),
            Some(Field::Flag(flag)) => Ok(flag),
            Some(Field::Integer(number @ 0..=1)) => Ok(number == 1),
            Some(_) => Err(self.bad(key, "is not true or false")),
        }
    }

    /// A text that may be absent.
    pub(super) fn text(&self, key: &str) -> Result<Option<String>, Error> {
        match self.get(key) {
            None => Ok(None),
            Some(Field::Text(text)) => Ok(Some(text)),
            Some(_) => Err(self.bad(key, "is not a string")),
        }
    }

    /// An activation by its name in the files of transformers.
    pub(super) fn activation(&self, key: &str, absent: Activation) -> Result<Activation, Error> {
        Ok(match self.text(key)?.as_deref() {
            None => absent,
            Some("silu" | "swish") => Activation::Silu,
            Some("gelu") => Activation::Gelu,
            Some("gelu_tanh" | "gelu_new" | "gelu_pytorch_tanh") => Activation::GeluTanh,
            Some("quick_gelu") => Activation::QuickGelu,
            Some(other) => {
                return Err(self.bad(
                    key,
                    format!("is `{other}`, which no model of this family uses"),
                ));
            }
        })
    }
}
