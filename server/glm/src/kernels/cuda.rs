//! The same operations on a GPU.
//!
//! Takes memory of a [`Device`] that holds activations and weights, starts kernels. A kernel is a `.cu` file of this
//! folder, and the Rust file beside it of the same name checks sizes and launches it: this is the only place where a
//! launch can go wrong. `common.cuh` says how kernels are written, `emulated.rs` how they are tested without a GPU, and
//! `compile.py` makes of them what programs carry.

mod activation;
mod all_reduce;
mod attention;
mod choose;
mod device;
#[cfg(feature = "cuda")]
mod driver;
#[cfg(any(test, feature = "fixture"))]
pub(crate) mod emulated;
mod norm;
mod product;
#[cfg(any(test, feature = "cuda"))]
mod ptx;
mod rotary;
mod sequences;
#[cfg(test)]
pub(crate) mod testing;

pub use activation::{activate, gate};
#[cfg(any(test, feature = "fixture"))]
pub(crate) use all_reduce::ThroughMemory;
pub use all_reduce::{AllReduce, Failed};
pub use attention::{attend, attention_room, has_size};
pub use choose::{ChoiceRow, DrawRow, choice_room, choose};
pub use device::{
    Arg, Ask, Buffer, Device, DeviceError, Launch, Plain, Recording, View, bytes_of, bytes_of_mut,
};
#[cfg(feature = "cuda")]
pub use driver::Driver;
#[cfg(feature = "cuda-nccl")]
pub(crate) use driver::nccl::Nccl;
pub use norm::{Norm, Sum, add};
pub use product::{MANY_ROWS, Matrix, Places, Type, gather};
pub use rotary::{HeadNorms, Turns, rotate_and_cache};
pub use sequences::{Listing, Row, SCALED, Sequence, Tables, cache_bytes, row_bytes};
