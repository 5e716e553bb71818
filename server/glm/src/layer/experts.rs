//! A mixture of experts: a router sends each token to a few feed-forwards, and everyone's go to one more.
//!
//! Takes hidden states (T, width), gives the weighted sum of the chosen experts plus the shared one. The routing is
//! that of transformers' `glm4_moe`: scores are logistic, a learned correction takes part in choosing but not in
//! weighing, and the choice may be limited to the groups with the best two experts.

use super::mlp::Mlp;
use crate::{Config, Error, Experts as Sizes, checkpoint::Checkpoint};
use candle_core::Tensor;

/// The experts of one layer.
pub(crate) struct Experts {
    /// (experts, width), in f32 as the makers compute it.
    router: Tensor,
    /// Added to the scores for choosing.
    correction: Vec<f32>,
    routed: Vec<Mlp>,
    shared: Option<Mlp>,
    sizes: Sizes,
}

impl Experts {
    pub(crate) fn load(
        checkpoint: &Checkpoint,
        name: &str,
        config: &Config,
        sizes: Sizes,
    ) -> Result<Experts, Error> {
        let Config {
            width, activation, ..
        } = *config;
        let Sizes { count, inner, .. } = sizes;
        let weight = |part: &str| format!("{name}_{part}.weight");
        let up = checkpoint.experts(&weight("gate_up_exps"), count, 2 * inner, width)?;
        let down = checkpoint.experts(&weight("down_exps"), count, width, inner)?;
        let routed = up.into_iter().zip(down);
        let shared = (sizes.shared > 0).then(|| {
            let inner = sizes.shared * inner;
            let up = checkpoint.matrix(&weight("gate_up_shexp"), 2 * inner, width)?;
            let down = checkpoint.matrix(&weight("down_shexp"), width, inner)?;
            Ok::<_, Error>(Mlp::expert(up, down, activation))
        });
        let bias = name.replace("ffn", "exp_probs_b.bias");
        let correction = if checkpoint.has(&bias) {
            checkpoint.vector(&bias, count)?.to_vec1()?
        } else {
            vec![0.0; count]
        };
        Ok(Experts {
            router: checkpoint.table(&weight("gate_inp"), count, width)?,
            correction,
            routed: routed
                .map(|(up, down)| Mlp::expert(up, down, activation))
                .collect(),
            shared: shared.transpose()?,
            sizes,
        })
    }

    /// The sum of the chosen experts' outputs, each by its weight, and the shared expert's.
    pub(crate) fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let logits = x.matmul(&self.router.t()?)?.to_vec2::<f32>()?;
        let mut tokens = vec![(Vec::new(), Vec::new()); self.routed.len()];
        for (token, logits) in logits.iter().enumerate() {
            for (expert, weight) in route(logits, &self.correction, &self.sizes) {
                tokens[expert].0.push(token as u32);
                tokens[expert].1.push(weight);
            }
        }
        let mut sum = match &self.shared {
            Some(shared) => shared.forward(x)?,
            None => x.zeros_like()?,
        };
        for (expert, (tokens, weights)) in self.routed.iter().zip(tokens) {
            if tokens.is_empty() {
                continue;
            }
            let count = tokens.len();
            let tokens = Tensor::from_vec(tokens, count, x.device())?;
            let weights = Tensor::from_vec(weights, (count, 1), x.device())?;
            let out = expert.forward(&x.index_select(&tokens, 0)?)?;
            sum = sum.index_add(&tokens, &out.broadcast_mul(&weights)?, 0)?;
        }
        Ok(sum)
    }
}

/// The experts that a token with these router logits goes to, with their weights.
fn route(logits: &[f32], correction: &[f32], sizes: &Sizes) -> Vec<(usize, f32)> {
    let scores: Vec<f32> = logits.iter().map(|x| 1.0 / (1.0 + (-x).exp())).collect();
    let mut choice: Vec<f32> = scores.iter().zip(correction).map(|(s, c)| s + c).collect();
    let a_group = sizes.count / sizes.groups;
    if sizes.chosen_groups < sizes.groups {
        let best_two = |group: &[f32]| {
            let best = best(group, 2);
            best.into_iter().map(|expert| group[expert]).sum::<f32>()
        };
        let groups: Vec<f32> = choice.chunks_exact(a_group).map(best_two).collect();
        let open = best(&groups, sizes.chosen_groups);
        for (group, choice) in choice.chunks_exact_mut(a_group).enumerate() {
            if !open.contains(&group) {
                choice.fill(f32::NEG_INFINITY);
            }
        }
    }
    let chosen = best(&choice, sizes.chosen);
    let total: f32 = chosen.iter().map(|&expert| scores[expert]).sum();
    let unit = if sizes.normalize {
        sizes.scale / (total + 1e-20)
    } else {
        sizes.scale
    };
    chosen
        .into_iter()
        .map(|expert| (expert, scores[expert] * unit))
        .collect()
}

/// The places of the `count` greatest numbers, the greatest first; of equals the first comes first.
fn best(numbers: &[f32], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..numbers.len()).collect();
    order.sort_by(|&a, &b| numbers[b].total_cmp(&numbers[a]));
    order.truncate(count);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: Sizes = Sizes {
        count: 6,
        chosen: 2,
        shared: 0,
        inner: 1,
        first_dense: 0,
        groups: 1,
        chosen_groups: 1,
        scale: 2.0,
        normalize: true,
    };

    fn logit(score: f32) -> f32 {
        (score / (1.0 - score)).ln()
    }

    #[track_caller]
    fn check(sizes: Sizes, scores: [f32; 6], correction: [f32; 6], want: &[(usize, f32)]) {
        let got = route(&scores.map(logit), &correction, &sizes);
        assert_eq!(got.len(), want.len());
        for (got, want) in got.iter().zip(want) {
            assert_eq!(got.0, want.0);
            assert!((got.1 - want.1).abs() < 1e-5, "{got:?}, not {want:?}");
        }
    }

    #[test]
    fn the_best_scores_are_chosen_and_brought_to_the_scale() {
        let scores = [0.1, 0.6, 0.3, 0.2, 0.2, 0.1];
        let third = 2.0 / 3.0;
        check(SIZES, scores, [0.0; 6], &[(1, 2.0 * third), (2, third)]);
        let plain = Sizes {
            normalize: false,
            ..SIZES
        };
        check(plain, scores, [0.0; 6], &[(1, 1.2), (2, 0.6)]);
    }

    #[test]
    fn the_correction_chooses_but_does_not_weigh() {
        let scores = [0.1, 0.6, 0.3, 0.2, 0.2, 0.2];
        let correction = [0.0, 0.0, 0.0, 0.0, 0.0, 1.0];
        check(SIZES, scores, correction, &[(5, 0.5), (1, 1.5)]);
    }

    #[test]
    fn only_the_best_groups_are_open() {
        let grouped = Sizes {
            groups: 3,
            chosen_groups: 1,
            ..SIZES
        };
        // The best expert is in the first group, the best two together in the last.
        let scores = [0.9, 0.1, 0.3, 0.3, 0.6, 0.6];
        check(grouped, scores, [0.0; 6], &[(4, 1.0), (5, 1.0)]);
    }
}
