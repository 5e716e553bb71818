//! Self-attention with keys and values a head, or a group of heads.
//!
//! One matrix gives queries, keys and values, one after the other; queries and keys are normed and rotated where the
//! model does so; keys and values go to the cache, and each query looks at as many cached tokens as the mask says.

use super::{Pass, linear::Linear};
use crate::{
    Config, Error, Grouped as Sizes,
    checkpoint::Checkpoint,
    kernels::{Rows, cpu},
    kv::{Cached, LayerCache},
    mask::Mask,
};
use candle_core::{CpuStorage, CustomOp1, InplaceOp1, InplaceOp2, Layout, Shape, Tensor};

/// The attention half of a block.
pub(crate) struct Grouped {
    query_key_value: Linear,
    output: Linear,
    /// The weights of the norms of each head's query and key.
    head_norms: Option<[Tensor; 2]>,
    epsilon: f32,
    sizes: Sizes,
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

    /// Attends from the rows of `x` (T, width) from `first` on; the keys and values of all rows are cached. With
    /// `asking`, the queries come from its rows instead, one for each row from `first` on.
    pub(crate) fn forward(
        &self,
        x: &Tensor,
        asking: Option<&Tensor>,
        pass: &Pass,
        kv: &mut LayerCache,
        first: usize,
    ) -> candle_core::Result<Tensor> {
        let (queries, keys) = (self.sizes.queries(), self.sizes.keys());
        let rows = x.dim(0)?;
        let fused = self.query_key_value.forward(x)?;
        self.norm_heads(&fused)?;
        if let Some(turns) = &pass.turns {
            let heads = cpu::TurnedHeads {
                width: queries + 2 * keys,
                first: 0,
                count: self.sizes.heads + self.sizes.kv_heads,
                stride: self.sizes.head_size,
            };
            fused.inplace_op1(&TurnOp {
                turns: turns.view(),
                heads,
            })?;
        }
        kv.write(
            pass.mask.past(),
            &fused.narrow(1, queries, keys)?,
            &fused.narrow(1, queries + keys, keys)?,
        )?;
        let asked = match asking {
            Some(asking) => self.query_key_value.forward(asking)?,
            None => fused.narrow(0, first, rows - first)?,
        };
        let mixed = asked.narrow(1, 0, queries)?.apply_op1_no_bwd(&AttendOp {
            kv,
            mask: &pass.mask,
            sizes: self.sizes,
            first,
        })?;
        self.output.forward(&mixed)
    }

    /// Norms each head of the queries and of the keys in place.
    fn norm_heads(&self, fused: &Tensor) -> candle_core::Result<()> {
        let Some([query, key]) = &self.head_norms else {
            return Ok(());
        };
        let heads = [
            0..self.sizes.heads,
            self.sizes.heads..self.sizes.heads + self.sizes.kv_heads,
        ];
        for (heads, weight) in heads.into_iter().zip([query, key]) {
            fused.inplace_op2(
                weight,
                &NormHeadsOp {
                    width: self.sizes.queries() + 2 * self.sizes.keys(),
                    numbers: heads.start * self.sizes.head_size..heads.end * self.sizes.head_size,
                    epsilon: self.epsilon,
                },
            )?;
        }
        Ok(())
    }
}

/// Turns heads in place by the angles of their tokens.
pub(super) struct TurnOp<'a> {
    pub(super) turns: cpu::Turns<'a>,
    pub(super) heads: cpu::TurnedHeads,
}

impl InplaceOp1 for TurnOp<'_> {
    fn name(&self) -> &'static str {
        "rotate"
    }

    fn cpu_fwd(&self, x: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        cpu::rotate(whole(x, layout)?, self.heads, self.turns);
        Ok(())
    }
}

/// Norms the heads that lie in some numbers of every row, in place.
struct NormHeadsOp {
    width: usize,
    numbers: std::ops::Range<usize>,
    epsilon: f32,
}

impl InplaceOp2 for NormHeadsOp {
    fn name(&self) -> &'static str {
        "norm-heads"
    }

    fn cpu_fwd(
        &self,
        x: &mut CpuStorage,
        layout: &Layout,
        weight: &CpuStorage,
        _: &Layout,
    ) -> candle_core::Result<()> {
        let weight = weight.as_slice::<f32>()?;
        for row in whole(x, layout)?.chunks_exact_mut(self.width) {
            for head in row[self.numbers.clone()].chunks_exact_mut(weight.len()) {
                cpu::rms_row(head, weight, self.epsilon);
            }
        }
        Ok(())
    }
}

/// All numbers of a tensor that has its storage to itself.
fn whole<'a>(x: &'a mut CpuStorage, layout: &Layout) -> candle_core::Result<&'a mut [f32]> {
    match x {
        CpuStorage::F32(x) if layout.is_contiguous() && layout.start_offset() == 0 => Ok(x),
        _ => candle_core::bail!("an operation in place was given a view, or not f32"),
    }
}

struct AttendOp<'a> {
    kv: &'a LayerCache,
    mask: &'a Mask,
    sizes: Sizes,
    first: usize,
}

impl CustomOp1 for AttendOp<'_> {
    fn name(&self) -> &'static str {
        "attend"
    }

    fn cpu_fwd(
        &self,
        queries: &CpuStorage,
        layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let Cached::Heads { keys, values } = self.kv.cached() else {
            candle_core::bail!("this cache holds latents");
        };
        let queries = Rows::of(queries, layout)?;
        let mut out = vec![0.0; queries.count() * queries.width()];
        let visible = |row| self.mask.visible(self.first + row);
        let heads = cpu::Heads {
            queries: self.sizes.heads,
            keys: self.sizes.kv_heads,
            size: self.sizes.head_size,
            scale: 1.0 / (self.sizes.head_size as f32).sqrt(),
        };
        cpu::attend(queries, keys, values, heads, visible, &mut out);
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }
}
