//! The run: units of the plan in, outcomes into journal and results, many at a time.
//!
//! One task holds journal, results and numbers, so that they need no lock. A thread of its own reads the plan, only a
//! little ahead of what is in work. Units that another process has in work wait until it is over or gives up.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use sha2::Sha256;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::translate::attempt::Way;
use crate::translate::journal::{Claim, Journal, Label, Outcome, Status, Turn};
use crate::translate::plan::{Left, Planned};
use crate::translate::progress::Progress;
use crate::translate::results::Results;
use crate::translate::tally::{Budget, Tally};
use crate::translate::unit::{Key, Place, Unit, shown};

/// How many units are read ahead.
const AHEAD: usize = 16;

/// How often units that are in work elsewhere are looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(300);

/// Why a run is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Over {
    /// Nothing is left to do.
    Done,
    /// A budget is used up, or somebody stopped it; the reason.
    Stopped(String),
}

/// A run.
pub struct Run {
    /// How units are translated.
    pub way: Arc<Way>,
    /// How many are in work at once.
    pub at_once: usize,
    /// When to stop early.
    pub budgets: Vec<Budget>,
    /// A hash of all that decides what becomes of any unit.
    pub seed: Sha256,
    /// What became of the units.
    pub journal: Journal,
    /// Where their translations go.
    pub results: Results,
    /// The numbers.
    pub tally: Tally,
    /// What is shown.
    pub progress: Progress,
    /// What is in work.
    pub in_work: HashMap<Key, Label>,
}

/// A unit that is this process's to do.
struct InWork {
    unit: Box<Unit>,
    key: Key,
    claim: Claim,
    outcome: anyhow::Result<Outcome>,
}

impl Run {
    /// Does all of the plan, as far as budgets and `stop` allow: `stop` ends with the reason when somebody wants the run
    /// to end.
    ///
    /// # Errors
    /// If nothing can be written or checked any more, or the folder of results cannot be used. What was done till then
    /// is in the journal.
    pub async fn all(
        &mut self,
        plan: impl Iterator<Item = Planned> + Send + 'static,
        stop: impl Future<Output = String>,
    ) -> anyhow::Result<Over> {
        let mut planned = read_ahead(plan)?;
        let mut running: JoinSet<InWork> = JoinSet::new();
        let mut elsewhere: VecDeque<(Box<Unit>, Key)> = VecDeque::new();
        let mut is_planned = true;
        let deadline = self.deadline();
        tokio::pin!(stop);
        loop {
            if let Some(why) = self
                .budgets
                .iter()
                .find_map(|budget| budget.over(&self.tally))
            {
                while let Some(in_work) = running.join_next().await {
                    self.finish(in_work?)?;
                }
                self.leave(&mut planned, elsewhere, &why).await?;
                return Ok(Over::Stopped(why));
            }
            if !is_planned && running.is_empty() && elsewhere.is_empty() {
                return Ok(Over::Done);
            }
            let has_room = running.len() < self.at_once;
            tokio::select! {
                biased;
                why = &mut stop => {
                    drop(running);
                    self.leave_in_work(&why)?;
                    return Ok(Over::Stopped(why));
                }
                () = until(deadline) => {
                    drop(running);
                    let why = "the budget of time is used up".to_owned();
                    self.leave(&mut planned, elsewhere, &why).await?;
                    return Ok(Over::Stopped(why));
                }
                Some(in_work) = running.join_next() => self.finish(in_work?)?,
                next = planned.recv(), if is_planned && has_room => match next {
                    None => is_planned = false,
                    Some(Planned::Left(left)) => self.left(left)?,
                    Some(Planned::Unit(unit)) => {
                        let key = unit.key(&self.seed);
                        elsewhere.extend(self.begin(unit, key, &mut running)?);
                    }
                },
                () = sleep(LOOK_AGAIN), if has_room && !elsewhere.is_empty() => {
                    for (unit, key) in std::mem::take(&mut elsewhere) {
                        elsewhere.extend(self.begin(unit, key, &mut running)?);
                    }
                }
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let times = self.budgets.iter().filter_map(|budget| match budget {
            Budget::Time(time) => Some(*time),
            Budget::Tokens(_) | Budget::Failures(_) => None,
        });
        times.min().map(|time| Instant::now() + time)
    }

    /// Takes a unit into work, unless it is done; gives it back if another process has it.
    fn begin(
        &mut self,
        unit: Box<Unit>,
        key: Key,
        running: &mut JoinSet<InWork>,
    ) -> anyhow::Result<Option<(Box<Unit>, Key)>> {
        match self.journal.turn(key)? {
            Turn::Elsewhere => Ok(Some((unit, key))),
            Turn::Done(outcome) => self.again(&unit, key, &outcome).map(|()| None),
            Turn::Ours(claim) => {
                self.in_work.insert(key, label(&unit));
                let way = Arc::clone(&self.way);
                running.spawn(async move {
                    let outcome = way.translate(&unit).await;
                    InWork {
                        unit,
                        key,
                        claim,
                        outcome,
                    }
                });
                Ok(None)
            }
        }
    }

    fn finish(&mut self, in_work: InWork) -> anyhow::Result<()> {
        let InWork {
            unit,
            key,
            claim,
            outcome,
        } = in_work;
        let label = label(&unit);
        self.in_work.remove(&key);
        let outcome = outcome?;
        self.journal.done(key, &label, &outcome, claim)?;
        self.results
            .take(&unit, key, &outcome, false, &self.journal)?;
        self.count(&label.name, &outcome, false);
        Ok(())
    }

    /// A unit was met that was done before.
    fn again(&mut self, unit: &Unit, key: Key, outcome: &Outcome) -> anyhow::Result<()> {
        let label = label(unit);
        self.journal.again(key, &label)?;
        self.results.take(unit, key, outcome, true, &self.journal)?;
        self.count(&label.name, outcome, true);
        Ok(())
    }

    /// Something was met that is no unit.
    fn left(&mut self, left: Left) -> anyhow::Result<()> {
        let status = match left.is_wrong {
            true => Status::Failed,
            false => Status::Skipped,
        };
        let outcome = Outcome::without_a_model(status, left.reason);
        let label = Label {
            name: left.name,
            file: None,
            lines: None,
        };
        self.journal.left(&label, &outcome)?;
        self.count(&label.name, &outcome, false);
        Ok(())
    }

    /// Takes down what is not begun any more, for the reports.
    async fn leave(
        &mut self,
        planned: &mut mpsc::Receiver<Planned>,
        elsewhere: VecDeque<(Box<Unit>, Key)>,
        why: &str,
    ) -> anyhow::Result<()> {
        self.leave_in_work(why)?;
        for (unit, key) in elsewhere {
            self.pass_over(&unit, key, why)?;
        }
        while let Some(next) = planned.recv().await {
            match next {
                Planned::Left(left) => self.left(left)?,
                Planned::Unit(unit) => self.pass_over(&unit, unit.key(&self.seed), why)?,
            }
        }
        Ok(())
    }

    /// Takes down what is in work and will not be over.
    fn leave_in_work(&mut self, why: &str) -> anyhow::Result<()> {
        let outcome = Outcome::without_a_model(Status::Skipped, why.to_owned());
        for (_, label) in std::mem::take(&mut self.in_work) {
            self.journal.left(&label, &outcome)?;
            self.tally.add(&outcome, false, self.way.checker.best());
        }
        Ok(())
    }

    fn pass_over(&mut self, unit: &Unit, key: Key, why: &str) -> anyhow::Result<()> {
        if let Some(outcome) = self.journal.outcome(key)? {
            return self.again(unit, key, &outcome);
        }
        let outcome = Outcome::without_a_model(Status::Skipped, why.to_owned());
        self.journal.left(&label(unit), &outcome)?;
        self.tally.add(&outcome, false, self.way.checker.best());
        Ok(())
    }

    fn count(&mut self, name: &str, outcome: &Outcome, is_old: bool) {
        self.tally.add(outcome, is_old, self.way.checker.best());
        self.progress.over(name, outcome, &self.tally);
    }
}

/// The plan through a channel, read by a thread that ends with it: a list may be slow to come.
fn read_ahead(
    plan: impl Iterator<Item = Planned> + Send + 'static,
) -> anyhow::Result<mpsc::Receiver<Planned>> {
    let (give, planned) = mpsc::channel(AHEAD);
    let read = move || {
        for next in plan {
            if give.blocking_send(next).is_err() {
                return;
            }
        }
    };
    let thread = std::thread::Builder::new().name("plan".to_owned());
    thread.spawn(read).context("cannot start a thread")?;
    Ok(planned)
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn label(unit: &Unit) -> Label {
    let file = unit.place.source().map(|source| shown(&source.path));
    let lines = match &unit.place {
        Place::Part { lines, .. } => Some([lines.start + 1, lines.end]),
        Place::File(_) | Place::Line(_) => None,
    };
    Label {
        name: unit.name.clone(),
        file,
        lines,
    }
}
