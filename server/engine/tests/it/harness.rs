//! Models, jobs, watches, and plain greedy decoding to compare with.

use engine::{Advance, Allowed, Answer, Cancel, Class, Ended, Engine, Flow, Job, Sampling, Watch};
use glm::{
    Chunk, Config, Model, Part, PartA, Want,
    fixture::{self, Weights},
};
use std::{
    sync::mpsc::{Receiver, Sender, channel},
    time::{Duration, Instant},
};

/// How long a test waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Bytes enough for every session of a test.
pub const PLENTY: usize = 64 << 20;

/// A watch that is a function.
pub struct Each<F>(pub F);

impl<F: FnMut(u32) -> Flow + Send> Watch for Each<F> {
    fn token(&mut self, id: u32) -> Flow {
        (self.0)(id)
    }
}

pub fn more() -> Box<dyn Watch> {
    Box::new(Each(|_| Flow::More))
}

/// How the tests spell a token: its number in base 3, so that spellings begin alike.
pub fn spelling(id: u32) -> Vec<u8> {
    let mut digits = Vec::new();
    let mut rest = id;
    while rest > 0 || digits.is_empty() {
        digits.push(b'0' + (rest % 3) as u8);
        rest /= 3;
    }
    digits.reverse();
    digits
}

/// A watch under which the answer must begin with given spellings, and that has enough after some tokens.
#[derive(Clone)]
pub struct Spelled {
    vocabulary: u32,
    left: Vec<u8>,
    ids: Vec<u32>,
    enough: usize,
}

impl Spelled {
    pub fn new(vocabulary: usize, left: &[u8], enough: usize) -> Spelled {
        let mut spelled = Spelled {
            vocabulary: vocabulary as u32,
            left: left.to_vec(),
            ids: Vec::new(),
            enough,
        };
        spelled.look_up();
        spelled
    }

    fn look_up(&mut self) {
        let fits = |id: &u32| {
            let spelling = spelling(*id);
            spelling.starts_with(&self.left) || self.left.starts_with(&spelling)
        };
        self.ids = (0..self.vocabulary).filter(fits).collect();
    }
}

impl Watch for Spelled {
    fn token(&mut self, id: u32) -> Flow {
        if !self.left.is_empty() {
            let length = spelling(id).len().min(self.left.len());
            self.left.drain(..length);
            self.look_up();
        }
        self.enough -= 1;
        if self.enough == 0 {
            Flow::Enough
        } else {
            Flow::More
        }
    }

    fn allowed(&self) -> Allowed<'_> {
        match self.left.is_empty() {
            true => Allowed::Any,
            false => Allowed::Only {
                key: &self.left,
                ids: &self.ids,
            },
        }
    }
}

/// A model of the first generation with 200 tokens.
pub fn tiny() -> Config {
    fixture::tiny(200)
}

pub fn model(config: &Config) -> Model {
    fixture::model(config, Weights::F32, 1)
}

pub fn engine(config: &Config) -> Engine {
    Engine::start(model(config), PLENTY)
}

/// A job in the form of its model: a blank at the `blank`th place of Part A, or text that goes on.
pub fn job(config: &Config, class: Class, document: u64, part_a: &[u32], head: &[u32]) -> Job {
    let blank = part_a.len() as u32 / 3;
    let has_part_a = config.part_a != PartA::Causal;
    let (row_0, row_1): (Vec<u32>, Vec<u32>) = match has_part_a {
        true => (0..part_a.len() as u32)
            .map(|place| (place, 0))
            .chain((1..=head.len() as u32).map(|place| (blank, place)))
            .unzip(),
        false => (0..(part_a.len() + head.len()) as u32)
            .map(|place| (place, 0))
            .unzip(),
    };
    Job {
        ids: [part_a, head].concat(),
        positions: [row_0, row_1],
        advance: if has_part_a {
            Advance::Span
        } else {
            Advance::Place
        },
        part_a: if has_part_a { part_a.len() } else { 0 },
        mask_at: has_part_a.then_some(blank as usize),
        class,
        stops: Vec::new(),
        max_tokens: 8,
        sampling: Sampling::GREEDY,
        document,
        drafts: Vec::new(),
        recall: None,
    }
}

pub fn submit(engine: &Engine, job: Job, watch: Box<dyn Watch>) -> (Cancel, Receiver<Answer>) {
    let (send, receive) = channel();
    let cancel = engine.submit(job, watch, Box::new(move |answer| drop(send.send(answer))));
    (cancel, receive)
}

pub fn answer(engine: &Engine, job: Job) -> Answer {
    watched(engine, job, more())
}

pub fn watched(engine: &Engine, job: Job, watch: Box<dyn Watch>) -> Answer {
    let (_, receiver) = submit(engine, job, watch);
    receiver
        .recv_timeout(PATIENCE)
        .expect("every job is answered")
}

/// A watch that holds the engine at its first token; it tells when it holds, and goes on when told or dropped.
pub fn holding() -> (Box<dyn Watch>, Receiver<()>, Sender<()>) {
    let (holds, held) = channel();
    let (go, gone) = channel::<()>();
    let mut first = true;
    let watch = Each(move |_| {
        if std::mem::take(&mut first) {
            holds.send(()).expect("the test waits for it");
            let _ = gone.recv_timeout(PATIENCE);
        }
        Flow::More
    });
    (Box::new(watch), held, go)
}

#[track_caller]
pub fn wait_until_idle(engine: &Engine) {
    let began = Instant::now();
    while !engine.idle() {
        assert!(began.elapsed() < PATIENCE, "the engine is still at work");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What an answer must be: plain greedy decoding, the whole prompt in one pass, then a token at a time.
pub struct Plain {
    pub ids: Vec<u32>,
    pub ended: Ended,
    pub logprobs: Vec<f32>,
}

pub fn plain(model: &Model, job: &Job, mut watch: impl Watch) -> Plain {
    let mut kv = model.kv();
    let mut work = model.workspace();
    let mut run = |ids: &[u32], positions: [&[u32]; 2]| -> (Vec<f32>, f32) {
        let prefix = model.config().part_a.zones(job.part_a, job.mask_at);
        let chunk = Chunk {
            ids,
            positions,
            prefix,
        };
        let part = Part {
            chunk,
            kv: &mut kv,
            want: Want::Last,
        };
        model
            .forward(&mut [part], &mut work, &mut || false)
            .expect("the job fits the model");
        let row = work.logits(0).row(0).to_vec();
        let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = row.iter().map(|x| f64::from(x - largest).exp()).sum();
        (row, largest + sum.ln() as f32)
    };
    let mut plain = Plain {
        ids: Vec::new(),
        ended: Ended::Length,
        logprobs: Vec::new(),
    };
    if job.max_tokens == 0 {
        return plain;
    }
    let [row_0, row_1] = &job.positions;
    let (mut logits, mut norm) = run(&job.ids, [row_0, row_1]);
    loop {
        let all: Vec<u32> = (0..logits.len() as u32).collect();
        let ids = match watch.allowed() {
            Allowed::Any => &all[..],
            Allowed::Only { ids, .. } => ids,
        };
        let mut best = None;
        for &id in ids {
            let logit = |id: u32| logits[id as usize];
            if best.is_none_or(|best| {
                logit(id) > logit(best) || (logit(id) == logit(best) && id < best)
            }) {
                best = Some(id);
            }
        }
        let Some(id) = best else {
            plain.ended = Ended::Stuck;
            return plain;
        };
        plain.logprobs.push(logits[id as usize] - norm);
        if job.stops.contains(&id) {
            plain.ended = Ended::Stop;
            return plain;
        }
        plain.ids.push(id);
        if watch.token(id) == Flow::Enough {
            plain.ended = Ended::Watch;
            return plain;
        }
        let count = plain.ids.len() as u32;
        let (last_0, last_1) = (row_0[row_0.len() - 1], row_1[row_1.len() - 1]);
        let [place_0, place_1] = match job.advance {
            Advance::Place => [last_0 + count, last_1],
            Advance::Span => [last_0, last_1 + count],
            Advance::Still => [last_0, last_1],
        };
        let context = model.config().context;
        let is_past = match job.advance {
            Advance::Place => place_0 as usize >= context,
            Advance::Span => place_1 as usize > context,
            Advance::Still => job.ids.len() + plain.ids.len() > context,
        };
        if plain.ids.len() >= job.max_tokens || is_past {
            return plain;
        }
        if matches!(watch.allowed(), Allowed::Only { ids: [], .. }) {
            plain.ended = Ended::Stuck;
            return plain;
        }
        (logits, norm) = run(&[id], [&[place_0], &[place_1]]);
    }
}

/// Compares an answer with what it must be.
#[track_caller]
pub fn check(answer: &Answer, plain: &Plain, what: &str) {
    check_within(answer, plain, 1e-3, what);
}

/// Compares what another device answered: log-probabilities may be so far apart, and the answers part where two tokens are
/// as likely as that. Gives whether they are the same to the end.
#[track_caller]
pub fn check_up_to_ties(answer: &Answer, plain: &Plain, bound: f32, what: &str) -> bool {
    let mut pairs = answer.ids.iter().zip(&plain.ids);
    let parted = pairs.position(|(a, b)| a != b);
    let Some(parted) = parted else {
        check_within(answer, plain, bound, what);
        return true;
    };
    for (at, (found, expected)) in answer.logprobs.iter().zip(&plain.logprobs).enumerate() {
        let apart = (found - expected).abs();
        assert!(
            apart < bound || at > parted,
            "{what}: log-probability {at} is {apart} apart"
        );
    }
    false
}

#[track_caller]
fn check_within(answer: &Answer, plain: &Plain, bound: f32, what: &str) {
    assert_eq!(
        (&answer.ids, &answer.ended),
        (&plain.ids, &plain.ended),
        "{what}"
    );
    assert_eq!(answer.logprobs.len(), plain.logprobs.len(), "{what}");
    for (found, expected) in answer.logprobs.iter().zip(&plain.logprobs) {
        let apart = (found - expected).abs();
        assert!(apart < bound, "{what}: log-probabilities {apart} apart");
    }
}

/// Numbers that look random and are the same for the same seed.
pub struct Random(fixture::Random);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(fixture::Random::new(seed))
    }

    pub fn below(&mut self, limit: usize) -> usize {
        self.0.bits() as usize % limit
    }

    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub fn ids(&mut self, count: usize, vocabulary: usize) -> Vec<u32> {
        (0..count).map(|_| self.below(vocabulary) as u32).collect()
    }
}
