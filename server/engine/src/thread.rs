//! The engine's thread: it owns the model and runs one pass after another.
//!
//! Takes tickets from the inbox, gives each its answer, exactly once. Before each pass it decides for whom: keystrokes
//! and invoked jobs, then look-ahead, then batch work. While a pass of the latter two runs, it looks at the inbox
//! before each layer, and whatever is more urgent is run at once, in a pass within the pass. A job that panics is
//! answered `Failed`, and the thread lives on. If the device fails that the model runs on, the model is loaded again to
//! run on the processor, and the jobs in work go on there with the tokens that they have. While nobody wants anything, the
//! model may leave its device to others.

use crate::{
    Answer, Cancel, Care, Counters, Ended, Job, Load, Watch,
    counters::Tally,
    job::Rank,
    queue::{Inbox, Ticket, Waited},
    run::{self, DRAFT_ROWS, Flight, Run},
    store::Store,
};
use glm::{Error, Model, Prefix, Workspace};
use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
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
    tally: Arc<Tally>,
    place: Arc<Mutex<Place>>,
}

/// Where the model runs.
#[derive(Debug, Default)]
struct Place {
    /// On what.
    on: String,
    /// Why it does not run any more where it was loaded.
    trouble: Option<String>,
    /// Whether it runs nowhere any more.
    is_lost: bool,
}

impl Handle {
    fn place(&self) -> MutexGuard<'_, Place> {
        // It is whole between any two statements.
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.inbox.close();
    }
}

impl Engine {
    /// Starts the thread that owns the model. What it keeps of earlier jobs takes at most `kv_bytes`, or what the model's
    /// device has room for, those that run included; these alone may take more.
    ///
    /// # Panics
    /// If the system cannot start a thread.
    pub fn start(model: Model, kv_bytes: usize) -> Engine {
        Engine::start_with(model, kv_bytes, Care::default())
    }

    /// The same, with this care for the model's device.
    ///
    /// # Panics
    /// As [`Engine::start`].
    pub fn start_with(model: Model, kv_bytes: usize, care: Care) -> Engine {
        let inbox = Arc::new(Inbox::default());
        let tally = Arc::new(Tally::default());
        let place = Arc::new(Mutex::new(Place {
            on: model.place(),
            ..Place::default()
        }));
        let desk = Desk {
            inbox: inbox.clone(),
            tally: tally.clone(),
            store: Store::new(model.kv_room().unwrap_or(kv_bytes)),
            runs: Vec::new(),
            aloft_bytes: 0,
            place: place.clone(),
            kv_bytes,
            care,
            lost: None,
        };
        std::thread::Builder::new()
            .name("engine".to_owned())
            .spawn(move || desk.work(model))
            .expect("a process that just loaded a model can start one more thread");
        Engine {
            handle: Arc::new(Handle {
                inbox,
                tally,
                place,
            }),
        }
    }

    /// Queues a job. `done` is called exactly once, on the engine's thread, whatever becomes of the job; what was run
    /// for it then waits for the next.
    pub fn submit(
        &self,
        job: Job,
        watch: Box<dyn Watch>,
        done: Box<dyn FnOnce(Answer) + Send>,
    ) -> Cancel {
        self.handle.inbox.put(job, watch, done)
    }

    /// Whether no job runs or waits. A job whose `done` is being called counts as over.
    pub fn idle(&self) -> bool {
        self.load() == Load::default()
    }

    /// How much there is to do.
    pub fn load(&self) -> Load {
        self.handle.inbox.load()
    }

    /// What the model runs on.
    pub fn place(&self) -> String {
        self.handle.place().on.clone()
    }

    /// Why the model does not run any more on the device that it was loaded on, if it does not.
    pub fn trouble(&self) -> Option<String> {
        self.handle.place().trouble.clone()
    }

    /// Whether the model's device has failed and the model could not be loaded for the processor either.
    pub fn is_lost(&self) -> bool {
        self.handle.place().is_lost
    }

    /// As [`Engine::trouble`], asked later; does not keep the engine running.
    pub fn trouble_later(&self) -> impl Fn() -> Option<String> + Send + use<> {
        let place = Arc::clone(&self.handle.place);
        move || {
            let place = place.lock().unwrap_or_else(PoisonError::into_inner);
            place.trouble.clone()
        }
    }

    /// What was done so far.
    pub fn counters(&self) -> Counters {
        self.handle.tally.read()
    }
}

/// All that the thread has but the model and its workspaces, which passes within passes share.
struct Desk {
    inbox: Arc<Inbox>,
    tally: Arc<Tally>,
    store: Store,
    /// The jobs in work, but for those that the pass which is running is for.
    runs: Vec<Run>,
    /// Bytes of the sessions that the pass which is running is for.
    aloft_bytes: usize,
    place: Arc<Mutex<Place>>,
    /// Most bytes of sessions while the model runs on the processor.
    kv_bytes: usize,
    care: Care,
    /// What the model's device said when it failed.
    lost: Option<String>,
}

/// Why a pass did not come to its end.
enum Failure {
    /// Nobody wants it any more, or the device is lost.
    Halted,
    /// The jobs, or one of them, cannot be run.
    Jobs(String),
    /// The device has no memory left.
    Full(String),
    /// The device failed.
    Device(String),
}

impl Desk {
    fn work(mut self, mut model: Model) {
        // One for passes, one for passes within them.
        let mut work = [model.workspace(), model.workspace()];
        loop {
            // A job that comes just as the model leaves its device waits until it is back.
            let has_worked =
                !model.is_suspended() && self.turn(&model, &mut work, Rank::Batch, &[]);
            if let Some(why) = self.lost.take() {
                self.recover(&mut model, &mut work, why);
            } else if !has_worked && !self.rest(&mut model, &mut work) {
                return;
            }
        }
    }

    /// Waits for a job. If none comes for long, the model leaves its device, and comes back for the next. False if there
    /// will be none any more.
    fn rest(&mut self, model: &mut Model, work: &mut [Workspace]) -> bool {
        let idle = self.care.idle.filter(|_| model.can_suspend());
        let moved = match self.inbox.wait(idle) {
            Waited::Closed => return false,
            Waited::Job => {
                self.sweep_waiting();
                match self.inbox.load().waiting {
                    // What had come is no longer wanted.
                    0 => Ok(()),
                    _ => model.resume(),
                }
            }
            Waited::Nothing => {
                self.store.clear();
                work.iter_mut().for_each(|work| *work = model.workspace());
                model.suspend()
            }
        };
        match moved {
            // Without room elsewhere the weights stay where they are.
            Ok(()) | Err(Error::NoMemory { .. }) => {}
            Err(error) => self.lost = Some(error.to_string()),
        }
        self.tally.keep(self.store.bytes());
        self.place().on = model.place();
        true
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on without the model's device, which has failed: on the processor, with the tokens that the jobs have and
    /// without what was run for them.
    fn recover(&mut self, model: &mut Model, work: &mut [Workspace], why: String) {
        self.store.clear();
        let reloaded = model.on_cpu();
        let trouble = match &reloaded {
            Ok(_) => format!("{why}; the processor runs the model now"),
            Err(error) => format!("{why}; it cannot be loaded for the processor: {error}"),
        };
        let has_recovered = reloaded.is_ok();
        if let Ok(reloaded) = reloaded {
            *model = reloaded;
            self.store = Store::new(self.kv_bytes);
        }
        work.iter_mut().for_each(|work| *work = model.workspace());
        // Before any job is answered, so that whoever hears of an answer can ask what happened.
        *self.place() = Place {
            on: model.place(),
            trouble: Some(trouble.clone()),
            is_lost: !has_recovered,
        };
        if has_recovered {
            self.runs.iter_mut().for_each(|run| run.forget(model.kv()));
            return;
        }
        if let Some(on_lost) = self.care.on_lost.take() {
            // A panic in it is its owner's, as one in `done` is.
            let _ = catch_unwind(AssertUnwindSafe(|| on_lost(&trouble)));
        }
        for mut run in std::mem::take(&mut self.runs) {
            run.fail(trouble.clone());
            self.end(run);
        }
        for rank in [Rank::Interactive, Rank::Ahead, Rank::Batch] {
            while let Some(ticket) = self.inbox.take(rank, |_| true) {
                let ended = Ended::Failed(trouble.clone());
                let answer = Answer::empty(ended, ticket.submitted.elapsed());
                self.reply(ticket, answer);
            }
        }
    }

    /// One pass for the most urgent jobs of rank `least` or above, within the one that is `aloft` if any is. False if
    /// there is none.
    fn turn(
        &mut self,
        model: &Model,
        work: &mut [Workspace],
        least: Rank,
        aloft: &[Flight],
    ) -> bool {
        if self.lost.is_some() {
            return false;
        }
        self.sweep();
        self.admit(model, least, aloft);
        let batch = self.pick(least, model.side_by_side());
        let has_work = !batch.is_empty();
        if let (true, [mine, within @ ..]) = (has_work, work) {
            self.pass(model, batch, mine, within);
        }
        has_work
    }

    /// Answers the jobs that are no longer wanted.
    fn sweep(&mut self) {
        self.sweep_waiting();
        for run in self
            .runs
            .extract_if(.., |run| run.cancel().is_cancelled())
            .collect::<Vec<_>>()
        {
            self.end(run);
        }
    }

    fn sweep_waiting(&self) {
        while let Some(ticket) = self.inbox.take_unwanted() {
            let ended = ticket.cancel.reason().unwrap_or(Ended::Cancelled);
            let answer = Answer::empty(ended, ticket.submitted.elapsed());
            self.reply(ticket, answer);
        }
    }

    /// Begins the jobs whose turn has come.
    fn admit(&mut self, model: &Model, least: Rank, aloft: &[Flight]) {
        // What goes on with what is aloft waits for it, and so does what took its place.
        let is_open = |job: &Job| {
            aloft.is_empty() || !(is_unwanted(aloft) || is_for(aloft, job, prefix(model, job)))
        };
        while let Some(ticket) = self.inbox.take(Rank::Interactive, is_open) {
            // What it superseded gives its session back first.
            self.sweep();
            self.unseat(model, &ticket.job);
            self.begin(model, ticket);
        }
        for (rank, most) in [(Rank::Ahead, 1), (Rank::Batch, model.side_by_side())] {
            let is_free = |desk: &Desk| {
                let mut runs = desk.runs.iter();
                rank <= least
                    && runs.all(|run| run.rank() >= rank)
                    && desk.runs.iter().filter(|run| run.rank() == rank).count() < most
            };
            while is_free(self)
                && let Some(ticket) = self.inbox.take(rank, |_| true)
            {
                self.begin(model, ticket);
            }
        }
    }

    /// Sends those back to wait whose prompt is half run and is this job's, too, so that it gets their session.
    fn unseat(&mut self, model: &Model, job: &Job) {
        let prefix = prefix(model, job);
        let is_its =
            |run: &mut Run| run.rank() > Rank::Interactive && run.is_begun_for(job, prefix);
        for run in self.runs.extract_if(.., is_its).collect::<Vec<_>>() {
            let rank = run.rank();
            let (ticket, session, prefilled) = run.leave();
            self.tally.prefilled(rank, prefilled);
            let used = self.used();
            self.store.put(session, used);
            self.inbox.put_back(ticket);
        }
    }

    /// Finds a session for a job and replays what it holds.
    fn begin(&mut self, model: &Model, ticket: Ticket) {
        if let Some(why) = run::fault(&ticket.job) {
            let answer = Answer::empty(Ended::Failed(why), ticket.submitted.elapsed());
            return self.reply(ticket, answer);
        }
        let prefix = prefix(model, &ticket.job);
        let used = self.used();
        let (session, known) = self.store.take(&ticket.job, prefix, used, || model.kv());
        let mut run = Run::new(ticket, session, known, prefix, model);
        guard(&mut run, Run::replay);
        self.keep(run);
    }

    /// Those jobs of rank `least` or above that the next pass is for, most urgent first: one that has a prompt to run,
    /// or all that are decoding, but `most` of them.
    fn pick(&mut self, least: Rank, most: usize) -> Vec<Run> {
        self.runs.sort_by_key(|run| {
            let newest_first = run.rank() == Rank::Interactive;
            let order = run.number() ^ if newest_first { u64::MAX } else { 0 };
            (run.rank(), order)
        });
        let Some(rank) = self
            .runs
            .first()
            .map(Run::rank)
            .filter(|&rank| rank <= least)
        else {
            return Vec::new();
        };
        let count = self.runs.iter().filter(|run| run.rank() == rank).count();
        match self.runs[..count].iter().position(|run| !run.is_decoding()) {
            Some(index) => vec![self.runs.remove(index)],
            None => self.runs.drain(..count.min(most)).collect(),
        }
    }

    /// Runs one pass for these jobs, which have one rank. Others may run in the workspaces `within`.
    fn pass(
        &mut self,
        model: &Model,
        mut batch: Vec<Run>,
        work: &mut Workspace,
        within: &mut [Workspace],
    ) {
        let rank = batch[0].rank();
        batch.iter_mut().for_each(|run| self.lend(run));
        // Each needs one row; drafts share what is left.
        let mut spare = DRAFT_ROWS.saturating_sub(batch.len());
        batch.iter_mut().for_each(|run| run.plan(&mut spare));
        let began = Instant::now();
        let outcome = self.forward(model, &mut batch, work, within);
        let took = began.elapsed();
        match outcome {
            Ok(()) => {
                let mut has_chosen = false;
                for (part, run) in batch.iter_mut().enumerate() {
                    guard(run, |run| has_chosen |= run.take(work, part, took));
                }
                if has_chosen {
                    self.tally.step(rank);
                }
            }
            Err(Failure::Halted) => {}
            Err(Failure::Jobs(_)) if batch.len() > 1 => {
                // Only the one that is at fault is to fail.
                for run in batch {
                    self.pass(model, vec![run], work, within);
                }
                return;
            }
            Err(Failure::Jobs(why)) => batch.iter_mut().for_each(|run| run.fail(why.clone())),
            // What is kept for jobs to come gives way to those that are here, once.
            Err(Failure::Full(_)) if !self.store.resting().is_empty() => self.store.clear(),
            Err(Failure::Full(why) | Failure::Device(why)) => self.lost = Some(why),
        }
        batch.into_iter().for_each(|run| self.keep(run));
        let used = self.used();
        self.store.fit(used);
    }

    /// Copies what another sequence has run of the prompt of a job that is about to begin: units of one batch begin with
    /// the same instructions.
    fn lend(&self, run: &mut Run) {
        if !run.is_fresh() {
            return;
        }
        let others = self.runs.iter().map(Run::session);
        let others = others.chain(self.store.resting());
        let lendable = others.filter_map(|other| Some((run.lendable(other)?, other)));
        if let Some((count, other)) = lendable.max_by_key(|(count, _)| *count) {
            run.borrow(other, count);
        }
    }

    /// The pass itself.
    fn forward(
        &mut self,
        model: &Model,
        batch: &mut [Run],
        work: &mut Workspace,
        within: &mut [Workspace],
    ) -> Result<(), Failure> {
        let lets_others_in = batch[0].rank() > Rank::Interactive && !within.is_empty();
        if lets_others_in {
            self.aloft_bytes = batch.iter().map(Run::bytes).sum();
        }
        let (mut parts, flights): (Vec<_>, Vec<_>) = batch.iter_mut().map(Run::part).unzip();
        let mut between = || {
            self.between(
                model,
                &flights,
                if lets_others_in {
                    &mut *within
                } else {
                    &mut []
                },
            )
        };
        let pass = || model.forward(&mut parts, work, &mut between);
        let outcome = match catch_unwind(AssertUnwindSafe(pass)) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Error::Halted)) => Err(Failure::Halted),
            Ok(Err(error @ Error::OutOfMemory { .. })) => Err(Failure::Full(error.to_string())),
            Ok(Err(error)) if error.is_devices() => Err(Failure::Device(error.to_string())),
            Ok(Err(error)) => Err(Failure::Jobs(error.to_string())),
            Err(panic) => {
                *work = model.workspace();
                Err(Failure::Jobs(message(&*panic)))
            }
        };
        if lets_others_in {
            self.aloft_bytes = 0;
        }
        outcome
    }

    /// Before a layer: whether to halt the pass. What is more urgent than the pass runs here.
    fn between(&mut self, model: &Model, flights: &[Flight], within: &mut [Workspace]) -> bool {
        self.tally.layer();
        self.sweep_waiting();
        if !within.is_empty() && !is_unwanted(flights) {
            while self.turn(model, within, Rank::Interactive, flights) {}
        }
        if self.lost.is_some() {
            return true;
        }
        // In this order, since what takes the place of a job waits from the moment on that the job is unwanted.
        is_unwanted(flights)
            && !self
                .inbox
                .has_interactive(|job| is_for(flights, job, prefix(model, job)))
    }

    /// Puts a job back among those in work, or answers it.
    fn keep(&mut self, run: Run) {
        match run.has_ended() {
            true => self.end(run),
            false => self.runs.push(run),
        }
    }

    /// Answers a job; its session goes to the store.
    fn end(&mut self, run: Run) {
        let rank = run.rank();
        let (ticket, session, answer) = run.end();
        // Nobody knows what a job left behind that failed.
        if !matches!(answer.ended, Ended::Failed(_)) {
            let used = self.used();
            self.store.put(session, used);
        }
        self.tally.keep(self.store.bytes());
        self.tally.job(rank, &answer);
        self.reply(ticket, answer);
    }

    fn reply(&self, ticket: Ticket, answer: Answer) {
        self.inbox.finish(ticket.number);
        let done = ticket.done;
        // A panic in `done` is its owner's, and was reported by the panic hook; the thread must go on.
        let _ = catch_unwind(AssertUnwindSafe(|| done(answer)));
    }

    /// Bytes of the sessions in use.
    fn used(&self) -> usize {
        self.aloft_bytes + self.runs.iter().map(Run::bytes).sum::<usize>()
    }
}

/// Whether no job of a pass is wanted any more.
fn is_unwanted(flights: &[Flight]) -> bool {
    flights.iter().all(Flight::is_cancelled)
}

/// Whether another job would have to run most of a pass again.
fn is_for(flights: &[Flight], job: &Job, prefix: Prefix) -> bool {
    matches!(flights, [flight] if flight.serves(job, prefix))
}

/// The job's Part A, as the model reads it.
fn prefix(model: &Model, job: &Job) -> Prefix {
    model.config().part_a.zones(job.part_a, job.mask_at)
}

/// Does something with a run in which its watch may panic.
fn guard(run: &mut Run, act: impl FnOnce(&mut Run)) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| act(run))) {
        run.fail(message(&*panic));
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("the job panicked: {}", text.unwrap_or("no message"))
}
