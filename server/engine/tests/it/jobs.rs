//! Order, superseding, cancelling, endings.
//!
//! To say what waits while something runs, a job's watch holds the engine's thread at its first token until the test
//! lets it go.

use crate::harness::{Each, PATIENCE, answer, holding, more, submit, tiny, wait_until_idle};
use engine::{Advance, Answer, Cancel, Class, Ended, Engine, Flow, Job};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
    mpsc::{Receiver, channel},
};

fn engine() -> Engine {
    crate::harness::engine(&tiny())
}

/// A job of 20 tokens in Part A and two in Part B; answers of 8 tokens.
fn job(class: Class, document: u64) -> Job {
    let ids: Vec<u32> = (0..22).map(|i| 3 * i + 1).collect();
    crate::harness::job(&tiny(), class, document, &ids[..20], &ids[20..])
}

#[test]
fn the_same_job_gets_the_same_answer() {
    let engine = engine();
    let first = answer(&engine, job(Class::Invoked, 1));
    let again = answer(&engine, job(Class::Batch, 2));
    assert_eq!(first.ended, Ended::Length);
    assert_eq!(
        (first.ids.len(), first.prefilled, first.decoded),
        (8, 22, 8)
    );
    assert_eq!((&first.ids, &first.logprobs), (&again.ids, &again.logprobs));
    let fresh = answer(&self::engine(), job(Class::Batch, 2));
    assert_eq!((&first.ids, &first.logprobs), (&fresh.ids, &fresh.logprobs));
    assert_eq!(first.logprobs.len(), first.decoded);
    let is_sensible = |logprob: &f32| (-20.0..0.0).contains(logprob);
    assert!(first.logprobs.iter().all(is_sensible));
}

#[test]
fn an_answer_ends_at_a_stop_token_at_enough_and_at_the_last_position() {
    let engine = engine();
    let whole = answer(&engine, job(Class::Invoked, 1)).ids;
    let stop = whole[3];
    let kept: Vec<u32> = whole.iter().copied().take_while(|&id| id != stop).collect();

    let stopped = answer(
        &engine,
        Job {
            stops: vec![stop],
            ..job(Class::Invoked, 1)
        },
    );
    assert_eq!(
        (stopped.ended, stopped.decoded, stopped.replayed),
        (Ended::Stop, 0, kept.len() + 1),
        "the first job made these choices"
    );
    assert_eq!(stopped.ids, kept);

    let mut left = 3;
    let watch = Each(move |_| {
        left -= 1;
        if left == 0 { Flow::Enough } else { Flow::More }
    });
    let (_, enough) = submit(&engine, job(Class::Invoked, 1), Box::new(watch));
    let enough = enough.recv_timeout(PATIENCE).unwrap();
    assert_eq!((enough.ended, &enough.ids[..]), (Ended::Watch, &whole[..3]));

    let endless = answer(
        &engine,
        Job {
            max_tokens: 100_000,
            ..job(Class::Invoked, 1)
        },
    );
    assert_eq!(
        (endless.ended, endless.ids.len()),
        (Ended::Length, 127),
        "positions 3 to 128, and one token more"
    );

    let nothing = answer(
        &engine,
        Job {
            max_tokens: 0,
            ..job(Class::Invoked, 1)
        },
    );
    assert_eq!((nothing.ended, nothing.ids.len()), (Ended::Length, 0));
}

/// The tiny model's tables have places 0 to 128, so a rotary model's context of 128 ends at 127.
#[test]
fn positions_go_on_as_the_job_says_and_end_with_the_context() {
    let engine = engine();
    let endless = |advance| Job {
        advance,
        max_tokens: 100_000,
        ..job(Class::Invoked, 1)
    };
    let place = Job {
        positions: [(0..22).collect(), vec![0; 22]],
        ..endless(Advance::Place)
    };
    let span = answer(&engine, endless(Advance::Span));
    let still = answer(&engine, endless(Advance::Still));
    let placed = answer(&engine, place);
    assert_eq!(
        (placed.ended, placed.ids.len()),
        (Ended::Length, 107),
        "places 22 to 127, and one token more"
    );
    assert_eq!(
        (still.ended, still.ids.len()),
        (Ended::Length, 107),
        "22 tokens and 106 more in the context, and one token more"
    );
    assert_eq!(span.ids[0], still.ids[0], "the prompt is the same");
    assert_ne!(span.ids[..20], still.ids[..20], "what follows is not");
}

#[test]
fn a_job_that_the_model_cannot_run_fails_with_the_reason() {
    let engine = engine();
    let mut wrong = job(Class::Invoked, 1);
    wrong.ids[5] = 1_000_000;
    let Ended::Failed(reason) = answer(&engine, wrong).ended else {
        panic!("it ran")
    };
    assert!(reason.contains("1000000"), "{reason}");
    assert_eq!(answer(&engine, job(Class::Invoked, 1)).ended, Ended::Length);
}

#[test]
fn urgent_jobs_go_first_and_batch_jobs_in_order() {
    let engine = engine();
    let (watch, held, go) = holding();
    let (_, first) = submit(&engine, job(Class::Invoked, 1), watch);
    held.recv_timeout(PATIENCE).unwrap();

    let order = Arc::new(Mutex::new(Vec::new()));
    let (send, done) = channel();
    let jobs = [
        ("batch 1", Class::Batch),
        ("batch 2", Class::Batch),
        ("invoked", Class::Invoked),
        ("key", Class::Keystroke),
    ];
    for (document, (name, class)) in jobs.into_iter().enumerate() {
        let (order, send) = (order.clone(), send.clone());
        let note = move |_| {
            order.lock().unwrap().push(name);
            send.send(()).unwrap();
        };
        engine.submit(job(class, document as u64), more(), Box::new(note));
    }
    assert!(!engine.idle());
    drop(go);
    assert_eq!(first.recv_timeout(PATIENCE).unwrap().ended, Ended::Length);
    (0..4).for_each(|_| done.recv_timeout(PATIENCE).unwrap());
    assert_eq!(
        *order.lock().unwrap(),
        ["key", "invoked", "batch 1", "batch 2"]
    );
}

#[test]
fn a_running_batch_job_makes_way_and_still_gets_its_answer() {
    let alone = answer(&engine(), job(Class::Batch, 1));
    let engine = engine();
    let (watch, held, go) = holding();
    let (_, batch) = submit(&engine, job(Class::Batch, 1), watch);
    held.recv_timeout(PATIENCE).unwrap();
    let (send, urgent) = channel();
    let done = move |answer: Answer| {
        let batch_is_done = batch.try_recv().is_ok();
        send.send((answer.ended, batch_is_done, batch)).unwrap();
    };
    engine.submit(job(Class::Keystroke, 2), more(), Box::new(done));
    drop(go);
    let (ended, batch_is_done, batch) = urgent.recv_timeout(PATIENCE).unwrap();
    assert_eq!((ended, batch_is_done), (Ended::Length, false));
    assert_eq!(batch.recv_timeout(PATIENCE).unwrap().ids, alone.ids);
}

#[test]
fn a_newer_keystroke_supersedes_the_older_ones_of_its_document() {
    let engine = engine();
    let (watch, held, go) = holding();
    let (running, first) = submit(&engine, job(Class::Keystroke, 1), watch);
    held.recv_timeout(PATIENCE).unwrap();
    let (_, invoked) = submit(&engine, job(Class::Invoked, 1), more());
    let (_, other) = submit(&engine, job(Class::Keystroke, 2), more());
    assert!(!running.is_cancelled());
    let (_, second) = submit(&engine, job(Class::Keystroke, 1), more());
    let (_, third) = submit(&engine, job(Class::Keystroke, 1), more());
    assert!(running.is_cancelled());
    drop(go);
    let ended = |receiver: Receiver<Answer>| receiver.recv_timeout(PATIENCE).unwrap().ended;
    assert_eq!(ended(first), Ended::Superseded);
    assert_eq!(ended(second), Ended::Superseded);
    assert_eq!(ended(third), Ended::Length);
    assert_eq!(ended(invoked), Ended::Length);
    assert_eq!(ended(other), Ended::Length);
}

#[test]
fn a_cancelled_job_stops_between_steps_and_a_waiting_one_is_answered_meanwhile() {
    let engine = engine();
    let (watch, held, go) = holding();
    let (running, first) = submit(
        &engine,
        Job {
            max_tokens: 100,
            ..job(Class::Invoked, 1)
        },
        watch,
    );
    held.recv_timeout(PATIENCE).unwrap();
    let (waiting, second) = submit(&engine, job(Class::Invoked, 2), more());
    waiting.cancel();
    running.cancel();
    drop(go);
    let answer = first.recv_timeout(PATIENCE).unwrap();
    assert_eq!((answer.ended, answer.ids.len()), (Ended::Cancelled, 1));
    assert_eq!(
        second.recv_timeout(PATIENCE).unwrap().ended,
        Ended::Cancelled
    );
    wait_until_idle(&engine);
}

#[test]
fn cancel_under_load_makes_the_engine_idle_and_answers_each_job_once() {
    let engine = engine();
    let answers: Vec<Arc<AtomicUsize>> = (0..300).map(|_| Arc::default()).collect();
    let mut cancels = Vec::new();
    for (index, count) in answers.iter().enumerate() {
        let class = [Class::Keystroke, Class::Invoked, Class::Batch][index % 3];
        let job = Job {
            max_tokens: 120,
            ..job(class, index as u64 % 5)
        };
        let count = count.clone();
        let done = move |_| {
            count.fetch_add(1, Ordering::SeqCst);
        };
        cancels.push(engine.submit(job, more(), Box::new(done)));
        if index % 7 == 0 {
            cancels[index / 2].cancel();
        }
    }
    cancels.iter().for_each(Cancel::cancel);
    wait_until_idle(&engine);
    assert_eq!(
        answer(&engine, job(Class::Invoked, 1)).ended,
        Ended::Length,
        "the engine still works"
    );
    for (index, count) in answers.iter().enumerate() {
        assert_eq!(count.load(Ordering::SeqCst), 1, "answers of job {index}");
    }
}

#[test]
fn a_job_that_panics_fails_and_the_engine_lives() {
    let engine = engine();
    let watch = Each(|_| panic!("this watch is broken on purpose"));
    let (_, broken) = submit(&engine, job(Class::Invoked, 1), Box::new(watch));
    let Ended::Failed(reason) = broken.recv_timeout(PATIENCE).unwrap().ended else {
        panic!("it ran")
    };
    assert!(reason.contains("broken on purpose"), "{reason}");
    engine.submit(
        job(Class::Invoked, 1),
        more(),
        Box::new(|_| panic!("this answer's taker too")),
    );
    assert_eq!(answer(&engine, job(Class::Invoked, 1)).ended, Ended::Length);
    wait_until_idle(&engine);
}

#[test]
fn dropping_the_engine_answers_what_is_left() {
    let engine = engine();
    let (watch, held, go) = holding();
    let (_, running) = submit(&engine, job(Class::Invoked, 1), watch);
    held.recv_timeout(PATIENCE).unwrap();
    let (_, waiting) = submit(&engine, job(Class::Batch, 1), more());
    drop(engine);
    drop(go);
    assert_eq!(
        running.recv_timeout(PATIENCE).unwrap().ended,
        Ended::Cancelled
    );
    assert_eq!(
        waiting.recv_timeout(PATIENCE).unwrap().ended,
        Ended::Cancelled
    );
}
