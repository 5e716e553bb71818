//! The path of a completion: rows 4 to 11 of the table in `server/ARCHITECTURE.md`.
//!
//! Takes a snapshot and a cursor, gives what to show there or why nothing, and a record of what it
//! took. This file and those of its folder are the ones that call several rooms; the rooms never call
//! one another sideways. What computes for more than a moment runs on the blocking pool, the model on
//! the engine's thread. Dropping the future cancels the job; what the job has computed stays with the
//! engine, so that the next question about the same place goes on from there.

mod ahead;
mod alike;
mod alternatives;
pub mod anchors;
mod best;
mod context;
mod encoded;
mod newest;
mod outcome;
mod reader;
mod recalled;
mod said;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use cache::{Hit, Tier};
use engine::{Cancel, Class, Ended, Job, Sampling, Watch};
use finish::{Settled, whole_lines};
use prompt::{Mask, Situation, Until};
use text::Snapshot;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tower_lsp::lsp_types::Url;

pub use crate::complete::ahead::{look_ahead, prepare, surroundings};
pub use crate::complete::alternatives::alternatives;
pub use crate::complete::outcome::{
    Exchange, LARGEST_DOCUMENT, LONGEST_LINE, Outcome, Record, Shown, Why,
};

use crate::complete::anchors::{Extent, Standing};
use crate::complete::context::Beside;
use crate::complete::newest::Now;
use crate::complete::reader::Reader;
use crate::complete::said::{Said, first_line, way};
use crate::documents::{Documents, View};
use crate::rooms::Rooms;

/// How long a keystroke may wait for a fresh syntax tree; past it the edited old one serves.
const PARSE_DEADLINE: Duration = Duration::from_millis(5);

/// How long a person who asked by hand may wait for it: a full parse of a long file.
const PARSE_DEADLINE_INVOKED: Duration = Duration::from_millis(250);

/// Tokens set aside for an answer within a line or statement, `sop` included.
const ANSWER_TOKENS: usize = 64;

/// Tokens set aside for an answer that may be a whole block.
const BLOCK_TOKENS: usize = 128;

/// Tokens of the small window that answers first where a full one has not been read.
const NEAR_TOKENS: usize = 256;

/// What is asked.
#[derive(Clone)]
pub struct Ask {
    /// The document.
    pub url: Url,
    /// Its text when it was asked.
    pub view: View,
    /// The cursor, in bytes.
    pub offset: usize,
    /// Who is waiting for the answer.
    pub class: Class,
    /// The text is not the document's but what it would be after an edit that the user has not
    /// made yet. The document then says nothing about how the text goes on.
    pub hypothetical: bool,
    /// Whether the answer may not go beyond the cursor's line.
    pub single_line: bool,
    /// How long to wait, if the answer is not stored, before the model is asked.
    pub delay: Duration,
}

/// Leads one question through the rooms. Rows are those of the table in `ARCHITECTURE.md`.
pub async fn complete(rooms: Arc<Rooms>, documents: Arc<Documents>, ask: Ask) -> Outcome {
    let started = Instant::now();
    let trip = Trip::new(rooms, documents, ask);
    let shown = trip.run().await;
    trip.took("total", started);
    let record = trip.record().clone();
    let exchange = trip.exchange().clone();
    Outcome {
        shown,
        record,
        exchange,
    }
}

/// A question on its way through the rooms, with what it has taken so far.
#[derive(Clone)]
struct Trip {
    rooms: Arc<Rooms>,
    documents: Arc<Documents>,
    ask: Arc<Ask>,
    record: Arc<Mutex<Record>>,
    exchange: Arc<Mutex<Exchange>>,
    beside: Arc<OnceLock<Arc<Beside>>>,
}

/// What the path goes on with once the cursor's situation is known.
enum Next {
    Stored(Hit),
    Ask,
}

impl Trip {
    fn new(rooms: Arc<Rooms>, documents: Arc<Documents>, ask: Ask) -> Trip {
        Trip {
            rooms,
            documents,
            ask: Arc::new(ask),
            record: Arc::default(),
            exchange: Arc::default(),
            beside: Arc::default(),
        }
    }

    async fn run(&self) -> Result<Shown, Why> {
        let (situation, next) = self
            .on_pool(|trip| {
                // Row 4: where is the cursor, and is a completion sensible there?
                let situation = trip.situate()?;
                // Row 7, before row 6 because a stored answer needs no prompt.
                let stored = trip.look_up(&situation);
                Ok((situation, stored.map_or(Next::Ask, Next::Stored)))
            })
            .await?;
        match next {
            Next::Stored(hit) if hit.text.is_empty() => Err(Why::Known),
            Next::Stored(Hit { text, score, .. }) => {
                self.tell(&text, score);
                if self.is_unsure(score) {
                    return Err(Why::Unsure);
                }
                // Row 11: what of it fits the text as it is now.
                let until = situation.until;
                self.on_pool(move |trip| trip.fit(Settled { text }, until))
                    .await
            }
            Next::Ask => {
                sleep(self.ask.delay).await;
                // Row 6: what the model reads, and what it has read of it before.
                let (situation, standing) = self
                    .on_pool(move |trip| {
                        let standing = trip.stand(&situation)?;
                        Ok((situation, standing))
                    })
                    .await?;
                // Rows 8 to 11, for the likeliest answers in turn.
                self.best(standing, situation).await
            }
        }
    }

    fn situate(&self) -> Result<Situation, Why> {
        let started = Instant::now();
        let Ask {
            url,
            view: View { snapshot, number },
            offset,
            class,
            hypothetical,
            ..
        } = &*self.ask;
        if snapshot.len() > LARGEST_DOCUMENT {
            return Err(Why::TooLarge);
        }
        if snapshot.line_range(snapshot.line_of(*offset)).len() > LONGEST_LINE {
            return Err(Why::LongLine);
        }
        let syntax = snapshot.syntax_near(*offset, &mut deadline(parse_deadline(*class)));
        self.took("parse", started);
        if let Some(tree) = snapshot.parsed().filter(|_| !hypothetical) {
            self.documents.adopt(url, *number, tree);
        }
        let situation = prompt::situate(snapshot, syntax.as_ref(), *offset);
        self.took("situate", started);
        let mut situation = situation.map_err(Why::Situation)?;
        if self.ask.single_line {
            situation.until = Until::Line;
        }
        self.record().mask = Some(mask_name(situation.mask).to_owned());
        Ok(situation)
    }

    /// Whether the answer is not worth showing to somebody who has not asked for it.
    fn is_unsure(&self, score: f32) -> bool {
        let threshold = self.rooms.model.threshold;
        self.ask.class == Class::Keystroke && threshold.is_some_and(|least| score < least)
    }

    fn look_up(&self, situation: &Situation) -> Option<Hit> {
        let started = Instant::now();
        let hit = self.with_context(situation, |context| self.rooms.store.get(context));
        // Typed along an answer, the model may have become sure of it.
        let hit = hit.filter(|hit| hit.tier == Tier::Exact || !self.is_unsure(hit.score));
        self.took("look_up", started);
        self.record().cache = match &hit {
            None => "miss",
            Some(Hit {
                tier: Tier::Exact, ..
            }) => "exact",
            Some(Hit {
                tier: Tier::Adopted,
                ..
            }) => "adopted",
        }
        .to_owned();
        hit
    }

    /// The anchored question that stands at the cursor, or a new one.
    fn stand(&self, situation: &Situation) -> Result<Standing, Why> {
        let started = Instant::now();
        let Ask { view, class, .. } = &*self.ask;
        let Rooms { anchors, vocab, .. } = &*self.rooms;
        // A full window takes a while to read; a small one answers in its stead until it is read.
        let near_first = *class == Class::Keystroke
            && self.room(situation.until) > 2 * NEAR_TOKENS
            && self.fills(2 * NEAR_TOKENS);
        let known = anchors
            .find(view, situation.offset, self.beside().key, vocab)
            .filter(|standing| !near_first || standing.answers_at_once());
        let was_known = known.is_some();
        let mut standing = match known {
            Some(standing) => standing,
            None => {
                let extent = if near_first {
                    Extent::Near
                } else {
                    Extent::Full
                };
                let placed = self.anchor(situation, extent)?;
                anchors.add(view.number, &placed);
                Standing::at(&placed, &view.snapshot, situation.offset, vocab)
                    .ok_or_else(|| Why::Failed("a new anchor does not fit its text".to_owned()))?
            }
        };
        self.took("build", started);
        standing.alike = self.alike(&standing.asked.open);
        let mut record = self.record();
        record.head_tokens = standing.asked.head;
        record.anchor = match (was_known, standing.placed.extent) {
            (true, Extent::Full) => "kept",
            (true, Extent::Near) => "kept near",
            (false, Extent::Full) => "new",
            (false, Extent::Near) => "new near",
        }
        .to_owned();
        drop(record);
        Ok(standing)
    }

    /// Whether the document has, as far as one can tell without encoding it, more than so many tokens.
    fn fills(&self, tokens: usize) -> bool {
        // Code has 2 to 5 bytes a token.
        self.ask.view.snapshot.len() > 4 * tokens
    }

    /// The model's answer, on another way than those of `avoid`; see [`Said::way`].
    async fn generate(
        &self,
        standing: &Standing,
        until: Until,
        avoid: &[Vec<u32>],
    ) -> Result<Said, Why> {
        let Ask {
            view,
            offset,
            class,
            ..
        } = &*self.ask;
        let Standing { placed, asked, .. } = standing;
        let prompt = &asked.prompt;
        // The model may just be reading this very question, which need not be read twice.
        placed.being_read().await;
        let question = question(&view.snapshot, *offset, until);
        let reader = Reader::new(&self.rooms.vocab, &question, &asked.open, avoid);
        // One of them may be `sop`, which is in the prompt; what was typed may be a token a byte.
        let max_tokens = answer_tokens(until) - 1 + asked.open.len();
        let begun = prompt.ids[prompt.ids.len() - asked.head..].to_vec();
        let recall = self.recall(standing, &begun, until);
        self.exchange().prompt = Some(prompt.ids.clone());
        let job = Job {
            ids: prompt.ids.clone(),
            positions: prompt.positions.clone(),
            advance: advance(prompt.advance),
            part_a: prompt.part_a,
            mask_at: prompt.mask_at,
            class: *class,
            stops: prompt.stops.clone(),
            max_tokens,
            sampling: Sampling::GREEDY,
            document: view.number,
            drafts: self.rooms.anchors.drafts(view.number),
            recall,
        };
        let (cancel, answer) = self.submit(job, Box::new(reader));
        let _cancel = CancelOnDrop(cancel);
        let answer = answer.await?;
        self.note_engine(&answer);
        let text = self.rooms.vocab.decode(&answer.ids);
        // An answer that was cut off before it has said what was typed says nothing.
        let text = text.strip_prefix(asked.open.as_str()).unwrap_or_default();
        let typed = asked.open.len();
        let vocab = &self.rooms.vocab;
        let (score, branches) = first_line(vocab, &answer, typed, avoid, &prompt.stops);
        self.tell(text, score);
        let said = |text: &str| Said {
            text: text.to_owned(),
            score,
            ids: answer.ids.clone(),
            way: way(vocab, &answer.ids, typed),
            branches,
        };
        if !matches!(answer.ended, Ended::Failed(_)) && answer.decoded + answer.replayed > 0 {
            placed.set_read();
        }
        match answer.ended {
            Ended::Stop | Ended::Watch => Ok(said(text)),
            // Cut off in the middle: the last line is not what the model had to say.
            Ended::Length => Ok(said(whole_lines(text))),
            Ended::Stuck => Err(Why::Stuck),
            Ended::Cancelled => Err(Why::Cancelled),
            Ended::Superseded => Err(Why::Superseded),
            Ended::Failed(why) => Err(Why::Failed(why)),
        }
    }

    /// Gives a job to the engine.
    fn submit(
        &self,
        job: Job,
        watch: Box<dyn Watch>,
    ) -> (Cancel, oneshot::Receiver<engine::Answer>) {
        let (done, answer) = oneshot::channel();
        let send = Box::new(move |answer| {
            // Nobody listens any more if the question was dropped meanwhile.
            let _ = done.send(answer);
        });
        (self.rooms.submit(job, watch, send), answer)
    }

    /// Keeps an answer for those who ask the same or type along it. An empty one is kept, too: asking again would only
    /// give the same.
    fn store(&self, situation: &Situation, text: String, score: f32) {
        let answer = cache::Answer { text, score };
        self.with_context(situation, |context| {
            self.rooms.store.insert(context, answer);
        });
    }

    fn settle(&self, raw: &str, until: Until) -> Result<Settled, finish::Why> {
        let started = Instant::now();
        let Ask { view, offset, .. } = &*self.ask;
        let settled = finish::settle(raw, &question(&view.snapshot, *offset, until));
        self.took("settle", started);
        settled
    }

    fn fit(&self, settled: Settled, until: Until) -> Result<Shown, Why> {
        let started = Instant::now();
        let Ask {
            url,
            view,
            offset,
            class,
            hypothetical,
            ..
        } = &*self.ask;
        let newest = match hypothetical {
            true => view.snapshot.clone(),
            false => self.documents.newest(url, view.number).ok_or(Why::Moved)?,
        };
        let now = Now {
            snapshot: newest,
            offset: *offset,
            settled,
        };
        let Now {
            snapshot,
            offset,
            settled,
        } = now.after(&view.snapshot).ok_or(Why::Moved)?;
        let question = question(&snapshot, offset, until);
        // A text that took long to parse takes as long again with the answer in it.
        let spent = self.record().time("parse");
        let mut over = deadline(parse_deadline(*class).saturating_sub(spent));
        let item = finish::fit(&settled, &question, &snapshot, offset, &mut over);
        self.took("fit", started);
        let item = item.map_err(Why::Answer)?;
        if self.ask.single_line && item.ghost.contains('\n') {
            return Err(Why::BeyondLine);
        }
        if !hypothetical {
            let shown = self.rooms.vocab.encode(&item.ghost);
            self.rooms.anchors.show(view.number, shown);
        }
        Ok(Shown { item, snapshot })
    }

    /// The file context that an answer is stored under.
    fn with_context<T>(
        &self,
        situation: &Situation,
        then: impl FnOnce(&cache::Context<'_>) -> T,
    ) -> T {
        let Ask {
            url,
            view: View { snapshot, .. },
            offset,
            ..
        } = &*self.ask;
        let left = snapshot.slice(offset.saturating_sub(cache::LEFT)..*offset);
        let right = snapshot.slice(*offset..situation.line_right.end + cache::RIGHT);
        then(&cache::Context {
            model: &self.rooms.model.id,
            template: self.rooms.template.name(),
            language: snapshot.language().name(),
            path: url.as_str(),
            beside: self.beside().key,
            kind: situation.mask as u8 * 3 + situation.until as u8,
            left: &left,
            right: &right,
        })
    }

    /// Runs a step that computes on a thread where that stops nobody else.
    async fn on_pool<T: Send + 'static>(
        &self,
        step: impl FnOnce(&Trip) -> Result<T, Why> + Send + 'static,
    ) -> Result<T, Why> {
        let trip = self.clone();
        spawn_blocking(move || step(&trip)).await?
    }

    fn took(&self, row: &str, started: Instant) {
        self.record().took(row, started.elapsed());
    }

    /// Notes what was said, and how likely it is.
    fn tell(&self, text: &str, score: f32) {
        let mut exchange = self.exchange();
        exchange.answer = Some(text.to_owned());
        exchange.score = Some(score);
    }

    fn note_engine(&self, answer: &engine::Answer) {
        let mut record = self.record();
        // A question that is put again, for another answer, has been read.
        if !record.timings_ms.contains_key("queue") {
            record.tokens_prefilled = answer.prefilled;
            record.tokens_reused = answer.reused;
        }
        record.tokens_decoded += answer.decoded;
        record.tokens_replayed += answer.replayed;
        record.tokens_looked_up += answer.accepted;
        record.took("queue", answer.queued);
        record.took("prefill", answer.prefill);
        record.took("decode", answer.decode);
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        // A record is only ever added to, so one that a panic left behind is still good.
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn exchange(&self) -> MutexGuard<'_, Exchange> {
        // As with the record.
        self.exchange.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Cancels a job whose answer nobody waits for any more.
pub struct CancelOnDrop(pub Cancel);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// What finishing wants to know of a cursor.
fn question(snapshot: &Snapshot, offset: usize, until: Until) -> finish::Ask {
    let until = match until {
        Until::Line => finish::Until::Line,
        Until::Statement => finish::Until::Statement,
        Until::Block => finish::Until::Block,
    };
    finish::Ask::at(snapshot, offset, until)
}

/// How positions go on, in the engine's words.
pub fn advance(advance: prompt::Advance) -> engine::Advance {
    match advance {
        prompt::Advance::Place => engine::Advance::Place,
        prompt::Advance::Span => engine::Advance::Span,
        prompt::Advance::Still => engine::Advance::Still,
    }
}

fn answer_tokens(until: Until) -> usize {
    match until {
        Until::Line | Until::Statement => ANSWER_TOKENS,
        Until::Block => BLOCK_TOKENS,
    }
}

fn mask_name(mask: Mask) -> &'static str {
    match mask {
        Mask::Mask => "[MASK]",
        Mask::SMask => "[sMASK]",
        Mask::GMask => "[gMASK]",
    }
}

/// How long the parses of a question may take in all.
fn parse_deadline(class: Class) -> Duration {
    match class {
        Class::Invoked => PARSE_DEADLINE_INVOKED,
        Class::Keystroke | Class::Ahead | Class::Batch => PARSE_DEADLINE,
    }
}

fn deadline(limit: Duration) -> impl FnMut() -> bool {
    let end = Instant::now() + limit;
    move || Instant::now() >= end
}

#[cfg(test)]
mod tests;
