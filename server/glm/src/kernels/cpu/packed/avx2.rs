//! The products on AVX2: each multiply-add takes a quad of inputs for eight outputs, and gives two sums of 16 bits of each.
//! So many of these are added as fit into 16 bits, before they are widened to 32.

use super::lanes::{Int4, Int8, Lanes, Q4_0, Q4K, Q5K, Q6K, Q8_0, Two, ask_ahead};
use super::{ACROSS, BLOCK, MOST_ROWS, PANEL, Packing, Part, Product, QUAD, RowPlaces, WIDE};
use std::arch::x86_64::*;

/// Quads of a block.
const QUADS: usize = BLOCK / QUAD;
/// Blocks of a panel that are brought to bytes at a time: 4 KiB of weights.
const RANGE: usize = 8;
/// Rows that meet weights which are brought to bytes for them alone, at most.
const PASS: usize = 4;
/// Rows up to which the passes of [`PASS`] rows cost less than bringing the weights to bytes in memory.
const FEW: usize = 12;
/// Most rows of a tile.
const TILE: usize = 6;

/// Rows of a tile: as many as have registers for their sums.
const fn tile(packing: Packing) -> usize {
    match packing {
        Packing::Q8_0 | Packing::Int8 => 4,
        Packing::Q4_0 | Packing::Q4K | Packing::Int4 => TILE,
        Packing::Q5K | Packing::Q6K => 3,
    }
}

/// Quads whose products can be added in 16 bits: twice the largest weight times 127 is one quad's at most.
const fn summed(packing: Packing) -> usize {
    match packing {
        Packing::Q8_0 | Packing::Int8 => 1,
        Packing::Q4_0 | Packing::Q4K | Packing::Int4 => 8,
        Packing::Q5K => 4,
        Packing::Q6K => 2,
    }
}

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
        let passes = part.rows.div_ceil(PASS.min(tile(L::PACKING)));
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
                ask_ahead::<L, M>(block);
                rows.add::<L>(group, block, index, at * per_group + index, &mut totals);
            }
        }
    }
    for (row, totals) in totals.into_iter().enumerate() {
        let row = first_row + row;
        // SAFETY: this row's outputs of this panel are this task's alone.
        unsafe { product.out.place(row, panel, &stored(totals)) };
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
        let parts = BLOCK / L::PACKING.scaled();
        // SAFETY: as the caller vouches.
        unsafe {
            let first = index * parts;
            for part in 0..parts {
                let codes = |quad| codes::<L>(block, quad);
                let sums = self.multiply::<L>(codes, at, part);
                let scales = L::scales(group, first + part);
                let lows = L::lows(group, first + part, scales);
                for (m, (totals, sums)) in totals.iter_mut().zip(sums).enumerate() {
                    let (x_sum, unit) = (self.sum(m, at, part, parts), self.unit(m, at));
                    give::<L>(totals, sums, scales, lows, x_sum, unit);
                }
            }
        }
    }

    /// The sums of the products of a part of block `at` with the weights of which `codes` gives a quad.
    ///
    /// # Safety
    /// The rows have a block `at`, and it has such a part.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    unsafe fn multiply<L: Lanes>(
        &self,
        codes: impl Fn(usize) -> Two<__m256i>,
        at: usize,
        part: usize,
    ) -> [Two<__m256i>; M] {
        let parts = BLOCK / L::PACKING.scaled();
        let mut sums = [[_mm256_setzero_si256(); 2]; M];
        let first = part * (QUADS / parts);
        for first in (first..first + QUADS / parts).step_by(summed(L::PACKING)) {
            let mut halves = [[_mm256_setzero_si256(); 2]; M];
            for quad in first..first + summed(L::PACKING) {
                let weights = codes(quad);
                for (m, halves) in halves.iter_mut().enumerate() {
                    // SAFETY: as the caller vouches, and a block has eight quads.
                    let inputs = unsafe { _mm256_set1_epi32(self.quad(m, at * QUADS + quad)) };
                    for (half, weights) in halves.iter_mut().zip(weights) {
                        *half = _mm256_add_epi16(*half, products::<L>(weights, inputs));
                    }
                }
            }
            for (sums, halves) in sums.iter_mut().zip(halves) {
                for (sum, half) in sums.iter_mut().zip(halves) {
                    let whole = _mm256_madd_epi16(half, _mm256_set1_epi16(1));
                    *sum = _mm256_add_epi32(*sum, whole);
                }
            }
        }
        sums
    }
}

/// The products of eight outputs' quads of weights with inputs, added two by two.
#[target_feature(enable = "avx2,fma")]
#[inline]
fn products<L: Lanes>(weights: __m256i, inputs: __m256i) -> __m256i {
    if L::PACKING.is_bytes() {
        // The instruction takes one side without signs, so the other gets them.
        let inputs = _mm256_sign_epi8(inputs, weights);
        return _mm256_maddubs_epi16(_mm256_abs_epi8(weights), inputs);
    }
    _mm256_maddubs_epi16(weights, inputs)
}

/// A quad of a block: bytes with their signs, else stored numbers.
///
/// # Safety
/// `block` points to a block, and `quad` is one of its eight.
#[target_feature(enable = "avx2,fma")]
#[inline]
unsafe fn codes<L: Lanes>(block: *const u8, quad: usize) -> Two<__m256i> {
    // SAFETY: as the caller vouches. A block of bytes has 64 of them for each quad, else there are 64 bytes for two quads
    // of nibbles, for four of two bits and for eight of one.
    unsafe {
        if L::PACKING.is_bytes() {
            let sign = _mm256_set1_epi8(i8::MIN);
            let bytes = loaded(block.add(ACROSS * quad));
            return bytes.map(|bytes| _mm256_xor_si256(bytes, sign));
        }
        let nibbles = fields(block, 4, quad);
        match L::PACKING.upper_bits() {
            0 => nibbles,
            bits => {
                let upper = fields(block.add(WIDE / 2), bits, quad);
                let upper = upper.map(|upper| _mm256_slli_epi16::<4>(upper));
                [
                    _mm256_or_si256(nibbles[0], upper[0]),
                    _mm256_or_si256(nibbles[1], upper[1]),
                ]
            }
        }
    }
}

/// A quad's fields in planes of so many bits.
///
/// # Safety
/// Planes for eight quads lie there.
#[target_feature(enable = "avx2,fma")]
#[inline]
unsafe fn fields(planes: *const u8, bits: usize, quad: usize) -> Two<__m256i> {
    let quads = 8 / bits;
    // SAFETY: as the caller vouches.
    let plane = unsafe { loaded(planes.add(ACROSS * (quad / quads))) };
    let count = _mm_cvtsi32_si128((bits * (quad % quads)) as i32);
    let mask = _mm256_set1_epi8((1 << bits) - 1);
    plane.map(|plane| _mm256_and_si256(_mm256_srl_epi16(plane, count), mask))
}

/// 64 bytes.
///
/// # Safety
/// So many lie at the address.
#[target_feature(enable = "avx2,fma")]
#[inline]
unsafe fn loaded(at: *const u8) -> Two<__m256i> {
    // SAFETY: as the caller vouches.
    unsafe {
        [
            _mm256_loadu_si256(at.cast()),
            _mm256_loadu_si256(at.add(ACROSS / 2).cast()),
        ]
    }
}

/// Adds what a part of a block comes to.
#[target_feature(enable = "avx2,fma")]
#[inline]
fn give<L: Lanes>(
    totals: &mut Two<__m256>,
    sums: Two<__m256i>,
    scales: Two<__m256>,
    lows: Two<__m256>,
    x_sum: f32,
    unit: f32,
) {
    let (x_sum, unit) = (_mm256_set1_ps(x_sum), _mm256_set1_ps(unit));
    for half in 0..2 {
        let sum = _mm256_cvtepi32_ps(sums[half]);
        let part = if L::PACKING.has_lows() {
            _mm256_fmsub_ps(sum, scales[half], _mm256_mul_ps(lows[half], x_sum))
        } else {
            _mm256_mul_ps(sum, scales[half])
        };
        totals[half] = _mm256_fmadd_ps(part, unit, totals[half]);
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

/// Some blocks of a panel, brought to bytes.
#[repr(align(64))]
struct Wide {
    codes: [u8; RANGE * WIDE],
    /// Of each block, or of each half block.
    scales: [f32; RANGE * 2 * PANEL],
    lows: [f32; RANGE * 2 * PANEL],
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
        codes: [0; RANGE * WIDE],
        scales: [0.0; RANGE * 2 * PANEL],
        lows: [0.0; RANGE * 2 * PANEL],
    };
    let mut totals = Totals([[0.0; PANEL]; MOST_ROWS]);
    let tiles = part.rows.div_ceil(tile(L::PACKING));
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
        unsafe { product.out.place(row, panel, totals) };
    }
}

impl Wide {
    /// Brings block `index` of a group into a slot.
    ///
    /// # Safety
    /// `group` points to a group, the index is one of it, and there is such a slot.
    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn fill<L: Lanes>(&mut self, group: *const u8, index: usize, slot: usize) {
        let packing = L::PACKING;
        let parts = BLOCK / packing.scaled();
        // SAFETY: as the caller vouches; a slot has WIDE weights, and PANEL scales and lows a part.
        unsafe {
            let block = group.add(packing.header() + index * packing.block());
            let places = self.codes.as_mut_ptr().add(slot * WIDE);
            for quad in 0..QUADS {
                let [low, high] = codes::<L>(block, quad);
                let place = places.add(quad * ACROSS);
                _mm256_store_si256(place.cast(), low);
                _mm256_store_si256(place.add(ACROSS / 2).cast(), high);
            }
            for part in 0..parts {
                let at = (slot * parts + part) * PANEL;
                let scales = L::scales(group, index * parts + part);
                set(self.scales.as_mut_ptr().add(at), scales);
                if packing.has_lows() {
                    let lows = L::lows(group, index * parts + part, scales);
                    set(self.lows.as_mut_ptr().add(at), lows);
                }
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
        let parts = BLOCK / L::PACKING.scaled();
        for slot in 0..count {
            let at = first + slot;
            for part in 0..parts {
                // SAFETY: a slot has eight quads of ACROSS weights, and PANEL scales and lows a part, the rows have a
                // block first + slot, and there are M rows of totals, of PANEL numbers each.
                unsafe {
                    let weights = self.codes.as_ptr().add(slot * WIDE);
                    let codes = |quad| loaded(weights.add(quad * ACROSS));
                    let sums = rows.multiply::<L>(codes, at, part);
                    let place = (slot * parts + part) * PANEL;
                    let scales = floats(self.scales.as_ptr().add(place));
                    let lows = floats(self.lows.as_ptr().add(place));
                    for (m, sums) in sums.into_iter().enumerate() {
                        let (x_sum, unit) = (rows.sum(m, at, part, parts), rows.unit(m, at));
                        let place = totals.as_mut_ptr().add(m).cast::<f32>();
                        let mut total = floats(place);
                        give::<L>(&mut total, sums, scales, lows, x_sum, unit);
                        set(place, total);
                    }
                }
            }
        }
    }
}

/// # Safety
/// There is room for 16 numbers at the address, which is a multiple of 32.
#[target_feature(enable = "avx2,fma")]
#[inline]
unsafe fn set(at: *mut f32, numbers: Two<__m256>) {
    // SAFETY: as the caller vouches.
    unsafe {
        _mm256_store_ps(at, numbers[0]);
        _mm256_store_ps(at.add(8), numbers[1]);
    }
}

/// # Safety
/// 16 numbers lie at the address, which is a multiple of 32.
#[target_feature(enable = "avx2,fma")]
#[inline]
unsafe fn floats(at: *const f32) -> Two<__m256> {
    // SAFETY: as the caller vouches.
    unsafe { [_mm256_load_ps(at), _mm256_load_ps(at.add(8))] }
}

/// How many multiply-adds [`bare`] makes.
#[cfg(test)]
pub(super) const BARE: usize = ROUNDS * TILE * ACROSS;

#[cfg(test)]
const ROUNDS: usize = 20_000;

/// Nothing but multiply-adds, as a tile of [`TILE`] rows of nibbles makes them, all from the first-level cache.
#[cfg(test)]
#[target_feature(enable = "avx2")]
pub(super) fn bare(inputs: &[i32; 64]) -> i32 {
    let weights = std::hint::black_box([[_mm256_set1_epi8(3); 2]; 64]);
    let mut sums = [[_mm256_setzero_si256(); 2]; TILE];
    for round in 0..ROUNDS {
        let weights = &weights[round % 64];
        for (row, sums) in sums.iter_mut().enumerate() {
            let input = _mm256_set1_epi32(inputs[(round + row) % 64]);
            for (sum, weights) in sums.iter_mut().zip(weights) {
                *sum = _mm256_add_epi16(*sum, _mm256_maddubs_epi16(*weights, input));
            }
        }
    }
    let all = sums.into_iter().flatten();
    all.map(|sum| _mm256_extract_epi32::<0>(sum))
        .fold(0, i32::wrapping_add)
}
