//! Multi-head latent attention, with nothing but the latent in the cache.
//!
//! A token's keys and values are products of one short latent with the two halves of a head's part of one matrix, and
//! one rotated key that all heads share. Unpacking them for every cached token would cost what the latent saved, so
//! the matrix's key half is multiplied into the query instead (q · (K c) = (Kᵀ q) · c), and its value half into the
//! mixed latents after the softmax. The cache keeps latent and rotated key, one row a token.

use super::{
    Pass,
    linear::{Linear, Products},
};
use crate::{
    Config, Error, Latent as Sizes, Part, Positions,
    checkpoint::Checkpoint,
    kernels::{Rows, cpu},
    workspace::room,
};

/// The attention half of a block.
pub(crate) struct Latent {
    /// Hidden state to query latent and its norm, where the model has one.
    query_down: Option<(Linear, Vec<f32>)>,
    /// To the heads' queries, each its unrotated numbers and then its rotated ones.
    query_up: Linear,
    /// Hidden state to latent and shared key.
    down: Linear,
    /// The weight of the latent's norm.
    norm: Vec<f32>,
    /// (heads, nope, kv_rank).
    key_up: Vec<f32>,
    /// (heads, kv_rank, value).
    value_up: Vec<f32>,
    output: Linear,
    scale: f32,
    sizes: Sizes,
}

/// Room for what attention computes in.
#[derive(Debug, Default)]
pub(crate) struct Latents {
    down: Vec<f32>,
    kept: Vec<f32>,
    query: Vec<f32>,
    queries: Vec<f32>,
    absorbed: Vec<f32>,
    mixed: Vec<f32>,
    values: Vec<f32>,
}

impl Latent {
    pub(crate) fn load(
        checkpoint: &Checkpoint,
        name: &str,
        config: &Config,
        sizes: Sizes,
    ) -> Result<Latent, Error> {
        let (width, heads, rank) = (config.width, sizes.heads, sizes.kv_rank);
        let linear = |part: &str, outputs, inputs| {
            Linear::load(
                checkpoint,
                &format!("{name}_{part}"),
                outputs,
                inputs,
                false,
            )
        };
        let norm =
            |part: &str, width| checkpoint.vector(&format!("{name}_{part}_norm.weight"), width);
        let queries = heads * (sizes.nope + sizes.rope);
        let (query_down, query_up) = match sizes.query_rank {
            Some(rank) => (
                Some((linear("q_a", rank, width)?, norm("q_a", rank)?)),
                linear("q_b", queries, rank)?,
            ),
            None => (None, linear("q", queries, width)?),
        };
        let up = checkpoint.table(
            &format!("{name}_kv_b.weight"),
            heads * (sizes.nope + sizes.value),
            rank,
        )?;
        let (mut key_up, mut value_up) = (Vec::new(), Vec::new());
        for head in up.chunks_exact((sizes.nope + sizes.value) * rank) {
            let (keys, values) = head.split_at(sizes.nope * rank);
            key_up.extend_from_slice(keys);
            for at in 0..rank {
                value_up.extend(values[at..].iter().step_by(rank));
            }
        }
        let stretched = match config.positions {
            Positions::Rotary(rotary) => rotary.yarn.map_or(1.0, |yarn| yarn.score_factor),
            Positions::Learned { .. } => 1.0,
        };
        Ok(Latent {
            query_down,
            query_up,
            down: linear("kv_a_mqa", rank + sizes.rope, width)?,
            norm: norm("kv_a", rank)?,
            key_up,
            value_up,
            output: linear("output", width, heads * sizes.value)?,
            scale: stretched / ((sizes.nope + sizes.rope) as f32).sqrt(),
            sizes,
        })
    }

    /// out ← what the rows that are kept attend to; the latents of all rows are cached, in the layer `index` of the
    /// parts' caches.
    #[expect(
        clippy::too_many_arguments,
        reason = "the rooms of one pass, lent one by one"
    )]
    pub(crate) fn forward(
        &self,
        x: Rows,
        pass: &Pass,
        parts: &mut [Part<'_>],
        index: usize,
        out: &mut [f32],
        rooms: &mut Latents,
        products: &mut Products,
    ) -> Result<(), Error> {
        let Sizes {
            heads,
            kv_rank,
            nope,
            rope,
            value,
            norm_epsilon,
            ..
        } = self.sizes;
        let pool = pass.pool;
        let width = kv_rank + rope;
        let down = room(&mut rooms.down, x.count() * width);
        self.down.forward(x, down, products, pool)?;
        if let Some(turns) = pass.turns {
            cpu::rotate(down, turned(kv_rank, rope, 1), turns, pool);
        }
        for row in down.chunks_exact_mut(width) {
            cpu::rms_row(&mut row[..kv_rank], &self.norm, norm_epsilon);
        }
        let down = Rows::new(down, width);
        for (span, part) in pass.spans.iter().zip(&mut *parts) {
            let rows = down.slice(span.first, span.mask.new_tokens());
            part.kv.layer(index).write_latent(span.mask.past(), rows);
        }
        let kept = pass.kept(index);
        if kept == 0 {
            return Ok(());
        }

        let inputs = x.width();
        let rows = room(&mut rooms.kept, kept * inputs);
        for run in pass.runs(index) {
            for row in 0..run.count {
                let to = &mut rows[(run.to + row) * inputs..][..inputs];
                to.copy_from_slice(x.row(run.from + row));
            }
        }
        let mut x = Rows::new(rows, inputs);
        if let Some((down, norm)) = &self.query_down {
            let query = room(&mut rooms.query, kept * norm.len());
            down.forward(x, query, products, pool)?;
            for row in query.chunks_exact_mut(norm.len()) {
                cpu::rms_row(row, norm, norm_epsilon);
            }
            x = Rows::new(query, norm.len());
        }
        let size = nope + rope;
        let queries = room(&mut rooms.queries, kept * heads * size);
        self.query_up.forward(x, queries, products, pool)?;
        if let Some(turns) = pass.turns {
            for run in pass.runs(index) {
                let rows = &mut queries[run.to * heads * size..][..run.count * heads * size];
                cpu::rotate(rows, turned(nope, rope, heads), turns.from(run.from), pool);
            }
        }
        let absorbed = room(&mut rooms.absorbed, kept * heads * width);
        let rows = Rows::new(queries, heads * size);
        let up = cpu::HeadMatrices {
            numbers: &self.key_up,
            heads,
            columns: kv_rank,
        };
        cpu::times_heads(rows, size, up, absorbed, width, pool);
        let pairs = absorbed.chunks_exact_mut(width);
        for (absorbed, query) in pairs.zip(queries.chunks_exact(size)) {
            absorbed[kv_rank..].copy_from_slice(&query[nope..]);
        }

        let mixed = room(&mut rooms.mixed, kept * heads * kv_rank);
        let absorbed = Rows::new(absorbed, width);
        for run in pass.runs(index) {
            let asking = absorbed.slice(run.to * heads, run.count * heads);
            let cached = parts[run.part].kv.layer(index).latents();
            let mask = &pass.spans[run.part].mask;
            let visible = |row: usize| mask.visible(run.skipped + row / heads);
            let places = run.to * heads * kv_rank..(run.to + run.count) * heads * kv_rank;
            let mixed = &mut mixed[places];
            cpu::attend_latent(asking, cached, kv_rank, self.scale, visible, mixed, pool);
        }
        let values = room(&mut rooms.values, kept * heads * value);
        let rows = Rows::new(mixed, heads * kv_rank);
        let up = cpu::HeadMatrices {
            numbers: &self.value_up,
            heads,
            columns: value,
        };
        cpu::times_heads(rows, kv_rank, up, values, value, pool);
        let values = Rows::new(values, heads * value);
        self.output.forward(values, out, products, pool)
    }
}

/// Where the rotated numbers of `heads` heads lie, each after `plain` others.
fn turned(plain: usize, rope: usize, heads: usize) -> cpu::TurnedHeads {
    cpu::TurnedHeads {
        width: heads * (plain + rope),
        first: plain,
        count: heads,
        stride: plain + rope,
    }
}
