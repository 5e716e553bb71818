//! Sampled answers: the same for the same seed, whatever else the engine does, and as likely as the model says.

use crate::harness::{
    PATIENCE, PLENTY, Random, Spelled, answer, check, engine, job, model, more, plain, spelling,
    submit, tiny, watched,
};
use engine::{Class, Engine, Job, Sampling};
use glm::{Chunk, Config, Part, Want, fixture};

fn both() -> [Config; 2] {
    [tiny(), fixture::members()[3]]
}

fn sampled(temperature: f32, top_p: f32, seed: u64) -> Sampling {
    Sampling {
        temperature,
        top_p,
        seed,
    }
}

/// Jobs of several prompts, some of which are the same, and of several samplings, greedy among them.
fn jobs(config: &Config) -> Vec<Job> {
    let mut random = Random::new(4);
    let prompts: Vec<_> = (0..4)
        .map(|_| (random.ids(24, 90), random.ids(2, 90)))
        .collect();
    let jobs = (0..24).map(|index| {
        let (part_a, head) = &prompts[index % prompts.len()];
        let sampling = match index % 6 {
            0 => Sampling::GREEDY,
            1 | 2 => sampled(1.0, 1.0, index as u64),
            3 => sampled(0.7, 0.9, 3),
            4 => sampled(1.5, 0.5, index as u64),
            _ => sampled(2.0, 1.0, 3),
        };
        Job {
            sampling,
            max_tokens: 12,
            ..job(config, Class::Batch, index as u64, part_a, head)
        }
    });
    jobs.collect()
}

#[test]
fn a_seed_gives_the_same_answer_alone_in_a_batch_again_and_with_drafts() {
    for config in both() {
        let jobs = jobs(&config);
        let alone: Vec<_> = jobs
            .iter()
            .map(|job| answer(&Engine::start(model(&config), 0), job.clone()))
            .collect();
        let engine = engine(&config);
        for round in ["at once", "again"] {
            let receivers: Vec<_> = jobs
                .iter()
                .map(|job| submit(&engine, job.clone(), more()).1)
                .collect();
            for ((receiver, alone), job) in receivers.iter().zip(&alone).zip(&jobs) {
                let answer = receiver.recv_timeout(PATIENCE).expect("an answer");
                assert_eq!(answer.ids, alone.ids, "{round}: {:?}", job.sampling);
            }
        }
        let drafting = Engine::start(model(&config), 0);
        let mut accepted = 0;
        for (job, alone) in jobs.iter().zip(&alone) {
            let planted = [&job.ids[job.ids.len() - 2..], &alone.ids].concat();
            let job = Job {
                drafts: vec![planted.into()],
                ..job.clone()
            };
            let sampling = job.sampling;
            let answer = answer(&drafting, job);
            assert_eq!(answer.ids, alone.ids, "with drafts: {sampling:?}");
            accepted += answer.accepted;
        }
        assert!(accepted > 100, "{accepted} tokens were drafted and taken");
    }
}

#[test]
fn a_choice_is_replayed_for_the_same_sampling_alone() {
    for config in both() {
        let engine = engine(&config);
        let ask = |sampling| {
            let job = Job {
                sampling,
                ..job(&config, Class::Invoked, 1, &[7; 20], &[1, 2])
            };
            answer(&engine, job)
        };
        let first = ask(sampled(1.0, 1.0, 1));
        assert_eq!((first.decoded, first.replayed), (8, 0));
        let again = ask(sampled(1.0, 1.0, 1));
        assert_eq!((again.decoded, again.replayed), (0, 8));
        assert_eq!((&again.ids, &again.logprobs), (&first.ids, &first.logprobs));
        for other in [
            sampled(1.0, 1.0, 2),
            sampled(0.5, 1.0, 2),
            sampled(0.5, 0.9, 2),
            Sampling::GREEDY,
        ] {
            assert_eq!(ask(other).replayed, 0, "{other:?}");
        }
        // Greedy after sampled is greedy still.
        let greedy = job(&config, Class::Invoked, 1, &[7; 20], &[1, 2]);
        let watch = Spelled::new(config.vocabulary, b"", usize::MAX);
        let expected = plain(&model(&config), &greedy, watch);
        check(&ask(Sampling::GREEDY), &expected, "greedy after sampled");
    }
}

#[test]
fn a_choice_at_another_place_of_its_answer_is_another_choice() {
    let config = tiny();
    let sampling = sampled(1.0, 1.0, 5);
    let of = |head: &[u32]| Job {
        sampling,
        ..job(&config, Class::Invoked, 1, &[7; 20], head)
    };
    let warm = engine(&config);
    let first = answer(&warm, of(&[1]));
    // What was drawn is typed: the numbers of the tokens after it are others now.
    let typed = of(&[1, first.ids[0]]);
    let after = answer(&warm, typed.clone());
    assert_eq!(after.replayed, 0);
    assert_eq!(after.ids, answer(&engine(&config), typed).ids);
}

#[test]
fn first_tokens_are_as_frequent_as_the_model_says() {
    const TIMES: u64 = 4000;
    let config = tiny();
    let mut request = job(&config, Class::Batch, 1, &[3; 12], &[1]);
    request.max_tokens = 1;
    let reference = model(&config);
    let (mut kv, mut work) = (reference.kv(), reference.workspace());
    let part = Part {
        chunk: Chunk {
            ids: &request.ids,
            positions: request.positions.each_ref().map(Vec::as_slice),
            prefix: config.part_a.zones(request.part_a, request.mask_at),
        },
        kv: &mut kv,
        want: Want::Last,
    };
    reference
        .forward(&mut [part], &mut work, &mut || false)
        .expect("the job fits the model");
    let temperature = 0.7;
    let weights: Vec<f64> = work
        .logits(0)
        .row(0)
        .iter()
        .map(|logit| f64::from(logit / temperature).exp())
        .collect();
    let total: f64 = weights.iter().sum();

    let engine = Engine::start(model(&config), PLENTY);
    let mut counts = vec![0.0; config.vocabulary];
    for seed in 0..TIMES {
        request.sampling = sampled(temperature, 1.0, seed);
        counts[answer(&engine, request.clone()).ids[0] as usize] += 1.0;
    }
    // Chi-squared over the tokens that are likely enough for it, and all others as one.
    let mut squares = 0.0;
    let (mut rest, mut rest_count, mut freedom) = (0.0, 0.0, 0.0);
    for (weight, count) in weights.iter().zip(&counts) {
        let expected = weight / total * TIMES as f64;
        if expected < 10.0 {
            rest += expected;
            rest_count += count;
            continue;
        }
        squares += (count - expected).powi(2) / expected;
        freedom += 1.0;
    }
    if rest > 10.0 {
        squares += (rest_count - rest).powi(2) / rest;
    }
    assert!(freedom > 10.0, "{freedom} tokens are likely");
    let bound = freedom + 5.0 * f64::sqrt(2.0 * freedom);
    assert!(squares < bound, "{squares} is more than {bound}");
}

#[test]
fn what_is_drawn_is_allowed() {
    for config in both() {
        let warm = engine(&config);
        for (seed, left) in [b"1", b"2", b"1"].iter().cycle().take(24).enumerate() {
            let left = [&left[..], &spelling(seed as u32)].concat();
            let request = Job {
                sampling: sampled(1.5, [1.0, 0.6][seed % 2], seed as u64 / 3),
                ..job(&config, Class::Invoked, 1, &[7; 20], &[1, 2])
            };
            let watch = || Box::new(Spelled::new(config.vocabulary, &left, usize::MAX));
            let first = watched(&warm, request.clone(), watch());
            let text: Vec<u8> = first.ids.iter().flat_map(|&id| spelling(id)).collect();
            assert!(
                text.starts_with(&left),
                "{text:?} does not begin with {left:?}"
            );
            let again = watched(&warm, request.clone(), watch());
            assert_eq!((&again.ids, again.replayed), (&first.ids, 8));
            let alone = watched(&engine(&config), request, watch());
            assert_eq!(alone.ids, first.ids);
        }
    }
}

#[test]
fn other_seeds_give_other_answers() {
    let config = tiny();
    let engine = engine(&config);
    let answers: std::collections::BTreeSet<Vec<u32>> = (0..20)
        .map(|seed| {
            let job = Job {
                sampling: sampled(1.0, 1.0, seed),
                ..job(&config, Class::Batch, 1, &[7; 20], &[1])
            };
            answer(&engine, job).ids
        })
        .collect();
    assert!(answers.len() >= 18, "{} different answers", answers.len());
}
