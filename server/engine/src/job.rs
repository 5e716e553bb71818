//! What is asked of the engine, and what comes back.

use std::time::Duration;

/// One sequence to continue.
#[derive(Debug, Clone)]
pub struct Job {
    /// The prompt: Part A, then the beginning of Part B.
    pub ids: Vec<u32>,
    /// Two positions a token. A generated token keeps row 0 of the last one and counts row 1 on.
    pub positions: [Vec<u32>; 2],
    /// Tokens of Part A, which see one another.
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
