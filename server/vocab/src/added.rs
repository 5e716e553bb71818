//! Added tokens from the JSON files that lie beside a vocabulary.
//!
//! Understands a `tokenizer_config.json` (`added_tokens_decoder`: id to an object with `content`)
//! and an `added_tokens.json` (spelling to id).

use serde_json::Value;

use crate::Error;
use crate::error::quote;

const FILE: &str = "tokenizer_config.json";

/// The added tokens that the file lists, in the order of their ids; none without a file or if it
/// lists none.
pub(crate) fn read(config: Option<&[u8]>) -> Result<Vec<(String, u32)>, Error> {
    let Some(config) = config else {
        return Ok(Vec::new());
    };
    let json: Value = serde_json::from_slice(config)
        .map_err(|error| Error::broken(FILE, "the file", error.to_string()))?;
    let Some(fields) = json.as_object() else {
        return Err(Error::broken(FILE, "the file", "it is no JSON object"));
    };
    let mut added = match fields.get("added_tokens_decoder") {
        Some(Value::Object(decoder)) => decoder
            .iter()
            .map(|(id, token)| {
                let content = token.get("content").and_then(Value::as_str);
                let (Ok(id), Some(content)) = (id.parse::<u32>(), content) else {
                    return Err(Error::broken(
                        FILE,
                        format!("added_tokens_decoder, {}", quote(id)),
                        "the key must be an id, and `content` a string",
                    ));
                };
                Ok((content.to_owned(), id))
            })
            .collect::<Result<Vec<_>, _>>()?,
        Some(_) => {
            let problem = "it must be an object";
            return Err(Error::broken(FILE, "added_tokens_decoder", problem));
        }
        // An `added_tokens.json` holds numbers only; any other file lists no tokens.
        None if fields.values().all(Value::is_number) => fields
            .iter()
            .map(|(spelling, id)| {
                let id = id.as_u64().and_then(|id| u32::try_from(id).ok());
                let id = id.ok_or_else(|| {
                    Error::broken("added_tokens.json", quote(spelling), "this is no token id")
                })?;
                Ok((spelling.clone(), id))
            })
            .collect::<Result<Vec<_>, Error>>()?,
        None => Vec::new(),
    };
    added.sort_by_key(|(_, id)| *id);
    Ok(added)
}
