//! How the answers of a model are to be used, as far as its own file says so.
//!
//! Takes the metadata of a GGUF file, keys `infill.…`; what it measured on held-out text is the trainer's business.

use super::{fields::Fields, own::Pair};
use crate::{
    Error,
    checkpoint::{Checkpoint, Description},
};

const DISCOUNT: &str = "recall.discount";
const STRENGTH: &str = "recall.strength";
const DECLINE: &str = "recall.decline";
const LINES: [&str; 9] = [
    "recall.lines.typed",
    "recall.lines.typed.length",
    "recall.lines.typed.whole",
    "recall.lines.typed.earlier",
    "recall.lines.typed.later",
    "recall.lines.untyped",
    "recall.lines.untyped.earlier",
    "recall.lines.untyped.later",
    "recall.lines.followed",
];
const THRESHOLD: &str = "threshold";

/// The most that a weight of a line may be: their sums are far from what an exponential can give.
const WORTH: f32 = 10.0;

/// How the answers of a model are to be used.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Guidance {
    /// How much what the text says elsewhere counts beside the model; without it, nothing.
    pub recall: Option<RecallWeights>,
    /// How much lines like the one at hand count beside both; without it, nothing.
    pub lines: Option<LineWeights>,
    /// The least probability of an answer's first line, 0 to 1, at which it is shown without being asked for.
    pub threshold: Option<f32>,
}

/// How much counts in a text weigh beside a model's probabilities: the parameters of Pitman-Yor processes, those of the
/// order `n` with a strength of `strength * exp(-decline * n)`, the first order being 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RecallWeights {
    /// What is taken off each count, 0 to 1.
    pub discount: f32,
    /// How many counts the model is worth, more than 0.
    pub strength: f32,
    /// How fast that falls with the tokens that are the same.
    pub decline: f32,
}

/// How much a line that is like the one at hand counts for what comes next, beside a model that counts 1. All are
/// logarithms; those that belong to a line are added up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LineWeights {
    /// For every line where something is typed before the cursor, and occurs in it.
    pub typed: f32,
    /// For the bytes that are the same before the cursor, one more than that to the base 2.
    pub length: f32,
    /// If that is all that is typed, and all that the line begins with.
    pub whole: f32,
    /// For how alike the lines above both and the lines below both are, each 0 to 1.
    pub typed_around: [f32; 2],
    /// For every line where nothing is typed yet.
    pub untyped: f32,
    /// As `typed_around`, where nothing is typed yet.
    pub untyped_around: [f32; 2],
    /// For a line that has been followed for a token or more.
    pub followed: f32,
}

impl LineWeights {
    /// In the order of [`LINES`].
    fn new(numbers: [f32; 9]) -> LineWeights {
        let [
            typed,
            length,
            whole,
            typed_earlier,
            typed_later,
            untyped,
            untyped_earlier,
            untyped_later,
            followed,
        ] = numbers;
        LineWeights {
            typed,
            length,
            whole,
            typed_around: [typed_earlier, typed_later],
            untyped,
            untyped_around: [untyped_earlier, untyped_later],
            followed,
        }
    }

    /// In the order of [`LINES`].
    fn numbers(&self) -> [f32; 9] {
        let ([typed_earlier, typed_later], [untyped_earlier, untyped_later]) =
            (self.typed_around, self.untyped_around);
        [
            self.typed,
            self.length,
            self.whole,
            typed_earlier,
            typed_later,
            self.untyped,
            untyped_earlier,
            untyped_later,
            self.followed,
        ]
    }
}

impl Guidance {
    /// What a file says; nothing if it is no GGUF file.
    ///
    /// # Errors
    /// If a number is missing or out of its range.
    pub(crate) fn read(checkpoint: &Checkpoint) -> Result<Guidance, Error> {
        if !matches!(checkpoint.description(), Description::Gguf(_)) {
            return Ok(Guidance::default());
        }
        let fields = Fields::new(checkpoint, "infill.");
        let within = |key, least: f32, most: f32| match fields.float(key)? {
            Some(number) if !(least..=most).contains(&number) => {
                Err(fields.bad(key, format!("is not from {least} to {most}")))
            }
            number => Ok(number),
        };
        let discount = within(DISCOUNT, 0.0, 1.0)?;
        let needed = |beside: &str, key, least, most| {
            within(key, least, most)?
                .ok_or_else(|| fields.bad(key, format!("is missing beside infill.{beside}")))
        };
        let recall = match discount {
            Some(discount) => Some(RecallWeights {
                discount,
                strength: needed(DISCOUNT, STRENGTH, 1e-3, 1e6)?,
                decline: needed(DISCOUNT, DECLINE, -1.0, 10.0)?,
            }),
            None => None,
        };
        let lines = match within(LINES[0], -WORTH, WORTH)? {
            Some(_) => {
                let mut numbers = [0.0; LINES.len()];
                for (number, key) in numbers.iter_mut().zip(LINES) {
                    *number = needed(LINES[0], key, -WORTH, WORTH)?;
                }
                Some(LineWeights::new(numbers))
            }
            None => None,
        };
        let threshold = within(THRESHOLD, 0.0, 1.0)?;
        Ok(Guidance {
            recall,
            lines,
            threshold,
        })
    }

    /// The metadata that says the same.
    pub(crate) fn pairs(&self) -> Vec<(String, Pair)> {
        let recall = self.recall.iter().flat_map(|weights| {
            [
                (DISCOUNT, weights.discount),
                (STRENGTH, weights.strength),
                (DECLINE, weights.decline),
            ]
        });
        let lines = self
            .lines
            .iter()
            .flat_map(|weights| LINES.into_iter().zip(weights.numbers()));
        let threshold = self.threshold.map(|threshold| (THRESHOLD, threshold));
        recall
            .chain(lines)
            .chain(threshold)
            .map(|(key, number)| (format!("infill.{key}"), Pair::Float(f64::from(number))))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Source, Weights, checkpoint::header};

    fn read(pairs: Vec<(String, Pair)>) -> Result<Guidance, Error> {
        let kind = Pair::Text("glm".to_owned());
        let metadata = [vec![("general.architecture".to_owned(), kind)], pairs].concat();
        let file = Source::Static(header(&metadata, &[]).leak());
        file.read(Weights::F32, |checkpoint| Guidance::read(&checkpoint))
    }

    fn floats(pairs: &[(&str, f64)]) -> Vec<(String, Pair)> {
        let pairs = pairs.iter();
        pairs
            .map(|(key, number)| (format!("infill.{key}"), Pair::Float(*number)))
            .collect()
    }

    #[test]
    fn what_is_written_is_read() {
        let recall = RecallWeights {
            discount: 0.25,
            strength: 128.0,
            decline: 0.5,
        };
        let lines = LineWeights::new([-4.0, 1.0, 0.5, 1.5, 0.75, -6.0, 2.0, 4.0, 1.25]);
        for recall in [None, Some(recall)] {
            for lines in [None, Some(lines)] {
                for threshold in [None, Some(0.5)] {
                    let guidance = Guidance {
                        recall,
                        lines,
                        threshold,
                    };
                    assert_eq!(read(guidance.pairs()).unwrap(), guidance);
                }
            }
        }
    }

    #[test]
    fn a_bad_number_is_named() {
        for (pairs, expected) in [
            (
                &[(THRESHOLD, 1.5)][..],
                "`infill.threshold` is not from 0 to 1",
            ),
            (
                &[(DISCOUNT, -0.1)],
                "`infill.recall.discount` is not from 0 to 1",
            ),
            (&[(DISCOUNT, 0.5)], "`infill.recall.strength` is missing"),
            (
                &[(DISCOUNT, 0.5), (STRENGTH, 0.0), (DECLINE, 0.5)],
                "`infill.recall.strength` is not from",
            ),
            (
                &[(LINES[0], -4.0), (LINES[1], 1.0)],
                "`infill.recall.lines.typed.whole` is missing beside infill.recall.lines.typed",
            ),
            (
                &[(LINES[0], 11.0)],
                "`infill.recall.lines.typed` is not from -10 to 10",
            ),
        ] {
            let error = read(floats(pairs)).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
