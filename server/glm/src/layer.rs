//! One transformer block: attention, then a feed-forward, with norms and sums as the model has them.
//!
//! Takes the hidden states of all parts of a pass, one row a token, and each part's KV cache, gives hidden states.
//! Products, norms and activations run over all rows; positions, cache and attention are each part's own. The halves
//! are files of this folder; a `Config` says which and how large.

mod experts;
mod grouped;
mod latent;
mod linear;
mod mlp;
mod norm;

pub(crate) use experts::Routing;
pub(crate) use grouped::Heads;
pub(crate) use latent::Latents;
pub(crate) use linear::{Matrix, Products};
pub(crate) use mlp::Inner;
pub(crate) use norm::Norm;

use crate::{
    Attention as Kind, Block, Config, Error, Part,
    checkpoint::Checkpoint,
    kernels::{
        Rows,
        cpu::{Pool, Turns},
    },
    mask::Mask,
    workspace::{Rooms, States, room},
};
use experts::Experts;
use grouped::Grouped;
use latent::Latent;
use mlp::Mlp;

/// Numbers that one task adds.
const GRAIN: usize = 16 * 1024;

/// What all layers of one pass share.
#[derive(Clone, Copy)]
pub(crate) struct Pass<'a> {
    /// The parts' rows, one part after the other.
    pub(crate) spans: &'a [Span],
    /// Rows of all parts.
    pub(crate) rows: usize,
    /// Numbers of a row.
    pub(crate) width: usize,
    /// The last layer's number.
    pub(crate) last: usize,
    /// The rows' angles, if queries and keys are turned.
    pub(crate) turns: Option<Turns<'a>>,
    pub(crate) pool: &'a Pool,
}

/// The rows of one part.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    /// The part's first row among all.
    pub(crate) first: usize,
    /// Which keys each row sees.
    pub(crate) mask: Mask,
    /// How many of its last rows come out of the last layer.
    pub(crate) kept: usize,
}

/// Rows of one part that go on, and where they go.
pub(crate) struct Run {
    pub(crate) part: usize,
    /// The first one's place among all rows.
    pub(crate) from: usize,
    /// Rows of the part before it.
    pub(crate) skipped: usize,
    pub(crate) count: usize,
    /// Its place among the rows that go on.
    pub(crate) to: usize,
}

impl Pass<'_> {
    /// Rows that come out of a layer.
    pub(crate) fn kept(&self, layer: usize) -> usize {
        if layer == self.last {
            self.spans.iter().map(|span| span.kept).sum()
        } else {
            self.rows
        }
    }

    /// The rows that come out of a layer, part by part; parts without any are left out.
    pub(crate) fn runs(&self, layer: usize) -> impl Iterator<Item = Run> {
        let is_last = layer == self.last;
        let mut to = 0;
        self.spans
            .iter()
            .enumerate()
            .filter_map(move |(part, span)| {
                let all = span.mask.new_tokens();
                let count = if is_last { span.kept } else { all };
                let skipped = all - count;
                let run = Run {
                    part,
                    from: span.first + skipped,
                    skipped,
                    count,
                    to,
                };
                to += count;
                (count > 0).then_some(run)
            })
    }
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
    alpha: Option<f32>,
}

enum Attention {
    Grouped(Box<Grouped>),
    Latent(Box<Latent>),
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
                Kind::Grouped(sizes) => Attention::Grouped(Box::new(Grouped::load(
                    checkpoint, &attention, config, sizes,
                )?)),
                Kind::Latent(sizes) => Attention::Latent(Box::new(Latent::load(
                    checkpoint, &attention, config, sizes,
                )?)),
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
                Block::DeepNorm { alpha } => Some(alpha),
                Block::PreNorm | Block::Sandwich => None,
            },
        })
    }

    /// Runs the block, the model's `index`-th, on the hidden states of all parts. All keys and values are cached. Of the
    /// last layer's rows only those come out that are kept, if there are any: `x` then begins with them. With `asking`
    /// (kept, width), attention's queries come from there instead of from the hidden states.
    pub(crate) fn forward(
        &self,
        index: usize,
        asking: Option<Rows>,
        pass: &Pass,
        parts: &mut [Part<'_>],
        states: &mut States,
        rooms: &mut Rooms,
    ) -> Result<(), Error> {
        let (width, pool) = (pass.width, pass.pool);
        let (rows, kept) = (pass.rows, pass.kept(index));
        let States { x, normed, out } = states;
        let normed = room(normed, rows * width);
        self.before[0].forward(Rows::new(&x[..rows * width], width), normed, pool);
        let out = room(out, rows * width);
        let out = &mut out[..kept * width];
        let products = &mut rooms.products;
        let input = Rows::new(normed, width);
        match &self.attention {
            Attention::Grouped(attention) => {
                let heads = &mut rooms.heads;
                attention.forward(input, asking, pass, parts, index, out, heads, products)?;
            }
            Attention::Latent(attention) => {
                let latents = &mut rooms.latents;
                attention.forward(input, pass, parts, index, out, latents, products)?;
            }
        }
        if kept < rows {
            // No later layer needs the other rows.
            for run in pass.runs(index) {
                let from = run.from * width..(run.from + run.count) * width;
                x.copy_within(from.clone(), run.to * width);
                normed.copy_within(from, run.to * width);
            }
        }
        let x = &mut x[..kept * width];
        let normed = &mut normed[..kept * width];
        self.sum(0, x, normed, out, pool);

        self.before[1].forward(Rows::new(x, width), normed, pool);
        let input = Rows::new(normed, width);
        let inner = &mut rooms.inner;
        match &self.feed_forward {
            FeedForward::Dense(mlp) => mlp.forward(input, out, inner, products, pool)?,
            FeedForward::Experts(experts) => {
                experts.forward(input, out, &mut rooms.routing, inner, products, pool)?;
            }
        }
        self.sum(1, x, normed, out, pool);
        Ok(())
    }

    /// x ← what a half gave, added to what it was given. `normed` is overwritten.
    fn sum(&self, half: usize, x: &mut [f32], normed: &mut [f32], out: &[f32], pool: &Pool) {
        match (&self.after, self.alpha) {
            (Some(after), _) => {
                let width = after[half].width();
                after[half].forward(Rows::new(out, width), normed, pool);
                pool.chunks(x, GRAIN, |chunk, x| {
                    let normed = &normed[chunk * GRAIN..][..x.len()];
                    x.iter_mut().zip(normed).for_each(|(x, out)| *x += out);
                });
            }
            (None, Some(alpha)) => pool.chunks(x, GRAIN, |chunk, x| {
                let (normed, out) = (&normed[chunk * GRAIN..], &out[chunk * GRAIN..]);
                for ((x, normed), out) in x.iter_mut().zip(normed).zip(out) {
                    *x = normed * alpha + out;
                }
            }),
            (None, None) => pool.chunks(x, GRAIN, |chunk, x| {
                let out = &out[chunk * GRAIN..];
                x.iter_mut().zip(out).for_each(|(x, out)| *x += out);
            }),
        }
    }
}
