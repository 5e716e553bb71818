//! GPT-2's pair of files: `vocab.json` and `merges.txt`.
//!
//! GLM-2B, GLM-10B, GLM-RoBERTa and CodeGeeX-13B use them as they are, with special tokens after
//! the vocabulary. CodeGeeX-13B has ids for runs of two to ten spaces among these, which stand
//! outside of BPE: text is cut at them first.

use serde_json::Value;
use tokenizers::pre_tokenizers::byte_level::ByteLevel as Words;

use crate::byte_level::{self, ByteLevel};
use crate::tokenizer::{Encode, Parts};
use crate::{Error, Pairs, added, json};

/// What GLM adds to GPT-2, in the order of the ids (`GPT2BPETokenizer` in `data_utils` of GLM).
const GLM: &[&str] = &[
    "<|startofpiece|>",
    "<|endofpiece|>",
    "[CLS]",
    "[MASK]",
    "[SEP]",
    "[UNK]",
    "[gMASK]",
    "[sMASK]",
    "[dBLOCK]",
];

/// What GLM adds to RoBERTa, and which of RoBERTa's tokens it takes for its own.
const ROBERTA: &[&str] = &[
    "<|startofpiece|>",
    "<|endofpiece|>",
    "[gMASK]",
    "[sMASK]",
    "[dBLOCK]",
];
const ROBERTA_OWN: &[(&str, &str)] = &[
    ("<s>", "[CLS]"),
    ("</s>", "<|endoftext|>"),
    ("</s>", "[SEP]"),
    ("<unk>", "[UNK]"),
    ("<mask>", "[MASK]"),
    ("<pad>", "<pad>"),
];

/// How many extra tokens CodeGeeX-13B has, and which stand for 2, 3, … 10 spaces.
const EXTRA: u32 = 143;
const BLANKS: std::ops::RangeInclusive<u32> = 10..=18;

/// Reads both files.
pub(crate) fn open(
    vocab: &[u8],
    merges: &[u8],
    config: Option<&[u8]>,
    special: Pairs,
) -> Result<Parts, Error> {
    let vocab = read_vocab(vocab)?;
    let mut added = added::read(config)?;
    let next = 1 + vocab.iter().map(|(_, id)| *id).max().unwrap_or(0);
    let mut add = |spelling: &str, id: u32| {
        if !added.iter().any(|(known, _)| known == spelling) {
            added.push((spelling.to_owned(), id));
        }
    };
    let follow = |add: &mut dyn FnMut(&str, u32), spellings: &[&str]| {
        for (id, spelling) in (next..).zip(spellings) {
            add(spelling, id);
        }
    };
    match special {
        Pairs::Glm => follow(&mut add, GLM),
        Pairs::GlmRoberta => {
            for (own, alias) in ROBERTA_OWN {
                let id = vocab
                    .iter()
                    .find(|(token, _)| token == own)
                    .map(|(_, id)| *id);
                let id = id.ok_or(Error::MissingSpecial { spelling: own })?;
                add(own, id);
                add(alias, id);
            }
            follow(&mut add, ROBERTA);
        }
        Pairs::CodeGeex => {
            for k in 1..=EXTRA {
                add(&extra(k), next + k - 1);
            }
        }
    }
    let mut parts = ByteLevel {
        file: "vocab.json and merges.txt",
        vocab,
        merges: read_merges(merges)?,
        added,
        ignore_merges: false,
        normalizer: None,
        pre_tokenizer: Words::new(false, false, true).into(),
    }
    .build()?;
    if special == Pairs::CodeGeex {
        let mut blanks = Vec::new();
        for (count, k) in (2..).zip(BLANKS) {
            let id = parts.tokens.id(&extra(k)).expect("it was added above");
            parts.tokens.text(id, vec![b' '; count])?;
            blanks.push(id);
        }
        parts.encoder = Box::new(Blanks {
            inner: parts.encoder,
            blanks,
        });
    }
    Ok(parts)
}

fn extra(k: u32) -> String {
    format!("<|extratoken_{k}|>")
}

fn read_vocab(file: &[u8]) -> Result<Vec<(String, u32)>, Error> {
    match serde_json::from_slice(file) {
        Ok(Value::Object(vocab)) => vocab
            .into_iter()
            .map(|(token, id)| json::token_id("vocab.json", token, &id))
            .collect(),
        Ok(_) => Err(Error::broken(
            "vocab.json",
            "the file",
            "it is no JSON object",
        )),
        Err(error) => Err(Error::broken("vocab.json", "the file", error.to_string())),
    }
}

fn read_merges(file: &[u8]) -> Result<Vec<(String, String)>, Error> {
    let text = std::str::from_utf8(file)
        .map_err(|error| Error::broken("merges.txt", "the file", error.to_string()))?;
    text.lines()
        .filter(|line| !line.starts_with("#version") && !line.is_empty())
        .enumerate()
        .map(|(index, line)| byte_level::merge_pair("merges.txt", index + 1, line))
        .collect()
}

/// CodeGeeX-13B's own step: runs of spaces are tokens, the text between them is GPT-2's business.
struct Blanks {
    inner: Box<dyn Encode>,
    /// The ids of runs of 2, 3, … spaces.
    blanks: Vec<u32>,
}

impl Encode for Blanks {
    fn encode(&self, text: &str, start: bool) -> Vec<u32> {
        let longest = self.blanks.len() + 1;
        let mut ids = Vec::new();
        let mut plain = 0;
        let mut at = 0;
        while let Some(found) = text[at..].find("  ") {
            let first = at + found;
            let run = text[first..]
                .bytes()
                .take_while(|byte| *byte == b' ')
                .count();
            let count = run.min(longest);
            ids.extend(self.inner.encode(&text[plain..first], start));
            ids.push(self.blanks[count - 2]);
            at = first + count;
            plain = at;
        }
        ids.extend(self.inner.encode(&text[plain..], start));
        ids
    }
}
