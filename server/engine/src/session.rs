//! One job from its prompt to its answer: prefill, then a token at a time.
//!
//! Takes the model, a job and a KV cache to fill, gives the answer. Between steps it hands control back through
//! `between`, so that the thread can look at its inbox; which job runs is not decided here.

use crate::{Advance, Answer, Ended, Flow, Job, Watch, queue::Cancel, sample::greedy};
use glm::{Chunk, KvCache, Model, Part, Want, Workspace};
use std::time::{Duration, Instant};

/// Runs a job to its end. `between` is called before every step.
pub(crate) fn run(
    model: &Model,
    kv: &mut KvCache,
    job: &Job,
    watch: &mut dyn Watch,
    cancel: &Cancel,
    queued: Duration,
    mut between: impl FnMut(),
) -> Answer {
    let mut answer = Answer::empty(Ended::Length, queued);
    let began = Instant::now();
    let mut work = model.workspace();
    let prompt = Chunk {
        ids: &job.ids,
        positions: [&job.positions[0], &job.positions[1]],
        prefix: job.part_a,
    };
    let prefilled = if job.max_tokens == 0 {
        Err(Ended::Length)
    } else {
        forward(model, kv, &mut work, &prompt, cancel)
    };
    answer.prefill = began.elapsed();
    answer.ended = match prefilled {
        Err(ended) => ended,
        Ok(()) => {
            answer.prefilled = job.ids.len();
            let began = Instant::now();
            let ended = decode(
                model,
                kv,
                job,
                watch,
                cancel,
                &mut work,
                &mut answer,
                &mut between,
            );
            answer.decode = began.elapsed();
            ended
        }
    };
    answer
}

#[expect(
    clippy::too_many_arguments,
    reason = "the parts of one job, borrowed from their owner one by one"
)]
fn decode(
    model: &Model,
    kv: &mut KvCache,
    job: &Job,
    watch: &mut dyn Watch,
    cancel: &Cancel,
    work: &mut Workspace,
    answer: &mut Answer,
    between: &mut impl FnMut(),
) -> Ended {
    let last = job
        .positions
        .each_ref()
        .map(|row| row.last().copied().unwrap_or(0));
    let context = model.config().context;
    loop {
        let logits = work.logits(0);
        let Some(id) = greedy(logits.row(0)) else {
            return Ended::Failed(
                "the model gave no finite number; its weights are damaged".to_owned(),
            );
        };
        answer.decoded += 1;
        answer.logprob += (logits.log_probability(0, id) - answer.logprob) / answer.decoded as f32;
        if job.stops.contains(&id) {
            return Ended::Stop;
        }
        answer.ids.push(id);
        if watch.token(id) == Flow::Enough {
            return Ended::Watch;
        }
        // A context holds far fewer tokens than a `u32` counts.
        let [row_0, row_1] = job.advance.after(last, answer.ids.len() as u32);
        let is_past_the_end = match job.advance {
            Advance::Place => row_0 as usize >= context,
            // The table of places within an answer has a row for 0, which no answer uses.
            Advance::Span => row_1 as usize > context,
            Advance::Still => job.ids.len() + answer.ids.len() > context,
        };
        if answer.ids.len() >= job.max_tokens || is_past_the_end {
            return Ended::Length;
        }
        between();
        let step = Chunk {
            ids: &[id],
            positions: [&[row_0], &[row_1]],
            prefix: job.part_a,
        };
        if let Err(ended) = forward(model, kv, work, &step, cancel) {
            return ended;
        }
    }
}

fn forward(
    model: &Model,
    kv: &mut KvCache,
    work: &mut Workspace,
    chunk: &Chunk,
    cancel: &Cancel,
) -> Result<(), Ended> {
    let part = Part {
        chunk: *chunk,
        kv,
        want: Want::Last,
    };
    match model.forward(&mut [part], work, &mut || cancel.is_cancelled()) {
        Ok(()) => Ok(()),
        Err(glm::Error::Halted) if cancel.is_superseded() => Err(Ended::Superseded),
        Err(glm::Error::Halted) => Err(Ended::Cancelled),
        Err(error) => Err(Ended::Failed(error.to_string())),
    }
}
