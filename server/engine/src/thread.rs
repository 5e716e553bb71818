//! The engine's thread: it owns the model and runs one step after another.
//!
//! Takes tickets from the inbox, gives each its answer, exactly once. Between steps it answers jobs that are no
//! longer wanted; between steps of a batch job it runs whatever is more urgent. A job that panics is answered
//! `Failed`, and the thread lives on.

use crate::{
    Answer, Class, Ended, Job, Watch,
    queue::{Accept, Cancel, Inbox, Ticket},
    session,
};
use glm::{KvCache, Model};
use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Instant,
};

/// The engine, from outside. Clones share the one thread; when the last is dropped, all jobs are cancelled and the
/// thread ends.
#[derive(Clone)]
pub struct Engine {
    handle: Arc<Handle>,
}

struct Handle {
    inbox: Arc<Inbox>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.inbox.close();
    }
}

impl Engine {
    /// Starts the thread that owns the model.
    ///
    /// # Panics
    /// If the system cannot start a thread.
    pub fn start(model: Model) -> Engine {
        let inbox = Arc::new(Inbox::default());
        let worker = Worker {
            model,
            inbox: inbox.clone(),
        };
        std::thread::Builder::new()
            .name("engine".to_owned())
            .spawn(move || worker.run())
            .expect("a process that just loaded a model can start one more thread");
        Engine {
            handle: Arc::new(Handle { inbox }),
        }
    }

    /// Queues a job. `done` is called exactly once, on the engine's thread, whatever becomes of the job.
    pub fn submit(
        &self,
        job: Job,
        watch: Box<dyn Watch>,
        done: Box<dyn FnOnce(Answer) + Send>,
    ) -> Cancel {
        let cancel = Cancel::default();
        let ticket = Ticket {
            job,
            watch,
            done,
            cancel: cancel.clone(),
            submitted: Instant::now(),
        };
        self.handle.inbox.put(ticket);
        cancel
    }

    /// Whether no job runs or waits. A job whose `done` is being called counts as over.
    pub fn idle(&self) -> bool {
        self.handle.inbox.is_idle()
    }
}

struct Worker {
    model: Model,
    inbox: Arc<Inbox>,
}

impl Worker {
    fn run(self) {
        // The cache of the last job, kept for its memory.
        let mut kv = self.model.kv();
        while let Some(ticket) = self.inbox.wait() {
            self.serve(ticket, &mut kv);
        }
    }

    fn serve(&self, ticket: Ticket, kv: &mut KvCache) {
        let Ticket {
            job,
            mut watch,
            done,
            cancel,
            submitted,
        } = ticket;
        let queued = submitted.elapsed();
        kv.truncate(0);
        let run = || {
            if cancel.is_cancelled() {
                let ended = if cancel.is_superseded() {
                    Ended::Superseded
                } else {
                    Ended::Cancelled
                };
                return Answer::empty(ended, queued);
            }
            let between = || self.yield_to_others(job.class);
            session::run(&self.model, kv, &job, &mut *watch, &cancel, queued, between)
        };
        let answer = catch_unwind(AssertUnwindSafe(run))
            .unwrap_or_else(|panic| Answer::empty(Ended::Failed(message(&*panic)), queued));
        self.inbox.finish();
        // A panic in `done` is its owner's, and was reported by the panic hook; the thread must go on.
        let _ = catch_unwind(AssertUnwindSafe(|| done(answer)));
    }

    /// Between two steps of a job of this class: what may go before it.
    fn yield_to_others(&self, class: Class) {
        let accept = if class == Class::Batch {
            Accept::Urgent
        } else {
            Accept::Unwanted
        };
        while let Some(ticket) = self.inbox.take(accept) {
            self.serve(ticket, &mut self.model.kv());
        }
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("the job panicked: {}", text.unwrap_or("no message"))
}
