//! A piece of code to translate: a whole file, one of its definitions, or a line of a list.
//!
//! Takes the text of a file; gives its units, each with what it stands among. Nothing here reads a disk or asks a model.

use std::ops::Range;
use std::path::{Path, PathBuf};

use grammars::Language;
use sha2::{Digest as _, Sha256};
use text::{ItemKind, Snapshot, Syntax};

/// Longest value, in bytes, that is shown whole to a unit that uses its name.
const SHORT: usize = 240;

/// A piece of code to translate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// What it is called in reports: a path, `path::name`, or the list's own name for it.
    pub name: String,
    /// Where it is.
    pub place: Place,
    /// The code, and its language.
    pub code: String,
    /// The code's language.
    pub from: Language,
    /// The language to translate into.
    pub to: Language,
    /// What it uses of its file; may be empty.
    pub context: String,
    /// How the translation begins; may be empty.
    pub declaration: String,
    /// Code to put below the translation when it is tested; may be empty.
    pub test: String,
}

/// Where a unit is from, and where its translation goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A whole file.
    File(Source),
    /// One of so many units of a file, whose translations make up one file again.
    Part {
        /// Of which file.
        of: Source,
        /// Which lines, from 0.
        lines: Range<usize>,
        /// Which unit, from 0.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// A line of a list, from 0.
    Line(u64),
}

/// A file with its translation's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its path, as it was given.
    pub path: PathBuf,
    /// The translation's path in the folder of results.
    pub result: PathBuf,
}

impl Place {
    /// The file that a unit is from.
    pub fn source(&self) -> Option<&Source> {
        match self {
            Place::File(source) | Place::Part { of: source, .. } => Some(source),
            Place::Line(_) => None,
        }
    }
}

impl Unit {
    /// The name of the file that a check sees, without folders: that of the result where there is one, since Java wants
    /// a class to be called as its file.
    pub fn file_name(&self) -> String {
        let stem = self
            .place
            .source()
            .and_then(|source| source.path.file_stem()?.to_str());
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        let stem: String = stem.unwrap_or("unit").chars().map(plain).collect();
        match self.to.extensions().first() {
            Some(extension) => format!("{stem}.{extension}"),
            None => stem,
        }
    }

    /// A hash of all in it that decides what becomes of it, after `seed`, which says the same of everything else.
    pub fn key(&self, seed: &Sha256) -> Key {
        let mut hash = seed.clone();
        let parts = [
            self.from.name(),
            self.to.name(),
            &self.code,
            &self.context,
            &self.declaration,
            &self.test,
            &self.file_name(),
        ];
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let mut key = [0; 16];
        key.copy_from_slice(&hash.finalize()[..16]);
        Key(key)
    }
}

/// By what a unit's outcome is found again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key([u8; 16]);

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::str::FromStr for Key {
    type Err = ();

    fn from_str(text: &str) -> Result<Key, ()> {
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let pairs: &[[u8; 2]; 16] = pairs.try_into().map_err(|_| ())?;
        let mut key = [0; 16];
        for (byte, pair) in key.iter_mut().zip(pairs) {
            let digits = std::str::from_utf8(pair).map_err(|_| ())?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| ())?;
        }
        rest.is_empty().then_some(Key(key)).ok_or(())
    }
}

/// The file as one unit.
pub fn whole(source: Source, text: String, [from, to]: [Language; 2]) -> Unit {
    Unit {
        name: shown(&source.path),
        place: Place::File(source),
        code: text,
        from,
        to,
        context: String::new(),
        declaration: String::new(),
        test: String::new(),
    }
}

/// The file's functions and classes, and what stands between them, each with the imports and with the signatures of those
/// others that it uses. Imports are in no unit.
pub fn parts(source: &Source, text: &str, [from, to]: [Language; 2]) -> Vec<Unit> {
    let snapshot = Snapshot::new(text, from);
    let Some(syntax) = snapshot.syntax(&mut || false) else {
        return vec![whole(source.clone(), text.to_owned(), [from, to])];
    };
    let pieces = Piece::all(&snapshot, &syntax);
    let (imports, pieces): (Vec<_>, Vec<_>) = pieces.into_iter().partition(|piece| piece.is_import);
    let imports: Vec<&str> = imports.iter().map(|piece| &*piece.text).collect();
    let path = shown(&source.path);
    let unit = |(index, piece): (usize, &Piece)| {
        let used = pieces.iter().enumerate().filter(|&(other, named)| {
            other != index
                && named
                    .names
                    .first()
                    .is_some_and(|name| has_word(&piece.text, name))
        });
        let used: Vec<&str> = used.map(|(_, piece)| &*piece.signature).collect();
        let context = [imports.join("\n"), used.join("\n\n")];
        let context: Vec<String> = context
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect();
        Unit {
            name: match piece.names.first() {
                Some(name) => format!("{path}::{name}"),
                None => format!("{path}:{}", piece.lines.start + 1),
            },
            place: Place::Part {
                of: source.clone(),
                lines: piece.lines.clone(),
                index,
                count: pieces.len(),
            },
            code: piece.text.clone() + "\n",
            from,
            to,
            context: context.join("\n\n"),
            declaration: String::new(),
            test: String::new(),
        }
    };
    pieces.iter().enumerate().map(unit).collect()
}

/// A piece of a file.
struct Piece {
    text: String,
    lines: Range<usize>,
    names: Vec<String>,
    signature: String,
    is_import: bool,
}

impl Piece {
    /// The pieces of a file: statements that follow one another are one.
    fn all(snapshot: &Snapshot, syntax: &Syntax) -> Vec<Piece> {
        let mut pieces: Vec<Piece> = Vec::new();
        let mut last: Option<Range<usize>> = None;
        for item in syntax.items() {
            let is_rest = item.kind == ItemKind::Rest;
            let mut range = item.range;
            if let Some(before) = last.take().filter(|_| is_rest) {
                pieces.pop();
                range.start = before.start;
            }
            last = is_rest.then(|| range.clone());
            let text = snapshot.slice(range.clone()).trim_end().to_owned();
            let (names, is_import) = match item.kind {
                ItemKind::Import => (Vec::new(), true),
                ItemKind::Rest => (Vec::new(), false),
                ItemKind::Definition(names) => (names, false),
            };
            let signature = syntax.signature(&range).trim_end().to_owned();
            pieces.push(Piece {
                lines: snapshot.line_of(range.start)
                    ..snapshot.line_of(range.start + text.len()) + 1,
                signature: shortened(signature),
                text,
                names,
                is_import,
            });
        }
        pieces
    }
}

/// A signature, or the first line of one that is a long value.
fn shortened(signature: String) -> String {
    let is_elided = signature.contains("...");
    match signature.lines().next() {
        Some(first) if !is_elided && signature.len() > SHORT => format!("{first} ..."),
        _ => signature,
    }
}

/// Whether a name stands in a text as a word of its own.
fn has_word(text: &str, name: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(name).any(|(start, _)| {
        let before = text[..start].chars().next_back();
        let after = text[start + name.len()..].chars().next();
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

/// A path for people: with `/` on all systems.
pub fn shown(path: &Path) -> String {
    path.to_string_lossy().replace('\\', "/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn languages() -> [Language; 2] {
        ["python", "rust"].map(|name| Language::named(name).unwrap())
    }

    fn source() -> Source {
        Source {
            path: "lib/shapes.py".into(),
            result: "lib/shapes.rs".into(),
        }
    }

    const TEXT: &str = "import math\nimport sys\n\nPI = 3\n\ndef area(r):\n    return PI * sq(r)\n\ndef sq(x):\n    return x * x\n\n\nprint(area(2))\nprint(1)\n";

    #[test]
    fn parts_know_the_imports_and_what_they_use() {
        let units = parts(&source(), TEXT, languages());
        let found: Vec<_> = units
            .iter()
            .map(|unit| (&*unit.name, &*unit.code, &*unit.context))
            .collect();
        let imports = "import math\nimport sys";
        assert_eq!(
            found,
            [
                ("lib/shapes.py::PI", "PI = 3\n", imports),
                (
                    "lib/shapes.py::area",
                    "def area(r):\n    return PI * sq(r)\n",
                    &*format!("{imports}\n\nPI = 3\n\ndef sq(x): ...")
                ),
                (
                    "lib/shapes.py::sq",
                    "def sq(x):\n    return x * x\n",
                    imports
                ),
                (
                    "lib/shapes.py:13",
                    "print(area(2))\nprint(1)\n",
                    &*format!("{imports}\n\ndef area(r): ...")
                ),
            ]
        );
        let Place::Part { lines, count, .. } = &units[3].place else {
            panic!("{:?}", units[3].place);
        };
        assert_eq!((lines.clone(), *count), (12..14, 4));
    }

    #[test]
    fn keys_differ_with_all_that_decides() {
        let unit = whole(source(), "x = 1\n".to_owned(), languages());
        let seed = Sha256::new_with_prefix("a");
        let key = unit.key(&seed);
        assert_eq!(key.to_string().parse(), Ok(key));
        let mut others = vec![unit.clone(), unit.clone(), unit.clone(), unit.clone()];
        others[0].code = "x = 2\n".to_owned();
        others[1].context = "y".to_owned();
        others[2].test = "y".to_owned();
        others[3].declaration = "y".to_owned();
        for other in &others {
            assert_ne!(other.key(&seed), key, "{other:?}");
        }
        assert_ne!(unit.key(&Sha256::new_with_prefix("b")), key);
        // What it is called does not decide anything.
        let renamed = Unit {
            name: "z".to_owned(),
            ..unit
        };
        assert_eq!(renamed.key(&seed), key);
    }
}
