//! The kernels on the CPU: one file an operation, each picked at run time for the machine.

mod attention;
mod dots;
mod exponential;
mod gelu;
mod matmul;
mod norm;
mod products;
mod unpacked;

pub use attention::{Keys, attend};
pub use exponential::log_sum_exp;
pub use gelu::gelu_tanh;
pub use matmul::matmul_q8;
pub use norm::layer_norm;
pub use unpacked::matmul_unpacked;

/// Whether the machine has the instructions that the fast versions are compiled for: AVX2, FMA and F16C, in every
/// x86 processor since 2015.
#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c")
}
