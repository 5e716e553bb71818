//! The activations of feed-forwards, in place, and the product of an activated half with a linear one.

use super::{exponential::exp, pool::Pool};
use crate::{Activation, kernels::Rows};

/// Numbers that one task takes; fewer are not worth waking a thread for.
const GRAIN: usize = 16 * 1024;

/// x ← activation(x) for every x.
pub fn activate(activation: Activation, x: &mut [f32], pool: &Pool) {
    pool.chunks(x, GRAIN, |_, x| some(activation, x));
}

/// out ← activation(first half) · second half, row by row. `out` has half of x's numbers.
pub fn gate(activation: Activation, x: Rows, out: &mut [f32], pool: &Pool) {
    let inner = x.width() / 2;
    let grain = (GRAIN / inner).max(1);
    pool.chunks(out, grain * inner, |chunk, rows| {
        for (row, out) in rows.chunks_exact_mut(inner).enumerate() {
            let (first, second) = x.row(chunk * grain + row).split_at(inner);
            out.copy_from_slice(first);
            some(activation, out);
            out.iter_mut().zip(second).for_each(|(out, x)| *out *= x);
        }
    });
}

vectorized! {
    /// All but one of them are x times the logistic function of something: x / (1 + e^-u).
    fn some(activation: Activation, x: &mut [f32]) {
        /// 2 √(2/π): since (1 + tanh u)/2 = 1/(1 + e^-2u), one exponential is enough.
        const TWICE: f32 = 1.595_769;
        match activation {
            Activation::GeluTanh => {
                for x in x {
                    let u = TWICE * (*x + 0.044_715 * *x * *x * *x);
                    *x /= 1.0 + exp(-u);
                }
            }
            Activation::QuickGelu => x.iter_mut().for_each(|x| *x /= 1.0 + exp(-1.702 * *x)),
            Activation::Silu => x.iter_mut().for_each(|x| *x /= 1.0 + exp(-*x)),
            Activation::Gelu => {
                for x in x {
                    let erf = candle_core::cpu::erf::erf_f32(*x * std::f32::consts::FRAC_1_SQRT_2);
                    *x *= 0.5 * (1.0 + erf);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fixture::Random, kernels::reference};

    const ALL: [Activation; 4] = [
        Activation::GeluTanh,
        Activation::Gelu,
        Activation::QuickGelu,
        Activation::Silu,
    ];

    #[test]
    fn close_to_the_reference() {
        let pool = Pool::new(2).unwrap();
        for activation in ALL {
            let step = if activation == Activation::Gelu {
                40
            } else {
                1
            };
            let x: Vec<f32> = (0..40_003)
                .step_by(step)
                .map(|i| (i as f32 - 20_000.0) / 1_500.0)
                .collect();
            let mut got = x.clone();
            activate(activation, &mut got, &pool);
            for (x, got) in x.into_iter().zip(got) {
                let want = reference::activate(activation, x);
                assert!(
                    (got - want).abs() <= 1e-6 * (1.0 + x.abs()),
                    "{activation:?}({x}) = {got}, not {want}"
                );
            }
        }
    }

    #[test]
    fn a_gate_is_the_product_of_the_halves() {
        let mut random = Random::new(12);
        let pool = Pool::new(2).unwrap();
        for (rows, inner) in [(1, 1), (3, 7), (130, 131)] {
            let x = random.normal(rows * 2 * inner);
            let mut got = vec![f32::NAN; rows * inner];
            gate(Activation::Silu, Rows::new(&x, 2 * inner), &mut got, &pool);
            let want: Vec<f32> = x
                .chunks_exact(2 * inner)
                .flat_map(|row| {
                    let (first, second) = row.split_at(inner);
                    let products = first.iter().zip(second);
                    products.map(|(&a, &b)| reference::activate(Activation::Silu, a) * b)
                })
                .collect();
            reference::assert_close(&got, &want, 1e-6);
        }
    }
}
