//! Which documents are completed: what the user has switched off, and the files that are left alone.
//!
//! Told of each document as it is opened, and again of all when settings or rules change; asked before anything is read
//! into a prompt, which costs a look into a map.

use std::fmt::{self, Display, Formatter};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use dashmap::DashMap;
use prompt::{Excluded, Gate};
use tower_lsp::lsp_types::Url;

use crate::lsp::settings::Settings;

/// The file of rules in a folder of the user's.
pub const RULES: &str = ".infillignore";

/// The most that is read of it, in bytes.
const LARGEST: u64 = 1 << 20;

/// Why a document is left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Off {
    /// Nothing is completed at all.
    Everywhere,
    /// Nothing in this language.
    Language(String),
    /// This file is kept out by a rule.
    Excluded(Excluded),
}

impl Display for Off {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Off::Everywhere => write!(f, "Infill is switched off"),
            Off::Language(language) => write!(f, "Infill is switched off for {language}"),
            Off::Excluded(Excluded { rule, source }) => {
                write!(f, "this file is excluded by `{rule}` in {source}")
            }
        }
    }
}

/// The open documents, and why some of them are left alone.
#[derive(Default)]
pub struct Admission {
    folders: Mutex<Vec<PathBuf>>,
    open: DashMap<Url, Entry>,
}

struct Entry {
    /// The language as the client calls it.
    language: String,
    off: Option<Off>,
}

impl Admission {
    /// Takes the workspace's folders down; rules in settings count from each of them.
    pub fn work_in(&self, folders: Vec<PathBuf>) {
        *self.lock() = folders;
    }

    /// The workspace got other folders.
    pub fn move_to(&self, added: Vec<PathBuf>, removed: &[PathBuf]) {
        let mut folders = self.lock();
        folders.retain(|folder| !removed.contains(folder));
        folders.extend(added);
    }

    /// A document was opened.
    pub fn open(&self, url: &Url, language: &str, settings: &Settings) {
        let language = language.to_owned();
        let off = self.judge(url, &language, settings);
        self.open.insert(url.clone(), Entry { language, off });
    }

    /// A document was closed.
    pub fn close(&self, url: &Url) {
        self.open.remove(url);
    }

    /// Settings or files of rules have changed.
    pub fn judge_again(&self, settings: &Settings) {
        for mut entry in self.open.iter_mut() {
            let off = self.judge(entry.key(), &entry.language, settings);
            entry.off = off;
        }
    }

    /// Why a document is left alone, if it is.
    pub fn off(&self, url: &Url) -> Option<Off> {
        self.open.get(url)?.off.clone()
    }

    /// Whether a document is open and completed.
    pub fn admits(&self, url: &Url) -> bool {
        self.open.get(url).is_some_and(|entry| entry.off.is_none())
    }

    /// An open document's language, as the client calls it.
    pub fn language(&self, url: &Url) -> Option<String> {
        Some(self.open.get(url)?.language.clone())
    }

    fn judge(&self, url: &Url, language: &str, settings: &Settings) -> Option<Off> {
        if !settings.enabled {
            return Some(Off::Everywhere);
        }
        if !settings.speaks(language) {
            return Some(Off::Language(language.to_owned()));
        }
        // A document that is no file, such as a new one, has no name that a rule could be about. A notebook's cell has
        // its notebook's.
        let file = match url.scheme() {
            "file" => url.to_file_path().ok()?,
            "untitled" => return None,
            _ => PathBuf::from(url.path()),
        };
        self.gate(&file, settings)
            .excluded(&file)
            .map(Off::Excluded)
    }

    /// The rules for a file: those of the settings, then those of its folders, which outweigh them.
    fn gate(&self, file: &Path, settings: &Settings) -> Gate {
        let mut gate = Gate::default();
        let mut add = |folder: &Path, name: &str, rules: &[String]| {
            if let Err(fault) = gate.add(folder, name, rules) {
                tracing::warn!("{fault}");
            }
        };
        let folders = self.lock().clone();
        let around = folders.iter().filter(|folder| file.starts_with(folder));
        let workspace = around.max_by_key(|folder| folder.components().count());
        let Some(own) = file.parent() else {
            return gate;
        };
        let top = workspace.map_or(own, PathBuf::as_path);
        add(top, "the settings (infill.exclude)", &settings.exclude);
        let mut inward: Vec<&Path> = own
            .ancestors()
            .take_while(|folder| folder.starts_with(top))
            .collect();
        inward.reverse();
        for folder in inward {
            let path = folder.join(RULES);
            if let Some(text) = read(&path) {
                let rules: Vec<String> = text.lines().map(str::to_owned).collect();
                add(folder, &path.display().to_string(), &rules);
            }
        }
        gate
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<PathBuf>> {
        // A list of paths is whole between any two statements.
        self.folders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file of rules, if there is one.
fn read(path: &Path) -> Option<String> {
    let data = fs::metadata(path).ok()?;
    if !data.is_file() || data.len() > LARGEST {
        tracing::warn!("{} is not a file of rules", path.display());
        return None;
    }
    fs::read_to_string(path)
        .inspect_err(|error| tracing::warn!("cannot read {}: {error}", path.display()))
        .ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn off(admission: &Admission, url: &Url) -> String {
        admission
            .off(url)
            .map_or_else(String::new, |off| off.to_string())
    }

    #[test]
    fn documents_are_left_alone_for_a_reason_that_can_be_told() {
        let folder = std::env::temp_dir().join(format!("infill-admission-{}", std::process::id()));
        fs::create_dir_all(folder.join("db")).unwrap();
        fs::write(folder.join("db").join(RULES), "*.dump\n!keep.sql\n").unwrap();
        let admission = Admission::default();
        admission.work_in(vec![folder.clone()]);
        let mut settings = Settings::default();
        settings.take(&json!({ "exclude": ["*.sql"], "languages": { "markdown": false } }));
        let url = |name: &str| Url::from_file_path(folder.join(name)).unwrap();
        for (name, language, expected) in [
            ("a.rs", "rust", ""),
            ("a.md", "markdown", "switched off for markdown"),
            (
                ".env",
                "plaintext",
                "excluded by `.env` in the built-in list",
            ),
            ("a.sql", "sql", "excluded by `*.sql` in the settings"),
            ("db/keep.sql", "sql", ""),
            ("db/a.dump", "sql", "db/.infillignore"),
            ("a.dump", "sql", ""),
        ] {
            admission.open(&url(name), language, &settings);
            let off = off(&admission, &url(name));
            assert!(
                off.contains(expected) && off.is_empty() == expected.is_empty(),
                "{name}: {off}"
            );
        }
        let untitled = Url::parse("untitled:Untitled-1").unwrap();
        admission.open(&untitled, "python", &settings);
        assert!(admission.admits(&untitled));

        settings.take(&json!({ "enabled": false }));
        admission.judge_again(&settings);
        assert_eq!(off(&admission, &untitled), "Infill is switched off");
        settings.take(&json!({ "enabled": true, "exclude": null }));
        admission.judge_again(&settings);
        assert!(admission.admits(&untitled) && admission.admits(&url("a.sql")));
        assert!(!admission.admits(&url("never opened.rs")));
        fs::remove_dir_all(&folder).unwrap();
    }
}
