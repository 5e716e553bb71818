//! The syntax tree of one revision of a text, made when it is first asked for.
//!
//! Takes the edited tree of an earlier revision and the rope; gives the tree of
//! this revision, or the edited one when the caller's time is over. Of a long text
//! it may be the tree of the part around a place. Who asks first parses, the others wait for that, each within its own time. A parse
//! that ran out of time is kept half done and carried on by the next reader.

use std::ops::{ControlFlow, Range};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use grammars::Language;
use ropey::Rope;
use tree_sitter::{ParseOptions, Parser, Tree};

use crate::excerpt;

/// How often a reader that waits for another's parse looks whether its own time is over.
const LOOK_AGAIN: Duration = Duration::from_micros(200);

/// A finished tree and the revision of the document that it was made from.
#[derive(Clone, Debug)]
pub struct ParsedTree {
    pub(crate) tree: Arc<Tree>,
    pub(crate) revision: u64,
}

/// One revision's tree: the document and all snapshots of that revision share it.
pub(crate) struct Parse {
    language: Language,
    /// The tree of an earlier revision, edited along: right except near the edits.
    /// Empty again once there is a fresh one.
    edited: Mutex<Option<Arc<Tree>>>,
    fresh: Mutex<Option<Arc<Tree>>>,
    turn: Mutex<Turn>,
    passed_on: Condvar,
}

/// Whether somebody parses right now.
enum Turn {
    /// Nobody; here is what one who ran out of time left, if there was one.
    Free(Option<Unfinished>),
    Taken,
}

/// A parser that has begun, and what it parses.
struct Unfinished {
    parser: Box<Parser>,
    range: Range<usize>,
}

/// A text, and the place in it that a tree is wanted for, if not for all.
pub(crate) struct Wanted<'a> {
    pub(crate) rope: &'a Rope,
    pub(crate) lone_cr: bool,
    pub(crate) near: Option<usize>,
}

impl Parse {
    /// A tree to be made, from an edited earlier one if there is one.
    pub(crate) fn new(language: Language, edited: Option<Arc<Tree>>) -> Parse {
        Parse {
            language,
            edited: Mutex::new(edited),
            fresh: Mutex::new(None),
            turn: Mutex::new(Turn::Free(None)),
            passed_on: Condvar::new(),
        }
    }

    /// A tree that is made already.
    pub(crate) fn finished(language: Language, tree: Arc<Tree>) -> Parse {
        Parse {
            fresh: Mutex::new(Some(tree)),
            ..Parse::new(language, None)
        }
    }

    /// This revision's own tree, if somebody has finished it.
    pub(crate) fn fresh(&self) -> Option<Arc<Tree>> {
        lock(&self.fresh).clone()
    }

    /// The best tree there is without any work: the fresh one, else the edited one.
    pub(crate) fn at_hand(&self) -> Option<Arc<Tree>> {
        // Between the first two looks a reader may have finished, and emptied `edited`.
        self.fresh()
            .or_else(|| lock(&self.edited).clone())
            .or_else(|| self.fresh())
    }

    /// This revision's tree of what is wanted, parsed if need be; [`Parse::at_hand`] once `over` is true, if that holds it.
    pub(crate) fn tree(
        &self,
        wanted: &Wanted,
        over: &mut dyn FnMut() -> bool,
    ) -> Option<Arc<Tree>> {
        let holds = |tree: &Arc<Tree>| excerpt::holds(tree, wanted.near);
        if !self.fresh().is_some_and(|tree| holds(&tree))
            && let Some(grammar) = self.language.grammar()
            && let Some(unfinished) = self.take_turn(wanted, over)
        {
            let unfinished = self.carry_on(unfinished, &grammar, wanted, over);
            *lock(&self.turn) = Turn::Free(unfinished);
            self.passed_on.notify_all();
        }
        self.at_hand().filter(holds)
    }

    /// Waits until nobody parses. `None` if meanwhile the tree is there or the time is over.
    fn take_turn(
        &self,
        wanted: &Wanted,
        over: &mut dyn FnMut() -> bool,
    ) -> Option<Option<Unfinished>> {
        let mut turn = lock(&self.turn);
        loop {
            let fresh = self.fresh();
            if fresh.is_some_and(|tree| excerpt::holds(&tree, wanted.near)) || over() {
                return None;
            }
            match std::mem::replace(&mut *turn, Turn::Taken) {
                Turn::Free(unfinished) => return Some(unfinished),
                Turn::Taken => {
                    turn = self
                        .passed_on
                        .wait_timeout(turn, LOOK_AGAIN)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0;
                }
            }
        }
    }

    /// Parses until done or `over`; gives back what is left to do.
    fn carry_on(
        &self,
        unfinished: Option<Unfinished>,
        grammar: &tree_sitter::Language,
        wanted: &Wanted,
        over: &mut dyn FnMut() -> bool,
    ) -> Option<Unfinished> {
        let earlier = self.at_hand();
        let range = excerpt::parsed_for(wanted.rope, wanted.near, earlier.as_deref());
        let mut parser = match unfinished {
            Some(unfinished) if unfinished.range == range => unfinished.parser,
            _ => {
                let mut parser = Box::new(Parser::new());
                let included = excerpt::included(wanted.rope, &range, wanted.lone_cr);
                // A grammar that this tree-sitter cannot run is no grammar: the
                // reader goes on without a tree.
                parser.set_language(grammar).ok()?;
                parser.set_included_ranges(&[included]).ok()?;
                parser
            }
        };
        match run(&mut parser, wanted.rope, earlier.as_deref(), over) {
            Some(tree) => {
                *lock(&self.fresh) = Some(Arc::new(tree));
                // Freed here, by a reader who has time, not by the next edit: after an
                // error a tree may differ in so many nodes that it takes milliseconds.
                lock(&self.edited).take();
                None
            }
            None => Some(Unfinished { parser, range }),
        }
    }
}

/// The value behind a lock; a panic of another thread does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Feeds the rope's chunks to the parser; no copy of the text is made.
fn run(
    parser: &mut Parser,
    rope: &Rope,
    edited: Option<&Tree>,
    over: &mut dyn FnMut() -> bool,
) -> Option<Tree> {
    #[cfg(test)]
    counted::one_more();
    // Tree-sitter counts bytes in 32 bits.
    u32::try_from(rope.len_bytes()).ok()?;
    let mut read = |offset: usize, _| -> &[u8] {
        match rope.get_chunk_at_byte(offset) {
            Some((chunk, start, _, _)) => &chunk.as_bytes()[offset - start..],
            None => &[],
        }
    };
    let mut progress = |_: &_| {
        if over() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let options = ParseOptions::new().progress_callback(&mut progress);
    parser.parse_with_options(&mut read, edited, Some(options))
}

/// How often this thread has parsed, for the tests that say when no parse may happen.
#[cfg(test)]
pub(crate) mod counted {
    use std::cell::Cell;

    thread_local! {
        static PARSES: Cell<usize> = const { Cell::new(0) };
    }

    pub(crate) fn one_more() {
        PARSES.set(PARSES.get() + 1);
    }

    pub(crate) fn parses() -> usize {
        PARSES.get()
    }
}
