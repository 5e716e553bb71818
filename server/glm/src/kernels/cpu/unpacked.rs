//! Rows of f32 times a matrix that is unpacked to f32 as it is read.
//!
//! Takes activations and any matrix that can [`Unpack`] its rows, gives activations. Some rows of the matrix at a time
//! are unpacked into the cache of the thread that multiplies by them, so that memory is read in the packed form, once
//! for all rows of activations.

use super::dots::dots;
use crate::kernels::{Rows, Unpack};
use rayon::prelude::*;

/// Rows of the matrix that are unpacked together.
const PANEL: usize = 8;
/// Rows of activations in a tile.
const TILE: usize = 4;
/// Rows of the matrix in a tile of several rows of activations; twice as many for a single row.
const PAIR: usize = 2;
/// Multiply-adds below which work is not shared out.
const SMALL: usize = 1 << 18;

/// out(t, n) ← Σ x(t, k) · weight(n, k) + bias(n). `out` is x.count() × weight.rows(); `bias` may be empty.
pub fn matmul_unpacked(x: Rows, weight: &(impl Unpack + ?Sized), bias: &[f32], out: &mut [f32]) {
    let (count, outputs) = (x.count(), weight.rows());
    if count == 1 {
        by_panels(x, weight, out);
    } else {
        // Each thread writes whole columns of the result, which lie together only in its transpose.
        let mut columns = vec![0.0; count * outputs];
        by_panels(x, weight, &mut columns);
        for (t, out) in out.chunks_exact_mut(outputs).enumerate() {
            for (out, sum) in out.iter_mut().zip(columns[t..].iter().step_by(count)) {
                *out = *sum;
            }
        }
    }
    if !bias.is_empty() {
        for out in out.chunks_exact_mut(outputs) {
            for (out, bias) in out.iter_mut().zip(bias) {
                *out += bias;
            }
        }
    }
}

/// Writes the products with each row of the matrix one after the other, x.count() numbers a row.
fn by_panels(x: Rows, weight: &(impl Unpack + ?Sized), columns: &mut [f32]) {
    let (count, outputs, inputs) = (x.count(), weight.rows(), weight.columns());
    let task = |first: usize, columns: &mut [f32]| {
        let mut scratch = vec![0.0; PANEL.min(outputs) * inputs];
        for (panel, columns) in columns.chunks_mut(PANEL * count).enumerate() {
            multiply(x, weight, first + panel * PANEL, &mut scratch, columns);
        }
    };
    let threads = rayon::current_num_threads();
    if threads == 1 || count * outputs * inputs < SMALL {
        task(0, columns);
    } else {
        // Two tasks a thread: when one thread is held up by other programs, another takes over its second half.
        let grain = outputs.div_ceil(2 * threads).next_multiple_of(PANEL);
        columns
            .par_chunks_mut(grain * count)
            .enumerate()
            .for_each(|(index, columns)| task(index * grain, columns));
    }
}

/// The products of all rows of `x` with the rows of the matrix from `first` on, as many as `columns` has room for.
fn multiply(
    x: Rows,
    weight: &(impl Unpack + ?Sized),
    first: usize,
    scratch: &mut [f32],
    columns: &mut [f32],
) {
    let inputs = weight.columns();
    let rows = columns.len() / x.count();
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
            place(&sums, columns, x.count(), t, n);
        }
        n += PAIR;
    }
    for n in n..rows {
        for t in (0..tiled).step_by(TILE) {
            let sums = dots::<TILE, 1>(&std::array::from_fn(|i| x.row(t + i)), &[row(n)]);
            place(&sums, columns, x.count(), t, n);
        }
    }
    for t in tiled..x.count() {
        let fours = rows / TILE * TILE;
        for n in (0..fours).step_by(TILE) {
            let sums = dots::<1, TILE>(&[x.row(t)], &std::array::from_fn(|i| row(n + i)));
            place(&sums, columns, x.count(), t, n);
        }
        for n in fours..rows {
            place(&dots(&[x.row(t)], &[row(n)]), columns, x.count(), t, n);
        }
    }
}

#[inline(always)]
fn place<const M: usize, const N: usize>(
    sums: &[[f32; N]; M],
    columns: &mut [f32],
    count: usize,
    t: usize,
    n: usize,
) {
    for (m, sums) in sums.iter().enumerate() {
        for (i, sum) in sums.iter().enumerate() {
            columns[(n + i) * count + t + m] = *sum;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fixture::Random,
        kernels::{HalfKind, HalfMatrix, ScaledKind, ScaledMatrix, reference},
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
            matmul_unpacked(x, weight, &bias, &mut got);
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
            for (kind, bytes) in [(ScaledKind::Int8, columns), (ScaledKind::Int4, columns / 2)] {
                let codes = (0..rows * bytes).map(|_| random.bits() as u8).collect();
                let scales = random.normal(rows);
                let weight = ScaledMatrix::new(codes, scales, kind, columns);
                check(&mut random, count, &weight);
            }
        }
    }
}
