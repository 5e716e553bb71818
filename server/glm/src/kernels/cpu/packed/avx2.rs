//! The products on AVX2: each multiply-add takes two inputs for eight outputs.

use super::lanes::{Int4, Int8, Lanes, Q4_0, Q4K, Q5K, Q6K, Q8_0, Two};
use super::{BLOCK, MOST_ROWS, PANEL, Packing, Part, Product, RowPlaces, TILE, WIDE};
use std::arch::x86_64::*;

/// Blocks of a panel that are widened at a time: 8 KiB of weights.
const RANGE: usize = 8;
/// Rows that meet weights which are widened for them alone: with eight registers of sums and four of weights.
const PASS: usize = 4;
/// Rows up to which the passes of [`PASS`] rows cost less than widening the weights into memory.
const FEW: usize = 12;

/// Multiplies some rows by some panels.
#[target_feature(enable = "avx2,fma,f16c")]
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

#[target_feature(enable = "avx2,fma,f16c")]
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
                1 => few::<L, 1>(product, row, panel),
                2 => few::<L, 2>(product, row, panel),
                3 => few::<L, 3>(product, row, panel),
                _ => few::<L, PASS>(product, row, panel),
            }
            row = next;
        }
    }
}

/// `M` rows by a panel as it lies in memory.
#[target_feature(enable = "avx2,fma,f16c")]
fn few<L: Lanes, const M: usize>(product: &Product, first_row: usize, panel: usize) {
    let packing = L::PACKING;
    let per_group = packing.inputs() / BLOCK;
    let weights = product.weight.panel(panel);
    let blocks = product.x.blocks();
    assert_eq!(weights.len(), product.weight.groups() * packing.group());
    assert_eq!(product.weight.groups() * per_group, blocks);
    let rows = RowPlaces::<M>::new(product, first_row);
    let mut totals = [[_mm256_setzero_ps(); 2]; M];
    for (at, group) in weights.chunks_exact(packing.group()).enumerate() {
        let group = group.as_ptr();
        for index in 0..per_group {
            // SAFETY: the group has a header and `per_group` blocks, and the rows as many blocks as all groups.
            unsafe {
                let block = group.add(packing.header() + index * packing.block());
                rows.add::<L>(group, block, index, at * per_group + index, &mut totals);
            }
        }
    }
    for (row, totals) in totals.into_iter().enumerate() {
        let row = first_row + row;
        // SAFETY: this row's outputs of this panel are this task's alone.
        unsafe {
            product
                .out
                .place(row, panel, product.x.unit(row), &stored(totals))
        };
    }
}

impl<const M: usize> RowPlaces<M> {
    /// Adds the products with one block to the totals.
    ///
    /// # Safety
    /// `group` points to a group, `block` to block `index` of it, and the rows have a block `at`.
    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn add<L: Lanes>(
        &self,
        group: *const u8,
        block: *const u8,
        index: usize,
        at: usize,
        totals: &mut [Two<__m256>; M],
    ) {
        let scaled = L::PACKING.scaled();
        let parts = BLOCK / scaled;
        for part in 0..parts {
            // An offset of all weights is the same as one of the sum.
            let mut sums = [[_mm256_setzero_si256(); 2]; M];
            if L::PACKING.offset() != 0 {
                for (m, sums) in sums.iter_mut().enumerate() {
                    // SAFETY: the rows have a block `at`.
                    let sum = unsafe {
                        match parts {
                            1 => *self.sums[m].add(at),
                            _ => *self.halves[m].add(at * parts + part),
                        }
                    };
                    *sums = [_mm256_set1_epi32(-L::PACKING.offset() * sum); 2];
                }
            }
            for quad in 0..scaled / 8 {
                let quad = part * (scaled / 8) + quad;
                // SAFETY: as the caller vouches, and a block has four quads.
                unsafe {
                    let pair = at * BLOCK / 2 + 4 * quad;
                    self.multiply(L::pairs::<false>(block, quad), pair, &mut sums);
                    self.multiply(L::pairs::<true>(block, quad), pair + 2, &mut sums);
                }
            }
            // SAFETY: as the caller vouches.
            let scales = unsafe { L::scales(group, index * parts + part) };
            for (totals, sums) in totals.iter_mut().zip(sums) {
                scale(totals, sums, scales);
            }
        }
        if L::PACKING.has_minima() {
            // SAFETY: as the caller vouches.
            let minima = unsafe { L::minima(group, index) };
            for (m, totals) in totals.iter_mut().enumerate() {
                // SAFETY: the rows have a block `at`.
                let sum = _mm256_set1_ps(unsafe { *self.sums[m].add(at) } as f32);
                take(totals, minima, sum);
            }
        }
    }

    /// Adds the products of two pairs of inputs, `pair` and the next.
    ///
    /// # Safety
    /// The rows have these pairs.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    unsafe fn multiply(
        &self,
        weights: [Two<__m256i>; 2],
        pair: usize,
        sums: &mut [Two<__m256i>; M],
    ) {
        for (m, sums) in sums.iter_mut().enumerate() {
            for (i, weights) in weights.into_iter().enumerate() {
                // SAFETY: as the caller vouches.
                let inputs = unsafe {
                    let at = self.numbers[m].add(2 * (pair + i));
                    _mm256_set1_epi32(at.cast::<i32>().read_unaligned())
                };
                multiply(sums, weights, inputs);
            }
        }
    }
}

#[target_feature(enable = "avx2,fma")]
#[inline]
fn multiply(sums: &mut Two<__m256i>, weights: Two<__m256i>, inputs: __m256i) {
    for (sum, weights) in sums.iter_mut().zip(weights) {
        *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(weights, inputs));
    }
}

#[target_feature(enable = "avx2,fma")]
#[inline]
fn scale(totals: &mut Two<__m256>, sums: Two<__m256i>, scales: Two<__m256>) {
    for ((total, sum), scale) in totals.iter_mut().zip(sums).zip(scales) {
        *total = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), scale, *total);
    }
}

#[target_feature(enable = "avx2,fma")]
#[inline]
fn take(totals: &mut Two<__m256>, minima: Two<__m256>, sum: __m256) {
    for (total, minimum) in totals.iter_mut().zip(minima) {
        *total = _mm256_fnmadd_ps(minimum, sum, *total);
    }
}

#[target_feature(enable = "avx2,fma")]
#[inline]
fn stored([low, high]: Two<__m256>) -> [f32; PANEL] {
    let mut out = [0.0; PANEL];
    // SAFETY: `out` has room for two registers of eight numbers.
    unsafe {
        _mm256_storeu_ps(out.as_mut_ptr(), low);
        _mm256_storeu_ps(out.as_mut_ptr().add(8), high);
    }
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
#[target_feature(enable = "avx2,fma,f16c")]
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
            let at = part.first_row + row;
            match next - row {
                1 => wide.tile::<L, 1>(product, at, first, count, totals),
                2 => wide.tile::<L, 2>(product, at, first, count, totals),
                3 => wide.tile::<L, 3>(product, at, first, count, totals),
                4 => wide.tile::<L, 4>(product, at, first, count, totals),
                5 => wide.tile::<L, 5>(product, at, first, count, totals),
                _ => wide.tile::<L, TILE>(product, at, first, count, totals),
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
    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn fill<L: Lanes>(&mut self, group: *const u8, index: usize, slot: usize) {
        let packing = L::PACKING;
        let parts = BLOCK / packing.scaled();
        // SAFETY: as the caller vouches; a slot has WIDE weights, PANEL scales a part and PANEL minima.
        unsafe {
            let block = group.add(packing.header() + index * packing.block());
            let weights = self.weights.as_mut_ptr().add(slot * WIDE);
            let offset = _mm256_set1_epi16(packing.offset() as i16);
            for quad in 0..BLOCK / 8 {
                let ([a, b], [c, d]) = (
                    L::pairs::<false>(block, quad),
                    L::pairs::<true>(block, quad),
                );
                for (pair, [low, high]) in [a, b, c, d].into_iter().enumerate() {
                    let at = weights.add((quad * 4 + pair) * 2 * PANEL);
                    _mm256_store_si256(at.cast(), _mm256_sub_epi16(low, offset));
                    _mm256_store_si256(at.add(PANEL).cast(), _mm256_sub_epi16(high, offset));
                }
            }
            for part in 0..parts {
                let [low, high] = L::scales(group, index * parts + part);
                let at = self.scales.as_mut_ptr().add((slot * parts + part) * PANEL);
                _mm256_store_ps(at, low);
                _mm256_store_ps(at.add(8), high);
            }
            if packing.has_minima() {
                let [low, high] = L::minima(group, index);
                let at = self.minima.as_mut_ptr().add(slot * PANEL);
                _mm256_store_ps(at, low);
                _mm256_store_ps(at.add(8), high);
            }
        }
    }

    /// Adds the products of `M` rows with all slots to the totals. The rows begin with `row`, the slots with block
    /// `first` of the rows.
    #[target_feature(enable = "avx2,fma,f16c")]
    fn tile<L: Lanes, const M: usize>(
        &self,
        product: &Product,
        row: usize,
        first: usize,
        count: usize,
        totals: &mut [[f32; PANEL]],
    ) {
        assert!(count <= RANGE && first + count <= product.x.blocks() && totals.len() >= M);
        let rows = RowPlaces::<M>::new(product, row);
        let scaled = L::PACKING.scaled();
        let parts = BLOCK / scaled;
        for slot in 0..count {
            for part in 0..parts {
                let mut sums = [[_mm256_setzero_si256(); 2]; M];
                for pair in 0..scaled / 2 {
                    // SAFETY: a slot has 16 pairs of 2 × PANEL weights, and the rows have a block first + slot.
                    unsafe {
                        let pair = part * (scaled / 2) + pair;
                        let at = self.weights.as_ptr().add(slot * WIDE + pair * 2 * PANEL);
                        let weights = [
                            _mm256_load_si256(at.cast()),
                            _mm256_load_si256(at.add(PANEL).cast()),
                        ];
                        for (m, sums) in sums.iter_mut().enumerate() {
                            let at = (first + slot) * BLOCK + 2 * pair;
                            let inputs = rows.numbers[m].add(at).cast::<i32>().read_unaligned();
                            multiply(sums, weights, _mm256_set1_epi32(inputs));
                        }
                    }
                }
                // SAFETY: a slot has PANEL scales a part.
                let scales =
                    unsafe { loaded(self.scales.as_ptr().add((slot * parts + part) * PANEL)) };
                for (m, sums) in sums.into_iter().enumerate() {
                    // SAFETY: there are M rows of totals, of PANEL numbers each.
                    unsafe {
                        let at = totals.as_mut_ptr().add(m).cast::<f32>();
                        let mut total = loaded(at);
                        scale(&mut total, sums, scales);
                        if L::PACKING.has_minima() {
                            let minima = loaded(self.minima.as_ptr().add(slot * PANEL));
                            let sum = *rows.sums[m].add(first + slot) as f32;
                            take(&mut total, minima, _mm256_set1_ps(sum));
                        }
                        _mm256_store_ps(at, total[0]);
                        _mm256_store_ps(at.add(8), total[1]);
                    }
                }
            }
        }
    }
}

/// # Safety
/// 16 numbers lie at the address, which is a multiple of 32.
#[target_feature(enable = "avx2,fma")]
#[inline]
unsafe fn loaded(at: *const f32) -> Two<__m256> {
    // SAFETY: as the caller vouches.
    unsafe { [_mm256_load_ps(at), _mm256_load_ps(at.add(8))] }
}

/// How many multiply-adds [`bare`] makes.
#[cfg(test)]
pub(super) const BARE: usize = ROUNDS * TILE * 2 * 16;

#[cfg(test)]
const ROUNDS: usize = 20_000;

/// Nothing but multiply-adds, as a tile of [`TILE`] rows makes them, all from the first-level cache.
#[cfg(test)]
#[target_feature(enable = "avx2")]
pub(super) fn bare(inputs: &[i32; 64]) -> i32 {
    let weights = std::hint::black_box([[_mm256_set1_epi16(3); 2]; 64]);
    let mut sums = [[_mm256_setzero_si256(); 2]; TILE];
    for round in 0..ROUNDS {
        let weights = &weights[round % 64];
        for (row, sums) in sums.iter_mut().enumerate() {
            let input = _mm256_set1_epi32(inputs[(round + row) % 64]);
            for (sum, weights) in sums.iter_mut().zip(weights) {
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(*weights, input));
            }
        }
    }
    let all = sums.into_iter().flatten();
    all.map(|sum| _mm256_extract_epi32::<0>(sum))
        .fold(0, i32::wrapping_add)
}
