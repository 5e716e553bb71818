//! Norms: rows brought to mean 0 and variance 1, or to a mean square of 1, then scaled.

use super::pool::Pool;
use crate::kernels::Rows;

/// Rows that one task takes.
const GRAIN: usize = 32;
/// Sums kept side by side, so that a loop over a row is vector code.
const LANES: usize = 16;

/// out ← (x − mean) / √(variance + epsilon) · weight + bias, row by row. `out` is x.count() × x.width().
pub fn layer_norm(
    x: Rows,
    weight: &[f32],
    bias: &[f32],
    epsilon: f32,
    out: &mut [f32],
    pool: &Pool,
) {
    let width = x.width();
    pool.chunks(out, GRAIN * width, |chunk, out| {
        for (row, out) in out.chunks_exact_mut(width).enumerate() {
            norm_row(x.row(chunk * GRAIN + row), weight, bias, epsilon, out);
        }
    });
}

/// out ← x / √(mean of x² + epsilon) · weight, row by row. `out` is x.count() × x.width().
pub fn rms_norm(x: Rows, weight: &[f32], epsilon: f32, out: &mut [f32], pool: &Pool) {
    let width = x.width();
    pool.chunks(out, GRAIN * width, |chunk, out| {
        for (row, out) in out.chunks_exact_mut(width).enumerate() {
            out.copy_from_slice(x.row(chunk * GRAIN + row));
            rms_row(out, weight, epsilon);
        }
    });
}

vectorized! {
    /// [`rms_norm`] of one row, in place.
    pub fn rms_row(x: &mut [f32], weight: &[f32], epsilon: f32) {
        let mean = sum(x, |x| x * x) / x.len() as f32;
        let scale = 1.0 / (mean + epsilon).sqrt();
        for (x, weight) in x.iter_mut().zip(weight) {
            *x = *x * scale * weight;
        }
    }
}

vectorized! {
    fn norm_row(x: &[f32], weight: &[f32], bias: &[f32], epsilon: f32, out: &mut [f32]) {
        let count = x.len() as f32;
        let mean = sum(x, |x| x) / count;
        let variance = sum(x, |x| (x - mean) * (x - mean)) / count;
        let scale = 1.0 / (variance + epsilon).sqrt();
        for (((out, x), weight), bias) in out.iter_mut().zip(x).zip(weight).zip(bias) {
            *out = (x - mean) * scale * weight + bias;
        }
    }
}

#[inline(always)]
fn sum(x: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    let (chunks, rest) = x.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane += term(x);
        }
    }
    lanes.iter().sum::<f32>() + rest.iter().map(|&x| term(x)).sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fixture::Random, kernels::reference};

    #[test]
    fn close_to_the_reference() {
        let mut random = Random::new(1);
        let pool = Pool::new(2).unwrap();
        for (count, width) in [(1, 1), (1, 256), (3, 40), (70, 33), (65, 256)] {
            let x = random.normal(count * width);
            let (weight, bias) = (random.normal(width), random.normal(width));
            let mut got = vec![f32::NAN; count * width];
            layer_norm(Rows::new(&x, width), &weight, &bias, 1e-5, &mut got, &pool);
            let want = reference::layer_norm(Rows::new(&x, width), &weight, &bias, 1e-5);
            reference::assert_close(&got, &want, 1e-5);

            let mut got = vec![f32::NAN; count * width];
            rms_norm(Rows::new(&x, width), &weight, 1e-5, &mut got, &pool);
            let want = reference::rms_norm(Rows::new(&x, width), &weight, 1e-5);
            reference::assert_close(&got, &want, 1e-5);
        }
    }
}
