//! Activations as integers, the form in which they meet packed weights.
//!
//! Takes rows of f32, gives each as blocks of 32 8-bit integers with a unit a block, and the sums of 16 and of 32
//! neighbours, with which is multiplied what is taken from all weights. Products and sums within a block of weights are
//! then exact integers, which processors multiply and add four at a time. ggml rounds activations the same way
//! (`block_q8_0` of its `ggml-common.h`). The memory is kept from one use to the next.

use super::pool::Pool;
use crate::kernels::{Packing, Rows, packed::BLOCK};

/// Numbers that one task brings to integers: about as long as waking a thread takes.
const GRAIN: usize = 1 << 14;
/// Below this largest number a block counts as zeros: no unit of it would have an inverse.
const SMALLEST: f32 = 1e-30;
/// The largest integer; the smallest is as far from zero, so that signs can be turned.
const LARGEST: f32 = 127.0;
/// The centre of stored bytes.
const CENTRE: u8 = Packing::Q8_0.centre();

/// Rows of activations as integers. Rows are filled up with zeros to whole blocks.
#[derive(Debug, Default)]
pub struct Activations {
    count: usize,
    blocks: usize,
    numbers: Vec<i8>,
    units: Vec<f32>,
    sums: Vec<f32>,
    halves: Vec<f32>,
    centres: Vec<i32>,
}

impl Activations {
    /// Brings the rows to integers, shared out over the pool if they are many.
    pub fn set(&mut self, x: Rows, pool: &Pool) {
        let blocks = x.width().div_ceil(BLOCK);
        (self.count, self.blocks) = (x.count(), blocks);
        let size = x.count() * blocks;
        grow(&mut self.numbers, size * BLOCK);
        grow(&mut self.units, size);
        grow(&mut self.sums, size);
        grow(&mut self.halves, size * 2);
        grow(&mut self.centres, size);

        let parts = Parts {
            numbers: self.numbers.as_mut_ptr(),
            units: self.units.as_mut_ptr(),
            sums: self.sums.as_mut_ptr(),
            halves: self.halves.as_mut_ptr(),
            centres: self.centres.as_mut_ptr(),
        };
        let rows = (GRAIN / x.width().max(1)).clamp(1, x.count().max(1));
        pool.run(x.count().div_ceil(rows), &|task| {
            for row in task * rows..x.count().min((task + 1) * rows) {
                // SAFETY: the vectors have been grown to hold `count` rows, each row is one task's alone, and the
                // vectors stay borrowed until all tasks are done.
                quantize(x.row(row), unsafe { parts.row(row, blocks) });
            }
        });
    }

    /// Takes from the rows what the integers stand for. The products of the integers, and then of what is left brought
    /// to integers, added, are nearer to those of the rows as they were.
    ///
    /// # Panics
    /// If `x` is not as many rows as were set, of this width.
    pub fn take_from(&self, x: &mut [f32], width: usize) {
        let size = (x.len(), width.div_ceil(BLOCK));
        assert_eq!(size, (self.count * width, self.blocks), "the same rows");
        for (row, x) in x.chunks_exact_mut(width.max(1)).enumerate() {
            let blocks = self.numbers(row).chunks_exact(BLOCK).zip(self.units(row));
            for (x, (numbers, unit)) in x.chunks_mut(BLOCK).zip(blocks) {
                for (x, &number) in x.iter_mut().zip(numbers) {
                    *x = (-unit).mul_add(f32::from(number), *x);
                }
            }
        }
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
    pub(super) fn numbers(&self, row: usize) -> &[i8] {
        let width = self.blocks * BLOCK;
        &self.numbers[row * width..self.count * width]
    }

    /// What an integer of a block is worth, of rows from `row` on.
    pub(super) fn units(&self, row: usize) -> &[f32] {
        &self.units[row * self.blocks..self.count * self.blocks]
    }

    /// The sums of 32 integers, of rows from `row` on.
    pub(super) fn sums(&self, row: usize) -> &[f32] {
        &self.sums[row * self.blocks..self.count * self.blocks]
    }

    /// The sums of 16 integers, of rows from `row` on.
    pub(super) fn halves(&self, row: usize) -> &[f32] {
        let width = self.blocks * 2;
        &self.halves[row * width..self.count * width]
    }

    /// What the products with bytes have to begin with if the bytes' centre has not been taken from them.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn centres(&self, row: usize) -> &[i32] {
        &self.centres[row * self.blocks..self.count * self.blocks]
    }
}

/// Makes room for so many numbers at least.
fn grow<T: Clone + Default>(numbers: &mut Vec<T>, needed: usize) {
    if numbers.len() < needed {
        numbers.resize(needed, T::default());
    }
}

/// Where the rows' numbers are written to.
struct Parts {
    numbers: *mut i8,
    units: *mut f32,
    sums: *mut f32,
    halves: *mut f32,
    centres: *mut i32,
}

// SAFETY: tasks write to different rows, as `Activations::set` shares them out.
unsafe impl Sync for Parts {}

/// One row's numbers.
struct Row<'a> {
    numbers: &'a mut [i8],
    units: &'a mut [f32],
    sums: &'a mut [f32],
    halves: &'a mut [f32],
    centres: &'a mut [i32],
}

impl Parts {
    /// # Safety
    /// The vectors have that row, and nobody else has it.
    unsafe fn row(&self, row: usize, blocks: usize) -> Row<'_> {
        use std::slice::from_raw_parts_mut as slice;
        // SAFETY: as the caller vouches.
        unsafe {
            Row {
                numbers: slice(self.numbers.add(row * blocks * BLOCK), blocks * BLOCK),
                units: slice(self.units.add(row * blocks), blocks),
                sums: slice(self.sums.add(row * blocks), blocks),
                halves: slice(self.halves.add(row * blocks * 2), blocks * 2),
                centres: slice(self.centres.add(row * blocks), blocks),
            }
        }
    }
}

vectorized! {
    /// Writes a row as integers.
    fn quantize(x: &[f32], row: Row) {
        let (numbers, _) = row.numbers.as_chunks_mut::<BLOCK>();
        let (halves, _) = row.halves.as_chunks_mut::<2>();
        let (whole, rest) = x.as_chunks::<BLOCK>();
        let mut last = [0.0; BLOCK];
        last[..rest.len()].copy_from_slice(rest);
        let blocks = whole.iter().chain((!rest.is_empty()).then_some(&last));
        let places = numbers.iter_mut().zip(row.units);
        let sums = halves.iter_mut().zip(row.sums).zip(row.centres);
        for ((x, (numbers, unit)), ((halves, sum), centre)) in blocks.zip(places).zip(sums) {
            let mut integers = [0i32; BLOCK];
            *unit = quantize_block(x, &mut integers);
            for (number, integer) in numbers.iter_mut().zip(&integers) {
                *number = *integer as i8;
            }
            for (half, integers) in halves.iter_mut().zip(integers.chunks_exact(BLOCK / 2)) {
                *half = integers.iter().sum::<i32>() as f32;
            }
            *sum = halves[0] + halves[1];
            *centre = -i32::from(CENTRE) * *sum as i32;
        }
    }
}

/// Writes a block as integers and returns what one is worth. A block with a number that is not finite stays zeros, of a
/// unit that is not finite.
#[inline(always)]
fn quantize_block(x: &[f32; BLOCK], integers: &mut [i32; BLOCK]) -> f32 {
    // Adding 1.5 × 2^23 leaves the nearest integer in the low bits of the sum.
    const ROUND: f32 = 12_582_912.0;
    // Without their sign, the bits of floats are ordered as the floats are, what is not finite above all others.
    let sizes = x.iter().map(|x| x.to_bits() & 0x7fff_ffff);
    let largest = f32::from_bits(sizes.fold(0, u32::max));
    if !largest.is_finite() || largest < SMALLEST {
        return if largest.is_finite() { 0.0 } else { largest };
    }
    let per_unit = LARGEST / largest;
    for (integer, x) in integers.iter_mut().zip(x) {
        *integer = (x * per_unit + ROUND).to_bits() as i32 - ROUND.to_bits() as i32;
    }
    largest / LARGEST
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
                    let x = &x[row * width..][..width];
                    let sum = |numbers: &[i8]| numbers.iter().map(|&x| i32::from(x)).sum::<i32>();
                    for (block, x) in x.chunks(BLOCK).enumerate() {
                        let numbers = &numbers[block * BLOCK..][..BLOCK];
                        let unit = activations.units(row)[block];
                        let largest = x.iter().fold(0.0f32, |most, x| most.max(x.abs()));
                        assert_eq!(unit, largest / 127.0);
                        for (x, &number) in x.iter().zip(numbers) {
                            assert!((x - unit * f32::from(number)).abs() <= 0.51 * unit);
                        }
                        assert_eq!(numbers.iter().map(|x| x.unsigned_abs()).max(), Some(127));
                        assert_eq!(activations.sums(row)[block], sum(numbers) as f32);
                        let halves = [&numbers[..16], &numbers[16..]].map(|half| sum(half) as f32);
                        assert_eq!(activations.halves(row)[2 * block..][..2], halves);
                    }
                    assert!(numbers[width..].iter().all(|&number| number == 0));
                }
            }
        }
    }

    #[test]
    fn what_is_left_over_thrice_is_nothing() {
        let x = Random::new(2).normal(3 * 70);
        let pool = Pool::new(1).unwrap();
        let mut activations = Activations::default();
        let mut left = x.clone();
        for bound in [2e-2, 1e-4, 4e-7] {
            activations.set(Rows::new(&left, 70), &pool);
            activations.take_from(&mut left, 70);
            assert!(left.iter().all(|x| x.abs() < bound), "{left:?}");
        }
    }
}
