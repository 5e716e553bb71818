//! One transformer block: attention, then a feed-forward, with norms and sums as the model has them.
//!
//! Takes hidden states (T, width) and the layer's part of the KV cache, gives hidden states. The parts are files of
//! this folder; a `Config` says which and how large.

mod experts;
mod grouped;
mod latent;
mod linear;
mod mlp;
mod norm;

pub(crate) use linear::Matrix;
pub(crate) use norm::Norm;

use crate::{
    Attention as Kind, Block, Config, Error, checkpoint::Checkpoint, kv::LayerCache, mask::Mask,
    positions::Turns,
};
use candle_core::Tensor;
use experts::Experts;
use grouped::Grouped;
use latent::Latent;
use mlp::Mlp;

/// What all layers of one pass share.
pub(crate) struct Pass {
    /// Which keys each token sees.
    pub(crate) mask: Mask,
    /// The tokens' angles, if queries and keys are turned.
    pub(crate) turns: Option<Turns>,
}

/// A block.
pub(crate) struct Layer {
    attention: Attention,
    feed_forward: FeedForward,
    /// The norm before each half.
    before: [Norm; 2],
    /// The norm after each half.
    after: Option<[Norm; 2]>,
    /// The weight of the normed input in each sum, where that is what a half is added to.
    alpha: Option<f64>,
}

enum Attention {
    Grouped(Grouped),
    Latent(Latent),
}

enum FeedForward {
    Dense(Mlp),
    Experts(Experts),
}

impl Layer {
    pub(crate) fn load(
        checkpoint: &Checkpoint,
        index: usize,
        config: &Config,
    ) -> Result<Layer, Error> {
        let name = |part: &str| format!("blk.{index}.{part}");
        let norm = |part: &str| Norm::load(checkpoint, &name(part), config);
        let attention = name("attn");
        let feed_forward = name("ffn");
        Ok(Layer {
            attention: match config.attention {
                Kind::Grouped(sizes) => {
                    Attention::Grouped(Grouped::load(checkpoint, &attention, config, sizes)?)
                }
                Kind::Latent(sizes) => {
                    Attention::Latent(Latent::load(checkpoint, &attention, config, sizes)?)
                }
            },
            feed_forward: match config.experts {
                Some(sizes) if config.has_experts(index) => {
                    FeedForward::Experts(Experts::load(checkpoint, &feed_forward, config, sizes)?)
                }
                _ => FeedForward::Dense(Mlp::load(checkpoint, &feed_forward, config)?),
            },
            before: [norm("attn_norm")?, norm("ffn_norm")?],
            after: match config.block {
                Block::Sandwich => Some([norm("attn_post_norm")?, norm("ffn_post_norm")?]),
                Block::PreNorm | Block::DeepNorm { .. } => None,
            },
            alpha: match config.block {
                Block::DeepNorm { alpha } => Some(f64::from(alpha)),
                Block::PreNorm | Block::Sandwich => None,
            },
        })
    }

    /// Runs the block on `x` (T, width). All keys and values are cached; only the last `keep` rows come back. With
    /// `asking` (keep, width), attention's queries come from there instead of from `x`.
    pub(crate) fn forward(
        &self,
        x: &Tensor,
        asking: Option<&Tensor>,
        pass: &Pass,
        kv: &mut LayerCache,
        keep: usize,
    ) -> candle_core::Result<Tensor> {
        let first = x.dim(0)? - keep;
        let normed = self.before[0].forward(x)?;
        let attended = match &self.attention {
            Attention::Grouped(attention) => attention.forward(&normed, asking, pass, kv, first)?,
            Attention::Latent(attention) => attention.forward(&normed, pass, kv, first)?,
        };
        let last = |x: &Tensor| x.narrow(0, first, keep);
        let x = self.sum(0, &last(x)?, &last(&normed)?, attended)?;

        let normed = self.before[1].forward(&x)?;
        let fed = match &self.feed_forward {
            FeedForward::Dense(mlp) => mlp.forward(&normed)?,
            FeedForward::Experts(experts) => experts.forward(&normed)?,
        };
        self.sum(1, &x, &normed, fed)
    }

    /// What a half gave, added to what it was given.
    fn sum(
        &self,
        half: usize,
        x: &Tensor,
        normed: &Tensor,
        out: Tensor,
    ) -> candle_core::Result<Tensor> {
        let out = match &self.after {
            Some(after) => after[half].forward(&out)?,
            None => out,
        };
        match self.alpha {
            Some(alpha) => normed * alpha + out,
            None => x + out,
        }
    }
}
