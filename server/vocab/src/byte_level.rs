//! Byte-level BPE with a list of merges: the shared part of `tokenizer.json`, GPT-2's pair of
//! files and GGUF's `gpt2`.
//!
//! Takes tokens in the printable alphabet, merges and a pre-tokenizer that were read elsewhere;
//! gives an encoder that is the `tokenizers` crate at work, without any added tokens: nothing in a
//! user's text then matches `[MASK]` or `<|endoftext|>`.

use std::collections::HashMap;

use tokenizers::models::bpe::BPE;
use tokenizers::{NormalizerWrapper, PreTokenizerWrapper, Tokenizer};

use crate::Error;
use crate::error::quote;
use crate::special::looks_special;
use crate::tokenizer::{Encode, Parts};
use crate::tokens::Tokens;

/// What a byte-level BPE is made of.
pub(crate) struct ByteLevel {
    /// The file that errors name.
    pub(crate) file: &'static str,
    /// Tokens in the printable alphabet. Those that look special, or are added, become special.
    pub(crate) vocab: Vec<(String, u32)>,
    /// The pairs that join, best first.
    pub(crate) merges: Vec<(String, String)>,
    /// Special tokens, on top of `vocab` or among it.
    pub(crate) added: Vec<(String, u32)>,
    /// Whether a whole piece that is a token becomes it, merges or not.
    pub(crate) ignore_merges: bool,
    /// What happens to text before all.
    pub(crate) normalizer: Option<NormalizerWrapper>,
    /// What cuts the text, and puts it into the printable alphabet.
    pub(crate) pre_tokenizer: PreTokenizerWrapper,
}

impl ByteLevel {
    /// Checks everything and builds the encoder and the table of bytes.
    pub(crate) fn build(self) -> Result<Parts, Error> {
        let mut tokens = Tokens::new(self.file);
        for (spelling, id) in &self.added {
            tokens.special(spelling, *id)?;
        }
        let alphabet = alphabet();
        let mut vocab = HashMap::with_capacity(self.vocab.len());
        for (token, id) in self.vocab {
            if looks_special(&token) || tokens.id(&token).is_some() {
                tokens.special(&token, id)?;
                continue;
            }
            match token.chars().map(|c| alphabet.get(&c).copied()).collect() {
                Some(bytes) => {
                    tokens.text(id, bytes)?;
                    if let Some(earlier) = vocab.insert(token.clone(), id) {
                        let problem = format!("it has two ids, {earlier} and {id}");
                        return Err(Error::broken(self.file, quote(&token), problem));
                    }
                }
                // Not in the alphabet, so no text can become it: padding, mostly.
                None => tokens.silent(id)?,
            }
        }
        let byte_ids = tokens.byte_ids()?;
        let merges = check(self.file, &vocab, &tokens, self.merges)?;
        let model = BPE::builder()
            .vocab_and_merges(
                vocab
                    .into_iter()
                    .collect::<tokenizers::models::bpe::Vocab>(),
                merges,
            )
            .ignore_merges(self.ignore_merges)
            .build()
            .map_err(|error| Error::Unreadable(error.to_string()))?;
        let mut tokenizer = Tokenizer::new(model);
        tokenizer
            .with_normalizer(self.normalizer)
            .map_err(|error| Error::Unreadable(error.to_string()))?;
        tokenizer.with_pre_tokenizer(Some(self.pre_tokenizer));
        Ok(Parts {
            encoder: Box::new(Pipeline {
                tokenizer,
                byte_ids,
            }),
            tokens,
        })
    }
}

/// Checks that every merge joins two tokens to a third, which the `tokenizers` crate relies on.
/// Merges that would make a special token out of text are left out.
fn check(
    file: &'static str,
    vocab: &HashMap<String, u32>,
    tokens: &Tokens,
    merges: Vec<(String, String)>,
) -> Result<Vec<(String, String)>, Error> {
    let mut sound = Vec::with_capacity(merges.len());
    let mut whole = String::new();
    for (rank, (left, right)) in merges.into_iter().enumerate() {
        whole.clear();
        whole.push_str(&left);
        whole.push_str(&right);
        let parts = [left.as_str(), right.as_str(), whole.as_str()];
        if parts.iter().any(|part| tokens.id(part).is_some()) {
            continue;
        }
        let missing = parts.iter().find(|part| !vocab.contains_key(**part));
        if let Some(missing) = missing {
            let problem = format!("it needs the token {}, which is not there", quote(missing));
            return Err(Error::broken(file, format!("merge {}", rank + 1), problem));
        }
        sound.push((left, right));
    }
    Ok(sound)
}

/// Cuts a line of merges, `left right`, in two.
pub(crate) fn merge_pair(
    file: &'static str,
    number: usize,
    line: &str,
) -> Result<(String, String), Error> {
    match line.split_once(' ') {
        Some((left, right)) if !left.is_empty() && !right.is_empty() && !right.contains(' ') => {
            Ok((left.to_owned(), right.to_owned()))
        }
        _ => Err(Error::broken(
            file,
            format!("merge {number}"),
            format!(
                "it must be two tokens with a space between, not {}",
                quote(line)
            ),
        )),
    }
}

/// The `tokenizers` crate at work.
struct Pipeline {
    tokenizer: Tokenizer,
    byte_ids: [u32; 256],
}

impl Encode for Pipeline {
    fn encode(&self, text: &str, _start: bool) -> Vec<u32> {
        match self.tokenizer.encode_fast(text, false) {
            Ok(encoding) => encoding.get_ids().to_vec(),
            // The regular expression engine may refuse a text; single bytes always work.
            Err(_) => text
                .bytes()
                .map(|byte| self.byte_ids[usize::from(byte)])
                .collect(),
        }
    }
}

/// The printable alphabet of byte-level BPE: printable Latin-1 bytes stand for themselves, the
/// others, in order, for the characters from U+0100 on.
pub(crate) fn alphabet() -> HashMap<char, u8> {
    let is_printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let rest = ('\u{100}'..).zip((0..=255).filter(|&byte| !is_printable(byte)));
    (0..=255)
        .filter(|&byte| is_printable(byte))
        .map(|byte| (char::from(byte), byte))
        .chain(rest)
        .collect()
}
