//! The norms of a block and of the head: layer norm or root-mean-square norm.

use crate::{
    Config, Error, Norm as Kind,
    checkpoint::Checkpoint,
    kernels::{Rows, cpu},
};
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Shape, Tensor};

/// A norm over whole rows.
pub(crate) struct Norm {
    weight: Tensor,
    /// Layer norm has it, root-mean-square norm does not.
    bias: Option<Tensor>,
    epsilon: f32,
}

impl Norm {
    /// The norm of hidden states, `name`.weight and, for layer norm, `name`.bias.
    pub(crate) fn load(
        checkpoint: &Checkpoint,
        name: &str,
        config: &Config,
    ) -> Result<Norm, Error> {
        let bias = match config.norm {
            Kind::Layer => Some(checkpoint.vector(&format!("{name}.bias"), config.width)?),
            Kind::Rms => None,
        };
        Ok(Norm {
            weight: checkpoint.vector(&format!("{name}.weight"), config.width)?,
            bias,
            epsilon: config.epsilon,
        })
    }

    /// A root-mean-square norm of rows of `width` numbers.
    pub(crate) fn rms(
        checkpoint: &Checkpoint,
        name: &str,
        width: usize,
        epsilon: f32,
    ) -> Result<Norm, Error> {
        Ok(Norm {
            weight: checkpoint.vector(&format!("{name}.weight"), width)?,
            bias: None,
            epsilon,
        })
    }

    /// Norms every row of `x`.
    pub(crate) fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let operation = NormOp {
            epsilon: self.epsilon,
        };
        match &self.bias {
            Some(bias) => x.apply_op3_no_bwd(&self.weight, bias, &operation),
            None => x.apply_op2_no_bwd(&self.weight, &operation),
        }
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
        let (weight, bias) = (weight.as_slice()?, bias.as_slice()?);
        cpu::layer_norm(x, weight, bias, self.epsilon, &mut out);
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }
}

impl CustomOp2 for NormOp {
    fn name(&self) -> &'static str {
        "rms-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        layout: &Layout,
        weight: &CpuStorage,
        _: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let x = Rows::of(x, layout)?;
        let mut out = vec![0.0; x.count() * x.width()];
        cpu::rms_norm(x, weight.as_slice()?, self.epsilon, &mut out);
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }
}
