//! The operations that decide the speed, on plain slices of f32.
//!
//! Take rows of activations and packed weights, give rows. [`reference`](mod@reference) says what each must compute,
//! in as few lines as possible; [`cpu`] computes it fast, with AVX2 where the machine has it (asked at run time, so
//! that a plain `cargo build --release` is enough). The layers decide when they run; work is shared out over the threads
//! of the [`cpu::Pool`] that they are given. Every number that a kernel gives is formed in one order, whatever else it
//! computes at the same time and on however many threads: the same row gives the same bits in every company. [`cuda`] is
//! the same for a GPU, where that holds for few rows among few and for many among many: many are multiplied by tensor
//! cores, in another order.

pub mod cpu;
pub mod cuda;
mod float;
mod half;
mod packed;
#[cfg(any(test, feature = "fixture"))]
pub mod reference;
mod rows;

pub use float::FloatMatrix;
pub use half::{HalfKind, HalfMatrix};
pub(crate) use packed::PANEL;
pub use packed::{PackedMatrix, Packing, ScaledKind, Stored};
pub use rows::Rows;

/// A packed matrix that can give each of its rows (the weights of one output) as plain numbers.
pub trait Unpack: Send + Sync {
    /// Outputs.
    fn rows(&self) -> usize;
    /// Inputs.
    fn columns(&self) -> usize;
    /// Writes one row; `out` has room for exactly its columns.
    fn unpack_row(&self, row: usize, out: &mut [f32]);
}
