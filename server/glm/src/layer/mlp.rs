//! A dense feed-forward: up, activation, down.

use super::linear::{Linear, Matrix};
use crate::{
    Activation, Config, Error,
    checkpoint::Checkpoint,
    kernels::{Rows, cpu},
};
use candle_core::{CpuStorage, CustomOp1, InplaceOp1, Layout, Shape, Tensor};

/// Two matrices with an activation between them. Gated, the first matrix gives two halves one after the other, and the
/// activated first half is multiplied by the second.
pub(crate) struct Mlp {
    up: Linear,
    down: Linear,
    gated: bool,
    activation: Activation,
}

impl Mlp {
    /// The feed-forward of a layer without experts.
    pub(crate) fn load(checkpoint: &Checkpoint, name: &str, config: &Config) -> Result<Mlp, Error> {
        let Config { width, inner, .. } = *config;
        let (up, rows) = if config.gated {
            (format!("{name}_gate_up"), 2 * inner)
        } else {
            (format!("{name}_up"), inner)
        };
        let bias = config.linear_bias;
        Ok(Mlp {
            up: Linear::load(checkpoint, &up, rows, width, bias)?,
            down: Linear::load(checkpoint, &format!("{name}_down"), width, inner, bias)?,
            gated: config.gated,
            activation: config.activation,
        })
    }

    /// A gated feed-forward of these matrices, without biases.
    pub(crate) fn expert(gate_up: Matrix, down: Matrix, activation: Activation) -> Mlp {
        Mlp {
            up: Linear::plain(gate_up),
            down: Linear::plain(down),
            gated: true,
            activation,
        }
    }

    /// down(activation(up(x))).
    pub(crate) fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let inner = self.up.forward(x)?;
        let operation = ActivateOp(self.activation);
        if self.gated {
            self.down.forward(&inner.apply_op1_no_bwd(&operation)?)
        } else {
            inner.inplace_op1(&operation)?;
            self.down.forward(&inner)
        }
    }
}

struct ActivateOp(Activation);

impl InplaceOp1 for ActivateOp {
    fn name(&self) -> &'static str {
        "activate"
    }

    fn cpu_fwd(&self, x: &mut CpuStorage, _: &Layout) -> candle_core::Result<()> {
        match x {
            CpuStorage::F32(x) => cpu::activate(self.0, x),
            _ => candle_core::bail!("the activation takes f32"),
        }
        Ok(())
    }
}

impl CustomOp1 for ActivateOp {
    fn name(&self) -> &'static str {
        "gate"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let x = Rows::of(x, layout)?;
        let inner = x.width() / 2;
        let mut out = vec![0.0; x.count() * inner];
        cpu::gate(self.0, x, &mut out);
        Ok((CpuStorage::F32(out), (x.count(), inner).into()))
    }
}
