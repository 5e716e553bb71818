//! What one job leaves to the next: keys and values of what they share, and the choices behind it.

use crate::harness::{
    PATIENCE, PLENTY, Spelled, answer, check, engine, holding, job, model, more, plain, spelling,
    submit, tiny, watched,
};
use engine::{Answer, Class, Ended, Engine, Job};
use glm::{Attention, Config, PartA, fixture};

const PART_A: [u32; 30] = {
    let mut ids = [0; 30];
    let mut i = 0;
    while i < 30 {
        ids[i] = (i as u32 * 7 + 3) % 90;
        i += 1;
    }
    ids
};

fn both() -> [Config; 2] {
    [tiny(), fixture::members()[3]]
}

fn key(config: &Config, head: &[u32]) -> Job {
    job(config, Class::Keystroke, 1, &PART_A, head)
}

/// Prompt tokens run and found, tokens chosen and found.
fn took(answer: &Answer) -> (usize, usize, usize, usize) {
    (
        answer.prefilled,
        answer.reused,
        answer.decoded,
        answer.replayed,
    )
}

/// Answers a job as the engine must.
#[track_caller]
fn ask(engine: &Engine, config: &Config, job: Job) -> Answer {
    let expected = plain(&model(config), &job, Spelled::new(0, b"", usize::MAX));
    let answer = answer(engine, job);
    check(&answer, &expected, "");
    answer
}

#[test]
fn typing_costs_the_tokens_typed_and_what_agrees_costs_nothing() {
    for config in both() {
        let engine = engine(&config);
        let first = ask(&engine, &config, key(&config, &[1]));
        assert_eq!(took(&first), (31, 0, 8, 0));

        // What the model said itself is typed: the rest is there, but for one more token at the end.
        let along: Vec<u32> = [1]
            .into_iter()
            .chain(first.ids[..2].iter().copied())
            .collect();
        let second = ask(&engine, &config, key(&config, &along));
        assert_eq!(took(&second), (0, 33, 2, 6));

        // Back again: the same choices, made long ago.
        let back = ask(&engine, &config, key(&config, &[1]));
        assert_eq!(took(&back), (0, 31, 0, 8));

        // Something else is typed: only that is run.
        let other = (first.ids[2] + 1) % 90;
        let astray: Vec<u32> = along.iter().copied().chain([other, 4]).collect();
        let third = ask(&engine, &config, key(&config, &astray));
        assert_eq!(took(&third), (2, 33, 8, 0));

        // Backspace over it: the last token is run once more for its logits.
        let fourth = ask(&engine, &config, key(&config, &along));
        assert_eq!(took(&fourth), (1, 32, 8, 0));
    }
}

#[test]
fn a_stop_token_is_found_again_and_is_a_token_for_those_it_does_not_stop() {
    for config in both() {
        let whole = answer(&engine(&config), key(&config, &[1])).ids;
        let stop = whole[4];
        let count = whole.iter().position(|&id| id == stop).unwrap();
        let stopping = |head: &[u32]| Job {
            stops: vec![stop],
            ..key(&config, head)
        };
        let engine = engine(&config);
        let first = ask(&engine, &config, stopping(&[1]));
        assert_eq!((&first.ended, first.decoded), (&Ended::Stop, count + 1));
        let again = ask(&engine, &config, stopping(&[1]));
        assert_eq!(took(&again), (0, 31, 0, count + 1));
        let on = ask(&engine, &config, key(&config, &[1]));
        assert_eq!(took(&on), (0, 31, 8 - count - 1, count + 1));
    }
}

#[test]
fn a_prompt_run_ahead_is_there_for_the_keystroke() {
    for config in both() {
        let engine = engine(&config);
        let ahead = Job {
            class: Class::Ahead,
            max_tokens: 0,
            ..key(&config, &[1])
        };
        let first = answer(&engine, ahead.clone());
        assert_eq!(first.ended, Ended::Length);
        assert_eq!(took(&first), (31, 0, 0, 0));
        assert_eq!(took(&answer(&engine, ahead)), (0, 31, 0, 0));
        let typed = ask(&engine, &config, key(&config, &[1, 2, 3]));
        assert_eq!(took(&typed), (2, 31, 8, 0));
    }
}

#[test]
fn another_prompt_leaves_a_session_alone_while_there_is_room() {
    for config in both() {
        let engine = engine(&config);
        let first = ask(&engine, &config, key(&config, &[1]));
        let mut other = PART_A;
        // A few tokens are the same, as the opening of every prompt is.
        other[4] += 1;
        let other = |head: &[u32]| job(&config, Class::Keystroke, 1, &other, head);
        assert_eq!(ask(&engine, &config, other(&[2])).reused, 0);
        let again = ask(&engine, &config, key(&config, &[1]));
        assert_eq!((took(&again), &again.ids), ((0, 31, 0, 8), &first.ids));
        assert_eq!(took(&ask(&engine, &config, other(&[2]))), (0, 31, 0, 8));
    }
}

#[test]
fn after_a_jump_what_is_far_before_both_blanks_is_there() {
    let config = Config {
        part_a: PartA::Zones { near: 4 },
        ..tiny()
    };
    let engine = engine(&config);
    let ids: Vec<u32> = (0..105).map(|i| (i * 7 + 3) % 90).collect();
    // A third of it stands before the blank.
    let at = |count: usize| job(&config, Class::Keystroke, 1, &ids[..count], &[1]);
    let first = ask(&engine, &config, at(90));
    assert_eq!(took(&first), (91, 0, 8, 0));
    let jumped = ask(&engine, &config, at(105));
    assert_eq!(took(&jumped), (106 - 26, 26, 8, 0));
    let back = ask(&engine, &config, at(90));
    assert_eq!((took(&back), &back.ids), ((0, 91, 0, 8), &first.ids));
    // Where all is seen from everywhere, nothing of it can stay.
    let whole = tiny();
    let engine = self::engine(&whole);
    let at = |count: usize| job(&whole, Class::Keystroke, 1, &ids[..count], &[1]);
    ask(&engine, &whole, at(90));
    assert_eq!(ask(&engine, &whole, at(105)).reused, 0);
}

#[test]
fn jobs_of_a_batch_run_what_their_prompts_share_once() {
    let latents = fixture::members()
        .into_iter()
        .find(|config| matches!(config.attention, Attention::Latent(_)));
    for config in both().into_iter().chain(latents) {
        let engine = engine(&config);
        let (watch, held, go) = holding();
        let other = job(&config, Class::Invoked, 99, &[60, 61, 62], &[1]);
        let (_, first) = submit(&engine, other, watch);
        held.recv_timeout(PATIENCE).unwrap();
        // Instructions that all of them have, then what each is about.
        let shared: Vec<u32> = (0..40).map(|i| (i * 11 + 5) % 60).collect();
        let unit = |unit: u32| {
            job(
                &config,
                Class::Batch,
                1,
                &shared,
                &[70 + unit, 80 + unit, 7],
            )
        };
        let jobs: Vec<Job> = (0..5).map(unit).collect();
        let answers: Vec<_> = jobs
            .iter()
            .map(|job| submit(&engine, job.clone(), more()).1)
            .collect();
        drop(go);
        first.recv_timeout(PATIENCE).unwrap();
        let reference = model(&config);
        for (number, (job, answer)) in jobs.iter().zip(answers).enumerate() {
            let answer = answer.recv_timeout(PATIENCE).unwrap();
            check(
                &answer,
                &plain(&reference, job, Spelled::new(0, b"", usize::MAX)),
                "",
            );
            let of_prompt = match number {
                0 => (43, 0),
                _ => (3, 40),
            };
            assert_eq!((answer.prefilled, answer.reused), of_prompt, "job {number}");
        }
        // And so does one that comes when they are at rest.
        assert_eq!(ask(&engine, &config, unit(9)).reused, 40);
    }
}

#[test]
fn without_room_the_session_used_longest_ago_goes() {
    let config = tiny();
    // Keys and values of a token take 1 KiB, and memory comes in larger pieces.
    let engine = Engine::start(model(&config), 140 << 10);
    let of = |document: u32| {
        let ids: Vec<u32> = (0..40).map(|i| (i * 3 + document * 31) % 199).collect();
        job(&config, Class::Invoked, u64::from(document), &ids, &[1])
    };
    let replayed = |document| ask(&engine, &config, of(document)).replayed;
    assert_eq!((replayed(1), replayed(2), replayed(1)), (0, 0, 8));
    (3..6).for_each(|document| assert_eq!(replayed(document), 0));
    assert_eq!(replayed(5), 8, "the last one is there");
    assert_eq!(replayed(1), 0, "the first one is not");

    let nothing = Engine::start(model(&config), 0);
    (0..2).for_each(|_| assert_eq!(ask(&nothing, &config, of(1)).replayed, 0));
}

#[test]
fn choices_serve_again_under_constraints_that_would_have_made_them() {
    for config in both() {
        let engine = engine(&config);
        let vocabulary = config.vocabulary;
        let reference = model(&config);
        let ask = |left: &[u8]| {
            let watch = Spelled::new(vocabulary, left, usize::MAX);
            let job = key(&config, &[1]);
            let expected = plain(&reference, &job, watch.clone());
            let answer = watched(&engine, job, Box::new(watch));
            check(&answer, &expected, &String::from_utf8_lossy(left));
            answer
        };
        let free = ask(b"");
        let spelled: Vec<u8> = free.ids.iter().flat_map(|&id| spelling(id)).collect();
        // What the model would say anyway is found under every beginning of it, longer and shorter.
        for length in [1, 4, 9, 2, 7, 0] {
            assert_eq!(took(&ask(&spelled[..length])), (0, 31, 0, 8));
        }
        // Something else has to be chosen, but the prompt is not run again, except for its last token.
        let other = [b'0' + (spelled[0] - b'0') % 2 + 1];
        let astray = ask(&other);
        assert_eq!((astray.prefilled, astray.replayed), (1, 0));
        let first = spelling(astray.ids[0]);
        let longer = ask(&first);
        assert_eq!(longer.replayed, 8, "a longer key, and the choice is in it");
        // Without the constraint the choice does not stand, nor does one with a longer key under a shorter.
        assert_eq!(ask(b"").replayed, 0);
        let mut long = other.to_vec();
        long.extend(b"0121");
        assert_eq!(ask(&long).replayed, 0);
        assert_eq!(ask(&long[..3]).replayed, 0);
    }
}

#[test]
fn a_watch_that_allows_nothing_ends_the_answer() {
    let config = tiny();
    let engine = engine(&config);
    let stuck = |left: &[u8]| {
        watched(
            &engine,
            key(&config, &[1]),
            Box::new(Spelled::new(200, left, 99)),
        )
    };
    let before = stuck(b"x");
    assert_eq!((before.ended, before.ids.len()), (Ended::Stuck, 0));
    let after = stuck(b"12x");
    assert_eq!(after.ended, Ended::Stuck);
    let came: Vec<u8> = after.ids.iter().flat_map(|&id| spelling(id)).collect();
    assert_eq!(came, b"12");
}

#[test]
fn the_store_keeps_to_its_bytes() {
    let config = tiny();
    for limit in [0, 60 << 10, 200 << 10, PLENTY] {
        let engine = Engine::start(model(&config), limit);
        for document in 0..8u32 {
            let ids: Vec<u32> = (0..30).map(|i| (i + document * 29) % 199).collect();
            answer(&engine, job(&config, Class::Invoked, 1, &ids, &[1]));
            crate::harness::wait_until_idle(&engine);
            let kept = engine.counters().kept_bytes;
            assert!(kept <= limit as u64, "{kept} of {limit}");
            assert!(limit < PLENTY || kept > u64::from(document + 1) * (38 << 10));
        }
    }
}
