//! Who runs when, and how soon a job stops. Time is counted in layers and tokens, not by a clock.

use crate::harness::{
    Each, PATIENCE, PLENTY, Spelled, answer, check, holding, job, model, more, plain, submit, tiny,
    wait_until_idle,
};
use engine::{Answer, Class, Ended, Engine, Flow, Job};
use glm::{Config, fixture};
use std::sync::{Arc, Mutex, mpsc::channel};

/// A model of many small layers, so that there is much that lies between two of them.
fn deep() -> Config {
    fixture::glm(24, 64, 4, 256, 200, 512)
}

fn long(config: &Config, class: Class, document: u64, count: u32) -> Job {
    let ids: Vec<u32> = (0..count)
        .map(|i| (i * 7 + document as u32 * 11) % 199)
        .collect();
    job(config, class, document, &ids, &[1])
}

/// Jobs that are submitted at the second token of a background job are over before its third.
#[test]
fn interactive_work_comes_before_the_next_step_of_background_work() {
    let config = tiny();
    for background in [Class::Batch, Class::Ahead] {
        let engine = Engine::start(model(&config), PLENTY);
        let order = Arc::new(Mutex::new(Vec::new()));
        let (send, answers) = channel();
        let mut count = 0;
        let watch = {
            let (engine, order, send) = (engine.clone(), order.clone(), send.clone());
            let config = tiny();
            Each(move |_| {
                count += 1;
                order.lock().unwrap().push(format!("background {count}"));
                if count == 2 {
                    for (name, class) in [("invoked", Class::Invoked), ("key", Class::Keystroke)] {
                        let (order, send) = (order.clone(), send.clone());
                        let document = name.len() as u64;
                        let done = move |answer| {
                            order.lock().unwrap().push(name.to_owned());
                            send.send(answer).unwrap();
                        };
                        engine.submit(long(&config, class, document, 40), more(), Box::new(done));
                    }
                }
                Flow::More
            })
        };
        let job = Job {
            max_tokens: 4,
            ..long(&config, background, 1, 30)
        };
        let expected = plain(&model(&config), &job, Spelled::new(0, b"", 99));
        let (_, background) = submit(&engine, job, Box::new(watch));
        (0..2).for_each(|_| {
            let answer: Answer = answers.recv_timeout(PATIENCE).unwrap();
            assert_eq!(answer.ended, Ended::Length);
        });
        check(&background.recv_timeout(PATIENCE).unwrap(), &expected, "");
        let order = order.lock().unwrap().join(", ");
        assert_eq!(
            order,
            "background 1, background 2, key, invoked, background 3, background 4"
        );
    }
}

#[test]
fn batch_jobs_decode_side_by_side() {
    let config = tiny();
    let engine = Engine::start(model(&config), PLENTY);
    let (watch, held, go) = holding();
    let (_, first) = submit(&engine, long(&config, Class::Invoked, 99, 20), watch);
    held.recv_timeout(PATIENCE).unwrap();
    let jobs: Vec<Job> = (0..10)
        .map(|document| Job {
            max_tokens: 20,
            ..long(&config, Class::Batch, document, 20 + document as u32)
        })
        .collect();
    let answers: Vec<_> = jobs
        .iter()
        .map(|job| submit(&engine, job.clone(), more()).1)
        .collect();
    drop(go);
    first.recv_timeout(PATIENCE).unwrap();
    let reference = model(&config);
    for (job, answer) in jobs.iter().zip(answers) {
        let expected = plain(&reference, job, Spelled::new(0, b"", 99));
        check(&answer.recv_timeout(PATIENCE).unwrap(), &expected, "");
    }
    let totals = engine.counters().background;
    assert_eq!((totals.jobs, totals.decoded), (10, 200));
    // A step for each first token, then all the others together.
    assert!(totals.steps <= 10 + 19, "{} steps", totals.steps);
}

/// A keystroke that comes while a prompt is run ahead is answered before the prompt is through.
#[test]
fn a_keystroke_gets_in_between_the_layers_of_a_prompt_run_ahead() {
    let config = deep();
    let reference = model(&config);
    let key = long(&config, Class::Keystroke, 2, 20);
    let expected = plain(&reference, &key, Spelled::new(0, b"", 99));
    let mut has_come_between = false;
    for _ in 0..50 {
        let engine = Engine::start(model(&config), PLENTY);
        let (send, order) = channel();
        let note = |name: &'static str| {
            let send = send.clone();
            Box::new(move |answer| send.send((name, answer)).unwrap())
        };
        let ahead = long(&config, Class::Ahead, 1, 300);
        engine.submit(
            Job {
                max_tokens: 0,
                ..ahead.clone()
            },
            more(),
            note("ahead"),
        );
        while engine.counters().layers < 3 {
            std::hint::spin_loop();
        }
        engine.submit(key.clone(), more(), note("key"));
        let was_in_time = engine.counters().layers < 20;
        let (first, answer) = order.recv_timeout(PATIENCE).unwrap();
        let (_, other) = order.recv_timeout(PATIENCE).unwrap();
        if was_in_time {
            assert_eq!(first, "key");
            check(&answer, &expected, "the keystroke");
            assert_eq!(
                other.prefilled, 301,
                "the prompt was run once and to its end"
            );
            has_come_between = true;
            let on = Job {
                class: Class::Invoked,
                ..ahead
            };
            let expected = plain(&reference, &on, Spelled::new(0, b"", 99));
            let answer = crate::harness::answer(&engine, on);
            assert_eq!(answer.reused, 300);
            check(&answer, &expected, "what was interrupted");
            break;
        }
    }
    assert!(
        has_come_between,
        "50 times the prompt was faster than the test"
    );
}

#[test]
fn a_cancelled_job_stops_before_the_next_layer() {
    let config = deep();
    let mut stopped_early = 0;
    for round in 0..12u64 {
        let class =
            [Class::Keystroke, Class::Invoked, Class::Ahead, Class::Batch][round as usize % 4];
        let engine = Engine::start(model(&config), PLENTY);
        let job = Job {
            max_tokens: 100,
            ..long(&config, class, 1, 250)
        };
        let (cancel, receiver) = submit(&engine, job, more());
        // In the prompt, and among the steps behind it.
        while engine.counters().layers < 2 + round * 9 {
            std::hint::spin_loop();
        }
        cancel.cancel();
        let before = engine.counters().layers;
        let answer = receiver.recv_timeout(PATIENCE).unwrap();
        wait_until_idle(&engine);
        let after = engine.counters().layers;
        assert_eq!(answer.ended, Ended::Cancelled);
        assert!(
            after <= before + 1,
            "{} layers after the cancel",
            after - before
        );
        stopped_early += usize::from(!after.is_multiple_of(24));
    }
    assert!(stopped_early > 0);
}

/// Whatever moment the keystroke comes at, what was run ahead of it is not run again: not in the pass over the one
/// chunk of a prefix model, and not in or between those of a causal one.
#[test]
fn a_keystroke_takes_over_the_prompt_that_is_being_run_for_it() {
    let causal = Config {
        layers: 24,
        context: 512,
        ..fixture::members()[3]
    };
    for config in [deep(), causal] {
        let reference = model(&config);
        let part_a: Vec<u32> = (0..300).map(|i| i * 7 % 99).collect();
        let of = |class, head: &[u32]| job(&config, class, 1, &part_a, head);
        let key = of(Class::Keystroke, &[1, 5, 6, 7]);
        let expected = plain(&reference, &key, Spelled::new(0, b"", 99));
        for round in 0..16 {
            let engine = Engine::start(model(&config), PLENTY);
            let ahead = Job {
                max_tokens: 0,
                ..of(Class::Ahead, &[1])
            };
            let (_, ahead) = submit(&engine, ahead, more());
            while engine.counters().layers < 1 + round * 3 {
                std::hint::spin_loop();
                if engine.idle() {
                    break;
                }
            }
            let answer = answer(&engine, key.clone());
            check(&answer, &expected, "the keystroke");
            let ahead = ahead.recv_timeout(PATIENCE).unwrap();
            assert_eq!(ahead.ended, Ended::Length);
            wait_until_idle(&engine);
            let counters = engine.counters();
            let prefilled = counters.background.prefilled + counters.interactive.prefilled;
            assert_eq!(prefilled, 304, "round {round}: {counters:?}");
            let layers = counters.layers;
            assert!(
                layers.is_multiple_of(24),
                "a pass was given up: {layers} layers"
            );
        }
    }
}

#[test]
fn look_ahead_jobs_queue_up_to_four_and_a_keystroke_ends_them() {
    let config = tiny();
    let engine = Engine::start(model(&config), PLENTY);
    let (watch, held, go) = holding();
    let (_, first) = submit(&engine, long(&config, Class::Invoked, 9, 20), watch);
    held.recv_timeout(PATIENCE).unwrap();
    let ahead = |document, count| {
        submit(
            &engine,
            long(&config, Class::Ahead, document, count),
            more(),
        )
        .1
    };
    let of_one: Vec<_> = (20..26).map(|count| ahead(1, count)).collect();
    let of_other: Vec<_> = (20..23).map(|count| ahead(2, count)).collect();
    let (_, key) = submit(&engine, long(&config, Class::Keystroke, 2, 30), more());
    drop(go);
    let ended = |receiver: &std::sync::mpsc::Receiver<Answer>| {
        receiver.recv_timeout(PATIENCE).unwrap().ended
    };
    assert_eq!(ended(&first), Ended::Length);
    assert_eq!(ended(&key), Ended::Length);
    let of_one: Vec<_> = of_one.iter().map(ended).collect();
    assert_eq!(of_one[..2], [Ended::Superseded, Ended::Superseded]);
    assert!(of_one[2..].iter().all(|ended| *ended == Ended::Length));
    assert!(
        of_other
            .iter()
            .all(|receiver| ended(receiver) == Ended::Superseded)
    );
}

#[test]
fn a_job_that_the_model_refuses_does_not_take_others_along() {
    let config = tiny();
    let engine = Engine::start(model(&config), PLENTY);
    let (watch, held, go) = holding();
    let (_, first) = submit(&engine, long(&config, Class::Invoked, 9, 20), watch);
    held.recv_timeout(PATIENCE).unwrap();
    let good = long(&config, Class::Batch, 1, 30);
    let mut wrong = long(&config, Class::Batch, 2, 30);
    wrong.ids[30] = 70_000;
    let mut odd = long(&config, Class::Batch, 3, 30);
    odd.positions[1].pop();
    let empty = Job {
        ids: Vec::new(),
        positions: [Vec::new(), Vec::new()],
        ..good.clone()
    };
    let expected = plain(&model(&config), &good, Spelled::new(0, b"", 99));
    let answers: Vec<_> = [good, wrong, odd, empty]
        .map(|job| submit(&engine, job, more()).1)
        .into();
    drop(go);
    first.recv_timeout(PATIENCE).unwrap();
    let answers: Vec<Answer> = answers
        .iter()
        .map(|answer| answer.recv_timeout(PATIENCE).unwrap())
        .collect();
    check(&answers[0], &expected, "the good one");
    for (answer, word) in answers[1..]
        .iter()
        .zip(["70000", "30 positions", "no tokens"])
    {
        let Ended::Failed(why) = &answer.ended else {
            panic!("it ran")
        };
        assert!(why.contains(word), "{why}");
    }
}
