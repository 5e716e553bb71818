//! Whether a translation is any good: the target's grammar, then a compiler, then tests.
//!
//! Takes the code; gives how far it got and, if not all the way, a complaint that a model can be told. Commands run in
//! the sandbox, each time in a folder of its own.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use text::{ItemKind, Snapshot, Syntax};
use tokio::sync::Semaphore;
use walkdir::WalkDir;

use crate::sandbox::{Ended, Limits, Sandbox};
use crate::translate::journal::Status;
use crate::translate::unit::Unit;

/// The most of a complaint, in bytes.
const LONGEST_COMPLAINT: usize = 2000;

/// What is checked, and how.
pub struct Checker {
    /// A command for the translation, with `{file}` for its file; none to let the grammar suffice.
    pub check: Option<String>,
    /// A command for the translation with its test below it.
    pub test: Option<String>,
    /// A folder that is copied into the commands' own one.
    pub project: Option<PathBuf>,
    /// Where the translation is put there, instead of beside all else under a name of its own.
    pub file: Option<PathBuf>,
    /// What a command may take.
    pub limits: Limits,
    /// How many commands may run at once.
    pub turns: Semaphore,
    /// What commands run in.
    pub sandbox: Sandbox,
}

/// How good a translation is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// How far it got.
    pub status: Status,
    /// Why no further; empty if it could get no further.
    pub complaint: String,
}

impl Checker {
    /// The best that a unit can get to.
    pub fn best(&self) -> Status {
        if self.test.is_some() {
            Status::Passed
        } else if self.check.is_some() {
            Status::Compiles
        } else {
            Status::Parses
        }
    }

    /// Checks a translation of a unit.
    ///
    /// # Errors
    /// If a command cannot be run at all.
    pub async fn judge(&self, unit: &Unit, code: &str) -> anyhow::Result<Verdict> {
        if code.is_empty() {
            return Ok(Verdict {
                status: Status::Failed,
                complaint: "There is no code in the answer.".to_owned(),
            });
        }
        // A command that has nothing to look for would be content with an empty file.
        let missing = missing(unit, code);
        if !missing.is_empty() {
            return Ok(failed(format!(
                "It does not define {}.",
                missing.join(", ")
            )));
        }
        // A grammar may not know what a compiler does, so that a compiler is asked in any case.
        let mut verdict = read(unit, code);
        for (command, reached) in [
            (&self.check, Status::Compiles),
            (&self.test, Status::Passed),
        ] {
            let Some(command) = command else { continue };
            let test = match reached {
                Status::Passed => &*unit.test,
                _ => "",
            };
            match self.command(command, unit, code, test).await? {
                None => {
                    verdict = Verdict {
                        status: reached,
                        complaint: String::new(),
                    }
                }
                Some(complaint) => {
                    verdict.complaint = complaint;
                    break;
                }
            }
        }
        Ok(verdict)
    }

    /// Runs a command on the code; gives what it complains of, if it does.
    async fn command(
        &self,
        command: &str,
        unit: &Unit,
        code: &str,
        test: &str,
    ) -> anyhow::Result<Option<String>> {
        // The semaphore is never closed.
        let _turn = self.turns.acquire().await?;
        let folder = tempfile::Builder::new()
            .prefix("infill-check-")
            .tempdir()
            .context("cannot make a folder to check a translation in")?;
        let file = self.file.clone().unwrap_or_else(|| unit.file_name().into());
        self.lay(folder.path(), &file, code, test)?;
        let command = command.replace("{file}", &file.to_string_lossy());
        let words = ["sh", "-c", &command].map(str::to_owned);
        let ran = self
            .sandbox
            .run(&words, folder.path(), &[], &self.limits)
            .await?;
        let output = relative(&ran.output, folder.path());
        let output = output.trim_end();
        let complaint = match ran.ended {
            Ended::Exit(0) => return Ok(None),
            Ended::Exit(code) if output.is_empty() => {
                format!("It ends with exit code {code} and says nothing.")
            }
            Ended::Exit(_) => output.to_owned(),
            Ended::Signal(signal) => format!("{output}\nIt was ended by signal {signal}."),
            Ended::Missing => bail!("cannot run a shell: {output}"),
            Ended::Memory => format!(
                "{output}\nIt takes more than {} MiB of memory.",
                self.limits.memory_bytes >> 20
            ),
            Ended::TimeOut => format!(
                "{output}\nIt does not end within {} s.",
                self.limits.time.as_secs_f32()
            ),
        };
        Ok(Some(cut(complaint.trim_start(), LONGEST_COMPLAINT)))
    }

    /// Fills the folder that a command runs in.
    fn lay(&self, folder: &Path, file: &Path, code: &str, test: &str) -> anyhow::Result<()> {
        if let Some(project) = &self.project {
            copy(project, folder).with_context(|| format!("cannot copy {}", project.display()))?;
        }
        let path = folder.join(file);
        let text = match test {
            "" => code.to_owned(),
            test => format!("{code}\n{test}"),
        };
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(&path, text))
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

/// What the grammar says.
fn read(unit: &Unit, code: &str) -> Verdict {
    let snapshot = Snapshot::new(code, unit.to);
    let syntax = snapshot.syntax(&mut || false);
    match syntax.and_then(|syntax| syntax.first_error()) {
        None => Verdict {
            status: Status::Parses,
            complaint: String::new(),
        },
        Some(place) => {
            let line = snapshot.line_of(place);
            let text = snapshot.slice(snapshot.line_range(line));
            let (number, title) = (line + 1, unit.to.title());
            failed(format!(
                "Line {number} is not valid {title}: {}",
                text.trim()
            ))
        }
    }
}

fn failed(complaint: String) -> Verdict {
    Verdict {
        status: Status::Failed,
        complaint,
    }
}

/// What the unit defines at its top, for use by others, and the translation does not, however it spells names. Nothing is
/// missing from a translation whose beginning was given, or that has tests of its own: those say what it is called.
fn missing(unit: &Unit, code: &str) -> Vec<String> {
    if !unit.declaration.is_empty() || !unit.test.is_empty() {
        return Vec::new();
    }
    let [source, code] = [(&*unit.code, unit.from), (code, unit.to)]
        .map(|(text, language)| Snapshot::new(text, language).syntax(&mut || false));
    let (Some(source), Some(code)) = (source, code) else {
        return Vec::new();
    };
    let defined: HashSet<String> = names(&code).flatten().map(|name| folded(&name)).collect();
    let own = names(&source).filter_map(|names| names.into_iter().next());
    let own = own.filter(|name| !name.starts_with('_') && name != "main");
    own.filter(|name| !defined.contains(&folded(name)))
        .collect()
}

/// The names of each definition at the top, its own first.
fn names(syntax: &Syntax) -> impl Iterator<Item = Vec<String>> {
    syntax
        .items()
        .into_iter()
        .filter_map(|item| match item.kind {
            ItemKind::Definition(names) => Some(names),
            ItemKind::Import | ItemKind::Rest => None,
        })
}

/// A name as it is the same in `snake_case` and `CamelCase`.
fn folded(name: &str) -> String {
    let letters = name.chars().filter(|c| *c != '_');
    letters.flat_map(char::to_lowercase).collect()
}

/// What a command said, without the path of its folder.
fn relative(output: &str, folder: &Path) -> String {
    let folder = folder.to_string_lossy();
    output
        .replace(&*format!("{folder}/"), "")
        .replace(&*folder, ".")
}

/// A text without its middle if it is longer.
fn cut(text: &str, most: usize) -> String {
    const GAP: &str = "\n...\n";
    if text.len() <= most {
        return text.to_owned();
    }
    let half = (most - GAP.len()) / 2;
    // A character has at most four bytes, so that a boundary is always near.
    let boundary = |at: &usize| text.is_char_boundary(*at);
    let head = (0..=half).rev().find(boundary).unwrap_or(0);
    let tail = (text.len() - half..).find(boundary).unwrap_or(text.len());
    format!("{}{GAP}{}", &text[..head], &text[tail..])
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    for entry in WalkDir::new(from) {
        let entry = entry?;
        let place = to.join(entry.path().strip_prefix(from)?);
        if entry.file_type().is_dir() {
            fs::create_dir_all(&place)?;
        } else {
            fs::copy(entry.path(), &place)?;
        }
    }
    Ok(())
}
