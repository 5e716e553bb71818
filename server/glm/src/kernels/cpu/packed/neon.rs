//! The products on NEON, which every aarch64 processor has: each multiplication takes a quad of inputs for two outputs.

use super::{ACROSS, PANEL, QUAD};
use std::arch::aarch64::*;

/// As the plain [`super::sum`].
#[inline(always)]
pub(super) fn sum(x: &[i8], quads: &[[i8; ACROSS]]) -> [i32; PANEL] {
    let mut out = [0; PANEL];
    // SAFETY: the processor has the instructions; a quad has four inputs and 64 weights, and there are 16 sums.
    unsafe {
        // Two outputs a register, two sums of each.
        let mut sums = [vdupq_n_s32(0); PANEL / 2];
        // Two products of signed bytes, neither of them -128 times -128, fit into 16 bits.
        let twos = x.as_chunks::<{ 2 * QUAD }>().0.iter();
        for (x, quads) in twos.zip(quads.as_chunks::<2>().0) {
            let x = vreinterpret_s32_s8(vld1_s8(x.as_ptr()));
            let (x, next) = (vdup_lane_s32::<0>(x), vdup_lane_s32::<1>(x));
            let (x, next) = (vreinterpret_s8_s32(x), vreinterpret_s8_s32(next));
            for (two, sum) in sums.iter_mut().enumerate() {
                let weights = quads
                    .each_ref()
                    .map(|quad| vld1_s8(quad.as_ptr().add(8 * two)));
                let products = vmlal_s8(vmull_s8(weights[0], x), weights[1], next);
                *sum = vpadalq_s16(*sum, products);
            }
        }
        for (quarter, sums) in sums.as_chunks::<2>().0.iter().enumerate() {
            vst1q_s32(
                out.as_mut_ptr().add(4 * quarter),
                vpaddq_s32(sums[0], sums[1]),
            );
        }
    }
    out
}
