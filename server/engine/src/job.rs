//! What is asked of the engine, and what comes back.

use std::time::Duration;

/// One sequence to continue.
#[derive(Debug, Clone)]
pub struct Job {
    /// The prompt: Part A, then the beginning of Part B.
    pub ids: Vec<u32>,
    /// Two positions a token.
    pub positions: [Vec<u32>; 2],
    /// How the positions of generated tokens go on from those of the last one.
    pub advance: Advance,
    /// Tokens of Part A, which see one another; 0 if every token sees only those before it.
    pub part_a: usize,
    /// How urgent it is.
    pub class: Class,
    /// Tokens that end the answer; they are not part of it.
    pub stops: Vec<u32>,
    /// Most tokens to generate.
    pub max_tokens: usize,
    /// The document it is for: a newer keystroke job of the same document supersedes an older one.
    pub document: u64,
}

/// How the two positions of a token follow from those of the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advance {
    /// Row 0 counts on, row 1 stays: text that goes on where it is.
    Place,
    /// Row 0 stays, row 1 counts on: an answer at the place of its blank (GLM, ChatGLM-6B).
    Span,
    /// Both rows stay: an answer at the place of its blank, in a model with one row (GLM-130B).
    Still,
}

impl Advance {
    /// The positions of the token that comes `count` tokens after one at `last`.
    pub(crate) fn after(self, [row_0, row_1]: [u32; 2], count: u32) -> [u32; 2] {
        match self {
            Advance::Place => [row_0.saturating_add(count), row_1],
            Advance::Span => [row_0, row_1.saturating_add(count)],
            Advance::Still => [row_0, row_1],
        }
    }
}

/// How urgent a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The user is typing; only the newest one of a document counts.
    Keystroke,
    /// The user asked for it and waits.
    Invoked,
    /// Nobody waits; it runs, step by step, when nothing else does.
    Batch,
}

/// What became of a job.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The tokens generated, without the stop token.
    pub ids: Vec<u32>,
    /// Why there are no more.
    pub ended: Ended,
    /// Tokens of the prompt that the model ran.
    pub prefilled: usize,
    /// Tokens that were chosen, a stop token included.
    pub decoded: usize,
    /// From `submit` to the first step.
    pub queued: Duration,
    /// The pass over the prompt.
    pub prefill: Duration,
    /// All passes after it, and the watch.
    pub decode: Duration,
    /// Mean log-probability (natural logarithm) of the tokens chosen; 0 if none was.
    pub logprob: f32,
}

impl Answer {
    /// An answer without tokens.
    pub(crate) fn empty(ended: Ended, queued: Duration) -> Answer {
        Answer {
            ids: Vec::new(),
            ended,
            prefilled: 0,
            decoded: 0,
            queued,
            prefill: Duration::ZERO,
            decode: Duration::ZERO,
            logprob: 0.0,
        }
    }
}

/// Why an answer has no more tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The model gave a stop token.
    Stop,
    /// The watch had enough.
    Watch,
    /// `max_tokens`, or the model's last position, was reached.
    Length,
    /// The job was cancelled.
    Cancelled,
    /// A newer keystroke in the same document took its place.
    Superseded,
    /// The model could not run it; the reason, for a log.
    Failed(String),
}
