//! Tests of the pool: every task once, panics, nesting, sleep, and cores that are taken.

use super::*;
use std::sync::atomic::AtomicU32;

fn counts(pool: &Pool, tasks: usize) -> Vec<u32> {
    let counts: Vec<AtomicU32> = (0..tasks).map(|_| AtomicU32::new(0)).collect();
    pool.run(tasks, &|task| {
        counts[task].fetch_add(1, Ordering::Relaxed);
    });
    counts.into_iter().map(AtomicU32::into_inner).collect()
}

#[test]
fn every_task_is_done_once_and_before_the_end() {
    for threads in [1, 2, 3, 8] {
        let pool = Pool::new(threads).unwrap();
        assert_eq!(pool.threads(), threads);
        for round in 0..3000 {
            let tasks = round % 37;
            assert_eq!(counts(&pool, tasks), vec![1; tasks]);
            if round % 500 == 0 {
                // Long enough for the helpers to fall asleep.
                thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

#[test]
fn chunks_cover_the_slice() {
    let pool = Pool::new(3).unwrap();
    for length in [0, 1, 7, 64, 1001] {
        let mut numbers = vec![0; length];
        pool.chunks(&mut numbers, 7, |index, chunk| {
            for (place, number) in chunk.iter_mut().enumerate() {
                *number += index * 7 + place;
            }
        });
        assert!(numbers.into_iter().eq(0..length));
    }
}

#[test]
fn a_panic_reaches_the_caller_and_harms_nothing() {
    let pool = Pool::new(4).unwrap();
    for round in 0..300 {
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            pool.run(40, &|task| {
                if task == round % 40 {
                    // Not a panic's message: the hook would print each of them.
                    resume_unwind(Box::new(task));
                }
            });
        }));
        let task = panicked.unwrap_err().downcast::<usize>().unwrap();
        assert_eq!(*task, round % 40);
        assert_eq!(counts(&pool, 20), vec![1; 20]);
    }
}

#[test]
fn tasks_may_share_out_tasks_and_threads_may_share_a_pool() {
    let pool = Pool::new(3).unwrap();
    let sum = AtomicU32::new(0);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..200 {
                    pool.run(5, &|_| {
                        pool.run(4, &|_| {
                            sum.fetch_add(1, Ordering::Relaxed);
                        });
                    });
                }
            });
        }
    });
    assert_eq!(sum.into_inner(), 3 * 200 * 20);
}

#[test]
fn helpers_take_a_share() {
    let pool = Pool::new(2).unwrap();
    let caller = thread::current().id();
    let shared_out = (0..200).any(|_| {
        let others = AtomicU32::new(0);
        pool.run(8, &|_| {
            thread::sleep(Duration::from_micros(100));
            others.fetch_add(
                u32::from(thread::current().id() != caller),
                Ordering::Relaxed,
            );
        });
        others.into_inner() > 0
    });
    assert!(shared_out);
}

/// Processor time of the thread of this name so far, in clock ticks.
#[cfg(target_os = "linux")]
fn ticks(name: &str) -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let mut found = None;
    for task in tasks {
        let stat = std::fs::read_to_string(task.unwrap().path().join("stat")).unwrap();
        let (id, fields) = stat.rsplit_once(") ").unwrap();
        if id.ends_with(name) {
            let fields: Vec<u64> = fields
                .split(' ')
                .skip(11)
                .take(2)
                .map(|field| field.parse().unwrap())
                .collect();
            found = Some(fields.iter().sum());
        }
    }
    found.expect("the thread runs")
}

#[test]
#[cfg(target_os = "linux")]
fn an_idle_pool_takes_no_processor_time() {
    // More threads than any other test's pool, so that the last one's name is this pool's alone.
    let pool = Pool::new(24).unwrap();
    assert_eq!(counts(&pool, 100), vec![1; 100]);
    thread::sleep(Duration::from_millis(50));
    let before = ticks("glm-23");
    thread::sleep(Duration::from_millis(500));
    assert_eq!(
        ticks("glm-23"),
        before,
        "a spinning thread would have taken 50"
    );
}

/// A helper whose core is taken is left alone after it was waited for, and asked again later.
#[test]
fn helpers_that_are_held_up_are_left_alone_for_a_while() {
    let pool = Pool::new(2).unwrap();
    let caller = thread::current().id();
    let held = |task: usize| {
        // The helper's task takes as long as another process's slice of time.
        if thread::current().id() != caller {
            thread::sleep(Duration::from_millis(4));
        } else if task < 3 {
            thread::sleep(Duration::from_micros(100));
        }
    };
    let is_bent = || pool.turn.lock().unwrap().again.is_some();
    let hold_up = || {
        let is_held = (0..100).any(|_| {
            pool.run(4, &held);
            is_bent()
        });
        assert!(is_held);
        assert_eq!(pool.turn.lock().unwrap().allowed, 0);
    };
    hold_up();
    // While they rest the caller does all tasks itself, at its own speed. A long rest, lest the test be held up itself.
    let rest_until = |again| pool.turn.lock().unwrap().again = Some(again);
    rest_until(Instant::now() + Duration::from_secs(3600));
    for _ in 0..100 {
        pool.run(4, &|_| assert_eq!(thread::current().id(), caller));
    }
    rest_until(Instant::now());
    assert_eq!(pool.turn.lock().unwrap().allowed(), MOST);
    assert!(!is_bent());
    hold_up();
}

/// The rest grows as long as each new try ends like the last one, and is short again after a try that went well.
#[test]
fn rests_grow_while_a_core_stays_taken() {
    let mut turn = Turn {
        allowed: 3,
        again: None,
        tried: None,
        rest: REST,
    };
    for rest in [1, 2, 4, 8] {
        turn.bend(3);
        assert_eq!((turn.allowed, turn.rest), (1, rest * REST));
        turn.again = Some(Instant::now());
        assert_eq!(turn.allowed(), MOST);
    }
    turn.tried = Instant::now().checked_sub(Duration::from_secs(1));
    turn.bend(3);
    assert_eq!(turn.rest, REST);
}
