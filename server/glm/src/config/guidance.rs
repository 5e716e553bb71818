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
const THRESHOLD: &str = "threshold";

/// How the answers of a model are to be used.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Guidance {
    /// How much what the text says elsewhere counts beside the model; without it, nothing.
    pub recall: Option<RecallWeights>,
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
        let needed = |key, least, most| {
            within(key, least, most)?
                .ok_or_else(|| fields.bad(key, format!("is missing beside infill.{DISCOUNT}")))
        };
        let recall = match discount {
            Some(discount) => Some(RecallWeights {
                discount,
                strength: needed(STRENGTH, 1e-3, 1e6)?,
                decline: needed(DECLINE, -1.0, 10.0)?,
            }),
            None => None,
        };
        let threshold = within(THRESHOLD, 0.0, 1.0)?;
        Ok(Guidance { recall, threshold })
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
        let threshold = self.threshold.map(|threshold| (THRESHOLD, threshold));
        recall
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
        for recall in [None, Some(recall)] {
            for threshold in [None, Some(0.5)] {
                let guidance = Guidance { recall, threshold };
                assert_eq!(read(guidance.pairs()).unwrap(), guidance);
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
        ] {
            let error = read(floats(pairs)).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
