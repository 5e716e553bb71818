//! A matrix of plain f32 numbers.
//!
//! Takes the numbers row by row, gives them back as they are.

use super::Unpack;
use std::ops::Range;

/// A matrix (rows, columns) of f32 numbers.
#[derive(Debug)]
pub struct FloatMatrix {
    numbers: Vec<f32>,
    rows: usize,
    columns: usize,
}

impl FloatMatrix {
    /// The matrix of these numbers, row by row.
    ///
    /// # Panics
    /// If there are not exactly rows × columns numbers.
    pub fn new(numbers: Vec<f32>, rows: usize, columns: usize) -> FloatMatrix {
        assert_eq!(numbers.len(), rows * columns, "a number for each place");
        FloatMatrix {
            numbers,
            rows,
            columns,
        }
    }

    /// Some of the columns.
    ///
    /// # Panics
    /// If there are not so many.
    pub(crate) fn cut(&self, columns: Range<usize>) -> FloatMatrix {
        let rows = self.numbers.chunks_exact(self.columns);
        let numbers = rows.flat_map(|row| &row[columns.clone()]).copied();
        FloatMatrix::new(numbers.collect(), self.rows, columns.len())
    }

    /// The numbers, row by row.
    pub(crate) fn numbers(&self) -> &[f32] {
        &self.numbers
    }

    /// Bytes that the weights take.
    pub fn bytes(&self) -> usize {
        size_of_val(&self.numbers[..])
    }

    /// One row.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.numbers[row * self.columns..][..self.columns]
    }
}

impl Unpack for FloatMatrix {
    fn rows(&self) -> usize {
        self.rows
    }

    fn columns(&self) -> usize {
        self.columns
    }

    fn unpack_row(&self, row: usize, out: &mut [f32]) {
        out.copy_from_slice(self.row(row));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_as_they_came() {
        let matrix = FloatMatrix::new(vec![1.0, -2.5, 3.0, 4.0, 5.0, 6.0], 2, 3);
        let mut row = [f32::NAN; 3];
        matrix.unpack_row(1, &mut row);
        assert_eq!(row, [4.0, 5.0, 6.0]);
        assert_eq!((matrix.row(0), matrix.bytes()), (&[1.0, -2.5, 3.0][..], 24));
    }
}
