//! Many documents at once in random order: every answer is that of plain greedy decoding of the job alone.
//!
//! A script is made from a seed before anything runs: people type, backspace, jump, wait, ask by hand and move on;
//! prompts are run ahead; batch jobs lie beside; jobs are cancelled. Then it is played to an engine as fast as it takes
//! it, with pauses here and there.

use crate::harness::{
    PATIENCE, PLENTY, Plain, Random, Spelled, check, check_up_to_ties, job, model, plain, spelling,
    submit,
};
use engine::{Cancel, Class, Counters, Ended, Engine, Job};
use glm::{Config, Device, Model, PartA, Source, Weights, fixture};
use std::time::Duration;

enum Step {
    /// A job, with what its answer must begin with, when its watch has enough, and what the answer must be.
    Submit(Box<(Job, Spelled, Plain)>),
    /// Cancels the job that is as many before the last.
    Cancel(usize),
    /// Nothing for some microseconds.
    Pause(u64),
    /// Nothing until the last job is answered.
    Await,
}

/// A document as somebody works on it.
struct Document {
    number: u64,
    part_a: Vec<u32>,
    head: Vec<u32>,
    /// Bytes of the head that are no whole token.
    typed: Vec<u8>,
    /// The last answer.
    shown: Vec<u32>,
}

impl Document {
    fn new(number: u64, config: &Config, random: &mut Random) -> Document {
        let mut document = Document {
            number,
            part_a: Vec::new(),
            head: Vec::new(),
            typed: Vec::new(),
            shown: Vec::new(),
        };
        document.jump(config, random);
        document
    }

    /// The cursor goes elsewhere.
    fn jump(&mut self, config: &Config, random: &mut Random) {
        let most = config.context * 2 / 3 - 20;
        // Some documents share their opening.
        let opening = (0..random.below(8) as u32).map(|i| i + 5);
        self.part_a = opening.collect();
        let count = 8 + random.below(most);
        self.part_a.extend(random.ids(count, config.vocabulary));
        self.head = vec![2];
        self.typed.clear();
        self.shown.clear();
    }

    fn type_on(&mut self, config: &Config, random: &mut Random) {
        match random.below(10) {
            0..3 => {
                // Along what is shown.
                let count = random.below(4).min(self.shown.len());
                self.head.extend(self.shown.drain(..count));
            }
            3..5 => {
                // Half a token of what is shown, then some more of it.
                let spelled: Vec<u8> = self.shown.iter().flat_map(|&id| spelling(id)).collect();
                let count = random.below(7).min(spelled.len());
                self.typed = spelled[..count].to_vec();
            }
            5 => self.typed = spelling(random.below(config.vocabulary) as u32),
            6 => self.typed.truncate(self.typed.len() / 2),
            7..9 => {
                let count = 1 + random.below(3);
                self.head.extend(random.ids(count, config.vocabulary));
                self.typed.clear();
            }
            _ => self.head.extend(random.ids(10, config.vocabulary)),
        }
        if self.head.len() > 24 {
            self.jump(config, random);
        }
    }

    fn backspace(&mut self, random: &mut Random) {
        let left = 1 + random.below(self.head.len());
        self.head.truncate(left);
        self.typed.clear();
    }
}

fn script(config: &Config, reference: &Model, seed: u64) -> Vec<Step> {
    let mut random = Random::new(seed);
    let mut documents: Vec<Document> = (0..4)
        .map(|number| Document::new(number, config, &mut random))
        .collect();
    let stops = random.ids(3, config.vocabulary);
    let mut steps = Vec::new();
    for _ in 0..90 {
        let index = random.below(documents.len());
        let document = &mut documents[index];
        let class = match random.below(20) {
            0..9 => Class::Keystroke,
            9..11 => Class::Invoked,
            11..14 => Class::Ahead,
            14..17 => Class::Batch,
            17 => {
                steps.push(Step::Cancel(random.below(5)));
                continue;
            }
            18 => {
                steps.push(Step::Pause(random.below(3000) as u64));
                continue;
            }
            _ => {
                steps.push(Step::Await);
                continue;
            }
        };
        match random.below(10) {
            0..6 => document.type_on(config, &mut random),
            6..8 => document.backspace(&mut random),
            8 => document.jump(config, &mut random),
            _ => {}
        }
        let mut job = job(
            config,
            class,
            document.number,
            &document.part_a,
            &document.head,
        );
        job.max_tokens = match random.below(4) {
            0 if class == Class::Ahead => 0,
            // Now and then as far as the context goes.
            0 if class == Class::Batch => 400,
            _ => 1 + random.below(24),
        };
        if random.chance(50) {
            job.stops = stops.clone();
        }
        if random.chance(50) {
            job.drafts = vec![[&document.head[..], &document.shown].concat().into()];
        }
        let enough = if random.chance(30) {
            1 + random.below(10)
        } else {
            usize::MAX
        };
        let watch = Spelled::new(config.vocabulary, &document.typed, enough);
        let expected = plain(reference, &job, watch.clone());
        if random.chance(60) {
            document.shown = expected.ids.clone();
        }
        steps.push(Step::Submit(Box::new((job, watch, expected))));
        if random.chance(30) {
            steps.push(Step::Pause(random.below(1500) as u64));
        }
    }
    steps
}

/// Plays the script; gives what the engine did and how many jobs were answered to their end.
fn play(model: Model, kv_bytes: usize, steps: Vec<Step>, seed: u64) -> (Counters, usize) {
    let is_cpu = model.place() == "cpu";
    let engine = Engine::start(model, kv_bytes);
    let mut submitted = Vec::new();
    let mut hands: Vec<Cancel> = Vec::new();
    for step in steps {
        match step {
            Step::Submit(content) => {
                let (job, watch, expected) = *content;
                let (hand, receiver) = submit(&engine, job.clone(), Box::new(watch));
                hands.push(hand);
                submitted.push((job, expected, receiver, None));
            }
            Step::Cancel(back) => {
                if let Some(index) = hands.len().checked_sub(back + 1) {
                    hands[index].cancel();
                }
            }
            Step::Pause(micros) => std::thread::sleep(Duration::from_micros(micros)),
            Step::Await => {
                if let Some((.., receiver, answer @ None)) = submitted.last_mut() {
                    *answer = Some(receiver.recv_timeout(PATIENCE).expect("an answer"));
                }
            }
        }
    }
    let mut completed = 0;
    for (index, (job, expected, receiver, answer)) in submitted.into_iter().enumerate() {
        let answer = answer.unwrap_or_else(|| {
            let answer = receiver.recv_timeout(PATIENCE);
            answer.expect("every job is answered")
        });
        let what = format!("job {index} of seed {seed}, {kv_bytes} bytes: {job:?}");
        match answer.ended {
            Ended::Cancelled | Ended::Superseded => {
                assert!(expected.ids.starts_with(&answer.ids) || !is_cpu, "{what}");
            }
            _ => {
                if is_cpu {
                    check(&answer, &expected, &what);
                } else if !check_up_to_ties(&answer, &expected, 1e-2, &what) {
                    continue;
                }
                let chosen = expected.ids.len() + usize::from(expected.ended == Ended::Stop);
                assert_eq!(answer.decoded + answer.replayed, chosen, "{what}");
                completed += 1;
            }
        }
        assert!(answer.prefilled + answer.reused <= job.ids.len(), "{what}");
        assert!(receiver.try_recv().is_err(), "answered twice: {what}");
    }
    assert!(engine.idle());
    (engine.counters(), completed)
}

fn check_seeds(config: &Config, seeds: std::ops::Range<u64>) {
    check_models(config, seeds, || model(config));
}

/// The same for an engine with a model of this configuration that is made in another way.
fn check_models(config: &Config, seeds: std::ops::Range<u64>, made: impl Fn() -> Model) {
    let reference = model(config);
    let (mut replayed, mut reused, mut accepted, mut completed) = (0, 0, 0, 0);
    for seed in seeds {
        let kv_bytes = [PLENTY, 0, 150 << 10, 600 << 10][seed as usize % 4];
        let (counters, count) = play(made(), kv_bytes, script(config, &reference, seed), seed);
        for totals in [counters.interactive, counters.background] {
            replayed += totals.replayed;
            reused += totals.reused;
            accepted += totals.accepted;
        }
        completed += count;
    }
    assert!(
        replayed > 0 && reused > 0 && accepted > 0 && completed > 50,
        "nothing to see: {replayed} replayed, {reused} reused, {accepted} accepted, {completed} completed"
    );
}

#[test]
fn of_a_model_with_a_prefix() {
    check_seeds(&crate::harness::tiny(), 0..8);
}

#[test]
fn of_a_model_with_two_zones() {
    let zones = Config {
        part_a: PartA::Zones { near: 2 },
        ..crate::harness::tiny()
    };
    check_seeds(&zones, 0..8);
}

#[test]
fn of_a_causal_model() {
    let causal = Config {
        context: 420,
        ..fixture::members()[3]
    };
    check_seeds(&causal, 10..18);
}

#[test]
fn of_models_with_experts_and_latents() {
    for (index, config) in fixture::members().into_iter().enumerate().skip(6) {
        let seed = 20 + 10 * index as u64;
        check_seeds(&config, seed..seed + 4);
    }
}

/// `cargo test --release -p engine -- --ignored many_seeds`
/// The answers are the processor's, too, but where two tokens are as likely: caches of a GPU are f16.
#[test]
#[ignore = "takes minutes"]
fn of_a_model_on_a_gpu() {
    check_on(|| fixture::gpu(1 << 30).0);
}

/// Apple's, for which candle's processor device stands; it sums in another order.
#[test]
fn of_a_model_on_a_gpu_of_apples() {
    check_on(|| fixture::metal(1 << 30).0);
}

/// A causal model and one with a prefix, on a device.
fn check_on(device: impl Fn() -> Device) {
    let causal = Config {
        context: 420,
        ..fixture::members()[3]
    };
    let prefix = crate::harness::tiny();
    for (config, seeds) in [(causal, 10..18), (prefix, 0..8)] {
        check_models(&config, seeds, || {
            let bytes = fixture::gguf(&config, fixture::Weights::F32, 1, None).leak();
            let source = Source::Static(bytes);
            let model = Model::open(&source, Weights::AsStored, &device());
            model.expect("the fixture writes what is read")
        });
    }
}

#[test]
#[ignore = "takes minutes"]
fn of_many_seeds() {
    check_seeds(&crate::harness::tiny(), 1000..1100);
    let causal = Config {
        context: 420,
        ..fixture::members()[3]
    };
    check_seeds(&causal, 2000..2100);
}
