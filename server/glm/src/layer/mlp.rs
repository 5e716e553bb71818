//! A dense feed-forward: up, activation, down.

use super::linear::{Linear, Matrix, Products};
use crate::{
    Activation, Config, Error,
    checkpoint::Checkpoint,
    kernels::{Rows, cpu},
    workspace::room,
};

/// Two matrices with an activation between them. Gated, the first matrix gives two halves one after the other, and the
/// activated first half is multiplied by the second.
pub(crate) struct Mlp {
    up: Linear,
    down: Linear,
    gated: bool,
    activation: Activation,
}

/// Room for a feed-forward's inner states.
#[derive(Debug, Default)]
pub(crate) struct Inner {
    up: Vec<f32>,
    gated: Vec<f32>,
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

    /// A gated feed-forward of these matrices, without biases: `inner` numbers between them, `width` before and after.
    pub(crate) fn expert(
        gate_up: Matrix,
        down: Matrix,
        inner: usize,
        width: usize,
        activation: Activation,
    ) -> Mlp {
        Mlp {
            up: Linear::plain(gate_up, 2 * inner),
            down: Linear::plain(down, width),
            gated: true,
            activation,
        }
    }

    /// out ← down(activation(up(x))).
    pub(crate) fn forward(
        &self,
        x: Rows,
        out: &mut [f32],
        inner: &mut Inner,
        products: &mut Products,
        pool: &cpu::Pool,
    ) -> Result<(), Error> {
        let (count, outputs) = (x.count(), self.up.outputs());
        let up = room(&mut inner.up, count * outputs);
        self.up.forward(x, up, products, pool)?;
        if self.gated {
            let gated = room(&mut inner.gated, count * outputs / 2);
            cpu::gate(self.activation, Rows::new(up, outputs), gated, pool);
            let gated = Rows::new(gated, outputs / 2);
            self.down.forward(gated, out, products, pool)
        } else {
            cpu::activate(self.activation, up, pool);
            self.down
                .forward(Rows::new(up, outputs), out, products, pool)
        }
    }
}
