//! The threads that a model's work is shared out over, and that bend when the machine has other work to do.
//!
//! Takes a number of tasks, gives when all are done. The calling thread takes tasks like its helpers, from one counter,
//! so that a helper that comes late, or not at all, costs nothing but its share. Helpers look for the next tasks for a
//! few microseconds after the last ones, which bridges the gap between two operations of a pass, and then sleep: an
//! idle pool takes no processor time. Nobody spins at a barrier: only a helper that has begun a task is waited for, and
//! after a few microseconds asleep. If that wait is longer than the caller's own work, another process has taken the
//! helper's core; then fewer threads are used for a while, and again after that if it is still so.

use std::{
    any::Any,
    cell::UnsafeCell,
    hint::spin_loop,
    io,
    marker::PhantomData,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// How long a thread looks for a change before it sleeps.
const SPIN: Duration = Duration::from_micros(20);
/// A wait for helpers shorter than this is never taken for a core that is held by another process.
const HELD: Duration = Duration::from_micros(200);
/// How long helpers that were held up are left alone at first; doubled each time that the next try ends the same way.
const REST: Duration = Duration::from_millis(5);
/// The longest that they are left alone.
const LONGEST_REST: Duration = Duration::from_millis(400);

/// Threads that share out tasks: the caller of [`Pool::run`] and its helpers.
#[derive(Debug)]
pub struct Pool {
    shared: Arc<Shared>,
    helpers: Vec<JoinHandle<()>>,
    /// Held by the one caller whose tasks are being run.
    turn: Mutex<Turn>,
}

/// How many helpers are asked, and since when.
#[derive(Debug)]
struct Turn {
    allowed: usize,
    /// When all are to be asked again, if not all are asked now.
    again: Option<Instant>,
    /// When all were last asked again after they had been held up.
    tried: Option<Instant>,
    rest: Duration,
}

/// What caller and helpers see.
#[derive(Debug)]
struct Shared {
    /// The round's number in the upper half; below it the helpers that are asked, [`OPEN`], [`WAITING`] and the helpers
    /// that have begun.
    state: AtomicU64,
    /// The next task that nobody has taken.
    next: Counter,
    job: UnsafeCell<Option<Job>>,
    seats: Box<[AtomicBool]>,
    stop: AtomicBool,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    /// What a waiting caller sleeps on.
    left: (Mutex<()>, Condvar),
}

// SAFETY: `job` is written only by the caller that holds the turn, while the state is not open and no helper has begun;
// helpers read it only after they have counted themselves in an open state, which the write happens before.
unsafe impl Sync for Shared {}
// SAFETY: what a job points to is `Sync`, and it is read on other threads only while its owner waits in `run`.
unsafe impl Send for Shared {}

/// A counter that shares its cache line with nothing.
#[derive(Debug)]
#[repr(align(64))]
struct Counter(AtomicUsize);

/// One call of [`Pool::run`].
#[derive(Clone, Copy)]
struct Job {
    work: *const (dyn Fn(usize) + Sync),
    tasks: usize,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(formatter, "{} tasks", self.tasks)
    }
}

/// Helpers that have begun.
const BEGUN: u64 = 0xff;
/// Helpers may begin.
const OPEN: u64 = 1 << 8;
/// The caller sleeps until none is left.
const WAITING: u64 = 1 << 9;
/// Where the number of helpers that are asked begins.
const ASKED: u32 = 16;
/// Where the round's number begins.
const ROUND: u32 = 32;
/// Most helpers of a pool.
const MOST: usize = 0xff;

impl Pool {
    /// A pool of `threads` threads, the calling one among them.
    ///
    /// # Errors
    /// If the system starts no more threads.
    pub fn new(threads: usize) -> io::Result<Pool> {
        let helpers = threads.saturating_sub(1).min(MOST);
        let shared = Arc::new(Shared {
            state: AtomicU64::new(0),
            next: Counter(AtomicUsize::new(0)),
            job: UnsafeCell::new(None),
            seats: (0..helpers).map(|_| AtomicBool::new(false)).collect(),
            stop: AtomicBool::new(false),
            panic: Mutex::new(None),
            left: (Mutex::new(()), Condvar::new()),
        });
        let mut pool = Pool {
            shared,
            helpers: Vec::with_capacity(helpers),
            turn: Mutex::new(Turn {
                allowed: helpers,
                again: None,
                tried: None,
                rest: REST,
            }),
        };
        for seat in 0..helpers {
            let shared = Arc::clone(&pool.shared);
            let name = format!("glm-{}", seat + 1);
            // If one does not start, dropping the pool ends the others.
            let helper = thread::Builder::new().name(name);
            pool.helpers.push(helper.spawn(move || shared.help(seat))?);
        }
        Ok(pool)
    }

    /// Threads, the calling one among them.
    pub fn threads(&self) -> usize {
        self.helpers.len() + 1
    }

    /// Calls `work(i)` for every i below `tasks`, shared out over the threads, and returns when all calls have ended.
    /// If the pool is busy, which it is for a call from within `work`, the calling thread makes all of them.
    ///
    /// # Panics
    /// If a task panics; tasks that nobody had begun are then left out. The pool stays as good as it was.
    pub fn run(&self, tasks: usize, work: &(dyn Fn(usize) + Sync)) {
        if tasks > 1
            && !self.helpers.is_empty()
            && let Some(mut turn) = self.turn()
        {
            let asked = turn.allowed().min(tasks - 1).min(self.helpers.len());
            if asked > 0 {
                let began = Instant::now();
                let done = self.share(tasks, work, asked);
                if let Ok(waited) = done
                    && waited > HELD
                    && 2 * waited > began.elapsed()
                {
                    turn.bend(asked);
                }
                drop(turn);
                if let Err(panic) = done.map(drop) {
                    resume_unwind(panic);
                }
                return;
            }
        }
        (0..tasks).for_each(work);
    }

    /// Shares `items` out in runs of `size`, the last of which may be shorter: calls `work(i, run)` for the i-th.
    pub fn chunks<T: Send>(
        &self,
        items: &mut [T],
        size: usize,
        work: impl Fn(usize, &mut [T]) + Sync,
    ) {
        let count = items.len();
        let items = Shards::new(items);
        self.run(count.div_ceil(size), &|index| {
            let first = index * size;
            // SAFETY: runs of different indices have nothing in common, and each index is given out once.
            work(index, unsafe { items.get(first..count.min(first + size)) });
        });
    }

    /// The turn, if nobody has it.
    fn turn(&self) -> Option<MutexGuard<'_, Turn>> {
        match self.turn.try_lock() {
            Ok(turn) => Some(turn),
            // The numbers in it are good at any time.
            Err(TryLockError::Poisoned(turn)) => Some(turn.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Runs the tasks with some helpers; how long they were waited for, or what a task panicked with. Only for the
    /// holder of the turn.
    fn share(
        &self,
        tasks: usize,
        work: &(dyn Fn(usize) + Sync),
        asked: usize,
    ) -> thread::Result<Duration> {
        let shared = &*self.shared;
        // SAFETY: only the lifetime is taken away. This call does not return before every helper that has seen the
        // pointer has left, and none can begin after it is closed.
        let work: &'static (dyn Fn(usize) + Sync) = unsafe { std::mem::transmute(work) };
        let job = Job { work, tasks };
        // SAFETY: the state is closed and no helper has begun, since the last call waited for that; so nobody reads.
        unsafe { *shared.job.get() = Some(job) };
        shared.next.0.store(0, Ordering::Relaxed);
        let round = (shared.state.load(Ordering::Relaxed) >> ROUND).wrapping_add(1);
        let open = round << ROUND | (asked as u64) << ASKED | OPEN;
        // Sequentially consistent with a helper that says it sleeps and then looks once more.
        shared.state.store(open, Ordering::SeqCst);
        for (seat, helper) in shared.seats.iter().zip(&self.helpers).take(asked) {
            if seat.load(Ordering::SeqCst) && seat.swap(false, Ordering::SeqCst) {
                helper.thread().unpark();
            }
        }
        let own = shared.work_off(job);
        let waited = shared.close();
        let others = shared
            .panic
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        match (own, others) {
            (Err(panic), _) | (_, Some(panic)) => Err(panic),
            (Ok(()), None) => Ok(waited),
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for helper in self.helpers.drain(..) {
            helper.thread().unpark();
            // A helper catches what its tasks panic with.
            let _ = helper.join();
        }
    }
}

impl Turn {
    /// How many helpers may be asked now.
    fn allowed(&mut self) -> usize {
        if let Some(again) = self.again {
            let now = Instant::now();
            if now >= again {
                self.again = None;
                self.tried = Some(now);
                self.allowed = MOST;
            }
        }
        self.allowed
    }

    /// After `asked` helpers were held up, asks fewer for a while.
    fn bend(&mut self, asked: usize) {
        let is_still_so = self
            .tried
            .is_some_and(|tried| tried.elapsed() < 2 * self.rest);
        self.rest = if is_still_so {
            (2 * self.rest).min(LONGEST_REST)
        } else {
            REST
        };
        self.allowed = asked / 2;
        self.again = Some(Instant::now() + self.rest);
    }
}

impl Shared {
    /// A helper's life.
    fn help(&self, seat: usize) {
        let mut last = 0;
        while !self.stop.load(Ordering::Relaxed) {
            if let Some(round) = self.begin(seat, last) {
                last = round;
                // SAFETY: this helper has counted itself in, so the job stays until it has left.
                if let Some(job) = unsafe { *self.job.get() }
                    && let Err(panic) = self.work_off(job)
                {
                    *self.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
                }
                self.leave();
            } else if !spin(|| self.calls(seat, last)) {
                self.sleep(seat, last);
            }
        }
    }

    /// Whether there are tasks for this helper in a round after `last`, or it is to end.
    fn calls(&self, seat: usize, last: u64) -> bool {
        is_for(self.state.load(Ordering::SeqCst), seat, last) || self.stop.load(Ordering::SeqCst)
    }

    /// Counts this helper in, if there are tasks for it; gives the round.
    fn begin(&self, seat: usize, last: u64) -> Option<u64> {
        let mut state = self.state.load(Ordering::Acquire);
        while is_for(state, seat, last) {
            let one_more = self.state.compare_exchange_weak(
                state,
                state + 1,
                Ordering::AcqRel,
                Ordering::Acquire,
            );
            match one_more {
                Ok(_) => return Some(state >> ROUND),
                Err(now) => state = now,
            }
        }
        None
    }

    /// Counts a helper out, and wakes the caller if it was the last one waited for.
    fn leave(&self) {
        let before = self.state.fetch_sub(1, Ordering::AcqRel);
        if before & WAITING != 0 && before & BEGUN == 1 {
            let (lock, left) = &self.left;
            drop(lock.lock().unwrap_or_else(PoisonError::into_inner));
            left.notify_all();
        }
    }

    /// Sleeps until there are tasks for this helper.
    fn sleep(&self, seat: usize, last: u64) {
        self.seats[seat].store(true, Ordering::SeqCst);
        while !self.calls(seat, last) && self.seats[seat].load(Ordering::SeqCst) {
            thread::park();
        }
        self.seats[seat].store(false, Ordering::SeqCst);
    }

    /// Takes tasks until none is left. After a panic none is.
    fn work_off(&self, job: Job) -> thread::Result<()> {
        let done = catch_unwind(AssertUnwindSafe(|| {
            // SAFETY: whoever calls this is the caller of `run`, or has begun before it closed the round; until all
            // such have left, the caller keeps what the pointer points to alive.
            let work = unsafe { &*job.work };
            loop {
                let task = self.next.0.fetch_add(1, Ordering::Relaxed);
                if task >= job.tasks {
                    break;
                }
                work(task);
            }
        }));
        if done.is_err() {
            self.next.0.store(job.tasks, Ordering::Relaxed);
        }
        done
    }

    /// Lets no more helpers begin and waits for those that have; gives how long.
    fn close(&self) -> Duration {
        let state = self.state.fetch_and(!OPEN, Ordering::AcqRel);
        if state & BEGUN == 0 {
            return Duration::ZERO;
        }
        let began = Instant::now();
        let is_left = || self.state.load(Ordering::Acquire) & BEGUN == 0;
        if !spin(is_left) {
            let (lock, left) = &self.left;
            let mut guard = lock.lock().unwrap_or_else(PoisonError::into_inner);
            self.state.fetch_or(WAITING, Ordering::AcqRel);
            while !is_left() {
                guard = left.wait(guard).unwrap_or_else(PoisonError::into_inner);
            }
        }
        began.elapsed()
    }
}

/// Whether the state has tasks for a helper in a round after `last`.
fn is_for(state: u64, seat: usize, last: u64) -> bool {
    state & OPEN != 0 && (state >> ASKED & 0xff) as usize > seat && state >> ROUND != last
}

/// Looks for a change for a few microseconds; whether it came.
fn spin(mut is_so: impl FnMut() -> bool) -> bool {
    let began = Instant::now();
    loop {
        for _ in 0..16 {
            if is_so() {
                return true;
            }
            spin_loop();
        }
        if began.elapsed() >= SPIN {
            return false;
        }
    }
}

/// A slice of which each task takes parts of its own.
pub(super) struct Shards<'a, T> {
    start: *mut T,
    length: usize,
    of: PhantomData<&'a mut [T]>,
}

// SAFETY: the tasks get parts that have nothing in common, as if the slice had been split and its parts sent to them.
unsafe impl<T: Send> Sync for Shards<'_, T> {}

impl<'a, T> Shards<'a, T> {
    pub(super) fn new(items: &'a mut [T]) -> Shards<'a, T> {
        Shards {
            start: items.as_mut_ptr(),
            length: items.len(),
            of: PhantomData,
        }
    }

    /// A part of the slice.
    ///
    /// # Panics
    /// If the range is not within it.
    ///
    /// # Safety
    /// While the part is in use, no other part has any of its items.
    pub(super) unsafe fn get(&self, range: Range<usize>) -> &'a mut [T] {
        assert!(range.start <= range.end && range.end <= self.length);
        // SAFETY: the range is within the slice, which is borrowed for 'a; the caller vouches that it is the only
        // borrow of these items.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }
}

#[cfg(test)]
mod tests;
