//! What every file keeps to: its opening line, its size, its place, and no addresses in scripts.
//!
//! Takes the files of the repository as they lie on disk; fails with a list of the files at fault.
//! Gives [`files`] and [`root`] to other tests of the repository itself.

use std::fs;
use std::path::{Path, PathBuf};

/// What may lie at the top. All else has a room.
const TOP: &[&str] = &[
    ".cache",
    ".cargo",
    ".ci",
    ".git",
    ".github",
    ".gitignore",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "benches",
    "clippy.toml",
    "editors",
    "grammars",
    "rustfmt.toml",
    "server",
    "target",
    "tests",
];

/// Folders that hold what was built or fetched, never what was written.
const BUILT: &[&str] = &[
    ".cache",
    ".git",
    "__pycache__",
    "artifacts",
    "corpus",
    "node_modules",
    "target",
];

/// Longest file, in lines without its tests. Longer ones hold two subjects.
const LINES: usize = 600;

/// Tables are as long as what they list.
const TABLES: &[&str] = &["grammars/src/table.rs"];

/// A text file of the repository.
pub struct File {
    /// Path from the repository's root, with `/`.
    pub path: String,
    /// The whole text.
    pub text: String,
}

#[test]
fn rust_files_open_with_their_purpose() {
    let faults = faults(|file| {
        file.path.ends_with(".rs") && !is_data(file) && !file.text.starts_with("//! ")
    });
    assert_eq!(
        faults,
        Vec::<String>::new(),
        "the first line says what a file is for: `//! …`"
    );
}

#[test]
fn files_are_short() {
    let faults = faults(|file| {
        file.path.ends_with(".rs")
            && !is_data(file)
            && !TABLES.contains(&file.path.as_str())
            && before_tests(&file.text).lines().count() > LINES
    });
    assert_eq!(
        faults,
        Vec::<String>::new(),
        "over {LINES} lines: which two subjects are in there?"
    );
}

#[test]
fn modules_are_named_after_their_subject() {
    let faults = faults(|file| file.path.ends_with("/mod.rs"));
    assert_eq!(
        faults,
        Vec::<String>::new(),
        "`subject.rs` beside `subject/`, not `mod.rs`"
    );
}

#[test]
fn nothing_is_left_for_later() {
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
    ];
    let faults =
        faults(|file| !is_data(file) && marks.iter().any(|mark| has_word(&file.text, mark)));
    assert_eq!(faults, Vec::<String>::new(), "do it, or open an issue");
}

#[test]
fn the_top_holds_only_what_it_should() {
    let mut faults = Vec::new();
    for entry in fs::read_dir(root()).expect("the repository can be read") {
        let name = entry.expect("the repository can be read").file_name();
        let name = name.to_string_lossy();
        if !TOP.contains(&name.as_ref()) {
            faults.push(name.into_owned());
        }
    }
    assert_eq!(faults, Vec::<String>::new(), "these have a room elsewhere");
}

/// Where packages come from is the machine's affair: with an address in a script or a lock file, a
/// build behind a mirror or without a network breaks.
#[test]
fn scripts_and_manifests_name_no_addresses() {
    let read_by_machines = [
        ".toml", ".lock", ".json", ".yml", ".yaml", ".sh", ".npmrc", "/run",
    ];
    // Cargo writes this line itself; it stands for the default registry and is replaced by mirrors.
    let cargo = concat!("registry+https:", "//github.com/rust-lang/crates.io-index");
    let faults = faults(|file| {
        read_by_machines.iter().any(|end| file.path.ends_with(end))
            && !is_data(file)
            && file.text.replace(cargo, "").contains(concat!(":", "//"))
    });
    assert_eq!(faults, Vec::<String>::new());
}

#[test]
fn walking_the_repository_finds_it() {
    let files = files();
    for expected in [
        "README.md",
        "server/infill/src/main.rs",
        ".ci/run",
        "tests/it/tidy.rs",
    ] {
        assert!(files.iter().any(|file| file.path == expected), "{expected}");
    }
    assert!(has_word("// later: this", "later") && !has_word("sooner_or_later", "later"));
}

/// The repository's root.
pub fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests
        .parent()
        .expect("tests/ lies in the repository")
        .to_path_buf()
}

/// Every text file that someone wrote, in order of path.
pub fn files() -> Vec<File> {
    let (root, mut files) = (root(), Vec::new());
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the repository can be read") {
            let path = entry.expect("the repository can be read").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if BUILT.contains(&name.as_ref()) || path.is_symlink() {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                let path = path.strip_prefix(&root).expect("walked from the root");
                files.push(File {
                    path: path.to_string_lossy().replace('\\', "/"),
                    text,
                });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

/// The part of a Rust file before its unit tests.
pub fn before_tests(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or(text)
}

/// Paths of the files for which `is_at_fault` holds.
fn faults(is_at_fault: impl Fn(&File) -> bool) -> Vec<String> {
    files()
        .into_iter()
        .filter(|file| is_at_fault(file))
        .map(|file| file.path)
        .collect()
}

/// Fixtures are other people's style on purpose.
fn is_data(file: &File) -> bool {
    ["tests/data/", "grammars/tests/"]
        .iter()
        .any(|folder| file.path.starts_with(folder))
}

/// `word` stands in `text` with no letter, digit or underscore beside it.
fn has_word(text: &str, word: &str) -> bool {
    let is_inside =
        |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    text.match_indices(word).any(|(start, _)| {
        let bytes = text.as_bytes();
        let before = start.checked_sub(1).and_then(|before| bytes.get(before));
        !is_inside(before) && !is_inside(bytes.get(start + word.len()))
    })
}
