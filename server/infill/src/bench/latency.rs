//! `infill bench latency FILES…`: how long a keystroke waits for its completion.
//!
//! Starts a server as an editor does, this program's own or any other, types parts of each file again or what somebody
//! recorded, and asks for a completion after every keystroke. The clock runs from the keystroke's message to the answer.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::bench::budget::Budget;
use crate::bench::client::Client;
use crate::bench::process::{Usage, usage};
use crate::bench::recording;
use crate::bench::replay::{open, play};
use crate::bench::report::{Around, Report};
use crate::bench::script::Script;
use crate::flags::LatencyArgs;

/// After the last key the server may finish what it has begun, for so long.
const SETTLE: Duration = Duration::from_secs(1);

/// How long it is then watched.
const IDLE: Duration = Duration::from_secs(3);

/// Replays typing and prints the figures. The exit code is a failure if a limit of the budget is broken.
///
/// # Errors
/// If a file cannot be read, the server does not start, or it does not answer.
pub fn run(arguments: &LatencyArgs) -> anyhow::Result<ExitCode> {
    let budget = arguments.budget.as_deref().map(Budget::read).transpose()?;
    let files = read(arguments)?;
    let scripts = match &arguments.recording {
        Some(path) => recording::read(path)?,
        None => synthetic(&files, arguments),
    };
    if scripts.iter().all(|script| script.steps.is_empty()) {
        bail!("there is nothing to type in these files; name longer ones");
    }

    let mut client = Client::start(server(arguments)?)?;
    for (number, (path, text)) in files.iter().cycle().take(arguments.open).enumerate() {
        open(&mut client, path, scripts.len() + number, text)?;
    }
    let before = counters(client.status()?);
    let editors = usize::from(arguments.editors);
    let pace = arguments
        .pace
        .map(|pace| Duration::from_millis(pace.into()));
    let played = play(&mut client, &scripts, editors, pace)?;
    let spent = usage(client.process());
    let after = counters(client.status()?);
    let idle_cpu_share = idle(client.process());
    let most = usage(client.process());
    client.stop()?;

    let around = Around {
        editors: editors.min(scripts.len()),
        engine: after.map(|after| difference(after, &before.unwrap_or_default())),
        usage: spent.zip(most).map(|(spent, most)| Usage {
            rss_mb: most.rss_mb.max(spent.rss_mb),
            cpu_s: spent.cpu_s,
        }),
        idle_cpu_share,
    };
    let report = Report::new(&played, around);
    let mut printed = if arguments.json {
        serde_json::to_string_pretty(&report)? + "\n"
    } else {
        report.to_string()
    };
    let breaches = match &budget {
        Some(budget) => budget.breaches(&serde_json::to_value(&report)?)?,
        None => Vec::new(),
    };
    // The JSON stays JSON: what is broken goes to standard error then.
    let mut broken = String::new();
    for breach in &breaches {
        broken += &format!("{breach}\n");
    }
    if !breaches.is_empty() {
        let list = format!("broken limits:\n{broken}");
        if arguments.json {
            eprint!("{list}");
        } else {
            printed += &format!("\n{list}");
        }
    }
    stdout()
        .write_all(printed.as_bytes())
        .context("cannot write the report")?;
    Ok(if breaches.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The files, as long as they are to be.
fn read(arguments: &LatencyArgs) -> anyhow::Result<Vec<(PathBuf, String)>> {
    let read = arguments.files.iter().map(|path| {
        let text = fs::read_to_string(path);
        let text = text.with_context(|| format!("cannot read {} as text", path.display()))?;
        let text = match arguments.lines {
            Some(lines) => stretched(&text, lines),
            None => text,
        };
        Ok((path.clone(), text))
    });
    read.collect()
}

/// So many lines of a text, which is repeated if it is shorter.
fn stretched(text: &str, lines: usize) -> String {
    let whole = if text.ends_with('\n') {
        text.to_owned()
    } else {
        format!("{text}\n")
    };
    whole.split_inclusive('\n').cycle().take(lines).collect()
}

/// A script for each file, or for each editor if there are more; what a short file cannot take of the keystrokes goes to
/// the next.
fn synthetic(files: &[(PathBuf, String)], arguments: &LatencyArgs) -> Vec<Script> {
    let count = files.len().max(arguments.editors.into());
    let mut left = arguments.keystrokes as usize;
    let files = files
        .iter()
        .cycle()
        .take(if files.is_empty() { 0 } else { count });
    let scripts = files.zip(0..).map(|((path, text), number)| {
        let keystrokes = left.div_ceil(count - number);
        let seed = arguments.seed.wrapping_add(number as u64);
        let script = Script::synthetic(Path::new(path), text, keystrokes, seed);
        left = left.saturating_sub(script.keys());
        script
    });
    scripts.collect()
}

/// The command that starts the server.
fn server(arguments: &LatencyArgs) -> anyhow::Result<Command> {
    if let Some(line) = &arguments.server {
        let (shell, flag) = if cfg!(windows) {
            ("cmd", "/C")
        } else {
            ("sh", "-c")
        };
        let mut command = Command::new(shell);
        // The shell makes room for the server, so that what is measured is the server.
        command.arg(flag).arg(if cfg!(windows) {
            line.clone()
        } else {
            format!("exec {line}")
        });
        return Ok(command);
    }
    let program = std::env::current_exe().context("cannot tell which program this is")?;
    let mut command = Command::new(program);
    command.arg("lsp");
    if let Some(quant) = arguments.model.quant {
        command.arg("--quant").arg(quant.to_string());
    }
    if let Some(model) = &arguments.model.model {
        command.arg("--model").arg(model);
    }
    let counts = [
        ("--threads", arguments.model.threads),
        ("--window", arguments.model.window),
    ];
    for (flag, count) in counts {
        if let Some(count) = count {
            command.arg(flag).arg(count.to_string());
        }
    }
    Ok(command)
}

/// The engine's counters in `infill/status`.
fn counters(status: Option<Value>) -> Option<BTreeMap<String, f64>> {
    let status = status?;
    let engine = status["engine"].as_object()?;
    let counters = engine
        .iter()
        .filter_map(|(name, count)| Some((name.clone(), count.as_f64()?)));
    Some(counters.collect())
}

fn difference(
    mut after: BTreeMap<String, f64>,
    before: &BTreeMap<String, f64>,
) -> BTreeMap<String, f64> {
    for (name, count) in &mut after {
        *count -= before.get(name).copied().unwrap_or(0.0);
    }
    after
}

/// The share of a core that a process uses while nothing is asked of it.
fn idle(process: u32) -> Option<f64> {
    thread::sleep(SETTLE);
    let (began, before) = (Instant::now(), usage(process)?);
    thread::sleep(IDLE);
    let after = usage(process)?;
    Some(((after.cpu_s - before.cpu_s) / began.elapsed().as_secs_f64()).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_or_repeated_to_its_lines() {
        assert_eq!(stretched("a\nb\nc", 2), "a\nb\n");
        assert_eq!(stretched("a\nb", 5), "a\nb\na\nb\na\n");
        assert_eq!(stretched("a\n", 0), "");
    }

    #[test]
    fn counters_are_counted_from_the_start() {
        let status =
            |count: u32| Some(serde_json::json!({ "engine": { "decoded": count, "busy": true } }));
        let before = counters(status(3)).unwrap();
        assert_eq!(
            difference(counters(status(10)).unwrap(), &before)["decoded"],
            7.0
        );
        assert_eq!(
            counters(Some(serde_json::json!({ "state": "ready" }))),
            None
        );
    }
}
