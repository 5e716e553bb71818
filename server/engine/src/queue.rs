//! The inbox: which job is next, and which ones are no longer wanted.
//!
//! Takes tickets from any thread, gives them to the engine's thread in order: first those that were cancelled or
//! superseded while they waited (they only need an answer), then keystrokes and invoked jobs, newest first, then
//! batch work in order. Runs nothing itself.

use crate::{Answer, Class, Job, Watch};
use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    time::Instant,
};

/// A hand on a submitted job.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicU8>);

const WANTED: u8 = 0;
const CANCELLED: u8 = 1;
const SUPERSEDED: u8 = 2;

impl Cancel {
    /// Ends the job within one layer of the model. Does nothing to a job that has its answer.
    pub fn cancel(&self) {
        self.set(CANCELLED);
    }

    /// Whether the job was cancelled or superseded.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire) != WANTED
    }

    /// Whether a newer job took its place.
    pub(crate) fn is_superseded(&self) -> bool {
        self.0.load(Ordering::Acquire) == SUPERSEDED
    }

    /// The first reason stays.
    fn set(&self, reason: u8) {
        // A failed exchange means that there is a reason already.
        let _ = self
            .0
            .compare_exchange(WANTED, reason, Ordering::AcqRel, Ordering::Acquire);
    }
}

/// A job with all that belongs to it.
pub(crate) struct Ticket {
    pub(crate) job: Job,
    pub(crate) watch: Box<dyn Watch>,
    pub(crate) done: Box<dyn FnOnce(Answer) + Send>,
    pub(crate) cancel: Cancel,
    pub(crate) submitted: Instant,
}

/// What the engine's thread may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accept {
    /// Any job.
    Any,
    /// Only what goes before batch work.
    Urgent,
    /// Only jobs that are no longer wanted.
    Unwanted,
}

/// The inbox of the engine's thread.
#[derive(Default)]
pub(crate) struct Inbox {
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Default)]
struct State {
    /// In order of arrival.
    waiting: Vec<Ticket>,
    /// The job that runs, and the batch job that it interrupted, if any.
    running: Vec<(u64, Class, Cancel)>,
    closed: bool,
}

impl Inbox {
    /// Puts a ticket in; a keystroke marks the older keystrokes of its document.
    pub(crate) fn put(&self, ticket: Ticket) {
        let mut state = self.lock();
        if ticket.job.class == Class::Keystroke {
            let waiting = state
                .waiting
                .iter()
                .map(|ticket| (ticket.job.document, ticket.job.class, &ticket.cancel));
            let running = state
                .running
                .iter()
                .map(|(document, class, cancel)| (*document, *class, cancel));
            for (document, class, cancel) in waiting.chain(running) {
                if document == ticket.job.document && class == Class::Keystroke {
                    cancel.set(SUPERSEDED);
                }
            }
        }
        state.waiting.push(ticket);
        drop(state);
        self.arrived.notify_one();
    }

    /// The next job that is accepted, if there is one; it counts as running from here to [`Inbox::finish`].
    pub(crate) fn take(&self, accept: Accept) -> Option<Ticket> {
        let mut state = self.lock();
        let index = state.next(accept)?;
        Some(state.start(index))
    }

    /// Waits for the next job. None once the inbox is closed and empty.
    pub(crate) fn wait(&self) -> Option<Ticket> {
        let mut state = self.lock();
        loop {
            if let Some(index) = state.next(Accept::Any) {
                return Some(state.start(index));
            }
            if state.closed {
                return None;
            }
            state = self
                .arrived
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The job taken last is over.
    pub(crate) fn finish(&self) {
        self.lock().running.pop();
    }

    /// Whether nothing runs and nothing waits.
    pub(crate) fn is_idle(&self) -> bool {
        let state = self.lock();
        state.running.is_empty() && state.waiting.is_empty()
    }

    /// Cancels all jobs; once they are answered, [`Inbox::wait`] ends.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state
            .waiting
            .iter()
            .map(|ticket| &ticket.cancel)
            .for_each(Cancel::cancel);
        state
            .running
            .iter()
            .for_each(|(_, _, cancel)| cancel.cancel());
        drop(state);
        self.arrived.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under this lock, so a poisoned one is as good as any.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn next(&self, accept: Accept) -> Option<usize> {
        let unwanted = self
            .waiting
            .iter()
            .position(|ticket| ticket.cancel.is_cancelled());
        let urgent = || {
            self.waiting
                .iter()
                .rposition(|ticket| ticket.job.class != Class::Batch)
        };
        match accept {
            Accept::Unwanted => unwanted,
            Accept::Urgent => unwanted.or_else(urgent),
            Accept::Any => unwanted
                .or_else(urgent)
                .or((!self.waiting.is_empty()).then_some(0)),
        }
    }

    fn start(&mut self, index: usize) -> Ticket {
        let ticket = self.waiting.remove(index);
        self.running
            .push((ticket.job.document, ticket.job.class, ticket.cancel.clone()));
        ticket
    }
}
