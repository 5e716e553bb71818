//! `infill bench latency FILES…`: how long a keystroke waits for its completion.
//!
//! Starts the server as an editor does, types a part of each file again that it first takes out,
//! and asks for a completion after every keystroke. The clock runs from the keystroke's message to
//! the answer; the next key is pressed when the answer is there.

use std::fs;
use std::io::{Write, stdout};
use std::path::Path;

use anyhow::{Context as _, bail};

use crate::bench::client::Client;
use crate::bench::replay::{Typing, type_file};
use crate::bench::report::Report;
use crate::flags::LatencyArgs;

/// Replays typing on the given files and prints the figures.
///
/// # Errors
/// If a file cannot be read, the server does not start, or it does not answer.
pub fn run(arguments: &LatencyArgs) -> anyhow::Result<()> {
    let files: Vec<(&Path, String)> = arguments
        .files
        .iter()
        .map(|path| {
            let text = fs::read_to_string(path)
                .with_context(|| format!("cannot read {} as text", path.display()))?;
            Ok((path.as_path(), text))
        })
        .collect::<anyhow::Result<_>>()?;
    let typings = share_out(&files, arguments.keystrokes as usize);
    if typings.iter().all(|(_, typing)| typing.keys.is_empty()) {
        bail!("there is nothing to type in these files; name longer ones");
    }

    let mut client = Client::start(&arguments.model)?;
    let mut strokes = Vec::new();
    for (path, typing) in &typings {
        strokes.extend(type_file(&mut client, path, typing)?);
    }
    client.stop()?;

    let report = Report::new(&strokes);
    let printed = if arguments.json {
        serde_json::to_string_pretty(&report)? + "\n"
    } else {
        report.to_string()
    };
    stdout()
        .write_all(printed.as_bytes())
        .context("cannot write the report")
}

/// Gives each file its share of the keystrokes; what a short file cannot take goes to the next.
fn share_out<'a>(files: &[(&'a Path, String)], keystrokes: usize) -> Vec<(&'a Path, Typing)> {
    let mut left = keystrokes;
    files
        .iter()
        .enumerate()
        .map(|(index, (path, text))| {
            let typing = Typing::new(text, left.div_ceil(files.len() - index));
            left -= typing.keys.len();
            (*path, typing)
        })
        .collect()
}
