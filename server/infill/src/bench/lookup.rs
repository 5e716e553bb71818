//! How much faster a model writes when it drafts by looking up what followed the same tokens before, on real code.
//!
//! At some places of a text the model is asked as an editor would ask, with the code behind the cursor taken out, and
//! has to write that code twice: one token a pass, and through the engine, which drafts. No other token is allowed at
//! either, so that the figure is that of a model that knows the code, whatever the weights are worth: what a weak one
//! writes by itself goes round in circles, and circles are easy to draft.

use std::hint::black_box;
use std::path::Path;
use std::sync::mpsc;
use std::time::Instant;

use anyhow::{Context as _, anyhow, bail};
use engine::{Advance, Allowed, Answer, Class, Engine, Flow, Job, Watch};
use glm::{Chunk, Model, Part, Want};
use grammars::Language;
use prompt::{Around, Budget};
use serde::Serialize;
use text::Snapshot;

use crate::complete::{advance, surroundings};
use crate::models::open::Opened;

/// What came of it. Speeds are in tokens a second, over all places together.
#[derive(Debug, Serialize)]
pub struct Lookup {
    places: usize,
    tokens: usize,
    /// With drafts.
    pub decode_tps: f64,
    /// One token a pass.
    pub plain_tps: f64,
    /// How many times faster.
    pub gain: f64,
    /// Share of the drafted tokens that were right.
    accepted_share: f64,
    /// Tokens for a pass of the model.
    tokens_a_pass: f64,
}

/// Asks at `places` places of a text with so many tokens of it around, for `generate` tokens each. `model` is the same
/// model once more, so that both ways take turns and what else the machine does slows both.
///
/// # Errors
/// If the text is too short, or the model cannot be asked about it.
pub fn run(
    opened: Opened,
    model: &Model,
    (path, text): (&Path, &str),
    (around, generate, places): (usize, usize, usize),
) -> anyhow::Result<Lookup> {
    let tasks = tasks(&opened, path, text, (around, generate, places))?;
    let (mut slow, mut fast) = (0.0, 0.0);
    let engine = Engine::start(opened.model, 0);
    let (places, mut drafted, mut accepted, mut tokens) = (tasks.len(), 0, 0, 0);
    for task in tasks {
        slow += one_by_one(model, &task)?;
        let Task { job, code } = task;
        let answer = through_engine(&engine, job, code.clone())?;
        if answer.ids != code {
            bail!(
                "with drafts other code was written: {:?} and not {code:?}",
                answer.ids
            );
        }
        fast += answer.decode.as_secs_f64();
        drafted += answer.drafted;
        accepted += answer.accepted;
        tokens += answer.ids.len();
    }
    let (decode_tps, plain_tps) = (tokens as f64 / fast, tokens as f64 / slow);
    Ok(Lookup {
        places,
        tokens,
        decode_tps,
        plain_tps,
        gain: decode_tps / plain_tps,
        accepted_share: accepted as f64 / drafted.max(1) as f64,
        tokens_a_pass: tokens as f64 / (tokens - accepted).max(1) as f64,
    })
}

/// A question, and what is to be written.
struct Task {
    job: Job,
    code: Vec<u32>,
}

/// What an editor would ask at the beginnings of lines that are spread over the text.
fn tasks(
    opened: &Opened,
    path: &Path,
    text: &str,
    (around, generate, places): (usize, usize, usize),
) -> anyhow::Result<Vec<Task>> {
    let language = Language::detect(Some(path), None, text.lines().next().unwrap_or_default());
    let starts: Vec<usize> = text.match_indices('\n').map(|(at, _)| at + 1).collect();
    let mut tasks = Vec::new();
    // The code of the second half: there is something to look up.
    for place in 0..places {
        let line = starts.len() / 2 + place * starts.len() / (2 * places);
        let Some(cursor) = starts[line.min(starts.len())..]
            .iter()
            .copied()
            .find_map(|start| {
                let line = text[start..].lines().next()?;
                let blank = line.len() - line.trim_start().len();
                (line.len() > blank + 8).then_some(start + blank)
            })
        else {
            break;
        };
        let mut code = opened.vocab.encode(&text[cursor..]);
        if code.len() < generate {
            break;
        }
        code.truncate(generate);
        // The last token may end within a character.
        let mut end = text.len().min(cursor + opened.vocab.decode(&code).len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let snapshot = Snapshot::new(&[&text[..cursor], &text[end..]].concat(), language);
        let syntax = snapshot.syntax(&mut || false);
        let budget = Budget {
            part_a: around,
            part_b: generate + 1,
        };
        let around = Around::default();
        let situation = prompt::situate(&snapshot, syntax.as_ref(), cursor);
        let Ok(situation) = situation else { continue };
        let asked = prompt::build(
            &snapshot,
            &situation,
            &opened.vocab,
            opened.template,
            &around,
            budget,
        );
        let Ok(asked) = asked else { continue };
        let job = Job {
            drafts: surroundings(&opened.vocab, &snapshot, &asked.window),
            ids: asked.ids,
            positions: asked.positions,
            part_a: asked.part_a,
            mask_at: asked.mask_at,
            advance: advance(asked.advance),
            class: Class::Batch,
            // Nothing ends an answer early: it is the speed that counts.
            stops: Vec::new(),
            max_tokens: generate,
            sampling: engine::Sampling::GREEDY,
            document: place as u64,
            recall: None,
        };
        tasks.push(Task { job, code });
    }
    if tasks.is_empty() {
        bail!(
            "there is no place to ask about in {}; name a longer file",
            path.display()
        );
    }
    Ok(tasks)
}

/// Writes one token a pass; gives the seconds that it took, the prompt's apart.
fn one_by_one(model: &Model, Task { job, code }: &Task) -> anyhow::Result<f64> {
    let (mut kv, mut work) = (model.kv(), model.workspace());
    let mut forward = |ids: &[u32], positions: [&[u32]; 2]| {
        let chunk = Chunk {
            ids,
            positions,
            prefix: model.config().part_a.zones(job.part_a, job.mask_at),
        };
        let (kv, want) = (&mut kv, Want::Last);
        let passed = model.forward(&mut [Part { chunk, kv, want }], &mut work, &mut || false);
        passed.map_err(|error| anyhow!("{error}"))?;
        // What a token is chosen by.
        let logits = work.logits(0);
        let best = logits.row(0).iter().copied().fold(f32::MIN, f32::max);
        black_box((best, logits.log_probability(0, 0)));
        Ok::<_, anyhow::Error>(())
    };
    let [first, second] = [&job.positions[0][..], &job.positions[1][..]];
    forward(&job.ids, [first, second])?;
    let last = [first, second].map(|row| row.last().copied().unwrap_or(0));
    let began = Instant::now();
    for (&id, count) in code[..code.len() - 1].iter().zip(1..) {
        let [place, span] = match job.advance {
            Advance::Place => [last[0] + count, last[1]],
            Advance::Span => [last[0], last[1] + count],
            Advance::Still => last,
        };
        forward(&[id], [&[place], &[span]])?;
    }
    Ok(began.elapsed().as_secs_f64())
}

fn through_engine(engine: &Engine, job: Job, code: Vec<u32>) -> anyhow::Result<Answer> {
    let (done, answer) = mpsc::channel();
    let done = Box::new(move |answer| {
        // The receiver waits below.
        let _ = done.send(answer);
    });
    let _cancel = engine.submit(job, Box::new(Given { code, written: 0 }), done);
    answer.recv().context("the engine has stopped")
}

/// Lets nothing come but the code.
struct Given {
    code: Vec<u32>,
    written: usize,
}

impl Watch for Given {
    fn token(&mut self, _: u32) -> Flow {
        self.written += 1;
        Flow::More
    }

    fn allowed(&self) -> Allowed<'_> {
        let next = self.written.min(self.code.len() - 1);
        Allowed::Only {
            key: b"given",
            ids: &self.code[next..=next],
        }
    }
}
