//! The tokenizer that a GGUF file carries, as plain lists.
//!
//! Takes the metadata `tokenizer.ggml.*`, gives it with the types checked. What a token means is for `vocab`.

use super::{Checkpoint, Described, gguf::Value};
use crate::config::Pair;

/// A tokenizer as llama.cpp's files describe it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GgufTokenizer {
    /// The algorithm: `gpt2`, `llama` and others.
    pub model: String,
    /// The rules that split text before the merges.
    pub pre: Option<String>,
    /// The tokens' spellings by id.
    pub tokens: Vec<String>,
    /// The tokens' scores, where the algorithm has any.
    pub scores: Vec<f32>,
    /// The tokens' types: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.
    pub types: Vec<i32>,
    /// Pairs that merge, in order.
    pub merges: Vec<String>,
    /// Ids with a meaning, by the key as in `tokenizer.ggml.eos_token_id`.
    pub special: Vec<(String, u32)>,
    /// Whether a text begins with the token of beginnings.
    pub add_bos: Option<bool>,
    /// Whether a text ends with the token of ends.
    pub add_eos: Option<bool>,
    /// Whether a text begins with a space.
    pub space_prefix: Option<bool>,
}

impl Checkpoint<'_> {
    /// The tokenizer in the metadata as another file may carry it; nothing if there is none.
    pub(crate) fn tokenizer_pairs(&self) -> Vec<(String, Pair)> {
        let Described::Gguf(metadata) = &self.opened.described else {
            return Vec::new();
        };
        let pair = |(key, value): (&&str, &Value)| {
            let pair = match *value {
                _ if !key.starts_with("tokenizer.ggml.") => return None,
                Value::Integer(number) => Pair::Count(number),
                Value::Float(number) => Pair::Float(number),
                Value::Bool(flag) => Pair::Flag(flag),
                Value::Text(text) => Pair::Text(text.to_owned()),
                Value::Array(array) => {
                    let (kind, count, bytes) = array.parts();
                    Pair::Array(kind, count, bytes.to_owned())
                }
                // Of a tokenizer no such number is used.
                Value::Negative => return None,
            };
            Some(((*key).to_owned(), pair))
        };
        metadata.iter().filter_map(pair).collect()
    }

    /// The tokenizer in the metadata; `None` if there is none.
    pub(crate) fn tokenizer(&self) -> Option<GgufTokenizer> {
        let Described::Gguf(metadata) = &self.opened.described else {
            return None;
        };
        let value = |key: &str| {
            metadata
                .get(format!("tokenizer.ggml.{key}").as_str())
                .copied()
        };
        let text = |key: &str| match value(key) {
            Some(Value::Text(text)) => Some(text.to_owned()),
            _ => None,
        };
        let flag = |key: &str| match value(key) {
            Some(Value::Bool(flag)) => Some(flag),
            _ => None,
        };
        let values = |key: &str| match value(key) {
            Some(Value::Array(array)) => Some(array.values()),
            _ => None,
        };
        let texts = |key: &str| {
            let all = values(key).into_iter().flatten();
            all.filter_map(|value| match value {
                Value::Text(text) => Some(text.to_owned()),
                _ => None,
            })
            .collect::<Vec<_>>()
        };
        let special = metadata.iter().filter_map(|(key, value)| {
            let name = key.strip_prefix("tokenizer.ggml.")?;
            match (name.ends_with("_token_id"), value) {
                (true, Value::Integer(id)) => Some((name.to_owned(), u32::try_from(*id).ok()?)),
                _ => None,
            }
        });
        Some(GgufTokenizer {
            model: text("model")?,
            pre: text("pre"),
            tokens: texts("tokens"),
            scores: values("scores")
                .into_iter()
                .flatten()
                .filter_map(|value| match value {
                    Value::Float(score) => Some(score as f32),
                    _ => None,
                })
                .collect(),
            types: values("token_type")
                .into_iter()
                .flatten()
                .filter_map(|value| match value {
                    Value::Integer(kind) => i32::try_from(kind).ok(),
                    _ => None,
                })
                .collect(),
            merges: texts("merges"),
            special: special.collect(),
            add_bos: flag("add_bos_token"),
            add_eos: flag("add_eos_token"),
            space_prefix: flag("add_space_prefix"),
        })
    }
}
