//! The products on NEON, which every aarch64 processor has: each multiply-add takes an input for four outputs.

use super::{PANEL, Widened};
use std::arch::aarch64::*;

/// As the plain [`super::add`], to the last bit.
#[inline(always)]
pub(super) fn add(block: &Widened, x: &[i16], sum: i32, totals: &mut [f32; PANEL]) {
    let scaled = block.packing.scaled();
    let (pairs, _) = block.wide.as_chunks::<{ 2 * PANEL }>();
    let parts = x.chunks_exact(scaled).zip(pairs.chunks_exact(scaled / 2));
    for (part, (x, pairs)) in parts.enumerate() {
        let scales: [f32; PANEL] = std::array::from_fn(|lane| block.scale(lane, part));
        // SAFETY: the processor has the instructions; a pair has 32 weights, totals and scales are 16 numbers each.
        unsafe {
            let mut sums = [vdupq_n_s32(0); PANEL / 4];
            for (x, pair) in x.as_chunks::<2>().0.iter().zip(pairs) {
                for (sums, half) in sums.chunks_exact_mut(2).zip(pair.as_chunks::<PANEL>().0) {
                    let int16x8x2_t(first, second) = vld2q_s16(half.as_ptr());
                    sums[0] = vmlal_n_s16(sums[0], vget_low_s16(first), x[0]);
                    sums[1] = vmlal_high_n_s16(sums[1], first, x[0]);
                    sums[0] = vmlal_n_s16(sums[0], vget_low_s16(second), x[1]);
                    sums[1] = vmlal_high_n_s16(sums[1], second, x[1]);
                }
            }
            for (quarter, sums) in sums.into_iter().enumerate() {
                let total = totals.as_mut_ptr().add(4 * quarter);
                let scales = vld1q_f32(scales.as_ptr().add(4 * quarter));
                vst1q_f32(
                    total,
                    vfmaq_f32(vld1q_f32(total), vcvtq_f32_s32(sums), scales),
                );
            }
        }
    }
    block.take_minima(sum, totals);
}
