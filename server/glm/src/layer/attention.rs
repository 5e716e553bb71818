//! Self-attention over the KV cache.
//!
//! One matrix gives queries, keys and values as three contiguous thirds; keys and values go to the cache, and each
//! query looks at as many cached tokens as the mask says.

use super::linear::Linear;
use crate::{
    Config, Error,
    checkpoint::Checkpoint,
    kernels::{Rows, cpu},
    kv::LayerCache,
    mask::Mask,
};
use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor};

/// The attention half of a block.
pub(crate) struct Attention {
    query_key_value: Linear,
    output: Linear,
    heads: usize,
    width: usize,
}

impl Attention {
    pub(crate) fn load(
        checkpoint: &Checkpoint,
        name: &str,
        config: &Config,
    ) -> Result<Attention, Error> {
        let width = config.width;
        let heads = config.attention.heads();
        Ok(Attention {
            query_key_value: Linear::load(
                checkpoint,
                &format!("{name}_qkv"),
                3 * width,
                width,
                true,
            )?,
            output: Linear::load(checkpoint, &format!("{name}_output"), width, width, true)?,
            heads,
            width,
        })
    }

    /// Attends from the rows of `x` (T, width) from `first` on; the keys and values of all rows are cached.
    pub(crate) fn forward(
        &self,
        x: &Tensor,
        mask: &Mask,
        kv: &mut LayerCache,
        first: usize,
    ) -> candle_core::Result<Tensor> {
        let (rows, width) = (x.dim(0)?, self.width);
        let fused = self.query_key_value.forward(x)?;
        kv.write(
            mask.past(),
            &fused.narrow(1, width, width)?,
            &fused.narrow(1, 2 * width, width)?,
        )?;
        let queries = fused.narrow(0, first, rows - first)?.narrow(1, 0, width)?;
        let mixed = queries.apply_op1_no_bwd(&AttendOp {
            kv,
            mask,
            heads: self.heads,
            first,
        })?;
        self.output.forward(&mixed)
    }
}

struct AttendOp<'a> {
    kv: &'a LayerCache,
    mask: &'a Mask,
    heads: usize,
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
        let queries = Rows::of(queries, layout)?;
        let mut out = vec![0.0; queries.count() * queries.width()];
        let visible = |row| self.mask.visible(self.first + row);
        cpu::attend(
            queries,
            self.kv.keys(),
            self.kv.values(),
            self.heads,
            visible,
            &mut out,
        );
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }
}
