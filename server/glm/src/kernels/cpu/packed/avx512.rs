//! The products on AVX-512 with VNNI: each multiply-add takes a quad of inputs for all 16 outputs of a panel and adds them
//! to their sums.

use super::lanes::{Int4, Int8, Lanes, Q4_0, Q4K, Q5K, Q6K, Q8_0, Two, ask_ahead};
use super::{ACROSS, BLOCK, PANEL, Packing, Part, Product, QUAD, RowPlaces, WIDE};
use std::arch::x86_64::*;

/// Quads of a block.
const QUADS: usize = BLOCK / QUAD;
/// Most rows that meet weights together, with a register of sums and one of totals each.
const PASS: usize = 12;

/// Rows that meet weights together: fewer where bringing them to bytes takes registers too.
const fn pass_rows(packing: Packing) -> usize {
    match packing {
        Packing::Q6K => 8,
        _ => PASS,
    }
}

/// Multiplies some rows by some panels.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vnni,avx2,fma,f16c")]
pub(super) fn run(product: &Product, part: &Part) {
    match product.weight.packing() {
        Packing::Q8_0 => share::<Q8_0>(product, part),
        Packing::Q4_0 => share::<Q4_0>(product, part),
        Packing::Q4K => share::<Q4K>(product, part),
        Packing::Q5K => share::<Q5K>(product, part),
        Packing::Q6K => share::<Q6K>(product, part),
        Packing::Int8 => share::<Int8>(product, part),
        Packing::Int4 => share::<Int4>(product, part),
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vnni,avx2,fma,f16c")]
fn share<L: Lanes>(product: &Product, part: &Part) {
    for panel in part.panels.clone() {
        // After the first pass the panel is in the first-level cache.
        let passes = part.rows.div_ceil(pass_rows(L::PACKING));
        let mut row = part.first_row;
        for index in 0..passes {
            let next = part.first_row + (index + 1) * part.rows / passes;
            match next - row {
                1 => pass::<L, 1, 4>(product, row, panel),
                2 => pass::<L, 2, 4>(product, row, panel),
                3 => pass::<L, 3, 2>(product, row, panel),
                4 => pass::<L, 4, 2>(product, row, panel),
                5 => pass::<L, 5, 1>(product, row, panel),
                6 => pass::<L, 6, 1>(product, row, panel),
                7 => pass::<L, 7, 1>(product, row, panel),
                8 => pass::<L, 8, 1>(product, row, panel),
                9 => pass::<L, 9, 1>(product, row, panel),
                10 => pass::<L, 10, 1>(product, row, panel),
                11 => pass::<L, 11, 1>(product, row, panel),
                _ => pass::<L, PASS, 1>(product, row, panel),
            }
            row = next;
        }
    }
}

/// `M` rows by a panel as it lies in memory. Neighbouring quads of inputs are added up in `CHAINS` registers a row: a
/// multiply-add takes several times as long as it takes the processor to begin the next.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vnni,avx2,fma,f16c")]
fn pass<L: Lanes, const M: usize, const CHAINS: usize>(
    product: &Product,
    first_row: usize,
    panel: usize,
) {
    let packing = L::PACKING;
    let per_group = packing.inputs() / BLOCK;
    let weights = product.weight.panel(panel);
    assert_eq!(weights.len(), product.weight.groups() * packing.group());
    assert_eq!(product.weight.groups() * per_group, product.x.blocks());
    let rows = RowPlaces::<M>::new(product, first_row);
    let mut totals = [_mm512_setzero_ps(); M];
    for (at, group) in weights.chunks_exact(packing.group()).enumerate() {
        for index in 0..per_group {
            // SAFETY: the group has a header and `per_group` blocks, and the rows as many blocks as all groups.
            unsafe {
                add::<L, M, CHAINS>(
                    &rows,
                    group.as_ptr(),
                    index,
                    at * per_group + index,
                    &mut totals,
                )
            };
        }
    }
    for (row, total) in (first_row..).zip(totals) {
        // SAFETY: this row's outputs of this panel are this task's alone.
        unsafe { product.out.place(row, panel, &stored(total)) };
    }
}

/// Adds the products of `M` rows with one block to the totals.
///
/// # Safety
/// `group` points to a group with a block `index`, and the rows have a block `at`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vnni,avx2,fma,f16c")]
#[inline]
unsafe fn add<L: Lanes, const M: usize, const CHAINS: usize>(
    rows: &RowPlaces<M>,
    group: *const u8,
    index: usize,
    at: usize,
    totals: &mut [__m512; M],
) {
    let packing = L::PACKING;
    let parts = BLOCK / packing.scaled();
    // SAFETY: as the caller vouches.
    unsafe {
        let block = group.add(packing.header() + index * packing.block());
        ask_ahead::<L, M>(block);
        let first = index * parts;
        for part in 0..parts {
            let mut sums = [[_mm512_setzero_si512(); CHAINS]; M];
            if packing.is_bytes() {
                for (m, sums) in sums.iter_mut().enumerate() {
                    sums[0] = _mm512_set1_epi32(rows.centre(m, at));
                }
            }
            for quad in part * (QUADS / parts)..(part + 1) * (QUADS / parts) {
                let weights = codes::<L>(block, quad);
                for (m, sums) in sums.iter_mut().enumerate() {
                    let inputs = _mm512_set1_epi32(rows.quad(m, at * QUADS + quad));
                    let sum = &mut sums[quad % CHAINS];
                    *sum = _mm512_dpbusd_epi32(*sum, weights, inputs);
                }
            }
            let scales = L::scales(group, first + part);
            let lows = joined(L::lows(group, first + part, scales));
            let scales = joined(scales);
            for (m, (total, sums)) in totals.iter_mut().zip(sums).enumerate() {
                let sums = sums.into_iter();
                let sum = sums.reduce(|sum, chain| _mm512_add_epi32(sum, chain));
                let sum = _mm512_cvtepi32_ps(sum.unwrap_or(_mm512_setzero_si512()));
                let part = if packing.has_lows() {
                    let low = _mm512_mul_ps(lows, _mm512_set1_ps(rows.sum(m, at, part, parts)));
                    _mm512_fmsub_ps(sum, scales, low)
                } else {
                    _mm512_mul_ps(sum, scales)
                };
                *total = _mm512_fmadd_ps(part, _mm512_set1_ps(rows.unit(m, at)), *total);
            }
        }
    }
}

/// The stored numbers of a quad of a block.
///
/// # Safety
/// `block` points to a block, and `quad` is one of its eight.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vnni,avx2,fma,f16c")]
#[inline]
unsafe fn codes<L: Lanes>(block: *const u8, quad: usize) -> __m512i {
    // SAFETY: as the caller vouches. A block of bytes has 64 of them for each quad, else there are 64 bytes for two quads
    // of nibbles, for four of two bits and for eight of one.
    unsafe {
        if L::PACKING.is_bytes() {
            return _mm512_loadu_si512(block.add(ACROSS * quad).cast());
        }
        let nibbles = fields(block, 4, quad);
        match L::PACKING.upper_bits() {
            0 => nibbles,
            bits => {
                let upper = fields(block.add(WIDE / 2), bits, quad);
                _mm512_or_si512(nibbles, _mm512_slli_epi16::<4>(upper))
            }
        }
    }
}

/// A quad's fields in planes of so many bits.
///
/// # Safety
/// Planes for eight quads lie there.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vnni,avx2,fma,f16c")]
#[inline]
unsafe fn fields(planes: *const u8, bits: usize, quad: usize) -> __m512i {
    let quads = 8 / bits;
    // SAFETY: as the caller vouches.
    let plane = unsafe { _mm512_loadu_si512(planes.add(ACROSS * (quad / quads)).cast()) };
    let count = _mm_cvtsi32_si128((bits * (quad % quads)) as i32);
    let mask = _mm512_set1_epi8((1 << bits) - 1);
    _mm512_and_si512(_mm512_srl_epi16(plane, count), mask)
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vnni,avx2,fma,f16c")]
#[inline]
fn joined([low, high]: Two<__m256>) -> __m512 {
    _mm512_insertf32x8::<1>(_mm512_castps256_ps512(low), high)
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vnni,avx2,fma,f16c")]
#[inline]
fn stored(total: __m512) -> [f32; PANEL] {
    let mut out = [0.0; PANEL];
    // SAFETY: `out` has room for a register of 16 numbers.
    unsafe { _mm512_storeu_ps(out.as_mut_ptr(), total) };
    out
}

/// How many multiply-adds [`bare`] makes.
#[cfg(test)]
pub(super) const BARE: usize = ROUNDS * PASS * ACROSS;

#[cfg(test)]
const ROUNDS: usize = 20_000;

/// Nothing but multiply-adds, as a pass of [`PASS`] rows makes them, all from the first-level cache.
#[cfg(test)]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vnni,avx2,fma,f16c")]
pub(super) fn bare(inputs: &[i32; 64]) -> i32 {
    let weights = std::hint::black_box([_mm512_set1_epi8(3); 64]);
    let mut sums = [_mm512_setzero_si512(); PASS];
    for round in 0..ROUNDS {
        let weights = weights[round % 64];
        for (row, sum) in sums.iter_mut().enumerate() {
            let input = _mm512_set1_epi32(inputs[(round + row) % 64]);
            *sum = _mm512_dpbusd_epi32(*sum, weights, input);
        }
    }
    let all = sums.into_iter();
    all.map(|sum| _mm512_reduce_add_epi32(sum))
        .fold(0, i32::wrapping_add)
}
