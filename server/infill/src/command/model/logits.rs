//! `infill model logits`: what a model makes of a sequence of tokens, for oracles and bug reports.

use anyhow::{Context as _, anyhow};
use glm::{Chunk, Part, Want, Weights};
use serde_json::json;

use super::say;
use crate::command::places;
use crate::flags::{Dtype, LogitsArgs};
use crate::models::{device::place, open};

/// Runs the tokens and prints `{"tokens": […], "logits": [[…] per position]}`.
///
/// # Errors
/// If the model cannot be opened, or the tokens or positions do not fit it.
pub fn run(arguments: &LogitsArgs) -> anyhow::Result<()> {
    let choice = arguments.model.choice();
    let weights = match arguments.dtype {
        None => choice.weights(),
        Some(Dtype::F32) => Weights::F32,
        Some(Dtype::F16) => Weights::F16,
        Some(Dtype::Bf16) => Weights::Bf16,
    };
    let (source, path) = open::source(choice.model.as_deref())?;
    let tokens = match &arguments.text {
        None => arguments.tokens.clone(),
        Some(text) => {
            let info = glm::inspect(&source).map_err(|error| anyhow!("{error}"))?;
            let tokenizer = open::tokenizer(&(&info).into(), path.as_deref())
                .context("cannot encode the text; --tokens needs no tokenizer")?;
            tokenizer.vocab.encode_start(text)
        }
    };
    let placed = place(&source, weights, &choice, &|_| {}).map_err(|error| anyhow!("{error}"))?;
    let model = placed.model;
    let rows = places::rows(&arguments.places, tokens.len())?;
    let chunk = Chunk {
        ids: &tokens,
        positions: [&rows[0], &rows[1]],
        prefix: model
            .config()
            .part_a
            .zones(arguments.places.sep, arguments.places.mask),
    };
    let want = if arguments.all { Want::All } else { Want::Last };
    let (mut kv, mut work) = (model.kv(), model.workspace());
    let part = Part {
        chunk,
        kv: &mut kv,
        want,
    };
    model
        .forward(&mut [part], &mut work, &mut || false)
        .map_err(|error| anyhow!("{error}"))?;
    let logits = work.logits(0);
    let logits: Vec<&[f32]> = (0..logits.rows).map(|row| logits.row(row)).collect();
    let printed = json!({ "tokens": tokens, "logits": logits });
    say(&format!("{printed}\n"))
}
