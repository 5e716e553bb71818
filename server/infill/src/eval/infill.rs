//! `infill eval infill`: blanks in code whose content is known, in HumanEval-Infilling's form.
//!
//! Takes problems (code before a blank, code behind it, what stood there, tests), has an [`Editor`]
//! show what it would in the blank, and gives how near the answers are and, with `--run`, how many pass the tests in
//! the sandbox. What an editor would not show counts as an empty answer.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use futures_util::future::try_join_all;
use grammars::Language;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::eval::data;
use crate::eval::shown::{Answer, Blank, Editor};
use crate::eval::translate::judge::JudgeArgs;
use crate::eval::translate::kit::{Kit, missing_tool};
use crate::eval::translate::languages::Row;
use crate::flags::{ModelArgs, from_one};

/// The language of the problems.
const LANGUAGE: &str = "python";

/// Arguments of `infill eval infill`.
#[derive(Debug, Args)]
pub struct EvalInfillArgs {
    /// The problems, .jsonl or .jsonl.gz: an object a line with prompt, suffix, canonical_solution, test and entry_point
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    /// Only the first N problems
    #[arg(long, value_name = "N", value_parser = from_one)]
    pub limit: Option<usize>,
    /// Run the tests
    #[arg(long)]
    pub run: bool,
    /// Take the data's own solutions instead of a model's answers
    #[arg(long)]
    pub canonical: bool,
    /// What programs may take
    #[command(flatten)]
    pub judge: JudgeArgs,
    /// Print JSON: `n`, `exact_match`, `prefix_match`, `edit_similarity`, `shown_share` and `pass_at_1`
    #[arg(long)]
    pub json: bool,
    /// Which model to use
    #[command(flatten)]
    pub model: ModelArgs,
}

/// A problem. Other keys of its line are left alone.
#[derive(Debug, Clone, Deserialize)]
pub struct Problem {
    /// Its name.
    pub task_id: String,
    /// The code before the blank.
    pub prompt: String,
    /// The code behind it.
    pub suffix: String,
    /// What stood in the blank.
    pub canonical_solution: String,
    /// Code with a function `check` that fails unless the function given to it is right.
    pub test: String,
    /// The function that `check` is given.
    pub entry_point: String,
}

impl Problem {
    /// The same with whole lines as an editor has them: the line's end behind the cursor, not in the blank.
    fn into_typed(mut self) -> Problem {
        if !self.suffix.starts_with('\n') && self.canonical_solution.ends_with('\n') {
            self.canonical_solution.pop();
            self.suffix.insert(0, '\n');
        }
        self
    }

    /// The problem as an editor has it.
    fn blank(&self) -> anyhow::Result<Blank<'_>> {
        Ok(Blank {
            file: "problem.py",
            language: Language::named(LANGUAGE).context("the table of languages lacks Python")?,
            before: &self.prompt,
            after: &self.suffix,
            others: &[],
        })
    }

    /// The program that runs the tests of the code.
    fn program(&self, row: &Row, code: &str) -> String {
        let Problem {
            test, entry_point, ..
        } = self;
        format!("{code}\n{test}\ncheck({entry_point})\n{}", row.foot)
    }
}

/// What came of the answers, in sums.
#[derive(Debug, Default)]
struct Report {
    n: usize,
    exact: usize,
    prefix: usize,
    similarity: f64,
    shown: usize,
    passed: Option<usize>,
}

impl Report {
    fn count(&mut self, problem: &Problem, answer: &Answer) {
        let (got, want) = (&answer.text, &problem.canonical_solution);
        self.n += 1;
        self.exact += usize::from(got == want);
        self.prefix += usize::from(!got.is_empty() && want.starts_with(got.as_str()));
        self.similarity += strsim::normalized_levenshtein(got, want);
        self.shown += usize::from(answer.is_shown);
    }

    fn share(&self, count: f64) -> f64 {
        count / self.n.max(1) as f64
    }

    fn json(&self) -> Value {
        let share = |count: usize| self.share(count as f64);
        json!({
            "n": self.n,
            "exact_match": share(self.exact),
            "prefix_match": share(self.prefix),
            "edit_similarity": self.share(self.similarity),
            "shown_share": share(self.shown),
            "pass_at_1": self.passed.map(share),
        })
    }

    fn text(&self) -> String {
        let percent = |count: f64| format!("{:.1}%", 100.0 * self.share(count));
        let mut rows = vec![
            ("problems", self.n.to_string()),
            ("exactly what stood there", percent(self.exact as f64)),
            ("its beginning", percent(self.prefix as f64)),
            ("edit similarity", percent(self.similarity)),
            ("shown at all", percent(self.shown as f64)),
        ];
        if let Some(passed) = self.passed {
            rows.push(("pass@1", percent(passed as f64)));
        }
        let line = |(name, value): (&str, String)| format!("{name:<26}{value:>8}\n");
        rows.into_iter().map(line).collect()
    }
}

/// Evaluates, and prints what came of it.
///
/// # Errors
/// If the data or the model cannot be read, or programs cannot be run.
pub fn run(arguments: &EvalInfillArgs) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start")?;
    let report = runtime.block_on(evaluate(arguments))?;
    match arguments.json {
        true => println!("{:#}", report.json()),
        false => print!("{}", report.text()),
    }
    Ok(())
}

async fn evaluate(arguments: &EvalInfillArgs) -> anyhow::Result<Report> {
    let row = Row::named(LANGUAGE)?;
    if let Some(tool) = missing_tool(row).filter(|_| arguments.run) {
        bail!("{tool} is not installed, which --run needs");
    }
    let problems = data::read::<Problem>(&arguments.data)?;
    let problems: Vec<Problem> = problems
        .into_iter()
        .map(|(_, problem)| problem.into_typed())
        .take(arguments.limit.unwrap_or(usize::MAX))
        .collect();
    let mut answers = Vec::new();
    if arguments.canonical {
        answers.extend(problems.iter().map(own));
    } else {
        let editor = Editor::open(&arguments.model)?;
        for problem in &problems {
            let answer = editor.show(&problem.blank()?).await;
            answers.push(answer.with_context(|| problem.task_id.clone())?);
        }
    }
    let mut report = Report::default();
    for (problem, answer) in problems.iter().zip(&answers) {
        report.count(problem, answer);
    }
    if arguments.run {
        let judge = arguments.judge.judge()?;
        let (judge, kit) = (&judge, &Kit::default());
        let runs = problems
            .iter()
            .zip(&answers)
            .map(|(problem, answer)| async move {
                let program = problem.program(row, &answer.code);
                judge.complaint(row, kit, &program).await
            });
        let complaints = try_join_all(runs).await?;
        report.passed = Some(complaints.iter().filter(|why| why.is_none()).count());
    }
    Ok(report)
}

/// The data's own solution.
fn own(problem: &Problem) -> Answer {
    let Problem {
        prompt,
        suffix,
        canonical_solution,
        ..
    } = problem;
    Answer::known(canonical_solution, prompt, suffix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(prompt: &str, middle: &str, suffix: &str) -> Problem {
        Problem {
            task_id: "Test/0".to_owned(),
            prompt: prompt.to_owned(),
            suffix: suffix.to_owned(),
            canonical_solution: middle.to_owned(),
            test: String::new(),
            entry_point: "f".to_owned(),
        }
    }

    #[test]
    fn a_blank_of_whole_lines_keeps_the_last_ones_end_behind_the_cursor() {
        let lines = problem("def f():\n", "    return 1\n", "\nx = 2\n").into_typed();
        assert_eq!(lines.canonical_solution, "    return 1\n");
        let lines = problem("def f():\n", "    return 1\n", "x = 2\n").into_typed();
        assert_eq!(lines.canonical_solution, "    return 1");
        assert_eq!(own(&lines).code, "def f():\n    return 1\nx = 2\n");
        let part = problem("def f():\n    return ", "1", "\n").into_typed();
        assert_eq!(part.canonical_solution, "1");
    }

    #[test]
    fn answers_are_counted() {
        let problem = problem("x = ", "abcd", "\n");
        let mut report = Report::default();
        for text in ["abcd", "ab", "", "abxy"] {
            let answer = Answer::known(text, "", "");
            report.count(&problem, &answer);
        }
        let want = json!({
            "n": 4, "exact_match": 0.25, "prefix_match": 0.5, "edit_similarity": 0.5, "shown_share": 0.75,
            "pass_at_1": null,
        });
        assert_eq!(report.json(), want);
    }
}
