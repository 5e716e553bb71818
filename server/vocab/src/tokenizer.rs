//! `tokenizer.json` to a [`Vocab`]: encoding of plain text, and the bytes behind every id.
//!
//! Encoding is left to the `tokenizers` crate, but the added tokens are taken out of the file
//! before it sees them: nothing then matches `[MASK]` or `<|endoftext|>` inside a user's text.
//! Decoding is a table of bytes, built once by undoing the printable alphabet of byte-level BPE.

use std::collections::HashMap;

use serde_json::Value;
use tokenizers::Tokenizer;

use crate::Special;

/// Why a `tokenizer.json` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is not JSON, or not a tokenizer that the `tokenizers` crate can read.
    #[error("the tokenizer cannot be read: {0}")]
    Unreadable(String),
    /// A token for this byte is missing, so some texts could not be encoded.
    #[error("the tokenizer is no byte-level BPE: it has no token for byte 0x{byte:02x}")]
    NotByteLevel {
        /// The first byte without a token.
        byte: u8,
    },
    /// A GLM special token is missing.
    #[error("the tokenizer has no special token {spelling}")]
    MissingSpecial {
        /// How the token is spelled in the file.
        spelling: &'static str,
    },
}

/// A vocabulary: text to ids and back. Cheap to share behind an `Arc`, never changed once made.
pub struct Vocab {
    tokenizer: Tokenizer,
    /// The ids of added and of plain tokens, by spelling.
    spellings: HashMap<String, u32>,
    /// The bytes each id stands for; empty for special ids and for gaps.
    tokens: Vec<Box<[u8]>>,
    /// The id of each single byte.
    byte_ids: [u32; 256],
}

impl Vocab {
    /// Reads a `tokenizer.json` of a byte-level BPE that has GLM's special tokens, either as added
    /// tokens or as plain entries of the model's vocabulary.
    pub fn from_json(tokenizer_json: &[u8]) -> Result<Vocab, Error> {
        let mut json: Value = serde_json::from_slice(tokenizer_json)
            .map_err(|error| Error::Unreadable(error.to_string()))?;
        let added = take_added(&mut json);
        let tokenizer = serde_json::to_vec(&json)
            .map_err(|error| Error::Unreadable(error.to_string()))
            .and_then(|bytes| {
                Tokenizer::from_bytes(bytes).map_err(|error| Error::Unreadable(error.to_string()))
            })?;
        let plain = tokenizer.get_vocab(false);
        let special =
            Special::find(|spelling| added.get(spelling).or_else(|| plain.get(spelling)).copied());
        let tokens = token_bytes(&plain, &added, special.as_ref().ok());
        let byte_ids = byte_ids(&tokens)?;
        let mut spellings = plain;
        spellings.extend(added);
        Ok(Vocab {
            tokenizer,
            spellings,
            tokens,
            byte_ids,
        })
    }

    /// The ids of plain text. Nothing in the text becomes a special id, however it is spelled.
    ///
    /// No token crosses a line start, so the ids of several lines are those of each line in turn.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        match self.tokenizer.encode_fast(text, false) {
            Ok(encoding) => encoding.get_ids().to_vec(),
            // The regular expression engine may refuse a text; single bytes always work.
            Err(_) => text.bytes().map(|byte| self.byte_id(byte)).collect(),
        }
    }

    /// The text of these ids. Special ids are skipped, bytes that are no UTF-8 give U+FFFD.
    pub fn decode(&self, ids: &[u32]) -> String {
        let bytes: Vec<u8> = ids.iter().flat_map(|&id| self.bytes(id)).copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The bytes that a plain token stands for; none for special and unknown ids.
    pub fn bytes(&self, id: u32) -> &[u8] {
        self.tokens.get(id as usize).map_or(&[], |bytes| bytes)
    }

    /// The ids of GLM's special tokens.
    pub fn special(&self) -> Result<Special, Error> {
        Special::find(|spelling| self.id(spelling))
    }

    /// The id of the token with this spelling.
    pub fn id(&self, spelling: &str) -> Option<u32> {
        self.spellings.get(spelling).copied()
    }

    /// The ids of a text as the maker's tokenizer encodes a whole one.
    pub fn encode_start(&self, text: &str) -> Vec<u32> {
        self.encode(text)
    }

    /// Whether no token crosses the start of a line.
    pub fn is_line_local(&self) -> bool {
        let lines = ["}\n", "\n", "\n", "    x\n"];
        let by_line: Vec<u32> = lines.iter().flat_map(|line| self.encode(line)).collect();
        self.encode(&lines.concat()) == by_line
    }

    /// How many ids there are, special ones included: every id is below this.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there is no id at all; never true of a vocabulary that was read from a file.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    pub(crate) fn byte_id(&self, byte: u8) -> u32 {
        self.byte_ids[usize::from(byte)]
    }
}

/// Takes the added tokens out of the file, as well as whatever would add, cut or pad ids.
fn take_added(json: &mut Value) -> HashMap<String, u32> {
    let Some(fields) = json.as_object_mut() else {
        return HashMap::new();
    };
    for field in ["post_processor", "truncation", "padding"] {
        fields.remove(field);
    }
    let added = fields.insert("added_tokens".into(), Value::Array(Vec::new()));
    let entry = |token: &Value| {
        let id = u32::try_from(token.get("id")?.as_u64()?).ok()?;
        Some((token.get("content")?.as_str()?.to_owned(), id))
    };
    added
        .as_ref()
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(entry)
        .collect()
}

/// The bytes behind every id, special ids left empty.
fn token_bytes(
    plain: &HashMap<String, u32>,
    added: &HashMap<String, u32>,
    special: Option<&Special>,
) -> Vec<Box<[u8]>> {
    let silent = special.map_or(Vec::new(), |special| {
        let Special {
            mask,
            smask,
            gmask,
            sop,
            eop,
            cls,
            eos,
        } = *special;
        vec![mask, smask, gmask, sop, eop, cls, eos]
    });
    let len = plain
        .values()
        .chain(added.values())
        .max()
        .map_or(0, |&id| id as usize + 1);
    let mut tokens = vec![Box::default(); len];
    let alphabet = alphabet();
    for (token, &id) in plain {
        if !silent.contains(&id) && !added.contains_key(token) {
            tokens[id as usize] = token
                .chars()
                .filter_map(|c| alphabet.get(&c))
                .copied()
                .collect();
        }
    }
    tokens
}

/// The id of each single byte, or the first byte that has none.
fn byte_ids(tokens: &[Box<[u8]>]) -> Result<[u32; 256], Error> {
    let mut ids = [None; 256];
    for (id, token) in (0u32..).zip(tokens) {
        if let [byte] = **token {
            ids[usize::from(byte)].get_or_insert(id);
        }
    }
    let mut bytes = [0; 256];
    for (byte, id) in (0u8..=255).zip(ids) {
        bytes[usize::from(byte)] = id.ok_or(Error::NotByteLevel { byte })?;
    }
    Ok(bytes)
}

/// The printable alphabet of byte-level BPE: printable Latin-1 bytes stand for themselves, the
/// others, in order, for the characters from U+0100 on.
fn alphabet() -> HashMap<char, u8> {
    let is_printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let rest = ('\u{100}'..).zip((0..=255).filter(|&byte| !is_printable(byte)));
    (0..=255)
        .filter(|&byte| is_printable(byte))
        .map(|byte| (char::from(byte), byte))
        .chain(rest)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn any_text_survives_the_round_trip() {
        let vocab = fixture::vocab();
        for text in [
            "",
            "def f(x):\r\n\treturn x + 1\n",
            "  grüße, 世界 😀\u{0}\u{7f}\u{a0}\u{2028}",
            "[MASK] [sMASK] <|endoftext|>[CLS]<|startofpiece|>",
        ] {
            assert_eq!(vocab.decode(&vocab.encode(text)), text);
        }
    }

    #[test]
    fn text_never_becomes_a_special_id() {
        let vocab = fixture::vocab();
        let ids =
            vocab.encode("[MASK][sMASK][gMASK]<|startofpiece|><|endofpiece|>[CLS]<|endoftext|>");
        assert!(ids.iter().all(|&id| !vocab.bytes(id).is_empty()), "{ids:?}");
    }

    #[test]
    fn special_ids_decode_to_nothing() {
        let vocab = fixture::vocab();
        let special = vocab.special().unwrap();
        let mut ids = vocab.encode("ab");
        ids.insert(0, special.cls);
        ids.extend([special.mask, special.eos, u32::MAX]);
        assert_eq!(vocab.decode(&ids), "ab");
        assert!(vocab.len() > special.eos as usize);
    }

    #[test]
    fn encoding_is_line_local() {
        let vocab = fixture::vocab();
        let lines = [
            "if x:\n",
            "\n",
            "    y = 1  \r\n",
            "    \treturn  \n",
            "}\r",
            "  end",
        ];
        let by_line: Vec<u32> = lines.iter().flat_map(|line| vocab.encode(line)).collect();
        assert_eq!(vocab.encode(&lines.concat()), by_line);
    }

    #[test]
    fn a_bad_file_says_what_is_wrong() {
        let error = |json: &str| {
            Vocab::from_json(json.as_bytes())
                .err()
                .map(|e| e.to_string())
        };
        assert!(error("{").is_some_and(|e| e.starts_with("the tokenizer cannot be read")));
        let mut json: Value = serde_json::from_str(&fixture::tokenizer_json()).unwrap();
        for token in json["added_tokens"].as_array_mut().unwrap() {
            if token["content"] == "[sMASK]" {
                token["content"] = "[other]".into();
            }
        }
        let vocab = json["model"]["vocab"].as_object_mut().unwrap();
        vocab.remove("[sMASK]");
        let vocab = Vocab::from_json(json.to_string().as_bytes()).unwrap();
        assert_eq!(
            vocab.special().map_err(|e| e.to_string()),
            Err("the tokenizer has no special token [sMASK]".to_owned())
        );
    }
}
