//! `infill translate`: a code base from one language into another, in batches, each unit checked.
//!
//! [`plan`] finds the units, [`run`] leads many of them at a time through model and checks ([`attempt`], [`check`]),
//! [`journal`] remembers what became of each, [`results`] puts the translations in their places, [`report`] tells CI.

pub mod answer;
pub mod attempt;
pub mod check;
pub mod journal;
pub mod plan;
pub mod progress;
pub mod report;
pub mod results;
pub mod run;
pub mod tally;
pub mod unit;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use engine::Sampling;
use grammars::Language;
use prompt::{TRANSLATION_VERSION, Translation};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use walkdir::WalkDir;

use crate::flags::{ModelArgs, from_one};
use crate::interrupt::interrupted;
use crate::sandbox::{Limits, Sandbox};
use crate::translate::attempt::Way;
use crate::translate::check::Checker;
use crate::translate::journal::Journal;
use crate::translate::plan::{By, Planned, Shard, language};
use crate::translate::progress::Progress;
use crate::translate::report::{About, ReportArgs};
use crate::translate::results::Results;
use crate::translate::run::{Over, Run};
use crate::translate::tally::{Budget, Tally};
use crate::writer::Writer;
use crate::writer::endpoint::EndpointArgs;

/// Units that got less far than was asked for.
const SHORT: u8 = 3;
/// The run was stopped before all was done.
const STOPPED: u8 = 4;

/// Arguments of `infill translate`.
///
/// Exit codes: 0 all units got as far as was asked for; 1 the run failed; 2 the command line is wrong; 3 some units got
/// less far; 4 a budget was used up or somebody stopped the run.
#[derive(Debug, Args)]
pub struct TranslateArgs {
    /// Files and folders to translate; of a folder, the files of the language that no .gitignore or .infillignore names
    #[arg(required_unless_present = "jsonl")]
    pub paths: Vec<PathBuf>,
    /// Translate a list instead: a JSON object a line with `code`, and if you like `id`, `context`, `declaration` (how
    /// the translation begins) and `test` (code that goes below it); - reads standard input
    #[arg(long, value_name = "FILE", conflicts_with = "paths")]
    pub jsonl: Option<PathBuf>,
    /// The language of the sources
    #[arg(long, value_name = "LANGUAGE")]
    pub from: String,
    /// The language to translate into
    #[arg(long, value_name = "LANGUAGE")]
    pub to: String,
    /// The folder of results and of what is known of each unit
    #[arg(long, value_name = "DIR", default_value = "translated")]
    pub out: PathBuf,
    /// What a unit is
    #[arg(long, value_enum, default_value = "file", conflicts_with = "jsonl")]
    pub by: By,
    /// How translations are checked
    #[command(flatten)]
    pub checks: CheckArgs,
    /// How they are drawn
    #[command(flatten)]
    pub sampling: SamplingArgs,
    /// Units in work at once
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = from_one)]
    pub at_once: usize,
    /// Do only the I-th of N equal shares of the work
    #[arg(long, value_name = "I/N", default_value = "1/1")]
    pub shard: Shard,
    /// Stop early: after tokens=N, minutes=N or failures=N; may be repeated
    #[arg(long = "budget", value_name = "KIND=N")]
    pub budgets: Vec<Budget>,
    /// What to tell of the run
    #[command(flatten)]
    pub reports: ReportArgs,
    /// Which model to use
    #[command(flatten)]
    pub model: ModelArgs,
    /// Or which server
    #[command(flatten)]
    pub endpoint: EndpointArgs,
}

/// How translations are checked.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// A shell command that succeeds if a translation compiles; {file} is its file
    #[arg(long, value_name = "COMMAND")]
    pub check: Option<String>,
    /// A shell command that succeeds if its tests pass; {file} is the translation with its test below it
    #[arg(long, value_name = "COMMAND")]
    pub test: Option<String>,
    /// How often a translation goes back to the model with what was wrong
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub repair: u32,
    /// A folder that is copied for each command to run in, such as one with a Cargo.toml
    #[arg(long, value_name = "DIR")]
    pub project: Option<PathBuf>,
    /// Where in it the translation is put, such as src/lib.rs; else beside all else, named as its source
    #[arg(long, value_name = "PATH")]
    pub file: Option<PathBuf>,
    /// Seconds that a command may take
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    pub time_limit: u64,
    /// Memory that a command may take, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 2048, value_parser = clap::value_parser!(u64).range(1..))]
    pub memory_limit: u64,
    /// Commands that run at once; by default one a processor
    #[arg(long, value_name = "N", value_parser = from_one)]
    pub jobs: Option<usize>,
}

/// How answers are drawn.
#[derive(Debug, Args)]
pub struct SamplingArgs {
    /// First attempts at each unit, of which the best goes on
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub samples: u32,
    /// How far to stray from the likeliest token; 0 never does
    #[arg(long, value_name = "T", default_value_t = 0.0)]
    pub temperature: f32,
    /// Draw from the likeliest tokens that have so much probability together
    #[arg(long, value_name = "P", default_value_t = 1.0)]
    pub top_p: f32,
    /// Another number, other answers
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
    /// Most tokens of an answer
    #[arg(long, value_name = "N", default_value_t = 2048, value_parser = from_one)]
    pub max_tokens: usize,
}

/// Translates, and tells what became of it.
///
/// # Errors
/// If the arguments do not fit, the model cannot be opened or does not translate, a path is not there, or the results
/// cannot be written.
pub fn run(arguments: &TranslateArgs) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start")?;
    let code = runtime.block_on(translate(arguments));
    // What a thread still waits for, such as a server's answer, is of no use any more.
    runtime.shutdown_background();
    code
}

async fn translate(arguments: &TranslateArgs) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let languages = [language(&arguments.from)?, language(&arguments.to)?];
    let [from, to] = languages;
    if from == to {
        bail!("--from and --to are both {}", from.name());
    }
    let sampling = sampling(&arguments.sampling)?;
    let plan: Box<dyn Iterator<Item = Planned> + Send> = match &arguments.jsonl {
        Some(list) => Box::new(plan::of_list(list, languages, arguments.shard)?),
        None => Box::new(plan::of_paths(
            &arguments.paths,
            languages,
            arguments.by,
            arguments.shard,
        )?),
    };
    let checker = checker(&arguments.checks)?;
    let writer = writer(arguments, languages).await?;
    let seed = seed(arguments, &writer)?;
    let journal = Journal::open(&arguments.out)?;
    let wanted = checker.best();
    let model = writer.name().to_owned();
    let mut run = Run {
        way: Arc::new(Way {
            writer: Arc::new(writer),
            checker,
            samples: arguments.sampling.samples,
            sampling,
            repairs: arguments.checks.repair,
            max_tokens: arguments.sampling.max_tokens,
        }),
        at_once: arguments.at_once,
        budgets: arguments.budgets.clone(),
        seed,
        journal,
        results: Results::new(arguments.out.clone()),
        tally: Tally::default(),
        progress: Progress::new(wanted),
        in_work: HashMap::new(),
    };
    let over = run.all(plan, interrupted()).await;
    run.progress.end();
    let stopped = match &over {
        Ok(Over::Done) => None,
        Ok(Over::Stopped(why)) => Some(why.clone()),
        Err(error) => Some(format!("{error:#}")),
    };
    let about = About {
        from: from.title(),
        to: to.title(),
        model,
        wanted,
        tally: run.tally.clone(),
        seconds: began.elapsed().as_secs_f64(),
        stopped: stopped.clone(),
    };
    report::write(&arguments.reports, &about, &run.journal)?;
    let place = match arguments.jsonl {
        Some(_) => run.results.write_list(&run.journal, arguments.shard)?,
        None => arguments.out.clone(),
    };
    over?;
    println!("{}", sentence(&about, &place));
    Ok(ExitCode::from(match (stopped, about.tally.short) {
        (Some(_), _) => STOPPED,
        (None, 0) => 0,
        (None, _) => SHORT,
    }))
}

/// The run in a line.
fn sentence(about: &About, place: &Path) -> String {
    let tally = &about.tally;
    let counts = match tally.all() {
        0 => "nothing to translate".to_owned(),
        all => format!("{all} units: {}", tally.counts()),
    };
    let old = match tally.old {
        0 => String::new(),
        old => format!(", {old} of them before"),
    };
    let stopped = about.stopped.as_ref();
    let stopped = stopped.map_or(String::new(), |why| format!("; stopped early: {why}"));
    format!(
        "{counts}{old}; {} tokens written in {:.1} s; see {}{stopped}",
        tally.written,
        about.seconds,
        place.display()
    )
}

fn sampling(arguments: &SamplingArgs) -> anyhow::Result<Sampling> {
    let SamplingArgs {
        samples,
        temperature,
        top_p,
        seed,
        ..
    } = *arguments;
    if !(0.0..=10.0).contains(&temperature) {
        bail!("--temperature {temperature} is not between 0 and 10");
    }
    if !(top_p > 0.0 && top_p <= 1.0) {
        bail!("--top-p {top_p} is not above 0 and at most 1");
    }
    if samples > 1 && temperature == 0.0 {
        bail!("--samples {samples} would all be the same; give a --temperature, such as 0.8");
    }
    Ok(Sampling {
        temperature,
        top_p,
        seed,
    })
}

fn checker(arguments: &CheckArgs) -> anyhow::Result<Checker> {
    if let Some(file) = arguments.file.as_deref().filter(|file| !is_inside(file)) {
        bail!(
            "--file {} is not a path inside the folder of a check",
            file.display()
        );
    }
    if let Some(project) = arguments
        .project
        .as_deref()
        .filter(|project| !project.is_dir())
    {
        bail!("--project {} is no folder", project.display());
    }
    for command in [&arguments.check, &arguments.test].into_iter().flatten() {
        check_there_is(command)?;
    }
    let has_commands = arguments.check.is_some() || arguments.test.is_some();
    if has_commands && !Sandbox::CUTS_NETWORK {
        eprintln!("infill: on this system --check and --test have the network that you have");
    }
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(Checker {
        check: arguments.check.clone(),
        test: arguments.test.clone(),
        project: arguments.project.clone(),
        file: arguments.file.clone(),
        limits: Limits {
            time: Duration::from_secs(arguments.time_limit),
            memory_bytes: arguments.memory_limit << 20,
            output_bytes: 64 << 10,
        },
        turns: Semaphore::new(arguments.jobs.unwrap_or(processors)),
        sandbox: Sandbox::of_this_program()?,
    })
}

/// Whether a shell knows the first word of a command: better said before a model is asked than of every unit.
fn check_there_is(command: &str) -> anyhow::Result<()> {
    let word = command.split_whitespace().next().unwrap_or_default();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.+".contains(c);
    if word.is_empty() || !word.chars().all(is_plain) {
        return Ok(());
    }
    let mut look = Command::new("sh");
    look.args(["-c", &format!("command -v {word}")])
        .stdout(Stdio::null());
    match look.status().context("cannot run a shell, sh")?.success() {
        true => Ok(()),
        false => bail!("`{command}` cannot be run: {word} is not installed"),
    }
}

fn is_inside(path: &Path) -> bool {
    let mut parts = path.components();
    parts.all(|part| matches!(part, std::path::Component::Normal(_)))
}

async fn writer(arguments: &TranslateArgs, [from, to]: [Language; 2]) -> anyhow::Result<Writer> {
    let writer = Writer::open(&arguments.model, &arguments.endpoint).await?;
    check_translates(&writer, from, to)?;
    Ok(writer)
}

/// Whether a writer's model can be asked for a translation.
///
/// # Errors
/// If it cannot, with what to do about it.
pub fn check_translates(writer: &Writer, from: Language, to: Language) -> anyhow::Result<()> {
    let trial = Translation {
        from,
        to,
        code: "",
        context: "",
        declaration: "",
        note: "",
        attempts: &[],
    };
    if let Err(error) = trial.request(writer.template()) {
        bail!(
            "{error}. Choose a model that does with --model; `infill model pull codegeex4-all-9b` gets one"
        );
    }
    Ok(())
}

/// A hash of all that decides what becomes of any unit: answers of another model, or to another question, are others.
fn seed(arguments: &TranslateArgs, writer: &Writer) -> anyhow::Result<Sha256> {
    let CheckArgs {
        check,
        test,
        repair,
        project,
        file,
        time_limit,
        memory_limit,
        jobs: _,
    } = &arguments.checks;
    let SamplingArgs {
        samples,
        temperature,
        top_p,
        seed,
        max_tokens,
    } = &arguments.sampling;
    let project = project.as_deref().map(hash_of).transpose()?;
    let decides = (
        (TRANSLATION_VERSION, writer.id(), writer.template().name()),
        (check, test, repair, project, file, time_limit, memory_limit),
        (samples, temperature, top_p, seed, max_tokens),
    );
    Ok(Sha256::new_with_prefix(format!("{decides:?}")))
}

/// A hash of what is in a folder.
fn hash_of(folder: &Path) -> anyhow::Result<String> {
    let mut hash = Sha256::new();
    for entry in WalkDir::new(folder).sort_by_file_name() {
        let entry = entry.with_context(|| format!("cannot read {}", folder.display()))?;
        if entry.file_type().is_file() {
            let path = entry.path();
            let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            hash.update(path.to_string_lossy().as_bytes());
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        }
    }
    Ok(format!("{:x}", hash.finalize()))
}
