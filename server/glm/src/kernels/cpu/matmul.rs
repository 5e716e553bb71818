//! Rows of f32 times a Q8_0 matrix: where a model spends its time.
//!
//! Takes activations and a [`Q8Matrix`], gives activations. Each row of activations is brought to 16-bit integers
//! with one scale, so that products and sums within a block are exact integers; 16 bits cost no more than 8 here,
//! since the multiply-add of AVX2 takes pairs of 16-bit numbers anyway, and they keep the result within 1e-4 of f32.
//! The unit of work is a tile: a few rows by one panel of 16 outputs, sums in registers. Many rows are shared out
//! by rows, so that each thread reads the panels from its own cache; few rows by panels.

use super::pool::{Pool, Shards};
use crate::kernels::{
    Rows, Unpack,
    q8::{BLOCK, COLUMN, PANEL, Q8Matrix, SCALES},
};
use half::f16;
use std::ops::Range;

/// Rows in a tile.
const TILE: usize = 4;
/// Rows that one task takes when there are many: their integers stay in the second-level cache.
const ROW_GRAIN: usize = 32;
/// Multiply-adds below which work is not shared out: about as long as waking a thread takes.
const SMALL: usize = 1 << 16;
/// Tasks a thread, where panels are shared out.
const TASKS: usize = 4;

/// Room for the integers of a product's activations, kept from one to the next.
#[derive(Debug, Default)]
pub struct Quantized {
    columns: usize,
    numbers: Vec<i16>,
    units: Vec<f32>,
}

/// out(t, n) ← Σ x(t, k) · weight(n, k) + bias(n). `out` is x.count() × weight.rows(); `bias` may be empty.
pub fn matmul_q8(
    x: Rows,
    weight: &Q8Matrix,
    bias: &[f32],
    out: &mut [f32],
    room: &mut Quantized,
    pool: &Pool,
) {
    let (count, outputs, panels) = (x.count(), weight.rows(), weight.panel_count());
    assert_eq!(out.len(), count * outputs, "a place for each sum");
    room.take(x, pool);
    let room = &*room;
    let out = Shards::new(out);
    // A task is some rows by some panels; it alone writes their products.
    let task = |rows: Range<usize>, panels: Range<usize>| {
        for panel in panels {
            let first = panel * PANEL;
            let last = outputs.min(first + PANEL);
            let bias = bias.get(first..last).unwrap_or(&[]);
            room.times_panel(rows.clone(), weight.panel(panel), |row, sums| {
                // SAFETY: no other task has the same row and panel, and one row's part is written at a time.
                let out = unsafe { out.get(row * outputs + first..row * outputs + last) };
                place(out, bias, sums);
            });
        }
    };
    let threads = pool.threads();
    if threads == 1 || count * outputs * weight.columns() < SMALL {
        task(0..count, 0..panels);
    } else if count >= 2 * TILE * threads {
        let grain = ROW_GRAIN.min(count.div_ceil(threads).next_multiple_of(TILE));
        pool.run(count.div_ceil(grain), &|index| {
            task(index * grain..count.min((index + 1) * grain), 0..panels);
        });
    } else {
        // Some tasks a thread: when one thread is held up by other programs, another takes over what it has not begun.
        let grain = panels.div_ceil(TASKS * threads);
        pool.run(panels.div_ceil(grain), &|index| {
            task(0..count, index * grain..panels.min((index + 1) * grain));
        });
    }
}

/// Writes a panel's sums to their places, leaving out the rows that only fill up the last panel.
#[inline(always)]
fn place(out: &mut [f32], bias: &[f32], sums: [f32; PANEL]) {
    if bias.is_empty() {
        out.copy_from_slice(&sums[..out.len()]);
    } else {
        for ((out, sum), bias) in out.iter_mut().zip(sums).zip(bias) {
            *out = sum + bias;
        }
    }
}

impl Quantized {
    /// Brings rows to integers.
    fn take(&mut self, x: Rows, pool: &Pool) {
        let (count, columns) = (x.count(), x.width());
        self.columns = columns;
        self.numbers.resize(count * columns, 0);
        self.units.resize(count, 0.0);
        let units = Shards::new(&mut self.units);
        pool.chunks(&mut self.numbers, ROW_GRAIN * columns, |chunk, numbers| {
            for (row, numbers) in numbers.chunks_exact_mut(columns).enumerate() {
                let row = chunk * ROW_GRAIN + row;
                // SAFETY: no other chunk has this row.
                let unit = unsafe { units.get(row..row + 1) };
                unit[0] = quantize(x.row(row), numbers);
            }
        });
    }

    fn row(&self, row: usize) -> &[i16] {
        &self.numbers[row * self.columns..][..self.columns]
    }

    /// Multiplies some rows by a panel and hands out the 16 sums of each.
    #[inline(always)]
    fn times_panel(
        &self,
        rows: Range<usize>,
        panel: &[u8],
        mut give: impl FnMut(usize, [f32; PANEL]),
    ) {
        let mut first = rows.start;
        while first + TILE <= rows.end {
            let sums = tile::<TILE>(std::array::from_fn(|i| self.row(first + i)), panel);
            for (i, sums) in sums.into_iter().enumerate() {
                give(first + i, sums.map(|sum| sum * self.units[first + i]));
            }
            first += TILE;
        }
        for row in first..rows.end {
            let [sums] = tile([self.row(row)], panel);
            give(row, sums.map(|sum| sum * self.units[row]));
        }
    }
}

/// Writes a row as integers of at most 16 bits and returns what one unit is worth.
fn quantize(x: &[f32], numbers: &mut [i16]) -> f32 {
    #[cfg(target_arch = "x86_64")]
    if super::has_avx2() {
        // SAFETY: the machine has the instructions.
        return unsafe { quantize_avx2(x, numbers) };
    }
    quantize_plain(x, numbers)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn quantize_avx2(x: &[f32], numbers: &mut [i16]) -> f32 {
    quantize_plain(x, numbers)
}

#[inline(always)]
fn quantize_plain(x: &[f32], numbers: &mut [i16]) -> f32 {
    // Adding 1.5 × 2^23 leaves the nearest integer in the low bits of the sum.
    const ROUND: f32 = 12_582_912.0;
    let (chunks, rest) = x.as_chunks::<8>();
    let mut largest = [0.0f32; 8];
    for chunk in chunks {
        for (largest, x) in largest.iter_mut().zip(chunk) {
            *largest = if x.abs() > *largest {
                x.abs()
            } else {
                *largest
            };
        }
    }
    let largest = largest
        .iter()
        .chain(rest)
        .fold(0.0f32, |largest, x| largest.max(x.abs()));
    if largest == 0.0 || !largest.is_finite() {
        numbers.fill(0);
        return largest;
    }
    let per_unit = f32::from(i16::MAX) / largest;
    for (number, x) in numbers.iter_mut().zip(x) {
        *number = (x * per_unit + ROUND).to_bits() as i16;
    }
    largest / f32::from(i16::MAX)
}

/// The products of `M` rows with the 16 rows of a panel, in units of each row of activations.
#[inline(always)]
fn tile<const M: usize>(x: [&[i16]; M], panel: &[u8]) -> [[f32; PANEL]; M] {
    #[cfg(target_arch = "x86_64")]
    if super::has_avx2() {
        // SAFETY: the machine has the instructions.
        return unsafe { avx2::tile(x, panel) };
    }
    tile_plain(x, panel)
}

fn tile_plain<const M: usize>(x: [&[i16]; M], panel: &[u8]) -> [[f32; PANEL]; M] {
    let mut totals = [[0.0; PANEL]; M];
    for (block, column) in panel.chunks_exact(COLUMN).enumerate() {
        let (scales, weights) = column.split_at(SCALES);
        for (x, totals) in x.iter().zip(&mut totals) {
            let mut sums = [0i32; PANEL];
            let pairs = x[block * BLOCK..][..BLOCK].chunks_exact(2);
            for (x, weights) in pairs.zip(weights.chunks_exact(2 * PANEL)) {
                for (sum, w) in sums.iter_mut().zip(weights.chunks_exact(2)) {
                    *sum += i32::from(w[0] as i8) * i32::from(x[0])
                        + i32::from(w[1] as i8) * i32::from(x[1]);
                }
            }
            for ((total, sum), scale) in totals.iter_mut().zip(sums).zip(scales.chunks_exact(2)) {
                *total += f16::from_le_bytes([scale[0], scale[1]]).to_f32() * sum as f32;
            }
        }
    }
    totals
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::{BLOCK, COLUMN, PANEL, SCALES};
    use std::arch::x86_64::*;

    /// The tile with two registers of sums a row: each multiply-add takes two inputs for eight outputs.
    #[target_feature(enable = "avx2,fma,f16c")]
    pub(super) fn tile<const M: usize>(x: [&[i16]; M], panel: &[u8]) -> [[f32; PANEL]; M] {
        let blocks = panel.len() / COLUMN;
        assert!(
            x.iter().all(|x| x.len() >= blocks * BLOCK),
            "rows as long as the panel"
        );
        let mut totals = [[_mm256_setzero_ps(); 2]; M];
        for block in 0..blocks {
            let column = panel[block * COLUMN..].as_ptr();
            let mut sums = [[_mm256_setzero_si256(); 2]; M];
            for pair in 0..BLOCK / 2 {
                // SAFETY: a column has SCALES bytes of scales, then BLOCK / 2 times 2 × PANEL = 32 bytes.
                let weights = unsafe {
                    let at = column.add(SCALES + pair * 2 * PANEL);
                    [
                        _mm_loadu_si128(at.cast()),
                        _mm_loadu_si128(at.add(16).cast()),
                    ]
                };
                let weights = weights.map(|weights| _mm256_cvtepi8_epi16(weights));
                for (x, sums) in x.iter().zip(&mut sums) {
                    // SAFETY: each row has blocks × BLOCK numbers, as asserted above.
                    let inputs = unsafe {
                        x.as_ptr()
                            .add(block * BLOCK + 2 * pair)
                            .cast::<i32>()
                            .read_unaligned()
                    };
                    let inputs = _mm256_set1_epi32(inputs);
                    for (sum, weights) in sums.iter_mut().zip(weights) {
                        *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(weights, inputs));
                    }
                }
            }
            // SAFETY: a column begins with PANEL = 16 scales of two bytes.
            let scales = unsafe {
                [
                    _mm_loadu_si128(column.cast()),
                    _mm_loadu_si128(column.add(16).cast()),
                ]
            };
            let scales = scales.map(|scales| _mm256_cvtph_ps(scales));
            for (totals, sums) in totals.iter_mut().zip(sums) {
                for ((total, sum), scale) in totals.iter_mut().zip(sums).zip(scales) {
                    *total = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), scale, *total);
                }
            }
        }
        totals.map(|[low, high]| {
            let mut out = [0.0; PANEL];
            // SAFETY: `out` has room for two registers of eight numbers.
            unsafe {
                _mm256_storeu_ps(out.as_mut_ptr(), low);
                _mm256_storeu_ps(out.as_mut_ptr().add(8), high);
            }
            out
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fixture::Random, kernels::reference};

    /// Rows, outputs, inputs: odd ones, one of each path (small, by rows, by panels).
    const SHAPES: [(usize, usize, usize); 8] = [
        (1, 1, 32),
        (1, 17, 64),
        (3, 40, 96),
        (5, 16, 256),
        (1, 2050, 256),
        (7, 515, 256),
        (67, 100, 288),
        (130, 48, 64),
    ];

    #[test]
    fn close_to_the_reference() {
        let (pool, mut room) = (Pool::new(2).unwrap(), Quantized::default());
        let mut random = Random::new(2);
        for (count, outputs, inputs) in SHAPES {
            let weight = random.q8(outputs, inputs);
            let x = random.normal(count * inputs);
            let x = Rows::new(&x, inputs);
            for bias in [vec![], random.normal(outputs)] {
                let want = reference::matmul(x, &weight, &bias);
                let mut got = vec![f32::NAN; count * outputs];
                matmul_q8(x, &weight, &bias, &mut got, &mut room, &pool);
                reference::assert_close(&got, &want, 1e-4);
            }
        }
    }

    #[test]
    fn the_plain_tile_is_the_fast_tile() {
        let mut random = Random::new(3);
        let weight = random.q8(PANEL, 96);
        let x = random.normal(TILE * 96);
        let mut room = Quantized::default();
        room.take(Rows::new(&x, 96), &Pool::new(1).unwrap());
        let rows: [&[i16]; TILE] = std::array::from_fn(|row| room.row(row));
        let (plain, fast) = (
            tile_plain(rows, weight.panel(0)),
            tile(rows, weight.panel(0)),
        );
        reference::assert_close(fast.as_flattened(), plain.as_flattened(), 1e-6);
    }

    #[test]
    fn a_row_of_zeros_and_a_row_of_infinities_do_no_harm() {
        let weight = Random::new(4).q8(20, 32);
        let mut out = vec![f32::NAN; 20];
        let (pool, mut room) = (Pool::new(1).unwrap(), Quantized::default());
        let zeros = Rows::new(&[0.0; 32], 32);
        matmul_q8(zeros, &weight, &[], &mut out, &mut room, &pool);
        assert_eq!(out, [0.0; 20]);
        let infinities = Rows::new(&[f32::INFINITY; 32], 32);
        matmul_q8(infinities, &weight, &[], &mut out, &mut room, &pool);
        assert!(
            out.iter().all(|x| x.is_nan()),
            "0 × ∞ shows that something went wrong before"
        );
    }
}
