//! What there is to translate: units from files and folders, or from a list, one after the other.
//!
//! A folder is walked in the order of names, past what `.gitignore` and `.infillignore` leave out; a list is read line by
//! line. So neither needs memory for what is to come. What cannot be a unit is told with the reason.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader, stdin};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use grammars::Language;
use ignore::WalkBuilder;
use prompt::Gate;
use serde::Deserialize;
use serde_json::Value;

use crate::lsp::admission::RULES;
use crate::translate::unit::{Place, Source, Unit, parts, shown, whole};

/// Larger files, in bytes, are data or were generated.
const LARGEST_FILE: u64 = 1 << 20;

/// Longer lines of a list, in bytes, are no units.
const LONGEST_LINE: usize = 8 << 20;

/// What a unit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// A whole file
    File,
    /// A function, a class, or what stands between them
    Item,
}

/// One of several runs that share the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Which, from 0.
    pub index: u64,
    /// Of how many.
    pub count: u64,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Shard, String> {
        let numbers = text.split_once('/').and_then(|(index, count)| {
            Some((index.parse::<u64>().ok()?, count.parse::<u64>().ok()?))
        });
        match numbers {
            Some((index, count)) if (1..=count).contains(&index) => Ok(Shard {
                index: index - 1,
                count,
            }),
            _ => Err("expected I/N with I from 1 to N, such as 2/8".to_owned()),
        }
    }
}

impl Shard {
    fn has(self, number: u64) -> bool {
        number % self.count == self.index
    }
}

/// The next thing of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Planned {
    /// A unit.
    Unit(Box<Unit>),
    /// Something that is none.
    Left(Left),
}

/// What is no unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// What it is called.
    pub name: String,
    /// Why it is left alone.
    pub reason: String,
    /// Whether something is wrong with it, or it is to be left alone.
    pub is_wrong: bool,
}

impl Left {
    fn alone(name: String, reason: impl Into<String>) -> Planned {
        Planned::Left(Left {
            name,
            reason: reason.into(),
            is_wrong: false,
        })
    }

    fn wrong(name: String, reason: impl Into<String>) -> Planned {
        Planned::Left(Left {
            name,
            reason: reason.into(),
            is_wrong: true,
        })
    }
}

/// The units of these files and folders. The results' paths count from the innermost folder that holds them all.
///
/// # Errors
/// If one of the paths is not there.
pub fn of_paths(
    paths: &[PathBuf],
    languages: [Language; 2],
    by: By,
    shard: Shard,
) -> anyhow::Result<impl Iterator<Item = Planned> + use<>> {
    let mut named = Vec::new();
    for path in paths {
        let data = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
        named.push((path.clone(), data.is_dir()));
    }
    let top = common(&named);
    let mut files = Files {
        gate: Gate::default(),
        languages,
        by,
        top,
        taken: HashSet::new(),
    };
    let walk = named
        .into_iter()
        .flat_map(move |(path, is_folder)| found(path, is_folder, languages[0]));
    let numbered = (0..).zip(walk);
    Ok(numbered.flat_map(move |(number, file)| files.units(file, shard.has(number))))
}

/// A file, or what is wrong with a place in a folder.
type Found = Result<PathBuf, String>;

/// The files of a path that are of the language; a file that is named is taken as it is.
fn found(path: PathBuf, is_folder: bool, from: Language) -> Box<dyn Iterator<Item = Found> + Send> {
    if !is_folder {
        return Box::new(std::iter::once(Ok(path)));
    }
    let walk = WalkBuilder::new(path)
        .add_custom_ignore_filename(RULES)
        .require_git(false)
        .sort_by_file_path(|a, b| a.cmp(b))
        .build();
    let files = walk.filter_map(move |entry| match entry {
        Err(error) => Some(Err(error.to_string())),
        Ok(entry) => {
            let is_file = entry.file_type().is_some_and(|kind| kind.is_file());
            let is_ours = || Language::of_path(entry.path()) == Some(from);
            (is_file && is_ours()).then(|| Ok(entry.into_path()))
        }
    });
    Box::new(files)
}

/// The innermost folder that holds all of these.
fn common(named: &[(PathBuf, bool)]) -> PathBuf {
    let folder = |(path, is_folder): &(PathBuf, bool)| match is_folder {
        true => path.clone(),
        false => path.parent().unwrap_or(Path::new("")).to_owned(),
    };
    let mut folders = named.iter().map(folder);
    let first = folders.next().unwrap_or_default();
    folders.fold(first, |top, folder| {
        let shared = top.components().zip(folder.components());
        let shared = shared.take_while(|(a, b)| a == b);
        shared.map(|(part, _)| part).collect()
    })
}

/// How files become units.
struct Files {
    gate: Gate,
    languages: [Language; 2],
    by: By,
    top: PathBuf,
    /// The results' paths that belong to a file already.
    taken: HashSet<PathBuf>,
}

impl Files {
    /// The units of a file, none if it is another run's.
    fn units(&mut self, file: Found, is_ours: bool) -> Vec<Planned> {
        let path = match file {
            Ok(path) => path,
            Err(_) if !is_ours => return Vec::new(),
            Err(why) => return vec![Left::wrong(why.clone(), why)],
        };
        // Asked for all files, so that all runs agree on whose the result is.
        let result = self.result(&path);
        let is_free = self.taken.insert(result.clone());
        if !is_ours {
            return Vec::new();
        }
        let name = shown(&path);
        if !is_free {
            let reason = format!("{} is another file's translation", shown(&result));
            return vec![Left::wrong(name, reason)];
        }
        if let Some(excluded) = self.gate.excluded(&path) {
            let reason = format!(
                "it is excluded by `{}` in {}",
                excluded.rule, excluded.source
            );
            return vec![Left::alone(name, reason)];
        }
        let text = match read(&path) {
            Ok(text) => text,
            Err(why) => return vec![Left::wrong(name, why)],
        };
        if text.trim().is_empty() {
            return vec![Left::alone(name, "it is empty")];
        }
        let source = Source { path, result };
        let units = match self.by {
            By::File => vec![whole(source, text, self.languages)],
            By::Item => parts(&source, &text, self.languages),
        };
        if units.is_empty() {
            return vec![Left::alone(name, "there is nothing in it but imports")];
        }
        let units = units.into_iter();
        units.map(|unit| Planned::Unit(Box::new(unit))).collect()
    }

    fn result(&self, path: &Path) -> PathBuf {
        let inside = path.strip_prefix(&self.top).unwrap_or(path);
        match self.languages[1].extensions().first() {
            Some(extension) => inside.with_extension(extension),
            None => inside.to_owned(),
        }
    }
}

fn read(path: &Path) -> Result<String, String> {
    let size = fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > LARGEST_FILE {
        return Err(format!("it has {size} bytes, more than {LARGEST_FILE}"));
    }
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|error| {
        let place = error.utf8_error().valid_up_to();
        format!("it is not UTF-8 text (byte {place})")
    })
}

/// A line of a list. Other keys are left alone.
#[derive(Deserialize)]
struct Line {
    /// What it is called; the line's number if it has no name.
    id: Option<Value>,
    /// The code to translate.
    code: String,
    /// What it stands among.
    #[serde(default)]
    context: String,
    /// How the translation begins.
    #[serde(default)]
    declaration: String,
    /// What is put below the translation to test it.
    #[serde(default)]
    test: String,
}

/// The units of a list: a JSON object a line, from a file or, for `-`, from standard input.
///
/// # Errors
/// If there is no such file.
pub fn of_list(
    file: &Path,
    languages: [Language; 2],
    shard: Shard,
) -> anyhow::Result<impl Iterator<Item = Planned> + use<>> {
    let lines: Box<dyn BufRead + Send> = if file == Path::new("-") {
        Box::new(BufReader::new(stdin()))
    } else {
        let opened = fs::File::open(file);
        Box::new(BufReader::new(
            opened.with_context(|| format!("cannot read {}", file.display()))?,
        ))
    };
    let name = shown(file);
    let numbered = (0..).zip(Lines {
        reader: lines,
        is_over: false,
    });
    let ours = numbered.filter(move |(number, _)| shard.has(*number));
    Ok(ours.filter_map(move |(number, line)| {
        let place = format!("{name}:{}", number + 1);
        match line {
            Err(why) => Some(Left::wrong(place, why)),
            Ok(line) if line.trim().is_empty() => None,
            Ok(line) => Some(listed(&line, place, number, languages)),
        }
    }))
}

fn listed(line: &str, place: String, number: u64, [from, to]: [Language; 2]) -> Planned {
    let line: Line = match serde_json::from_str(line) {
        Ok(line) => line,
        Err(error) => {
            let why = format!("it is no unit: {error}; expected a JSON object with the key `code`");
            return Left::wrong(place, why);
        }
    };
    let name = match line.id {
        Some(Value::String(name)) => name,
        Some(Value::Number(number)) => number.to_string(),
        None | Some(Value::Null) => place,
        Some(other) => {
            return Left::wrong(place, format!("its `id` is {other}, no text and no number"));
        }
    };
    if line.code.trim().is_empty() {
        return Left::alone(name, "its `code` is empty");
    }
    Planned::Unit(Box::new(Unit {
        name,
        place: Place::Line(number),
        code: line.code,
        from,
        to,
        context: line.context,
        declaration: line.declaration,
        test: line.test,
    }))
}

/// The lines of a reader, or what is wrong with one; none is longer than [`LONGEST_LINE`].
struct Lines<R> {
    reader: R,
    is_over: bool,
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = Result<String, String>;

    fn next(&mut self) -> Option<Result<String, String>> {
        let mut line = Vec::new();
        while !self.is_over {
            let chunk = match self.reader.fill_buf() {
                Ok(chunk) => chunk,
                Err(error) => {
                    self.is_over = true;
                    return Some(Err(format!("the list cannot be read on: {error}")));
                }
            };
            let end = chunk.iter().position(|&byte| byte == b'\n');
            self.is_over = chunk.is_empty();
            let taken = end.map_or(chunk.len(), |end| end + 1);
            if line.len() <= LONGEST_LINE {
                line.extend_from_slice(&chunk[..taken]);
            }
            self.reader.consume(taken);
            if end.is_some() {
                break;
            }
        }
        match line.len() {
            0 => None,
            1..=LONGEST_LINE => {
                let text = String::from_utf8(line);
                Some(text.map_err(|_| "it is not UTF-8 text".to_owned()))
            }
            _ => Some(Err(format!("it is longer than {LONGEST_LINE} bytes"))),
        }
    }
}

/// The language of this name.
///
/// # Errors
/// If there is none, or none with a grammar; the error lists them.
pub fn language(name: &str) -> anyhow::Result<Language> {
    match Language::named(name).filter(|language| language.grammar().is_some()) {
        Some(language) => Ok(language),
        None => {
            let known = Language::all().filter(|language| language.grammar().is_some());
            let known: Vec<&str> = known.map(Language::name).collect();
            bail!(
                "there is no language `{name}`; there are {}",
                known.join(", ")
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Shard = Shard { index: 0, count: 1 };

    fn languages() -> [Language; 2] {
        ["python", "rust"].map(|name| language(name).unwrap())
    }

    /// A folder with these files.
    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    /// Each unit with its result's path, each other thing with its reason.
    fn told(plan: impl Iterator<Item = Planned>, folder: &Path) -> Vec<String> {
        let folder = format!("{}/", folder.display());
        let tell = |planned| match planned {
            Planned::Unit(unit) => match unit.place.source() {
                Some(source) => format!("{} > {}", unit.name, shown(&source.result)),
                None => format!("{}: {}", unit.name, unit.code.trim()),
            },
            Planned::Left(left) => {
                let kind = if left.is_wrong { "wrong" } else { "left" };
                format!("{kind}: {}: {}", left.name, left.reason)
            }
        };
        plan.map(|planned| tell(planned).replace(&folder, ""))
            .collect()
    }

    #[test]
    fn a_folder_gives_its_files_of_the_language_in_order() {
        let folder = folder(&[
            ("b/z.py", "x = 1\n"),
            ("a.py", "x = 1\n"),
            ("a.pyi", "x: int\n"),
            ("a.js", "let x;\n"),
            ("empty.py", "\n"),
            (".gitignore", "build/\n"),
            ("build/g.py", "x = 1\n"),
            (".infillignore", "*_pb2.py\n"),
            ("m_pb2.py", "x = 1\n"),
        ]);
        fs::write(folder.path().join("latin.py"), b"x = '\xe9'\n").unwrap();
        let plan = || of_paths(&[folder.path().to_owned()], languages(), By::File, ALL).unwrap();
        let found = told(plan(), folder.path());
        let expected = [
            "a.py > a.rs",
            "wrong: a.pyi: a.rs is another file's translation",
            "b/z.py > b/z.rs",
            "left: empty.py: it is empty",
            "wrong: latin.py: it is not UTF-8 text (byte 5)",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn paths_that_are_named_are_taken_and_results_keep_their_folders() {
        let folder = folder(&[
            ("a/x.py", "x = 1\n"),
            ("b/x", "x = 2\n"),
            ("b/.env", "KEY=1\n"),
        ]);
        let named = ["a", "b/x", "b/.env"].map(|name| folder.path().join(name));
        let plan = of_paths(&named, languages(), By::File, ALL).unwrap();
        let found = told(plan, folder.path());
        let expected = [
            "a/x.py > a/x.rs",
            "b/x > b/x.rs",
            "left: b/.env: it is excluded by `.env` in the built-in list of files that hold secrets",
        ];
        assert_eq!(found, expected);
        let error = of_paths(&[folder.path().join("c")], languages(), By::File, ALL);
        assert!(error.err().unwrap().to_string().contains("cannot read"));
    }

    #[test]
    fn shards_share_the_files_among_them() {
        let names = ["a.py", "b.py", "c.py", "d.py", "e.py"];
        let folder = folder(&names.map(|name| (name, "import os\ndef f(): pass\ndef g(): pass\n")));
        let mut found = Vec::new();
        for index in 0..3 {
            let shard = Shard { index, count: 3 };
            let paths = [folder.path().to_owned()];
            let units = told(
                of_paths(&paths, languages(), By::Item, shard).unwrap(),
                folder.path(),
            );
            assert!(units.len() <= 4, "{units:?}");
            found.extend(units);
        }
        found.sort();
        let all = names.map(|name| {
            let stem = &name[..1];
            [
                format!("{name}::f > {stem}.rs"),
                format!("{name}::g > {stem}.rs"),
            ]
        });
        assert_eq!(found, all.as_flattened());
    }

    #[test]
    fn a_list_gives_its_lines_and_says_which_are_wrong() {
        let list = [
            r#"{"id": "one", "code": "x = 1", "prompt": "left alone"}"#,
            r#"{"id": 2, "code": "x = 2", "test": "t", "declaration": "d", "context": "c"}"#,
            "",
            r#"{"code": "x = 3"}"#,
            r#"{"code": " "}"#,
            r#"{"cod": "x"}"#,
            "x",
            r#"{"id": [], "code": "x"}"#,
        ];
        let folder = folder(&[("list.jsonl", &list.join("\n"))]);
        let path = folder.path().join("list.jsonl");
        let found = told(of_list(&path, languages(), ALL).unwrap(), folder.path());
        assert_eq!(
            found[..3],
            ["one: x = 1", "2: x = 2", "list.jsonl:4: x = 3"]
        );
        assert_eq!(found[3], "left: list.jsonl:5: its `code` is empty");
        let wrong = [
            ("6", "missing field `code`"),
            ("7", "expected value"),
            ("8", "no text and no number"),
        ];
        for (found, (line, why)) in found[4..].iter().zip(wrong) {
            let is_told =
                found.starts_with(&format!("wrong: list.jsonl:{line}: ")) && found.contains(why);
            assert!(is_told, "{found}");
        }
        assert_eq!(found.len(), 7);
    }

    #[test]
    fn a_line_that_is_too_long_or_no_text_is_named_and_the_rest_goes_on() {
        let text = [
            &b"{\"code\": \""[..],
            &vec![b'x'; LONGEST_LINE],
            b"\"}\n\xff\n{\"code\": \"y\"}",
        ]
        .concat();
        let lines: Vec<_> = Lines {
            reader: &text[..],
            is_over: false,
        }
        .collect();
        assert!(
            lines[0]
                .as_ref()
                .is_err_and(|why| why.contains("longer than"))
        );
        assert!(lines[1].as_ref().is_err_and(|why| why.contains("UTF-8")));
        assert_eq!(lines[2..], [Ok("{\"code\": \"y\"}".to_owned())]);
    }

    #[test]
    fn a_shard_is_one_of_some() {
        assert_eq!("2/8".parse(), Ok(Shard { index: 1, count: 8 }));
        for wrong in ["", "2", "0/2", "3/2", "1/0", "a/b", "1/2/3"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }
}
