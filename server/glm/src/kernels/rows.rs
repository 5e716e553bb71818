//! A view of activations: rows of f32 at a fixed distance from one another.
//!
//! Takes a candle storage and layout, or a plain slice; gives one slice a row. So a kernel reads a part of a fused
//! matrix (the queries of a query-key-value product, say) without a copy.

use candle_core::{CpuStorage, Layout};

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

    /// The rows of a candle tensor of two dimensions whose rows are contiguous.
    pub(crate) fn of(storage: &'a CpuStorage, layout: &Layout) -> candle_core::Result<Rows<'a>> {
        let (count, width) = layout.shape().dims2()?;
        let stride = layout.stride()[0];
        if layout.stride()[1] != 1 {
            candle_core::bail!("a kernel was given a matrix whose rows are not contiguous");
        }
        let data = &storage.as_slice::<f32>()?[layout.start_offset()..];
        Ok(Rows {
            data,
            stride,
            width,
            count,
        })
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
            data: &self.data[first * self.stride..],
            count,
            ..*self
        }
    }
}
