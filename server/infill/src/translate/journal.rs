//! What became of each unit, on disk: so that a run that was killed goes on, and several may share a folder.
//!
//! `OUT/.infill/journal` holds a file of JSON lines for each process that worked there; it only ever appends to its own,
//! and a line that was cut off by a kill counts for nothing. `OUT/.infill/claims` holds a locked file for each unit in
//! work: the system gives the lock back whatever becomes of the process. A unit is looked up in the journals again once
//! it is claimed, so that none is done twice.

use std::collections::HashMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::translate::unit::Key;

/// How far a unit got. Later is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Nothing was asked of a model.
    Skipped,
    /// There is no translation that can be used.
    Failed,
    /// The target's grammar can read it.
    Parses,
    /// The command that checks it says that it is right.
    Compiles,
    /// Its tests pass.
    Passed,
}

impl Status {
    /// All, the best first.
    pub const ALL: [Status; 5] = [
        Status::Passed,
        Status::Compiles,
        Status::Parses,
        Status::Failed,
        Status::Skipped,
    ];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Status::Skipped => "skipped",
            Status::Failed => "failed",
            Status::Parses => "parses",
            Status::Compiles => "compiles",
            Status::Passed => "passed",
        }
    }
}

/// What became of a unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// How far it got.
    pub status: Status,
    /// Why no further, in words; what a compiler said is in it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The best translation; empty if there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// How often the model was asked.
    pub attempts: u32,
    /// Tokens that it read.
    pub read: u64,
    /// Tokens that it wrote.
    pub written: u64,
    /// From the first question to the last verdict, in seconds.
    pub seconds: f64,
}

impl Outcome {
    /// One that no model was asked about.
    pub fn without_a_model(status: Status, reason: String) -> Outcome {
        Outcome {
            status,
            reason,
            text: String::new(),
            attempts: 0,
            read: 0,
            written: 0,
            seconds: 0.0,
        }
    }
}

/// What reports say of where a unit is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// What it is called.
    pub name: String,
    /// Its file, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Its first and last line, from 1, if it is a part of its file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines: Option<[usize; 2]>,
}

/// A line of a journal: what a run met, in the order in which it was over.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    /// Of units only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(flatten)]
    label: Label,
    /// None if it is in another line already, which may be another run's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    outcome: Option<Outcome>,
}

/// Something that a run met.
#[derive(Debug, Clone, PartialEq)]
pub struct Met {
    /// Where it is.
    pub label: Label,
    /// What became of it.
    pub outcome: Outcome,
    /// Whether an earlier run, or another one, had done it.
    pub is_old: bool,
}

/// Where an outcome is written.
#[derive(Clone, Copy, Debug)]
struct Spot {
    file: u32,
    offset: u64,
}

/// A journal file, as far as it was read.
struct Log {
    path: PathBuf,
    read: u64,
}

/// The journals of a folder, one of them open for this process.
pub struct Journal {
    folder: PathBuf,
    claims: PathBuf,
    /// This process's own file; the first of `logs`.
    own: File,
    logs: Vec<Log>,
    known: HashMap<Key, Spot>,
}

/// A hand on a unit: no other process works on it meanwhile.
pub struct Claim {
    // Unlocked when it is closed.
    _file: File,
    path: PathBuf,
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Removed while it is locked. If that fails it stays, empty, and is locked again by who comes next.
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether a unit is to be done here.
pub enum Turn {
    /// It is done.
    Done(Outcome),
    /// Another process works on it.
    Elsewhere,
    /// It is this process's.
    Ours(Claim),
}

impl Journal {
    /// Opens the journals under `out`, and begins one.
    ///
    /// # Errors
    /// If the folder cannot be made, read or written.
    pub fn open(out: &Path) -> anyhow::Result<Journal> {
        let folder = out.join(".infill/journal");
        let claims = out.join(".infill/claims");
        for folder in [&folder, &claims] {
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let (path, own) = begin(&folder)?;
        let mut journal = Journal {
            own,
            logs: vec![Log { path, read: 0 }],
            folder,
            claims,
            known: HashMap::new(),
        };
        journal.read_on()?;
        Ok(journal)
    }

    /// What is known of a unit, or the right to do it.
    ///
    /// # Errors
    /// If the folder cannot be read or written.
    pub fn turn(&mut self, key: Key) -> anyhow::Result<Turn> {
        if let Some(outcome) = self.outcome(key)? {
            return Ok(Turn::Done(outcome));
        }
        let path = self.claims.join(key.to_string());
        let claim = File::options().create(true).append(true).open(&path);
        let file = claim.with_context(|| format!("cannot write {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(Turn::Elsewhere),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        let claim = Claim { _file: file, path };
        // It may have been done between the first look and the lock.
        self.read_on()?;
        Ok(match self.outcome(key)? {
            Some(outcome) => Turn::Done(outcome),
            None => Turn::Ours(claim),
        })
    }

    /// Writes down what became of a unit that was claimed, then lets the claim go.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn done(
        &mut self,
        key: Key,
        label: &Label,
        outcome: &Outcome,
        claim: Claim,
    ) -> anyhow::Result<()> {
        let offset = self.write(&Entry {
            key: Some(key.to_string()),
            label: label.clone(),
            outcome: Some(outcome.clone()),
        })?;
        self.known.insert(key, Spot { file: 0, offset });
        drop(claim);
        Ok(())
    }

    /// Writes down that a unit was met which was done before.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn again(&mut self, key: Key, label: &Label) -> anyhow::Result<()> {
        let entry = Entry {
            key: Some(key.to_string()),
            label: label.clone(),
            outcome: None,
        };
        self.write(&entry).map(drop)
    }

    /// Writes down what was met and is no unit, or was not begun: the next run meets it anew.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn left(&mut self, label: &Label, outcome: &Outcome) -> anyhow::Result<()> {
        let entry = Entry {
            key: None,
            label: label.clone(),
            outcome: Some(outcome.clone()),
        };
        self.write(&entry).map(drop)
    }

    /// What is known of a unit.
    ///
    /// # Errors
    /// If a journal cannot be read.
    pub fn outcome(&self, key: Key) -> anyhow::Result<Option<Outcome>> {
        let Some(spot) = self.known.get(&key) else {
            return Ok(None);
        };
        let path = &self.logs[spot.file as usize].path;
        let line = line_at(path, spot.offset)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let entry: Option<Entry> = serde_json::from_str(&line).ok();
        let outcome = entry.and_then(|entry| entry.outcome);
        outcome
            .map(Some)
            .with_context(|| format!("{} was changed by somebody else", path.display()))
    }

    /// All that this run met, in the order in which it was over.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn met(&self) -> anyhow::Result<impl Iterator<Item = anyhow::Result<Met>>> {
        let path = &self.logs[0].path;
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(BufReader::new(file).lines().map(|line| {
            let entry: Entry = serde_json::from_str(&line?)?;
            let key = entry.key.as_deref().and_then(|key| key.parse().ok());
            let is_old = entry.outcome.is_none();
            let outcome = match (entry.outcome, key) {
                (Some(outcome), _) => Some(outcome),
                (None, Some(key)) => self.outcome(key)?,
                (None, None) => None,
            };
            Ok(Met {
                label: entry.label,
                outcome: outcome.context("a journal was changed by somebody else")?,
                is_old,
            })
        }))
    }

    /// Appends a line; gives where it begins. Other processes read it at once.
    fn write(&mut self, entry: &Entry) -> anyhow::Result<u64> {
        let offset = self.logs[0].read;
        let mut line = serde_json::to_vec(entry).context("cannot write the journal")?;
        line.push(b'\n');
        let path = &self.logs[0].path;
        self.own
            .write_all(&line)
            .with_context(|| format!("cannot write {}", path.display()))?;
        self.logs[0].read += line.len() as u64;
        Ok(offset)
    }

    /// Reads what others have written since.
    fn read_on(&mut self) -> anyhow::Result<()> {
        let cannot = || format!("cannot read {}", self.folder.display());
        for entry in fs::read_dir(&self.folder).with_context(cannot)? {
            let path = entry.with_context(cannot)?.path();
            let is_journal = path
                .extension()
                .is_some_and(|extension| extension == "jsonl");
            if is_journal && self.logs.iter().all(|log| log.path != path) {
                self.logs.push(Log { path, read: 0 });
            }
        }
        for (index, log) in self.logs.iter_mut().enumerate().skip(1) {
            log.read_on(index as u32, &mut self.known)
                .with_context(|| format!("cannot read {}", log.path.display()))?;
        }
        Ok(())
    }
}

impl Log {
    fn read_on(&mut self, index: u32, known: &mut HashMap<Key, Spot>) -> io::Result<()> {
        if fs::metadata(&self.path)?.len() == self.read {
            return Ok(());
        }
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.read))?;
        let mut lines = BufReader::new(file);
        let mut line = Vec::new();
        loop {
            line.clear();
            let length = lines.read_until(b'\n', &mut line)?;
            // What does not end yet is being written, or never will be.
            if !line.ends_with(b"\n") {
                return Ok(());
            }
            let entry: Option<Entry> = serde_json::from_slice(&line).ok();
            let done = entry.filter(|entry| entry.outcome.is_some());
            if let Some(key) = done.and_then(|entry| entry.key?.parse().ok()) {
                let spot = Spot {
                    file: index,
                    offset: self.read,
                };
                known.entry(key).or_insert(spot);
            }
            self.read += length as u64;
        }
    }
}

/// A new journal with a name that no other process has.
fn begin(folder: &Path) -> anyhow::Result<(PathBuf, File)> {
    loop {
        let path = folder.join(format!("{:016x}.jsonl", fastrand::u64(..)));
        match File::options().append(true).create_new(true).open(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => {
                return Err(error).with_context(|| format!("cannot write {}", path.display()));
            }
        }
    }
}

fn line_at(path: &Path, offset: u64) -> io::Result<String> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut line = String::new();
    BufReader::new(file).read_line(&mut line)?;
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u8) -> Key {
        format!("{number:032x}").parse().unwrap()
    }

    fn label(name: &str) -> Label {
        Label {
            name: name.to_owned(),
            file: None,
            lines: None,
        }
    }

    fn outcome(text: &str) -> Outcome {
        Outcome {
            text: text.to_owned(),
            ..Outcome::without_a_model(Status::Parses, "x\ny".to_owned())
        }
    }

    #[test]
    fn what_was_done_is_known_to_the_next_run_and_to_others() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = Journal::open(folder.path()).unwrap();
        let mut second = Journal::open(folder.path()).unwrap();
        let Turn::Ours(claim) = first.turn(key(1)).unwrap() else {
            panic!("nobody has it");
        };
        assert!(matches!(second.turn(key(1)).unwrap(), Turn::Elsewhere));
        assert!(matches!(second.turn(key(2)).unwrap(), Turn::Ours(_)));
        first
            .done(key(1), &label("a"), &outcome("fn a() {}\n"), claim)
            .unwrap();
        for journal in [
            &mut first,
            &mut second,
            &mut Journal::open(folder.path()).unwrap(),
        ] {
            match journal.turn(key(1)).unwrap() {
                Turn::Done(found) => assert_eq!(found, outcome("fn a() {}\n")),
                _ => panic!("it is done"),
            }
        }
        let claims = fs::read_dir(folder.path().join(".infill/claims")).unwrap();
        assert_eq!(claims.count(), 0);
    }

    #[test]
    fn a_claim_that_is_let_go_is_free_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = Journal::open(folder.path()).unwrap();
        let mut second = Journal::open(folder.path()).unwrap();
        drop(first.turn(key(1)).unwrap());
        assert!(matches!(second.turn(key(1)).unwrap(), Turn::Ours(_)));
    }

    #[test]
    fn a_line_that_was_cut_off_counts_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = Journal::open(folder.path()).unwrap();
        for (number, name) in [(1, "a"), (2, "b")] {
            let Turn::Ours(claim) = first.turn(key(number)).unwrap() else {
                panic!("nobody has it");
            };
            first
                .done(key(number), &label(name), &outcome(name), claim)
                .unwrap();
        }
        let path = first.logs[0].path.clone();
        let whole = fs::read(&path).unwrap();
        for length in (0..whole.len()).step_by(13) {
            fs::write(&path, &whole[..length]).unwrap();
            let mut next = Journal::open(folder.path()).unwrap();
            let lines = whole[..length]
                .iter()
                .filter(|&&byte| byte == b'\n')
                .count();
            for number in 1..=2 {
                let is_done = matches!(next.turn(key(number)).unwrap(), Turn::Done(_));
                assert_eq!(is_done, usize::from(number) <= lines, "{length} bytes");
            }
        }
    }

    #[test]
    fn a_run_tells_all_that_it_met() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = Journal::open(folder.path()).unwrap();
        let Turn::Ours(claim) = first.turn(key(1)).unwrap() else {
            panic!("nobody has it");
        };
        first
            .done(key(1), &label("a"), &outcome("a"), claim)
            .unwrap();
        let mut second = Journal::open(folder.path()).unwrap();
        second.left(&label("z"), &outcome("")).unwrap();
        second.again(key(1), &label("a, too")).unwrap();
        let met: Vec<Met> = second.met().unwrap().map(Result::unwrap).collect();
        let met: Vec<_> = met
            .iter()
            .map(|met| (&*met.label.name, &*met.outcome.text, met.is_old))
            .collect();
        assert_eq!(met, [("z", "", false), ("a, too", "a", true)]);
    }
}
