//! The operations that decide the speed, on plain slices of f32.
//!
//! Take rows of activations and packed weights, give rows. [`reference`](mod@reference) says what each must compute,
//! in as few lines as possible; [`cpu`] computes it fast, with AVX2 where the machine has it (asked at run time, so
//! that a plain `cargo build --release` is enough). The layers wrap them as candle operations and decide when they
//! run; work is shared out over the threads of the rayon pool that the caller is in.

pub mod cpu;
mod half;
mod packed;
mod q8;
#[cfg(any(test, feature = "fixture"))]
pub mod reference;
mod rows;
mod scaled;

pub use half::{HalfKind, HalfMatrix};
pub use packed::{PackedMatrix, Packing, Stored};
pub use q8::Q8Matrix;
pub use rows::Rows;
pub use scaled::{ScaledKind, ScaledMatrix};

/// A packed matrix that can give each of its rows (the weights of one output) as plain numbers.
pub trait Unpack: Send + Sync {
    /// Outputs.
    fn rows(&self) -> usize;
    /// Inputs.
    fn columns(&self) -> usize;
    /// Writes one row; `out` has room for exactly its columns.
    fn unpack_row(&self, row: usize, out: &mut [f32]);
}
