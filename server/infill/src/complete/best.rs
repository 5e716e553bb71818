//! The best answer to a question: rows 8 to 11 of the path, for the likeliest answers in turn.
//!
//! Each token being the likeliest does not make a line the likeliest, and an answer may be nothing to show. So after
//! the first answer others are asked for, best first: each leaves an earlier one at the token where the likeliest line
//! may begin that was not heard yet. The engine has read the question and has the tokens up to there, so that a try
//! costs its own tokens only.

use std::mem;
use std::time::Duration;

use engine::Class;
use finish::Settled;
use prompt::{Situation, Until};
use tokio::time::{Instant, timeout_at};

use super::anchors::Standing;
use super::said::{Branch, Said};
use super::{Shown, Trip, Why};

/// Most answers that are asked for. More are hardly more often right: of the code of packages that the embedded model has
/// not seen it fills 15.2% of blanks exactly with four, 14.3% with one.
const TRIES: usize = 4;

/// How long somebody who types waits for a better answer than one that can be shown.
const PATIENCE: Duration = Duration::from_millis(50);

/// How long anybody else waits for it.
const PATIENCE_INVOKED: Duration = Duration::from_millis(500);

/// An answer and what came of it.
struct Tried {
    said: Said,
    settled: Result<Settled, finish::Why>,
    /// Whether it can be shown.
    shown: Result<(), Why>,
}

impl Tried {
    /// How likely it is, if it can be shown.
    fn merit(&self) -> f32 {
        match self.shown {
            Ok(_) => self.said.score,
            Err(_) => 0.0,
        }
    }

    /// Whether another answer may do better: its text is not gone.
    fn is_open(&self) -> bool {
        matches!(self.shown, Ok(()) | Err(Why::Answer(_)))
    }
}

impl Trip {
    /// Shows the likeliest answer that can be shown, and stores it.
    pub(super) async fn best(
        &self,
        standing: Standing,
        situation: Situation,
    ) -> Result<Shown, Why> {
        let until = situation.until;
        let mut best = self.hear(&standing, until, &[]).await?;
        let mut branches = mem::take(&mut best.said.branches);
        let mut end = None;
        for _ in 1..TRIES {
            let least = best.merit().max(self.least());
            // What is too unlikely to be shown is nothing to wait beside.
            if best.shown.is_ok() && best.merit() >= least {
                end = end.or_else(|| Some(Instant::now() + self.patience()));
            }
            let Some(branch) = best.is_open().then(|| next(&mut branches, least)).flatten() else {
                break;
            };
            let other = self.hear(&standing, until, &branch.avoid);
            let other = match end {
                Some(end) => timeout_at(end, other).await.unwrap_or(Err(Why::Cancelled)),
                None => other.await,
            };
            let Ok(mut other) = other else {
                break;
            };
            branches.append(&mut other.said.branches);
            if other.merit() > best.merit() {
                best = other;
            }
        }
        let Tried { said, settled, .. } = best;
        self.tell(&said.text, said.score);
        let prompt = &standing.asked.prompt.ids;
        let begun = &prompt[prompt.len() - standing.asked.head..];
        let written = [begun, &said.ids].concat();
        standing.placed.set_written(written.into());
        let kept = settled
            .clone()
            .map_or(String::new(), |settled| settled.text);
        self.on_pool(move |trip| {
            trip.store(&situation, kept, said.score);
            let settled = settled.map_err(Why::Answer)?;
            if trip.is_unsure(said.score) {
                return Err(Why::Unsure);
            }
            // Meanwhile the text may have changed once more.
            trip.fit(settled, until)
        })
        .await
    }

    /// Rows 8 to 11: the engine's turn, watched for the end of what was asked for; what of the answer is worth keeping;
    /// what of that fits the text as it is now.
    async fn hear(
        &self,
        standing: &Standing,
        until: Until,
        avoid: &[Vec<u32>],
    ) -> Result<Tried, Why> {
        let said = self.generate(standing, until, avoid).await?;
        self.on_pool(move |trip| {
            let settled = trip.settle(&said.text, until);
            let shown = match settled.clone() {
                Ok(settled) => trip.fit(settled, until).map(|_| ()),
                Err(why) => Err(Why::Answer(why)),
            };
            Ok(Tried {
                said,
                settled,
                shown,
            })
        })
        .await
    }

    fn patience(&self) -> Duration {
        match self.ask.class {
            Class::Keystroke => PATIENCE,
            Class::Invoked | Class::Ahead | Class::Batch => PATIENCE_INVOKED,
        }
    }

    /// How likely an answer must be for it to be shown.
    fn least(&self) -> f32 {
        match self.ask.class {
            Class::Keystroke => self.rooms.model.threshold.unwrap_or_default(),
            Class::Invoked | Class::Ahead | Class::Batch => 0.0,
        }
    }
}

/// Takes out the branch where the likeliest line may begin, if that may be likelier than this.
fn next(branches: &mut Vec<Branch>, least: f32) -> Option<Branch> {
    let all = branches.iter().enumerate();
    let (index, branch) = all.max_by(|(_, a), (_, b)| a.bound.total_cmp(&b.bound))?;
    (branch.bound > least).then(|| branches.swap_remove(index))
}
