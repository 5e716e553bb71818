//! What requests of all kinds may wish for an answer: how it is drawn, how long it may be, what ends it.

use engine::Sampling;
use serde::Deserialize;

use crate::http::fields::Fields;
use crate::http::refusal::Refusal;

/// Most answers to a request.
pub const MOST_ANSWERS: usize = 64;

/// How answers are to be.
#[derive(Debug, Clone)]
pub struct Wishes {
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// What ends an answer; it is not part of it.
    pub stops: Vec<String>,
    /// Whether it is to come piece by piece.
    pub stream: bool,
}

impl Wishes {
    /// Reads them; `temperature` is what holds where the request says nothing.
    ///
    /// # Errors
    /// If one cannot be fulfilled.
    pub fn read(fields: &mut Fields, temperature: f32) -> Result<Wishes, Refusal> {
        let temperature = fields.take("temperature")?.unwrap_or(temperature);
        if !(0.0..=10.0).contains(&temperature) {
            return Err(Refusal::bad_key("temperature", "must be between 0 and 10"));
        }
        let top_p = fields.take("top_p")?.unwrap_or(1.0);
        if !(top_p > 0.0 && top_p <= 1.0) {
            return Err(Refusal::bad_key("top_p", "must be above 0 and at most 1"));
        }
        let stops = fields.take_texts("stop")?.unwrap_or_default();
        if stops.iter().any(String::is_empty) {
            return Err(Refusal::bad_key("stop", "may not hold an empty string"));
        }
        Ok(Wishes {
            sampling: Sampling {
                temperature,
                top_p,
                seed: seed(fields.take("seed")?),
            },
            stops,
            stream: fields.take("stream")?.unwrap_or(false),
        })
    }

    /// How the answer at this place is drawn, of several to one prompt.
    pub fn sampling_of(&self, index: usize) -> Sampling {
        Sampling {
            seed: self.sampling.seed.wrapping_add(index as u64),
            ..self.sampling
        }
    }
}

/// The seed that was asked for; none and -1 leave it to chance.
fn seed(asked: Option<i64>) -> u64 {
    match asked {
        None | Some(-1) => fastrand::u64(..),
        Some(seed) => seed.cast_unsigned(),
    }
}

/// How many answers to each prompt.
///
/// # Errors
/// If that is none, or too many for so many prompts.
pub fn count(fields: &mut Fields, prompts: usize) -> Result<usize, Refusal> {
    let count: usize = fields.take("n")?.unwrap_or(1);
    if count == 0 || count.saturating_mul(prompts) > MOST_ANSWERS {
        return Err(Refusal::bad_key(
            "n",
            format!("must be from 1, with at most {MOST_ANSWERS} answers to a request"),
        ));
    }
    Ok(count)
}

/// Most tokens of an answer, by the first of these keys that is there.
///
/// # Errors
/// If that is no number from 1.
pub fn most_tokens(fields: &mut Fields, keys: &[&str]) -> Result<Option<usize>, Refusal> {
    for &key in keys {
        match fields.take(key)? {
            Some(0) => return Err(Refusal::bad_key(key, "must be a number from 1")),
            Some(count) => return Ok(Some(count)),
            None => {}
        }
    }
    Ok(None)
}

/// Whether the tokens of a stream are to be counted at its end.
///
/// # Errors
/// If the key says something else.
pub fn counts_tokens(fields: &mut Fields) -> Result<bool, Refusal> {
    #[derive(Default, Deserialize)]
    struct Options {
        #[serde(default)]
        include_usage: bool,
    }
    let options: Option<Options> = fields.take("stream_options")?;
    Ok(options.unwrap_or_default().include_usage)
}
