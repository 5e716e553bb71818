//! A matrix to multiply by, with or without a bias, in whatever type the checkpoint has.
//!
//! Activations are f32; those that meet packed weights are brought to integers here, once for all parts of a matrix.

use crate::{
    Error,
    checkpoint::Checkpoint,
    kernels::{FloatMatrix, HalfMatrix, PackedMatrix, Rows, Unpack, cpu},
    workspace::room,
};
use std::{ops::Range, sync::Arc};

/// Products with what activations left over that make a fine one: 24 bits of each in all, as f32 has.
const FINER: usize = 2;

/// A weight matrix (outputs, inputs).
#[derive(Clone)]
pub(crate) enum Matrix {
    /// Integers of few bits, with a scale a block or a row.
    Packed(Arc<PackedMatrix>),
    /// f16 or bf16.
    Half(Arc<HalfMatrix>),
    /// f32.
    Float(Arc<FloatMatrix>),
    /// Matrices with the same inputs; their outputs lie one after the other.
    Stack(Vec<Matrix>),
    /// Matrices with the same outputs, each for its part of the inputs; their outputs are added.
    Beside(Vec<Matrix>),
}

/// Room for what products form on their way.
#[derive(Debug, Default)]
pub(crate) struct Products {
    activations: cpu::Activations,
    /// What the activations left over.
    left: Vec<f32>,
    /// The product with one of several matrices.
    part: Vec<f32>,
}

impl Products {
    /// out(t, first + n) ← Σ x(t, k) · weight(n, k) + bias(n), where the activations have been set to x. They are not
    /// any more if the packing is fine.
    fn packed(
        &mut self,
        x: Rows,
        weight: &PackedMatrix,
        bias: &[f32],
        out: &mut [f32],
        first: usize,
        pool: &cpu::Pool,
    ) {
        cpu::matmul_packed(&self.activations, weight, bias, out, first, pool);
        if weight.packing().is_fine() {
            let (width, size) = (x.width(), x.count() * x.width());
            let left = room(&mut self.left, size);
            for (row, left) in left.chunks_exact_mut(width.max(1)).enumerate() {
                left.copy_from_slice(x.row(row));
            }
            for _ in 0..FINER {
                self.activations.take_from(left, width);
                self.activations.set(Rows::new(left, width), pool);
                cpu::add_packed(&self.activations, weight, out, first, pool);
            }
        }
    }
}

impl Matrix {
    /// out ← x · weightᵀ + bias. `out` is x.count() × outputs; `bias` may be empty.
    pub(crate) fn multiply(
        &self,
        x: Rows,
        bias: &[f32],
        out: &mut [f32],
        products: &mut Products,
        pool: &cpu::Pool,
    ) -> Result<(), Error> {
        match self {
            Matrix::Packed(weight) => {
                products.activations.set(x, pool);
                products.packed(x, weight, bias, out, 0, pool);
                return Ok(());
            }
            Matrix::Half(weight) => {
                cpu::matmul_unpacked(x, &**weight, bias, out, pool);
                return Ok(());
            }
            Matrix::Float(weight) => {
                cpu::matmul_unpacked(x, &**weight, bias, out, pool);
                return Ok(());
            }
            Matrix::Stack(parts) => {
                let outputs = self.size()?.0;
                let mut first = 0;
                let mut is_set = false;
                for part in parts {
                    if let Matrix::Packed(weight) = part {
                        if !is_set {
                            products.activations.set(x, pool);
                        }
                        is_set = !weight.packing().is_fine();
                        products.packed(x, weight, &[], out, first, pool);
                        first += weight.rows();
                        continue;
                    }
                    is_set = false;
                    first += part.alone(x, products, pool, |product, width| {
                        let rows = product.chunks_exact(width);
                        for (product, out) in rows.zip(out.chunks_exact_mut(outputs)) {
                            out[first..first + width].copy_from_slice(product);
                        }
                    })?;
                }
            }
            Matrix::Beside(parts) => {
                out.fill(0.0);
                let mut first = 0;
                for part in parts {
                    let inputs = part.size()?.1;
                    part.alone(x.columns(first, inputs), products, pool, |product, _| {
                        out.iter_mut().zip(product).for_each(|(out, x)| *out += x);
                    })?;
                    first += inputs;
                }
            }
        }
        if !bias.is_empty() {
            for out in out.chunks_exact_mut(bias.len()) {
                out.iter_mut()
                    .zip(bias)
                    .for_each(|(out, bias)| *out += bias);
            }
        }
        Ok(())
    }

    /// Hands x · weightᵀ to `take`, with the matrix's outputs; gives them.
    fn alone(
        &self,
        x: Rows,
        products: &mut Products,
        pool: &cpu::Pool,
        take: impl FnOnce(&[f32], usize),
    ) -> Result<usize, Error> {
        let outputs = self.size()?.0;
        // Taken out, since a part may have parts itself.
        let mut part = std::mem::take(&mut products.part);
        let out = room(&mut part, x.count() * outputs);
        self.multiply(x, &[], out, products, pool)?;
        take(out, outputs);
        products.part = part;
        Ok(outputs)
    }

    /// Outputs and inputs.
    pub(crate) fn size(&self) -> Result<(usize, usize), Error> {
        Ok(match self {
            Matrix::Packed(weight) => (weight.rows(), weight.columns()),
            Matrix::Half(weight) => (weight.rows(), weight.columns()),
            Matrix::Float(weight) => (weight.rows(), weight.columns()),
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

    /// Those of the inputs, which are whole blocks of what it is stored as; none of matrices beside one another.
    pub(crate) fn cut(&self, inputs: Range<usize>) -> Result<Option<Matrix>, Error> {
        if inputs == (0..self.size()?.1) {
            return Ok(Some(self.clone()));
        }
        Ok(Some(match self {
            Matrix::Packed(weight) => Matrix::Packed(Arc::new(weight.cut(inputs))),
            Matrix::Half(weight) => Matrix::Half(Arc::new(weight.cut(inputs))),
            Matrix::Float(weight) => Matrix::Float(Arc::new(weight.cut(inputs))),
            Matrix::Stack(parts) => {
                let parts = parts.iter().map(|part| part.cut(inputs.clone()));
                let parts: Option<Vec<_>> = parts.collect::<Result<_, _>>()?;
                return Ok(parts.map(Matrix::Stack));
            }
            Matrix::Beside(_) => return Ok(None),
        }))
    }

    /// Writes the row `id`, as an embedding looks it up; `out` has room for exactly the inputs. The id is below the
    /// matrix's outputs.
    pub(crate) fn row(&self, id: usize, out: &mut [f32]) -> Result<(), Error> {
        match self {
            Matrix::Packed(weight) => weight.unpack_row(id, out),
            Matrix::Half(weight) => weight.unpack_row(id, out),
            Matrix::Float(weight) => weight.unpack_row(id, out),
            Matrix::Stack(parts) => {
                let mut id = id;
                for part in parts {
                    let outputs = part.size()?.0;
                    if id < outputs {
                        return part.row(id, out);
                    }
                    id -= outputs;
                }
            }
            Matrix::Beside(parts) => {
                let mut rest = out;
                for part in parts {
                    let (mine, others) = rest.split_at_mut(part.size()?.1);
                    part.row(id, mine)?;
                    rest = others;
                }
            }
        }
        Ok(())
    }
}

/// A matrix, with its bias if it has one.
pub(crate) struct Linear {
    weight: Matrix,
    /// Empty if there is none.
    bias: Vec<f32>,
    outputs: usize,
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
        Ok(Linear {
            weight: checkpoint.matrix(&format!("{name}.weight"), outputs, inputs)?,
            bias: if bias {
                checkpoint.vector(&format!("{name}.bias"), outputs)?
            } else {
                Vec::new()
            },
            outputs,
        })
    }

    /// The matrix without a bias.
    pub(crate) fn plain(weight: Matrix, outputs: usize) -> Linear {
        Linear {
            weight,
            bias: Vec::new(),
            outputs,
        }
    }

    /// Numbers in a row of what it gives.
    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }

    /// out ← x · weightᵀ + bias.
    pub(crate) fn forward(
        &self,
        x: Rows,
        out: &mut [f32],
        products: &mut Products,
        pool: &cpu::Pool,
    ) -> Result<(), Error> {
        self.weight.multiply(x, &self.bias, out, products, pool)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fixture::Random,
        kernels::{HalfKind, Stored, reference},
    };

    fn half(random: &mut Random, rows: usize, columns: usize) -> Matrix {
        let numbers = random.normal(rows * columns);
        let bits = numbers.iter().map(|&x| half::f16::from_f32(x).to_bits());
        let matrix = HalfMatrix::new(bits.collect(), HalfKind::F16, rows, columns);
        Matrix::Half(Arc::new(matrix))
    }

    /// Rows of integers that are not rounded on their way: the largest of 32 is the largest of 8 bits.
    fn integers(count: usize) -> Vec<f32> {
        let numbers = Random::new(2).normal(count).into_iter().enumerate();
        let integer = |(at, x): (usize, f32)| {
            if at % 32 == 0 {
                127.0
            } else {
                (x * 30.0).round()
            }
        };
        numbers.map(integer).collect()
    }

    /// The matrix's own rows, multiplied in plain code.
    #[track_caller]
    fn check(matrix: &Matrix, outputs: usize, inputs: usize, x: &[f32]) {
        assert_eq!(matrix.size().unwrap(), (outputs, inputs));
        let mut rows = vec![f32::NAN; outputs * inputs];
        for (id, row) in rows.chunks_exact_mut(inputs).enumerate() {
            matrix.row(id, row).unwrap();
        }
        let dense = FloatMatrix::new(rows, outputs, inputs);
        let x = Rows::new(x, inputs);
        let (pool, mut products) = (cpu::Pool::new(2).unwrap(), Products::default());
        for bias in [vec![], vec![0.5; outputs]] {
            let want = reference::matmul(x, &dense, &bias);
            let mut got = vec![f32::NAN; x.count() * outputs];
            matrix
                .multiply(x, &bias, &mut got, &mut products, &pool)
                .unwrap();
            reference::assert_close(&got, &want, 1e-5);
        }
    }

    #[test]
    fn parts_are_one_matrix() {
        let mut random = Random::new(1);
        let stack = vec![half(&mut random, 5, 8), half(&mut random, 3, 8)];
        check(&Matrix::Stack(stack), 8, 8, &Random::new(2).normal(24));
        let beside = vec![half(&mut random, 5, 8), half(&mut random, 5, 2)];
        check(&Matrix::Beside(beside), 5, 10, &Random::new(2).normal(30));
        let mixed = vec![
            Matrix::Stack(vec![half(&mut random, 2, 8), half(&mut random, 3, 8)]),
            half(&mut random, 5, 4),
        ];
        check(&Matrix::Beside(mixed), 5, 12, &Random::new(2).normal(36));
        let mut packed = |stored, rows| Matrix::Packed(Arc::new(random.packed(stored, rows, 256)));
        let types = vec![
            packed(Stored::Q4K, 20),
            packed(Stored::Q6K, 7),
            half(&mut Random::new(3), 3, 256),
            packed(Stored::Int4, 5),
            packed(Stored::Q8_0, 16),
        ];
        check(&Matrix::Stack(types), 51, 256, &integers(3 * 256));
    }

    /// Each type, cut where its blocks begin, beside what all of it gives.
    #[test]
    fn products_with_cut_inputs_add_up() {
        let mut random = Random::new(6);
        let (pool, mut products) = (cpu::Pool::new(2).unwrap(), Products::default());
        let mut matrices = vec![
            half(&mut random, 20, 512),
            Matrix::Float(Arc::new(FloatMatrix::new(random.normal(20 * 512), 20, 512))),
        ];
        for stored in [
            Stored::Q8_0,
            Stored::Q4_0,
            Stored::Q4K,
            Stored::Q5K,
            Stored::Q6K,
            Stored::Int8,
            Stored::Int4,
        ] {
            matrices.push(Matrix::Packed(Arc::new(random.packed(stored, 20, 512))));
        }
        matrices.push(Matrix::Stack(matrices[3..5].to_vec()));
        let x = integers(3 * 512);
        let mut multiply = |matrix: &Matrix, range: Range<usize>| {
            let outputs = matrix.size().unwrap().0;
            let x = Rows::new(&x, 512).columns(range.start, range.len());
            let mut out = vec![f32::NAN; 3 * outputs];
            matrix
                .multiply(x, &[], &mut out, &mut products, &pool)
                .unwrap();
            out
        };
        for matrix in &matrices {
            let mut sum = vec![0.0; 3 * matrix.size().unwrap().0];
            for range in [0..256, 256..512] {
                let part = matrix.cut(range.clone()).unwrap().unwrap();
                let part = multiply(&part, range);
                sum.iter_mut().zip(part).for_each(|(sum, x)| *sum += x);
            }
            reference::assert_close(&sum, &multiply(matrix, 0..512), 1e-5);
        }
        let beside = Matrix::Beside(vec![matrices[0].clone(), matrices[0].clone()]);
        assert!(beside.cut(0..512).unwrap().is_none());
    }

    /// The makers' integers are multiplied with activations as they are.
    #[test]
    fn a_fine_matrix_rounds_nothing_off() {
        for stored in [Stored::Int8, Stored::Int4] {
            let matrix = Matrix::Packed(Arc::new(Random::new(4).packed(stored, 20, 96)));
            check(&matrix, 20, 96, &Random::new(5).normal(3 * 96));
        }
    }
}
