//! The path of a completion: rows 4 to 11 of the table in `server/ARCHITECTURE.md`.
//!
//! Takes a snapshot and a cursor, gives what to show there or why nothing, and a record of what it
//! took. This is the one file that calls several rooms; the rooms never call one another sideways.
//! What computes for more than a moment runs on the blocking pool, the model on the engine's thread.
//! Dropping the future cancels the job.

mod newest;
mod outcome;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cache::{Hit, Tier};
use engine::{Cancel, Class, Ended, Flow, Job, Watch};
use finish::{Settled, Stop, whole_lines};
use prompt::{Around, Budget, Mask, Prompt, Situation, Until};
use text::Snapshot;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tower_lsp::lsp_types::Url;
use vocab::Stream;

pub use crate::complete::outcome::{LARGEST_DOCUMENT, LONGEST_LINE, Outcome, Record, Shown, Why};

use crate::complete::newest::Now;
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

/// Most tokens of text around the cursor, for models that could read more: reading takes time, and
/// what is further away seldom helps.
const WINDOW_TOKENS: usize = 2048;

/// What is asked.
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
}

/// Leads one question through the rooms. Rows are those of the table in `ARCHITECTURE.md`.
pub async fn complete(rooms: Arc<Rooms>, documents: Arc<Documents>, ask: Ask) -> Outcome {
    let started = Instant::now();
    let trip = Trip {
        rooms,
        documents,
        ask: Arc::new(ask),
        record: Arc::default(),
    };
    let shown = trip.run().await;
    trip.took("total", started);
    let record = trip.record().clone();
    Outcome { shown, record }
}

/// A question on its way through the rooms, with what it has taken so far.
#[derive(Clone)]
struct Trip {
    rooms: Arc<Rooms>,
    documents: Arc<Documents>,
    ask: Arc<Ask>,
    record: Arc<Mutex<Record>>,
}

/// What the path goes on with once the cursor's situation is known.
enum Next {
    Stored(String),
    Run(Prompt),
}

impl Trip {
    async fn run(&self) -> Result<Shown, Why> {
        let (situation, next) = self
            .on_pool(|trip| {
                // Row 4: where is the cursor, and is a completion sensible there?
                let situation = trip.situate()?;
                // Row 7, before row 6 because a stored answer needs no prompt.
                if let Some(answer) = trip.look_up(&situation) {
                    return Ok((situation, Next::Stored(answer)));
                }
                // Row 6: what the model reads.
                let prompt = trip.build(&situation)?;
                Ok((situation, Next::Run(prompt)))
            })
            .await?;
        let until = situation.until;
        let settled = match next {
            Next::Stored(text) if text.is_empty() => return Err(Why::Known),
            Next::Stored(text) => Settled { text },
            Next::Run(prompt) => {
                // Rows 8 and 9: the engine's turn, watched for the end of what was asked for.
                let answer = self.generate(prompt, until).await?;
                // Row 10: what of it is worth keeping.
                self.on_pool(move |trip| trip.settle(&answer, &situation))
                    .await?
            }
        };
        // Row 11: what of it fits the text as it is now.
        self.on_pool(move |trip| trip.fit(settled, until)).await
    }

    fn situate(&self) -> Result<Situation, Why> {
        let started = Instant::now();
        let Ask {
            url,
            view: View { snapshot, number },
            offset,
            class,
            hypothetical,
        } = &*self.ask;
        if snapshot.len() > LARGEST_DOCUMENT {
            return Err(Why::TooLarge);
        }
        if snapshot.line_range(snapshot.line_of(*offset)).len() > LONGEST_LINE {
            return Err(Why::LongLine);
        }
        let syntax = snapshot.syntax(&mut deadline(match class {
            Class::Invoked => PARSE_DEADLINE_INVOKED,
            Class::Keystroke | Class::Ahead | Class::Batch => PARSE_DEADLINE,
        }));
        if let Some(tree) = snapshot.parsed().filter(|_| !hypothetical) {
            self.documents.adopt(url, *number, tree);
        }
        let situation = prompt::situate(snapshot, syntax.as_ref(), *offset);
        self.took("situate", started);
        let situation = situation.map_err(Why::Situation)?;
        self.record().mask = Some(mask_name(situation.mask).to_owned());
        Ok(situation)
    }

    fn look_up(&self, situation: &Situation) -> Option<String> {
        let started = Instant::now();
        let hit = self.with_context(situation, |context| self.rooms.store.get(context));
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
        hit.map(|hit| hit.text)
    }

    fn build(&self, situation: &Situation) -> Result<Prompt, Why> {
        let started = Instant::now();
        let part_b = answer_tokens(situation.until);
        let room = self.rooms.model.context.saturating_sub(part_b);
        let budget = Budget {
            part_a: room.min(WINDOW_TOKENS),
            part_b,
        };
        let around = Around {
            path: &file_name(&self.ask.url),
            references: &[],
        };
        let prompt = prompt::build(
            &self.ask.view.snapshot,
            situation,
            &self.rooms.vocab,
            self.rooms.template,
            &around,
            budget,
        );
        self.took("build", started);
        prompt.map_err(Why::Situation)
    }

    async fn generate(&self, prompt: Prompt, until: Until) -> Result<String, Why> {
        let Ask {
            view,
            offset,
            class,
            ..
        } = &*self.ask;
        let job = Job {
            ids: prompt.ids,
            positions: prompt.positions,
            advance: advance(prompt.advance),
            part_a: prompt.part_a,
            class: *class,
            stops: prompt.stops,
            // One of them may be `sop`, which is in the prompt.
            max_tokens: answer_tokens(until) - 1,
            document: view.number,
            drafts: Vec::new(),
        };
        let stop = Stop::new(&question(&view.snapshot, *offset, until));
        let reader = Reader {
            stream: Stream::new(Arc::clone(&self.rooms.vocab)),
            stop,
        };
        let (done, answer) = oneshot::channel();
        let send = Box::new(move |answer| {
            // Nobody listens any more if the question was dropped meanwhile.
            let _ = done.send(answer);
        });
        let _cancel = CancelOnDrop(self.rooms.engine.submit(job, Box::new(reader), send));
        let answer = answer
            .await
            .map_err(|_| Why::Failed("the engine has stopped".to_owned()))?;
        self.note_engine(&answer);
        match answer.ended {
            Ended::Stop | Ended::Watch => Ok(self.rooms.vocab.decode(&answer.ids)),
            // Cut off in the middle: the last line is not what the model had to say.
            Ended::Length | Ended::Stuck => Ok(whole_lines(&self.rooms.vocab.decode(&answer.ids)).to_owned()),
            Ended::Cancelled => Err(Why::Cancelled),
            Ended::Superseded => Err(Why::Superseded),
            Ended::Failed(why) => Err(Why::Failed(why)),
        }
    }

    fn settle(&self, raw: &str, situation: &Situation) -> Result<Settled, Why> {
        let started = Instant::now();
        let Ask { view, offset, .. } = &*self.ask;
        let settled = finish::settle(raw, &question(&view.snapshot, *offset, situation.until));
        // An empty answer is stored, too: asking again would only give the same.
        let text = settled
            .as_ref()
            .map_or(String::new(), |settled| settled.text.clone());
        self.with_context(situation, |context| {
            self.rooms.store.insert(context, cache::Answer { text });
        });
        self.took("settle", started);
        settled.map_err(Why::Answer)
    }

    fn fit(&self, settled: Settled, until: Until) -> Result<Shown, Why> {
        let started = Instant::now();
        let Ask {
            url,
            view,
            offset,
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
        let item = finish::fit(
            &settled,
            &question,
            &snapshot,
            offset,
            &mut deadline(PARSE_DEADLINE),
        );
        self.took("fit", started);
        Ok(Shown {
            item: item.map_err(Why::Answer)?,
            snapshot,
        })
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

    fn note_engine(&self, answer: &engine::Answer) {
        let mut record = self.record();
        record.tokens_prefilled = answer.prefilled;
        record.tokens_decoded = answer.decoded;
        record.took("queue", answer.queued);
        record.took("prefill", answer.prefill);
        record.took("decode", answer.decode);
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        // A record is only ever added to, so one that a panic left behind is still good.
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the answer as it comes and says when it has left what was asked for.
struct Reader {
    stream: Stream,
    stop: Stop,
}

impl Watch for Reader {
    fn token(&mut self, id: u32) -> Flow {
        let text = self.stream.push(id);
        if !text.is_empty() && self.stop.push(&text) {
            Flow::Enough
        } else {
            Flow::More
        }
    }
}

/// Cancels a job whose answer nobody waits for any more.
struct CancelOnDrop(Cancel);

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

/// The name of the document's file; empty for a document that is no file yet.
fn file_name(url: &Url) -> String {
    let path = url.to_file_path().unwrap_or_default();
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn mask_name(mask: Mask) -> &'static str {
    match mask {
        Mask::Mask => "[MASK]",
        Mask::SMask => "[sMASK]",
        Mask::GMask => "[gMASK]",
    }
}

fn deadline(limit: Duration) -> impl FnMut() -> bool {
    let end = Instant::now() + limit;
    move || Instant::now() >= end
}

#[cfg(test)]
mod tests;
