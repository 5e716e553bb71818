//! e^x in straight-line f32 arithmetic, so that the compiler turns a loop over it into vector code; and the one
//! sum of exponentials that every sampler needs.

/// Sums kept side by side.
const LANES: usize = 16;

vectorized! {
    /// ln Σ e^x, without overflow.
    pub fn log_sum_exp(x: &[f32]) -> f32 {
        let largest = largest(x);
        let (chunks, rest) = x.as_chunks::<LANES>();
        let mut sums = [0.0; LANES];
        for chunk in chunks {
            for (sum, x) in sums.iter_mut().zip(chunk) {
                *sum += exp(x - largest);
            }
        }
        let rest = rest.iter().map(|x| exp(x - largest)).sum::<f32>();
        largest + (sums.into_iter().sum::<f32>() + rest).ln()
    }
}

/// The greatest of the numbers; negative infinity if there are none.
#[inline(always)]
pub(super) fn largest(x: &[f32]) -> f32 {
    let (chunks, rest) = x.as_chunks::<LANES>();
    let mut largest = [f32::NEG_INFINITY; LANES];
    for chunk in chunks {
        for (largest, &x) in largest.iter_mut().zip(chunk) {
            *largest = if x > *largest { x } else { *largest };
        }
    }
    largest
        .iter()
        .chain(rest)
        .fold(f32::NEG_INFINITY, |largest, &x| largest.max(x))
}

/// e^x to within 2 units in the last place, for any finite x; it saturates below 2^-126 and above 2^127.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    // ln 2 in two parts, the first with zeros at its end, so that `n * LN2_HIGH` is exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Adding 1.5 × 2^23 leaves the nearest integer in the low bits of the sum.
    const ROUND: f32 = 12_582_912.0;

    let x = x.clamp(-87.0, 88.0);
    let shifted = x * LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * LN2_HIGH) - n * LN2_LOW;
    let mut p = 1.987_569_2e-4;
    p = p * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 0.5;
    let e = p * r * r + r + 1.0;
    let power = shifted
        .to_bits()
        .wrapping_sub(ROUND.to_bits())
        .wrapping_add(127)
        << 23;
    e * f32::from_bits(power)
}

#[cfg(test)]
mod tests {
    use super::{exp, log_sum_exp};

    #[test]
    fn close_to_the_library_everywhere() {
        for step in -8_700..8_800 {
            let x = step as f32 * 0.01;
            let want = f64::from(x).exp();
            let error = (f64::from(exp(x)) - want).abs() / want;
            assert!(error < 3e-7, "exp({x}) is off by {error:e}");
        }
        assert!(exp(-1e30) < 1e-37);
        assert!(exp(f32::NEG_INFINITY) < 1e-37);
        assert!(exp(1e30).is_finite());
    }

    #[test]
    fn a_log_of_a_sum() {
        let x: Vec<f32> = (0..37).map(|i| 80.0 + (i % 7) as f32).collect();
        let want = x.iter().map(|&x| f64::from(x).exp()).sum::<f64>().ln();
        assert!((f64::from(log_sum_exp(&x)) - want).abs() < 1e-4);
    }
}
