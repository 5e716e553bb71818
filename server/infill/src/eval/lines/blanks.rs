//! Blanks cut from real files the way a person types.
//!
//! Takes the files of a language and gives texts with blanks in them, spread over the files and over the kinds of blank.
//! The same files, number and seed give the same blanks. Comments are no code, and nothing is cut from them.

use std::collections::VecDeque;
use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use fastrand::Rng;
use grammars::Language;
use text::{Region, Snapshot, Syntax, before_closers, closers_tail};

use crate::corpus::SourceFile;

/// Lines of the longest blank. What goes on for longer is not written in one go.
const LINES_MAX: usize = 12;
/// Most blanks of one file.
const FILE_MOST: usize = 50;
/// Shortest word, in characters, that is cut in its middle.
const WORD_LEAST: usize = 3;
/// How often a place is looked for in a file before another file has its turn.
const TRIES: usize = 16;
/// How often all files are gone through before there are fewer blanks than asked for.
const PASSES: usize = 4;
/// The longest that a file is parsed: a hundred times what it takes.
const PARSING: Duration = Duration::from_secs(2);

/// What is missing at a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The rest of a line behind a mark or blank, with or without the closers at its end.
    RestOfLine,
    /// A line, its indentation excepted.
    WholeLine,
    /// A statement of one or several lines.
    Statement,
    /// The body of a function, class, branch or loop.
    Block,
    /// The rest of a line from the middle of a word on.
    MidWord,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 5] = [
        Kind::RestOfLine,
        Kind::WholeLine,
        Kind::Statement,
        Kind::Block,
        Kind::MidWord,
    ];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Kind::RestOfLine => "rest_of_line",
            Kind::WholeLine => "whole_line",
            Kind::Statement => "statement",
            Kind::Block => "block",
            Kind::MidWord => "mid_word",
        }
    }

    fn needs_grammar(self) -> bool {
        matches!(self, Kind::Statement | Kind::Block)
    }
}

/// A blank: bytes of a text that a person has not typed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blank {
    /// Its kind.
    pub kind: Kind,
    /// From the cursor to where the text goes on.
    pub missing: Range<usize>,
}

/// A text and the blanks cut from it.
#[derive(Clone, Debug)]
pub struct Cut {
    /// Where its file is.
    pub path: PathBuf,
    /// The name of its file.
    pub file: String,
    /// Its language.
    pub language: Language,
    /// The whole text, nothing missing.
    pub text: String,
    /// Its syntax errors; none if the language has no grammar.
    pub errors: Option<usize>,
    /// What is missing, one at a time.
    pub blanks: Vec<Blank>,
}

impl Cut {
    /// The text before a blank and behind it.
    pub fn around(&self, blank: &Blank) -> (&str, &str) {
        let Range { start, end } = blank.missing;
        (&self.text[..start], &self.text[end..])
    }
}

/// Cuts `n` blanks, or as many as there are places for, from files of one language.
pub fn cut(files: &[SourceFile], n: usize, seed: u64) -> Vec<Cut> {
    let mut rng = Rng::with_seed(seed);
    let mut files = files.to_vec();
    rng.shuffle(&mut files);
    let has_grammar = |file: &SourceFile| file.language.queries().is_some();
    let mut kinds = Kind::ALL.to_vec();
    kinds.retain(|kind| !kind.needs_grammar() || files.iter().all(has_grammar));
    let mut wanted: Vec<Kind> = kinds.into_iter().cycle().take(n).collect();
    rng.shuffle(&mut wanted);
    let mut wanted = VecDeque::from(wanted);
    let mut cuts: Vec<Option<Cut>> = vec![None; files.len()];
    for _ in 0..PASSES {
        let share = wanted.len().div_ceil(files.len().max(1));
        for (file, cut) in files.iter().zip(&mut cuts) {
            if wanted.is_empty() {
                break;
            }
            let Some(text) = file.text() else { continue };
            let places = Places::new(&text, file.language);
            let cut = cut.get_or_insert_with(|| Cut {
                path: file.path.clone(),
                file: name(file),
                language: file.language,
                errors: places.syntax.as_ref().map(Syntax::errors),
                text: text.clone(),
                blanks: Vec::new(),
            });
            for _ in 0..share.min(FILE_MOST.saturating_sub(cut.blanks.len())) {
                let Some(kind) = wanted.pop_front() else {
                    break;
                };
                match places.find(kind, &cut.blanks, &mut rng) {
                    Some(blank) => cut.blanks.push(blank),
                    None => wanted.push_back(kind),
                }
            }
        }
    }
    let cuts = cuts.into_iter().flatten();
    cuts.filter(|cut| !cut.blanks.is_empty()).collect()
}

/// The syntax of a whole text; none if its language has no grammar or it takes too long.
pub fn syntax(text: &str, language: Language) -> Option<Syntax> {
    let began = Instant::now();
    Snapshot::new(text, language).syntax(&mut || began.elapsed() > PARSING)
}

fn name(file: &SourceFile) -> String {
    let name = file.path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// A text, read once, and where in it something may be missing.
struct Places<'a> {
    text: &'a str,
    /// Each line without its end.
    lines: Vec<Range<usize>>,
    syntax: Option<Syntax>,
    statements: Vec<Range<usize>>,
    blocks: Vec<Range<usize>>,
}

impl<'a> Places<'a> {
    fn new(text: &'a str, language: Language) -> Places<'a> {
        let snapshot = Snapshot::new(text, language);
        let lines = 0..snapshot.line_count();
        let syntax = syntax(text, language);
        let all = 0..text.len();
        let (statements, blocks) = match &syntax {
            Some(syntax) => (syntax.statements(all.clone()), syntax.blocks(all)),
            None => (Vec::new(), Vec::new()),
        };
        Places {
            text,
            lines: lines.map(|line| snapshot.line_range(line)).collect(),
            syntax,
            statements,
            blocks,
        }
    }

    /// A blank of this kind that is not among those `known`.
    fn find(&self, kind: Kind, known: &[Blank], rng: &mut Rng) -> Option<Blank> {
        let is_new = |missing: &Range<usize>| !known.iter().any(|blank| blank.missing == *missing);
        (0..TRIES)
            .filter_map(|_| match kind {
                Kind::RestOfLine => self.rest_of_line(rng),
                Kind::WholeLine => self.whole_line(rng),
                Kind::Statement => self.statement(rng),
                Kind::Block => self.block(rng),
                Kind::MidWord => self.mid_word(rng),
            })
            .find(|missing| is_new(missing) && self.is_worth_asking(missing))
            .map(|missing| Blank { kind, missing })
    }

    fn rest_of_line(&self, rng: &mut Rng) -> Option<Range<usize>> {
        let line = self.line(rng)?;
        let is_mark = |c: char| !c.is_alphanumeric() && c != '_';
        let marks = self.text[line.clone()].match_indices(is_mark);
        let places: Vec<usize> = marks.map(|(at, mark)| at + mark.len()).collect();
        let cursor = line.start + rng.choice(&places)?;
        Some(self.rest(cursor..line.end, rng))
    }

    fn mid_word(&self, rng: &mut Rng) -> Option<Range<usize>> {
        let line = self.line(rng)?;
        let words = words(&self.text[line.clone()]);
        let word = rng.choice(&words)?;
        let places: Vec<usize> = word.clone().map(|at| line.start + at).collect();
        let inside = places.into_iter().skip(1);
        let inside: Vec<usize> = inside
            .filter(|&at| self.text.is_char_boundary(at))
            .collect();
        let cursor = *rng.choice(&inside)?;
        (self.region(cursor) == Region::Code).then(|| self.rest(cursor..line.end, rng))
    }

    fn whole_line(&self, rng: &mut Rng) -> Option<Range<usize>> {
        self.line(rng)
    }

    fn statement(&self, rng: &mut Rng) -> Option<Range<usize>> {
        let statement = rng.choice(&self.statements)?;
        self.alone(statement.clone())
    }

    fn block(&self, rng: &mut Rng) -> Option<Range<usize>> {
        let block = rng.choice(&self.blocks)?;
        let text = &self.text[block.clone()];
        let body = match text
            .strip_prefix('{')
            .and_then(|text| text.strip_suffix('}'))
        {
            Some(body) => block.start + 1..block.start + 1 + body.len(),
            None => block.clone(),
        };
        self.alone(body)
    }

    /// A line with something in it, from behind its indentation to its last character.
    fn line(&self, rng: &mut Rng) -> Option<Range<usize>> {
        let line = rng.choice(&self.lines)?;
        Some(self.trimmed(line.clone())).filter(|line| !line.is_empty())
    }

    /// The rest of a line: all of it, or what an editor that closes brackets has not put there.
    fn rest(&self, rest: Range<usize>, rng: &mut Rng) -> Range<usize> {
        match rng.bool() {
            true => rest,
            false => rest.start..rest.start + before_closers(&self.text[rest]),
        }
    }

    /// The text in `range` if it has its lines to itself.
    fn alone(&self, range: Range<usize>) -> Option<Range<usize>> {
        let range = self.trimmed(range);
        let (before, after) = (&self.text[..range.start], &self.text[range.end..]);
        let before = before.rsplit(['\n', '\r']).next()?;
        let after = after.split(['\n', '\r']).next()?;
        let is_alone = before.trim().is_empty() && after.trim().is_empty();
        is_alone.then_some(range)
    }

    fn trimmed(&self, range: Range<usize>) -> Range<usize> {
        let text = &self.text[range.clone()];
        let start = range.start + text.len() - text.trim_start().len();
        start..start + text.trim().len()
    }

    /// Whether the text is code, more than closers, and not too long.
    fn is_worth_asking(&self, missing: &Range<usize>) -> bool {
        let text = &self.text[missing.clone()];
        let first = text.lines().next().unwrap_or_default();
        let says_something =
            closers_tail(first.trim()).is_none() && text.contains(char::is_alphanumeric);
        says_something && text.lines().count() <= LINES_MAX && self.is_code(missing)
    }

    /// Whether neither end of the text nor the beginning of its line is in a comment or a string of several lines.
    fn is_code(&self, missing: &Range<usize>) -> bool {
        let line = self.text[..missing.start].rfind(['\n', '\r']);
        let line = line.map_or(0, |end| end + 1);
        let start = self.trimmed(line..self.text.len()).start;
        // The marks that open a comment are code to the tree.
        let opened = missing.end.min(start + 2);
        let mut places = [opened, missing.start, missing.end].into_iter();
        self.region(start) == Region::Code && places.all(|at| self.region(at) != Region::Comment)
    }

    fn region(&self, offset: usize) -> Region {
        let syntax = self.syntax.as_ref();
        syntax.map_or(Region::Code, |syntax| syntax.region(offset))
    }
}

/// The words of a line that are long enough to stop in.
fn words(line: &str) -> Vec<Range<usize>> {
    let mut at = 0;
    let pieces = line.split_inclusive(|c: char| !c.is_alphanumeric() && c != '_');
    let mut words = Vec::new();
    for piece in pieces {
        let word = piece.trim_end_matches(|c: char| !c.is_alphanumeric() && c != '_');
        let is_name = !word.starts_with(|c: char| c.is_ascii_digit());
        if is_name && word.chars().count() >= WORD_LEAST {
            words.push(at..at + word.len());
        }
        at += piece.len();
    }
    words
}

#[cfg(test)]
mod tests;
