//! What each kernel must compute, in the plainest code and in f64: the other side of the kernels' tests, and what
//! a reader reads first. Slow; nothing else runs it.

use super::{Rows, Unpack, cpu::Heads};
use crate::{Activation, Pairs};
use half::f16;

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
/// `visible(query)` keys. Rows have their heads side by side.
pub fn attend(
    queries: Rows,
    keys: Rows,
    values: Rows,
    heads: Heads,
    visible: impl Fn(usize) -> usize,
) -> Vec<f32> {
    let mut out = Vec::new();
    for t in 0..queries.count() {
        for head in 0..heads.queries {
            let key_head = head / (heads.queries / heads.keys);
            let part = |head: usize| head * heads.size..(head + 1) * heads.size;
            let query = &queries.row(t)[part(head)];
            let key = |row: usize| &keys.row(row)[part(key_head)];
            let value = |row: usize| &values.row(row)[part(key_head)];
            out.extend(mix(query, key, value, heads.scale, visible(t)));
        }
    }
    out
}

/// Attention of all heads over one shared row a token: the whole row is the key, its first `rank` numbers the value.
/// Each row of queries is one head of one token.
pub fn attend_latent(
    queries: Rows,
    cache: Rows,
    rank: usize,
    scale: f32,
    visible: impl Fn(usize) -> usize,
) -> Vec<f32> {
    let key = |row: usize| cache.row(row);
    let value = |row: usize| &cache.row(row)[..rank];
    (0..queries.count())
        .flat_map(|row| mix(queries.row(row), key, value, scale, visible(row)))
        .collect()
}

fn mix<'a>(
    query: &[f32],
    key: impl Fn(usize) -> &'a [f32],
    value: impl Fn(usize) -> &'a [f32],
    scale: f32,
    visible: usize,
) -> Vec<f32> {
    let score = |row| {
        let products = query.iter().zip(key(row));
        products
            .map(|(&a, &b)| f64::from(a) * f64::from(b))
            .sum::<f64>()
            * f64::from(scale)
    };
    let weights: Vec<f64> = (0..visible).map(|row| score(row).exp()).collect();
    let total: f64 = weights.iter().sum();
    let column = |i: usize| {
        let products = weights.iter().enumerate();
        products
            .map(|(row, w)| w * f64::from(value(row)[i]))
            .sum::<f64>()
    };
    (0..value(0).len())
        .map(|i| (column(i) / total) as f32)
        .collect()
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

/// x / √(mean of x² + epsilon) · weight, row by row.
pub fn rms_norm(x: Rows, weight: &[f32], epsilon: f32) -> Vec<f32> {
    let mut out = Vec::new();
    for t in 0..x.count() {
        let row = x.row(t).iter().map(|&x| f64::from(x));
        let mean = row.clone().map(|x| x * x).sum::<f64>() / x.width() as f64;
        let scale = 1.0 / (mean + f64::from(epsilon)).sqrt();
        out.extend(
            row.zip(weight)
                .map(|(x, &w)| (x * scale * f64::from(w)) as f32),
        );
    }
    out
}

/// The activation of x.
pub fn activate(activation: Activation, x: f32) -> f32 {
    match activation {
        Activation::GeluTanh => gelu_tanh(x),
        Activation::Gelu => gelu(x),
        Activation::QuickGelu => (f64::from(x) / (1.0 + (-1.702 * f64::from(x)).exp())) as f32,
        Activation::Silu => (f64::from(x) / (1.0 + (-f64::from(x)).exp())) as f32,
    }
}

/// x · Φ(x), Φ the normal distribution's integral, here by Simpson's rule from 0.
fn gelu(x: f32) -> f32 {
    const STEPS: usize = 2000;
    let x = f64::from(x);
    let width = x.clamp(-12.0, 12.0) / STEPS as f64;
    let density = |at: f64| (-0.5 * at * at).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let sum: f64 = (0..=STEPS)
        .map(|step| {
            let weight = match step {
                0 | STEPS => 1.0,
                step if step % 2 == 1 => 4.0,
                _ => 2.0,
            };
            weight * density(step as f64 * width)
        })
        .sum();
    (x * (0.5 + sum * width / 3.0)) as f32
}

/// One head of a token rotated: the pair (a, b) becomes (a cos − b sin, b cos + a sin).
pub fn rotate(head: &mut [f32], pairs: Pairs, cosines: &[f32], sines: &[f32]) {
    let count = cosines.len();
    for (i, (&cosine, &sine)) in cosines.iter().zip(sines).enumerate() {
        let (first, second) = match pairs {
            Pairs::Half => (i, i + count),
            Pairs::Interleaved => (2 * i, 2 * i + 1),
        };
        let (a, b) = (head[first], head[second]);
        head[first] = a * cosine - b * sine;
        head[second] = b * cosine + a * sine;
    }
}

/// Numbers as integers with a scale for each 32 of them, the largest of which becomes 127 or −127; an integer times its scale
/// is the nearest such number.
pub fn quantize_q8(numbers: &[f32]) -> (Vec<i8>, Vec<f16>) {
    let mut integers = Vec::new();
    let mut scales = Vec::new();
    for block in numbers.chunks(32) {
        let largest = block
            .iter()
            .fold(0.0, |largest: f32, x| largest.max(x.abs()));
        let scale = f16::from_f32(largest / 127.0);
        let steps = |&x: &f32| f64::from(x) / scale.to_f64();
        integers.extend(block.iter().map(|x| steps(x).round_ties_even() as i8));
        scales.push(scale);
    }
    (integers, scales)
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
