//! Stand-in for the pool.

use std::sync::{
    Arc, Condvar, Mutex,
    atomic::{AtomicUsize, Ordering::*},
};

type Work = *const (dyn Fn(usize) + Sync);

struct Shared {
    epoch: AtomicUsize,
    next: AtomicUsize,
    tasks: AtomicUsize,
    running: AtomicUsize,
    work: Mutex<Option<SendPtr>>,
    cond: Condvar,
    lock: Mutex<()>,
    quit: AtomicUsize,
}
#[derive(Clone, Copy)]
struct SendPtr(Work);
unsafe impl Send for SendPtr {}

/// Threads.
pub struct Pool {
    shared: Arc<Shared>,
    threads: usize,
}

impl Pool {
    /// New.
    pub fn new(threads: usize) -> Pool {
        let shared = Arc::new(Shared {
            epoch: AtomicUsize::new(0),
            next: AtomicUsize::new(0),
            tasks: AtomicUsize::new(0),
            running: AtomicUsize::new(0),
            work: Mutex::new(None),
            cond: Condvar::new(),
            lock: Mutex::new(()),
            quit: AtomicUsize::new(0),
        });
        for _ in 1..threads {
            let s = shared.clone();
            std::thread::spawn(move || {
                let mut seen = 0;
                loop {
                    let mut spins = 0;
                    while s.epoch.load(Acquire) == seen {
                        spins += 1;
                        if spins < 20000 {
                            std::hint::spin_loop();
                        } else {
                            let mut g = s.lock.lock().unwrap();
                            while s.epoch.load(Acquire) == seen {
                                g = s.cond.wait(g).unwrap();
                            }
                        }
                    }
                    seen += 1;
                    if s.quit.load(Acquire) == 1 {
                        return;
                    }
                    let work = s.work.lock().unwrap().unwrap();
                    let tasks = s.tasks.load(Acquire);
                    loop {
                        let i = s.next.fetch_add(1, AcqRel);
                        if i >= tasks {
                            break;
                        }
                        (unsafe { &*work.0 })(i);
                    }
                    s.running.fetch_sub(1, AcqRel);
                }
            });
        }
        Pool { shared, threads }
    }
    /// Threads.
    pub fn threads(&self) -> usize {
        self.threads
    }
    /// Run.
    pub fn run(&self, tasks: usize, work: &(dyn Fn(usize) + Sync)) {
        if self.threads == 1 || tasks <= 1 {
            (0..tasks).for_each(work);
            return;
        }
        let s = &self.shared;
        let ptr: Work = unsafe { std::mem::transmute(work) };
        *s.work.lock().unwrap() = Some(SendPtr(ptr));
        s.tasks.store(tasks, Release);
        s.next.store(0, Release);
        s.running.store(self.threads - 1, Release);
        {
            let _g = s.lock.lock().unwrap();
            s.epoch.fetch_add(1, AcqRel);
            s.cond.notify_all();
        }
        loop {
            let i = s.next.fetch_add(1, AcqRel);
            if i >= tasks {
                break;
            }
            work(i);
        }
        while s.running.load(Acquire) != 0 {
            std::hint::spin_loop();
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.quit.store(1, Release);
        let _g = self.shared.lock.lock().unwrap();
        self.shared.epoch.fetch_add(1, AcqRel);
        self.shared.cond.notify_all();
    }
}
