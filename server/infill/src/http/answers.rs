//! Answers on their way: from the engine's thread, token by token, to whoever sends them on.
//!
//! Dropping [`Answers`] cancels the jobs that are still at work; so a client that leaves costs a step of the model at
//! most.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::{Allowed, Answer, Class, Ended, Flow, Sampling, Watch};
use prompt::Input;
use tokio::sync::{mpsc, watch};
use vocab::{Heal, Stream};

use crate::complete::CancelOnDrop;
use crate::http::House;
use crate::http::metrics::Metrics;
use crate::http::refusal::Refusal;
use crate::http::stops::{Heard, Stops};
use crate::input;

/// One answer to write.
#[derive(Debug, Clone)]
pub struct Order {
    /// What the model reads.
    pub input: Input,
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// Most tokens.
    pub max_tokens: usize,
    /// Texts that end it.
    pub stops: Vec<String>,
    /// How long it may be written on, from its first line on.
    pub time: Option<Duration>,
    /// Where it begins.
    pub begins: Begins,
}

/// Where an answer begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begins {
    /// With its first character.
    AtOnce,
    /// With the first that is no blank: models that chat often break the line first.
    BehindBlanks,
    /// Behind this text, which the model has to say first.
    Behind(String),
}

/// What has come of one of the answers.
#[derive(Debug)]
pub enum Event {
    /// More of its text; never empty.
    Text(String),
    /// There is no more.
    End(End),
}

/// The end of an answer.
#[derive(Debug, Clone)]
pub struct End {
    /// The text that ended it, if one of those asked for did.
    pub stop: Option<String>,
    /// What the engine says of it.
    pub answer: Answer,
}

impl End {
    /// In OpenAI's words.
    pub fn reason(&self) -> &'static str {
        match self.stop.is_some() || self.answer.ended == Ended::Stop {
            true => "stop",
            false => "length",
        }
    }
}

/// An answer as a whole.
#[derive(Debug)]
pub struct Whole {
    /// Its text.
    pub text: String,
    /// Its end.
    pub end: End,
}

/// Some answers that are being written side by side.
pub struct Answers {
    notes: mpsc::UnboundedReceiver<(usize, Note)>,
    /// What comes before the next note.
    ready: VecDeque<(usize, Event)>,
    writing: Vec<Writing>,
    /// How many are not at their end.
    open: usize,
    closing: watch::Receiver<bool>,
}

/// What is known of one that is being written.
struct Writing {
    /// Text that is the answer's if nothing more comes.
    held: String,
    stop: Option<String>,
    _job: CancelOnDrop,
}

/// What the engine's thread tells.
enum Note {
    Heard(Heard),
    Done(Answer),
}

impl Answers {
    /// Has these answers written.
    pub fn begin(house: &House, orders: Vec<Order>) -> Answers {
        let (tell, notes) = mpsc::unbounded_channel();
        let writing: Vec<Writing> = orders
            .into_iter()
            .enumerate()
            .map(|(index, order)| submit(house, index, order, tell.clone()))
            .collect();
        Answers {
            notes,
            ready: VecDeque::new(),
            open: writing.len(),
            writing,
            closing: house.closing.clone(),
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.writing.len()
    }

    /// What comes next, and of which answer; none after all of them have ended.
    ///
    /// # Errors
    /// If one cannot be written, or the server is to end.
    pub async fn next(&mut self) -> Result<Option<(usize, Event)>, Refusal> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            if self.open == 0 {
                return Ok(None);
            }
            let note = tokio::select! {
                note = self.notes.recv() => note,
                _ = self.closing.wait_for(|&closes| closes) => None,
            };
            let (index, note) = note.ok_or_else(Refusal::closing)?;
            self.take(index, note)?;
        }
    }

    fn take(&mut self, index: usize, note: Note) -> Result<(), Refusal> {
        let writing = &mut self.writing[index];
        match note {
            Note::Heard(heard) => {
                writing.held = heard.held;
                writing.stop = heard.stop;
                self.say(index, heard.released);
            }
            Note::Done(answer) => {
                match &answer.ended {
                    Ended::Failed(why) => return Err(Refusal::failed(why)),
                    Ended::Cancelled | Ended::Superseded => return Err(Refusal::closing()),
                    Ended::Stop | Ended::Watch | Ended::Length | Ended::Stuck => {}
                }
                let held = std::mem::take(&mut writing.held);
                let stop = writing.stop.take();
                self.say(index, held);
                self.ready
                    .push_back((index, Event::End(End { stop, answer })));
                self.open -= 1;
            }
        }
        Ok(())
    }

    fn say(&mut self, index: usize, text: String) {
        if !text.is_empty() {
            self.ready.push_back((index, Event::Text(text)));
        }
    }

    /// All of them, once all have ended.
    ///
    /// # Errors
    /// As [`Answers::next`].
    pub async fn whole(mut self) -> Result<Vec<Whole>, Refusal> {
        let mut texts = vec![String::new(); self.count()];
        let mut ends = vec![None; self.count()];
        while let Some((index, event)) = self.next().await? {
            match event {
                Event::Text(text) => texts[index] += &text,
                Event::End(end) => ends[index] = Some(end),
            }
        }
        let ended = texts.into_iter().zip(ends);
        Ok(ended
            .filter_map(|(text, end)| Some(Whole { text, end: end? }))
            .collect())
    }
}

/// Gives an answer to the engine to write.
fn submit(
    house: &House,
    index: usize,
    order: Order,
    tell: mpsc::UnboundedSender<(usize, Note)>,
) -> Writing {
    let vocab = &house.rooms.vocab;
    let open = match &order.begins {
        Begins::AtOnce | Begins::BehindBlanks => "",
        Begins::Behind(open) => open,
    };
    let listener = Listener {
        index,
        stream: Stream::new(Arc::clone(vocab)),
        stops: Stops::new(order.stops),
        heal: Heal::new(Arc::clone(vocab), open.as_bytes()),
        open: open.len(),
        skips_blanks: order.begins == Begins::BehindBlanks,
        time: order.time,
        has_line: false,
        submitted: Instant::now(),
        first: None,
        last: None,
        metrics: Arc::clone(&house.metrics),
        tell: tell.clone(),
    };
    let job = input::job(order.input, Class::Batch, order.max_tokens, order.sampling);
    let metrics = Arc::clone(&house.metrics);
    let done = Box::new(move |answer: Answer| {
        metrics.job(&answer);
        // Nobody listens any more if the client has left.
        let _ = tell.send((index, Note::Done(answer)));
    });
    let cancel = house.rooms.submit(job, Box::new(listener), done);
    Writing {
        held: String::new(),
        stop: None,
        _job: CancelOnDrop(cancel),
    }
}

/// Hears an answer on the engine's thread.
struct Listener {
    index: usize,
    stream: Stream,
    stops: Stops,
    /// Which tokens may come until it has said what it has to begin with.
    heal: Heal,
    /// Bytes of that which it has not said yet.
    open: usize,
    /// Whether blanks that come next are left out.
    skips_blanks: bool,
    time: Option<Duration>,
    /// Whether a line of it is complete.
    has_line: bool,
    submitted: Instant,
    first: Option<Instant>,
    last: Option<Instant>,
    metrics: Arc<Metrics>,
    tell: mpsc::UnboundedSender<(usize, Note)>,
}

impl Listener {
    /// Looks at the clock for a token. True if there is no time for another.
    fn is_late(&mut self) -> bool {
        let now = Instant::now();
        match self.last.replace(now) {
            None => self.metrics.first(now - self.submitted),
            Some(last) => self.metrics.next(now - last),
        }
        let first = *self.first.get_or_insert(now);
        self.has_line && self.time.is_some_and(|time| now - first > time)
    }
}

impl Watch for Listener {
    fn token(&mut self, id: u32) -> Flow {
        self.heal.push(id);
        let said = self.stream.push(id);
        let again = self.open.min(said.len());
        self.open -= again;
        let mut text = &said[again..];
        if self.skips_blanks {
            text = text.trim_start();
            self.skips_blanks = text.is_empty();
        }
        self.has_line |= text.contains('\n');
        let heard = self.stops.push(text);
        let is_over = self.is_late() || heard.stop.is_some();
        let is_heard = self.tell.send((self.index, Note::Heard(heard))).is_ok();
        match is_heard && !is_over {
            true => Flow::More,
            false => Flow::Enough,
        }
    }

    fn allowed(&self) -> Allowed<'_> {
        match self.heal.done() {
            true => Allowed::Any,
            false => Allowed::Only {
                key: self.heal.key(),
                ids: self.heal.ids(),
            },
        }
    }
}
