//! `vocab.txt` of a BERT: WordPiece, which GLM base and large use.
//!
//! Decoding cannot give the text back: runs of white space and line ends are one space, every
//! punctuation mark is a word of its own, upper case and accents are gone from an uncased
//! vocabulary, and a word with an unknown character is `[UNK]`, which stands for nothing here. A
//! token's bytes are a space and the word, or what follows `##`; so GLM's own detokenizer, which
//! joins words by single spaces, gives the same.

use std::collections::HashMap;

use tokenizers::Tokenizer;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;

use crate::error::quote;
use crate::tokenizer::{Encode, Parts};
use crate::tokens::Tokens;
use crate::{Error, added};

const FILE: &str = "vocab.txt";

/// The tokens of BERT that are no text.
const BERT: &[&str] = &["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/// What GLM adds, in the order of the ids (`BertWordPieceTokenizer` in `data_utils` of GLM).
const GLM: &[&str] = &[
    "<|startofpiece|>",
    "<|endofpiece|>",
    "[gMASK]",
    "[sMASK]",
    "[dBLOCK]",
];

/// Reads the file.
pub(crate) fn open(file: &[u8], config: Option<&[u8]>, lowercase: bool) -> Result<Parts, Error> {
    let text = std::str::from_utf8(file)
        .map_err(|error| Error::broken(FILE, "the file", error.to_string()))?;
    let mut tokens = Tokens::new(FILE);
    let mut vocab = HashMap::new();
    // Lines end with "\n" alone: some tokens are characters that other readers take for line ends.
    let lines = text.strip_suffix('\n').unwrap_or(text).split('\n');
    for (id, line) in (0u32..).zip(lines) {
        let token = line.strip_suffix('\r').unwrap_or(line);
        if BERT.contains(&token) {
            tokens.special(token, id)?;
        } else {
            let bytes = match token.strip_prefix("##") {
                Some(rest) if !rest.is_empty() => rest.as_bytes().to_vec(),
                _ => format!(" {token}").into_bytes(),
            };
            tokens.text(id, bytes)?;
        }
        if let Some(earlier) = vocab.insert(token.to_owned(), id) {
            let problem = format!(
                "the token {} stands in line {} already",
                quote(token),
                earlier + 1
            );
            return Err(Error::broken(FILE, format!("line {}", id + 1), problem));
        }
    }
    for spelling in BERT {
        if tokens.id(spelling).is_none() {
            return Err(Error::MissingSpecial { spelling });
        }
    }
    let next = tokens.len();
    for (spelling, id) in added::read(config)? {
        tokens.special(&spelling, id)?;
    }
    for (id, spelling) in (next..).zip(GLM) {
        if tokens.id(spelling).is_none() {
            tokens.special(spelling, id)?;
        }
    }
    let model = WordPiece::builder()
        .vocab(
            vocab
                .into_iter()
                .collect::<tokenizers::models::bpe::Vocab>(),
        )
        .unk_token("[UNK]".into())
        .build()
        .map_err(|error| Error::Unreadable(error.to_string()))?;
    let mut tokenizer = Tokenizer::new(model);
    tokenizer
        .with_normalizer(Some(BertNormalizer::new(true, true, None, lowercase)))
        .map_err(|error| Error::Unreadable(error.to_string()))?;
    tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
    Ok(Parts {
        encoder: Box::new(Words { tokenizer }),
        tokens,
    })
}

struct Words {
    tokenizer: Tokenizer,
}

impl Encode for Words {
    fn encode(&self, text: &str, _start: bool) -> Vec<u32> {
        // The model fails only without its [UNK], which was looked for.
        self.tokenizer
            .encode_fast(text, false)
            .map(|encoding| encoding.get_ids().to_vec())
            .unwrap_or_default()
    }
}
