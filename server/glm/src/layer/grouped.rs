//! Self-attention with keys and values a head, or a group of heads.
//!
//! One matrix gives queries, keys and values, one after the other; queries and keys are normed and rotated where the
//! model does so; keys and values go to the cache, and each query looks at as many cached tokens as the mask says.

use super::{
    Pass,
    linear::{Linear, Products},
};
use crate::{
    Config, Error, Grouped as Sizes, Part,
    checkpoint::Checkpoint,
    kernels::{Rows, cpu},
    workspace::room,
};

/// Rows whose heads one task norms.
const ROW_GRAIN: usize = 32;

/// The attention half of a block.
pub(crate) struct Grouped {
    query_key_value: Linear,
    output: Linear,
    /// The weights of the norms of each head's query and key.
    head_norms: Option<[Vec<f32>; 2]>,
    epsilon: f32,
    sizes: Sizes,
}

/// Room for what attention computes in.
#[derive(Debug, Default)]
pub(crate) struct Heads {
    fused: Vec<f32>,
    asked: Vec<f32>,
    mixed: Vec<f32>,
}

impl Grouped {
    pub(crate) fn load(
        checkpoint: &Checkpoint,
        name: &str,
        config: &Config,
        sizes: Sizes,
    ) -> Result<Grouped, Error> {
        let width = config.width;
        let rows = sizes.queries() + 2 * sizes.keys();
        let norm = |part| checkpoint.vector(&format!("{name}_{part}_norm.weight"), sizes.head_size);
        let head_norms = if sizes.qk_norm {
            Some([norm("q")?, norm("k")?])
        } else {
            None
        };
        Ok(Grouped {
            query_key_value: Linear::load(
                checkpoint,
                &format!("{name}_qkv"),
                rows,
                width,
                sizes.qkv_bias,
            )?,
            output: Linear::load(
                checkpoint,
                &format!("{name}_output"),
                width,
                sizes.queries(),
                config.linear_bias,
            )?,
            head_norms,
            epsilon: config.epsilon,
            sizes,
        })
    }

    /// out ← what the rows that are kept attend to; the keys and values of all rows are cached, in the layer `index` of
    /// the parts' caches. With `asking`, the queries come from its rows instead, one for each row that is kept.
    #[expect(
        clippy::too_many_arguments,
        reason = "the rooms of one pass, lent one by one"
    )]
    pub(crate) fn forward(
        &self,
        x: Rows,
        asking: Option<Rows>,
        pass: &Pass,
        parts: &mut [Part<'_>],
        index: usize,
        out: &mut [f32],
        heads: &mut Heads,
        products: &mut Products,
    ) -> Result<(), Error> {
        let (queries, keys) = (self.sizes.queries(), self.sizes.keys());
        let width = queries + 2 * keys;
        let pool = pass.pool;
        let fused = room(&mut heads.fused, x.count() * width);
        self.query_key_value.forward(x, fused, products, pool)?;
        self.norm_heads(fused, pool);
        if let Some(turns) = pass.turns {
            let heads = cpu::TurnedHeads {
                width,
                first: 0,
                count: self.sizes.heads + self.sizes.kv_heads,
                stride: self.sizes.head_size,
            };
            cpu::rotate(fused, heads, turns, pool);
        }
        let fused = Rows::new(fused, width);
        for (span, part) in pass.spans.iter().zip(&mut *parts) {
            let rows = fused.slice(span.first, span.mask.new_tokens());
            let (new_keys, new_values) = (
                rows.columns(queries, keys),
                rows.columns(queries + keys, keys),
            );
            part.kv
                .layer(index)
                .write(span.mask.past(), new_keys, new_values);
        }
        let kept = pass.kept(index);
        if kept == 0 {
            return Ok(());
        }
        let asked = match asking {
            Some(asking) => {
                let asked = room(&mut heads.asked, kept * width);
                self.query_key_value
                    .forward(asking, asked, products, pool)?;
                Some(Rows::new(asked, width))
            }
            None => None,
        };
        let mixed = room(&mut heads.mixed, kept * queries);
        let sizes = cpu::Heads {
            queries: self.sizes.heads,
            keys: self.sizes.kv_heads,
            size: self.sizes.head_size,
            scale: 1.0 / (self.sizes.head_size as f32).sqrt(),
        };
        for run in pass.runs(index) {
            let rows = match asked {
                Some(asked) => asked.slice(run.to, run.count),
                None => fused.slice(run.from, run.count),
            };
            let (cached, values) = parts[run.part].kv.layer(index).heads();
            let mask = &pass.spans[run.part].mask;
            let visible = |row| mask.visible(run.skipped + row);
            let mixed = &mut mixed[run.to * queries..][..run.count * queries];
            let asking = rows.columns(0, queries);
            cpu::attend(asking, cached, values, sizes, visible, mixed, pool);
        }
        let mixed = Rows::new(mixed, queries);
        self.output.forward(mixed, out, products, pool)
    }

    /// Norms each head of the queries and of the keys in place.
    fn norm_heads(&self, fused: &mut [f32], pool: &cpu::Pool) {
        let Some([query, key]) = &self.head_norms else {
            return;
        };
        let (queries, keys) = (self.sizes.queries(), self.sizes.keys());
        let width = queries + 2 * keys;
        pool.chunks(fused, ROW_GRAIN * width, |_, rows| {
            for row in rows.chunks_exact_mut(width) {
                let (row, _) = row.split_at_mut(queries + keys);
                let (row_queries, row_keys) = row.split_at_mut(queries);
                for (heads, weight) in [(row_queries, query), (row_keys, key)] {
                    for head in heads.chunks_exact_mut(weight.len()) {
                        cpu::rms_row(head, weight, self.epsilon);
                    }
                }
            }
        });
    }
}
