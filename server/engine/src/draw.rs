//! How tokens are drawn: what a job asks for, and the random number of each token.
//!
//! A number depends on the seed and on the token's place in its answer and on nothing else, so that an answer is the
//! same whatever else the engine does. (SplitMix64; Steele, Lea and Flood 2014.)

use glm::Draw;

/// How the tokens of an answer are chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// What logits are divided by before they become probabilities; 0 always takes the likeliest token.
    pub temperature: f32,
    /// Only the likeliest tokens count that together have this probability; 1 lets all count.
    pub top_p: f32,
    /// Another seed, other numbers.
    pub seed: u64,
}

impl Sampling {
    /// Always the likeliest token.
    pub const GREEDY: Sampling = Sampling {
        temperature: 0.0,
        top_p: 1.0,
        seed: 0,
    };

    /// How the token at `index` of an answer is chosen.
    pub(crate) fn draw(&self, index: usize) -> Draw {
        // A temperature that is no number is none.
        if self.temperature.is_nan() || self.temperature <= 0.0 {
            return Draw::GREEDY;
        }
        Draw {
            temperature: self.temperature,
            top_p: self.top_p,
            number: number(self.seed, index as u64),
        }
    }
}

impl Default for Sampling {
    fn default() -> Sampling {
        Sampling::GREEDY
    }
}

/// The number at `index` of a seed's sequence: from 0 to 1, less than 1, of 53 random bits.
fn number(seed: u64, index: u64) -> f64 {
    // The seed is mixed first, so that seeds close to one another do not give the same numbers at other places.
    let bits = mix(mix(seed.wrapping_add(STEP)).wrapping_add(index.wrapping_mul(STEP)));
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

/// The golden ratio in 64 bits.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// A function from 64 bits to 64 bits that has an inverse and hides what went in.
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_spread_evenly_over_places_and_over_seeds() {
        let along = (0..10_000).map(|index| number(7, index));
        let across = (0..10_000).map(|seed| number(seed, 3));
        for numbers in [along.collect::<Vec<_>>(), across.collect()] {
            let mut tenths = [0; 10];
            for number in numbers {
                tenths[(number * 10.0) as usize] += 1;
            }
            // Five standard deviations of 30 to either side.
            let fair = tenths.iter().all(|&count| (850..=1150).contains(&count));
            assert!(fair, "{tenths:?}");
        }
    }

    #[test]
    fn neighbours_have_nothing_to_do_with_one_another() {
        let pairs = (0..10_000).map(|index| {
            [(0, index), (0, index + 1), (1, index)].map(|(seed, at)| number(seed, at) - 0.5)
        });
        let (mut along, mut across) = (0.0, 0.0);
        for [here, next, beside] in pairs {
            along += here * next;
            across += here * beside;
        }
        // A product of two such numbers has a deviation of 1/12, their sum of 100/12.
        assert!(along.abs() < 5.0 * 100.0 / 12.0, "{along}");
        assert!(across.abs() < 5.0 * 100.0 / 12.0, "{across}");
    }

    #[test]
    fn no_temperature_is_greedy() {
        for temperature in [0.0, -1.0, f32::NAN] {
            let sampling = Sampling {
                temperature,
                top_p: 0.5,
                seed: 9,
            };
            assert_eq!(sampling.draw(4), Draw::GREEDY);
        }
    }
}
