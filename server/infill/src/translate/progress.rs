//! What a run shows while it goes on: a moving line on a terminal, plain lines elsewhere.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::translate::journal::{Outcome, Status};
use crate::translate::tally::Tally;

/// How often a log gets a line.
const EVERY: Duration = Duration::from_secs(10);

/// Shows a run on standard error.
pub struct Progress {
    /// None if standard error is no terminal.
    bar: Option<ProgressBar>,
    wanted: Status,
    began: Instant,
    last: Instant,
}

impl Progress {
    /// A run whose units are to get so far.
    pub fn new(wanted: Status) -> Progress {
        let bar = ProgressBar::new_spinner();
        let bar = (!bar.is_hidden()).then_some(bar);
        if let Some(bar) = &bar {
            let style = ProgressStyle::with_template("{spinner} {elapsed} {msg}");
            // The template is a constant that indicatif knows how to read; its own style does otherwise.
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        Progress {
            bar,
            wanted,
            began: Instant::now(),
            last: Instant::now(),
        }
    }

    /// Something is over.
    pub fn over(&mut self, name: &str, outcome: &Outcome, tally: &Tally) {
        if outcome.status < self.wanted {
            let reason = outcome.reason.lines().next().unwrap_or_default();
            self.say(&format!("{name}: {}: {reason}", outcome.status.name()));
        }
        let line = || {
            let seconds = self.began.elapsed().as_secs_f64().max(0.001);
            let speed = tally.written as f64 / seconds;
            format!("{}; {speed:.0} tokens/s", tally.counts())
        };
        if let Some(bar) = &self.bar {
            bar.set_message(line());
        } else if self.last.elapsed() >= EVERY {
            eprintln!("infill: {}", line());
            self.last = Instant::now();
        }
    }

    /// A line that stays.
    pub fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None => eprintln!("infill: {line}"),
        }
    }

    /// Takes the moving line away.
    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
