//! A view of activations: rows of f32 at a fixed distance from one another.
//!
//! Takes a plain slice; gives one slice a row. So a kernel reads a part of a fused matrix (the queries of a
//! query-key-value product, say) without a copy.

/// `count` rows of `width` numbers, `stride` numbers apart.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    data: &'a [f32],
    stride: usize,
    width: usize,
    count: usize,
}

impl<'a> Rows<'a> {
    /// The rows of a contiguous matrix; `data` is a whole number of rows.
    pub fn new(data: &'a [f32], width: usize) -> Rows<'a> {
        Rows {
            data,
            stride: width,
            width,
            count: data.len() / width,
        }
    }

    /// How many rows there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Numbers in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// One row.
    pub fn row(&self, row: usize) -> &'a [f32] {
        &self.data[row * self.stride..][..self.width]
    }

    /// `count` rows from `first` on.
    pub fn slice(&self, first: usize, count: usize) -> Rows<'a> {
        Rows {
            data: self.data.get(first * self.stride..).unwrap_or(&[]),
            count,
            ..*self
        }
    }

    /// The same rows, but of each only `width` numbers from `first` on.
    pub fn columns(&self, first: usize, width: usize) -> Rows<'a> {
        assert!(first + width <= self.width, "columns of the rows");
        Rows {
            // Without rows there may be no numbers to leave out.
            data: self.data.get(first..).unwrap_or(&[]),
            width,
            ..*self
        }
    }
}
