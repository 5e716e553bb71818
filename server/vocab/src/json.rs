//! `tokenizer.json` of a byte-level BPE.
//!
//! Takes the model's vocabulary and merges, what normalizes and cuts text, and the added tokens.
//! All else in the file (post-processor, truncation, padding, dropout) would add, cut or shuffle
//! ids and is left aside.

use serde_json::Value;

use crate::Error;
use crate::byte_level::{self, ByteLevel};
use crate::error::quote;
use crate::tokenizer::Parts;

const FILE: &str = "tokenizer.json";

/// The steps before the model that byte-level BPE is published with. Others lose text, or take
/// numbers that the file could get wrong.
const NORMALIZERS: &[&str] = &["Sequence", "NFC", "NFD", "NFKC", "NFKD"];
const PRE_TOKENIZERS: &[&str] = &["Sequence", "Split", "ByteLevel", "Digits", "Punctuation"];

/// Reads the file.
pub(crate) fn open(file: &[u8]) -> Result<Parts, Error> {
    let mut json: Value =
        serde_json::from_slice(file).map_err(|error| Error::Unreadable(error.to_string()))?;
    if !json.is_object() {
        return Err(Error::broken(FILE, "the file", "it is no JSON object"));
    }
    let added = added(&json["added_tokens"])?;
    let model = &mut json["model"];
    // Older files do not name the type; those with merges are BPE.
    let is_bpe = model["type"] == "BPE" || (model["type"].is_null() && model["merges"].is_array());
    if !is_bpe {
        let problem = format!("the type is {}, and only BPE is supported", model["type"]);
        return Err(Error::broken(FILE, "model", problem));
    }
    for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
        if model[key].as_str().is_some_and(|value| !value.is_empty()) {
            let problem = "a byte-level BPE has none";
            return Err(Error::broken(FILE, format!("model.{key}"), problem));
        }
    }
    let ignore_merges = model["ignore_merges"] == true;
    let vocab = vocab(model["vocab"].take())?;
    let merges = merges(model["merges"].take())?;
    known(
        "normalizer",
        &json["normalizer"],
        "normalizers",
        NORMALIZERS,
    )?;
    known(
        "pre_tokenizer",
        &json["pre_tokenizer"],
        "pretokenizers",
        PRE_TOKENIZERS,
    )?;
    let broken = |key: &'static str| {
        move |error: serde_json::Error| Error::broken(FILE, key, error.to_string())
    };
    let normalizer =
        serde_json::from_value(json["normalizer"].take()).map_err(broken("normalizer"))?;
    let pre_tokenizer =
        serde_json::from_value(json["pre_tokenizer"].take()).map_err(broken("pre_tokenizer"))?;
    ByteLevel {
        file: FILE,
        vocab,
        merges,
        added,
        ignore_merges,
        normalizer,
        pre_tokenizer,
    }
    .build()
}

fn added(list: &Value) -> Result<Vec<(String, u32)>, Error> {
    let entry = |(index, token): (usize, &Value)| {
        let id = token["id"].as_u64().and_then(|id| u32::try_from(id).ok());
        match (token["content"].as_str(), id) {
            (Some(content), Some(id)) => Ok((content.to_owned(), id)),
            _ => Err(Error::broken(
                FILE,
                format!("added_tokens, entry {index}"),
                "it needs `content`, a string, and `id`, a number",
            )),
        }
    };
    let list = list.as_array().map_or(&[][..], Vec::as_slice);
    list.iter().enumerate().map(entry).collect()
}

fn vocab(vocab: Value) -> Result<Vec<(String, u32)>, Error> {
    let Value::Object(vocab) = vocab else {
        return Err(Error::broken(
            FILE,
            "model.vocab",
            "it must be an object of tokens and ids",
        ));
    };
    vocab
        .into_iter()
        .map(|(token, id)| token_id(FILE, token, &id))
        .collect()
}

/// A token and its id as JSON has them.
pub(crate) fn token_id(
    file: &'static str,
    token: String,
    id: &Value,
) -> Result<(String, u32), Error> {
    match id.as_u64().and_then(|id| u32::try_from(id).ok()) {
        Some(id) => Ok((token, id)),
        None => Err(Error::broken(
            file,
            format!("token {}", quote(&token)),
            format!("{} is no token id", quote(&id.to_string())),
        )),
    }
}

fn merges(merges: Value) -> Result<Vec<(String, String)>, Error> {
    let Value::Array(merges) = merges else {
        return Err(Error::broken(FILE, "model.merges", "it must be an array"));
    };
    let pair = |(index, merge): (usize, Value)| match merge {
        Value::String(line) => byte_level::merge_pair(FILE, index + 1, &line),
        Value::Array(parts) => match <[Value; 2]>::try_from(parts) {
            Ok([Value::String(left), Value::String(right)])
                if !left.is_empty() && !right.is_empty() =>
            {
                Ok((left, right))
            }
            _ => Err(Error::broken(
                FILE,
                format!("merge {}", index + 1),
                "it must be two tokens",
            )),
        },
        _ => Err(Error::broken(
            FILE,
            format!("merge {}", index + 1),
            "it must be a string or two of them",
        )),
    };
    merges.into_iter().enumerate().map(pair).collect()
}

/// Checks that a step, and those inside a sequence, are of a known type.
fn known(key: &'static str, step: &Value, inner: &str, types: &[&str]) -> Result<(), Error> {
    if step.is_null() {
        return Ok(());
    }
    let name = step["type"].as_str().unwrap_or("nothing");
    if !types.contains(&name) {
        let problem = format!(
            "its type is {}, and only {types:?} are supported",
            quote(name)
        );
        return Err(Error::broken(FILE, key, problem));
    }
    let steps = step[inner].as_array().map_or(&[][..], Vec::as_slice);
    steps
        .iter()
        .try_for_each(|step| known(key, step, inner, types))
}
