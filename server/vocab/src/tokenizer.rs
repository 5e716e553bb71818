//! A tokenizer's files to a [`Vocab`]: encoding of plain text, and the bytes behind every id.
//!
//! Each kind of file has its own module, which gives an encoder that knows no special tokens and
//! the table of what every id stands for. Decoding is that table.

use std::collections::HashMap;
use std::sync::OnceLock;

use crate::heal::ByBytes;
use crate::tokens::Tokens;
use crate::{
    Error, Source, Special, gguf, gpt2, ice, json, lines, sentencepiece, tiktoken, wordpiece,
};

/// Plain text to ids, by the rules of one kind of tokenizer.
pub(crate) trait Encode: Send + Sync {
    /// The ids of `text`, which continues earlier text or, if `start`, is a whole text.
    fn encode(&self, text: &str, start: bool) -> Vec<u32>;
}

/// What a module of a kind makes of its files.
pub(crate) struct Parts {
    pub(crate) encoder: Box<dyn Encode>,
    pub(crate) tokens: Tokens,
}

/// A vocabulary: text to ids and back. Cheap to share behind an `Arc`, never changed once made.
pub struct Vocab {
    encoder: Box<dyn Encode>,
    /// Ids of the special tokens by spelling.
    special: HashMap<String, u32>,
    /// The bytes each id stands for; empty for special ids and for gaps.
    tokens: Vec<Box<[u8]>>,
    is_line_local: bool,
    /// The tokens in the order of their bytes, once somebody has asked for it.
    by_bytes: OnceLock<ByBytes>,
}

impl Vocab {
    /// Reads a tokenizer of any kind.
    ///
    /// # Errors
    /// If a file is damaged or of another kind than said; the message names the file, the place
    /// and what is wrong.
    pub fn open(source: Source) -> Result<Vocab, Error> {
        let parts = match source {
            Source::Json(file) => json::open(file),
            Source::Tiktoken { ranks, config } => tiktoken::open(ranks, config),
            Source::SentencePiece {
                model,
                config,
                special,
            } => sentencepiece::open(model, config, special),
            Source::Ice { model, images } => ice::open(model, images),
            Source::Gpt2 {
                vocab,
                merges,
                config,
                special,
            } => gpt2::open(vocab, merges, config, special),
            Source::WordPiece {
                vocab,
                config,
                lowercase,
            } => wordpiece::open(vocab, config, lowercase),
            Source::Gguf(tokenizer) => gguf::open(tokenizer),
        }?;
        let (tokens, special) = parts.tokens.take();
        let is_line_local = lines::are_local(&tokens, |text| parts.encoder.encode(text, false));
        Ok(Vocab {
            encoder: parts.encoder,
            special,
            tokens,
            is_line_local,
            by_bytes: OnceLock::new(),
        })
    }

    /// Reads a `tokenizer.json` of a byte-level BPE.
    ///
    /// # Errors
    /// As [`Vocab::open`].
    pub fn from_json(tokenizer_json: &[u8]) -> Result<Vocab, Error> {
        Vocab::open(Source::Json(tokenizer_json))
    }

    /// The ids of plain text that continues earlier text. Nothing in the text becomes a special
    /// id, however it is spelled.
    ///
    /// Except for WordPiece, [`Vocab::decode`] gives the same text again, unless a sentencepiece
    /// model normalizes: NFKC folds compatible characters, and where the model says so, runs of
    /// spaces become one and characters that it lacks are lost.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        self.encoder.encode(text, false)
    }

    /// The ids of a whole text as the makers' tokenizer gives them: sentencepiece puts a space
    /// before it. The same as [`Vocab::encode`] for byte-level BPE and WordPiece.
    pub fn encode_start(&self, text: &str) -> Vec<u32> {
        self.encoder.encode(text, true)
    }

    /// Whether the ids of a text are those of its lines in turn, however the text is cut at line
    /// starts. False where tokens span line starts, such as GLM-4's runs of newlines.
    pub fn is_line_local(&self) -> bool {
        self.is_line_local
    }

    /// The text of these ids. Special ids are skipped, bytes that are no UTF-8 give U+FFFD.
    pub fn decode(&self, ids: &[u32]) -> String {
        let bytes: Vec<u8> = ids.iter().flat_map(|&id| self.bytes(id)).copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The text of these ids with the special ones spelled out, for people to read.
    pub fn spell(&self, ids: &[u32]) -> String {
        let spellings: HashMap<u32, &str> = self
            .special
            .iter()
            .map(|(spelling, &id)| (id, &**spelling))
            .collect();
        let bytes = ids.iter().flat_map(|id| match spellings.get(id) {
            Some(spelling) => spelling.as_bytes(),
            None => self.bytes(*id),
        });
        String::from_utf8_lossy(&bytes.copied().collect::<Vec<u8>>()).into_owned()
    }

    /// The bytes that a plain token stands for; none for special and unknown ids. A word of
    /// WordPiece comes with the space before it.
    pub fn bytes(&self, id: u32) -> &[u8] {
        self.tokens.get(id as usize).map_or(&[], |bytes| bytes)
    }

    /// The id of a special token by its spelling, such as `[gMASK]` or `<|code_suffix|>`.
    pub fn id(&self, spelling: &str) -> Option<u32> {
        self.special.get(spelling).copied()
    }

    /// The ids of GLM's seven special tokens, under whichever of the makers' spellings they have.
    ///
    /// # Errors
    /// If one of them is missing: ChatGLM2 and later have no `[CLS]`.
    pub fn special(&self) -> Result<Special, Error> {
        Special::find(|spelling| self.id(spelling))
    }

    /// How many ids there are, special ones included: every id is below this.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there is no id at all; never true of a vocabulary that was read from a file.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// The tokens in the order of their bytes; sorted at the first call, which takes some milliseconds.
    pub(crate) fn by_bytes(&self) -> &ByBytes {
        self.by_bytes.get_or_init(|| ByBytes::new(&self.tokens))
    }

    /// The id of a byte by itself.
    #[cfg(test)]
    pub(crate) fn byte_id(&self, byte: u8) -> u32 {
        let id = self.tokens.iter().position(|token| **token == [byte]);
        u32::try_from(id.unwrap()).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use serde_json::Value;

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
        assert_eq!(vocab.spell(&ids), "[CLS]ab[MASK]<|endoftext|>");
        assert!(vocab.len() > special.eos as usize);
    }

    #[test]
    fn encoding_is_line_local() {
        let vocab = fixture::vocab();
        assert!(vocab.is_line_local());
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
            vocab.special().unwrap_err().to_string(),
            "the tokenizer has no special token [sMASK]"
        );
        assert!(vocab.id("[other]").is_some() && vocab.id("[sMASK]").is_none());
    }
}
