//! The norms of a block and of the head: layer norm or root-mean-square norm.

use crate::{
    Config, Error, Norm as Kind,
    checkpoint::Checkpoint,
    kernels::{Rows, cpu},
};

/// A norm over whole rows.
pub(crate) struct Norm {
    weight: Vec<f32>,
    /// Layer norm has it, root-mean-square norm does not.
    bias: Option<Vec<f32>>,
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

    /// Numbers in a row.
    pub(crate) fn width(&self) -> usize {
        self.weight.len()
    }

    /// out ← every row of `x`, normed.
    pub(crate) fn forward(&self, x: Rows, out: &mut [f32], pool: &cpu::Pool) {
        match &self.bias {
            Some(bias) => cpu::layer_norm(x, &self.weight, bias, self.epsilon, out, pool),
            None => cpu::rms_norm(x, &self.weight, self.epsilon, out, pool),
        }
    }
}
