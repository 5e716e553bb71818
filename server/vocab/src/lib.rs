//! Text to token ids and back.
//!
//! Takes the bytes of a tokenizer's files, of any kind that a GLM was published with ([`Source`]),
//! and gives a [`Vocab`]: ids of plain text, the ids of special tokens by their spelling, and text
//! again, whole or as it streams out of a model ([`Stream`]). [`Heal`] says which tokens may come
//! where a text must begin with given bytes. It knows nothing of prompts, windows
//! or models: what to encode is the business of the `prompt` crate, where the files come from that
//! of its caller.

mod added;
mod byte_level;
mod error;
#[cfg(any(test, feature = "fixture"))]
pub mod fixture;
mod gguf;
mod gpt2;
mod heal;
mod ice;
mod json;
mod lines;
mod merge;
mod sentencepiece;
mod source;
mod special;
mod stream;
mod tiktoken;
mod tokenizer;
mod tokens;
mod wordpiece;

pub use error::Error;
pub use heal::Heal;
pub use source::{GgufTokenizer, Pairs, Pieces, Source};
pub use special::Special;
pub use stream::Stream;
pub use tokenizer::Vocab;
