//! One unit's way: asked for, judged, and sent back with what was wrong, until it is good or the rounds are over.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, anyhow};
use prompt::{Attempt, Translation};
use tokio::task::JoinSet;

use crate::translate::answer::{self, Code};
use crate::translate::check::{Checker, Verdict};
use crate::translate::journal::{Outcome, Status};
use crate::translate::unit::Unit;
use crate::writer::{Failure, Order, Writer};

/// How units are translated.
pub struct Way {
    /// Who writes.
    pub writer: Arc<Writer>,
    /// Who judges.
    pub checker: Checker,
    /// How many first attempts a unit gets, side by side; the best one goes on.
    pub samples: u32,
    /// How they are drawn.
    pub sampling: engine::Sampling,
    /// How often the best attempt may be sent back.
    pub repairs: u32,
    /// Most tokens of an answer.
    pub max_tokens: usize,
}

/// A translation with its verdict.
struct Tried {
    code: String,
    verdict: Verdict,
}

impl Way {
    /// Translates a unit.
    ///
    /// # Errors
    /// If nothing can be written or checked any more; other units will not fare better.
    pub async fn translate(&self, unit: &Unit) -> anyhow::Result<Outcome> {
        let began = Instant::now();
        let mut outcome = Outcome::without_a_model(Status::Failed, String::new());
        let tried = self.tries(unit, &mut outcome).await;
        outcome.seconds = began.elapsed().as_secs_f64();
        match tried? {
            Ok(best) => {
                outcome.status = best.verdict.status;
                outcome.reason = best.verdict.complaint;
                outcome.text = best.code;
            }
            Err(refused) => outcome.reason = refused,
        }
        Ok(outcome)
    }

    /// The best of all attempts, or why the model does not write at all.
    async fn tries(
        &self,
        unit: &Unit,
        outcome: &mut Outcome,
    ) -> anyhow::Result<Result<Tried, String>> {
        let mut attempts: Vec<Attempt> = Vec::new();
        let mut best: Option<Tried> = None;
        for round in 0..=self.repairs {
            let count = if round == 0 { self.samples } else { 1 };
            let answers = match self.ask(unit, &attempts, round, count, outcome).await? {
                Ok(answers) => answers,
                // What was too long to be repaired may still be of use.
                Err(refused) => return Ok(best.ok_or(refused)),
            };
            let mut last = None;
            for code in answers {
                let verdict = self.judge(unit, &code).await?;
                let code = code.text;
                let is_better = |than: &Tried| verdict.status > than.verdict.status;
                if last.as_ref().is_none_or(is_better) {
                    last = Some(Tried { code, verdict });
                }
                if last.as_ref().is_some_and(|tried| self.is_good(tried)) {
                    break;
                }
            }
            let last = last.context("at least one attempt is made")?;
            attempts.push(Attempt {
                code: last.code.clone(),
                complaint: last.verdict.complaint.clone(),
            });
            // Of equals the later one, which knows what was wrong with the earlier.
            if best
                .as_ref()
                .is_none_or(|best| last.verdict.status >= best.verdict.status)
            {
                best = Some(last);
            }
            if best.as_ref().is_some_and(|best| self.is_good(best)) {
                break;
            }
        }
        best.map(Ok).context("at least one attempt is made")
    }

    async fn judge(&self, unit: &Unit, code: &Code) -> anyhow::Result<Verdict> {
        let verdict = self.checker.judge(unit, &code.text).await?;
        // Half of a translation may be read by a grammar, too.
        Ok(match code.is_cut_off && verdict.status < Status::Compiles {
            true => Verdict {
                status: Status::Failed,
                complaint: "It is not finished: the answer became too long and was cut off."
                    .to_owned(),
            },
            false => verdict,
        })
    }

    fn is_good(&self, tried: &Tried) -> bool {
        tried.verdict.status >= self.checker.best()
    }

    /// So many answers to the same question, or why there is none.
    async fn ask(
        &self,
        unit: &Unit,
        attempts: &[Attempt],
        round: u32,
        count: u32,
        outcome: &mut Outcome,
    ) -> anyhow::Result<Result<Vec<Code>, String>> {
        let translation = Translation {
            from: unit.from,
            to: unit.to,
            code: &unit.code,
            context: &unit.context,
            declaration: &unit.declaration,
            note: "",
            attempts,
        };
        let request = translation.request(self.writer.template())?;
        let mut writing = JoinSet::new();
        for sample in 0..count {
            let writer = Arc::clone(&self.writer);
            // Each attempt of a unit draws otherwise.
            let number = u64::from(round) * u64::from(self.samples) + u64::from(sample);
            let seed = self.sampling.seed.wrapping_add(number);
            let order = Order {
                request: request.clone(),
                sampling: engine::Sampling {
                    seed,
                    ..self.sampling
                },
                max_tokens: self.max_tokens,
            };
            writing.spawn(async move { (sample, writer.write(&order).await) });
        }
        let mut answers: Vec<_> = writing.join_all().await;
        answers.sort_by_key(|(sample, _)| *sample);
        let mut codes = Vec::new();
        for (_, written) in answers {
            match written {
                Ok(written) => {
                    outcome.attempts += 1;
                    outcome.read += written.read as u64;
                    outcome.written += written.written as u64;
                    let (text, is_whole) = (&written.text, written.is_whole);
                    codes.push(answer::code(&translation, &request, text, is_whole));
                }
                Err(Failure::Refused(why)) => return Ok(Err(why)),
                Err(Failure::Unavailable(why)) => return Err(anyhow!(why)),
            }
        }
        Ok(Ok(codes))
    }
}
