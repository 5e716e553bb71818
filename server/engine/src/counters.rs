//! What the engine has done since it started, counted on its thread and read from any.

use crate::{Answer, job::Rank};
use std::sync::atomic::{AtomicU64, Ordering};

/// What was done for all jobs that are over; passes are counted as they are made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// For keystrokes and invoked jobs.
    pub interactive: Totals,
    /// For all others.
    pub background: Totals,
    /// Layers of the model that were begun, of all passes.
    pub layers: u64,
    /// Bytes of the sequences that are kept and no job uses.
    pub kept_bytes: u64,
}

/// What was done for some jobs; the same numbers as in their [`Answer`]s, added up, and
/// what look-ahead and batch jobs ran before they gave their session to a more urgent job and began anew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Jobs that began: not those that were cancelled while they waited.
    pub jobs: u64,
    /// Tokens of prompts that the model ran.
    pub prefilled: u64,
    /// Tokens of prompts that were there from earlier jobs.
    pub reused: u64,
    /// Passes that chose a token, of one job or of several.
    pub steps: u64,
    /// Tokens chosen from logits.
    pub decoded: u64,
    /// Tokens that earlier jobs had chosen.
    pub replayed: u64,
    /// Tokens run on trial.
    pub drafted: u64,
    /// Those of them that the model agreed with.
    pub accepted: u64,
}

/// How much there is to do right now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// Jobs that have begun and are not over.
    pub running: usize,
    /// Jobs that wait for their turn.
    pub waiting: usize,
}

/// The counters while they count.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    interactive: Group,
    background: Group,
    layers: AtomicU64,
    kept_bytes: AtomicU64,
}

#[derive(Debug, Default)]
struct Group {
    jobs: AtomicU64,
    prefilled: AtomicU64,
    reused: AtomicU64,
    steps: AtomicU64,
    decoded: AtomicU64,
    replayed: AtomicU64,
    drafted: AtomicU64,
    accepted: AtomicU64,
}

impl Tally {
    /// A layer begins.
    pub(crate) fn layer(&self) {
        add(&self.layers, 1);
    }

    /// A pass has chosen tokens.
    pub(crate) fn step(&self, rank: Rank) {
        add(&self.group(rank).steps, 1);
    }

    /// A job that has to begin anew has run this much of its prompt.
    pub(crate) fn prefilled(&self, rank: Rank, tokens: usize) {
        add(&self.group(rank).prefilled, tokens as u64);
    }

    /// The store holds this much now.
    pub(crate) fn keep(&self, bytes: usize) {
        self.kept_bytes.store(bytes as u64, Ordering::Relaxed);
    }

    /// A job is over.
    pub(crate) fn job(&self, rank: Rank, answer: &Answer) {
        let group = self.group(rank);
        for (total, count) in [
            (&group.jobs, 1),
            (&group.prefilled, answer.prefilled),
            (&group.reused, answer.reused),
            (&group.decoded, answer.decoded),
            (&group.replayed, answer.replayed),
            (&group.drafted, answer.drafted),
            (&group.accepted, answer.accepted),
        ] {
            add(total, count as u64);
        }
    }

    /// The numbers now.
    pub(crate) fn read(&self) -> Counters {
        Counters {
            interactive: self.interactive.read(),
            background: self.background.read(),
            layers: get(&self.layers),
            kept_bytes: get(&self.kept_bytes),
        }
    }

    fn group(&self, rank: Rank) -> &Group {
        match rank {
            Rank::Interactive => &self.interactive,
            Rank::Ahead | Rank::Batch => &self.background,
        }
    }
}

impl Group {
    fn read(&self) -> Totals {
        Totals {
            jobs: get(&self.jobs),
            prefilled: get(&self.prefilled),
            reused: get(&self.reused),
            steps: get(&self.steps),
            decoded: get(&self.decoded),
            replayed: get(&self.replayed),
            drafted: get(&self.drafted),
            accepted: get(&self.accepted),
        }
    }
}

/// Only the engine's thread adds, so that the numbers need no order among one another.
fn add(total: &AtomicU64, count: u64) {
    total.fetch_add(count, Ordering::Relaxed);
}

fn get(total: &AtomicU64) -> u64 {
    total.load(Ordering::Relaxed)
}
