//! The norm before each half of a block and before the head.

use crate::{
    Config, Error,
    checkpoint::Checkpoint,
    kernels::{Rows, cpu},
};
use candle_core::{CpuStorage, CustomOp3, Layout, Shape, Tensor};

/// Layer norm with weight and bias.
pub(crate) struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    epsilon: f32,
}

impl LayerNorm {
    pub(crate) fn load(
        checkpoint: &Checkpoint,
        name: &str,
        config: &Config,
    ) -> Result<LayerNorm, Error> {
        Ok(LayerNorm {
            weight: checkpoint.vector(&format!("{name}.weight"), config.width)?,
            bias: checkpoint.vector(&format!("{name}.bias"), config.width)?,
            epsilon: config.epsilon,
        })
    }

    /// Norms every row of `x`.
    pub(crate) fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        x.apply_op3_no_bwd(
            &self.weight,
            &self.bias,
            &NormOp {
                epsilon: self.epsilon,
            },
        )
    }
}

struct NormOp {
    epsilon: f32,
}

impl CustomOp3 for NormOp {
    fn name(&self) -> &'static str {
        "layer-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        layout: &Layout,
        weight: &CpuStorage,
        _: &Layout,
        bias: &CpuStorage,
        _: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let x = Rows::of(x, layout)?;
        let mut out = vec![0.0; x.count() * x.width()];
        cpu::layer_norm(
            x,
            weight.as_slice()?,
            bias.as_slice()?,
            self.epsilon,
            &mut out,
        );
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }
}
