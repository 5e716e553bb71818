//! The source files below a folder, for what learns from them or is measured on them.
//!
//! What is too large or has lines that no person wrote is taken for data and left out; nothing else is judged here. A folder
//! in it is a package: what lies in it belongs together.

use std::collections::BTreeMap;
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

/// Most files of its package that stand beside a file.
pub const BESIDE: usize = 20;

/// The files that may be open beside one that is worked on.
pub struct Packages<'a> {
    /// By package, in the order of their paths.
    files: BTreeMap<&'a Path, Vec<&'a SourceFile>>,
    folder: &'a Path,
}

impl<'a> Packages<'a> {
    /// Sorts the files of a folder by their packages, each of which is a folder in it. What lies in none is one of its own.
    pub fn new(folder: &'a Path, files: impl IntoIterator<Item = &'a SourceFile>) -> Packages<'a> {
        let mut packages: BTreeMap<&Path, Vec<&SourceFile>> = BTreeMap::new();
        for file in files {
            let package = package(folder, &file.path);
            packages.entry(package).or_default().push(file);
        }
        for files in packages.values_mut() {
            files.sort_by(|a, b| a.path.cmp(&b.path));
        }
        Packages {
            files: packages,
            folder,
        }
    }

    /// Other files of a file's package, at most [`BESIDE`] of them, those that lie nearest first.
    pub fn beside(&self, file: &Path) -> Vec<&'a SourceFile> {
        let files = self.files.get(package(self.folder, file));
        let files = files.map_or(&[][..], Vec::as_slice);
        let own = files.partition_point(|other| other.path.as_path() < file);
        let mut others: Vec<(usize, &SourceFile)> = files.iter().copied().enumerate().collect();
        others.retain(|(_, other)| other.path != file);
        // In one folder, names that begin alike.
        others.sort_by_key(|&(place, other)| (steps(file, &other.path), place.abs_diff(own)));
        others.truncate(BESIDE);
        others.into_iter().map(|(_, other)| other).collect()
    }

    /// A file's path in its package, the package's name included, its folders parted by `/`.
    pub fn place(&self, file: &Path) -> String {
        let place = file.strip_prefix(self.folder).unwrap_or(file);
        let parts = place.components();
        let parts: Vec<_> = parts
            .map(|part| part.as_os_str().to_string_lossy())
            .collect();
        parts.join("/")
    }
}

/// The folder in `folder` that a file lies in; `folder` itself if it lies in none.
fn package<'p>(folder: &Path, file: &'p Path) -> &'p Path {
    let inside = file.strip_prefix(folder).unwrap_or(file);
    let depth = inside.components().count();
    // The path up to the first part that is inside.
    let above = file.ancestors().nth(depth.saturating_sub(1));
    match depth {
        0 | 1 => file.parent().unwrap_or(file),
        _ => above.unwrap_or(file),
    }
}

/// How many folders one goes up and down from one file to another.
fn steps(from: &Path, to: &Path) -> usize {
    let parts = |path: &Path| path.components().count();
    let same = from.components().zip(to.components());
    let same = same.take_while(|(a, b)| a == b).count();
    parts(from) + parts(to) - 2 * same
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beside_a_file_are_the_nearest_of_its_package() {
        let file = |path: &&str| SourceFile {
            path: Path::new("/c").join(path),
            language: Language::PLAIN,
            bytes: 1,
        };
        let paths = [
            "a/src/deep/x.py",
            "a/src/near.py",
            "a/src/one.py",
            "a/src/two.py",
            "a/test/one.py",
            "a/setup.py",
            "b/src/one.py",
            "alone.py",
        ];
        let files: Vec<SourceFile> = paths.iter().map(file).collect();
        let packages = Packages::new(Path::new("/c"), &files);
        let beside = |path: &str| {
            let found = packages.beside(&Path::new("/c").join(path));
            let places = found.iter().map(|file| packages.place(&file.path));
            places.collect::<Vec<String>>().join(" ")
        };
        assert_eq!(
            beside("a/src/one.py"),
            "a/src/near.py a/src/two.py a/src/deep/x.py a/setup.py a/test/one.py"
        );
        assert!(beside("a/new.py").starts_with("a/setup.py "));
        assert_eq!(beside("b/src/one.py"), "");
        assert_eq!(beside("alone.py"), "");
    }

    #[test]
    fn not_all_files_of_a_large_package_stand_beside_one() {
        let file = |number| SourceFile {
            path: format!("/c/a/{number:03}.py").into(),
            language: Language::PLAIN,
            bytes: 1,
        };
        let files: Vec<SourceFile> = (0..100).map(file).collect();
        let packages = Packages::new(Path::new("/c"), &files);
        let found = packages.beside(Path::new("/c/a/050.py"));
        assert_eq!(found.len(), BESIDE);
        let far = |file: &&SourceFile| !(40..=60).contains(&number(&file.path));
        assert!(!found.iter().any(far));
    }

    fn number(path: &Path) -> usize {
        path.file_stem().unwrap().to_str().unwrap().parse().unwrap()
    }
}
