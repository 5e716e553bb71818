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
}

impl Reader {
    /// For an answer to this question that has to begin with `open`.
    pub fn new(vocab: &Arc<Vocab>, question: &finish::Ask, open: &str) -> Reader {
        Reader {
            heal: Heal::new(Arc::clone(vocab), open.as_bytes()),
            stream: Stream::new(Arc::clone(vocab)),
            typed: open.len(),
            stop: Stop::new(question),
        }
    }
}

impl Watch for Reader {
    fn token(&mut self, id: u32) -> Flow {
        self.heal.push(id);
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
        if self.heal.done() {
            Allowed::Any
        } else {
            Allowed::Only {
                key: self.heal.key(),
                ids: self.heal.ids(),
            }
        }
    }
}
