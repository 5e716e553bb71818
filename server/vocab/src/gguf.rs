//! The tokenizer inside a GGUF file: lists of tokens, their types, and merges.
//!
//! `gpt2` is byte-level BPE; how it cuts text is named by `pre`. `llama` is a sentencepiece BPE
//! with its scores; no rules for characters are left in it.

use tokenizers::pre_tokenizers::byte_level::ByteLevel as Words;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{PreTokenizerWrapper, SplitDelimiterBehavior};

use crate::byte_level::{self, ByteLevel};
use crate::error::quote;
use crate::sentencepiece::file::{Algorithm, Kind, Model, Normal, Piece};
use crate::sentencepiece::{Apart, SentencePiece, is_marker};
use crate::tokenizer::Parts;
use crate::tokens::{MAX_IDS, Tokens};
use crate::{Error, GgufTokenizer, tiktoken};

const FILE: &str = "GGUF";

/// `token_type`: control tokens and those that a user defined. Text becomes neither.
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;

/// Reads the lists.
pub(crate) fn open(file: GgufTokenizer) -> Result<Parts, Error> {
    let count = file.tokens.len();
    if count > MAX_IDS as usize {
        let problem = format!("there are {count}, and only {MAX_IDS} are possible");
        return Err(Error::broken(FILE, "tokenizer.ggml.tokens", problem));
    }
    if !file.types.is_empty() && file.types.len() != count {
        let problem = format!("there are {} for {count} tokens", file.types.len());
        return Err(Error::broken(FILE, "tokenizer.ggml.token_type", problem));
    }
    match file.model {
        "gpt2" => pairs(file),
        "llama" => scores(file),
        other => Err(Error::Unsupported(format!(
            "tokenizer.ggml.model is {}, neither gpt2 nor llama",
            quote(other)
        ))),
    }
}

fn scores(file: GgufTokenizer) -> Result<Parts, Error> {
    let count = file.tokens.len();
    if file.scores.len() != count {
        let problem = format!("there are {} for {count} tokens", file.scores.len());
        return Err(Error::broken(FILE, "tokenizer.ggml.scores", problem));
    }
    if file.types.is_empty() {
        let problem = "a tokenizer of the model llama needs them";
        return Err(Error::broken(FILE, "tokenizer.ggml.token_type", problem));
    }
    let entries = file.tokens.iter().zip(file.scores).zip(file.types);
    let piece = |(index, ((text, score), number)): (usize, ((&String, &f32), &i32))| {
        let wrong =
            |problem: &str| Error::broken(FILE, format!("token {index}, {}", quote(text)), problem);
        let kind = u64::try_from(*number).ok().and_then(Kind::from_number);
        let piece = Piece {
            text: text.clone(),
            score: *score,
            kind: kind.ok_or_else(|| wrong(&format!("it has the unknown type {number}")))?,
        };
        piece.check().map_err(|problem| wrong(&problem))?;
        Ok(piece)
    };
    let pieces = entries
        .enumerate()
        .map(piece)
        .collect::<Result<Vec<_>, Error>>()?;
    let model = Model {
        byte_fallback: pieces.iter().any(|piece| piece.kind == Kind::Byte),
        pieces,
        algorithm: Algorithm::Bpe,
        normal: Normal {
            dummy_prefix: file.space_prefix.unwrap_or(true),
            squeeze: false,
            ..Normal::default()
        },
    };
    let mut tokens = Tokens::new(FILE);
    let encoder = SentencePiece::new(FILE, model, 0, &mut tokens, |piece| {
        is_marker(piece).then_some(Apart::Special)
    })?;
    Ok(Parts {
        encoder: Box::new(encoder),
        tokens,
    })
}

fn pairs(file: GgufTokenizer) -> Result<Parts, Error> {
    let (pre_tokenizer, ignore_merges): (PreTokenizerWrapper, bool) = match file.pre {
        Some("chatglm-bpe" | "glm4") => (glm4(), true),
        Some("gpt-2") => (Words::new(false, false, true).into(), false),
        other => {
            return Err(Error::Unsupported(format!(
                "tokenizer.ggml.pre is {}, not chatglm-bpe, glm4 or gpt-2",
                quote(other.unwrap_or("missing"))
            )));
        }
    };
    let (mut vocab, mut added) = (Vec::new(), Vec::new());
    for (index, (id, token)) in (0u32..).zip(file.tokens).enumerate() {
        let is_special = matches!(file.types.get(index), Some(&(CONTROL | USER_DEFINED)));
        let list = if is_special { &mut added } else { &mut vocab };
        list.push((token.clone(), id));
    }
    let merges = (1..)
        .zip(file.merges)
        .map(|(number, line)| byte_level::merge_pair(FILE, number, line));
    ByteLevel {
        file: FILE,
        vocab,
        merges: merges.collect::<Result<_, _>>()?,
        added,
        ignore_merges,
        normalizer: None,
        pre_tokenizer,
    }
    .build()
}

/// GLM-4's way to cut text, then the printable alphabet.
fn glm4() -> PreTokenizerWrapper {
    let split = Split::new(
        SplitPattern::Regex(tiktoken::PATTERN.into()),
        SplitDelimiterBehavior::Isolated,
        false,
    )
    .expect("the pattern is a valid regular expression");
    let steps: [PreTokenizerWrapper; 2] = [split.into(), Words::new(false, false, false).into()];
    Sequence::new(steps.into()).into()
}
