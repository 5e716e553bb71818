//! `infill eval lines`: blanks cut from real files the way a person types.
//!
//! [`blanks`] cuts them, an [`Editor`] shows what it would in each, [`baselines`] fill them without a model, [`figures`]
//! say how near all of these are to what stood there, [`report`] tells.

pub mod baselines;
pub mod blanks;
pub mod figures;
pub mod report;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use grammars::Language;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::corpus::{Packages, SourceFile, source_files};
use crate::eval::lines::blanks::{Blank, Cut};
use crate::eval::lines::figures::{Errors, Verdict};
use crate::eval::lines::report::{Report, Verdicts};
use crate::eval::shown::{self, Answer, Editor};
use crate::flags::{ModelArgs, from_one};

/// Arguments of `infill eval lines`.
#[derive(Debug, Args)]
pub struct EvalLinesArgs {
    /// A folder of source files
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// Only files in this language; may be repeated
    #[arg(long = "language", value_name = "LANGUAGE", value_delimiter = ',')]
    pub languages: Vec<String>,
    /// Blanks for each language; fewer if its files have no place for so many
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = from_one)]
    pub n: usize,
    /// Another number, other blanks
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
    /// Ask about each blank with the other files open that lie nearest to its own, in the same folder of DIR
    #[arg(long)]
    pub neighbours: bool,
    /// Count as shown only answers whose first line the model finds at least so likely, 0 to 1; by default the threshold
    /// of the model's file, or everything
    #[arg(long, value_name = "X")]
    pub threshold: Option<f32>,
    /// A file that each blank is written to with its truth and its answers, a JSON object a line
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Print JSON: `overall`, `languages`, `kinds` and `thresholds`
    #[arg(long)]
    pub json: bool,
    /// Which model to use
    #[command(flatten)]
    pub model: ModelArgs,
}

/// Evaluates, and prints what came of it.
///
/// # Errors
/// If the folder has no files to cut from, a language is unknown, or the model cannot be read or run.
pub fn run(arguments: &EvalLinesArgs) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start")?;
    let report = runtime.block_on(evaluate(arguments))?;
    match arguments.json {
        true => println!("{:#}", report.json()),
        false => print!("{}", report.text()),
    }
    Ok(())
}

async fn evaluate(arguments: &EvalLinesArgs) -> anyhow::Result<Report> {
    let files = files(arguments)?;
    let cut = |files: &Vec<SourceFile>| blanks::cut(files, arguments.n, arguments.seed);
    let cuts: Vec<Cut> = files.values().flat_map(cut).collect();
    let blanks: usize = cuts.iter().map(|cut| cut.blanks.len()).sum();
    if blanks == 0 {
        let dir = arguments.dir.display();
        bail!("the files in {dir} have no place for a blank: they are empty, comments, or no code");
    }
    let all = source_files(&arguments.dir)?;
    let packages = arguments
        .neighbours
        .then(|| Packages::new(&arguments.dir, &all));
    let editor = Editor::open(&arguments.model)?;
    let mut report = Report::new(editor.model(), arguments.threshold.or(editor.threshold()));
    let mut out = arguments.out.as_deref().map(Out::new).transpose()?;
    let bar = progress(blanks);
    for cut in &cuts {
        let beside = packages
            .as_ref()
            .map(|packages| Open::beside(packages, cut));
        let beside = beside.unwrap_or_else(|| Open::alone(cut));
        for blank in &cut.blanks {
            let answers = fill(&editor, &beside, cut, blank).await;
            let answers = answers.with_context(|| format!("a blank of {}", cut.file))?;
            let verdicts = judge(cut, blank, &answers);
            report.count(cut.language.name(), blank.kind, &verdicts);
            if let Some(out) = &mut out {
                out.write(cut, blank, &answers, &verdicts)?;
            }
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    out.map(Out::close).transpose()?;
    Ok(report)
}

/// The files to cut from, by language.
fn files(arguments: &EvalLinesArgs) -> anyhow::Result<BTreeMap<&'static str, Vec<SourceFile>>> {
    let dir = arguments.dir.display();
    if !arguments.dir.is_dir() {
        bail!("--dir {dir} is no folder");
    }
    let mut by_language: BTreeMap<&str, Vec<SourceFile>> = BTreeMap::new();
    for file in source_files(&arguments.dir)? {
        let name = file.language.name();
        by_language.entry(name).or_default().push(file);
    }
    if arguments.languages.is_empty() {
        return Ok(by_language);
    }
    let mut wanted = BTreeMap::new();
    for name in &arguments.languages {
        let language = Language::named(name)
            .with_context(|| format!("--language {name} is not known; known are {}", known()))?;
        let files = by_language.get(language.name());
        let files = files.with_context(|| format!("{dir} has no files in {}", language.title()))?;
        wanted.insert(language.name(), files.clone());
    }
    Ok(wanted)
}

fn known() -> String {
    let names: Vec<&str> = Language::all().map(Language::name).collect();
    names.join(", ")
}

/// On standard error, if that is a terminal.
fn progress(blanks: usize) -> ProgressBar {
    let bar = ProgressBar::new(blanks as u64);
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} blanks, {eta} left");
    // The template is a constant that indicatif knows how to read; its own style does otherwise.
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// What is open where a blank is asked about.
struct Open {
    /// Its own file.
    place: String,
    /// The others.
    others: Vec<shown::Other>,
}

impl Open {
    fn alone(cut: &Cut) -> Open {
        Open {
            place: cut.file.clone(),
            others: Vec::new(),
        }
    }

    fn beside(packages: &Packages, cut: &Cut) -> Open {
        let others = packages.beside(&cut.path).into_iter();
        let others = others.filter_map(|other| {
            Some(shown::Other {
                file: packages.place(&other.path),
                language: other.language,
                text: other.text()?,
            })
        });
        Open {
            place: packages.place(&cut.path),
            others: others.collect(),
        }
    }
}

/// The answers to a blank: the model's, then those of the baselines.
async fn fill(
    editor: &Editor,
    open: &Open,
    cut: &Cut,
    blank: &Blank,
) -> anyhow::Result<[Answer; 3]> {
    let (before, after) = cut.around(blank);
    let asked = shown::Blank {
        file: &open.place,
        language: cut.language,
        before,
        after,
        others: &open.others,
    };
    let known = |text: String| Answer::known(&text, before, after);
    Ok([
        editor.show(&asked).await?,
        known(baselines::ngram(before, after)),
        known(baselines::similar_line(before, after)),
    ])
}

/// What each of the answers is worth.
fn judge(cut: &Cut, blank: &Blank, answers: &[Answer; 3]) -> Verdicts {
    let (before, after) = cut.around(blank);
    let truth = &cut.text[blank.missing.clone()];
    let count = |code: &str| {
        let syntax = blanks::syntax(code, cut.language)?;
        Some(syntax.errors())
    };
    let unfilled = || count(&[before, after].concat());
    let known = cut.errors.and_then(|whole| Some((whole, unfilled()?)));
    answers.each_ref().map(|answer| {
        let errors = known
            .filter(|_| answer.is_shown)
            .and_then(|(whole, unfilled)| Some(Errors::of(count(&answer.code)?, whole, unfilled)));
        Verdict::of(answer, truth, errors)
    })
}

/// The file that each blank is written to.
struct Out<'a> {
    path: &'a Path,
    file: BufWriter<File>,
}

impl<'a> Out<'a> {
    fn new(path: &'a Path) -> anyhow::Result<Out<'a>> {
        let file =
            File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        let file = BufWriter::new(file);
        Ok(Out { path, file })
    }

    fn write(
        &mut self,
        cut: &Cut,
        blank: &Blank,
        answers: &[Answer; 3],
        verdicts: &Verdicts,
    ) -> anyhow::Result<()> {
        let (before, after) = cut.around(blank);
        let row = json!({
            "file": cut.file,
            "language": cut.language.name(),
            "kind": blank.kind.name(),
            "before": before.rsplit('\n').next(),
            "after": after.lines().next(),
            "truth": cut.text[blank.missing.clone()],
            "answers": answers.each_ref().map(|answer| &answer.text),
            "right": verdicts.map(|verdict| verdict.is_right),
            "adds_error": verdicts.map(|verdict| verdict.errors.map(|errors| errors.adds)),
            "score": answers[0].score,
        });
        writeln!(self.file, "{row}")
            .with_context(|| format!("cannot write {}", self.path.display()))
    }

    fn close(mut self) -> anyhow::Result<()> {
        let done = self.file.flush();
        done.with_context(|| format!("cannot write {}", self.path.display()))
    }
}
