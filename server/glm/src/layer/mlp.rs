//! The feed-forward half of a block: up, activation, down.

use super::linear::Linear;
use crate::{Activation, Config, Error, checkpoint::Checkpoint, kernels::cpu};
use candle_core::{CpuStorage, InplaceOp1, Layout, Tensor};

/// Two matrices with an activation between them.
pub(crate) struct Mlp {
    up: Linear,
    down: Linear,
    activation: Activation,
}

impl Mlp {
    pub(crate) fn load(checkpoint: &Checkpoint, name: &str, config: &Config) -> Result<Mlp, Error> {
        Ok(Mlp {
            up: Linear::load(
                checkpoint,
                &format!("{name}_up"),
                config.inner,
                config.width,
                true,
            )?,
            down: Linear::load(
                checkpoint,
                &format!("{name}_down"),
                config.width,
                config.inner,
                true,
            )?,
            activation: config.activation,
        })
    }

    /// down(activation(up(x))).
    pub(crate) fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let inner = self.up.forward(x)?;
        match self.activation {
            Activation::Gelu | Activation::QuickGelu | Activation::Silu => {
                self.down.forward(&inner.gelu_erf()?)
            }
            Activation::GeluTanh => {
                inner.inplace_op1(&GeluOp)?;
                self.down.forward(&inner)
            }
        }
    }
}

struct GeluOp;

impl InplaceOp1 for GeluOp {
    fn name(&self) -> &'static str {
        "gelu-tanh"
    }

    fn cpu_fwd(&self, x: &mut CpuStorage, _: &Layout) -> candle_core::Result<()> {
        match x {
            CpuStorage::F32(x) => cpu::gelu_tanh(x),
            _ => candle_core::bail!("the activation takes f32"),
        }
        Ok(())
    }
}
