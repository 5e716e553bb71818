//! The model that is built into the binary, so that a fresh install completes without a network.
//!
//! The one place that embeds bytes; reading them is `glm`'s work. The file's card lies beside it.

/// The embedded model as GGUF: weights, tokenizer and template name in one.
pub static MODEL: &[u8] = include_bytes!("../../models/infill-v1.gguf");
