//! A matrix of 8- or 4-bit integers with one scale a row: the makers' own quantization.
//!
//! Takes the integers as GLM-130B's scripts pack them and a scale for each row, gives rows as f32. In the 4-bit form a
//! byte holds two neighbouring columns: the even one in its high nibble, the odd one in its low nibble, each a signed
//! number from -8 to 7.

use super::Unpack;

/// How the integers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScaledKind {
    /// One byte each.
    Int8,
    /// Two to a byte.
    Int4,
}

/// A matrix (rows, columns) of integers times a scale a row.
#[derive(Debug)]
pub struct ScaledMatrix {
    codes: Vec<u8>,
    scales: Vec<f32>,
    kind: ScaledKind,
    columns: usize,
}

impl ScaledMatrix {
    /// The matrix of these integers, row by row, with a scale for each row.
    ///
    /// # Panics
    /// If there are not exactly as many bytes as the rows and columns need; 4-bit rows have an even number of columns.
    pub fn new(codes: Vec<u8>, scales: Vec<f32>, kind: ScaledKind, columns: usize) -> ScaledMatrix {
        let matrix = ScaledMatrix {
            codes,
            scales,
            kind,
            columns,
        };
        assert!(kind == ScaledKind::Int8 || columns.is_multiple_of(2));
        assert_eq!(
            matrix.codes.len(),
            matrix.scales.len() * matrix.row_bytes(),
            "a code for each place"
        );
        matrix
    }

    /// Bytes that the weights and scales take.
    pub fn bytes(&self) -> usize {
        self.codes.len() + size_of_val(&self.scales[..])
    }

    fn row_bytes(&self) -> usize {
        match self.kind {
            ScaledKind::Int8 => self.columns,
            ScaledKind::Int4 => self.columns / 2,
        }
    }
}

impl Unpack for ScaledMatrix {
    fn rows(&self) -> usize {
        self.scales.len()
    }

    fn columns(&self) -> usize {
        self.columns
    }

    #[inline(always)]
    fn unpack_row(&self, row: usize, out: &mut [f32]) {
        let codes = &self.codes[row * self.row_bytes()..][..self.row_bytes()];
        let scale = self.scales[row];
        match self.kind {
            ScaledKind::Int8 => {
                for (out, &code) in out.iter_mut().zip(codes) {
                    *out = scale * f32::from(code as i8);
                }
            }
            ScaledKind::Int4 => {
                for (out, &code) in out.chunks_exact_mut(2).zip(codes) {
                    out[0] = scale * f32::from(code as i8 >> 4);
                    out[1] = scale * f32::from((code << 4) as i8 >> 4);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_nibbles_are_signed() {
        let bytes = ScaledMatrix::new(
            vec![1, 0xff, 0x80, 127],
            vec![0.5, 2.0],
            ScaledKind::Int8,
            2,
        );
        let mut row = [f32::NAN; 2];
        bytes.unpack_row(0, &mut row);
        assert_eq!(row, [0.5, -0.5]);
        bytes.unpack_row(1, &mut row);
        assert_eq!(row, [-256.0, 254.0]);

        let nibbles = ScaledMatrix::new(vec![0x1f, 0x87], vec![0.5], ScaledKind::Int4, 4);
        let mut row = [f32::NAN; 4];
        nibbles.unpack_row(0, &mut row);
        assert_eq!(row, [0.5, -0.5, -4.0, 3.5]);
        assert_eq!(nibbles.bytes(), 6);
    }
}
