//! The store: answers in memory, bounded in bytes, least recently used gone first.
//!
//! Readers take one shard of the map for the time of a comparison and nothing else. Writers take
//! turns, since an answer arrives only when a model has run; they never hold a guard of the map
//! while they change it, which is how a sharded map is made to wait for itself.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use dashmap::DashMap;

use crate::adopt::{self, REACH};
use crate::key::{self, Context, Key};

/// Answers kept for one line of a document; the oldest gives way. A line collects one for each
/// keystroke that disagreed with all before it.
const ANSWERS_A_LINE: usize = 16;

/// Lines looked back from the cursor's. [`REACH`] bounds this too, but not over empty lines.
const LINES_BACK: usize = 8;

/// A settled answer, as text from the cursor it was asked at.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The text; empty if the model had nothing to say, which is worth remembering too.
    pub text: String,
    /// How sure the model was of it, 0 to 1.
    pub score: f32,
}

/// A stored answer found for a context.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// What is left of the answer at this cursor.
    pub text: String,
    /// How sure the model was of the answer as a whole.
    pub score: f32,
    /// How it was found.
    pub tier: Tier,
}

/// How a hit was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// The same question was asked at this very place.
    Exact,
    /// The user has typed the beginning of an answer that was asked for further back.
    Adopted,
}

/// A bounded store of answers that many threads may read and write.
#[derive(Debug)]
pub struct Store {
    bound: usize,
    bytes: AtomicUsize,
    lines: DashMap<Key, Line>,
    /// The keys of `lines`, each once, in the order in which they are considered for eviction.
    order: Mutex<VecDeque<Key>>,
}

/// All answers asked for on one line, oldest first.
#[derive(Debug, Default)]
struct Line {
    answers: Vec<Stored>,
    /// Whether the line was of use since it last stood first in the order of eviction.
    used: AtomicBool,
}

#[derive(Debug)]
struct Stored {
    kind: u8,
    /// The cursor's line on its left side.
    head: Box<str>,
    /// Closing brackets and quotes to the right, if nothing else stood there.
    tail: Box<str>,
    text: Box<str>,
    score: f32,
}

impl Store {
    /// An empty store that will never account for more than `bytes` bytes.
    pub fn new(bytes: usize) -> Store {
        Store {
            bound: bytes,
            bytes: AtomicUsize::new(0),
            lines: DashMap::new(),
            order: Mutex::new(VecDeque::new()),
        }
    }

    /// Keeps an answer for its context, in place of an older one for the same. An answer that is
    /// larger than the whole store is not kept.
    pub fn insert(&self, context: &Context<'_>, answer: Answer) {
        let start = key::line_start(context.left);
        let key = Key::new(context, start);
        let stored = Stored {
            kind: context.kind,
            head: context.left[start..].into(),
            tail: key::closing_tail(context.right).into(),
            text: answer.text.into(),
            score: answer.score,
        };
        if LINE_BYTES + stored.bytes() > self.bound {
            return;
        }
        // A poisoned lock only says that another thread died; the queue is whole between its steps.
        let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.lines.remove(&key);
        let is_new = known.is_none();
        let mut line = known.map(|(_, line)| line).unwrap_or_default();
        self.bytes
            .fetch_sub(if is_new { 0 } else { line.bytes() }, Ordering::Relaxed);
        line.push(stored, self.bound);
        let size = line.bytes();
        self.evict(&mut order, size, key);
        self.bytes.fetch_add(size, Ordering::Relaxed);
        self.lines.insert(key, line);
        if is_new {
            order.push_back(key);
        }
    }

    /// Looks for an answer asked at this very place, then for one that the user is typing along:
    /// from up to [`REACH`] characters back on the same line, or on the lines above if the answer
    /// had several. The text right of the cursor must be the same, but for closing brackets that
    /// the editor put there and the answer has too.
    pub fn get(&self, context: &Context<'_>) -> Option<Hit> {
        let tail = key::closing_tail(context.right);
        line_starts(context.left)
            .take(LINES_BACK)
            .find_map(|start| {
                let line = self.lines.get(&Key::new(context, start))?;
                let hit = line.find(&context.left[start..], tail, context.kind)?;
                line.used.store(true, Ordering::Relaxed);
                Some(hit)
            })
    }

    /// Bytes accounted for: the texts kept and the structures around them.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// How many answers are stored.
    pub fn len(&self) -> usize {
        self.lines.iter().map(|line| line.answers.len()).sum()
    }

    /// Whether nothing is stored.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Forgets everything.
    pub fn clear(&self) {
        let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        self.lines.clear();
        order.clear();
        self.bytes.store(0, Ordering::Relaxed);
    }

    /// Makes room for `size` more bytes. Lines go in the order in which they came; one that was of
    /// use meanwhile goes to the back once instead, so a reader never has to wait for the order.
    fn evict(&self, order: &mut VecDeque<Key>, size: usize, keep: Key) {
        let mut spared = order.len();
        while self.bytes() + size > self.bound {
            let Some(key) = order.pop_front() else { return };
            let used = |line: &Line| spared > 0 && line.used.swap(false, Ordering::Relaxed);
            if key == keep || self.lines.get(&key).is_some_and(|line| used(&line)) {
                spared = spared.saturating_sub(1);
                order.push_back(key);
            } else if let Some((_, line)) = self.lines.remove(&key) {
                self.bytes.fetch_sub(line.bytes(), Ordering::Relaxed);
            }
        }
    }
}

/// What a line costs beside its answers: itself, and its key in the map and in the order.
const LINE_BYTES: usize = size_of::<Line>() + 2 * size_of::<Key>();

impl Line {
    fn bytes(&self) -> usize {
        LINE_BYTES + self.answers.iter().map(Stored::bytes).sum::<usize>()
    }

    /// Adds the newest answer and drops old ones beyond what a line may keep.
    fn push(&mut self, stored: Stored, bound: usize) {
        self.answers.retain(|old| !old.same_place(&stored));
        self.answers.push(stored);
        while self.answers.len() > ANSWERS_A_LINE || self.bytes() > bound {
            self.answers.remove(0);
        }
    }

    fn find(&self, head: &str, tail: &str, kind: u8) -> Option<Hit> {
        let newest_first = || self.answers.iter().rev();
        let exact = newest_first()
            .find(|stored| stored.kind == kind && *stored.head == *head && *stored.tail == *tail)
            .map(|stored| Hit {
                text: stored.text.to_string(),
                score: stored.score,
                tier: Tier::Exact,
            });
        exact.or_else(|| {
            newest_first().find_map(|stored| {
                Some(Hit {
                    text: stored.adopt(head, tail)?.to_owned(),
                    score: stored.score,
                    tier: Tier::Adopted,
                })
            })
        })
    }
}

impl Stored {
    fn bytes(&self) -> usize {
        size_of::<Stored>() + self.head.len() + self.tail.len() + self.text.len()
    }

    fn same_place(&self, other: &Stored) -> bool {
        self.kind == other.kind && self.head == other.head && self.tail == other.tail
    }

    /// What is left of the answer when the text since its line's start is `head`.
    fn adopt(&self, head: &str, tail: &str) -> Option<&str> {
        let typed = head.strip_prefix(&*self.head)?;
        if typed.is_empty() || typed.chars().count() > REACH {
            return None;
        }
        let rest = adopt::rest(&self.text, typed)?;
        // The editor's closers come before those that stood there; typing over them takes them away
        // from the front.
        let agrees = match tail.strip_suffix(&*self.tail) {
            Some(inserted) => adopt::closes(rest, inserted),
            None => self.tail.ends_with(tail),
        };
        agrees.then_some(rest)
    }
}

/// Byte offsets at which the lines of `left` start, nearest first, as far back as an answer can
/// have been asked for.
fn line_starts(left: &str) -> impl Iterator<Item = usize> {
    let reach = left
        .char_indices()
        .rev()
        .nth(REACH - 1)
        .map_or(0, |(at, _)| at);
    std::iter::successors(Some(key::line_start(left)), move |&start| {
        (start > reach).then(|| {
            let above = &left[..start];
            let above = above.strip_suffix("\r\n").unwrap_or(&above[..start - 1]);
            key::line_start(above)
        })
    })
}
