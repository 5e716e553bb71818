//! Multi-head latent attention, with nothing but the latent in the cache.
//!
//! A token's keys and values are products of one short latent with the two halves of a head's part of one matrix, and
//! one rotated key that all heads share. Unpacking them for every cached token would cost what the latent saved, so
//! the matrix's key half is multiplied into the query instead (q · (K c) = (Kᵀ q) · c), and its value half into the
//! mixed latents after the softmax. The cache keeps latent and rotated key, one row a token.

use super::{Pass, grouped::TurnOp, linear::Linear, norm::Norm};
use crate::{
    Config, Error, Latent as Sizes, Positions,
    checkpoint::Checkpoint,
    kernels::{Rows, cpu},
    kv::{Cached, LayerCache},
    mask::Mask,
};
use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor};

/// The attention half of a block.
pub(crate) struct Latent {
    /// Hidden state to query latent and its norm, where the model has one.
    query_down: Option<(Linear, Norm)>,
    /// To the heads' queries, each its unrotated numbers and then its rotated ones.
    query_up: Linear,
    /// Hidden state to latent and shared key.
    down: Linear,
    norm: Norm,
    /// (heads, nope, kv_rank).
    key_up: Tensor,
    /// (heads, kv_rank, value).
    value_up: Tensor,
    output: Linear,
    scale: f32,
    sizes: Sizes,
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
        let norm = |part: &str, width| {
            Norm::rms(
                checkpoint,
                &format!("{name}_{part}_norm"),
                width,
                sizes.norm_epsilon,
            )
        };
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
        let up = up.reshape((heads, sizes.nope + sizes.value, rank))?;
        let values = up.narrow(1, sizes.nope, sizes.value)?;
        let stretched = match config.positions {
            Positions::Rotary(rotary) => rotary.yarn.map_or(1.0, |yarn| yarn.score_factor),
            Positions::Learned { .. } => 1.0,
        };
        Ok(Latent {
            query_down,
            query_up,
            down: linear("kv_a_mqa", rank + sizes.rope, width)?,
            norm: norm("kv_a", rank)?,
            key_up: up.narrow(1, 0, sizes.nope)?.contiguous()?,
            value_up: values.transpose(1, 2)?.contiguous()?,
            output: linear("output", width, heads * sizes.value)?,
            scale: stretched / ((sizes.nope + sizes.rope) as f32).sqrt(),
            sizes,
        })
    }

    /// Attends from the rows of `x` (T, width) from `first` on; the latents of all rows are cached.
    pub(crate) fn forward(
        &self,
        x: &Tensor,
        pass: &Pass,
        kv: &mut LayerCache,
        first: usize,
    ) -> candle_core::Result<Tensor> {
        let Sizes {
            heads,
            kv_rank,
            nope,
            rope,
            value,
            ..
        } = self.sizes;
        let rows = x.dim(0)?;
        let down = self.down.forward(x)?;
        self.turn(&down, pass, 0, kv_rank, 1)?;
        let latent = self.norm.forward(&down.narrow(1, 0, kv_rank)?)?;
        kv.write_latent(
            pass.mask.past(),
            &Tensor::cat(&[latent, down.narrow(1, kv_rank, rope)?], 1)?,
        )?;

        let count = rows - first;
        let x = x.narrow(0, first, count)?;
        let queries = match &self.query_down {
            Some((down, norm)) => self.query_up.forward(&norm.forward(&down.forward(&x)?)?)?,
            None => self.query_up.forward(&x)?,
        };
        self.turn(&queries, pass, first, nope, heads)?;
        let queries = queries.reshape((count, heads, nope + rope))?;
        let plain = queries.narrow(2, 0, nope)?.transpose(0, 1)?.contiguous()?;
        let absorbed = plain.matmul(&self.key_up)?.transpose(0, 1)?;
        let queries = Tensor::cat(&[absorbed, queries.narrow(2, nope, rope)?], 2)?;
        let queries = queries.reshape((count * heads, kv_rank + rope))?;

        let mixed = queries.apply_op1_no_bwd(&AttendOp {
            kv,
            mask: &pass.mask,
            heads,
            rank: kv_rank,
            scale: self.scale,
            first,
        })?;
        let mixed = mixed.reshape((count, heads, kv_rank))?;
        let mixed = mixed.transpose(0, 1)?.contiguous()?;
        let values = mixed.matmul(&self.value_up)?.transpose(0, 1)?;
        self.output
            .forward(&values.reshape((count, heads * value))?)
    }

    /// Turns the rotated numbers of each head of `x`, whose first row is the chunk's row `first`; they come after
    /// `plain` others.
    fn turn(
        &self,
        x: &Tensor,
        pass: &Pass,
        first: usize,
        plain: usize,
        heads: usize,
    ) -> candle_core::Result<()> {
        let Some(turns) = &pass.turns else {
            return Ok(());
        };
        let stride = plain + self.sizes.rope;
        x.inplace_op1(&TurnOp {
            turns: turns.view_from(first),
            heads: cpu::TurnedHeads {
                width: heads * stride,
                first: plain,
                count: heads,
                stride,
            },
        })
    }
}

struct AttendOp<'a> {
    kv: &'a LayerCache,
    mask: &'a Mask,
    heads: usize,
    rank: usize,
    scale: f32,
    first: usize,
}

impl CustomOp1 for AttendOp<'_> {
    fn name(&self) -> &'static str {
        "attend-latent"
    }

    fn cpu_fwd(
        &self,
        queries: &CpuStorage,
        layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let Cached::Latent { rows } = self.kv.cached() else {
            candle_core::bail!("this cache holds keys and values");
        };
        let queries = Rows::of(queries, layout)?;
        let mut out = vec![0.0; queries.count() * self.rank];
        let visible = |row: usize| self.mask.visible(self.first + row / self.heads);
        cpu::attend_latent(queries, rows, self.rank, self.scale, visible, &mut out);
        Ok((CpuStorage::F32(out), (queries.count(), self.rank).into()))
    }
}
