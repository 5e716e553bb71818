//! What an architecture is, as data: the sizes and choices that a checkpoint's metadata states.
//!
//! Takes a checkpoint, gives a [`Config`]; layers are built from it and from nothing else. Whether the tensors
//! really have these shapes is checked where each one is loaded.

use crate::{Error, checkpoint::Checkpoint};

/// The sizes and choices of one model.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Transformer blocks.
    pub layers: usize,
    /// Length of a hidden state.
    pub width: usize,
    /// Attention heads; `width` is a multiple of it.
    pub heads: usize,
    /// Length of the feed-forward's inner state.
    pub inner: usize,
    /// Rows of the token embedding, which is also the head.
    pub vocabulary: usize,
    /// Greatest position in either row; each position table has one row more.
    pub context: usize,
    /// Added to the variance in every layer norm.
    pub epsilon: f32,
    /// The feed-forward's activation.
    pub activation: Activation,
}

/// The activation between the two feed-forward matrices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// GELU by its tanh approximation, as the GLM sources train it.
    GeluTanh,
    /// GELU by the error function, as the Hugging Face copies run it.
    Gelu,
}

impl Config {
    /// Reads and checks the metadata of architecture `glm`.
    pub(crate) fn read(checkpoint: &Checkpoint) -> Result<Config, Error> {
        let architecture = checkpoint.text("general.architecture")?;
        if architecture != "glm" {
            let why = format!("is `{architecture}`, and only `glm` is known");
            return Err(checkpoint.bad_metadata("general.architecture", why));
        }
        let activation = match checkpoint.text("glm.activation")? {
            "gelu_tanh" => Activation::GeluTanh,
            "gelu" => Activation::Gelu,
            other => {
                let why = format!("is `{other}`, and only `gelu_tanh` and `gelu` are known");
                return Err(checkpoint.bad_metadata("glm.activation", why));
            }
        };
        let config = Config {
            layers: checkpoint.count("glm.block_count")?,
            width: checkpoint.count("glm.embedding_length")?,
            heads: checkpoint.count("glm.attention.head_count")?,
            inner: checkpoint.count("glm.feed_forward_length")?,
            vocabulary: checkpoint.rows("token_embd.weight")?,
            context: checkpoint.count("glm.context_length")?,
            epsilon: checkpoint.float("glm.attention.layer_norm_epsilon")?,
            activation,
        };
        if !config.width.is_multiple_of(config.heads) {
            let why = format!(
                "is {}, which does not divide the width {}",
                config.heads, config.width
            );
            return Err(checkpoint.bad_metadata("glm.attention.head_count", why));
        }
        if !(config.epsilon > 0.0 && config.epsilon < 1.0) {
            let why = format!("is {}, not a small positive number", config.epsilon);
            return Err(checkpoint.bad_metadata("glm.attention.layer_norm_epsilon", why));
        }
        Ok(config)
    }

    /// Length of one head's query, key or value.
    pub fn head_size(&self) -> usize {
        self.width / self.heads
    }
}
