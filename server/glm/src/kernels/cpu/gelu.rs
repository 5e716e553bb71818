//! GELU by its tanh approximation, in place.

use super::exponential::exp;
use rayon::prelude::*;

/// Numbers that one task takes; fewer are not worth waking a thread for.
const GRAIN: usize = 16 * 1024;

/// x ← x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³))) for every x.
pub fn gelu_tanh(x: &mut [f32]) {
    if x.len() <= GRAIN {
        gelu(x)
    } else {
        x.par_chunks_mut(GRAIN).for_each(gelu)
    }
}

fn gelu(x: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if super::has_avx2() {
        // SAFETY: the machine has the instructions.
        return unsafe { gelu_avx2(x) };
    }
    gelu_plain(x);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn gelu_avx2(x: &mut [f32]) {
    gelu_plain(x);
}

#[inline(always)]
fn gelu_plain(x: &mut [f32]) {
    /// 2 √(2/π): since (1 + tanh u)/2 = 1/(1 + e^-2u), one exponential is enough.
    const TWICE: f32 = 1.595_769;
    for x in x {
        let u = TWICE * (*x + 0.044_715 * *x * *x * *x);
        *x /= 1.0 + exp(-u);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::reference;

    #[test]
    fn close_to_the_reference() {
        let x: Vec<f32> = (0..40_003)
            .map(|i| (i as f32 - 20_000.0) / 1_500.0)
            .collect();
        let mut got = x.clone();
        gelu_tanh(&mut got);
        for (x, got) in x.into_iter().zip(got) {
            let want = reference::gelu_tanh(x);
            assert!(
                (got - want).abs() <= 1e-6 * (1.0 + x.abs()),
                "gelu({x}) = {got}, not {want}"
            );
        }
    }
}
