//! A mixture of experts: a router sends each token to a few feed-forwards, and everyone's go to one more.
//!
//! Takes hidden states (T, width), gives the weighted sum of the chosen experts plus the shared one. The routing is
//! that of transformers' `glm4_moe`: scores are logistic, a learned correction takes part in choosing but not in
//! weighing, and the choice may be limited to the groups with the best two experts.

use super::{
    linear::Products,
    mlp::{Inner, Mlp},
};
use crate::{
    Config, Error, Experts as Sizes,
    checkpoint::Checkpoint,
    kernels::{FloatMatrix, Rows, cpu},
    workspace::room,
};

/// The experts of one layer.
pub(crate) struct Experts {
    /// (experts, width), in f32 as the makers compute it.
    router: FloatMatrix,
    /// Added to the scores for choosing.
    correction: Vec<f32>,
    routed: Vec<Mlp>,
    shared: Option<Mlp>,
    sizes: Sizes,
}

/// Room for the choice of experts and for the tokens of one.
#[derive(Debug, Default)]
pub(crate) struct Routing {
    logits: Vec<f32>,
    scores: Vec<f32>,
    choice: Vec<f32>,
    groups: Vec<f32>,
    order: Vec<usize>,
    sent: Vec<Sent>,
    tokens: Vec<f32>,
    out: Vec<f32>,
}

/// A token that goes to an expert, with the weight of what the expert makes of it.
#[derive(Debug, Clone, Copy)]
struct Sent {
    expert: usize,
    token: usize,
    weight: f32,
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
            Ok::<_, Error>(Mlp::expert(up, down, inner, width, activation))
        });
        let bias = name.replace("ffn", "exp_probs_b.bias");
        let correction = if checkpoint.has(&bias) {
            checkpoint.vector(&bias, count)?
        } else {
            vec![0.0; count]
        };
        Ok(Experts {
            router: FloatMatrix::new(
                checkpoint.table(&weight("gate_inp"), count, width)?,
                count,
                width,
            ),
            correction,
            routed: routed
                .map(|(up, down)| Mlp::expert(up, down, inner, width, activation))
                .collect(),
            shared: shared.transpose()?,
            sizes,
        })
    }

    /// out ← the sum of the chosen experts' outputs, each by its weight, and the shared expert's.
    pub(crate) fn forward(
        &self,
        x: Rows,
        out: &mut [f32],
        routing: &mut Routing,
        inner: &mut Inner,
        products: &mut Products,
        pool: &cpu::Pool,
    ) -> Result<(), Error> {
        let (width, count) = (x.width(), self.sizes.count);
        let logits = room(&mut routing.logits, x.count() * count);
        cpu::matmul_unpacked(x, &self.router, &[], logits, pool);
        routing.sent.clear();
        for token in 0..x.count() {
            routing.route(token, &self.correction, &self.sizes);
        }
        match &self.shared {
            Some(shared) => shared.forward(x, out, inner, products, pool)?,
            None => out.fill(0.0),
        }
        let Routing {
            sent,
            tokens,
            out: made,
            ..
        } = routing;
        // Each token's sum is formed expert by expert, whatever other tokens there are.
        sent.sort_unstable_by_key(|sent| (sent.expert, sent.token));
        for sent in sent.chunk_by(|a, b| a.expert == b.expert) {
            let tokens = room(tokens, sent.len() * width);
            for (sent, row) in sent.iter().zip(tokens.chunks_exact_mut(width)) {
                row.copy_from_slice(x.row(sent.token));
            }
            let made = room(made, sent.len() * width);
            let expert = &self.routed[sent[0].expert];
            expert.forward(Rows::new(tokens, width), made, inner, products, pool)?;
            for (sent, made) in sent.iter().zip(made.chunks_exact(width)) {
                let out = &mut out[sent.token * width..][..width];
                let numbers = out.iter_mut().zip(made);
                numbers.for_each(|(out, made)| *out += sent.weight * made);
            }
        }
        Ok(())
    }
}

impl Routing {
    /// Appends the experts that a token goes to, with their weights.
    fn route(&mut self, token: usize, correction: &[f32], sizes: &Sizes) {
        let Routing {
            logits,
            scores,
            choice,
            groups,
            order,
            sent,
            ..
        } = self;
        let logits = &logits[token * sizes.count..][..sizes.count];
        scores.clear();
        scores.extend(logits.iter().map(|x| 1.0 / (1.0 + (-x).exp())));
        choice.clear();
        choice.extend(scores.iter().zip(correction).map(|(s, c)| s + c));
        let a_group = sizes.count / sizes.groups;
        if sizes.chosen_groups < sizes.groups {
            groups.clear();
            for group in choice.chunks_exact(a_group) {
                let best = best(group, 2, order).iter();
                groups.push(best.map(|&expert| group[expert]).sum());
            }
            let open = best(groups, sizes.chosen_groups, order);
            for (group, choice) in choice.chunks_exact_mut(a_group).enumerate() {
                if !open.contains(&group) {
                    choice.fill(f32::NEG_INFINITY);
                }
            }
        }
        let chosen = best(choice, sizes.chosen, order);
        let total: f32 = chosen.iter().map(|&expert| scores[expert]).sum();
        let unit = if sizes.normalize {
            sizes.scale / (total + 1e-20)
        } else {
            sizes.scale
        };
        sent.extend(chosen.iter().map(|&expert| Sent {
            expert,
            token,
            weight: scores[expert] * unit,
        }));
    }
}

/// The places of the `count` greatest numbers, the greatest first; of equals the first comes first.
fn best<'a>(numbers: &[f32], count: usize, order: &'a mut Vec<usize>) -> &'a [usize] {
    order.clear();
    order.extend(0..numbers.len());
    order.sort_unstable_by(|&a, &b| numbers[b].total_cmp(&numbers[a]).then(a.cmp(&b)));
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
        let mut routing = Routing {
            logits: scores.map(logit).to_vec(),
            ..Routing::default()
        };
        routing.route(0, &correction, &sizes);
        let got = routing.sent;
        assert_eq!(got.len(), want.len());
        for (got, want) in got.iter().zip(want) {
            assert_eq!((got.expert, got.token), (want.0, 0));
            assert!((got.weight - want.1).abs() < 1e-5, "{got:?}, not {want:?}");
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
