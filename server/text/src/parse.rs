//! The syntax tree of one revision of a text, made when it is first asked for.
//!
//! Takes the edited tree of an earlier revision and the rope; gives the tree of
//! this revision, or the edited one when the caller's time is over. Who asks
//! first parses, the others wait for that, each within its own time. A parse
//! that ran out of time is kept half done and carried on by the next reader.

use std::ops::ControlFlow;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use grammars::Language;
use ropey::Rope;
use tree_sitter::{ParseOptions, Parser, Tree};

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
    fresh: OnceLock<Arc<Tree>>,
    turn: Mutex<Turn>,
    passed_on: Condvar,
}

/// Whether somebody parses right now.
enum Turn {
    /// Nobody; here is the parser of one who ran out of time, if there was one.
    Free(Option<Box<Parser>>),
    Taken,
}

impl Parse {
    /// A tree to be made, from an edited earlier one if there is one.
    pub(crate) fn new(language: Language, edited: Option<Arc<Tree>>) -> Parse {
        Parse {
            language,
            edited: Mutex::new(edited),
            fresh: OnceLock::new(),
            turn: Mutex::new(Turn::Free(None)),
            passed_on: Condvar::new(),
        }
    }

    /// A tree that is made already.
    pub(crate) fn finished(language: Language, tree: Arc<Tree>) -> Parse {
        let parse = Parse::new(language, None);
        // The cell is new and empty, so that setting it cannot fail.
        let _ = parse.fresh.set(tree);
        parse
    }

    /// This revision's own tree, if somebody has finished it.
    pub(crate) fn fresh(&self) -> Option<&Arc<Tree>> {
        self.fresh.get()
    }

    /// The best tree there is without any work: the fresh one, else the edited one.
    pub(crate) fn at_hand(&self) -> Option<Arc<Tree>> {
        let fresh = || self.fresh().cloned();
        // Between the first two looks a reader may have finished, and emptied `edited`.
        fresh()
            .or_else(|| lock(&self.edited).clone())
            .or_else(fresh)
    }

    /// This revision's tree of `rope`, parsed if need be; [`Parse::at_hand`] once `over` is true.
    pub(crate) fn tree(&self, rope: &Rope, over: &mut dyn FnMut() -> bool) -> Option<Arc<Tree>> {
        if self.fresh().is_none()
            && let Some(grammar) = self.language.grammar()
            && let Some(parser) = self.take_turn(over)
        {
            let unfinished = self.carry_on(parser, &grammar, rope, over);
            *lock(&self.turn) = Turn::Free(unfinished);
            self.passed_on.notify_all();
        }
        self.at_hand()
    }

    /// Waits until nobody parses. `None` if meanwhile the tree is there or the time is over.
    fn take_turn(&self, over: &mut dyn FnMut() -> bool) -> Option<Option<Box<Parser>>> {
        let mut turn = lock(&self.turn);
        loop {
            if self.fresh().is_some() || over() {
                return None;
            }
            match std::mem::replace(&mut *turn, Turn::Taken) {
                Turn::Free(parser) => return Some(parser),
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

    /// Parses until done or `over`; gives back the parser if there is something left to do.
    fn carry_on(
        &self,
        parser: Option<Box<Parser>>,
        grammar: &tree_sitter::Language,
        rope: &Rope,
        over: &mut dyn FnMut() -> bool,
    ) -> Option<Box<Parser>> {
        let mut parser = match parser {
            Some(parser) => parser,
            None => {
                let mut parser = Box::new(Parser::new());
                // A grammar that this tree-sitter cannot run is no grammar: the
                // reader goes on without a tree.
                parser.set_language(grammar).ok()?;
                parser
            }
        };
        let edited = lock(&self.edited).clone();
        match run(&mut parser, rope, edited.as_deref(), over) {
            Some(tree) => {
                // Only the holder of the turn sets the cell, and only once.
                let _ = self.fresh.set(Arc::new(tree));
                // Freed here, by a reader who has time, not by the next edit: after an
                // error a tree may differ in so many nodes that it takes milliseconds.
                lock(&self.edited).take();
                None
            }
            None => Some(parser),
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
