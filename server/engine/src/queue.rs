//! The inbox: which job is next, and which ones are no longer wanted.
//!
//! Takes tickets from any thread, gives them to the engine's thread: those that were cancelled or superseded while they
//! waited (they only need an answer), keystrokes and invoked jobs newest first, look-ahead and batch work in order.
//! Marks what a new job supersedes. Runs nothing itself.

use crate::{Answer, Class, Ended, Job, Load, Watch, job::Rank};
use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
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

    /// Why the job is no longer wanted, if so.
    pub(crate) fn reason(&self) -> Option<Ended> {
        match self.0.load(Ordering::Acquire) {
            WANTED => None,
            SUPERSEDED => Some(Ended::Superseded),
            _ => Some(Ended::Cancelled),
        }
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
    /// The order of arrival.
    pub(crate) number: u64,
    pub(crate) job: Job,
    pub(crate) watch: Box<dyn Watch>,
    pub(crate) done: Box<dyn FnOnce(Answer) + Send>,
    pub(crate) cancel: Cancel,
    pub(crate) submitted: Instant,
}

/// What waiting came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waited {
    /// There is a job.
    Job,
    /// The time is over.
    Nothing,
    /// There will be none any more.
    Closed,
}

/// The inbox of the engine's thread.
#[derive(Default)]
pub(crate) struct Inbox {
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Default)]
struct State {
    /// How many tickets there were.
    count: u64,
    /// In order of arrival.
    waiting: Vec<Ticket>,
    /// The jobs that were taken and are not over.
    running: Vec<Running>,
    closed: bool,
}

struct Running {
    number: u64,
    document: u64,
    class: Class,
    /// It generates nothing.
    only_reads: bool,
    cancel: Cancel,
}

impl Inbox {
    /// Puts a job in and marks those that it supersedes.
    pub(crate) fn put(
        &self,
        job: Job,
        watch: Box<dyn Watch>,
        done: Box<dyn FnOnce(Answer) + Send>,
    ) -> Cancel {
        let cancel = Cancel::default();
        let mut state = self.lock();
        state.supersede(job.class, job.document);
        let number = state.count;
        state.count += 1;
        state.waiting.push(Ticket {
            number,
            job,
            watch,
            done,
            cancel: cancel.clone(),
            submitted: Instant::now(),
        });
        drop(state);
        self.arrived.notify_one();
        cancel
    }

    /// The next wanted job of this rank that `is_open` lets in, which is asked while no other can come; it counts as
    /// running from here to [`Inbox::finish`].
    pub(crate) fn take(&self, rank: Rank, is_open: impl Fn(&Job) -> bool) -> Option<Ticket> {
        let mut state = self.lock();
        let is_next = |ticket: &Ticket| {
            ticket.job.class.rank() == rank && !ticket.cancel.is_cancelled() && is_open(&ticket.job)
        };
        let index = match rank {
            Rank::Interactive => state.waiting.iter().rposition(is_next),
            Rank::Ahead | Rank::Batch => state.waiting.iter().position(is_next),
        }?;
        Some(state.start(index))
    }

    /// A job that is no longer wanted; as [`Inbox::take`].
    pub(crate) fn take_unwanted(&self) -> Option<Ticket> {
        let mut state = self.lock();
        let mut waiting = state.waiting.iter();
        let index = waiting.position(|ticket| ticket.cancel.is_cancelled())?;
        Some(state.start(index))
    }

    /// Whether a wanted keystroke or invoked job waits of which `is_it` is true.
    pub(crate) fn has_interactive(&self, is_it: impl Fn(&Job) -> bool) -> bool {
        let state = self.lock();
        state.waiting.iter().any(|ticket| {
            ticket.job.class.rank() == Rank::Interactive
                && !ticket.cancel.is_cancelled()
                && is_it(&ticket.job)
        })
    }

    /// Waits until there is a job to take, or `most` is over.
    pub(crate) fn wait(&self, most: Option<Duration>) -> Waited {
        let is_empty = |state: &mut State| state.waiting.is_empty() && !state.closed;
        let state = self.lock();
        let state = match most {
            None => self.arrived.wait_while(state, is_empty),
            Some(most) => match self.arrived.wait_timeout_while(state, most, is_empty) {
                Ok((state, _)) => Ok(state),
                Err(poisoned) => Ok(poisoned.into_inner().0),
            },
        };
        let state = state.unwrap_or_else(PoisonError::into_inner);
        match (state.waiting.is_empty(), state.closed) {
            (false, _) => Waited::Job,
            (true, true) => Waited::Closed,
            (true, false) => Waited::Nothing,
        }
    }

    /// A job that was taken waits again, in its old place.
    pub(crate) fn put_back(&self, ticket: Ticket) {
        let mut state = self.lock();
        state
            .running
            .retain(|running| running.number != ticket.number);
        let place = state
            .waiting
            .partition_point(|other| other.number < ticket.number);
        state.waiting.insert(place, ticket);
    }

    /// A job that was taken is over.
    pub(crate) fn finish(&self, number: u64) {
        self.lock()
            .running
            .retain(|running| running.number != number);
    }

    /// How many jobs run and wait.
    pub(crate) fn load(&self) -> Load {
        let state = self.lock();
        Load {
            running: state.running.len(),
            waiting: state.waiting.len(),
        }
    }

    /// Cancels all jobs; once they are answered, [`Inbox::wait`] ends.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let waiting = state.waiting.iter().map(|ticket| &ticket.cancel);
        let running = state.running.iter().map(|running| &running.cancel);
        waiting.chain(running).for_each(Cancel::cancel);
        drop(state);
        self.arrived.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under this lock, so a poisoned one is as good as any.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn start(&mut self, index: usize) -> Ticket {
        let ticket = self.waiting.remove(index);
        self.running.push(Running {
            number: ticket.number,
            document: ticket.job.document,
            class: ticket.job.class,
            only_reads: ticket.job.max_tokens == 0,
            cancel: ticket.cancel.clone(),
        });
        ticket
    }

    /// Marks what a new job of this class takes the place of.
    fn supersede(&self, class: Class, document: u64) {
        let waiting = self.waiting.iter().map(|ticket| {
            let only_reads = ticket.job.max_tokens == 0;
            (
                ticket.job.document,
                ticket.job.class,
                only_reads,
                &ticket.cancel,
            )
        });
        let running = self.running.iter().map(|running| {
            let Running {
                document,
                class,
                only_reads,
                cancel,
                ..
            } = running;
            (*document, *class, *only_reads, cancel)
        });
        let others = waiting.clone().chain(running);
        for (of, older, only_reads, cancel) in others {
            // What is read ahead serves the newer job, too, sooner or later.
            let gives_way = match class {
                Class::Keystroke => {
                    older == Class::Keystroke || older == Class::Ahead && !only_reads
                }
                Class::Invoked => older == Class::Ahead && !only_reads,
                Class::Ahead | Class::Batch => false,
            };
            if of == document && gives_way {
                cancel.set(SUPERSEDED);
            }
        }
        if class == Class::Ahead {
            let ahead: Vec<&Cancel> = waiting
                .filter(|&(of, older, _, cancel)| {
                    of == document && older == Class::Ahead && !cancel.is_cancelled()
                })
                .map(|(.., cancel)| cancel)
                .collect();
            // With the new one, no more than may wait.
            let too_many = (ahead.len() + 1).saturating_sub(Class::LONGEST_AHEAD);
            ahead[..too_many]
                .iter()
                .for_each(|cancel| cancel.set(SUPERSEDED));
        }
    }
}
