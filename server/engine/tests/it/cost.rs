//! What the engine and its drafts cost. `cargo test --release -p engine -- --ignored --nocapture cost`

use crate::harness::{PLENTY, answer, job, watched};
use engine::{Allowed, Class, Engine, Flow, Job, Watch};
use glm::{
    Chunk, Part, Prefix, Want,
    fixture::{self, Weights},
};
use std::time::{Duration, Instant};

/// Lets one token come at each step, so that the answer is given and nothing in it comes twice.
struct Given(std::ops::RangeInclusive<u32>, [u32; 1]);

impl Watch for Given {
    fn token(&mut self, _: u32) -> Flow {
        self.1 = [self.0.next().expect("there are more than tokens asked for")];
        Flow::More
    }

    fn allowed(&self) -> Allowed<'_> {
        Allowed::Only {
            key: b"given",
            ids: &self.1,
        }
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// A pass of several rows against one of one row: what a draft must bring to be worth it.
#[test]
#[ignore = "a measurement"]
fn cost_of_rows() {
    for (name, config) in [
        ("embedded shape", fixture::embedded()),
        (
            "42M parameters",
            fixture::glm(12, 512, 8, 2048, 16384, 1024),
        ),
    ] {
        let model = fixture::model(&config, Weights::Q8, 1);
        let mut kv = model.kv();
        let mut work = model.workspace();
        let ids: Vec<u32> = (0..400).collect();
        let zeros = vec![0; 400];
        let chunk = |from: usize, to: usize| Chunk {
            ids: &ids[from..to],
            positions: [&ids[from..to], &zeros[from..to]],
            prefix: Prefix::default(),
        };
        let mut pass = |from: usize, to: usize, kv: &mut glm::KvCache| {
            let part = Part {
                chunk: chunk(from, to),
                kv,
                want: Want::All,
            };
            model
                .forward(&mut [part], &mut work, &mut || false)
                .unwrap();
        };
        pass(0, 380, &mut kv);
        let mut times: Vec<Vec<Duration>> = vec![Vec::new(); 9];
        for _ in 0..60 {
            for (rows, times) in times.iter_mut().enumerate().skip(1) {
                kv.truncate(380);
                let began = Instant::now();
                pass(380, 380 + rows, &mut kv);
                times.push(began.elapsed());
            }
        }
        let times: Vec<Duration> = times.into_iter().skip(1).map(median).collect();
        let ratios: Vec<String> = times
            .iter()
            .map(|time| format!("{:.2}", time.as_secs_f64() / times[0].as_secs_f64()))
            .collect();
        println!(
            "{name}: 1 row {:?}, 1 to 8 rows {}",
            times[0],
            ratios.join(" ")
        );
    }
}

/// A step of the engine against the pass alone, and the same answer with drafts that are right.
#[test]
#[ignore = "a measurement"]
fn cost_of_a_step() {
    let config = fixture::embedded();
    let model = fixture::model(&config, Weights::Q8, 1);
    let mut kv = model.kv();
    let mut work = model.workspace();
    let ids: Vec<u32> = (0..256).map(|i| i * 29 % 8000).collect();
    let mut request: Job = job(&config, Class::Invoked, 1, &ids, &[1, 2]);
    request.max_tokens = 100;
    let mut pass = |ids: &[u32], rows: [&[u32]; 2]| {
        let chunk = Chunk {
            ids,
            positions: rows,
            prefix: config.part_a.zones(request.part_a, request.mask_at),
        };
        let part = Part {
            chunk,
            kv: &mut kv,
            want: Want::Last,
        };
        let began = Instant::now();
        model
            .forward(&mut [part], &mut work, &mut || false)
            .unwrap();
        began.elapsed()
    };
    let [row_0, row_1] = &request.positions;
    pass(&request.ids, [row_0, row_1]);
    let steps = (0..99).map(|i| pass(&[7 + i], [&[85], &[3 + i]]));
    let alone = median(steps.collect());

    let engine = Engine::start(fixture::model(&config, Weights::Q8, 1), 0);
    let time = |job: &Job, is_given: bool| {
        let times = (0..15).map(|_| {
            let given = || Box::new(Given(8002..=8191, [8001]));
            let answer = match is_given {
                true => watched(&engine, job.clone(), given()),
                false => answer(&engine, job.clone()),
            };
            assert!(!is_given || answer.drafted == 0);
            answer.decode / 99
        });
        median(times.collect())
    };
    let given = time(&request, true);
    println!("a pass alone {alone:?}, a step of the engine {given:?}");
    let plain = answer(&engine, request.clone());
    let own = time(&request, false);
    request.drafts = vec![[&[1, 2], &plain.ids[..]].concat().into()];
    let with_drafts = time(&request, false);
    let planted = answer(&engine, request);
    println!(
        "a token with drafts from the answer itself {own:?} ({} of {} right), with the answer planted {with_drafts:?} ({} of {} right)",
        plain.accepted, plain.drafted, planted.accepted, planted.drafted
    );

    // A keystroke whose answer is there: nothing but the engine.
    let engine = Engine::start(fixture::model(&config, Weights::Q8, 1), PLENTY);
    let request: Job = Job {
        max_tokens: 60,
        ..job(&config, Class::Keystroke, 1, &ids, &[1, 2])
    };
    answer(&engine, request.clone());
    let times = (0..200).map(|_| {
        let began = Instant::now();
        assert_eq!(answer(&engine, request.clone()).replayed, 60);
        began.elapsed()
    });
    println!(
        "60 tokens replayed: {:?} there and back",
        median(times.collect())
    );
}
