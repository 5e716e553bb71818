//! A matrix of 16-bit floating-point numbers, kept as a checkpoint stores them.
//!
//! Takes the numbers' bits row by row, gives rows as f32. Multiplying by it costs half the memory traffic of f32, and
//! nothing is rounded: activations and sums stay f32.

use super::Unpack;
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use std::ops::Range;

/// Which 16-bit format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HalfKind {
    /// IEEE half precision.
    F16,
    /// The upper half of an f32.
    Bf16,
}

/// A matrix (rows, columns) of 16-bit numbers.
#[derive(Debug)]
pub struct HalfMatrix {
    bits: Vec<u16>,
    kind: HalfKind,
    rows: usize,
    columns: usize,
}

impl HalfMatrix {
    /// The matrix of these bits, row by row.
    ///
    /// # Panics
    /// If there are not exactly rows × columns numbers.
    pub fn new(bits: Vec<u16>, kind: HalfKind, rows: usize, columns: usize) -> HalfMatrix {
        assert_eq!(bits.len(), rows * columns, "a number for each place");
        HalfMatrix {
            bits,
            kind,
            rows,
            columns,
        }
    }

    /// Some of the columns.
    ///
    /// # Panics
    /// If there are not so many.
    pub(crate) fn cut(&self, columns: Range<usize>) -> HalfMatrix {
        let rows = self.bits.chunks_exact(self.columns);
        let bits = rows.flat_map(|row| &row[columns.clone()]).copied();
        HalfMatrix::new(bits.collect(), self.kind, self.rows, columns.len())
    }

    /// Which format the numbers have.
    pub(crate) fn kind(&self) -> HalfKind {
        self.kind
    }

    /// The numbers' bits, row by row.
    pub(crate) fn bits(&self) -> &[u16] {
        &self.bits
    }

    /// Bytes that the weights take.
    pub fn bytes(&self) -> usize {
        size_of_val(&self.bits[..])
    }
}

impl Unpack for HalfMatrix {
    fn rows(&self) -> usize {
        self.rows
    }

    fn columns(&self) -> usize {
        self.columns
    }

    fn unpack_row(&self, row: usize, out: &mut [f32]) {
        let bits = &self.bits[row * self.columns..][..self.columns];
        match self.kind {
            HalfKind::F16 => bits
                .reinterpret_cast::<half::f16>()
                .convert_to_f32_slice(out),
            HalfKind::Bf16 => {
                for (out, &bits) in out.iter_mut().zip(bits) {
                    *out = f32::from_bits(u32::from(bits) << 16);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unpacking_is_exact() {
        let numbers = [1.0f32, -2.5, 0.0, 65504.0, 6.103_515_6e-5, -0.099_975_586];
        let bits = numbers.map(|x| half::f16::from_f32(x).to_bits()).to_vec();
        let matrix = HalfMatrix::new(bits, HalfKind::F16, 2, 3);
        let mut row = [f32::NAN; 3];
        matrix.unpack_row(1, &mut row);
        assert_eq!(row, numbers[3..]);

        let numbers =
            [1.0f32, -2.5, 3.0e38, 1.0e-38, 0.156_25, f32::INFINITY].map(half::bf16::from_f32);
        let bits = numbers.map(|x| x.to_bits()).to_vec();
        let matrix = HalfMatrix::new(bits, HalfKind::Bf16, 3, 2);
        let mut row = [f32::NAN; 2];
        matrix.unpack_row(2, &mut row);
        assert_eq!(row, [0.156_25, f32::INFINITY]);
        assert_eq!(matrix.bytes(), 12);
    }
}
