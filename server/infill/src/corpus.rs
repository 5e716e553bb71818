//! The source files below a folder, for what learns from them or is measured on them.
//!
//! What is too large or has lines that no person wrote is taken for data and left out; nothing else is judged here.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use grammars::Language;
use walkdir::WalkDir;

/// Files larger than this, in bytes, are taken for generated or data.
const FILE_MAX: u64 = 512 * 1024;
/// A text with a line longer than this, in bytes, is taken for minified.
const LINE_MAX: usize = 2_000;

/// A file in a known language.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its language, by its name.
    pub language: Language,
    /// Its size.
    pub bytes: u64,
}

impl SourceFile {
    /// What is in it; none if that is no text that a person wrote.
    pub fn text(&self) -> Option<String> {
        let text = String::from_utf8(fs::read(&self.path).ok()?).ok()?;
        let is_minified = text.lines().any(|line| line.len() > LINE_MAX);
        (!is_minified).then_some(text)
    }
}

/// The files below a folder that are in a known language, by path.
///
/// # Errors
/// If the folder cannot be walked or has no such file.
pub fn source_files(folder: &Path) -> anyhow::Result<Vec<SourceFile>> {
    let mut files = Vec::new();
    for entry in WalkDir::new(folder).sort_by_file_name() {
        let entry = entry.with_context(|| format!("cannot walk {}", folder.display()))?;
        let Some(language) = Language::of_path(entry.path()) else {
            continue;
        };
        let bytes = entry.metadata().map_or(0, |metadata| metadata.len());
        if entry.file_type().is_file() && (1..=FILE_MAX).contains(&bytes) {
            files.push(SourceFile {
                path: entry.into_path(),
                language,
                bytes,
            });
        }
    }
    ensure!(!files.is_empty(), "no source files in {}", folder.display());
    Ok(files)
}
