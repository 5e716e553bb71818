//! `infill complete FILE --at LINE:COL`: what an editor would show at this place.
//!
//! Reads the file as an editor would open it and asks [`complete`](crate::complete::complete), the
//! same path that serves editors. Lines and columns are counted from 1 here, columns in characters.

use std::fs;
use std::io::{ErrorKind, Write, stdout};
use std::path::{Path, absolute};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use engine::Class;
use grammars::Language;
use serde::Serialize;
use text::{Encoding, Position, Snapshot};
use tower_lsp::lsp_types::Url;

use crate::complete::{Ask, Outcome, Record, Shown, Why, complete};
use crate::documents::Documents;
use crate::flags::{CompleteArgs, Place};
use crate::models::settings::Choice;
use crate::rooms::Rooms;

/// Completes a file and prints the answer to standard output: the text to insert, or JSON. Having
/// nothing to show is not a failure; the reason is then printed to standard error.
///
/// # Errors
/// If the file or the model cannot be used, or the file has no such place.
pub fn run(arguments: &CompleteArgs) -> anyhow::Result<()> {
    let text = read(&arguments.file)?;
    let language = Language::detect(
        Some(&arguments.file),
        None,
        text.lines().next().unwrap_or_default(),
    );
    let documents = Arc::new(Documents::default());
    let url = url(&arguments.file)?;
    documents.open(url.clone(), &text, 0, language);
    let view = documents
        .view(&url)
        .context("the file was closed before it was completed")?;
    let offset = offset(&view.snapshot, arguments.at).map_err(|why| {
        anyhow!(
            "{} has no place {}: {why}",
            arguments.file.display(),
            arguments.at
        )
    })?;
    let path = absolute(&arguments.file).context("the file has no path")?;
    let found = Choice::found_from(path.parent().unwrap_or(&path))?;
    let choice = arguments.model.choice().or(found);
    let rooms = Arc::new(Rooms::open(&choice, &|_| {})?);

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .context("cannot start the threads that complete")?;
    let before = view.snapshot.clone();
    let ask = Ask {
        url,
        view,
        offset,
        class: Class::Invoked,
        hypothetical: false,
        single_line: false,
        delay: Duration::ZERO,
    };
    let Outcome { shown, record, .. } = runtime.block_on(complete(rooms, documents, ask));
    let shown = match shown {
        Err(Why::Failed(why)) => bail!("the model could not be run: {why}"),
        Err(Why::Broken(error)) => return Err(error).context("the completion broke off"),
        shown => shown,
    };
    let output = if arguments.json {
        json(&before, offset, &shown, record)?
    } else {
        plain(&shown)
    };
    print(&output)
}

fn read(path: &Path) -> anyhow::Result<String> {
    let shown = path.display();
    if path.is_dir() {
        bail!("{shown} is a directory; name a file in it");
    }
    let bytes = fs::read(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => anyhow!("{shown} does not exist; check the path"),
        ErrorKind::PermissionDenied => anyhow!("{shown} may not be read; check its permissions"),
        _ => anyhow!("cannot read {shown}: {error}"),
    })?;
    if bytes.contains(&0) {
        bail!("{shown} is a binary file (it has a NUL byte); name a text file");
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        anyhow!("{shown} is not UTF-8 text (byte {at} is wrong); convert it to UTF-8")
    })
}

fn url(path: &Path) -> anyhow::Result<Url> {
    let path = absolute(path).with_context(|| format!("cannot resolve {}", path.display()))?;
    Url::from_file_path(&path).map_err(|()| anyhow!("{} has no file URL", path.display()))
}

/// The byte offset of a place that a person wrote, or what there is instead.
fn offset(snapshot: &Snapshot, at: Place) -> Result<usize, String> {
    let lines = snapshot.line_count();
    let line = at.line as usize - 1;
    if line >= lines {
        return Err(format!("the file has {}", count(lines, "line")));
    }
    let text = snapshot.slice(snapshot.line_range(line));
    let columns = text.chars().count() + 1;
    if at.column as usize > columns {
        return Err(format!("line {} ends at column {columns}", at.line));
    }
    let position = Position {
        line: at.line - 1,
        column: at.column - 1,
    };
    Ok(snapshot.offset(position, Encoding::Utf32))
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

fn plain(shown: &Result<Shown, Why>) -> String {
    match shown {
        Ok(shown) => format!("{}\n", shown.item.ghost),
        Err(why) => {
            eprintln!("infill: nothing to complete here: {why}");
            String::new()
        }
    }
}

/// The answer as JSON. `range` is what `text` replaces, from the cursor on; where there is nothing
/// to show, `text` is empty and `why` says why.
#[derive(Serialize)]
struct Answer {
    text: String,
    range: Span,
    #[serde(flatten)]
    record: Record,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

#[derive(Serialize)]
struct Span {
    start: Mark,
    end: Mark,
}

/// A place in the file: line and column from 1, the column in characters.
#[derive(Serialize)]
struct Mark {
    line: u32,
    column: u32,
}

fn json(
    before: &Snapshot,
    offset: usize,
    shown: &Result<Shown, Why>,
    record: Record,
) -> anyhow::Result<String> {
    let mark = |offset| {
        let Position { line, column } = before.position(offset, Encoding::Utf32);
        Mark {
            line: line + 1,
            column: column + 1,
        }
    };
    let (text, range, why) = match shown {
        Ok(shown) => (shown.item.text.clone(), shown.item.range.clone(), None),
        Err(why) => (String::new(), offset..offset, Some(why.to_string())),
    };
    let range = Span {
        start: mark(range.start),
        end: mark(range.end),
    };
    let answer = Answer {
        text,
        range,
        record,
        why,
    };
    Ok(serde_json::to_string_pretty(&answer)? + "\n")
}

/// Prints to standard output. A reader that has closed its end, like `head`, has what it wanted.
fn print(text: &str) -> anyhow::Result<()> {
    match stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(line: u32, column: u32) -> Place {
        Place { line, column }
    }

    #[test]
    fn places_are_characters_and_checked() {
        let snapshot = Snapshot::new("aé😀b\r\nx\n", Language::PLAIN);
        let table = [
            (place(1, 1), Ok(0)),
            (place(1, 4), Ok(7)),
            (place(1, 5), Ok(8)),
            (place(1, 6), Err("line 1 ends at column 5")),
            (place(2, 2), Ok(11)),
            (place(3, 1), Ok(12)),
            (place(3, 2), Err("line 3 ends at column 1")),
            (place(4, 1), Err("the file has 3 lines")),
            (place(u32::MAX, u32::MAX), Err("the file has 3 lines")),
        ];
        for (at, expected) in table {
            assert_eq!(
                offset(&snapshot, at),
                expected.map_err(str::to_owned),
                "{at}"
            );
        }
        let empty = Snapshot::new("", Language::PLAIN);
        assert_eq!(offset(&empty, place(1, 1)), Ok(0));
        assert_eq!(
            offset(&empty, place(2, 1)),
            Err("the file has 1 line".to_owned())
        );
    }
}
