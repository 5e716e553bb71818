//! The store: one folder a model, with a record of where it came from and what its files must be.
//!
//! Takes names, gives folders. A model counts as there once its record is: the record is written last and put in
//! place by a rename, so an interrupted pull never looks complete. Files on their way lie in `NAME.partial`, a model
//! that is about to go in `NAME.old.partial`. It knows no network; [`pull`](super::pull) fills it.

use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::models::names::is_plain;

/// The record's name in a model's folder.
const RECORD: &str = "infill.json";

/// The record's name while the files come.
const PLAN: &str = "infill.plan.json";

/// The end of the names of folders that are no models.
const PARTIAL: &str = ".partial";

/// A folder of models.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

/// What is known of a model that was pulled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its name in the store.
    pub name: String,
    /// Its repository on the hub.
    pub repository: String,
    /// The commit that was pulled.
    pub revision: String,
    /// The licence, as the repository names it, and what to know of it.
    pub licence: String,
    /// Its files.
    pub files: Vec<Entry>,
}

impl Entry {
    fn is_in(&self, folder: &Path) -> bool {
        fs::metadata(folder.join(&self.name))
            .is_ok_and(|data| data.is_file() && data.len() == self.bytes)
    }
}

impl Record {
    /// What the files take, in bytes.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// A file of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name in the model's folder.
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// What its content must give.
    pub checksum: Checksum,
}

/// A checksum in hexadecimal, as the hub publishes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Checksum {
    /// SHA-256 of the content: files in large file storage.
    Sha256(String),
    /// SHA-1 of git's blob header and the content: files in git itself.
    Git(String),
}

impl Checksum {
    /// Whether the file has this checksum.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn holds(&self, path: &Path) -> anyhow::Result<bool> {
        let cannot = || format!("cannot read {}", path.display());
        let mut file = File::open(path).with_context(cannot)?;
        let length = file.metadata().with_context(cannot)?.len();
        let (found, wanted) = match self {
            Checksum::Sha256(wanted) => (digest(Sha256::new(), &mut file), wanted),
            Checksum::Git(wanted) => {
                let header = format!("blob {length}\0");
                (digest(Sha1::new_with_prefix(header), &mut file), wanted)
            }
        };
        Ok(found.with_context(cannot)?.eq_ignore_ascii_case(wanted))
    }
}

fn digest<D: Digest>(mut digest: D, file: &mut File) -> std::io::Result<String> {
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => digest.update(&buffer[..read]),
        }
    }
    Ok(digest
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

fn is_name(name: &str) -> bool {
    is_plain(name) && !name.ends_with(PARTIAL)
}

/// The record in this file, if there is one.
fn read(path: &Path) -> anyhow::Result<Option<Record>> {
    let cannot = || format!("cannot read {}", path.display());
    match fs::read(path) {
        Ok(text) => serde_json::from_slice(&text).map(Some).with_context(cannot),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(error).with_context(cannot),
    }
}

/// Writes a record whole or not at all.
fn write(folder: &Path, name: &str, record: &Record) -> anyhow::Result<()> {
    let cannot = || format!("cannot write {name} in {}", folder.display());
    let text = serde_json::to_vec_pretty(record).with_context(cannot)?;
    let new = folder.join(format!("{name}.new"));
    let mut file = File::create(&new).with_context(cannot)?;
    file.write_all(&text).with_context(cannot)?;
    file.sync_all().with_context(cannot)?;
    fs::rename(&new, folder.join(name)).with_context(cannot)
}

/// Removes a file or a folder, if it is there.
fn clear(path: &Path) -> anyhow::Result<()> {
    let done = if path.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    match done {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

impl Store {
    /// The user's store: `models` in `INFILL_HOME`, else in the user's folder of data.
    ///
    /// # Errors
    /// If the system names no such folder.
    pub fn of_user() -> anyhow::Result<Store> {
        let home = match std::env::var_os("INFILL_HOME") {
            Some(home) if !home.is_empty() => PathBuf::from(home),
            _ => dirs::data_dir()
                .context("the system names no folder for data; set INFILL_HOME to one")?
                .join("infill"),
        };
        Ok(Store {
            root: home.join("models"),
        })
    }

    /// The folder of all models.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where a model of this name lies, or will.
    pub fn folder(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    fn partial(&self, name: &str) -> PathBuf {
        self.root.join(format!("{name}{PARTIAL}"))
    }

    fn old(&self, name: &str) -> PathBuf {
        self.root.join(format!("{name}.old{PARTIAL}"))
    }

    /// The record of a model. None if there is no such model, or not all of it.
    ///
    /// # Errors
    /// If the record cannot be read.
    pub fn record(&self, name: &str) -> anyhow::Result<Option<Record>> {
        if !is_name(name) {
            return Ok(None);
        }
        read(&self.folder(name).join(RECORD)).with_context(|| {
            format!("{name} is broken; `infill model remove {name}` and pull it again")
        })
    }

    /// All models, by name.
    ///
    /// # Errors
    /// If the store or a record cannot be read.
    pub fn list(&self) -> anyhow::Result<Vec<Record>> {
        let entries = match fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("cannot read the store {}", self.root.display()));
            }
        };
        let mut records = Vec::new();
        for entry in entries {
            let name = entry.context("cannot read the store")?.file_name();
            records.extend(self.record(&name.to_string_lossy())?);
        }
        records.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(records)
    }

    /// Keeps others from changing this model until the file is dropped.
    ///
    /// # Errors
    /// If another process is pulling or removing it.
    pub fn lock(&self, name: &str) -> anyhow::Result<File> {
        if !is_name(name) {
            bail!("`{name}` cannot be a model's name");
        }
        fs::create_dir_all(&self.root)
            .with_context(|| format!("cannot make the store {}", self.root.display()))?;
        let path = self.root.join(format!("{name}.lock"));
        let file =
            File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => {
                bail!("another infill is at work on {name}; wait for it to end")
            }
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock {}", path.display()))
            }
        }
    }

    /// Whether the files of this record are in the store; then the record is brought up to date. Call with the lock
    /// held.
    ///
    /// # Errors
    /// If a record cannot be read or written.
    pub fn holds(&self, record: &Record) -> anyhow::Result<bool> {
        let folder = self.folder(&record.name);
        let Some(old) = self.record(&record.name)? else {
            return Ok(false);
        };
        if old.files != record.files || !old.files.iter().all(|file| file.is_in(&folder)) {
            return Ok(false);
        }
        if old != *record {
            write(&folder, RECORD, record)?;
        }
        for left in [self.partial(&record.name), self.old(&record.name)] {
            clear(&left)?;
        }
        Ok(true)
    }

    /// Makes the folder that the files of this record come into, and gives it. What an earlier pull brought of the same
    /// files stays, what was for others goes; what the store has of them already is there, too. Call with the lock
    /// held.
    ///
    /// # Errors
    /// If the folder cannot be made or cleaned.
    pub fn begin(&self, record: &Record) -> anyhow::Result<PathBuf> {
        let (partial, folder) = (self.partial(&record.name), self.folder(&record.name));
        let cannot = || format!("cannot make {}", partial.display());
        // Without a readable plan nobody knows what the files in the folder were to be.
        let plan = read(&partial.join(PLAN)).ok().flatten();
        let planned = plan.map_or_else(Vec::new, |plan| plan.files);
        fs::create_dir_all(&partial).with_context(cannot)?;
        for entry in fs::read_dir(&partial).with_context(cannot)? {
            let path = entry.with_context(cannot)?.path();
            let name = path.file_name().unwrap_or_default();
            let stays = |file: &&Entry| name == &*file.name && record.files.contains(file);
            if !path.is_file() || !planned.iter().any(|file| stays(&file)) {
                clear(&path)?;
            }
        }
        write(&partial, PLAN, record)?;
        let held = self.record(&record.name).ok().flatten();
        for file in held.iter().flat_map(|held| &held.files) {
            let (here, there) = (folder.join(&file.name), partial.join(&file.name));
            if record.files.contains(file) && file.is_in(&folder) && !file.is_in(&partial) {
                clear(&there)?;
                // A link costs nothing; where there are none, copying is still faster than a hub.
                fs::hard_link(&here, &there)
                    .or_else(|_| fs::copy(&here, &there).map(drop))
                    .with_context(cannot)?;
            }
        }
        Ok(partial)
    }

    /// Turns what was pulled into a model. Call with the lock held and all files checked.
    ///
    /// # Errors
    /// If the files cannot be written or moved.
    pub fn complete(&self, record: &Record) -> anyhow::Result<()> {
        let (partial, folder) = (self.partial(&record.name), self.folder(&record.name));
        write(&partial, RECORD, record)?;
        clear(&partial.join(PLAN))?;
        // A model of another revision goes only once its successor is whole.
        let old = self.old(&record.name);
        if folder.exists() {
            clear(&old)?;
            fs::rename(&folder, &old)
                .with_context(|| format!("cannot replace {}", folder.display()))?;
        }
        fs::rename(&partial, &folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        clear(&old)
    }

    /// Removes a model and what was pulled of it.
    ///
    /// # Errors
    /// If there is none, or it cannot be removed.
    pub fn remove(&self, name: &str) -> anyhow::Result<()> {
        let (folder, partial, old) = (self.folder(name), self.partial(name), self.old(name));
        // Also what cannot be read: removing is how to be rid of it.
        let is_there = folder.join(RECORD).exists() || partial.exists() || old.exists();
        if !is_name(name) || !is_there {
            bail!(
                "there is no model `{name}` in the store; `infill model list` shows those there are"
            );
        }
        let _lock = self.lock(name)?;
        // Out of the way first, so that half a model is never listed.
        clear(&old)?;
        if folder.exists() {
            fs::rename(&folder, &old)
                .with_context(|| format!("cannot remove {}", folder.display()))?;
        }
        clear(&old)?;
        clear(&partial)
    }

    /// What is wrong with a model's files, one line each.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn faults(&self, record: &Record) -> anyhow::Result<Vec<String>> {
        let mut faults = Vec::new();
        for file in &record.files {
            let path = self.folder(&record.name).join(&file.name);
            if !path.is_file() {
                faults.push(format!("{} is missing", file.name));
            } else if !file.checksum.holds(&path)? {
                faults.push(format!(
                    "{} is not what was pulled (its checksum differs)",
                    file.name
                ));
            }
        }
        Ok(faults)
    }
}
