//! The tokenizer inside a GGUF file: lists of tokens, their types, and merges.
//!
//! `gpt2` is byte-level BPE; how it cuts text is named by `pre`.

use tokenizers::pre_tokenizers::byte_level::ByteLevel as Words;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{PreTokenizerWrapper, SplitDelimiterBehavior};

use crate::byte_level::{self, ByteLevel};
use crate::error::quote;
use crate::tokenizer::Parts;
use crate::tokens::MAX_IDS;
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
        other => Err(Error::Unsupported(format!(
            "tokenizer.ggml.model is {}, not gpt2",
            quote(other)
        ))),
    }
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
