//! What this machine has: processor, memory, and the folders that the program reads and writes.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;

use glm::kernels::cpu;
use serde::Serialize;

use super::Note;
use crate::models::settings::Choice;
use crate::models::store::Store;

/// The processor.
#[derive(Debug, Serialize)]
pub struct Processor {
    /// Threads that it has for this process.
    threads: usize,
    /// Threads that a model runs on.
    model_threads: usize,
    /// The widest vector instructions that the kernels use here.
    vectors: &'static str,
}

impl Processor {
    /// This machine's; `chosen` are the threads that the settings say.
    pub fn of_this_machine(chosen: Option<usize>) -> Processor {
        let threads = available_parallelism().map_or(1, usize::from);
        Processor {
            threads,
            model_threads: glm::threads(chosen),
            vectors: cpu::vectors(),
        }
    }

    /// It in words.
    pub fn text(&self) -> String {
        let Processor {
            threads,
            model_threads,
            vectors,
        } = self;
        format!(
            "{threads} threads, {model_threads} of them for a model; vector instructions: {vectors}"
        )
    }
}

/// The main memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// All of it.
    pub total_bytes: u64,
    /// What programs can still have.
    pub free_bytes: u64,
}

impl Memory {
    /// Notes whether a model that needs so much is too large.
    pub fn judge(self, needed: u64, note: &mut Note) {
        let Memory {
            total_bytes,
            free_bytes,
        } = self;
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        let advice = "choose a smaller model or a smaller `quant`";
        if needed > total_bytes {
            let text = format!(
                "the model needs {} MiB of memory and this machine has {}: {advice}",
                mib(needed),
                mib(total_bytes)
            );
            note.of(text, true);
        } else if needed > free_bytes {
            let text = format!(
                "the model needs {} MiB of memory and {} are free: close other programs, or {advice}",
                mib(needed),
                mib(free_bytes)
            );
            note.of(text, false);
        }
    }
}

/// The main memory, where the system tells: on Linux.
pub fn memory() -> Option<Memory> {
    parse(&fs::read_to_string("/proc/meminfo").ok()?)
}

/// Reads the form of Linux: lines such as `MemTotal: 16318440 kB`.
fn parse(text: &str) -> Option<Memory> {
    let bytes = |name: &str| {
        let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
        let number: u64 = rest.trim().strip_suffix("kB")?.trim().parse().ok()?;
        number.checked_mul(1024)
    };
    Some(Memory {
        total_bytes: bytes("MemTotal:")?,
        free_bytes: bytes("MemAvailable:")?,
    })
}

/// A file or folder of this program's.
#[derive(Debug, Serialize)]
pub struct Place {
    /// What is there.
    pub what: &'static str,
    /// Where; none if nothing is kept in files.
    pub path: Option<PathBuf>,
    /// How it is.
    pub state: String,
}

/// The settings that hold in a folder, which were read, or could not be.
pub fn settings(folder: &Path, can_read: bool) -> Place {
    let (path, state) = match Choice::file_from(folder) {
        Some(path) if can_read => (Some(path), "in use"),
        Some(path) => (Some(path), "cannot be used"),
        None => (Choice::file_of_user(), "not there; the defaults hold"),
    };
    Place {
        what: "settings",
        path,
        state: state.to_owned(),
    }
}

/// The store of models.
pub fn models(store: &Store, note: &mut Note) -> Place {
    let root = store.root();
    let count = match store.list() {
        Ok(models) => models.len(),
        Err(error) => {
            note.of(format!("{error:#}"), false);
            0
        }
    };
    // A folder that is not there yet is made where one of those above it is.
    let existing = root.ancestors().find(|folder| folder.is_dir());
    let written = existing.map(|folder| tempfile::tempfile_in(folder).map(drop));
    let can = match written {
        Some(Ok(())) => "can be written",
        Some(Err(_)) | None => {
            let text = format!(
                "models cannot be pulled into {}: give yourself the right to write there, or set INFILL_HOME to another folder",
                root.display()
            );
            note.of(text, false);
            "cannot be written"
        }
    };
    Place {
        what: "models",
        path: Some(root.to_owned()),
        state: format!("{count} there; {can}"),
    }
}

/// The log.
pub fn logs() -> Place {
    Place {
        what: "log",
        path: None,
        state: "standard error, which editors keep; --log LEVEL or INFILL_LOG says how much"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_as_linux_tells_it() {
        let text = "MemTotal:       16318440 kB\nMemFree:  1 kB\nMemAvailable:    8000 kB\n";
        let memory = Memory {
            total_bytes: 16_318_440 << 10,
            free_bytes: 8000 << 10,
        };
        assert_eq!(parse(text), Some(memory));
        for damaged in ["", "MemTotal: 5 kB", "MemTotal: x kB\nMemAvailable: 1 kB"] {
            assert_eq!(parse(damaged), None, "{damaged}");
        }
        let judged = |needed| {
            let mut note = Note::default();
            memory.judge(needed, &mut note);
            note.problems.pop().map(|problem| problem.fatal)
        };
        assert_eq!(judged(8000 << 10), None);
        assert_eq!(judged((8000 << 10) + 1), Some(false));
        assert_eq!(judged((16_318_440 << 10) + 1), Some(true));
    }
}
