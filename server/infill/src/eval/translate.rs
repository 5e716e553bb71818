//! `infill eval translate`: HumanEval-X, translation as the CodeGeeX paper measures it.
//!
//! [`problems`] reads the data; each problem's declaration and solution in one language and its declaration in another
//! make a request; [`assemble`] cuts the answer by the paper's rules and puts a program together, [`judge`] runs it with
//! what [`kit`] has found, [`score`] counts. What differs between languages is in [`languages`].

pub mod assemble;
pub mod judge;
pub mod kit;
pub mod languages;
pub mod problems;
pub mod report;
pub mod score;
pub mod work;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Args;
use engine::Sampling;

use crate::eval::translate::judge::JudgeArgs;
use crate::eval::translate::kit::{Kit, missing_tool};
use crate::eval::translate::languages::{ROWS, Row};
use crate::eval::translate::problems::Problem;
use crate::eval::translate::report::{LeftOut, Report};
use crate::eval::translate::work::{Asking, Source, Work};
use crate::flags::{ModelArgs, from_one};
use crate::translate::check_translates;
use crate::writer::Writer;
use crate::writer::endpoint::EndpointArgs;

/// Arguments of `infill eval translate`.
#[derive(Debug, Args)]
pub struct EvalTranslateArgs {
    /// The folder of HumanEval-X: LANGUAGE.jsonl.gz or LANGUAGE.jsonl for python, cpp, java, js, go, rust
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Languages to translate from, or all that the folder has
    #[arg(long, value_name = "LANGUAGE", required = true, value_delimiter = ',')]
    pub from: Vec<String>,
    /// Languages to translate into, or all that the folder has
    #[arg(long, value_name = "LANGUAGE", required = true, value_delimiter = ',')]
    pub to: Vec<String>,
    /// Only the first N problems of each pair
    #[arg(long, value_name = "N", value_parser = from_one)]
    pub limit: Option<usize>,
    /// Run the tests; without it, answers are written and cut, and those that parse are counted
    #[arg(long)]
    pub run: bool,
    /// Run the data's own solutions instead of a model's: all must pass
    #[arg(long)]
    pub canonical: bool,
    /// Run each problem with another one's solution: none must pass
    #[arg(long, requires = "canonical")]
    pub shuffled: bool,
    /// Which pass@k to give
    #[arg(long, value_name = "K", default_value = "1", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub k: Vec<u32>,
    /// Answers to each problem; by default as many as the largest k
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub samples: Option<u32>,
    /// How far to stray from the likeliest token; by default 0 for one answer and 0.8 for several
    #[arg(long, value_name = "T")]
    pub temperature: Option<f32>,
    /// Draw from the likeliest tokens that have so much probability together
    #[arg(long, value_name = "P", default_value_t = 0.95)]
    pub top_p: f32,
    /// Another number, other answers
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
    /// Most tokens of an answer
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = from_one)]
    pub max_tokens: usize,
    /// Answers in work at once
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = from_one)]
    pub at_once: usize,
    /// What programs may take
    #[command(flatten)]
    pub judge: JudgeArgs,
    /// A file that each answer is written to with what became of it, a JSON object a line
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Print JSON: `pairs` has for each pair, such as python-rust, `n` and `pass_at_1`
    #[arg(long)]
    pub json: bool,
    /// Which model to use
    #[command(flatten)]
    pub model: ModelArgs,
    /// Or which server
    #[command(flatten)]
    pub endpoint: EndpointArgs,
}

/// Evaluates, and prints what came of it.
///
/// # Errors
/// If the arguments do not fit, the data cannot be read, the model cannot be opened or does not translate, or programs
/// cannot be run.
pub fn run(arguments: &EvalTranslateArgs) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start")?;
    let report = runtime.block_on(evaluate(arguments));
    // What a thread still waits for, such as a server's answer, is of no use any more.
    runtime.shutdown_background();
    let report = report?;
    match arguments.json {
        true => println!("{:#}", report.json()),
        false => print!("{}", report.text()),
    }
    Ok(())
}

/// A source and a target.
type Pair = (&'static Row, &'static Row);

async fn evaluate(arguments: &EvalTranslateArgs) -> anyhow::Result<Report> {
    let runs = arguments.run || arguments.canonical;
    let (samples, sampling) = sampling(arguments)?;
    let mut pairs = pairs(arguments)?;
    let data = data(arguments, &pairs)?;
    let mut left_out = Vec::new();
    let mut kits = HashMap::new();
    if runs {
        pairs.retain(|(from, to)| match missing_tool(to) {
            None => true,
            Some(tool) => {
                left_out.push(LeftOut {
                    what: format!("{}-{}", from.name, to.name),
                    reason: format!("{tool} is not installed"),
                });
                false
            }
        });
        for (_, to) in &pairs {
            if !kits.contains_key(to.name) {
                kits.insert(to.name, Kit::get(to, &data[to.name])?);
            }
        }
    }
    let source = match (arguments.canonical, pairs.is_empty()) {
        (true, _) if arguments.shuffled => Source::Shuffled,
        (true, _) | (false, true) => Source::Canonical,
        (false, false) => Source::Model(Asking {
            writer: writer(arguments, &pairs).await?,
            sampling,
            max_tokens: arguments.max_tokens,
        }),
    };
    let judge = arguments.judge.judge()?;
    let mut report = Report {
        model: match &source {
            Source::Model(asking) => Some(asking.writer.name().to_owned()),
            Source::Canonical | Source::Shuffled => None,
        },
        solutions: source.name(),
        samples,
        ks: arguments.k.clone(),
        ran: runs,
        pairs: Vec::new(),
        left_out,
    };
    let at_once = match &source {
        Source::Model(_) => arguments.at_once,
        Source::Canonical | Source::Shuffled => 2 * arguments.judge.jobs(),
    };
    let work = Arc::new(Work {
        source,
        judge: runs.then_some(judge),
        kits,
        data,
        limit: arguments.limit,
        samples,
    });
    let results = work::all(work, &pairs, at_once, arguments.out.as_deref()).await?;
    report.pairs = results;
    Ok(report)
}

/// How many answers, and how they are drawn.
fn sampling(arguments: &EvalTranslateArgs) -> anyhow::Result<(u32, Sampling)> {
    // The list is never empty: clap wants a value.
    let largest = arguments.k.iter().copied().max().unwrap_or(1);
    let samples = match arguments.samples {
        _ if arguments.canonical && largest > 1 => {
            bail!("there is one solution of the data's own to each problem; leave --k out")
        }
        _ if arguments.canonical => 1,
        Some(samples) if samples < largest => {
            bail!("pass@{largest} takes {largest} answers; --samples {samples} are fewer")
        }
        Some(samples) => samples,
        None => largest,
    };
    let usual = if samples > 1 { 0.8 } else { 0.0 };
    let temperature = arguments.temperature.unwrap_or(usual);
    let top_p = arguments.top_p;
    if !(0.0..=10.0).contains(&temperature) {
        bail!("--temperature {temperature} is not between 0 and 10");
    }
    if !(top_p > 0.0 && top_p <= 1.0) {
        bail!("--top-p {top_p} is not above 0 and at most 1");
    }
    if samples > 1 && temperature == 0.0 {
        bail!("{samples} answers would all be the same; give a --temperature, such as 0.8");
    }
    let seed = arguments.seed;
    Ok((
        samples,
        Sampling {
            temperature,
            top_p,
            seed,
        },
    ))
}

fn pairs(arguments: &EvalTranslateArgs) -> anyhow::Result<Vec<Pair>> {
    if !arguments.data.is_dir() {
        bail!("--data {} is no folder", arguments.data.display());
    }
    let rows = |names: &[String]| -> anyhow::Result<Vec<&'static Row>> {
        let mut rows: Vec<&'static Row> = Vec::new();
        for name in names {
            let named = match name.as_str() {
                "all" => ROWS
                    .iter()
                    .filter(|row| problems::file(&arguments.data, row).is_some())
                    .collect(),
                name => vec![Row::named(name)?],
            };
            for row in named {
                if !rows.iter().any(|known| known.name == row.name) {
                    rows.push(row);
                }
            }
        }
        Ok(rows)
    };
    let (from, to) = (rows(&arguments.from)?, rows(&arguments.to)?);
    let targets = |from| to.iter().map(move |to| (from, *to));
    let mut pairs: Vec<Pair> = from.iter().flat_map(|from| targets(*from)).collect();
    pairs.retain(|(from, to)| from.name != to.name);
    if pairs.is_empty() {
        bail!("--from and --to leave no pair of two languages");
    }
    Ok(pairs)
}

type Data = HashMap<&'static str, BTreeMap<u32, Problem>>;

fn data(arguments: &EvalTranslateArgs, pairs: &[Pair]) -> anyhow::Result<Data> {
    let mut data = Data::new();
    for row in pairs.iter().flat_map(|(from, to)| [from, to]) {
        if !data.contains_key(row.name) {
            data.insert(row.name, problems::read(&arguments.data, row)?);
        }
    }
    Ok(data)
}

async fn writer(arguments: &EvalTranslateArgs, pairs: &[Pair]) -> anyhow::Result<Writer> {
    let writer = Writer::open(&arguments.model, &arguments.endpoint).await?;
    for (from, to) in pairs {
        check_translates(&writer, from.language(), to.language())?;
    }
    Ok(writer)
}
