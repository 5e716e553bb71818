//! What every completion uses: the model's vocabulary, the engine that runs it, the stored answers.
//!
//! Opened once, from a model's files or from the model that is built in, and shared by all requests. If the model can run
//! nowhere any more, whoever serves from these rooms gets others, with the model that is built in.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{anyhow, bail};
use cache::Store;
use engine::{Answer, Cancel, Care, Engine, Job, Recall, Watch};
use glm::{LineWeights, PartA, RecallWeights};
use prompt::{Template, Until};
use tokio::sync::oneshot;
use vocab::Vocab;

use crate::complete::CancelOnDrop;
use crate::complete::anchors::Anchors;
use crate::models::open::{Opened, open, source};
use crate::models::settings::{Choice, Device};

/// Bytes of stored answers: some tens of thousands of them, more than a day of typing.
const STORE_BYTES: usize = 16 << 20;

/// Bytes of KV caches: what the embedded model has read in some fifty places, or a large one in a few.
const KV_BYTES: usize = 128 << 20;

/// Most tokens of text around the cursor, unless the settings say otherwise, for models that could
/// read more: reading takes time, and what is further away seldom helps.
const WINDOW_TOKENS: usize = 2048;

/// What every completion uses.
pub struct Rooms {
    /// The model's vocabulary.
    pub vocab: Arc<Vocab>,
    /// How the model wants to be asked.
    pub template: Template,
    /// The engine, which owns the model.
    pub engine: Engine,
    /// The answers that were given before.
    pub store: Store,
    /// The questions that the open documents stand at.
    pub anchors: Anchors,
    /// Most tokens of text around the cursor.
    pub window: usize,
    /// How what a text says elsewhere counts beside what the model says, if it does.
    pub recall: Option<Recalling>,
    /// What the other rooms need to know of the model.
    pub model: ModelFacts,
    /// Why the model does not run where it was wanted.
    note: Option<String>,
    /// Whether the log has been told that its device failed.
    told: Arc<AtomicBool>,
    /// Who takes over the rooms that come after these.
    successor: Arc<Mutex<Option<Successor>>>,
}

/// What is done with rooms that take the place of others.
type Successor = Box<dyn FnOnce(Rooms) + Send>;

/// How what a text says elsewhere counts.
pub struct Recalling {
    weights: RecallWeights,
    /// How lines like the one at hand count, if they do.
    pub lines: Option<LineWeights>,
    /// The tokens that begin with the end of a line, sorted.
    line_ends: Arc<[u32]>,
}

impl Recalling {
    fn new(weights: RecallWeights, lines: Option<LineWeights>, vocab: &Vocab) -> Recalling {
        let is_end = |id: &u32| matches!(vocab.bytes(*id).first(), Some(b'\n' | b'\r'));
        Recalling {
            weights,
            lines,
            line_ends: (0..vocab.len() as u32).filter(is_end).collect(),
        }
    }

    /// The text around a blank, for a job that is to fill it; `begun` is what its prompt has of the answer.
    pub fn beside(
        &self,
        sides: [Arc<[u32]>; 2],
        begun: &[u32],
        until: Until,
        stops: &[u32],
    ) -> Recall {
        // A block goes on behind the end of a line, all else is mostly over there.
        let ends = match (until, stops.first()) {
            (Until::Line | Until::Statement, Some(&stop)) => {
                Some((Arc::clone(&self.line_ends), stop))
            }
            _ => None,
        };
        Recall::new(sides, begun, ends, self.weights)
    }
}

/// What the other rooms need to know of the model.
#[derive(Clone, Debug)]
pub struct ModelFacts {
    /// Its name, for people.
    pub name: String,
    /// A hash of its content, for cache keys and records.
    pub id: String,
    /// How many tokens it can see and write together.
    pub context: usize,
    /// How likely it must find an answer's first line for it to be shown unasked; without it, all are.
    pub threshold: Option<f32>,
    /// Whether it reads its question both ways, and so goes on with a text in a blank.
    pub reads_both_ways: bool,
    /// Whether what it has read of a question is of no use for another one.
    pub reads_anew: bool,
}

impl Rooms {
    /// Loads the model of this choice and starts its engine. Takes as long as reading the files takes; `progress` is told
    /// what part of them is read, from 0 to 1.
    ///
    /// # Errors
    /// If the model needs more memory than the choice allows, or if the files cannot be read, are no model of this family, or lack a tokenizer.
    pub fn open(choice: &Choice, progress: &dyn Fn(f32)) -> anyhow::Result<Rooms> {
        let kv_bytes = kv_bytes(choice)?;
        Ok(Rooms::of(open(choice, progress)?, kv_bytes, choice))
    }

    /// The rooms of a model that is loaded already.
    fn of(opened: Opened, kv_bytes: usize, choice: &Choice) -> Rooms {
        let Opened {
            model,
            vocab,
            template,
            note,
        } = opened;
        let guidance = *model.guidance();
        let facts = ModelFacts {
            name: model.name().to_owned(),
            id: model.id().to_owned(),
            context: model.config().context,
            threshold: guidance.threshold,
            reads_both_ways: model.config().part_a != PartA::Causal,
            reads_anew: model.config().part_a == PartA::Whole,
        };
        let told: Arc<AtomicBool> = Arc::default();
        let successor: Arc<Mutex<Option<Successor>>> = Arc::default();
        let built_in = Choice {
            threads: choice.threads,
            window: choice.window,
            device: Some(Device::Cpu),
            ..Choice::default()
        };
        let on_lost = {
            let (told, successor) = (Arc::clone(&told), Arc::clone(&successor));
            move |why: &str| {
                if let Some(succeed) = lock(&successor).take() {
                    told.store(true, Ordering::Relaxed);
                    go_on(&built_in, why, succeed);
                }
            }
        };
        let care = Care {
            idle: choice.idle.map(minutes),
            on_lost: Some(Box::new(on_lost)),
        };
        Rooms {
            recall: guidance
                .recall
                .map(|weights| Recalling::new(weights, guidance.lines, &vocab)),
            vocab: Arc::new(vocab),
            template,
            engine: Engine::start_with(model, kv_bytes, care),
            store: Store::new(STORE_BYTES),
            anchors: Anchors::default(),
            window: window(choice),
            model: facts,
            note,
            told,
            successor,
        }
    }

    /// Has other rooms taken over, with the model that is built in, if this model can run nowhere any more. Called on the
    /// engine's thread; without it, all jobs fail then.
    pub fn succeeded_by(&self, succeed: impl FnOnce(Rooms) + Send + 'static) {
        *lock(&self.successor) = Some(Box::new(succeed));
    }

    /// Why the model does not run where it was wanted, or not any more.
    pub fn trouble(&self) -> Option<String> {
        self.engine.trouble().or_else(|| self.note.clone())
    }

    /// Lets the engine run a job; dropping the future cancels it. None if the engine has stopped.
    pub async fn run(&self, job: Job, watch: Box<dyn Watch>) -> Option<Answer> {
        let (done, answer) = oneshot::channel();
        let send = Box::new(move |answer| {
            // Nobody listens any more if the future was dropped.
            let _ = done.send(answer);
        });
        let _cancel = CancelOnDrop(self.submit(job, watch, send));
        answer.await.ok()
    }

    /// As [`Engine::submit`]; if the model's device has failed meanwhile, the log hears of it, once.
    pub fn submit(
        &self,
        job: Job,
        watch: Box<dyn Watch>,
        done: Box<dyn FnOnce(Answer) + Send>,
    ) -> Cancel {
        let (trouble, told) = (self.engine.trouble_later(), Arc::clone(&self.told));
        let done = move |answer| {
            if let Some(trouble) = trouble()
                && !told.swap(true, Ordering::Relaxed)
            {
                tracing::warn!("{trouble}");
            }
            done(answer);
        };
        self.engine.submit(job, watch, Box::new(done))
    }
}

#[cfg(test)]
impl Rooms {
    /// The rooms of a choice whose model runs on this device.
    pub fn on(device: &glm::Device, choice: &Choice) -> anyhow::Result<Rooms> {
        let cpu = Choice {
            device: Some(Device::Cpu),
            ..choice.clone()
        };
        let mut opened = open(&cpu, &|_| {})?;
        let (source, _) = source(choice.model.as_deref())?;
        opened.model = glm::Model::open(&source, choice.weights(), device)?;
        Ok(Rooms::of(opened, KV_BYTES, choice))
    }

    /// How a job of these tokens that wants one more ends.
    pub fn ends_of(&self, ids: &[u32]) -> engine::Ended {
        struct Unwatched;
        impl Watch for Unwatched {
            fn token(&mut self, _: u32) -> engine::Flow {
                engine::Flow::More
            }
        }
        let places = (0..ids.len() as u32).collect();
        let job = Job {
            ids: ids.to_owned(),
            positions: [places, vec![0; ids.len()]],
            part_a: ids.len(),
            mask_at: None,
            class: engine::Class::Invoked,
            stops: Vec::new(),
            max_tokens: 1,
            sampling: engine::Sampling::GREEDY,
            advance: engine::Advance::Span,
            document: 0,
            drafts: Vec::new(),
            recall: None,
        };
        let (send, ended) = std::sync::mpsc::channel();
        let done = Box::new(move |answer: Answer| {
            // The receiver waits below.
            let _ = send.send(answer.ended);
        });
        let _cancel = self.submit(job, Box::new(Unwatched), done);
        ended.recv().expect("every job is answered")
    }
}

/// Opens the model that is built in, in the place of one that can run nowhere any more, and says so.
fn go_on(built_in: &Choice, why: &str, succeed: Successor) {
    match Rooms::open(built_in, &|_| {}) {
        Ok(mut rooms) => {
            let note = format!("{why}; the model that is built in answers now");
            tracing::warn!("{note}");
            rooms.note = Some(note);
            succeed(rooms);
        }
        Err(error) => tracing::error!("{why}; nor can the built-in model be opened: {error:#}"),
    }
}

fn minutes(count: usize) -> Duration {
    Duration::from_secs(60 * count as u64)
}

/// What is held is whole between any two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Most tokens of text around the cursor that this choice lets a model read.
pub fn window(choice: &Choice) -> usize {
    choice.window.unwrap_or(WINDOW_TOKENS)
}

/// Bytes for KV caches within the limit that the choice sets. Read from the files' headers, before anything is loaded.
///
/// # Errors
/// If the model's weights and the caches of one window are more than the limit.
pub fn kv_bytes(choice: &Choice) -> anyhow::Result<usize> {
    let Some(limit) = choice.memory else {
        return Ok(KV_BYTES);
    };
    let (source, _) = source(choice.model.as_deref())?;
    let info = glm::inspect(&source).map_err(|error| anyhow!("{error}"))?;
    let window = window(choice).min(info.config.context);
    let needed = info.memory(choice.weights(), window);
    let least = needed.weights + needed.kv;
    let limit = (limit as u64) << 20;
    if least > limit {
        bail!(
            "{} needs {} MiB, {} of them for a window of {window} tokens, and `memory` allows {}: choose a smaller model, \
             a smaller `quant` or a smaller `window`",
            info.name,
            least.div_ceil(1 << 20),
            needed.kv.div_ceil(1 << 20),
            limit >> 20,
        );
    }
    let left = usize::try_from(limit - needed.weights).unwrap_or(usize::MAX);
    Ok(left.min(KV_BYTES))
}
