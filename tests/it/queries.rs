//! The table of languages and its queries, checked as data.
//!
//! Every language with a grammar has a fixture, `grammars/tests/<language>.<extension>`: code with
//! assertions in comments of its own language under the lines that they speak of.
//!
//! ```text
//! def area(w, h):
//! # <- symbol ... return w * h      a @symbol starts where this comment does; its last line is that
//! #   ^^^^ name                     a @name covers just these columns
//! #              ^ !statement       no @statement starts here
//!     return w * h
//!     # <- block
//! ```
//!
//! Assertion lines are taken out before the code is parsed, so they never change what they check.

use std::{collections::HashMap, fs, ops::Range, path::Path};

use grammars::Language;
use tree_sitter::{Node, Parser, Query, QueryCursor, StreamingIterator, Tree};

/// What the four queries of a language may capture, in the order of `Queries::each`.
const KINDS: [&[&str]; 4] = [&["block"], &["statement"], &["symbol", "name"], &["import"]];

/// Ghost text must work on these at least; the tag lines are CodeGeeX2's own, to the letter.
const PROMISED: [(&str, &str); 22] = [
    ("python", "# language: Python"),
    ("cpp", "// language: C++"),
    ("java", "// language: Java"),
    ("javascript", "// language: JavaScript"),
    ("go", "// language: Go"),
    ("rust", "// language: Rust"),
    ("typescript", "// language: TypeScript"),
    ("tsx", "// language: TypeScript"),
    ("c", "// language: C"),
    ("csharp", "// language: C#"),
    ("ruby", "# language: Ruby"),
    ("php", "// language: PHP"),
    ("bash", "# language: Shell"),
    ("lua", "// language: Lua"),
    ("kotlin", "// language: Kotlin"),
    ("scala", "// language: Scala"),
    ("html", "<!--language: HTML-->"),
    ("css", "/* language: CSS */"),
    ("json", "// language: JSON"),
    ("yaml", "# language: YAML"),
    ("toml", "# language: TOML"),
    ("sql", "-- language: SQL"),
];

/// Of the promised languages, those that are not for programming: a grammar is enough.
const WITHOUT_QUERIES: [&str; 4] = ["html", "json", "yaml", "toml"];

#[test]
fn promised_languages_are_whole() {
    for (name, tag) in PROMISED {
        let language = Language::named(name).unwrap_or_else(|| panic!("no language {name}"));
        assert_eq!(language.name(), name);
        assert_eq!(language.tag(), Some(tag), "{name}");
        assert!(language.grammar().is_some(), "{name} has no grammar");
        let has_queries = language.queries().is_some();
        assert_eq!(has_queries, !WITHOUT_QUERIES.contains(&name), "{name}");
    }
}

#[test]
fn every_query_compiles() {
    let mut failures = Vec::new();
    for language in Language::all() {
        let Some(queries) = language.queries() else {
            continue;
        };
        for (query, kinds) in queries.each().into_iter().zip(KINDS) {
            match query.check() {
                Err(error) => failures.push(error.to_string()),
                Ok(query) => {
                    let known = query.capture_names().iter();
                    let stray = known.filter(|one| !kinds.contains(one) && !one.starts_with('_'));
                    failures.extend(stray.map(|one| format!("{}: @{one}", language.name())));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// No name, extension, file name or tag of the table can mean two languages, and each of them is
/// found again through the public functions.
#[test]
fn lookups_are_unique() {
    let mut seen: HashMap<String, Language> = HashMap::new();
    let mut claim = |key: String, language: Language| {
        let lower = key.to_lowercase();
        assert!(
            !key.starts_with("extension") || lower == key,
            "{key} is not in lower case"
        );
        if let Some(other) = seen.insert(key.clone(), language) {
            panic!("{key} means both {other:?} and {language:?}");
        }
    };
    for language in Language::all() {
        for name in language.names() {
            claim(format!("name {}", name.to_lowercase()), language);
            assert_eq!(Language::named(name), Some(language));
            assert_eq!(Language::named(&name.to_uppercase()), Some(language));
        }
        for extension in language.extensions() {
            claim(format!("extension {extension}"), language);
            for path in [
                format!("a.{extension}"),
                format!("dir.d/a.b.{}", extension.to_uppercase()),
            ] {
                assert_eq!(
                    Language::of_path(Path::new(&path)),
                    Some(language),
                    "{path}"
                );
            }
        }
        for file in language.file_names() {
            claim(format!("file {file}"), language);
            assert_eq!(
                Language::of_path(&Path::new("dir").join(file)),
                Some(language),
                "{file}"
            );
        }
        let tag = language
            .tag()
            .unwrap_or_else(|| panic!("{language:?} has no tag"));
        assert!(tag.contains("language:") && !tag.contains('\n'), "{tag}");
    }
    assert_eq!(Language::PLAIN.tag(), None);
    assert!(Language::PLAIN.grammar().is_none());
    assert!(Language::all().all(|language| language != Language::PLAIN));
}

#[test]
fn detects_the_language_of_a_document() {
    // Path, language id, first line, language.
    let cases: &[(&str, &str, &str, &str)] = &[
        ("a.py", "", "", "python"),
        ("a.txt", "Python", "", "python"),
        ("a.h", "c", "", "c"),
        ("a.h", "", "", "cpp"),
        ("a.ts", "typescriptreact", "", "tsx"),
        ("a.js", "plaintext", "", "javascript"),
        ("src/App.TSX", "", "", "tsx"),
        ("a", "shellscript", "", "bash"),
        ("a", "c++", "", "cpp"),
        ("Gemfile", "", "", "ruby"),
        ("Cargo.lock", "", "", "toml"),
        (".bashrc", "", "", "bash"),
        ("tool", "", "#!/usr/bin/env python3", "python"),
        ("tool", "", "#!/usr/bin/python3.12 -u", "python"),
        (
            "tool",
            "",
            "#! /usr/bin/env -S LANG=C deno run",
            "typescript",
        ),
        ("tool", "", "#!/bin/sh", "bash"),
        ("tool", "", "\u{feff}<?php", "php"),
        ("page", "", "  <!DOCTYPE HTML>", "html"),
        ("tool", "", "#!", "plain"),
        ("tool", "", "#!/usr/bin/env", "plain"),
        ("tool", "", "", "plain"),
        ("notes.txt", "plaintext", "Dear diary", "plain"),
        ("", "", "", "plain"),
    ];
    for (path, id, first_line, expected) in cases {
        let path = (!path.is_empty()).then_some(Path::new(path));
        let id = (!id.is_empty()).then_some(*id);
        let found = Language::detect(path, id, first_line);
        assert_eq!(found.name(), *expected, "{path:?} {id:?} {first_line:?}");
    }
}

#[test]
fn every_fixture_parses_without_errors() {
    let mut failures = Vec::new();
    for language in Language::all().filter(|language| language.grammar().is_some()) {
        let fixture = Fixture::read(language);
        let tree = fixture.parse();
        each_node(tree.root_node(), &mut |node| {
            if node.is_error() || node.is_missing() {
                let line = node.start_position().row;
                let text = fixture.code.lines().nth(line).unwrap_or_default();
                failures.push(format!("{}: {node} at `{text}`", language.name()));
            }
        });
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn captures_stand_where_the_carets_say() {
    let mut failures = Vec::new();
    for language in Language::all() {
        let Some(queries) = language.queries() else {
            continue;
        };
        let fixture = Fixture::read(language);
        let tree = fixture.parse();
        let mut found = Vec::new();
        for (query, kinds) in queries.each().into_iter().zip(KINDS) {
            collect(query, &tree, &fixture.code, &mut found);
            for kind in kinds
                .iter()
                .filter(|kind| query.capture_names().contains(kind))
            {
                if !fixture
                    .assertions
                    .iter()
                    .any(|one| one.kind == *kind && one.present)
                {
                    failures.push(format!("{}: nothing asserts a @{kind}", language.name()));
                }
            }
        }
        let wrong = fixture
            .assertions
            .iter()
            .filter_map(|one| one.failure(&found, &fixture.code));
        failures.extend(wrong.map(|failure| format!("{}: {failure}", language.name())));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// The code of a fixture, and what is said about it.
struct Fixture {
    language: Language,
    code: String,
    assertions: Vec<Assertion>,
}

/// That a capture starts, or does not start, at a place of the code.
struct Assertion {
    line: usize,
    column: usize,
    /// In bytes, if more than one caret says it.
    width: Option<usize>,
    kind: String,
    present: bool,
    last_line: Option<String>,
}

/// A capture that a query made.
struct Capture {
    kind: String,
    line: usize,
    column: usize,
    bytes: Range<usize>,
}

impl Fixture {
    fn read(language: Language) -> Fixture {
        let extension = language.extensions()[0];
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../grammars/tests")
            .join(format!("{}.{extension}", language.name()));
        let text = fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("no fixture {}: {error}", path.display()));
        let mut fixture = Fixture {
            language,
            code: String::new(),
            assertions: Vec::new(),
        };
        for line in text.lines() {
            let below = fixture.code.lines().count().saturating_sub(1);
            match Assertion::read(line, below, language) {
                Some(assertion) => fixture.assertions.push(assertion),
                None => {
                    fixture.code.push_str(line);
                    fixture.code.push('\n');
                }
            }
        }
        fixture
    }

    fn parse(&self) -> Tree {
        let mut parser = Parser::new();
        let grammar = self
            .language
            .grammar()
            .expect("only languages with a grammar are parsed");
        parser
            .set_language(&grammar)
            .expect("the grammar fits the parser's version");
        parser
            .parse(&self.code, None)
            .expect("parsing has no deadline")
    }
}

impl Assertion {
    /// What a comment says of code line `line`, if it is an assertion at all.
    fn read(comment: &str, line: usize, language: Language) -> Option<Assertion> {
        let marks = language.line_comment().map(|mark| (mark, ""));
        let (open, close) = marks.or(language.block_comment())?;
        let start = comment.len() - comment.trim_start().len();
        let said = comment
            .trim()
            .strip_prefix(open)?
            .strip_suffix(close)?
            .trim();
        let (column, width, said) = match said.strip_prefix("<-") {
            Some(said) => (start, None, said),
            None => {
                let carets = said.chars().take_while(|c| *c == '^').count();
                if carets == 0 {
                    return None;
                }
                (
                    comment.find('^')?,
                    (carets > 1).then_some(carets),
                    &said[carets..],
                )
            }
        };
        let (kind, last_line) = match said.split_once(" ... ") {
            Some((kind, last_line)) => (kind.trim(), Some(last_line.trim().to_owned())),
            None => (said.trim(), None),
        };
        let present = !kind.starts_with('!');
        let kind = kind.trim_start_matches('!').to_owned();
        Some(Assertion {
            line,
            column,
            width,
            kind,
            present,
            last_line,
        })
    }

    /// Why it does not hold.
    fn failure(&self, found: &[Capture], code: &str) -> Option<String> {
        let here = |one: &&Capture| one.line == self.line && one.column == self.column;
        let holds = found
            .iter()
            .filter(here)
            .any(|one| one.kind == self.kind && self.fits(one, code));
        if holds == self.present {
            return None;
        }
        let line = code.lines().nth(self.line).unwrap_or_default();
        let there: Vec<_> = found
            .iter()
            .filter(|one| one.line == self.line)
            .map(|one| {
                format!(
                    "{}:@{} … `{}`",
                    one.column,
                    one.kind,
                    last_line(&code[one.bytes.clone()])
                )
            })
            .collect();
        let (not, column) = (if self.present { "no " } else { "a " }, self.column);
        Some(format!(
            "{not}@{} at {column} of `{line}`; there are {there:?}",
            self.kind
        ))
    }

    fn fits(&self, capture: &Capture, code: &str) -> bool {
        let text = &code[capture.bytes.clone()];
        self.width.is_none_or(|width| text.len() == width)
            && self
                .last_line
                .as_ref()
                .is_none_or(|expected| last_line(text) == expected)
    }
}

fn last_line(text: &str) -> &str {
    text.trim_end().lines().last().unwrap_or_default().trim()
}

fn collect(query: &Query, tree: &Tree, code: &str, found: &mut Vec<Capture>) {
    let mut cursor = QueryCursor::new();
    let mut matches = cursor.matches(query, tree.root_node(), code.as_bytes());
    while let Some(one) = matches.next() {
        for capture in one.captures() {
            let start = capture.node.start_position();
            found.push(Capture {
                kind: query.capture_names()[capture.index as usize].to_owned(),
                line: start.row,
                column: start.column,
                bytes: capture.node.byte_range(),
            });
        }
    }
}

fn each_node(node: Node<'_>, visit: &mut dyn FnMut(Node<'_>)) {
    visit(node);
    for index in 0..node.child_count() {
        if let Some(child) = node.child(index) {
            each_node(child, visit);
        }
    }
}
