//! What a text says elsewhere, as a share of what comes next: a small model sees a window, its file may be longer.
//!
//! Takes the tokens on both sides of a blank and one row of logits, and mixes into it how the last tokens went on
//! wherever else they stand. Counts behind one token are mixed into the model's probabilities, counts behind two into
//! that, and so on: a Pitman-Yor process of each order has the one below it as its base, and the model is the base of
//! the first. (Teh 2006, "A Hierarchical Bayesian Language Model based on Pitman-Yor Processes", with one table a
//! kind; that a text's own words are worth so much is Kuhn and De Mori's, 1990.) Beside the outcome stand whole
//! [`Line`]s that the answer may be a copy of, each with a weight of its own as long as the answer follows it: a pointer
//! beside a generator. (As in See et al. 2017, "Get To The Point".)

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use glm::{Logits, RecallWeights as Weights};

/// Most tokens that are compared before a place.
const ORDERS: usize = 12;

/// A text with a blank in it, for a job that answers at the blank.
#[derive(Debug, Clone)]
pub struct Recall {
    before: Arc<[u32]>,
    after: Arc<[u32]>,
    begun: Vec<u32>,
    ends: Option<(Arc<[u32]>, u32)>,
    weights: Weights,
    lines: Vec<Line>,
    followed: f32,
    print: u64,
}

/// A line that an answer may be a copy of.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Its tokens from the place on where the answer begins.
    pub ids: Vec<u32>,
    /// How much it counts beside the model, which counts 1, as a logarithm.
    pub weight: f32,
}

impl Recall {
    /// The text before a blank and behind it. `begun` is what the job's prompt has of the answer already. `ends` are,
    /// sorted, the tokens that an answer does not go beyond, and the stop token that it has in their stead.
    pub fn new(
        [before, after]: [Arc<[u32]>; 2],
        begun: &[u32],
        ends: Option<(Arc<[u32]>, u32)>,
        weights: Weights,
    ) -> Recall {
        let mut hasher = DefaultHasher::new();
        (&before, &after, &ends).hash(&mut hasher);
        Recall {
            before,
            after,
            begun: begun.to_owned(),
            ends,
            weights,
            lines: Vec::new(),
            followed: 0.0,
            print: hasher.finish(),
        }
    }

    /// The same with lines that the answer may be a copy of. `followed` is added to the weight of one that has been
    /// followed for a token or more.
    #[must_use]
    pub fn copying(mut self, lines: Vec<Line>, followed: f32) -> Recall {
        (self.lines, self.followed) = (lines, followed);
        self
    }

    /// The same number for the same text. What was begun is left out, for the prompt has it; and so are the lines, which
    /// are those of this text: they change as one types, and what was said stands for who types along it.
    pub(crate) fn print(&self) -> u64 {
        self.print
    }

    /// Mixes into `row`, the model's logits for the token after `answer`, what the text says. A softmax over it gives
    /// the mixed probabilities, as one did the model's before.
    pub(crate) fn blend(&self, answer: &[u32], row: &mut [f32]) {
        let found = self.look_up(answer, row.len());
        let copied = self.copied(answer, row.len());
        let Some(&first) = found.keys().chain(copied.keys()).next() else {
            return;
        };
        let logits = Logits {
            rows: 1,
            vocab: row.len(),
            values: row,
        };
        // By how much a logit is above its log-probability: the whole row is summed once.
        let above = row[first as usize] - logits.log_probability(0, first);
        // Ids with their probability, as it goes from order to order.
        let base = |&id: &u32| (id, (row[id as usize] - above).exp());
        let mut mixed: BTreeMap<_, _> = found.keys().chain(copied.keys()).map(base).collect();
        // What is left of the probability of tokens that occur nowhere.
        let mut others = 1.0;
        for order in 0..ORDERS {
            let count = |id: &u32| found.get(id).map_or(0.0, |counts| counts[order] as f32);
            let kinds = found.keys().filter(|id| count(id) > 0.0).count() as f32;
            let total: f32 = found.keys().map(count).sum();
            if kinds == 0.0 {
                break;
            }
            let Weights {
                discount,
                strength,
                decline,
            } = self.weights;
            let strength = strength * (-decline * order as f32).exp();
            let kept = (strength + discount * kinds) / (strength + total);
            for (id, probability) in &mut mixed {
                *probability *= kept;
                *probability += (count(id) - discount).max(0.0) / (strength + total);
            }
            others *= kept;
        }
        for (id, weight) in copied {
            *mixed.entry(id).or_default() += weight;
        }
        for (id, probability) in mixed {
            row[id as usize] = (probability / others).ln() + above;
        }
    }

    /// What the lines that the answer has followed so far have next, each with the sum of their weights.
    fn copied(&self, answer: &[u32], vocab: usize) -> BTreeMap<u32, f32> {
        let mut copied = BTreeMap::new();
        for line in &self.lines {
            let Some(rest) = line.ids.strip_prefix(answer) else {
                continue;
            };
            let end = self.ends.as_ref().map(|(_, stop)| *stop);
            let next = rest.first().copied().or(end);
            let Some(next) = next.filter(|&id| (id as usize) < vocab) else {
                continue;
            };
            let followed = if answer.is_empty() {
                0.0
            } else {
                self.followed
            };
            *copied.entry(next).or_default() += (line.weight + followed).exp();
        }
        copied
    }

    /// How often each token, its id below `vocab`, stands behind the last one, the last two and so on.
    fn look_up(&self, answer: &[u32], vocab: usize) -> BTreeMap<u32, [u32; ORDERS]> {
        let left = [&self.before, &self.begun[..], answer].concat();
        let mut found: BTreeMap<u32, [u32; ORDERS]> = BTreeMap::new();
        let Some(last) = left.last() else {
            return found;
        };
        for text in [&left[..], &self.after] {
            for (place, _) in text.iter().enumerate().filter(|(_, id)| *id == last) {
                let Some(next) = text.get(place + 1).map(|&id| self.or_end(id)) else {
                    continue;
                };
                if next as usize >= vocab {
                    continue;
                }
                let pairs = text[..=place].iter().rev().zip(left.iter().rev());
                let alike = pairs.take(ORDERS).take_while(|(one, other)| one == other);
                for count in &mut found.entry(next).or_default()[..alike.count()] {
                    *count += 1;
                }
            }
        }
        found
    }

    /// The stop token in the stead of one that an answer does not go beyond.
    fn or_end(&self, id: u32) -> u32 {
        match &self.ends {
            Some((ends, stop)) if ends.binary_search(&id).is_ok() => *stop,
            _ => id,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEIGHTS: Weights = Weights {
        discount: 0.25,
        strength: 3.0,
        decline: 0.5,
    };
    const VOCAB: usize = 10;

    fn recall(before: &[u32], after: &[u32], ends: Option<(&[u32], u32)>) -> Recall {
        let ends = ends.map(|(ids, stop)| (ids.into(), stop));
        Recall::new([before.into(), after.into()], &[], ends, WEIGHTS)
    }

    /// The probabilities after `answer`, of a model that gives token `i` a probability in proportion to `i + 1`.
    fn probabilities(recall: &Recall, answer: &[u32]) -> Vec<f32> {
        let mut row: Vec<f32> = (1..=VOCAB).map(|i| (i as f32).ln() + 2.0).collect();
        recall.blend(answer, &mut row);
        let sum: f32 = row.iter().map(|logit| logit.exp()).sum();
        row.iter().map(|logit| logit.exp() / sum).collect()
    }

    fn close(found: f32, expected: f32) {
        assert!((found - expected).abs() < 1e-5, "{found}, not {expected}");
    }

    #[test]
    fn a_token_that_stands_nowhere_else_changes_nothing() {
        for recall in [recall(&[], &[], None), recall(&[1, 2, 3], &[4], None)] {
            for (id, found) in probabilities(&recall, &[]).into_iter().enumerate() {
                close(found, (id + 1) as f32 / 55.0);
            }
        }
    }

    /// By hand: behind 1 come 2, 2 and 3; behind 5 and 1 comes 3.
    #[test]
    fn each_order_is_mixed_into_the_one_below() {
        let recall = recall(&[1, 2, 4, 1, 2, 5], &[5, 1, 3, 9], None);
        let found = probabilities(&recall, &[1]);
        let (first, second) = (3.0, 3.0 * (-0.5f32).exp());
        let one = |count: f32, base: f32| {
            (f32::max(count - 0.25, 0.0) + (first + 0.25 * 2.0) * base) / (first + 3.0)
        };
        let two = |count: f32, base: f32| {
            (f32::max(count - 0.25, 0.0) + (second + 0.25) * base) / (second + 1.0)
        };
        close(found[2], two(0.0, one(2.0, 3.0 / 55.0)));
        close(found[3], two(1.0, one(1.0, 4.0 / 55.0)));
        close(found[7], two(0.0, one(0.0, 8.0 / 55.0)));
    }

    #[test]
    fn the_answer_itself_is_looked_up_in_and_ends_with_its_line() {
        let text = recall(&[1, 2, 8], &[1, 2, 7], Some((&[7, 8], 0)));
        let found = probabilities(&text, &[1, 2]);
        let plain = probabilities(&recall(&[1, 2, 8], &[1, 2, 7], None), &[1, 2]);
        assert!(found[0] > 0.3 && found[7] < 8.0 / 55.0, "{found:?}");
        assert!(plain[0] < 1.0 / 55.0 && plain[7] > 8.0 / 55.0, "{plain:?}");
        let circle = probabilities(&text, &[3, 4, 3]);
        assert!(circle[4] > 5.0 / 55.0);
    }

    #[test]
    fn what_was_begun_is_a_part_of_the_answer() {
        let sides = || [Arc::from([1, 2, 3]), Arc::from([])];
        let begun = Recall::new(sides(), &[1, 2], None, WEIGHTS);
        let whole = Recall::new(sides(), &[], None, WEIGHTS);
        assert_eq!(probabilities(&begun, &[]), probabilities(&whole, &[1, 2]));
        assert_eq!(begun.print(), whole.print());
        let other = Recall::new([Arc::from([1]), Arc::from([2, 3])], &[], None, WEIGHTS);
        assert_ne!(other.print(), whole.print());
    }

    /// By hand: beside a model that counts 1, a line counts 1/2, and 2 once it is followed.
    #[test]
    fn a_line_counts_as_long_as_the_answer_follows_it() {
        let line = |ids: &[u32], weight: f32| Line {
            ids: ids.to_vec(),
            weight: weight.ln(),
        };
        let lines = vec![
            line(&[2, 4], 0.5),
            line(&[2, 5], 0.25),
            line(&[2, 900], 9.0),
        ];
        let text = recall(&[], &[], Some((&[7], 0))).copying(lines, 4.0f32.ln());
        let model = |id: usize| (id + 1) as f32 / 55.0;
        let first = probabilities(&text, &[]);
        close(first[2], (model(2) + 9.75) / 10.75);
        close(first[3], model(3) / 10.75);
        let second = probabilities(&text, &[2]);
        close(second[4], (model(4) + 2.0) / 4.0);
        close(second[5], (model(5) + 1.0) / 4.0);
        close(second[6], model(6) / 4.0);
        // Behind the line is the end of the answer, and elsewhere nothing.
        close(probabilities(&text, &[2, 4])[0], (model(0) + 2.0) / 3.0);
        close(probabilities(&text, &[3])[4], model(4));
    }

    #[test]
    fn tokens_that_the_model_lacks_do_not_count() {
        let found = probabilities(&recall(&[1, 900, 1, 4], &[], None), &[1]);
        assert!(found[4] > 5.0 / 55.0);
    }
}
