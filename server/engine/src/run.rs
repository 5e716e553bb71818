//! One job on its way from prompt to answer.
//!
//! Takes a ticket and a session, tells what to run next, takes the tokens or the logits of it. First the tokens that the
//! session holds already are replayed, then what is missing of the prompt is run, a chunk at a time, then token after
//! token, with drafts where the text seems to repeat itself. When it gets its turn, and beside whom, is the thread's
//! business.

use crate::{
    Allowed, Answer, Ended, Flow, Job, Recall,
    job::Rank,
    queue::{Cancel, Ticket},
    sample::Choice,
    session::{self, Session, places},
    speculate::{self, Drafter},
};
use glm::{Chunk, Draw, KvCache, Model, Part, Prefix, Want, Workspace};
use std::time::{Duration, Instant};

/// Tokens of a prompt that another sequence must have run beyond what a job's own session has, so that they are copied:
/// copying a token costs about a hundredth of running it, and all those before it are copied, too.
const WORTH_COPYING: usize = 16;

/// Most rows of a pass that has drafts in it: past that the products with the matrices cost more for each row.
pub(crate) const DRAFT_ROWS: usize = speculate::LONGEST + 1;

/// A job in work.
pub(crate) struct Run {
    ticket: Ticket,
    session: Session,
    /// The job's Part A, as the model reads it.
    prefix: Prefix,
    /// The model's context.
    context: usize,
    /// Tokens of a prompt run in one pass, so that what was run is kept when the job ends early. Part A of a prefix model
    /// has to be run as a whole, but for its far zone.
    chunk: usize,
    /// Tokens of the prompt that the session began with.
    known: usize,
    /// Whether the session holds this job's tokens and no others.
    is_laid: bool,
    /// What is to be run next: tokens of the session, then the draft.
    rows: Rows,
    /// How many of `rows` are no draft.
    fed: usize,
    drafter: Drafter,
    draft: Vec<u32>,
    /// Whether any token may come next, for all that its watch says.
    is_free: bool,
    /// How the model is to choose each token that this pass may give; none if its logits are wanted.
    draws: Vec<Draw>,
    /// The logits with what is recalled mixed in.
    mixed: Vec<f32>,
    answer: Answer,
    ended: Option<Ended>,
}

/// Tokens with their positions.
#[derive(Default)]
struct Rows {
    ids: Vec<u32>,
    positions: [Vec<u32>; 2],
}

/// What a pass is for, while it runs.
pub(crate) struct Flight<'a> {
    cancel: &'a Cancel,
    ids: &'a [u32],
    positions: [&'a [u32]; 2],
    prefix: Prefix,
    /// Tokens that another job must share so that the pass serves it, too.
    shared: usize,
}

impl Flight<'_> {
    /// Whether the pass is no longer wanted.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// Whether at least half of the pass would have to be run for this job, too.
    pub(crate) fn serves(&self, job: &Job, prefix: Prefix) -> bool {
        let run = (self.ids, self.positions);
        session::common(self.prefix, run, job, prefix) >= self.shared
    }
}

impl Run {
    /// A job in a session that begins with `known` tokens of its prompt, which is not empty.
    pub(crate) fn new(
        ticket: Ticket,
        session: Session,
        known: usize,
        prefix: Prefix,
        model: &Model,
    ) -> Run {
        Run {
            answer: Answer::empty(Ended::Length, ticket.submitted.elapsed()),
            ticket,
            session,
            prefix,
            context: model.config().context,
            chunk: model.chunk(),
            known,
            is_laid: false,
            rows: Rows::default(),
            fed: 0,
            drafter: Drafter::default(),
            draft: Vec::new(),
            is_free: false,
            draws: Vec::new(),
            mixed: Vec::new(),
            ended: None,
        }
    }

    /// The order of arrival.
    pub(crate) fn number(&self) -> u64 {
        self.ticket.number
    }

    /// How urgent it is.
    pub(crate) fn rank(&self) -> Rank {
        self.ticket.job.class.rank()
    }

    /// The hand that cancels it.
    pub(crate) fn cancel(&self) -> &Cancel {
        &self.ticket.cancel
    }

    /// Bytes of its session.
    pub(crate) fn bytes(&self) -> usize {
        self.session.bytes()
    }

    /// Forgets what was run for it, but none of its tokens; it goes on in this empty cache.
    pub(crate) fn forget(&mut self, kv: KvCache) {
        self.session.kv = kv;
    }

    /// Whether there is nothing more to do.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// The model could not run it.
    pub(crate) fn fail(&mut self, why: String) {
        self.ended = Some(Ended::Failed(why));
    }

    /// Its parts, with the answer as it is now. A failed run's session is not to be trusted.
    pub(crate) fn end(mut self) -> (Ticket, Session, Answer) {
        self.answer.ended = self
            .ended
            .or(self.ticket.cancel.reason())
            .unwrap_or(Ended::Cancelled);
        (self.ticket, self.session, self.answer)
    }

    /// Whether nothing was chosen yet, and another job would have to run most of what was run.
    pub(crate) fn is_begun_for(&self, job: &Job, prefix: Prefix) -> bool {
        let run = self.session.kv.len();
        let shared = self.session.common(job, prefix).min(run);
        self.answer.ids.is_empty() && shared > 0 && 2 * shared >= run
    }

    /// Gives away the session of a job that has heard no token yet, and how many tokens of its prompt it ran. When it
    /// begins anew, it finds them as any other job would.
    pub(crate) fn leave(self) -> (Ticket, Session, usize) {
        (self.ticket, self.session, self.answer.prefilled)
    }

    /// Gives the watch the tokens that an earlier job chose and that this one would choose.
    pub(crate) fn replay(&mut self) {
        let began = Instant::now();
        let prompt = self.ticket.job.ids.len();
        if self.known == prompt {
            self.answer.reused = prompt;
        }
        if self.ticket.job.max_tokens == 0 {
            self.ended = (self.known == prompt).then_some(Ended::Length);
            return;
        }
        let allowed = self.ticket.watch.allowed();
        self.is_free = allowed == Allowed::Any;
        if allowed.is_none() {
            self.ended = Some(Ended::Stuck);
        }
        while self.known == prompt && self.ended.is_none() {
            let count = self.answer.ids.len();
            let places = places(&self.ticket.job, count + 1);
            let Some(choice) = self.session.choice(prompt + count, places) else {
                break;
            };
            let draw = self.ticket.job.sampling.draw(count);
            let recalled = self.ticket.job.recall.as_ref().map_or(0, Recall::print);
            if !choice.stands(self.ticket.watch.allowed(), draw, recalled) {
                break;
            }
            let (id, logprobs) = (choice.id, [choice.logprob, choice.runner_up]);
            self.answer.replayed += 1;
            self.hear(id, logprobs);
        }
        self.answer.decode += began.elapsed();
    }

    /// Whether nothing was run for it so far.
    pub(crate) fn is_fresh(&self) -> bool {
        !self.is_laid
    }

    /// How many tokens of its prompt a session has run, if they are enough more than its own to be copied.
    pub(crate) fn lendable(&self, session: &Session) -> Option<usize> {
        let own = self.known.min(self.session.kv.len());
        let common = session.common(&self.ticket.job, self.prefix);
        let count = self.prefix.settled(common.min(session.kv.len()));
        (count >= own + WORTH_COPYING).then_some(count)
    }

    /// Its session.
    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    /// Begins with that many tokens of a session that is [`Run::lendable`].
    pub(crate) fn borrow(&mut self, session: &Session, count: usize) {
        self.session.copy(session, count);
        self.known = count;
    }

    /// Whether all that is left to run before the next choice is one token.
    pub(crate) fn is_decoding(&self) -> bool {
        let whole = self.ticket.job.ids.len() + self.answer.ids.len();
        let run = self.session.kv.len();
        match self.is_laid {
            true => run + 1 == whole,
            // The last token has to be run again if it was, since its logits are not kept.
            false => self.known + 1 >= whole && run + 1 >= whole && whole > self.prefix.length,
        }
    }

    /// Makes out what to run next. What is more than one row comes out of `spare`.
    pub(crate) fn plan(&mut self, spare: &mut usize) {
        self.lay();
        let start = self.session.kv.len();
        let whole = self.session.len();
        let mut end = whole;
        if whole - start > self.chunk {
            end = start + self.chunk;
            if end > self.prefix.far {
                end = end.max(self.prefix.length);
            }
            // A small rest is not worth a pass of its own.
            if whole.saturating_sub(end) <= self.chunk / 4 {
                end = whole;
            }
        }
        self.fed = end - start;
        self.rows.take(&self.session, start, end);
        self.draft.clear();
        *spare = spare.saturating_sub(self.fed - 1);
        if end == whole && self.ticket.job.max_tokens > 0 {
            self.speculate(spare);
        }
    }

    /// Adds a draft to the rows.
    fn speculate(&mut self, spare: &mut usize) {
        let job = &self.ticket.job;
        let count = self.answer.ids.len();
        // The last token of an answer is never run.
        let most = (job.max_tokens - count - 1).min(*spare);
        let (drafter, draft) = (&mut self.drafter, &mut self.draft);
        drafter.draft(self.session.ids(), &job.drafts, most, draft);
        let fits = |index: usize| {
            let (count, id) = (count + 1 + index, draft[index]);
            let length = job.ids.len() + count;
            let places = places(job, count);
            let is_past = session::is_past_the_end(job.advance, places, length, self.context);
            (!is_past && !job.stops.contains(&id)).then_some((id, places))
        };
        let rows: Vec<_> = (0..draft.len()).map_while(fits).collect();
        draft.truncate(rows.len());
        *spare -= rows.len();
        for (id, places) in rows {
            self.rows.push(id, places);
        }
    }

    /// Leaves in the session what this job needs, and puts the rest of its prompt there.
    fn lay(&mut self) {
        if std::mem::replace(&mut self.is_laid, true) {
            return;
        }
        let job = &self.ticket.job;
        let whole = job.ids.len() + self.answer.ids.len();
        let kept = match self.known < job.ids.len() {
            true => self.known,
            false => whole,
        };
        self.session.cut(kept, whole - 1);
        self.answer.reused = self.session.kv.len().min(job.ids.len());
        if kept < job.ids.len() {
            self.session.extend(job, self.prefix);
        }
    }

    /// The pass for what was planned.
    pub(crate) fn part(&mut self) -> (Part<'_>, Flight<'_>) {
        let prefix = self.prefix;
        let job = &self.ticket.job;
        self.draws.clear();
        if job.recall.is_none() && self.is_free {
            let count = self.answer.ids.len();
            let places = count..=count + self.draft.len();
            self.draws.extend(places.map(|at| job.sampling.draw(at)));
        }
        let (kv, ids, positions) = self.session.split();
        let start = kv.len();
        let end = start + self.fed;
        let flight = Flight {
            cancel: &self.ticket.cancel,
            ids: &ids[..end],
            positions: positions.map(|row| &row[..end]),
            prefix,
            shared: start + self.fed.div_ceil(2),
        };
        let want = if end < ids.len() || job.max_tokens == 0 {
            Want::None
        } else if !self.draws.is_empty() {
            Want::Choices(&self.draws)
        } else if self.draft.is_empty() {
            Want::Last
        } else {
            Want::All
        };
        let chunk = Chunk {
            ids: &self.rows.ids,
            positions: self.rows.positions.each_ref().map(Vec::as_slice),
            prefix,
        };
        (Part { chunk, kv, want }, flight)
    }

    /// Takes what the pass gave, of which it was the `part`th part. True if a token was chosen from it.
    pub(crate) fn take(&mut self, work: &Workspace, part: usize, took: Duration) -> bool {
        let prompt = self.ticket.job.ids.len();
        let whole = self.session.len();
        let drafted = self.draft.len();
        // Tokens run, without the draft.
        let run = self.session.kv.len() - drafted;
        let start = run - self.fed;
        self.answer.prefilled += run.min(prompt) - start.min(prompt);
        match start < prompt {
            true => self.answer.prefill += took,
            false => self.answer.decode += took,
        }
        let is_over = run == whole && self.ticket.job.max_tokens == 0;
        if run < whole || is_over || self.cancel().is_cancelled() {
            self.session.kv.truncate(run);
            self.ended = is_over.then_some(Ended::Length);
            return false;
        }
        let began = Instant::now();
        let agreed = self.choose(work, part);
        let mut kept = run + agreed;
        if self.ended.is_none() {
            // The last token is run next, again if its row was of no use.
            kept = kept.min(self.session.len() - 1);
        }
        self.session.kv.truncate(kept);
        if drafted > 0 {
            self.answer.drafted += drafted;
            self.answer.accepted += agreed;
            self.drafter.learn(agreed);
        }
        self.answer.decode += began.elapsed();
        true
    }

    /// Chooses a token from the row of the last token that is no draft, and one from each row after it, as long as they
    /// are those of the draft. Gives how many were.
    fn choose(&mut self, work: &Workspace, part: usize) -> usize {
        let is_chosen = !self.draws.is_empty();
        for agreed in 0.. {
            if is_chosen && agreed > 0 && !self.is_free {
                // The model chose from all tokens, and its logits were not asked for.
                return agreed;
            }
            let count = self.answer.ids.len();
            let draw = self.ticket.job.sampling.draw(count);
            let choice = match is_chosen {
                true => work.choice(part, agreed).map(|it| Choice::of(it, draw)),
                false => self.choose_here(work, part, agreed, draw),
            };
            let Some(choice) = choice else {
                self.fail("the model gave no finite number; its weights are damaged".to_owned());
                return agreed;
            };
            let (id, logprobs) = (choice.id, [choice.logprob, choice.runner_up]);
            self.session
                .push(choice, places(&self.ticket.job, count + 1));
            self.answer.decoded += 1;
            self.hear(id, logprobs);
            let is_as_drafted = self.draft.get(agreed) == Some(&id);
            if !is_as_drafted || self.ended.is_some() {
                return agreed + usize::from(is_as_drafted);
            }
        }
        unreachable!("a draft ends")
    }

    /// Chooses a token from the logits of that row, counted from the one of the last token that is no draft.
    fn choose_here(
        &mut self,
        work: &Workspace,
        part: usize,
        row: usize,
        draw: Draw,
    ) -> Option<Choice> {
        let logits = work.logits(part);
        let first = logits.rows - 1 - self.draft.len();
        let row = logits.row(first + row);
        let allowed = self.ticket.watch.allowed();
        let Some(recall) = &self.ticket.job.recall else {
            return Choice::make(row, allowed, draw, 0);
        };
        self.mixed.clear();
        self.mixed.extend_from_slice(row);
        recall.blend(&self.answer.ids, &mut self.mixed);
        Choice::make(&self.mixed, allowed, draw, recall.print())
    }

    /// The next token of the answer has come; the log-probabilities are its own and that of the best other one.
    fn hear(&mut self, id: u32, [logprob, runner_up]: [f32; 2]) {
        let Ticket { job, watch, .. } = &mut self.ticket;
        let answer = &mut self.answer;
        answer.logprobs.push(logprob);
        answer.runners_up.push(runner_up);
        if job.stops.contains(&id) {
            self.ended = Some(Ended::Stop);
            return;
        }
        answer.ids.push(id);
        let count = answer.ids.len();
        let length = job.ids.len() + count;
        let is_last = count >= job.max_tokens
            || session::is_past_the_end(job.advance, places(job, count), length, self.context);
        self.ended = if watch.token(id) == Flow::Enough {
            Some(Ended::Watch)
        } else if is_last {
            Some(Ended::Length)
        } else {
            let allowed = watch.allowed();
            self.is_free = allowed == Allowed::Any;
            allowed.is_none().then_some(Ended::Stuck)
        };
    }
}

impl Rows {
    /// The tokens from `start` to `end` of a session.
    fn take(&mut self, session: &Session, start: usize, end: usize) {
        self.ids.clear();
        self.ids.extend_from_slice(&session.ids()[start..end]);
        for (row, all) in self.positions.iter_mut().zip(session.positions()) {
            row.clear();
            row.extend_from_slice(&all[start..end]);
        }
    }

    fn push(&mut self, id: u32, [row_0, row_1]: [u32; 2]) {
        self.ids.push(id);
        self.positions[0].push(row_0);
        self.positions[1].push(row_1);
    }
}

/// Why a job cannot be run at all.
pub(crate) fn fault(job: &Job) -> Option<String> {
    let count = job.ids.len();
    let rows = job.positions.each_ref().map(Vec::len);
    if count == 0 {
        return Some("cannot run the model: the prompt has no tokens".to_owned());
    }
    (rows != [count; 2]).then(|| {
        let [row_0, row_1] = rows;
        format!("cannot run the model: {count} tokens came with {row_0} and {row_1} positions")
    })
}
