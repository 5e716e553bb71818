//! A matrix to multiply by, with or without a bias, in whatever type the checkpoint has.
//!
//! Q8_0, 16-bit numbers and integers with a scale a row run on our own kernels; f32 and the other quantized types on
//! candle's. Activations are f32 throughout.

use crate::{
    Error,
    checkpoint::Checkpoint,
    kernels::{HalfMatrix, Q8Matrix, Rows, ScaledMatrix, Unpack, cpu},
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
    /// f16 or bf16.
    Half(Arc<HalfMatrix>),
    /// Integers with a scale a row.
    Scaled(Arc<ScaledMatrix>),
    /// f32.
    Dense(Tensor),
    /// Another quantized type, left to candle.
    Candle(QMatMul),
    /// Matrices with the same inputs; their outputs lie one after the other.
    Stack(Vec<Matrix>),
    /// Matrices with the same outputs, each for its part of the inputs; their outputs are added.
    Beside(Vec<Matrix>),
}

impl Matrix {
    /// x · weightᵀ.
    pub(crate) fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        self.multiply(x, None)
    }

    /// x · weightᵀ + bias.
    fn multiply(&self, x: &Tensor, bias: Option<&Tensor>) -> candle_core::Result<Tensor> {
        let kernel = |weight| {
            let operation = MatMulOp { weight };
            match bias {
                Some(bias) => x.apply_op2_no_bwd(bias, &operation),
                None => x.apply_op1_no_bwd(&operation),
            }
        };
        let product = match self {
            Matrix::Q8(weight) => return kernel(Packed::Q8(weight)),
            Matrix::Half(weight) => return kernel(Packed::Plain(&**weight)),
            Matrix::Scaled(weight) => return kernel(Packed::Plain(&**weight)),
            Matrix::Dense(weight) => x.matmul(&weight.t()?)?,
            Matrix::Candle(weight) => weight.forward(&x.contiguous()?)?,
            Matrix::Stack(parts) => {
                let outputs = parts.iter().map(|part| part.forward(x));
                Tensor::cat(&outputs.collect::<candle_core::Result<Vec<_>>>()?, 1)?
            }
            Matrix::Beside(parts) => {
                let mut first = 0;
                let mut sum: Option<Tensor> = None;
                for part in parts {
                    let inputs = part.size()?.1;
                    let product = part.forward(&x.narrow(1, first, inputs)?)?;
                    first += inputs;
                    sum = Some(match sum {
                        Some(sum) => (sum + product)?,
                        None => product,
                    });
                }
                sum.ok_or_else(|| candle_core::Error::msg("a matrix of no parts"))?
            }
        };
        match bias {
            Some(bias) => product.broadcast_add(bias),
            None => Ok(product),
        }
    }

    /// Outputs and inputs.
    pub(crate) fn size(&self) -> candle_core::Result<(usize, usize)> {
        Ok(match self {
            Matrix::Q8(weight) => (weight.rows(), weight.columns()),
            Matrix::Half(weight) => (weight.rows(), weight.columns()),
            Matrix::Scaled(weight) => (weight.rows(), weight.columns()),
            Matrix::Dense(weight)
            | Matrix::Candle(QMatMul::Tensor(weight) | QMatMul::TensorF16(weight)) => {
                weight.dims2()?
            }
            Matrix::Candle(QMatMul::QTensor(weight)) => weight.shape().dims2()?,
            Matrix::Stack(parts) => {
                let mut size = (0, 0);
                for part in parts {
                    let (outputs, inputs) = part.size()?;
                    size = (size.0 + outputs, inputs);
                }
                size
            }
            Matrix::Beside(parts) => {
                let mut size = (0, 0);
                for part in parts {
                    let (outputs, inputs) = part.size()?;
                    size = (outputs, size.1 + inputs);
                }
                size
            }
        })
    }

    /// The rows `ids`, as an embedding looks them up: (ids, inputs). Every id is below the matrix's outputs.
    pub(crate) fn rows(&self, ids: &[u32], device: &Device) -> candle_core::Result<Tensor> {
        match self {
            Matrix::Q8(weight) => unpacked(&**weight, ids, device),
            Matrix::Half(weight) => unpacked(&**weight, ids, device),
            Matrix::Scaled(weight) => unpacked(&**weight, ids, device),
            Matrix::Dense(weight) => weight.index_select(&Tensor::new(ids, device)?, 0),
            Matrix::Candle(weight) => weight.embedding(&Tensor::new(ids, device)?),
            Matrix::Stack(parts) => {
                let rows = ids.iter().map(|&id| {
                    let mut id = id;
                    for part in parts {
                        let outputs = part.size()?.0 as u32;
                        if id < outputs {
                            return part.rows(&[id], device);
                        }
                        id -= outputs;
                    }
                    candle_core::bail!("a row past the end of a matrix")
                });
                Tensor::cat(&rows.collect::<candle_core::Result<Vec<_>>>()?, 0)
            }
            Matrix::Beside(parts) => {
                let rows = parts.iter().map(|part| part.rows(ids, device));
                Tensor::cat(&rows.collect::<candle_core::Result<Vec<_>>>()?, 1)
            }
        }
    }
}

fn unpacked(weight: &dyn Unpack, ids: &[u32], device: &Device) -> candle_core::Result<Tensor> {
    let width = weight.columns();
    let mut rows = vec![0.0; ids.len() * width];
    for (&id, row) in ids.iter().zip(rows.chunks_exact_mut(width)) {
        weight.unpack_row(id as usize, row);
    }
    Tensor::from_vec(rows, (ids.len(), width), device)
}

/// A matrix, with its bias if it has one.
pub(crate) struct Linear {
    weight: Matrix,
    bias: Option<Tensor>,
}

impl Linear {
    /// The matrix `name`.weight (outputs, inputs) and, if there is to be one, `name`.bias.
    pub(crate) fn load(
        checkpoint: &Checkpoint,
        name: &str,
        outputs: usize,
        inputs: usize,
        bias: bool,
    ) -> Result<Linear, Error> {
        let bias = bias.then(|| checkpoint.vector(&format!("{name}.bias"), outputs));
        Ok(Linear {
            weight: checkpoint.matrix(&format!("{name}.weight"), outputs, inputs)?,
            bias: bias.transpose()?,
        })
    }

    /// x · weightᵀ + bias.
    pub(crate) fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        self.weight.multiply(x, self.bias.as_ref())
    }
}

/// A matrix that one of our kernels multiplies by.
#[derive(Clone, Copy)]
enum Packed<'a> {
    Q8(&'a Q8Matrix),
    Plain(&'a dyn Unpack),
}

struct MatMulOp<'a> {
    weight: Packed<'a>,
}

impl MatMulOp<'_> {
    fn run(
        &self,
        x: &CpuStorage,
        layout: &Layout,
        bias: &[f32],
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let x = Rows::of(x, layout)?;
        let outputs = match self.weight {
            Packed::Q8(weight) => weight.rows(),
            Packed::Plain(weight) => weight.rows(),
        };
        let mut out = vec![0.0; x.count() * outputs];
        match self.weight {
            Packed::Q8(weight) => cpu::matmul_q8(x, weight, bias, &mut out),
            Packed::Plain(weight) => cpu::matmul_unpacked(x, weight, bias, &mut out),
        }
        Ok((CpuStorage::F32(out), (x.count(), outputs).into()))
    }
}

impl CustomOp1 for MatMulOp<'_> {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        self.run(x, layout, &[])
    }
}

impl CustomOp2 for MatMulOp<'_> {
    fn name(&self) -> &'static str {
        "matmul-bias"
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fixture::Random,
        kernels::{HalfKind, reference},
    };

    fn half(random: &mut Random, rows: usize, columns: usize) -> Matrix {
        let numbers = random.normal(rows * columns);
        let bits = numbers.iter().map(|&x| half::f16::from_f32(x).to_bits());
        let matrix = HalfMatrix::new(bits.collect(), HalfKind::F16, rows, columns);
        Matrix::Half(Arc::new(matrix))
    }

    /// The matrix's own rows, multiplied in plain code.
    #[track_caller]
    fn check(matrix: &Matrix, outputs: usize, inputs: usize) {
        assert_eq!(matrix.size().unwrap(), (outputs, inputs));
        let device = &Device::Cpu;
        let ids: Vec<u32> = (0..outputs as u32).collect();
        let dense = Matrix::Dense(matrix.rows(&ids, device).unwrap());
        let x = Random::new(2).normal(3 * inputs);
        let x = Tensor::from_vec(x, (3, inputs), device).unwrap();
        let numbers = |tensor: Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let want = numbers(dense.forward(&x).unwrap());
        reference::assert_close(&numbers(matrix.forward(&x).unwrap()), &want, 1e-5);
        let bias = Tensor::from_vec(vec![0.5f32; outputs], outputs, device).unwrap();
        let want: Vec<f32> = want.into_iter().map(|x| x + 0.5).collect();
        let got = numbers(matrix.multiply(&x, Some(&bias)).unwrap());
        reference::assert_close(&got, &want, 1e-5);
    }

    #[test]
    fn parts_are_one_matrix() {
        let mut random = Random::new(1);
        let stack = vec![half(&mut random, 5, 8), half(&mut random, 3, 8)];
        check(&Matrix::Stack(stack), 8, 8);
        let beside = vec![half(&mut random, 5, 8), half(&mut random, 5, 2)];
        check(&Matrix::Beside(beside), 5, 10);
    }
}
