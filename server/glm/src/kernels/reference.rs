//! What each kernel must compute, in the plainest code and in f64: the other side of the kernels' tests, and what
//! a reader reads first. Slow; nothing else runs it.

use super::{Rows, Unpack};

/// out(t, n) = Σ x(t, k) · weight(n, k) + bias(n).
pub fn matmul(x: Rows, weight: &dyn Unpack, bias: &[f32]) -> Vec<f32> {
    let mut out = Vec::new();
    let mut weights = vec![0.0; weight.columns()];
    for t in 0..x.count() {
        for n in 0..weight.rows() {
            weight.unpack_row(n, &mut weights);
            let dot: f64 = x
                .row(t)
                .iter()
                .zip(&weights)
                .map(|(&x, &w)| f64::from(x) * f64::from(w))
                .sum();
            out.push((dot + bias.get(n).map_or(0.0, |&bias| f64::from(bias))) as f32);
        }
    }
    out
}

/// Softmax attention: for each query and head, the values weighted by e^(query · key · scale) over the first
/// `visible(query)` keys. Keys and values are rows like the queries, heads side by side.
pub fn attend(
    queries: Rows,
    keys: Rows,
    values: Rows,
    heads: usize,
    visible: impl Fn(usize) -> usize,
) -> Vec<f32> {
    let size = queries.width() / heads;
    let dot = |a: &[f32], b: &[f32]| {
        a.iter()
            .zip(b)
            .map(|(&a, &b)| f64::from(a) * f64::from(b))
            .sum::<f64>()
    };
    let mut out = Vec::new();
    for t in 0..queries.count() {
        for head in 0..heads {
            let part = head * size..(head + 1) * size;
            let score = |key| dot(&queries.row(t)[part.clone()], &keys.row(key)[part.clone()]);
            let weights: Vec<f64> = (0..visible(t))
                .map(|key| (score(key) / (size as f64).sqrt()).exp())
                .collect();
            let total: f64 = weights.iter().sum();
            for i in part.clone() {
                let sum: f64 = weights
                    .iter()
                    .enumerate()
                    .map(|(key, w)| w * f64::from(values.row(key)[i]))
                    .sum();
                out.push((sum / total) as f32);
            }
        }
    }
    out
}

/// (x − mean) / √(variance + epsilon) · weight + bias, row by row.
pub fn layer_norm(x: Rows, weight: &[f32], bias: &[f32], epsilon: f32) -> Vec<f32> {
    let mut out = Vec::new();
    for t in 0..x.count() {
        let row: Vec<f64> = x.row(t).iter().map(|&x| f64::from(x)).collect();
        let mean = row.iter().sum::<f64>() / row.len() as f64;
        let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / row.len() as f64;
        let normal = row
            .iter()
            .map(|x| (x - mean) / (variance + f64::from(epsilon)).sqrt());
        out.extend(
            normal
                .zip(weight)
                .zip(bias)
                .map(|((x, &w), &b)| (x * f64::from(w) + f64::from(b)) as f32),
        );
    }
    out
}

/// x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³))).
pub fn gelu_tanh(x: f32) -> f32 {
    let x = f64::from(x);
    let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
    (0.5 * x * (1.0 + u.tanh())) as f32
}

/// Panics unless every number is within `tolerance` of the wanted one, relative to the largest wanted.
#[track_caller]
pub fn assert_close(got: &[f32], want: &[f32], tolerance: f32) {
    assert_eq!(got.len(), want.len());
    let largest = want
        .iter()
        .fold(f32::MIN_POSITIVE, |largest, x| largest.max(x.abs()));
    for (index, (got, want)) in got.iter().zip(want).enumerate() {
        let error = (got - want).abs() / largest;
        assert!(
            error <= tolerance,
            "number {index} is {got}, not {want}: off by {error:e} of the largest"
        );
    }
}
