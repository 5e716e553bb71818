//! Text to token ids and back.
//!
//! Takes a `tokenizer.json` of a byte-level BPE and gives a [`Vocab`]: ids of plain text, the ids
//! of GLM's special tokens ([`Special`]), and text again, whole or as it streams out of a model
//! ([`Stream`]). It knows nothing of prompts, windows or models: what to encode is the business of
//! the `prompt` crate, where the file comes from that of its caller.

#[cfg(any(test, feature = "fixture"))]
pub mod fixture;
mod special;
mod stream;
mod tokenizer;

pub use special::Special;
pub use stream::Stream;
pub use tokenizer::{Error, Vocab};
