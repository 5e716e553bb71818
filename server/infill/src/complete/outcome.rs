//! What comes of a completion: something to show or why nothing, and what it took.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use finish::Item;
use serde::{Deserialize, Serialize};
use text::Snapshot;
use tokio::sync::oneshot::error::RecvError;
use tokio::task::JoinError;

/// Bytes of the largest document that is completed. Larger ones are data, not code that a person
/// writes, and parsing them costs more than a completion is worth.
pub const LARGEST_DOCUMENT: usize = 5 << 20;

/// Bytes of the longest line that is completed. A longer one was written by a program, and every
/// room after this one reads the cursor's line as a whole.
pub const LONGEST_LINE: usize = 10_000;

/// What came of it.
pub struct Outcome {
    /// What to show, or why nothing.
    pub shown: Result<Shown, Why>,
    /// What it took.
    pub record: Record,
    /// What was said to the model, and what it said.
    pub exchange: Exchange,
}

/// What was said to the model, and what it said.
#[derive(Clone, Debug, Default)]
pub struct Exchange {
    /// The tokens it went on from; none if it was not asked.
    pub prompt: Option<Vec<u32>>,
    /// Its answer behind what was typed, or the stored one; none if it did not come to one.
    pub answer: Option<String>,
    /// How likely the model found the answer's first line, 0 to 1; none if it did not come to one.
    pub score: Option<f32>,
}

/// Something to show.
#[derive(Debug)]
pub struct Shown {
    /// The text and where it goes.
    pub item: Item,
    /// The text that its range counts in: the newest one.
    pub snapshot: Snapshot,
}

/// What it took to answer, per row of the path.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Record {
    /// The mask token that stood for the blank, if it came to choosing one.
    pub mask: Option<String>,
    /// Milliseconds a row took, by the row's verb, and `total`; `parse` is a part of `situate`. Rows that did not run
    /// are missing.
    pub timings_ms: BTreeMap<String, f64>,
    /// `kept` if the question was asked before and only what was typed since is new, `new` if not;
    /// followed by `near` if it is about a small window. Empty if no question was asked.
    pub anchor: String,
    /// Tokens typed since the question was asked first.
    pub head_tokens: usize,
    /// Tokens that the model read.
    pub tokens_prefilled: usize,
    /// Tokens that it had read before.
    pub tokens_reused: usize,
    /// Tokens that the model chose in steps of its own.
    pub tokens_decoded: usize,
    /// Tokens that it had chosen before and that are still right.
    pub tokens_replayed: usize,
    /// Tokens, of those decoded, that were looked up and only verified.
    pub tokens_looked_up: usize,
    /// `exact` or `adopted` if a stored answer served, `miss` if the model was asked, `none` if
    /// it did not come to either.
    pub cache: String,
}

/// Why there is nothing to show. None of these is an error to the user; `Failed` and `Broken` are
/// errors to us.
#[derive(Debug)]
pub enum Why {
    /// The model is not loaded, or never will be.
    NotReady,
    /// The document is larger than [`LARGEST_DOCUMENT`].
    TooLarge,
    /// The cursor's line is longer than [`LONGEST_LINE`].
    LongLine,
    /// No completion is sensible at this cursor.
    Situation(prompt::Why),
    /// The answer is nothing to show.
    Answer(finish::Why),
    /// The same question got no usable answer before.
    Known,
    /// The model is less sure of it than its threshold, and nobody asked for it.
    Unsure,
    /// The text has changed, and not by typing what the answer says.
    Moved,
    /// The answer is several lines, and the settings want one.
    BeyondLine,
    /// No token of the model goes on from what was typed.
    Stuck,
    /// Something newer took the engine's turn.
    Superseded,
    /// The engine was told to stop.
    Cancelled,
    /// The model could not be run.
    Failed(String),
    /// A step of the path panicked or was shut down.
    Broken(JoinError),
}

impl Record {
    /// How long the engine took, if it was asked.
    pub fn engine_time(&self) -> Option<Duration> {
        let times = ["queue", "prefill", "decode"].map(|row| self.timings_ms.get(row));
        let sum: f64 = times.iter().flatten().copied().sum();
        times[0].map(|_| Duration::from_secs_f64(sum / 1000.0))
    }

    /// How long a row took; no time if it did not run.
    pub(super) fn time(&self, row: &str) -> Duration {
        let milliseconds = self.timings_ms.get(row).copied().unwrap_or_default();
        Duration::from_secs_f64(milliseconds / 1000.0)
    }

    /// Notes how long a row took, once more if it ran before.
    pub(super) fn took(&mut self, row: &str, time: Duration) {
        // Microseconds are as fine as any of these means something.
        let milliseconds = time.as_micros() as f64 / 1000.0;
        *self.timings_ms.entry(row.to_owned()).or_default() += milliseconds;
    }
}

impl Default for Record {
    fn default() -> Record {
        Record {
            mask: None,
            timings_ms: BTreeMap::new(),
            anchor: String::new(),
            head_tokens: 0,
            tokens_prefilled: 0,
            tokens_reused: 0,
            tokens_decoded: 0,
            tokens_replayed: 0,
            tokens_looked_up: 0,
            cache: "none".to_owned(),
        }
    }
}

impl From<RecvError> for Why {
    fn from(_: RecvError) -> Why {
        Why::Failed("the engine has stopped".to_owned())
    }
}

impl From<JoinError> for Why {
    fn from(error: JoinError) -> Why {
        Why::Broken(error)
    }
}

impl Display for Why {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Why::NotReady => write!(f, "the model is not ready"),
            Why::TooLarge => {
                write!(
                    f,
                    "the document is larger than {} MiB",
                    LARGEST_DOCUMENT >> 20
                )
            }
            Why::LongLine => write!(f, "the line is longer than {LONGEST_LINE} bytes"),
            Why::Situation(why) => write!(f, "{why}"),
            Why::Answer(why) => write!(f, "{why}"),
            Why::Known => write!(f, "the model has no usable answer for this place"),
            Why::Unsure => write!(f, "the model is not sure enough of its answer"),
            Why::Moved => write!(f, "the text has changed meanwhile"),
            Why::BeyondLine => write!(f, "the answer is more than one line"),
            Why::Stuck => write!(f, "the model has no token that begins as what was typed"),
            Why::Superseded => write!(f, "a newer request took over"),
            Why::Cancelled => write!(f, "the request was cancelled"),
            Why::Failed(why) => write!(f, "the model could not be run: {why}"),
            Why::Broken(error) => write!(f, "a step of the completion broke: {error}"),
        }
    }
}
