//! The languages Infill reads: names, marks, tree-sitter grammars and queries.
//!
//! Takes what an editor or a shell knows of a file (its path, the editor's name for its language,
//! its first line) and gives a [`Language`]: its comment marks, the tag line that code models know
//! it by, its grammar and its [`Queries`]. The languages themselves are rows of
//! `table.rs`. Parsing is left to `text`; nothing here reads a file.

mod query;
mod table;

use std::{fmt, hash, iter, path::Path, ptr};

use table::Row;

pub use query::{BadQuery, LazyQuery, Queries};

/// A language of the table, or [`Language::PLAIN`]. A cheap copy; equal only to itself.
#[derive(Clone, Copy)]
pub struct Language(&'static Row);

impl Language {
    /// A text of which no language is known: no marks, no tag, no grammar.
    pub const PLAIN: Language = Language(&table::PLAIN);

    /// Every language of the table, without [`Language::PLAIN`].
    pub fn all() -> impl Iterator<Item = Language> {
        table::ROWS.iter().map(Language)
    }

    /// The language of this name: ours, an LSP `languageId`, or another usual name
    /// (`"typescriptreact"`, `"shellscript"`, `"c++"`). Letter case does not matter.
    pub fn named(name: &str) -> Option<Language> {
        Language::all().find(|language| language.names().any(|one| one.eq_ignore_ascii_case(name)))
    }

    /// The language of files of this path: by the file's whole name if that is known
    /// (`Makefile`), else by its extension, whose letter case does not matter.
    pub fn of_path(path: &Path) -> Option<Language> {
        let by_name = path.file_name().and_then(|file| {
            Language::all().find(|language| language.0.files.iter().any(|one| file == *one))
        });
        by_name.or_else(|| {
            let extension = path.extension()?;
            Language::all().find(|language| {
                let mut extensions = language.0.extensions.iter();
                extensions.any(|one| extension.eq_ignore_ascii_case(one))
            })
        })
    }

    /// The language that a file's first line names: the interpreter after `#!`, or an opening
    /// that only one language has (`<?php`, `<!doctype html>`).
    pub fn of_first_line(line: &str) -> Option<Language> {
        let line = line.trim_start_matches('\u{feff}');
        if let Some(command) = line.strip_prefix("#!") {
            let interpreter = interpreter(command)?;
            return Language::all().find(|language| language.0.interpreters.contains(&interpreter));
        }
        let line = line.trim_start().to_ascii_lowercase();
        Language::all().find(|language| {
            let mut openings = language.0.openings.iter();
            openings.any(|opening| line.starts_with(opening))
        })
    }

    /// The language of a document: what the editor calls it, else what its path says, else what
    /// its first line says, else [`Language::PLAIN`].
    pub fn detect(path: Option<&Path>, language_id: Option<&str>, first_line: &str) -> Language {
        language_id
            .and_then(Language::named)
            .or_else(|| path.and_then(Language::of_path))
            .or_else(|| Language::of_first_line(first_line))
            .unwrap_or(Language::PLAIN)
    }

    /// Infill's name for it, in lower case: `"python"`. Unique in the table.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// Its name as people write it: `"Python"`.
    pub fn title(self) -> &'static str {
        self.0.title
    }

    /// What starts a comment that ends with its line: `"#"`.
    pub fn line_comment(self) -> Option<&'static str> {
        self.0.marks.line
    }

    /// What starts and what ends a comment of any length: `("/*", "*/")`.
    pub fn block_comment(self) -> Option<(&'static str, &'static str)> {
        self.0.marks.block
    }

    /// The line by which CodeGeeX2 is told the language, without its line end:
    /// `"# language: Python"`. Only [`Language::PLAIN`] has none. The wording of a language that
    /// the model was trained on is the model's, even where it is not that language's comment.
    pub fn tag(self) -> Option<&'static str> {
        self.0.tag
    }

    /// Its tree-sitter grammar.
    pub fn grammar(self) -> Option<tree_sitter::Language> {
        self.0.grammar.map(tree_sitter::Language::new)
    }

    /// Its queries, each compiled when it is first used.
    pub fn queries(self) -> Option<&'static Queries> {
        self.0.queries
    }

    /// All names it answers to, its own first.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        iter::once(self.0.name).chain(self.0.aliases.iter().copied())
    }

    /// The extensions of its files, without the dot.
    pub fn extensions(self) -> &'static [&'static str] {
        self.0.extensions
    }

    /// Whole file names that are always of this language.
    pub fn file_names(self) -> &'static [&'static str] {
        self.0.files
    }
}

impl PartialEq for Language {
    fn eq(&self, other: &Language) -> bool {
        ptr::eq(self.0, other.0)
    }
}

impl Eq for Language {}

impl hash::Hash for Language {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        ptr::hash(self.0, state);
    }
}

impl fmt::Debug for Language {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Language({})", self.0.name)
    }
}

/// The bare name of the program in a `#!` line: `python` of `/usr/bin/env -S python3.12 -u`.
fn interpreter(command: &str) -> Option<&str> {
    let mut words = command.split_whitespace();
    let mut program = base_name(words.next()?);
    if program == "env" {
        program = base_name(words.find(|word| !word.starts_with('-') && !word.contains('='))?);
    }
    Some(program.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.'))
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
