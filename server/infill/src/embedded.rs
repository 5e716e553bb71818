//! The model that is built into the binary, so that a fresh install completes without a network.
//!
//! The one place that embeds bytes; reading them is `glm`'s work. The file's card lies beside it.

/// Bytes at an address that blocks of numbers may begin at; built-in bytes may otherwise lie anywhere.
#[repr(C, align(64))]
struct Aligned<B: ?Sized>(B);

static FILE: &Aligned<[u8]> = &Aligned(*include_bytes!("../../models/infill-v2.gguf"));

/// The embedded model as GGUF: weights, tokenizer and template name in one.
pub static MODEL: &[u8] = &FILE.0;
