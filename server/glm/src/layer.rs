//! One transformer block: x + attention(norm x), then x + mlp(norm x).
//!
//! Takes hidden states (T, width) and the layer's part of the KV cache, gives hidden states. The parts are files of
//! this folder; a `Config` says which and how large.

mod attention;
mod linear;
mod mlp;
mod norm;

pub(crate) use linear::Matrix;
pub(crate) use norm::LayerNorm;

use crate::{Config, Error, checkpoint::Checkpoint, kv::LayerCache, mask::Mask};
use attention::Attention;
use candle_core::Tensor;
use mlp::Mlp;

/// A pre-norm block.
pub(crate) struct Layer {
    attention_norm: LayerNorm,
    attention: Attention,
    mlp_norm: LayerNorm,
    mlp: Mlp,
}

impl Layer {
    pub(crate) fn load(
        checkpoint: &Checkpoint,
        index: usize,
        config: &Config,
    ) -> Result<Layer, Error> {
        let name = |part: &str| format!("blk.{index}.{part}");
        Ok(Layer {
            attention_norm: LayerNorm::load(checkpoint, &name("attn_norm"), config)?,
            attention: Attention::load(checkpoint, &name("attn"), config)?,
            mlp_norm: LayerNorm::load(checkpoint, &name("ffn_norm"), config)?,
            mlp: Mlp::load(checkpoint, &name("ffn"), config)?,
        })
    }

    /// Runs the block on `x` (T, width). All keys and values are cached; only the last `keep` rows come back.
    pub(crate) fn forward(
        &self,
        x: &Tensor,
        mask: &Mask,
        kv: &mut LayerCache,
        keep: usize,
    ) -> candle_core::Result<Tensor> {
        let first = x.dim(0)? - keep;
        let attended = self
            .attention
            .forward(&self.attention_norm.forward(x)?, mask, kv, first)?;
        let x = (x.narrow(0, first, keep)? + attended)?;
        let fed = self.mlp.forward(&self.mlp_norm.forward(&x)?)?;
        x + fed
    }
}
