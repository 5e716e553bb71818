//! The scales of each packing on AVX2, and what is taken from its weights, as floats.
//!
//! Takes addresses within a panel, gives registers. The layouts are those of [`crate::kernels::PackedMatrix`].

use crate::kernels::packed::{PANEL, Packing};
use std::arch::x86_64::*;

/// Two registers: outputs 0 to 7 and 8 to 15 of a panel.
pub(super) type Two<T> = [T; 2];

/// How to read one packing.
pub(super) trait Lanes {
    const PACKING: Packing;

    /// The scales of inputs from `scaled` × `index` of a group on.
    ///
    /// # Safety
    /// The machine has AVX2 and F16C, `group` points to a group, and the index is one of it.
    unsafe fn scales(group: *const u8, index: usize) -> Two<__m256>;

    /// What is taken from the weights of inputs from `scaled` × `index` of a group on, whose scales are given.
    ///
    /// # Safety
    /// As for the scales.
    #[inline(always)]
    unsafe fn lows(_group: *const u8, _index: usize, scales: Two<__m256>) -> Two<__m256> {
        // SAFETY: the machine has AVX2, as the caller vouches.
        unsafe { times(scales, [_mm256_set1_ps(Self::PACKING.offset() as f32); 2]) }
    }
}

/// How far ahead of the weights in use the next are asked for.
const AHEAD: usize = 8192;
/// Bytes that come from memory together.
const LINE: usize = 64;
/// Rows up to which weights come from memory while they are multiplied by; more rows find them in the cache mostly.
const WAITING: usize = 8;

/// Asks memory for the weights that `M` rows will meet soon. What the processor asks for by itself is late where a block
/// lies in several planes.
#[inline(always)]
pub(super) fn ask_ahead<L: Lanes, const M: usize>(block: *const u8) {
    if M <= WAITING {
        for line in (0..L::PACKING.block()).step_by(LINE) {
            // SAFETY: asking reads nothing, so that the address may be any.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(block.wrapping_add(AHEAD + line).cast()) };
        }
    }
}

/// Eight bytes, or two times eight, as the numbers of two registers.
///
/// # Safety
/// The machine has AVX2, and 16 bytes lie at the address.
#[inline(always)]
unsafe fn load(at: *const u8) -> __m128i {
    // SAFETY: as the caller vouches.
    unsafe { _mm_loadu_si128(at.cast()) }
}

/// 16 f16 numbers.
///
/// # Safety
/// The machine has AVX2 and F16C, and 32 bytes lie at the address.
#[inline(always)]
unsafe fn halves(at: *const u8) -> Two<__m256> {
    // SAFETY: as the caller vouches.
    unsafe { [_mm256_cvtph_ps(load(at)), _mm256_cvtph_ps(load(at.add(16)))] }
}

/// 16 unsigned bytes as floats.
///
/// # Safety
/// The machine has AVX2, and 16 bytes lie at the address.
#[inline(always)]
unsafe fn bytes(at: *const u8) -> Two<__m256> {
    // SAFETY: as the caller vouches.
    unsafe {
        let bytes = load(at);
        [
            _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes)),
            _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128::<8>(bytes))),
        ]
    }
}

/// 16 signed bytes as floats.
///
/// # Safety
/// The machine has AVX2, and 16 bytes lie at the address.
#[inline(always)]
unsafe fn signed_bytes(at: *const u8) -> Two<__m256> {
    // SAFETY: as the caller vouches.
    unsafe {
        let bytes = load(at);
        [
            _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)),
            _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128::<8>(bytes))),
        ]
    }
}

/// # Safety
/// The machine has AVX2.
#[inline(always)]
unsafe fn times(a: Two<__m256>, b: Two<__m256>) -> Two<__m256> {
    // SAFETY: as the caller vouches.
    unsafe { [_mm256_mul_ps(a[0], b[0]), _mm256_mul_ps(a[1], b[1])] }
}

macro_rules! lanes {
    ($name:ident, |$group:ident, $index:ident| $scales:expr $(, $lows:expr)?) => {
        pub(super) struct $name;

        impl Lanes for $name {
            const PACKING: Packing = Packing::$name;

            #[inline(always)]
            unsafe fn scales($group: *const u8, $index: usize) -> Two<__m256> {
                // SAFETY: as the caller vouches; a group begins with its header.
                unsafe { $scales }
            }

            $(#[inline(always)]
            unsafe fn lows($group: *const u8, $index: usize, _scales: Two<__m256>) -> Two<__m256> {
                // SAFETY: as the caller vouches; a group begins with its header.
                unsafe { $lows }
            })?
        }
    };
}

lanes!(Q8_0, |group, _index| halves(group));
lanes!(Q4_0, |group, _index| halves(group));
lanes!(
    Q4K,
    |group, index| times(halves(group), bytes(group.add((4 + 2 * index) * PANEL))),
    times(
        halves(group.add(2 * PANEL)),
        bytes(group.add((5 + 2 * index) * PANEL))
    )
);
lanes!(
    Q5K,
    |group, index| times(halves(group), bytes(group.add((4 + 2 * index) * PANEL))),
    times(
        halves(group.add(2 * PANEL)),
        bytes(group.add((5 + 2 * index) * PANEL))
    )
);
lanes!(Q6K, |group, index| times(
    halves(group),
    signed_bytes(group.add((2 + index) * PANEL))
));
lanes!(Int8, |_group, _index| [_mm256_set1_ps(1.0); 2]);
lanes!(Int4, |_group, _index| [_mm256_set1_ps(1.0); 2]);
