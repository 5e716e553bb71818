//! A matrix to multiply by, with or without a bias, in whatever type the checkpoint has.
//!
//! Q8_0 runs on our own kernel; plain numbers and the other quantized types on candle's.

use crate::{
    Error,
    checkpoint::Checkpoint,
    kernels::{Q8Matrix, Rows, cpu},
};
use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, Device, Layout, Module, Shape, Tensor, quantized::QMatMul,
};
use std::sync::Arc;

/// A weight matrix (outputs, inputs).
#[derive(Clone)]
pub(crate) enum Matrix {
    /// Q8_0, packed for our kernel.
    Q8(Arc<Q8Matrix>),
    /// f32.
    Dense(Tensor),
    /// Another quantized type, left to candle.
    Candle(QMatMul),
}

impl Matrix {
    /// x · weightᵀ.
    pub(crate) fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        match self {
            Matrix::Q8(weight) => x.apply_op1_no_bwd(&MatMulOp { weight }),
            Matrix::Dense(weight) => x.matmul(&weight.t()?),
            Matrix::Candle(weight) => weight.forward(x),
        }
    }

    /// The rows `ids`, as an embedding looks them up. Every id is below the matrix's rows.
    pub(crate) fn rows(
        &self,
        ids: &[u32],
        width: usize,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        match self {
            Matrix::Q8(weight) => {
                let mut rows = vec![0.0; ids.len() * width];
                for (&id, row) in ids.iter().zip(rows.chunks_exact_mut(width)) {
                    weight.unpack_row(id as usize, row);
                }
                Tensor::from_vec(rows, (ids.len(), width), device)
            }
            Matrix::Dense(weight) => weight.index_select(&Tensor::new(ids, device)?, 0),
            Matrix::Candle(weight) => weight.embedding(&Tensor::new(ids, device)?),
        }
    }
}

/// A matrix and its bias.
pub(crate) struct Linear {
    weight: Matrix,
    bias: Tensor,
}

impl Linear {
    pub(crate) fn load(
        checkpoint: &Checkpoint,
        name: &str,
        outputs: usize,
        inputs: usize,
    ) -> Result<Linear, Error> {
        Ok(Linear {
            weight: checkpoint.matrix(&format!("{name}.weight"), outputs, inputs)?,
            bias: checkpoint.vector(&format!("{name}.bias"), outputs)?,
        })
    }

    /// x · weightᵀ + bias.
    pub(crate) fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        match &self.weight {
            Matrix::Q8(weight) => x.apply_op2_no_bwd(&self.bias, &MatMulOp { weight }),
            weight => weight.forward(x)?.broadcast_add(&self.bias),
        }
    }
}

struct MatMulOp<'a> {
    weight: &'a Q8Matrix,
}

impl MatMulOp<'_> {
    fn run(
        &self,
        x: &CpuStorage,
        layout: &Layout,
        bias: &[f32],
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let x = Rows::of(x, layout)?;
        let mut out = vec![0.0; x.count() * self.weight.rows()];
        cpu::matmul_q8(x, self.weight, bias, &mut out);
        Ok((CpuStorage::F32(out), (x.count(), self.weight.rows()).into()))
    }
}

impl CustomOp1 for MatMulOp<'_> {
    fn name(&self) -> &'static str {
        "matmul-q8"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        self.run(x, layout, &[])
    }
}

impl CustomOp2 for MatMulOp<'_> {
    fn name(&self) -> &'static str {
        "matmul-q8-bias"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        layout: &Layout,
        bias: &CpuStorage,
        _: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        self.run(x, layout, bias.as_slice()?)
    }
}
