//! Reads an answer as it comes: heals its beginning, and says when it has left what was asked for.
//!
//! What was typed last before the cursor is not settled as tokens yet, so the model writes it again:
//! only tokens that agree with it may come until all of it has been said. What comes after that is
//! the answer.

use std::sync::Arc;

use engine::{Allowed, Flow, Watch};
use finish::Stop;
use vocab::{Heal, Stream, Vocab};

/// Watches one answer.
pub(super) struct Reader {
    heal: Heal,
    stream: Stream,
    /// Bytes of what was typed that the answer has not said again yet.
    typed: usize,
    stop: Stop,
    /// The tokens that have come.
    path: Vec<u32>,
    /// Ways not to go: each ends with a token that must not follow those before it.
    avoid: Vec<Vec<u32>>,
    /// The tokens that may come here, where `avoid` forbids one, under a key of their own.
    narrowed: Option<(Vec<u8>, Vec<u32>)>,
    /// How many tokens there are.
    vocabulary: u32,
}

impl Reader {
    /// For an answer to this question that has to begin with `open`, and not go one of the ways of `avoid`.
    pub fn new(
        vocab: &Arc<Vocab>,
        question: &finish::Ask,
        open: &str,
        avoid: &[Vec<u32>],
    ) -> Reader {
        let mut reader = Reader {
            heal: Heal::new(Arc::clone(vocab), open.as_bytes()),
            stream: Stream::new(Arc::clone(vocab)),
            typed: open.len(),
            stop: Stop::new(question),
            path: Vec::new(),
            avoid: avoid.to_vec(),
            narrowed: None,
            vocabulary: vocab.len() as u32,
        };
        reader.narrow();
        reader
    }

    /// Works out which tokens may come here.
    fn narrow(&mut self) {
        self.narrowed = None;
        let ends = self.avoid.iter().filter_map(|way| way.split_last());
        let here = ends.filter(|(_, before)| **before == self.path);
        let forbidden: Vec<u32> = here.map(|(&last, _)| last).collect();
        if forbidden.is_empty() {
            return;
        }
        let is_free = |id: &u32| !forbidden.contains(id);
        let ids = match self.heal.done() {
            true => (0..self.vocabulary).filter(is_free).collect(),
            false => self.heal.ids().iter().copied().filter(is_free).collect(),
        };
        // No text has this byte, so that no other constraint's key goes on from here or is a beginning of it but the
        // one that it narrows.
        let mut key = self.heal.key().to_vec();
        key.push(0xFF);
        key.extend(forbidden.iter().flat_map(|id| id.to_le_bytes()));
        self.narrowed = Some((key, ids));
    }
}

impl Watch for Reader {
    fn token(&mut self, id: u32) -> Flow {
        self.heal.push(id);
        if !self.avoid.is_empty() {
            self.path.push(id);
            self.narrow();
        }
        let text = self.stream.push(id);
        let again = self.typed.min(text.len());
        self.typed -= again;
        let new = &text[again..];
        if !new.is_empty() && self.stop.push(new) {
            Flow::Enough
        } else {
            Flow::More
        }
    }

    fn allowed(&self) -> Allowed<'_> {
        if let Some((key, ids)) = &self.narrowed {
            Allowed::Only { key, ids }
        } else if self.heal.done() {
            Allowed::Any
        } else {
            Allowed::Only {
                key: self.heal.key(),
                ids: self.heal.ids(),
            }
        }
    }
}
