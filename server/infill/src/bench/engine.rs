//! `infill bench engine`: how many tokens a second a model reads and writes, measured as llama-bench does.
//!
//! Reading: random tokens in one pass from an empty context, the last one's logits computed. Writing: one token a pass
//! from an empty context, each random, so that choosing a token costs nothing. One round to warm up, then some that
//! count. What memory allows is measured in the same run: see [`crate::bench::memory`]. With `--lookup` real code is
//! written as well, with drafts and without: see [`crate::bench::lookup`].

use std::fs;
use std::io::{Write, stdout};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, anyhow, bail};
use fastrand::Rng;
use glm::{Chunk, KvCache, Model, Part, Prefix, Want, Workspace, inspect};
use serde::Serialize;

use crate::bench::lookup::{self, Lookup};
use crate::bench::memory;
use crate::flags::EngineArgs;
use crate::models::device::Placed;
use crate::models::open::{open, source, weights};

/// The code that drafts are tried on unless another is named.
const CODE: (&str, &str) = ("script.rs", include_str!("script.rs"));

/// What came of it. Speeds are in tokens a second.
#[derive(Debug, Serialize)]
struct Report {
    model: String,
    /// What the model runs on.
    device: String,
    threads: usize,
    prompt: usize,
    generate: usize,
    /// The mean over the rounds, as llama-bench prints it.
    prefill_tps: f64,
    /// The same, writing; with drafts if they were asked for.
    decode_tps: f64,
    prefill: Speed,
    decode: Speed,
    /// Bytes of the weights in memory, all of which are read for each token that is written.
    weight_bytes: u64,
    /// As many bytes read and nothing else done, in times a second: what one token a pass is held against.
    /// None where they are not in the processor's memory.
    memory_tps: Option<Speed>,
    lookup: Option<Lookup>,
}

/// The speeds of some rounds.
#[derive(Debug, PartialEq, Serialize)]
struct Speed {
    mean: f64,
    median: f64,
    stddev: f64,
    rounds: Vec<f64>,
}

impl Speed {
    fn new(rounds: Vec<f64>) -> Speed {
        let count = rounds.len().max(1) as f64;
        let mean = rounds.iter().sum::<f64>() / count;
        let spread: f64 = rounds.iter().map(|round| (round - mean).powi(2)).sum();
        let mut sorted = rounds.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = |at: usize| sorted.get(at).copied().unwrap_or_default();
        Speed {
            mean,
            median: (middle(sorted.len().saturating_sub(1) / 2) + middle(sorted.len() / 2)) / 2.0,
            stddev: (spread / (count - 1.0).max(1.0)).sqrt(),
            rounds,
        }
    }
}

/// Measures and prints.
///
/// # Errors
/// If the model cannot be loaded or its context is too short.
pub fn run(arguments: &EngineArgs) -> anyhow::Result<()> {
    let (Placed { model, .. }, _) = weights(&arguments.model.choice(), &|_| {})?;
    let (prompt, generate) = (arguments.prompt as usize, arguments.generate as usize);
    let context = model.config().context;
    if prompt.max(generate) > context {
        bail!("the model has a context of {context} tokens; ask for fewer");
    }
    let mut rng = Rng::with_seed(1);
    let (mut kv, mut work) = (model.kv(), model.workspace());
    let mut measure = |count: usize, at_once: usize| -> anyhow::Result<Speed> {
        let mut round = || {
            let ids = random(&model, count, &mut rng);
            kv.truncate(0);
            let began = Instant::now();
            for (index, ids) in ids.chunks(at_once).enumerate() {
                pass(&model, &mut kv, &mut work, ids, index * at_once)?;
            }
            Ok(count as f64 / began.elapsed().as_secs_f64())
        };
        round()?;
        let speeds: anyhow::Result<Vec<f64>> = (0..arguments.repeat).map(|_| round()).collect();
        Ok(Speed::new(speeds?))
    };
    let prefill = measure(prompt, prompt)?;
    let decode = measure(generate, 1)?;
    let choice = arguments.model.choice();
    let info = inspect(&source(choice.model.as_deref())?.0).map_err(|error| anyhow!("{error}"))?;
    let weight_bytes = info.memory(choice.weights(), 0).weights;
    let memory_tps = match model.place() == "cpu" {
        // A GPU reads its memory in its own way.
        false => None,
        true => {
            let size = usize::try_from(weight_bytes)?;
            let reads = memory::speeds(size, model.threads(), arguments.repeat.into());
            let tokens = reads.iter().map(|speed| speed / weight_bytes as f64);
            Some(Speed::new(tokens.collect()))
        }
    };
    let lookup = arguments
        .lookup
        .then(|| look_up(arguments, &model))
        .transpose()?;
    let report = Report {
        model: model.name().to_owned(),
        device: model.place(),
        threads: model.threads(),
        prompt,
        generate,
        prefill_tps: prefill.mean,
        decode_tps: lookup
            .as_ref()
            .map_or(decode.mean, |lookup| lookup.decode_tps),
        prefill,
        decode,
        weight_bytes,
        memory_tps,
        lookup,
    };
    let printed = if arguments.json {
        serde_json::to_string_pretty(&report)?
    } else {
        let line = |name: String, speed: &Speed| {
            format!(
                "{name:<8} {:>9.1} ± {:.1} tokens/s",
                speed.mean, speed.stddev
            )
        };
        let mut lines = vec![
            line(format!("pp{prompt}"), &report.prefill),
            line(format!("tg{generate}"), &report.decode),
        ];
        let memory = report.memory_tps.as_ref();
        lines.extend(memory.map(|speed| line("memory".to_owned(), speed)));
        if let Some(Lookup {
            decode_tps,
            plain_tps,
            gain,
            ..
        }) = &report.lookup
        {
            lines.push(format!(
                "code     {decode_tps:>9.1} tokens/s with drafts, {plain_tps:.1} without: {gain:.2} times as fast"
            ));
        }
        lines.join("\n")
    };
    writeln!(stdout(), "{printed}").context("cannot write the figures")
}

/// Writes code with drafts and without.
fn look_up(arguments: &EngineArgs, model: &Model) -> anyhow::Result<Lookup> {
    let opened = open(&arguments.model.choice(), &|_| {})?;
    let (prompt, generate) = (arguments.prompt as usize, arguments.generate as usize);
    // The model's context has room for both, and for what the prompt is framed in.
    let room = opened.model.config().context.saturating_sub(generate + 1);
    let sizes = (prompt.min(room), generate, arguments.places.into());
    match &arguments.text {
        Some(path) => {
            let text = fs::read_to_string(path);
            let text = text.with_context(|| format!("cannot read {} as text", path.display()))?;
            lookup::run(opened, model, (path, &text), sizes)
        }
        None => lookup::run(opened, model, (Path::new(CODE.0), CODE.1), sizes),
    }
}

fn random(model: &Model, count: usize, rng: &mut Rng) -> Vec<u32> {
    // A vocabulary has far fewer entries than a u32 has numbers.
    let vocabulary = u32::try_from(model.config().vocabulary).unwrap_or(u32::MAX);
    (0..count).map(|_| rng.u32(..vocabulary)).collect()
}

/// Runs tokens after `past` others.
fn pass(
    model: &Model,
    kv: &mut KvCache,
    work: &mut Workspace,
    ids: &[u32],
    past: usize,
) -> anyhow::Result<()> {
    let places: Vec<u32> = (past..past + ids.len()).map(|place| place as u32).collect();
    let chunk = Chunk {
        ids,
        positions: [&places, &vec![0; ids.len()]],
        prefix: Prefix::default(),
    };
    let want = Want::Last;
    let passed = model.forward(&mut [Part { chunk, kv, want }], work, &mut || false);
    passed.map_err(|error| anyhow!("{error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_are_summed_up_as_llama_bench_does() {
        let speed = Speed::new(vec![1.0, 2.0, 6.0]);
        assert_eq!((speed.mean, speed.median), (3.0, 2.0));
        assert!((speed.stddev - 7f64.sqrt()).abs() < 1e-9);
        assert_eq!(Speed::new(vec![1.0, 3.0, 2.0, 10.0]).median, 2.5);
        assert_eq!(Speed::new(vec![4.0]).stddev, 0.0);
    }
}
