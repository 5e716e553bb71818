//! What came of an evaluation: a line for each pair and the matrix, for people, and the same as JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::eval::translate::languages::ROWS;
use crate::eval::translate::score::mean;

/// Failed solutions of the data's own that are told with their reasons.
const MOST_TOLD: usize = 20;

/// Something that was left out, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// A problem, or a pair.
    pub what: String,
    /// Why.
    pub reason: String,
}

/// All that came of it.
#[derive(Debug, Clone)]
pub struct Report {
    /// The model's name, if one was asked.
    pub model: Option<String>,
    /// Whose solutions were run.
    pub solutions: &'static str,
    /// Answers to each problem.
    pub samples: u32,
    /// Which pass@k to give.
    pub ks: Vec<u32>,
    /// Whether tests were run.
    pub ran: bool,
    /// What came of each pair.
    pub pairs: Vec<PairReport>,
    /// Pairs that could not be evaluated.
    pub left_out: Vec<LeftOut>,
}

/// What came of a pair.
#[derive(Debug, Clone)]
pub struct PairReport {
    /// The language of the sources.
    pub from: &'static str,
    /// The language translated into.
    pub to: &'static str,
    /// Problems known to be broken.
    pub broken: Vec<LeftOut>,
    /// Problems that cannot be run here.
    pub not_run: Vec<LeftOut>,
    problems: BTreeMap<u32, Counts>,
}

/// The answers to a problem.
#[derive(Debug, Clone, Default)]
struct Counts {
    id: String,
    answers: u32,
    parses: u32,
    passed: u32,
    complaint: String,
}

impl PairReport {
    /// A pair with no answers yet.
    pub fn new(from: &'static str, to: &'static str) -> PairReport {
        PairReport {
            from,
            to,
            broken: Vec::new(),
            not_run: Vec::new(),
            problems: BTreeMap::new(),
        }
    }

    /// An answer came.
    pub fn count(&mut self, number: u32, id: &str, parses: bool, passed: bool, complaint: &str) {
        let counts = self.problems.entry(number).or_default();
        counts.id = id.to_owned();
        counts.answers += 1;
        counts.parses += u32::from(parses);
        counts.passed += u32::from(passed);
        if !complaint.is_empty() {
            counts.complaint = complaint.to_owned();
        }
    }

    fn key(&self) -> String {
        format!("{}-{}", self.from, self.to)
    }

    fn pass_at(&self, k: u32) -> Option<f64> {
        let problems = self.problems.values();
        mean(k, problems.map(|counts| (counts.answers, counts.passed)))
    }

    /// The share of answers that the grammar reads.
    fn parses(&self) -> Option<f64> {
        let problems = self.problems.values();
        mean(1, problems.map(|counts| (counts.answers, counts.parses)))
    }

    /// The problems that some, or no, answer passes.
    fn which(&self, passed: bool) -> impl Iterator<Item = &Counts> {
        let problems = self.problems.values();
        problems.filter(move |counts| (counts.passed > 0) == passed)
    }
}

impl Report {
    /// As JSON.
    pub fn json(&self) -> Value {
        let mut pairs = Map::new();
        for pair in &self.pairs {
            let mut object = json!({
                "n": pair.problems.len(),
                "parses": pair.parses(),
                "broken": listed(&pair.broken),
                "not_run": listed(&pair.not_run),
            });
            if self.ran {
                for k in &self.ks {
                    object[format!("pass_at_{k}")] = json!(pair.pass_at(*k));
                }
                let ids = |passed| -> Vec<&str> {
                    pair.which(passed).map(|counts| &*counts.id).collect()
                };
                object["passed"] = json!(ids(true));
                object["failed"] = json!(ids(false));
            }
            pairs.insert(pair.key(), object);
        }
        json!({
            "model": self.model,
            "solutions": self.solutions,
            "samples": self.samples,
            "pairs": pairs,
            "left_out": listed(&self.left_out),
        })
    }

    /// As text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for pair in &self.pairs {
            self.pair(&mut text, pair);
        }
        for LeftOut { what, reason } in &self.left_out {
            let _ = writeln!(text, "{what}: skipped, {reason}");
        }
        if self.ran && self.pairs.len() > 1 {
            for k in &self.ks {
                self.matrix(&mut text, *k);
            }
        }
        text
    }

    // Writing to a string does not fail.
    fn pair(&self, text: &mut String, pair: &PairReport) {
        let _ = write!(text, "{}: {} problems", pair.key(), pair.problems.len());
        if self.ran {
            for k in &self.ks {
                let _ = write!(text, ", pass@{k} {}", percent(pair.pass_at(*k)));
            }
        }
        let _ = writeln!(text, "; {} parse", percent(pair.parses()));
        let counted = match self.solutions {
            "canonical" => "not counted, broken in the data",
            _ => "counted, though broken in the data",
        };
        for LeftOut { what, reason } in &pair.broken {
            let _ = writeln!(text, "  {what}: {counted}: {reason}");
        }
        for LeftOut { what, reason } in &pair.not_run {
            let _ = writeln!(text, "  {what}: not run, {reason}");
        }
        // Of a model, most fail; of these, each one is a fault of the data or of this machine.
        let wrong = match self.solutions {
            "canonical" => Some((false, "failed")),
            "shuffled" => Some((true, "passed with another problem's solution")),
            _ => None,
        };
        if let Some((passed, what)) = wrong {
            for counts in pair.which(passed).take(MOST_TOLD) {
                let line = counts.complaint.lines().next().unwrap_or_default();
                let _ = writeln!(text, "  {}: {what} {line}", counts.id);
            }
        }
    }

    fn matrix(&self, text: &mut String, k: u32) {
        let names = ROWS.iter().map(|row| row.name);
        let rows = names
            .clone()
            .filter(|name| self.pairs.iter().any(|pair| pair.from == *name));
        let columns: Vec<&str> = names
            .filter(|name| self.pairs.iter().any(|pair| pair.to == *name))
            .collect();
        let _ = write!(text, "\n{:10}", format!("pass@{k}"));
        for to in &columns {
            let _ = write!(text, "{to:>9}");
        }
        text.push('\n');
        for from in rows {
            let _ = write!(text, "{from:10}");
            for to in &columns {
                let mut pairs = self.pairs.iter();
                let pair = pairs.find(|pair| pair.from == from && pair.to == *to);
                let share = pair.and_then(|pair| pair.pass_at(k));
                let _ = write!(text, "{:>9}", percent(share));
            }
            text.push('\n');
        }
    }
}

fn listed(left_out: &[LeftOut]) -> Value {
    let objects = left_out.iter();
    let object = |LeftOut { what, reason }: &LeftOut| json!({"what": what, "reason": reason});
    objects.map(object).collect()
}

fn percent(share: Option<f64>) -> String {
    share.map_or("-".to_owned(), |share| format!("{:.1}%", share * 100.0))
}
