//! What a run has done so far, in numbers, and whether that is enough.

use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;

use crate::translate::journal::{Outcome, Status};

/// Numbers of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Tally {
    /// Units whose tests passed.
    pub passed: u64,
    /// Units that compile, and got no further.
    pub compiles: u64,
    /// Units that parse, and got no further.
    pub parses: u64,
    /// Units without a translation.
    pub failed: u64,
    /// What no model was asked about.
    pub skipped: u64,
    /// Those of all that an earlier run, or another one, had done.
    pub old: u64,
    /// Those of all that got less far than was asked for; what was skipped is not among them.
    pub short: u64,
    /// Tokens that the model read for this run.
    pub read: u64,
    /// Tokens that it wrote.
    pub written: u64,
    /// How often it was asked.
    pub attempts: u64,
}

impl Tally {
    /// Adds an outcome; `wanted` is how far a unit is to get.
    pub fn add(&mut self, outcome: &Outcome, is_old: bool, wanted: Status) {
        *self.count_mut(outcome.status) += 1;
        self.short += u64::from(outcome.status < wanted && outcome.status != Status::Skipped);
        if is_old {
            self.old += 1;
            return;
        }
        self.read += outcome.read;
        self.written += outcome.written;
        self.attempts += u64::from(outcome.attempts);
    }

    /// How many got so far and no further.
    pub fn count(&self, status: Status) -> u64 {
        match status {
            Status::Passed => self.passed,
            Status::Compiles => self.compiles,
            Status::Parses => self.parses,
            Status::Failed => self.failed,
            Status::Skipped => self.skipped,
        }
    }

    fn count_mut(&mut self, status: Status) -> &mut u64 {
        match status {
            Status::Passed => &mut self.passed,
            Status::Compiles => &mut self.compiles,
            Status::Parses => &mut self.parses,
            Status::Failed => &mut self.failed,
            Status::Skipped => &mut self.skipped,
        }
    }

    /// All that was met.
    pub fn all(&self) -> u64 {
        Status::ALL.iter().map(|&status| self.count(status)).sum()
    }

    /// The counts in words, those that are not 0.
    pub fn counts(&self) -> String {
        let counts = Status::ALL
            .iter()
            .map(|&status| (status, self.count(status)));
        let counts: Vec<String> = counts
            .filter(|(_, count)| *count > 0)
            .map(|(status, count)| format!("{count} {}", status.name()))
            .collect();
        counts.join(", ")
    }
}

/// When to stop before all is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    /// After so many tokens, read and written.
    Tokens(u64),
    /// After so long.
    Time(Duration),
    /// After so many units that got less far than was asked for.
    Failures(u64),
}

impl FromStr for Budget {
    type Err = String;

    fn from_str(text: &str) -> Result<Budget, String> {
        let expected = || "expected tokens=N, minutes=N or failures=N".to_owned();
        let (kind, number) = text.split_once('=').ok_or_else(expected)?;
        let whole = || match number.replace('_', "").parse::<u64>() {
            Ok(0) | Err(_) => Err(format!("`{number}` is no number from 1")),
            Ok(number) => Ok(number),
        };
        match kind {
            "tokens" => whole().map(Budget::Tokens),
            "failures" => whole().map(Budget::Failures),
            "minutes" => match number.parse::<f64>() {
                Ok(minutes) if minutes > 0.0 && minutes < 1e6 => {
                    Ok(Budget::Time(Duration::from_secs_f64(minutes * 60.0)))
                }
                _ => Err(format!("`{number}` is no number of minutes above 0")),
            },
            _ => Err(expected()),
        }
    }
}

impl Budget {
    /// Why nothing more is begun, if the budget is used up. Time is watched elsewhere.
    pub fn over(self, tally: &Tally) -> Option<String> {
        match self {
            Budget::Tokens(most) if tally.read + tally.written >= most => {
                Some(format!("the budget of {most} tokens is used up"))
            }
            Budget::Failures(most) if tally.short >= most => {
                Some(format!("the budget of {most} failures is used up"))
            }
            Budget::Tokens(_) | Budget::Failures(_) | Budget::Time(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_numbers_with_a_kind() {
        assert_eq!("tokens=1_000".parse(), Ok(Budget::Tokens(1000)));
        assert_eq!(
            "minutes=1.5".parse(),
            Ok(Budget::Time(Duration::from_secs(90)))
        );
        assert_eq!("failures=3".parse(), Ok(Budget::Failures(3)));
        for wrong in [
            "",
            "5",
            "tokens",
            "tokens=0",
            "tokens=-1",
            "minutes=0",
            "minutes=nan",
            "money=1",
        ] {
            assert!(wrong.parse::<Budget>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_old_costs_nothing() {
        let mut tally = Tally::default();
        let outcome = Outcome {
            written: 10,
            ..Outcome::without_a_model(Status::Parses, String::new())
        };
        tally.add(&outcome, true, Status::Passed);
        tally.add(&outcome, false, Status::Passed);
        assert_eq!((tally.written, tally.old, tally.short), (10, 1, 2));
        assert_eq!(tally.counts(), "2 parses");
        assert!(
            Budget::Tokens(10).over(&tally).is_some() && Budget::Tokens(11).over(&tally).is_none()
        );
    }
}
