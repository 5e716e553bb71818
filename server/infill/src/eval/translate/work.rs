//! The evaluation: each problem of each pair asked, answered, cut and run, many at a time.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use indicatif::{ProgressBar, ProgressStyle};
use prompt::{Request, Translation};
use serde_json::json;
use text::Snapshot;
use tokio::task::JoinSet;

use crate::eval::translate::assemble::{self, Answer};
use crate::eval::translate::judge::Judge;
use crate::eval::translate::kit::Kit;
use crate::eval::translate::languages::Row;
use crate::eval::translate::problems::{BROKEN, Problem};
use crate::eval::translate::report::{LeftOut, PairReport};
use crate::translate::answer;
use crate::writer::{Failure, Order, Writer};

/// How often a log gets a line.
const EVERY: Duration = Duration::from_secs(10);

/// Where answers come from.
pub enum Source {
    /// A model.
    Model(Asking),
    /// The data's own solutions.
    Canonical,
    /// The data's own solutions, each put to another problem.
    Shuffled,
}

/// How a model is asked.
pub struct Asking {
    /// Who writes.
    pub writer: Writer,
    /// How answers are drawn.
    pub sampling: engine::Sampling,
    /// Most tokens of an answer.
    pub max_tokens: usize,
}

impl Source {
    /// Whose solutions these are, for the results.
    pub fn name(&self) -> &'static str {
        match self {
            Source::Model(_) => "model",
            Source::Canonical => "canonical",
            Source::Shuffled => "shuffled",
        }
    }
}

/// All that is needed to evaluate.
pub struct Work {
    /// Where answers come from.
    pub source: Source,
    /// Who runs programs; without one none is run.
    pub judge: Option<Judge>,
    /// What each target's programs are run with.
    pub kits: HashMap<&'static str, Kit>,
    /// The problems of each language.
    pub data: HashMap<&'static str, BTreeMap<u32, Problem>>,
    /// How many problems of each pair count; all if not said.
    pub limit: Option<usize>,
    /// How many answers to each.
    pub samples: u32,
}

/// A problem's answer to come.
#[derive(Debug, Clone, Copy)]
struct Task {
    from: &'static Row,
    to: &'static Row,
    number: u32,
    sample: u32,
}

/// What became of an answer.
#[derive(Debug, Clone, Default)]
struct Outcome {
    /// The code, without tests.
    code: String,
    parses: bool,
    /// Empty if it passes, or was not run.
    complaint: String,
}

/// Evaluates these pairs. The data's own solutions are run once for each target, whatever they are translated from.
///
/// # Errors
/// If nothing can be written or run any more.
pub async fn all(
    work: Arc<Work>,
    pairs: &[(&'static Row, &'static Row)],
    at_once: usize,
    out: Option<&Path>,
) -> anyhow::Result<Vec<PairReport>> {
    let mut reports = Vec::new();
    let mut tasks = Vec::new();
    let mut taken: Vec<&str> = Vec::new();
    let asks = matches!(work.source, Source::Model(_));
    for &(from, to) in pairs {
        let (numbers, report) = work.plan(from, to)?;
        reports.push(report);
        if !asks && taken.contains(&to.name) {
            continue;
        }
        taken.push(to.name);
        for number in numbers {
            let samples = 0..work.samples;
            tasks.extend(samples.map(|sample| Task {
                from,
                to,
                number,
                sample,
            }));
        }
    }
    let mut rows = match out {
        None => None,
        Some(path) => {
            let file = File::create(path);
            let file = file.with_context(|| format!("cannot write {}", path.display()))?;
            Some((path, BufWriter::new(file)))
        }
    };
    let mut progress = Progress::new(tasks.len());
    let mut tasks = tasks.into_iter();
    let mut running: JoinSet<anyhow::Result<(Task, Outcome)>> = JoinSet::new();
    loop {
        for task in tasks.by_ref().take(at_once - running.len()) {
            let work = Arc::clone(&work);
            running.spawn(async move { Ok((task, work.outcome(task).await?)) });
        }
        let Some(done) = running.join_next().await else {
            break;
        };
        let (task, outcome) = done??;
        let id = &work.data[task.to.name][&task.number].task_id;
        if let Some((path, rows)) = &mut rows {
            let pair = format!("{}-{}", task.from.name, task.to.name);
            let row = json!({
                "pair": pair, "task_id": id, "sample": task.sample, "parses": outcome.parses,
                "passed": work.judge.as_ref().map(|_| outcome.complaint.is_empty()),
                "complaint": outcome.complaint, "code": outcome.code,
            });
            let written = writeln!(rows, "{row}").and_then(|()| rows.flush());
            written.with_context(|| format!("cannot write {}", path.display()))?;
        }
        for report in &mut reports {
            let is_its = report.to == task.to.name && (!asks || report.from == task.from.name);
            if is_its {
                let passed = work.judge.is_some() && outcome.complaint.is_empty();
                report.count(task.number, id, outcome.parses, passed, &outcome.complaint);
            }
        }
        progress.one();
    }
    progress.end();
    Ok(reports)
}

impl Work {
    /// The problems of a pair that are run or asked, and its report without them.
    fn plan(&self, from: &'static Row, to: &'static Row) -> anyhow::Result<(Vec<u32>, PairReport)> {
        let [sources, targets] = [from, to].map(|row| &self.data[row.name]);
        let mut report = PairReport::new(from.name, to.name);
        let shared = targets
            .iter()
            .filter(|(number, _)| sources.contains_key(number));
        let mut numbers = Vec::new();
        for (&number, problem) in shared.take(self.limit.unwrap_or(usize::MAX)) {
            let task = problem.task_id.clone();
            if let Some(reason) = self.kits.get(to.name).and_then(|kit| kit.lacks(problem)) {
                report.not_run.push(LeftOut { what: task, reason });
                continue;
            }
            if let Some(broken) = problem.broken(BROKEN) {
                let reason = broken.reason.to_owned();
                report.broken.push(LeftOut { what: task, reason });
                // The paper counts these; what its own solutions are worth is asked of the others.
                if matches!(self.source, Source::Canonical) {
                    continue;
                }
            }
            numbers.push(number);
        }
        if numbers.is_empty() && report.not_run.is_empty() && report.broken.is_empty() {
            bail!(
                "{} and {} have no problem of the same number",
                from.name,
                to.name
            );
        }
        Ok((numbers, report))
    }

    async fn outcome(&self, task: Task) -> anyhow::Result<Outcome> {
        let problem = &self.data[task.to.name][&task.number];
        let answer = match &self.source {
            Source::Canonical => Ok(Answer::Rest(problem.canonical_solution.clone())),
            Source::Shuffled => Ok(Answer::Rest(self.other(task)?.canonical_solution.clone())),
            Source::Model(asking) => self.ask(asking, task, problem).await?,
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(complaint) => {
                return Ok(Outcome {
                    complaint,
                    ..Outcome::default()
                });
            }
        };
        let code = assemble::code(task.to, problem, &answer);
        let syntax = Snapshot::new(&code, task.to.language()).syntax(&mut || false);
        let parses = syntax.is_some_and(|syntax| syntax.first_error().is_none());
        let mut complaint = None;
        if let (Some(judge), Some(kit)) = (&self.judge, self.kits.get(task.to.name)) {
            let program = assemble::program(task.to, problem, &code);
            complaint = judge.complaint(task.to, kit, &program).await?;
        }
        Ok(Outcome {
            code,
            parses,
            complaint: complaint.unwrap_or_default(),
        })
    }

    /// Another problem of the target, with another solution.
    fn other(&self, task: Task) -> anyhow::Result<&Problem> {
        let problems = &self.data[task.to.name];
        let own = &problems[&task.number].canonical_solution;
        let behind = problems.range(task.number + 1..);
        let mut others = behind.chain(problems.range(..task.number));
        let other = others.find(|(_, problem)| problem.canonical_solution != *own);
        let (_, other) = other.with_context(|| {
            format!(
                "--shuffled takes two problems, and {} has one",
                task.to.name
            )
        })?;
        Ok(other)
    }

    /// A model's answer, or why there is none.
    async fn ask(
        &self,
        asking: &Asking,
        task: Task,
        problem: &Problem,
    ) -> anyhow::Result<Result<Answer, String>> {
        let source = &self.data[task.from.name][&task.number];
        let code = source_code(source);
        let translation = Translation {
            from: task.from.language(),
            to: task.to.language(),
            code: &code,
            context: "",
            declaration: &problem.declaration,
            note: "",
            attempts: &[],
        };
        let request = translation.request(asking.writer.template())?;
        let order = Order {
            request: request.clone(),
            sampling: engine::Sampling {
                seed: asking.sampling.seed.wrapping_add(task.sample.into()),
                ..asking.sampling
            },
            max_tokens: asking.max_tokens,
        };
        let written = match asking.writer.write(&order).await {
            Ok(written) => written,
            Err(Failure::Refused(why)) => return Ok(Err(why)),
            Err(Failure::Unavailable(why)) => return Err(anyhow!(why)),
        };
        // What was given already is put above the answer later.
        let bare = Translation {
            declaration: "",
            ..translation
        };
        let code = answer::code(&bare, &request, &written.text, written.is_whole).text;
        Ok(Ok(match request {
            Request::Text(_) => Answer::Rest(assemble::cut(task.to.end, &code)),
            Request::Chat(_) => Answer::Whole(code),
        }))
    }
}

/// What is translated: a problem's declaration and its solution, as the paper joins them.
pub fn source_code(problem: &Problem) -> String {
    let solution = problem.canonical_solution.trim_end();
    format!("{}\n{solution}\n", problem.declaration)
}

/// A moving line on a terminal, plain lines elsewhere.
struct Progress {
    /// None if standard error is no terminal.
    bar: Option<ProgressBar>,
    done: usize,
    all: usize,
    last: Instant,
}

impl Progress {
    fn new(all: usize) -> Progress {
        let bar = ProgressBar::new(all as u64);
        let bar = (!bar.is_hidden()).then_some(bar);
        if let Some(bar) = &bar {
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed}, {eta} left");
            // The template is a constant that indicatif knows how to read; its own style does otherwise.
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        }
        Progress {
            bar,
            done: 0,
            all,
            last: Instant::now(),
        }
    }

    fn one(&mut self) {
        self.done += 1;
        if let Some(bar) = &self.bar {
            bar.inc(1);
        } else if self.last.elapsed() >= EVERY {
            eprintln!("infill: {} of {}", self.done, self.all);
            self.last = Instant::now();
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
