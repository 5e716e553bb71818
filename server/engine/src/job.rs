//! What is asked of the engine, and what comes back.

use crate::{Recall, Sampling};
use std::{sync::Arc, time::Duration};

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
    /// Index of the first mask token in Part A, if it has one.
    pub mask_at: Option<usize>,
    /// How urgent it is.
    pub class: Class,
    /// Tokens that end the answer; they are not part of it.
    pub stops: Vec<u32>,
    /// Most tokens to generate; 0 only runs the prompt, for the jobs that begin with it.
    pub max_tokens: usize,
    /// How its tokens are chosen.
    pub sampling: Sampling,
    /// The document it is for: a newer keystroke job of the same document supersedes an older one.
    pub document: u64,
    /// Runs of tokens that the answer may repeat, besides the prompt itself: more of the same file, a suggestion that
    /// was turned down. They change how fast the answer comes and nothing else.
    pub drafts: Vec<Arc<[u32]>>,
    /// The text around the blank, if what it says elsewhere is to count beside what the model says.
    pub recall: Option<Recall>,
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
    /// The user is typing; only the newest one of a document counts. It supersedes older keystroke and look-ahead jobs
    /// of its document.
    Keystroke,
    /// The user asked for it and waits. It supersedes look-ahead jobs of its document, and nothing supersedes it.
    Invoked,
    /// What an editor may want next and nobody waits for yet: one after the other, while no keystroke or invoked job
    /// is there. At most [`Class::LONGEST_AHEAD`] of a document wait; then the oldest is superseded. A keystroke or
    /// invoked job supersedes those that generate and leaves those that only read a prompt.
    Ahead,
    /// Nobody waits; several side by side, while nothing else is there.
    Batch,
}

impl Class {
    /// Most look-ahead jobs of one document that wait for their turn.
    pub const LONGEST_AHEAD: usize = 4;

    pub(crate) fn rank(self) -> Rank {
        match self {
            Class::Keystroke | Class::Invoked => Rank::Interactive,
            Class::Ahead => Rank::Ahead,
            Class::Batch => Rank::Batch,
        }
    }
}

/// What goes first: the lesser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    Interactive,
    Ahead,
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
    /// Tokens of the prompt whose keys and values were there from an earlier job.
    pub reused: usize,
    /// Tokens that were chosen from the model's logits, a stop token included.
    pub decoded: usize,
    /// Tokens that an earlier job had chosen already, a stop token included; they took no step.
    pub replayed: usize,
    /// Tokens that were run on trial, because the same run of tokens had gone on so before.
    pub drafted: usize,
    /// Those of them that the model agreed with.
    pub accepted: usize,
    /// From `submit` to the job's first turn.
    pub queued: Duration,
    /// All passes up to the end of the prompt.
    pub prefill: Duration,
    /// All passes after it, and the watch.
    pub decode: Duration,
    /// The log-probability (natural logarithm) of each token chosen, now or earlier, a stop token included.
    pub logprobs: Vec<f32>,
    /// Beside each of them, that of the best other token that was allowed; minus infinity if there was none.
    pub runners_up: Vec<f32>,
}

impl Answer {
    /// An answer without tokens.
    pub(crate) fn empty(ended: Ended, queued: Duration) -> Answer {
        Answer {
            ids: Vec::new(),
            ended,
            prefilled: 0,
            reused: 0,
            decoded: 0,
            replayed: 0,
            drafted: 0,
            accepted: 0,
            queued,
            prefill: Duration::ZERO,
            decode: Duration::ZERO,
            logprobs: Vec::new(),
            runners_up: Vec::new(),
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
    /// The watch allows no token.
    Stuck,
    /// The job was cancelled.
    Cancelled,
    /// A newer job of the same document took its place.
    Superseded,
    /// The model could not run it; the reason, for a log.
    Failed(String),
}
