//! GLM-4's `tokenizer.model`: a tiktoken rank file.
//!
//! Each line is a token in base64 and its rank, which is also its id. There are no merges: two
//! neighbours join if together they are a token, those of the lowest rank first. Text is cut by
//! the pattern of `ChatGLM4Tokenizer`, the one of `cl100k_base` but for its possessive groups.

use std::cmp::Reverse;
use std::collections::HashMap;

use tokenizers::utils::SysRegex;

use crate::error::quote;
use crate::merge::{Symbol, merge};
use crate::tokenizer::{Encode, Parts};
use crate::tokens::Tokens;
use crate::{Error, added};

const FILE: &str = "tokenizer.model";

/// Where GLM-4 and all later models cut text into words before they merge.
pub(crate) const PATTERN: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// What follows GLM-4's ranks if no other file says so.
const GLM4: &[&str] = &[
    "<|endoftext|>",
    "[MASK]",
    "[gMASK]",
    "[sMASK]",
    "<sop>",
    "<eop>",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
    "<|observation|>",
    "<|begin_of_image|>",
    "<|end_of_image|>",
    "<|begin_of_video|>",
    "<|end_of_video|>",
];

/// Reads the rank file, and the added tokens where a config names them.
pub(crate) fn open(file: &[u8], config: Option<&[u8]>) -> Result<Parts, Error> {
    let text = std::str::from_utf8(file)
        .map_err(|error| Error::broken(FILE, "the file", error.to_string()))?;
    let mut tokens = Tokens::new(FILE);
    let mut ranks = HashMap::new();
    for (index, line) in text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.is_empty())
    {
        let wrong = |problem: String| Error::broken(FILE, format!("line {}", index + 1), problem);
        let fields = line.trim().split_once(' ');
        let entry = fields.and_then(|(token, rank)| Some((base64(token)?, rank.parse().ok()?)));
        let Some((token, rank)) = entry else {
            let problem = format!(
                "it must be base64, a space and a number, not {}",
                quote(line)
            );
            return Err(wrong(problem));
        };
        if token.is_empty() {
            return Err(wrong("the token is empty".into()));
        }
        tokens.text(rank, token.clone())?;
        if let Some(earlier) = ranks.insert(token.into_boxed_slice(), rank) {
            return Err(wrong(format!("the token of rank {earlier} comes again")));
        }
    }
    let byte_ids = tokens.byte_ids()?;
    let added = added::read(config)?;
    if added.is_empty() {
        tokens.specials(GLM4, tokens.len())?;
    }
    for (spelling, id) in &added {
        if !tokens.is_free(*id) {
            let problem = "its id belongs to a token of the rank file";
            return Err(Error::broken(
                "tokenizer_config.json",
                quote(spelling),
                problem,
            ));
        }
        tokens.special(spelling, *id)?;
    }
    let pattern = SysRegex::new(PATTERN).expect("the pattern is a valid regular expression");
    Ok(Parts {
        encoder: Box::new(Ranks {
            ranks,
            byte_ids,
            pattern,
        }),
        tokens,
    })
}

/// The bytes of padded base64.
fn base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    if !text.len().is_multiple_of(4) || text.len() - digits.len() > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    let (mut bits, mut held) = (0u32, 0);
    for digit in digits.bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
        bits &= 0xff;
    }
    Some(bytes)
}

struct Ranks {
    ranks: HashMap<Box<[u8]>, u32>,
    byte_ids: [u32; 256],
    pattern: SysRegex,
}

impl Ranks {
    fn word(&self, word: &[u8], ids: &mut Vec<u32>) {
        if let Some(id) = self.ranks.get(word) {
            ids.push(*id);
            return;
        }
        let symbols = (0..word.len())
            .map(|at| Symbol {
                range: at..at + 1,
                frozen: false,
            })
            .collect();
        let pieces = merge(symbols, |left, right| {
            self.ranks
                .get(&word[left.start..right.end])
                .map(|rank| Reverse(*rank))
        });
        for piece in pieces {
            match &word[piece] {
                [byte] => ids.push(self.byte_ids[usize::from(*byte)]),
                token => ids.push(self.ranks[token]),
            }
        }
    }
}

impl Encode for Ranks {
    fn encode(&self, text: &str, _start: bool) -> Vec<u32> {
        let mut ids = Vec::new();
        let mut done = 0;
        for (from, to) in self.pattern.find_iter(text) {
            // The pattern leaves nothing out; if its engine gives up, what is left is one word.
            self.word(&text.as_bytes()[done..from], &mut ids);
            self.word(&text.as_bytes()[from..to], &mut ids);
            done = to;
        }
        self.word(&text.as_bytes()[done..], &mut ids);
        ids
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_strictly() {
        let cases: &[(&str, Option<&[u8]>)] = &[
            ("", Some(b"")),
            ("YQ==", Some(b"a")),
            ("YWI=", Some(b"ab")),
            ("YWJj", Some(b"abc")),
            ("/+8=", Some(b"\xff\xef")),
            ("YQ", None),
            ("Y===", None),
            ("Y Q=", None),
            ("é===", None),
        ];
        for (text, bytes) in cases {
            assert_eq!(base64(text).as_deref(), *bytes, "{text:?}");
        }
    }
}
