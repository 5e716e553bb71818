//! Each packing on AVX2: two pairs of inputs widened to 16 bits, scales and minima as floats.
//!
//! Takes addresses within a panel, gives registers. The layouts are those of [`crate::kernels::PackedMatrix`].

use crate::kernels::packed::{PANEL, Packing, WIDE};
use std::arch::x86_64::*;

/// Two registers: outputs 0 to 7 and 8 to 15 of a panel.
pub(super) type Two<T> = [T; 2];

/// How to read one packing. All functions take the addresses of whole groups or blocks of it.
pub(super) trait Lanes {
    const PACKING: Packing;

    /// Two pairs of stored numbers of a block, widened to 16 bits: of four pairs, the first two or the last.
    ///
    /// # Safety
    /// The machine has AVX2, `block` points to a block, and `quad` is one of its four runs of four pairs.
    unsafe fn pairs<const LAST: bool>(block: *const u8, quad: usize) -> [Two<__m256i>; 2];

    /// The scales of inputs from `scaled` × `index` of a group on.
    ///
    /// # Safety
    /// The machine has AVX2 and F16C, `group` points to a group, and the index is one of it.
    unsafe fn scales(group: *const u8, index: usize) -> Two<__m256>;

    /// The minima of block `index` of a group.
    ///
    /// # Safety
    /// As for the scales.
    #[inline(always)]
    unsafe fn minima(_group: *const u8, _index: usize) -> Two<__m256> {
        // SAFETY: the machine has AVX2, as the caller vouches.
        unsafe { [_mm256_setzero_ps(); 2] }
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

/// 32 bytes.
///
/// # Safety
/// The machine has AVX2, and so many lie at the address.
#[inline(always)]
unsafe fn wide_load(at: *const u8) -> __m256i {
    // SAFETY: as the caller vouches.
    unsafe { _mm256_loadu_si256(at.cast()) }
}

/// Two pairs of signed bytes.
///
/// # Safety
/// The machine has AVX2, and `block` points to a block of bytes.
#[inline(always)]
unsafe fn byte_pairs<const LAST: bool>(block: *const u8, quad: usize) -> [Two<__m256i>; 2] {
    std::array::from_fn(|pair| {
        // SAFETY: as the caller vouches; a block has four quads of four pairs of 32 bytes.
        unsafe {
            let at = block.add((quad * 4 + 2 * usize::from(LAST) + pair) * 2 * PANEL);
            [
                _mm256_cvtepi8_epi16(load(at)),
                _mm256_cvtepi8_epi16(load(at.add(PANEL))),
            ]
        }
    })
}

/// Two pairs of nibbles.
///
/// # Safety
/// The machine has AVX2, and `block` points to a block whose lower four bits are in nibbles.
#[inline(always)]
unsafe fn nibble_pairs<const LAST: bool>(block: *const u8, quad: usize) -> [Two<__m256i>; 2] {
    // SAFETY: as the caller vouches; a block has four quads of two times 32 bytes.
    unsafe {
        let all = wide_load(block.add((quad * 2 + usize::from(LAST)) * 2 * PANEL));
        let nibble = _mm256_set1_epi16(0x0f);
        [
            [
                _mm256_and_si256(all, nibble),
                _mm256_and_si256(_mm256_srli_epi16::<4>(all), nibble),
            ],
            [
                _mm256_and_si256(_mm256_srli_epi16::<8>(all), nibble),
                _mm256_srli_epi16::<12>(all),
            ],
        ]
    }
}

macro_rules! lanes {
    ($name:ident, $pairs:ident, |$group:ident, $index:ident| $scales:expr $(, $minima:expr)?) => {
        pub(super) struct $name;

        impl Lanes for $name {
            const PACKING: Packing = Packing::$name;

            #[inline(always)]
            unsafe fn pairs<const LAST: bool>(block: *const u8, quad: usize) -> [Two<__m256i>; 2] {
                // SAFETY: as the caller vouches.
                unsafe { $pairs::<LAST>(block, quad) }
            }

            #[inline(always)]
            unsafe fn scales($group: *const u8, $index: usize) -> Two<__m256> {
                // SAFETY: as the caller vouches; a group begins with its header.
                unsafe { $scales }
            }

            $(#[inline(always)]
            unsafe fn minima($group: *const u8, $index: usize) -> Two<__m256> {
                // SAFETY: as the caller vouches; a group begins with its header.
                unsafe { $minima }
            })?
        }
    };
}

lanes!(Q8_0, byte_pairs, |group, _index| halves(group));
lanes!(Q4_0, nibble_pairs, |group, _index| halves(group));
lanes!(
    Q4K,
    nibble_pairs,
    |group, index| times(halves(group), bytes(group.add((4 + 2 * index) * PANEL))),
    times(
        halves(group.add(2 * PANEL)),
        bytes(group.add((5 + 2 * index) * PANEL))
    )
);
lanes!(
    Q5K,
    five_bit_pairs,
    |group, index| times(halves(group), bytes(group.add((4 + 2 * index) * PANEL))),
    times(
        halves(group.add(2 * PANEL)),
        bytes(group.add((5 + 2 * index) * PANEL))
    )
);
lanes!(Q6K, six_bit_pairs, |group, index| times(
    halves(group),
    signed_bytes(group.add((2 + index) * PANEL))
));
lanes!(Int8, byte_pairs, |_group, _index| [_mm256_set1_ps(1.0); 2]);
lanes!(Int4, nibble_pairs, |_group, _index| [_mm256_set1_ps(1.0);
    2]);

/// Two pairs of five bits.
///
/// # Safety
/// The machine has AVX2, and `block` points to a block with one upper bit.
#[inline(always)]
unsafe fn five_bit_pairs<const LAST: bool>(block: *const u8, quad: usize) -> [Two<__m256i>; 2] {
    // SAFETY: as the caller vouches; the upper plane has 32 bytes for two quads, the second one in the upper bytes.
    unsafe {
        let upper = wide_load(block.add(WIDE / 2 + quad / 2 * 2 * PANEL));
        let upper = _mm256_srl_epi16(upper, _mm_cvtsi32_si128(8 * (quad as i32 % 2)));
        let shifted = if LAST {
            [
                [upper, _mm256_srli_epi16::<1>(upper)],
                [_mm256_srli_epi16::<2>(upper), _mm256_srli_epi16::<3>(upper)],
            ]
        } else {
            [
                [_mm256_slli_epi16::<4>(upper), _mm256_slli_epi16::<3>(upper)],
                [_mm256_slli_epi16::<2>(upper), _mm256_slli_epi16::<1>(upper)],
            ]
        };
        with_upper(nibble_pairs::<LAST>(block, quad), shifted, 0x10)
    }
}

/// Two pairs of six bits.
///
/// # Safety
/// The machine has AVX2, and `block` points to a block with two upper bits.
#[inline(always)]
unsafe fn six_bit_pairs<const LAST: bool>(block: *const u8, quad: usize) -> [Two<__m256i>; 2] {
    // SAFETY: as the caller vouches; the upper plane has 32 bytes a quad.
    unsafe {
        let upper = wide_load(block.add(WIDE / 2 + quad * 2 * PANEL));
        let shifted = if LAST {
            [
                [_mm256_srli_epi16::<4>(upper), _mm256_srli_epi16::<6>(upper)],
                [
                    _mm256_srli_epi16::<8>(upper),
                    _mm256_srli_epi16::<10>(upper),
                ],
            ]
        } else {
            [
                [_mm256_slli_epi16::<4>(upper), _mm256_slli_epi16::<2>(upper)],
                [upper, _mm256_srli_epi16::<2>(upper)],
            ]
        };
        with_upper(nibble_pairs::<LAST>(block, quad), shifted, 0x30)
    }
}

/// Adds upper bits, where the mask has them, to nibbles.
///
/// # Safety
/// The machine has AVX2.
#[inline(always)]
unsafe fn with_upper(
    nibbles: [Two<__m256i>; 2],
    upper: [Two<__m256i>; 2],
    mask: i16,
) -> [Two<__m256i>; 2] {
    std::array::from_fn(|pair| {
        std::array::from_fn(|half| {
            // SAFETY: as the caller vouches.
            unsafe {
                let upper = _mm256_and_si256(upper[pair][half], _mm256_set1_epi16(mask));
                _mm256_or_si256(nibbles[pair][half], upper)
            }
        })
    })
}
