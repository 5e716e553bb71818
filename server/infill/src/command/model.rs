//! `infill model …`: get, look at, check and remove models, and ask one for its logits.

use std::io::{IsTerminal, Write, stdin, stdout};
use std::process::ExitCode;

use anyhow::{Context as _, anyhow, bail};
use glm::{Chunk, Want};
use serde_json::json;

use crate::flags::{ListArgs, LogitsArgs, ModelCommand, NamedArgs, PullArgs, RemoveArgs};
use crate::models::hub::Hub;
use crate::models::open;
use crate::models::pull;
use crate::models::store::Store;

/// Runs one of the commands.
///
/// # Errors
/// Whatever keeps it from doing its work, with what to do about it.
pub fn run(command: &ModelCommand) -> anyhow::Result<ExitCode> {
    match command {
        ModelCommand::Pull(arguments) => get(arguments)?,
        ModelCommand::List(arguments) => list(arguments)?,
        ModelCommand::Verify(arguments) => return verify(arguments),
        ModelCommand::Remove(arguments) => remove(arguments)?,
        ModelCommand::Logits(arguments) => logits(arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn get(arguments: &PullArgs) -> anyhow::Result<()> {
    let store = Store::of_user()?;
    let hub = Hub::of_user(arguments.endpoint.as_deref())?;
    let record = pull::pull(&store, &hub, &arguments.name, &arguments.revision)?;
    say(&format!("{}\n", store.folder(&record.name).display()))
}

fn list(arguments: &ListArgs) -> anyhow::Result<()> {
    let records = Store::of_user()?.list()?;
    if arguments.json {
        return say(&format!("{}\n", serde_json::to_string_pretty(&records)?));
    }
    let lines: Vec<String> = records
        .iter()
        .map(|record| {
            let gigabytes = record.bytes() as f64 / 1e9;
            format!(
                "{:24} {gigabytes:8.2} GB  {}\n",
                record.name, record.licence
            )
        })
        .collect();
    say(&lines.concat())
}

fn verify(arguments: &NamedArgs) -> anyhow::Result<ExitCode> {
    let store = Store::of_user()?;
    let name = &arguments.name;
    let record = store
        .record(name)?
        .with_context(|| format!("there is no model `{name}` in the store"))?;
    let faults = store.faults(&record)?;
    for fault in &faults {
        eprintln!("infill: {fault}");
    }
    if !faults.is_empty() {
        eprintln!("infill: `infill model remove {name}` and pull it again");
        return Ok(ExitCode::FAILURE);
    }
    say(&format!(
        "{name}: {} files, all as they were pulled\n",
        record.files.len()
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn remove(arguments: &RemoveArgs) -> anyhow::Result<()> {
    let store = Store::of_user()?;
    if !arguments.yes {
        if !stdin().is_terminal() {
            bail!("say --yes to remove {}", arguments.name);
        }
        say(&format!("Remove {}? [y/N] ", arguments.name))?;
        let mut answer = String::new();
        stdin()
            .read_line(&mut answer)
            .context("cannot read the answer")?;
        if !answer.trim().eq_ignore_ascii_case("y") {
            return Ok(());
        }
    }
    store.remove(&arguments.name)
}

fn logits(arguments: &LogitsArgs) -> anyhow::Result<()> {
    let choice = arguments.model.choice();
    let (model, tokens) = match &arguments.text {
        None => (open::weights(&choice)?.0, arguments.tokens.clone()),
        Some(text) => {
            let opened = open::open(&choice)?;
            let tokens = opened.vocab.encode(text);
            (opened.model, tokens)
        }
    };
    let count = u32::try_from(tokens.len()).context("there are too many tokens")?;
    let rows = match &arguments.positions {
        Some(text) => rows(text)?,
        None => [(0..count).collect(), vec![0; tokens.len()]],
    };
    let chunk = Chunk {
        ids: &tokens,
        positions: [&rows[0], &rows[1]],
        prefix: arguments.sep,
    };
    let want = if arguments.all { Want::All } else { Want::Last };
    let logits = model
        .forward(&chunk, &mut model.kv(), want, &|| false)
        .map_err(|error| anyhow!("{error}"))?;
    let logits: Vec<&[f32]> = (0..logits.rows).map(|row| logits.row(row)).collect();
    say(&format!(
        "{}\n",
        json!({ "tokens": tokens, "logits": logits })
    ))
}

fn rows(text: &str) -> anyhow::Result<[Vec<u32>; 2]> {
    let row = |text: &str| -> anyhow::Result<Vec<u32>> {
        text.split(',')
            .map(|number| {
                number
                    .trim()
                    .parse()
                    .with_context(|| format!("`{number}` is no position"))
            })
            .collect()
    };
    let (first, second) = text
        .split_once(';')
        .context("--positions takes two rows, such as \"0,1,2;0,0,1\"")?;
    Ok([row(first)?, row(second)?])
}

fn say(text: &str) -> anyhow::Result<()> {
    stdout()
        .write_all(text.as_bytes())
        .context("cannot write to standard output")
}
