//! `infill model …`: get, list, check and remove models here; what looks into one has a file of its own.

pub(crate) mod info;
mod logits;
mod quantize;

use std::io::{IsTerminal, Write, stdin, stdout};
use std::process::ExitCode;

use anyhow::{Context as _, anyhow, bail};

use crate::flags::{ListArgs, ModelCommand, PullArgs, RemoveArgs, VerifyArgs};
use crate::models::hub::Hub;
use crate::models::names;
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
        ModelCommand::Info(arguments) => info::run(arguments)?,
        ModelCommand::Verify(arguments) => return verify(arguments),
        ModelCommand::Quantize(arguments) => quantize::run(arguments)?,
        ModelCommand::Remove(arguments) => remove(arguments)?,
        ModelCommand::Logits(arguments) => logits::run(arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn get(arguments: &PullArgs) -> anyhow::Result<()> {
    let store = Store::of_user()?;
    let hub = Hub::of_user(arguments.endpoint.as_deref())?;
    let record = pull::pull(
        &store,
        &hub,
        &arguments.name,
        &arguments.revision,
        &pull::ToTheEnd,
    )?;
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

/// Checks the files against what was recorded when they were pulled, then the model in them.
fn verify(arguments: &VerifyArgs) -> anyhow::Result<ExitCode> {
    let name = &arguments.model;
    let (source, path) = open::source(Some(name))?;
    let store = Store::of_user()?;
    let stored = names::stored(name);
    let mut faults = Vec::new();
    if path == Some(store.folder(&stored))
        && let Some(record) = store.record(&stored)?
    {
        faults = store.faults(&record)?;
        if faults.is_empty() {
            let count = record.files.len();
            say(&format!("{name}: {count} files, all as they were pulled\n"))?;
        }
    }
    if faults.is_empty() {
        faults = glm::verify(&source).map_err(|error| anyhow!("{error}"))?;
    }
    if faults.is_empty() {
        say(&format!(
            "{name}: every tensor is there, has its shape and holds finite numbers\n"
        ))?;
        return Ok(ExitCode::SUCCESS);
    }
    for fault in &faults {
        eprintln!("infill: {fault}");
    }
    eprintln!("infill: {name} is damaged; get or export it again");
    Ok(ExitCode::FAILURE)
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

pub(crate) fn say(text: &str) -> anyhow::Result<()> {
    stdout()
        .write_all(text.as_bytes())
        .context("cannot write to standard output")
}
