//! Drafts change the time that an answer takes and nothing else.

use crate::harness::{PLENTY, Random, Spelled, check, job, model, plain, spelling, tiny, watched};
use engine::{Allowed, Class, Engine, Flow, Job, Watch};
use glm::{Config, fixture};
use std::collections::BTreeSet;
use std::sync::Arc;

fn causal() -> Config {
    Config {
        context: 512,
        ..fixture::members()[3]
    }
}

/// What a job may find to copy from: its own answer, whole, from the middle, with faults; or nothing of the kind.
fn drafts(random: &mut Random, job: &Job, answer: &[u32], vocabulary: usize) -> Vec<Arc<[u32]>> {
    let mut text = [&job.ids[job.ids.len() - 4..], answer].concat();
    match random.below(4) {
        0 => vec![text.into()],
        1 => vec![random.ids(20, vocabulary).into(), text.split_off(3).into()],
        2 => {
            for _ in 0..3 {
                let place = random.below(text.len());
                text[place] = random.below(vocabulary) as u32;
            }
            vec![text.into()]
        }
        _ => vec![random.ids(50, vocabulary).into()],
    }
}

fn check_all(config: &Config, seed: u64) -> (u64, u64) {
    let reference = model(config);
    let engine = Engine::start(model(config), PLENTY);
    let vocabulary = config.vocabulary;
    let mut random = Random::new(seed);
    for round in 0..60 {
        let (long, short) = (5 + random.below(40), 1 + random.below(4));
        let mut part_a = random.ids(long, vocabulary);
        // Text that repeats itself, so that there is something to look up.
        part_a.extend_from_within(..long / 2);
        let head = random.ids(short, vocabulary);
        let mut job = job(config, Class::Invoked, 1, &part_a, &head);
        job.max_tokens = 1 + random.below(30);
        let free = plain(&reference, &job, Spelled::new(vocabulary, b"", usize::MAX));
        job.drafts = drafts(&mut random, &job, &free.ids, vocabulary);
        if random.chance(40) {
            // A token that comes, at a place that may lie within a draft.
            job.stops = vec![free.ids[random.below(free.ids.len())]];
        }
        let mut left = Vec::new();
        if random.chance(40) {
            let spelled: Vec<u8> = free.ids.iter().flat_map(|&id| spelling(id)).collect();
            left.extend(&spelled[..random.below(spelled.len().min(12))]);
            if random.chance(50) {
                left.push(b'0' + random.below(3) as u8);
            }
        }
        let enough = if random.chance(30) {
            1 + random.below(20)
        } else {
            usize::MAX
        };
        let watch = Spelled::new(vocabulary, &left, enough);
        let expected = plain(&reference, &job, watch.clone());
        let answer = watched(&engine, job, Box::new(watch));
        check(&answer, &expected, &format!("round {round} of seed {seed}"));
    }
    let totals = engine.counters().interactive;
    assert!(totals.steps + totals.accepted >= totals.decoded);
    (totals.drafted, totals.accepted)
}

#[test]
fn the_answer_is_that_of_plain_greedy_decoding() {
    for config in [tiny(), causal(), fixture::members()[6]] {
        let mut sum = (0, 0);
        for seed in 1..4 {
            let (drafted, accepted) = check_all(&config, seed);
            sum = (sum.0 + drafted, sum.1 + accepted);
        }
        assert!(
            sum.1 > 100 && sum.0 > sum.1,
            "some drafts were right and some wrong: {sum:?}"
        );
    }
}

#[test]
fn a_planted_text_takes_few_steps() {
    let config = tiny();
    let reference = model(&config);
    let mut random = Random::new(1);
    // Random models like to repeat themselves; a text that does is found in too many places.
    let (mut planted, free) = (0..40)
        .map(|_| {
            let mut planted = job(&config, Class::Invoked, 1, &random.ids(24, 200), &[3, 5]);
            planted.max_tokens = 40;
            let free = plain(&reference, &planted, Spelled::new(200, b"", usize::MAX));
            (planted, free)
        })
        .max_by_key(|(_, free)| free.ids.iter().collect::<BTreeSet<_>>().len())
        .expect("there are 40");
    planted.drafts = vec![[&[3, 5], &free.ids[..]].concat().into()];
    let engine = Engine::start(model(&config), PLENTY);
    let answer = watched(
        &engine,
        planted,
        Box::new(Spelled::new(200, b"", usize::MAX)),
    );
    check(&answer, &free, "planted");
    let steps = engine.counters().interactive.steps;
    assert!(steps <= 10, "{steps} steps, {answer:?}");
    assert_eq!(answer.decoded, 40);
    assert!(answer.accepted >= 30 && answer.accepted <= answer.drafted);
}

/// A watch that lets any token come at first, and after some only even ones.
#[derive(Clone)]
struct Even {
    any: usize,
    ids: Vec<u32>,
}

impl Watch for Even {
    fn token(&mut self, _id: u32) -> Flow {
        self.any = self.any.saturating_sub(1);
        Flow::More
    }

    fn allowed(&self) -> Allowed<'_> {
        match self.any {
            0 => Allowed::Only {
                key: b"even",
                ids: &self.ids,
            },
            _ => Allowed::Any,
        }
    }
}

/// The model is asked for tokens where any may come, and what it gives may turn out to be of no use within a draft.
#[test]
fn a_constraint_that_begins_within_a_draft_holds() {
    let config = causal();
    let reference = model(&config);
    let mut random = Random::new(5);
    let mut accepted = 0;
    for any in 1..12 {
        let mut planted = job(&config, Class::Invoked, 1, &random.ids(24, 100), &[3, 5]);
        planted.max_tokens = 20;
        let free = plain(&reference, &planted, Spelled::new(100, b"", usize::MAX));
        let context = &planted.ids[planted.ids.len() - 12..];
        planted.drafts = vec![[context, &free.ids].concat().into()];
        let ids = (0..100).step_by(2).collect();
        let watch = Even { any, ids };
        let expected = plain(&reference, &planted, watch.clone());
        let engine = Engine::start(model(&config), PLENTY);
        let answer = watched(&engine, planted, Box::new(watch));
        accepted += answer.accepted;
        check(&answer, &expected, &format!("after {any}"));
    }
    assert!(accepted > 30, "{accepted}");
}
