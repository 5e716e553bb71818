//! What quantizing costs a model: loss and exact matches on held-out code, type by type, in one run.
//!
//! `cargo bench -p benches --bench quantization -- SHARD.bin.gz [--model PATH] [--examples N]`, with a shard that
//! `infill shards` cut from packages which the model was not trained on. Each type is made from the same file as it
//! is loaded, so the rows of the table differ in nothing else. Greedy decoding gives a span exactly when every one of
//! its tokens is the greatest logit after those before it, so one pass over an example tells its exact matches.

mod shard;

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use flate2::read::GzDecoder;
use glm::{Chunk, Device, Model, Part, Quant, Source, Want, Weights};

use crate::shard::Example;

/// The types compared, the reference first.
const TYPES: [(&str, Weights); 9] = [
    ("f32", Weights::F32),
    ("bf16", Weights::Bf16),
    ("Q8_0", Weights::Quantized(Quant::Q8_0)),
    ("int8", Weights::Quantized(Quant::Int8)),
    ("Q6_K", Weights::Quantized(Quant::Q6K)),
    ("Q5_K", Weights::Quantized(Quant::Q5K)),
    ("Q4_K", Weights::Quantized(Quant::Q4K)),
    ("Q4_0", Weights::Quantized(Quant::Q4_0)),
    ("int4", Weights::Quantized(Quant::Int4)),
];

/// What one type scored.
#[derive(Default)]
struct Score {
    /// Sum of the tokens' losses, in nats.
    loss: f64,
    tokens: usize,
    /// Spans of which every token was right, the closing one included.
    exact: usize,
    spans: usize,
    took: Duration,
}

fn main() -> Result<()> {
    let Arguments {
        shard,
        model,
        examples,
    } = Arguments::read()?;
    let mut bytes = Vec::new();
    File::open(&shard)
        .and_then(|packed| GzDecoder::new(packed).read_to_end(&mut bytes))
        .with_context(|| format!("cannot read {}", shard.display()))?;
    let mut all =
        shard::read(&bytes).with_context(|| format!("{} is no shard", shard.display()))?;
    all.truncate(examples);

    println!("| weights | MB | loss | against f32 | exact matches | time |");
    println!("|---|---|---|---|---|---|");
    let mut reference: Option<(f64, Duration)> = None;
    for (name, weights) in TYPES {
        let source = Source::Path(model.clone());
        let loaded = Model::open(&source, weights, &Device::Cpu)?;
        let size = glm::inspect(&source)?
            .memory(weights, loaded.config().context)
            .weights;
        let score = score(&loaded, &all)?;
        let loss = score.loss / score.tokens as f64;
        let (first_loss, first_took) = *reference.get_or_insert((loss, score.took));
        println!(
            "| {name} | {:.2} | {loss:.4} | {:+.4} | {} of {} ({:.2}%) | {:.2} × |",
            size as f64 / 1e6,
            loss - first_loss,
            score.exact,
            score.spans,
            100.0 * score.exact as f64 / score.spans as f64,
            score.took.as_secs_f64() / first_took.as_secs_f64(),
        );
    }
    Ok(())
}

/// Runs every example once and compares each token of its Part B with what was written there.
fn score(model: &Model, examples: &[Example]) -> Result<Score> {
    let mut total = Score::default();
    let mut work = model.workspace();
    for example in examples {
        let chunk = Chunk {
            ids: &example.ids,
            positions: [&example.positions[0], &example.positions[1]],
            prefix: model
                .config()
                .part_a
                .zones(example.part_a, example.mask_at()),
        };
        let began = Instant::now();
        let part = Part {
            chunk,
            kv: &mut model.kv(),
            want: Want::All,
        };
        model.forward(&mut [part], &mut work, &mut || false)?;
        total.took += began.elapsed();
        let logits = work.logits(0);
        let mut is_exact = true;
        for (place, &target) in example.targets.iter().enumerate() {
            let row = example.part_a + place;
            let starts_span = example.positions[1][row] == 1;
            if starts_span && place > 0 {
                total.exact += usize::from(is_exact);
                is_exact = true;
            }
            total.spans += usize::from(starts_span);
            total.loss -= f64::from(logits.log_probability(row, target));
            let own = logits.row(row)[target as usize];
            is_exact &= logits.row(row).iter().all(|&logit| logit <= own);
        }
        total.exact += usize::from(is_exact);
        total.tokens += example.targets.len();
    }
    Ok(total)
}

/// What the command line says.
struct Arguments {
    shard: PathBuf,
    model: PathBuf,
    examples: usize,
}

impl Arguments {
    fn read() -> Result<Arguments> {
        let mut shard = None;
        let mut model = PathBuf::from(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../server/models/infill-v2.gguf"
        ));
        let mut examples = usize::MAX;
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || {
                arguments
                    .next()
                    .with_context(|| format!("{argument} wants a value"))
            };
            match argument.as_str() {
                "--model" => model = value()?.into(),
                "--examples" => examples = value()?.parse().context("--examples wants a number")?,
                // Cargo adds it to every bench.
                "--bench" => {}
                _ if argument.starts_with('-') => bail!("the option {argument} is not known"),
                _ => shard = Some(argument.into()),
            }
        }
        Ok(Arguments {
            shard: shard
                .context("name a shard of held-out examples, written by `infill shards`")?,
            model,
            examples,
        })
    }
}
