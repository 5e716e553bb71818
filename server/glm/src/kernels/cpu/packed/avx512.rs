//! The products on AVX-512 with VNNI: each multiply-add takes two inputs for all 16 outputs of a panel and adds them to
//! their sums.

use super::lanes::{Int4, Int8, Lanes, Q4_0, Q4K, Q5K, Q6K, Q8_0, Two};
use super::{BLOCK, MOST_ROWS, PANEL, Packing, Part, Product, RowPlaces, WIDE};
use std::arch::x86_64::*;

/// Blocks of a panel that are widened at a time: 8 KiB of weights.
const RANGE: usize = 8;
/// Rows that meet weights which are widened for them alone, with a register of sums and one of totals each.
const PASS: usize = 8;
/// Rows up to which the passes of [`PASS`] rows cost less than widening the weights into memory.
const FEW: usize = 16;
/// Rows of activations in a tile, with a register of sums and one of totals each.
const TILE: usize = 8;

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
        if part.rows > FEW {
            many::<L>(product, part, panel);
            continue;
        }
        // After the first pass the panel is in the first-level cache.
        let passes = part.rows.div_ceil(PASS);
        let mut row = part.first_row;
        for pass in 0..passes {
            let next = part.first_row + (pass + 1) * part.rows / passes;
            match next - row {
                1 => few::<L, 1, 4>(product, row, panel),
                2 => few::<L, 2, 4>(product, row, panel),
                3 => few::<L, 3, 2>(product, row, panel),
                4 => few::<L, 4, 2>(product, row, panel),
                5 => few::<L, 5, 1>(product, row, panel),
                6 => few::<L, 6, 1>(product, row, panel),
                7 => few::<L, 7, 1>(product, row, panel),
                _ => few::<L, PASS, 1>(product, row, panel),
            }
            row = next;
        }
    }
}

/// `M` rows by a panel as it lies in memory. Neighbouring pairs of inputs are added up in `CHAINS` registers a row: a
/// multiply-add takes several times as long as it takes the processor to begin the next.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vnni,avx2,fma,f16c")]
fn few<L: Lanes, const M: usize, const CHAINS: usize>(
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
        unsafe {
            product
                .out
                .place(row, panel, product.x.unit(row), &stored(total))
        };
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
    let scaled = packing.scaled();
    let parts = BLOCK / scaled;
    // SAFETY: as the caller vouches, and a block has four quads.
    unsafe {
        let block = group.add(packing.header() + index * packing.block());
        for part in 0..parts {
            let mut sums = [[_mm512_setzero_si512(); CHAINS]; M];
            // An offset of all weights is the same as one of the sum.
            if packing.offset() != 0 {
                for (m, sums) in sums.iter_mut().enumerate() {
                    let sum = match parts {
                        1 => *rows.sums[m].add(at),
                        _ => *rows.halves[m].add(at * parts + part),
                    };
                    sums[0] = _mm512_set1_epi32(-packing.offset() * sum);
                }
            }
            for quad in part * (scaled / 8)..(part + 1) * (scaled / 8) {
                for (pair, weights) in pairs::<L>(block, quad).into_iter().enumerate() {
                    for (m, sums) in sums.iter_mut().enumerate() {
                        let inputs = rows.numbers[m].add(at * BLOCK + 8 * quad + 2 * pair);
                        let inputs = _mm512_set1_epi32(inputs.cast::<i32>().read_unaligned());
                        let sum = &mut sums[pair % CHAINS];
                        *sum = _mm512_dpwssd_epi32(*sum, weights, inputs);
                    }
                }
            }
            let scales = joined_floats(L::scales(group, index * parts + part));
            for (total, sums) in totals.iter_mut().zip(sums) {
                let sums = sums.into_iter();
                let sum = sums.fold(_mm512_setzero_si512(), |sum, chain| {
                    _mm512_add_epi32(sum, chain)
                });
                *total = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), scales, *total);
            }
        }
        if packing.has_minima() {
            let minima = joined_floats(L::minima(group, index));
            for (m, total) in totals.iter_mut().enumerate() {
                let sum = _mm512_set1_ps(*rows.sums[m].add(at) as f32);
                *total = _mm512_fnmadd_ps(minima, sum, *total);
            }
        }
    }
}

/// Four pairs of stored numbers of a block, widened to 16 bits.
///
/// # Safety
/// `block` points to a block, and `quad` is one of its four runs of four pairs.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vnni,avx2,fma,f16c")]
#[inline]
unsafe fn pairs<L: Lanes>(block: *const u8, quad: usize) -> [__m512i; 4] {
    // SAFETY: as the caller vouches.
    unsafe {
        [
            pair::<L>(block, quad, 0),
            pair::<L>(block, quad, 1),
            pair::<L>(block, quad, 2),
            pair::<L>(block, quad, 3),
        ]
    }
}

/// # Safety
/// As for [`pairs`], and `pair` is below four.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vnni,avx2,fma,f16c")]
#[inline]
unsafe fn pair<L: Lanes>(block: *const u8, quad: usize, pair: usize) -> __m512i {
    // SAFETY: as the caller vouches. A block of bytes has 32 of them for each pair, else the lower plane has 32 bytes
    // for two pairs, and the upper one for eight pairs of one bit or four of two.
    unsafe {
        if L::PACKING.is_bytes() {
            let at = block.add((quad * 4 + pair) * 2 * PANEL);
            return _mm512_cvtepi8_epi16(_mm256_loadu_si256(at.cast()));
        }
        let nibbles = block.add((quad * 2 + pair / 2) * 2 * PANEL);
        let nibbles = fields(nibbles, 4, 8 * (pair % 2));
        let upper = block.add(WIDE / 2);
        let upper = match L::PACKING.upper_bits() {
            1 => fields(
                upper.add(quad / 2 * 2 * PANEL),
                1,
                8 * (quad % 2) + 2 * pair,
            ),
            2 => fields(upper.add(quad * 2 * PANEL), 2, 4 * pair),
            _ => return nibbles,
        };
        _mm512_or_si512(nibbles, _mm512_slli_epi16::<4>(upper))
    }
}

/// Fields of so many bits of the 16 numbers at an address: those from bit `first` on for outputs 0 to 7, then the next.
///
/// # Safety
/// 32 bytes lie there.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vnni,avx2,fma,f16c")]
#[inline]
unsafe fn fields(at: *const u8, bits: usize, first: usize) -> __m512i {
    // SAFETY: as the caller vouches.
    let numbers = unsafe { _mm256_loadu_si256(at.cast()) };
    let (low, high) = (first as i16, (first + bits) as i16);
    let shifts = _mm512_castsi256_si512(_mm256_set1_epi16(low));
    let shifts = _mm512_inserti64x4::<1>(shifts, _mm256_set1_epi16(high));
    let shifted = _mm512_srlv_epi16(_mm512_broadcast_i64x4(numbers), shifts);
    _mm512_and_si512(shifted, _mm512_set1_epi16((1 << bits) - 1))
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vnni,avx2,fma,f16c")]
#[inline]
fn joined_floats([low, high]: Two<__m256>) -> __m512 {
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

/// Some blocks of a panel, widened.
#[repr(align(64))]
struct Wide {
    weights: [i16; RANGE * WIDE],
    /// Of each block, or of each half block.
    scales: [f32; RANGE * 2 * PANEL],
    minima: [f32; RANGE * PANEL],
}

/// Sums of a chunk of rows.
#[repr(align(64))]
struct Totals([[f32; PANEL]; MOST_ROWS]);

/// Any number of rows by a panel, some blocks at a time.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vnni,avx2,fma,f16c")]
fn many<L: Lanes>(product: &Product, part: &Part, panel: usize) {
    let packing = L::PACKING;
    let per_group = packing.inputs() / BLOCK;
    let weights = product.weight.panel(panel);
    let blocks = product.x.blocks();
    assert_eq!(weights.len(), product.weight.groups() * packing.group());
    assert_eq!(product.weight.groups() * per_group, blocks);
    assert!(part.first_row + part.rows <= product.x.count() && part.rows <= MOST_ROWS);
    let mut wide = Wide {
        weights: [0; RANGE * WIDE],
        scales: [0.0; RANGE * 2 * PANEL],
        minima: [0.0; RANGE * PANEL],
    };
    let mut totals = Totals([[0.0; PANEL]; MOST_ROWS]);
    let tiles = part.rows.div_ceil(TILE);
    for first in (0..blocks).step_by(RANGE) {
        let count = RANGE.min(blocks - first);
        for slot in 0..count {
            let (group, index) = ((first + slot) / per_group, (first + slot) % per_group);
            let group = weights[group * packing.group()..][..packing.group()].as_ptr();
            // SAFETY: the group has a header and `per_group` blocks, and there are RANGE slots.
            unsafe { wide.fill::<L>(group, index, slot) };
        }
        // Rows are spread evenly, so that no tile is much smaller than the others.
        let mut row = 0;
        for tile in 0..tiles {
            let next = (tile + 1) * part.rows / tiles;
            let totals = &mut totals.0[row..next];
            let place = (part.first_row + row, first, count);
            match next - row {
                1 => wide.tile::<L, 1>(product, place, totals),
                2 => wide.tile::<L, 2>(product, place, totals),
                3 => wide.tile::<L, 3>(product, place, totals),
                4 => wide.tile::<L, 4>(product, place, totals),
                5 => wide.tile::<L, 5>(product, place, totals),
                6 => wide.tile::<L, 6>(product, place, totals),
                7 => wide.tile::<L, 7>(product, place, totals),
                8 => wide.tile::<L, 8>(product, place, totals),
                9 => wide.tile::<L, 9>(product, place, totals),
                10 => wide.tile::<L, 10>(product, place, totals),
                11 => wide.tile::<L, 11>(product, place, totals),
                _ => wide.tile::<L, TILE>(product, place, totals),
            }
            row = next;
        }
    }
    for (row, totals) in totals.0.iter().enumerate().take(part.rows) {
        let row = part.first_row + row;
        // SAFETY: this row's outputs of this panel are this task's alone.
        unsafe { product.out.place(row, panel, product.x.unit(row), totals) };
    }
}

impl Wide {
    /// Widens block `index` of a group into a slot.
    ///
    /// # Safety
    /// `group` points to a group, the index is one of it, and there is such a slot.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vnni,avx2,fma,f16c")]
    #[inline]
    unsafe fn fill<L: Lanes>(&mut self, group: *const u8, index: usize, slot: usize) {
        let packing = L::PACKING;
        let parts = BLOCK / packing.scaled();
        // SAFETY: as the caller vouches; a slot has WIDE weights, PANEL scales a part and PANEL minima.
        unsafe {
            let block = group.add(packing.header() + index * packing.block());
            let weights = self.weights.as_mut_ptr().add(slot * WIDE);
            let offset = _mm512_set1_epi16(packing.offset() as i16);
            for quad in 0..BLOCK / 8 {
                for (pair, stored) in pairs::<L>(block, quad).into_iter().enumerate() {
                    let at = weights.add((quad * 4 + pair) * 2 * PANEL);
                    _mm512_store_si512(at.cast(), _mm512_sub_epi16(stored, offset));
                }
            }
            for part in 0..parts {
                let scales = joined_floats(L::scales(group, index * parts + part));
                let at = self.scales.as_mut_ptr().add((slot * parts + part) * PANEL);
                _mm512_store_ps(at, scales);
            }
            if packing.has_minima() {
                let minima = joined_floats(L::minima(group, index));
                _mm512_store_ps(self.minima.as_mut_ptr().add(slot * PANEL), minima);
            }
        }
    }

    /// Adds the products of `M` rows with `count` slots to the totals. The rows begin with `row`, the slots with block
    /// `first` of the rows.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vnni,avx2,fma,f16c")]
    fn tile<L: Lanes, const M: usize>(
        &self,
        product: &Product,
        (row, first, count): (usize, usize, usize),
        totals: &mut [[f32; PANEL]],
    ) {
        assert!(count <= RANGE && first + count <= product.x.blocks() && totals.len() >= M);
        let rows = RowPlaces::<M>::new(product, row);
        let scaled = L::PACKING.scaled();
        let parts = BLOCK / scaled;
        // SAFETY: there are M rows of totals, of PANEL numbers each; a slot has 16 pairs of 2 × PANEL weights, PANEL
        // scales a part and PANEL minima; and the rows have a block first + slot.
        unsafe {
            let mut sum_up: [__m512; M] =
                std::array::from_fn(|m| _mm512_loadu_ps(totals[m].as_ptr()));
            for slot in 0..count {
                for part in 0..parts {
                    let mut sums = [_mm512_setzero_si512(); M];
                    for pair in part * (scaled / 2)..(part + 1) * (scaled / 2) {
                        let at = self.weights.as_ptr().add(slot * WIDE + pair * 2 * PANEL);
                        let weights = _mm512_load_si512(at.cast());
                        for (m, sums) in sums.iter_mut().enumerate() {
                            let inputs = rows.numbers[m].add((first + slot) * BLOCK + 2 * pair);
                            let inputs = _mm512_set1_epi32(inputs.cast::<i32>().read_unaligned());
                            *sums = _mm512_dpwssd_epi32(*sums, weights, inputs);
                        }
                    }
                    let scales = self.scales.as_ptr().add((slot * parts + part) * PANEL);
                    let scales = _mm512_load_ps(scales);
                    for (total, sums) in sum_up.iter_mut().zip(sums) {
                        *total = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums), scales, *total);
                    }
                }
                if L::PACKING.has_minima() {
                    let minima = _mm512_load_ps(self.minima.as_ptr().add(slot * PANEL));
                    for (m, total) in sum_up.iter_mut().enumerate() {
                        let sum = _mm512_set1_ps(*rows.sums[m].add(first + slot) as f32);
                        *total = _mm512_fnmadd_ps(minima, sum, *total);
                    }
                }
            }
            for (totals, total) in totals.iter_mut().zip(sum_up) {
                _mm512_storeu_ps(totals.as_mut_ptr(), total);
            }
        }
    }
}

/// How many multiply-adds [`bare`] makes.
#[cfg(test)]
pub(super) const BARE: usize = ROUNDS * TILE * 32;

#[cfg(test)]
const ROUNDS: usize = 20_000;

/// Nothing but multiply-adds, as a tile of [`TILE`] rows makes them, all from the first-level cache.
#[cfg(test)]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vnni,avx2,fma,f16c")]
pub(super) fn bare(inputs: &[i32; 64]) -> i32 {
    let weights = std::hint::black_box([_mm512_set1_epi16(3); 64]);
    let mut sums = [_mm512_setzero_si512(); TILE];
    for round in 0..ROUNDS {
        let weights = weights[round % 64];
        for (row, sum) in sums.iter_mut().enumerate() {
            let input = _mm512_set1_epi32(inputs[(round + row) % 64]);
            *sum = _mm512_dpwssd_epi32(*sum, weights, input);
        }
    }
    let all = sums.into_iter();
    all.map(|sum| _mm512_reduce_add_epi32(sum))
        .fold(0, i32::wrapping_add)
}
