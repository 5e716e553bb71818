//! Activations as integers, the form in which they meet packed weights.
//!
//! Takes rows of f32, gives each as 16-bit integers with one unit a row, and the sums of 16 and of 32 neighbours, which
//! offsets and minima of the weights are multiplied with. Products and sums within a block of weights are then exact
//! integers; 16 bits cost no more than 8 here, since the multiply-add of AVX2 takes pairs of 16-bit numbers anyway, and
//! they keep the result within 1e-4 of f32. The memory is kept from one use to the next.

use super::pool::Pool;
use crate::kernels::{Rows, packed::BLOCK};

/// Numbers that one task brings to integers: about as long as waking a thread takes.
const GRAIN: usize = 1 << 14;
/// Below this largest number a row counts as zeros: no unit of it would have an inverse.
const SMALLEST: f32 = 1e-30;

/// Rows of activations as integers. Rows are filled up with zeros to whole blocks.
#[derive(Debug, Default)]
pub struct Activations {
    count: usize,
    blocks: usize,
    numbers: Vec<i16>,
    halves: Vec<i32>,
    sums: Vec<i32>,
    units: Vec<f32>,
}

impl Activations {
    /// Brings the rows to integers, shared out over the pool if they are many.
    pub fn set(&mut self, x: Rows, pool: &Pool) {
        self.bring(x, false, pool);
    }

    /// Brings to integers what [`Activations::set`] rounded off the same rows. The products with both, added, are
    /// those with the rows as they are.
    ///
    /// # Panics
    /// If the rows are not as many or as wide.
    pub fn set_rest(&mut self, x: Rows, pool: &Pool) {
        let size = (x.count(), x.width().div_ceil(BLOCK));
        assert_eq!(size, (self.count, self.blocks), "the same rows");
        self.bring(x, true, pool);
    }

    fn bring(&mut self, x: Rows, is_rest: bool, pool: &Pool) {
        let blocks = x.width().div_ceil(BLOCK);
        (self.count, self.blocks) = (x.count(), blocks);
        let grow = |len: usize, needed: usize| len.max(needed);
        let size = x.count() * blocks;
        self.numbers
            .resize(grow(self.numbers.len(), size * BLOCK), 0);
        self.halves.resize(grow(self.halves.len(), size * 2), 0);
        self.sums.resize(grow(self.sums.len(), size), 0);
        self.units.resize(grow(self.units.len(), x.count()), 0.0);

        let parts = Parts {
            numbers: self.numbers.as_mut_ptr(),
            halves: self.halves.as_mut_ptr(),
            sums: self.sums.as_mut_ptr(),
            units: self.units.as_mut_ptr(),
        };
        let rows = (GRAIN / x.width().max(1)).clamp(1, x.count().max(1));
        pool.run(x.count().div_ceil(rows), &|task| {
            for row in task * rows..x.count().min((task + 1) * rows) {
                // SAFETY: the vectors have been grown to hold `count` rows, each row is one task's alone, and the
                // vectors stay borrowed until all tasks are done.
                let (numbers, halves, sums, unit) = unsafe { parts.row(row, blocks) };
                let taken = if is_rest { *unit } else { 0.0 };
                *unit = quantize(x.row(row), taken, numbers, halves, sums);
            }
        });
    }

    /// How many rows there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Blocks of 32 numbers in a row.
    pub(super) fn blocks(&self) -> usize {
        self.blocks
    }

    /// The integers of rows from `row` on.
    pub(super) fn numbers(&self, row: usize) -> &[i16] {
        let width = self.blocks * BLOCK;
        &self.numbers[row * width..self.count * width]
    }

    /// The sums of 16 integers, of rows from `row` on.
    #[cfg(any(target_arch = "x86_64", test))]
    pub(super) fn halves(&self, row: usize) -> &[i32] {
        let width = self.blocks * 2;
        &self.halves[row * width..self.count * width]
    }

    /// The sums of 32 integers, of rows from `row` on.
    pub(super) fn sums(&self, row: usize) -> &[i32] {
        &self.sums[row * self.blocks..self.count * self.blocks]
    }

    /// What one unit of a row's integers is worth.
    pub(super) fn unit(&self, row: usize) -> f32 {
        self.units[row]
    }
}

/// Where the rows' numbers are written to.
struct Parts {
    numbers: *mut i16,
    halves: *mut i32,
    sums: *mut i32,
    units: *mut f32,
}

// SAFETY: tasks write to different rows, as `Activations::set` shares them out.
unsafe impl Sync for Parts {}

impl Parts {
    /// # Safety
    /// The four vectors have that row, and nobody else has it.
    #[allow(clippy::mut_from_ref, reason = "each row has one owner")]
    unsafe fn row(
        &self,
        row: usize,
        blocks: usize,
    ) -> (&mut [i16], &mut [i32], &mut [i32], &mut f32) {
        // SAFETY: as the caller vouches.
        unsafe {
            let numbers = self.numbers.add(row * blocks * BLOCK);
            let halves = self.halves.add(row * blocks * 2);
            let sums = self.sums.add(row * blocks);
            (
                std::slice::from_raw_parts_mut(numbers, blocks * BLOCK),
                std::slice::from_raw_parts_mut(halves, blocks * 2),
                std::slice::from_raw_parts_mut(sums, blocks),
                &mut *self.units.add(row),
            )
        }
    }
}

/// Writes a row as integers of at most 16 bits, with the sums of 16 and 32 of them, and returns what one unit is worth.
/// Before, `taken` times the integers that are there is taken from the row, if that is not zero. A row with a number
/// that is not finite becomes zeros of a unit that is not finite.
fn quantize(
    x: &[f32],
    taken: f32,
    numbers: &mut [i16],
    halves: &mut [i32],
    sums: &mut [i32],
) -> f32 {
    #[cfg(target_arch = "x86_64")]
    if super::has_avx2() {
        // SAFETY: the machine has the instructions.
        return unsafe { quantize_avx2(x, taken, numbers, halves, sums) };
    }
    quantize_plain(x, taken, numbers, halves, sums)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn quantize_avx2(
    x: &[f32],
    taken: f32,
    numbers: &mut [i16],
    halves: &mut [i32],
    sums: &mut [i32],
) -> f32 {
    quantize_plain(x, taken, numbers, halves, sums)
}

#[inline(always)]
fn quantize_plain(
    x: &[f32],
    taken: f32,
    numbers: &mut [i16],
    halves: &mut [i32],
    sums: &mut [i32],
) -> f32 {
    // Adding 1.5 × 2^23 leaves the nearest integer in the low bits of the sum.
    const ROUND: f32 = 12_582_912.0;
    const LANES: usize = BLOCK;
    if taken == 0.0 {
        numbers.fill(0);
    }
    // Without their sign, the bits of floats are ordered as the floats are, what is not finite above all others.
    let value = |x: f32, number: i16| x - taken * f32::from(number);
    let size = |x: f32, number: i16| value(x, number).to_bits() & 0x7fff_ffff;
    let (chunks, rest) = x.as_chunks::<LANES>();
    let (number_chunks, _) = numbers.as_chunks::<LANES>();
    let mut largest = [0u32; LANES];
    for (chunk, numbers) in chunks.iter().zip(number_chunks) {
        for (largest, (&x, &number)) in largest.iter_mut().zip(chunk.iter().zip(numbers)) {
            *largest = (*largest).max(size(x, number));
        }
    }
    let rest = rest.iter().zip(number_chunks.last().into_iter().flatten());
    let rest = rest.map(|(&x, &number)| size(x, number));
    let largest = f32::from_bits(largest.into_iter().chain(rest).fold(0, u32::max));
    if !largest.is_finite() || largest < SMALLEST {
        numbers.fill(0);
        halves.fill(0);
        sums.fill(0);
        return if largest.is_finite() { 0.0 } else { largest };
    }
    let per_unit = f32::from(i16::MAX) / largest;
    for (number, &x) in numbers.iter_mut().zip(x) {
        *number = (value(x, *number) * per_unit + ROUND).to_bits() as i16;
    }
    numbers[x.len()..].fill(0);
    let (blocks, _) = numbers.as_chunks::<16>();
    for (half, numbers) in halves.iter_mut().zip(blocks) {
        *half = numbers.iter().map(|&number| i32::from(number)).sum();
    }
    for (sum, halves) in sums.iter_mut().zip(halves.as_chunks::<2>().0) {
        *sum = halves[0] + halves[1];
    }
    largest / f32::from(i16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Random;

    #[test]
    fn integers_are_the_numbers_and_the_sums_theirs() {
        let mut random = Random::new(1);
        for (count, width) in [(1, 1), (2, 32), (3, 66), (70, 500)] {
            let x = random.normal(count * width);
            let mut activations = Activations::default();
            for threads in [1, 3] {
                activations.set(Rows::new(&x, width), &Pool::new(threads).unwrap());
                let blocks = activations.blocks();
                for row in 0..count {
                    let numbers = &activations.numbers(row)[..blocks * BLOCK];
                    let unit = activations.unit(row);
                    for (x, &number) in x[row * width..][..width].iter().zip(numbers) {
                        assert!((x - unit * f32::from(number)).abs() <= 0.51 * unit);
                    }
                    assert!(numbers[width..].iter().all(|&number| number == 0));
                    let sum = |numbers: &[i16]| numbers.iter().map(|&x| i32::from(x)).sum::<i32>();
                    for block in 0..blocks {
                        let numbers = &numbers[block * BLOCK..][..BLOCK];
                        assert_eq!(activations.sums(row)[block], sum(numbers));
                        assert_eq!(activations.halves(row)[2 * block], sum(&numbers[..16]));
                        assert_eq!(activations.halves(row)[2 * block + 1], sum(&numbers[16..]));
                    }
                }
            }
        }
    }

    #[test]
    fn the_rest_is_what_was_rounded_off() {
        let x = Random::new(2).normal(3 * 70);
        let pool = Pool::new(1).unwrap();
        let mut activations = Activations::default();
        let mut sums = vec![0.0f64; 3 * 70];
        for is_rest in [false, true] {
            activations.bring(Rows::new(&x, 70), is_rest, &pool);
            for (row, sums) in sums.chunks_exact_mut(70).enumerate() {
                for (sum, &number) in sums.iter_mut().zip(activations.numbers(row)) {
                    *sum += f64::from(activations.unit(row)) * f64::from(number);
                }
            }
        }
        for (sum, x) in sums.iter().zip(x) {
            assert!((sum - f64::from(x)).abs() < 4e-7, "{sum} is not {x}");
        }
    }
}
