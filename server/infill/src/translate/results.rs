//! Where translations go: a file for a file, one file again for its parts, a line for a line of a list.
//!
//! Each is written beside its place under another name and then moved there, so that nobody ever finds half of one.

use std::collections::HashMap;
use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use grammars::Language;
use serde::Serialize;
use tempfile::NamedTempFile;

use crate::translate::journal::{Journal, Outcome, Status};
use crate::translate::plan::Shard;
use crate::translate::unit::{Key, Place, Source, Unit};

/// The folder of results.
pub struct Results {
    out: PathBuf,
    /// The files of which some parts are over and others are not.
    open: HashMap<PathBuf, Parts>,
}

/// The parts of a file, as far as they are over.
struct Parts {
    keys: Vec<Option<Key>>,
    /// Whether earlier runs did all of them.
    are_old: bool,
}

impl Results {
    /// A folder that is there.
    pub fn new(out: PathBuf) -> Results {
        Results {
            out,
            open: HashMap::new(),
        }
    }

    /// A unit is over and its outcome in the journal. What was there before is replaced if the unit was done just now,
    /// and left as it is if an earlier run did it: somebody may have worked on it since.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn take(
        &mut self,
        unit: &Unit,
        key: Key,
        outcome: &Outcome,
        is_old: bool,
        journal: &Journal,
    ) -> anyhow::Result<()> {
        match &unit.place {
            Place::Line(_) => Ok(()),
            Place::File(_) if outcome.status < Status::Parses => Ok(()),
            Place::File(source) => self.write(source, is_old, || Ok(outcome.text.clone())),
            Place::Part {
                of, index, count, ..
            } => {
                let fresh = || Parts {
                    keys: vec![None; *count],
                    are_old: true,
                };
                let parts = self.open.entry(of.path.clone()).or_insert_with(fresh);
                parts.keys[*index] = Some(key);
                parts.are_old &= is_old;
                let Some(keys) = parts.keys.iter().copied().collect::<Option<Vec<Key>>>() else {
                    return Ok(());
                };
                let are_old = parts.are_old;
                self.open.remove(&of.path);
                self.write(of, are_old, || assembled(&keys, unit.to, journal))
            }
        }
    }

    fn write(
        &self,
        source: &Source,
        is_old: bool,
        text: impl FnOnce() -> anyhow::Result<String>,
    ) -> anyhow::Result<()> {
        let path = self.out.join(&source.result);
        if is_old && path.exists() {
            return Ok(());
        }
        let text = text()?;
        replace(&path, &self.scratch(), |file| {
            file.write_all(text.as_bytes())
        })
    }

    /// Where files are written before they are moved to their place: what a kill leaves behind is not among the results.
    fn scratch(&self) -> PathBuf {
        self.out.join(".infill")
    }

    /// Writes the outcomes of a list's lines that this run met as `translations.jsonl`, in the order in which they were
    /// over; gives its path.
    ///
    /// # Errors
    /// If it cannot be written, or the journal cannot be read.
    pub fn write_list(&self, journal: &Journal, shard: Shard) -> anyhow::Result<PathBuf> {
        let name = match shard.count {
            1 => "translations.jsonl".to_owned(),
            count => format!("translations-{}-of-{count}.jsonl", shard.index + 1),
        };
        let path = self.out.join(name);
        let met = journal.met()?;
        let mut fault = Ok(());
        replace(&path, &self.scratch(), |file| {
            let mut file = BufWriter::new(file);
            for met in met {
                let met = match met {
                    Ok(met) => met,
                    Err(error) => {
                        fault = Err(error);
                        break;
                    }
                };
                let line = ListLine {
                    id: &met.label.name,
                    outcome: &met.outcome,
                };
                serde_json::to_writer(&mut file, &line)?;
                file.write_all(b"\n")?;
            }
            file.flush()
        })?;
        fault.map(|()| path)
    }
}

/// A line of `translations.jsonl`.
#[derive(Serialize)]
struct ListLine<'a> {
    id: &'a str,
    #[serde(flatten)]
    outcome: &'a Outcome,
}

/// The translations of a file's parts as one file. A part without one is a comment.
fn assembled(keys: &[Key], to: Language, journal: &Journal) -> anyhow::Result<String> {
    let mut parts = Vec::new();
    for key in keys {
        let outcome = journal.outcome(*key)?;
        let outcome = outcome.context("a part that is over is in the journal")?;
        let is_usable = outcome.status >= Status::Parses;
        parts.push(match is_usable {
            true => outcome.text.trim_end().to_owned(),
            false => {
                let reason = outcome.reason.lines().next().unwrap_or_default();
                comment(to, &format!("Not translated: {reason}"))
            }
        });
    }
    Ok(parts.join("\n\n") + "\n")
}

fn comment(language: Language, text: &str) -> String {
    match (language.line_comment(), language.block_comment()) {
        (Some(mark), _) => format!("{mark} {text}"),
        (None, Some((open, close))) => format!("{open} {text} {close}"),
        (None, None) => text.to_owned(),
    }
}

/// Writes a file in the folder `scratch`, on the same disk, and moves it to its place.
///
/// # Errors
/// If that fails; the file that was there is still there then.
pub fn replace(
    path: &Path,
    scratch: &Path,
    write: impl FnOnce(&mut fs::File) -> std::io::Result<()>,
) -> anyhow::Result<()> {
    let cannot = || format!("cannot write {}", path.display());
    let folder = folder_of(path);
    fs::create_dir_all(folder).with_context(cannot)?;
    let mut file = NamedTempFile::new_in(scratch).with_context(cannot)?;
    write(file.as_file_mut()).with_context(cannot)?;
    let file = file.persist(path).with_context(cannot)?;
    readable(&file).with_context(cannot)
}

/// The folder that a file is in.
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// A temporary file is its owner's alone; a result is as any other file.
#[cfg(unix)]
fn readable(file: &fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn readable(_: &fs::File) -> std::io::Result<()> {
    Ok(())
}
