//! How much faster a model writes when it drafts by looking up what followed the same tokens before, on real code.
//!
//! At some places of a text the model is asked as an editor would ask, with the code behind the cursor taken out, and
//! writes the same number of tokens twice: one token a pass, and through the engine, which drafts. The tokens must be
//! the same; it is an error if they are not.

use std::path::Path;
use std::sync::mpsc;
use std::time::Instant;

use anyhow::{Context as _, anyhow, bail};
use engine::{Advance, Answer, Class, Engine, Flow, Job, Watch};
use glm::{Chunk, Model, Part, Want};
use grammars::Language;
use prompt::{Around, Budget};
use serde::Serialize;
use text::Snapshot;

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
    /// Share of the drafted tokens that the model agreed with.
    accepted_share: f64,
    /// Tokens for a pass of the model.
    tokens_a_pass: f64,
}

/// Asks at `places` places of a text with so many tokens of it around, for `generate` tokens each.
///
/// # Errors
/// If the text is too short, or the model cannot be asked about it.
pub fn run(
    opened: Opened,
    (path, text): (&Path, &str),
    (around, generate, places): (usize, usize, usize),
) -> anyhow::Result<Lookup> {
    let jobs = jobs(&opened, path, text, (around, generate, places))?;
    let mut plain = Vec::new();
    let (mut slow, mut fast) = (0.0, 0.0);
    for job in &jobs {
        let (ids, seconds) = one_by_one(&opened.model, job)?;
        plain.push(ids);
        slow += seconds;
    }
    let engine = Engine::start(opened.model, 0);
    let (mut drafted, mut accepted, mut tokens) = (0, 0, 0);
    for (job, plain) in jobs.into_iter().zip(plain) {
        let answer = through_engine(&engine, job)?;
        if answer.ids != plain {
            bail!(
                "with drafts the model says something else: {:?} and not {plain:?}",
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

/// What an editor would ask at the ends of lines that are spread over the text.
fn jobs(
    opened: &Opened,
    path: &Path,
    text: &str,
    (around, generate, places): (usize, usize, usize),
) -> anyhow::Result<Vec<Job>> {
    let language = Language::detect(Some(path), None, text.lines().next().unwrap_or_default());
    let starts: Vec<usize> = text.match_indices('\n').map(|(at, _)| at + 1).collect();
    let mut jobs = Vec::new();
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
        let end = cursor + text[cursor..].lines().next().map_or(0, str::len);
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
        jobs.push(Job {
            ids: asked.ids,
            positions: asked.positions,
            part_a: asked.part_a,
            advance: crate::complete::advance(asked.advance),
            class: Class::Batch,
            // Nothing ends an answer early: it is the speed that counts.
            stops: Vec::new(),
            max_tokens: generate,
            document: place as u64,
            drafts: Vec::new(),
        });
    }
    if jobs.is_empty() {
        bail!(
            "there is no place to ask about in {}; name a longer file",
            path.display()
        );
    }
    Ok(jobs)
}

/// Writes one token a pass; gives the tokens and the seconds that they took, the prompt's apart.
fn one_by_one(model: &Model, job: &Job) -> anyhow::Result<(Vec<u32>, f64)> {
    let (mut kv, mut work) = (model.kv(), model.workspace());
    let mut forward = |ids: &[u32], positions: [&[u32]; 2]| {
        let chunk = Chunk {
            ids,
            positions,
            prefix: job.part_a,
        };
        let (kv, want) = (&mut kv, Want::Last);
        let passed = model.forward(&mut [Part { chunk, kv, want }], &mut work, &mut || false);
        passed.map_err(|error| anyhow!("{error}"))?;
        let row = work.logits(0).row(0);
        let best = row
            .iter()
            .enumerate()
            .reduce(|best, one| if one.1 > best.1 { one } else { best });
        let best = best.context("the model has no vocabulary")?;
        Ok::<_, anyhow::Error>(best.0 as u32)
    };
    let [first, second] = [&job.positions[0][..], &job.positions[1][..]];
    let mut id = forward(&job.ids, [first, second])?;
    let last = [first, second].map(|row| row.last().copied().unwrap_or(0));
    let (began, mut ids) = (Instant::now(), Vec::new());
    for count in 1..=job.max_tokens as u32 {
        ids.push(id);
        if ids.len() == job.max_tokens {
            break;
        }
        let [place, span] = match job.advance {
            Advance::Place => [last[0] + count, last[1]],
            Advance::Span => [last[0], last[1] + count],
            Advance::Still => last,
        };
        id = forward(&[id], [&[place], &[span]])?;
    }
    Ok((ids, began.elapsed().as_secs_f64()))
}

fn through_engine(engine: &Engine, job: Job) -> anyhow::Result<Answer> {
    let (done, answer) = mpsc::channel();
    let done = Box::new(move |answer| {
        // The receiver waits below.
        let _ = done.send(answer);
    });
    let _cancel = engine.submit(job, Box::new(Unwatched), done);
    answer.recv().context("the engine has stopped")
}

/// Lets the model write to its end.
struct Unwatched;

impl Watch for Unwatched {
    fn token(&mut self, _: u32) -> Flow {
        Flow::More
    }
}
