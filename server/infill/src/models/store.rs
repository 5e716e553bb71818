//! The store: one folder a model, with a record of where it came from and what its files must be.
//!
//! Takes names, gives folders. A model counts as there once its record is: the record is written last and put in
//! place by a rename, so an interrupted pull never looks complete. Files on their way lie in `NAME.partial`.
//! It knows no network; [`pull`](super::pull) fills it.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use serde::{Deserialize, Serialize};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::models::names::is_plain;

/// The record's name in a model's folder.
const RECORD: &str = "infill.json";

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

impl Store {
    /// The store in this folder; without one, in `INFILL_HOME` or the user's data folder.
    ///
    /// # Errors
    /// If the system names no such folder.
    pub fn at(folder: Option<&Path>) -> anyhow::Result<Store> {
        let root = match (folder, std::env::var_os("INFILL_HOME")) {
            (Some(folder), _) => folder.to_owned(),
            (None, Some(home)) if !home.is_empty() => PathBuf::from(home).join("models"),
            _ => dirs::data_dir()
                .context("the system names no folder for data; set INFILL_HOME or give --store")?
                .join("infill/models"),
        };
        Ok(Store { root })
    }

    /// Where a model of this name lies, or will.
    pub fn folder(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Where its files lie while they come.
    pub fn partial(&self, name: &str) -> PathBuf {
        self.root.join(format!("{name}.partial"))
    }

    /// The record of a model. None if there is no such model, or not all of it.
    ///
    /// # Errors
    /// If the record cannot be read.
    pub fn record(&self, name: &str) -> anyhow::Result<Option<Record>> {
        if !is_plain(name) {
            return Ok(None);
        }
        let path = self.folder(name).join(RECORD);
        let cannot = || {
            format!(
                "cannot read {}; remove the model and pull it again",
                path.display()
            )
        };
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map(Some).with_context(cannot),
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                Ok(None)
            }
            Err(error) => Err(error).with_context(cannot),
        }
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
            let name = entry?.file_name();
            let name = name.to_string_lossy();
            if !name.ends_with(".partial") {
                records.extend(self.record(&name)?);
            }
        }
        records.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(records)
    }

    /// Keeps others from changing this model until the file is dropped.
    ///
    /// # Errors
    /// If another process is pulling or removing it.
    pub fn lock(&self, name: &str) -> anyhow::Result<File> {
        fs::create_dir_all(&self.root)
            .with_context(|| format!("cannot make the store {}", self.root.display()))?;
        let path = self.root.join(format!("{name}.lock"));
        let file =
            File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        file.try_lock()
            .map_err(|_| anyhow!("another infill is at work on {name}; wait for it to end"))?;
        Ok(file)
    }

    /// Turns what was pulled into a model. Call with the lock held and all files checked.
    ///
    /// # Errors
    /// If the files cannot be written or moved.
    pub fn complete(&self, record: &Record) -> anyhow::Result<()> {
        let (partial, folder) = (self.partial(&record.name), self.folder(&record.name));
        let text = serde_json::to_vec_pretty(record).context("cannot write the record")?;
        fs::write(partial.join(RECORD), text).context("cannot write the record")?;
        // A model of another revision goes only once its successor is whole.
        let old = self.root.join(format!("{}.old.partial", record.name));
        if folder.exists() {
            fs::rename(&folder, &old)
                .with_context(|| format!("cannot replace {}", folder.display()))?;
        }
        fs::rename(&partial, &folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        if old.exists() {
            fs::remove_dir_all(&old).with_context(|| format!("cannot remove {}", old.display()))?;
        }
        Ok(())
    }

    /// Removes a model and what was pulled of it.
    ///
    /// # Errors
    /// If there is none, or it cannot be removed.
    pub fn remove(&self, name: &str) -> anyhow::Result<()> {
        let partial = self.partial(name);
        if !is_plain(name) || (self.record(name)?.is_none() && !partial.exists()) {
            bail!(
                "there is no model `{name}` in the store; `infill model list` shows those there are"
            );
        }
        let _lock = self.lock(name)?;
        for folder in [self.folder(name), partial] {
            match fs::remove_dir_all(&folder) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(error)
                        .with_context(|| format!("cannot remove {}", folder.display()));
                }
                _ => {}
            }
        }
        Ok(())
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
