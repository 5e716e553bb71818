//! The kernels on the CPU: one file an operation, each picked at run time for the machine.

/// A function that is compiled once for each set of vector instructions and, when it is called, runs for the widest that
/// the machine has. Its body is plain code, of which the compiler makes vector code.
macro_rules! vectorized {
    ($(#[$about:meta])* $seen:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block) => {
        $(#[$about])*
        $seen fn $name($($argument: $type),*) $(-> $result)? {
            #[inline(always)]
            fn plain($($argument: $type),*) $(-> $result)? $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
                fn avx512($($argument: $type),*) $(-> $result)? {
                    plain($($argument),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($argument: $type),*) $(-> $result)? {
                    plain($($argument),*)
                }
                if $crate::kernels::cpu::has_avx512() {
                    // SAFETY: the machine has the instructions.
                    return unsafe { avx512($($argument),*) };
                }
                if $crate::kernels::cpu::has_avx2() {
                    // SAFETY: the same.
                    return unsafe { avx2($($argument),*) };
                }
            }
            plain($($argument),*)
        }
    };
}

mod activation;
mod activations;
mod attention;
mod dots;
mod exponential;
mod latent;
mod norm;
mod packed;
mod pool;
mod products;
mod rotary;
mod scratch;
mod unpacked;

pub use activation::{activate, gate};
pub use activations::Activations;
pub use attention::{Heads, Keys, attend, room_for};
pub use exponential::log_sum_exp;
pub use latent::{HeadMatrices, attend_latent, times_heads};
pub use norm::{layer_norm, rms_norm, rms_row};
pub use packed::{add_packed, matmul_packed};
pub use pool::Pool;
pub use rotary::{Heads as TurnedHeads, Turns, rotate};
pub use unpacked::matmul_unpacked;

/// The vector instructions of this machine that the kernels use, for people.
pub fn vectors() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    match (has_avx512(), has_avx2()) {
        (true, _) => return "AVX-512 with VNNI",
        (false, true) => return "AVX2 with FMA",
        (false, false) => {}
    }
    match cfg!(target_arch = "aarch64") {
        true => "NEON",
        false => "none",
    }
}

/// Whether the machine has the instructions that the fast versions are compiled for: AVX2, FMA and F16C, in every
/// x86 processor since 2015.
#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c")
}

/// Whether the machine has the instructions that the fastest versions are compiled for: those of [`has_avx2`] and
/// AVX-512 with VNNI.
#[cfg(target_arch = "x86_64")]
fn has_avx512() -> bool {
    has_avx2()
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vnni")
}
