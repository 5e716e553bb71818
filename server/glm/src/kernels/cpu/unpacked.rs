//! Rows of f32 times a matrix that is unpacked to f32 as it is read.
//!
//! Takes activations and any matrix that can [`Unpack`] its rows, gives activations. Some rows of the matrix at a time
//! are unpacked into the cache of the thread that multiplies by them, so that memory is read in the packed form, once
//! for all rows of activations.

use super::{
    dots::dots,
    pool::{Pool, Shards},
    scratch::with_room,
};
use crate::kernels::{Rows, Unpack};
use std::ops::Range;

/// Rows of the matrix that are unpacked together.
const PANEL: usize = 8;
/// Rows of activations in a tile.
const TILE: usize = 4;
/// Rows of the matrix in a tile of several rows of activations; twice as many for a single row.
const PAIR: usize = 2;
/// Multiply-adds below which work is not shared out.
const SMALL: usize = 1 << 16;
/// Tasks a thread.
const TASKS: usize = 4;

/// out(t, n) ← Σ x(t, k) · weight(n, k) + bias(n). `out` is x.count() × weight.rows(); `bias` may be empty.
pub fn matmul_unpacked(
    x: Rows,
    weight: &(impl Unpack + ?Sized),
    bias: &[f32],
    out: &mut [f32],
    pool: &Pool,
) {
    let (count, outputs, inputs) = (x.count(), weight.rows(), weight.columns());
    assert_eq!(out.len(), count * outputs, "a place for each sum");
    let out = Shards::new(out);
    let task = |panels: Range<usize>| {
        with_room(PANEL * inputs, |scratch| {
            for first in panels.step_by(PANEL) {
                let last = outputs.min(first + PANEL);
                multiply(x, weight, first..last, scratch, |t, n, sum| {
                    // SAFETY: this task alone has the outputs of its panels, and one is written at a time.
                    let out = unsafe { out.get(t * outputs + n..t * outputs + n + 1) };
                    out[0] = sum + bias.get(n).unwrap_or(&0.0);
                });
            }
        });
    };
    let threads = pool.threads();
    if threads == 1 || count * outputs * inputs < SMALL {
        task(0..outputs);
    } else {
        // Some tasks a thread: when one thread is held up by other programs, another takes over what it has not begun.
        let grain = outputs.div_ceil(TASKS * threads).next_multiple_of(PANEL);
        pool.run(outputs.div_ceil(grain), &|index| {
            task(index * grain..outputs.min((index + 1) * grain));
        });
    }
}

/// Hands out the products of all rows of `x` with some rows of the matrix: row, output, sum.
fn multiply(
    x: Rows,
    weight: &(impl Unpack + ?Sized),
    outputs: Range<usize>,
    scratch: &mut [f32],
    mut give: impl FnMut(usize, usize, f32),
) {
    let (inputs, first, rows) = (weight.columns(), outputs.start, outputs.len());
    for (row, scratch) in scratch.chunks_exact_mut(inputs).take(rows).enumerate() {
        weight.unpack_row(first + row, scratch);
    }
    let row = |row: usize| &scratch[row * inputs..][..inputs];
    let tiled = x.count() / TILE * TILE;
    let mut n = 0;
    while n + PAIR <= rows && tiled > 0 {
        let weights: [&[f32]; PAIR] = std::array::from_fn(|i| row(n + i));
        for t in (0..tiled).step_by(TILE) {
            let sums = dots::<TILE, PAIR>(&std::array::from_fn(|i| x.row(t + i)), &weights);
            place(&sums, t, first + n, &mut give);
        }
        n += PAIR;
    }
    for n in n..rows {
        for t in (0..tiled).step_by(TILE) {
            let sums = dots::<TILE, 1>(&std::array::from_fn(|i| x.row(t + i)), &[row(n)]);
            place(&sums, t, first + n, &mut give);
        }
    }
    for t in tiled..x.count() {
        let fours = rows / TILE * TILE;
        for n in (0..fours).step_by(TILE) {
            let sums = dots::<1, TILE>(&[x.row(t)], &std::array::from_fn(|i| row(n + i)));
            place(&sums, t, first + n, &mut give);
        }
        for n in fours..rows {
            place(&dots(&[x.row(t)], &[row(n)]), t, first + n, &mut give);
        }
    }
}

#[inline(always)]
fn place<const M: usize, const N: usize>(
    sums: &[[f32; N]; M],
    t: usize,
    n: usize,
    give: &mut impl FnMut(usize, usize, f32),
) {
    for (m, sums) in sums.iter().enumerate() {
        for (i, sum) in sums.iter().enumerate() {
            give(t + m, n + i, *sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fixture::Random,
        kernels::{HalfKind, HalfMatrix, reference},
    };

    /// Rows, outputs, inputs: odd ones, with and without whole tiles, above and below the bound for sharing out.
    const SHAPES: [(usize, usize, usize); 8] = [
        (1, 1, 2),
        (1, 17, 66),
        (2, 9, 34),
        (3, 40, 96),
        (5, 16, 258),
        (1, 2050, 256),
        (7, 515, 256),
        (67, 103, 290),
    ];

    #[track_caller]
    fn check(random: &mut Random, count: usize, weight: &dyn Unpack) {
        let x = random.normal(count * weight.columns());
        let x = Rows::new(&x, weight.columns());
        for bias in [vec![], random.normal(weight.rows())] {
            let want = reference::matmul(x, weight, &bias);
            let mut got = vec![f32::NAN; count * weight.rows()];
            matmul_unpacked(x, weight, &bias, &mut got, &Pool::new(2).unwrap());
            reference::assert_close(&got, &want, 1e-5);
        }
    }

    #[test]
    fn close_to_the_reference() {
        let mut random = Random::new(9);
        for (count, rows, columns) in SHAPES {
            for kind in [HalfKind::F16, HalfKind::Bf16] {
                let numbers = random.normal(rows * columns).into_iter();
                let bits = numbers.map(|x| match kind {
                    HalfKind::F16 => half::f16::from_f32(x).to_bits(),
                    HalfKind::Bf16 => half::bf16::from_f32(x).to_bits(),
                });
                let weight = HalfMatrix::new(bits.collect(), kind, rows, columns);
                check(&mut random, count, &weight);
            }
        }
    }
}
