//! The text that is benched on: about a thousand lines of this repository's own Rust.
//!
//! Takes nothing and gives the text, a cursor in it, or a snapshot. The sources grow with the
//! repository, so figures of different versions are of like text, not of the same.

use std::fs;
use std::path::Path;

use grammars::Language;
use text::Snapshot;

/// Lines of the text.
const LINES: usize = 1000;

/// The rooms whose files are joined, in this order, until there are enough lines.
const ROOMS: [&str; 4] = ["text", "prompt", "finish", "cache"];

/// The text.
pub fn text() -> String {
    let server = Path::new(env!("CARGO_MANIFEST_DIR")).join("../server");
    let mut text = String::new();
    for room in ROOMS {
        let folder = fs::read_dir(server.join(room).join("src")).expect("a room has sources");
        let mut files: Vec<_> = folder.map(|file| file.expect("a file").path()).collect();
        files.sort();
        for file in files
            .iter()
            .filter(|file| file.extension().is_some_and(|end| end == "rs"))
        {
            text += &fs::read_to_string(file).expect("sources are readable");
        }
    }
    text.split_inclusive('\n').take(LINES).collect()
}

/// Rust.
pub fn language() -> Language {
    Language::named("rust").expect("Rust is in the table")
}

/// The text as a snapshot, parsed.
pub fn snapshot() -> Snapshot {
    let snapshot = Snapshot::new(&text(), language());
    snapshot
        .tree(&mut || false)
        .expect("there is time and a grammar");
    snapshot
}

/// A place in the middle of the text where a statement can stand: before the first `let` behind it.
pub fn cursor(text: &str) -> usize {
    let middle = (text.len() / 2..).find(|at| text.is_char_boundary(*at));
    let middle = middle.expect("the end of a text is a boundary");
    let place = text[middle..]
        .find("    let ")
        .expect("Rust has let statements");
    middle + place + "    ".len()
}
