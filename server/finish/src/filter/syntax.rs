//! Answers that break what could be read before.
//!
//! The text with the item in it is parsed and compared with the text without: it may not have more
//! syntax errors, in all or on the item's lines, nor more brackets without a partner. A file that is broken already, as every file
//! is while it is typed in, stays as it is or gets better.

use std::ops::Range;

use text::{Edit, Snapshot, Tree};

use crate::ask::Ask;
use crate::brackets::scan;
use crate::filter::closers::Piece;
use crate::why::Why;

/// Lines around the cursor that are read for brackets where there is no tree.
const LINES_AROUND: usize = 40;

/// What is wrong with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Damage {
    errors: usize,
    /// Errors that touch the lines of the item. Of a long text a part is parsed, and a bracket that it lacks at its end
    /// may be found here instead, which leaves the sum as it was.
    near: usize,
    brackets: usize,
}

impl Damage {
    fn has_more_errors(self, before: Damage) -> bool {
        self.errors > before.errors || self.near > before.near
    }
}

/// Compares a text with what would become of it.
pub(crate) struct Gate<'a> {
    snapshot: &'a Snapshot,
    offset: usize,
    ask: &'a Ask,
    before: Option<Damage>,
}

impl<'a> Gate<'a> {
    /// A gate for items at `offset`. Past the deadline `over`, or without a grammar, brackets
    /// around the cursor are all it looks at.
    pub(crate) fn new(
        snapshot: &'a Snapshot,
        offset: usize,
        ask: &'a Ask,
        over: &mut dyn FnMut() -> bool,
    ) -> Gate<'a> {
        Gate {
            snapshot,
            offset,
            ask,
            before: damage(snapshot, offset..offset, over),
        }
    }

    /// Whether brackets have partners with a piece that have none now, and nothing is worse.
    pub(crate) fn mends(&self, piece: &Piece, over: &mut dyn FnMut() -> bool) -> bool {
        let before = self.before.filter(|before| before.brackets > 0);
        let both = before.and_then(|before| Some((before, self.after(piece, over)?)));
        both.is_some_and(|(before, after)| {
            after.brackets < before.brackets && !after.has_more_errors(before)
        })
    }

    /// What is wrong with the text that has the piece in it.
    fn after(&self, piece: &Piece, over: &mut dyn FnMut() -> bool) -> Option<Damage> {
        let edit = Edit {
            range: self.offset..self.offset + piece.replaced,
            text: piece.text.clone(),
        };
        let item = self.offset..self.offset + piece.text.len();
        damage(&self.snapshot.edited(&edit), item, over)
    }

    /// Lets a piece pass that makes nothing worse.
    pub(crate) fn admit(&self, piece: &Piece, over: &mut dyn FnMut() -> bool) -> Result<(), Why> {
        let both = self
            .before
            .and_then(|before| Some((before, self.after(piece, over)?)));
        match both {
            Some((before, after)) if after.has_more_errors(before) => Err(Why::Syntax),
            Some((before, after)) if after.brackets > before.brackets => Err(Why::Brackets),
            Some(_) => self
                .admit_strings(piece)
                .and_then(|()| self.admit_brackets(piece)),
            None => self
                .admit_strings(piece)
                .and_then(|()| self.admit_unparsed(piece)),
        }
    }

    /// Withholds a string that begins and does not end, which is one error in place of another when
    /// a value was missing.
    fn admit_strings(&self, piece: &Piece) -> Result<(), Why> {
        let left = &self.ask.line_left;
        let before = scan(left, None, self.ask.language).inside;
        let after = scan(&format!("{left}{}", piece.text), None, self.ask.language).inside;
        let closed = after.is_some_and(|mark| self.ask.line_right.contains(mark));
        if before.is_none() && after.is_some() && !closed {
            Err(Why::Quotes)
        } else {
            Ok(())
        }
    }

    /// Withholds a piece that closes what something else closes already, or opens what nothing closes. Of a long text a
    /// part is parsed, which may lack a bracket at its end, for which the one too many is then taken, or begin within a
    /// string, so that code is read as one: so the whole text is read.
    fn admit_brackets(&self, piece: &Piece) -> Result<(), Why> {
        let language = self.ask.language;
        if scan(&piece.text, None, language).imbalance() == 0 {
            return Ok(());
        }
        let left = self.snapshot.slice(0..self.offset);
        let right = self.snapshot.slice(self.offset..self.snapshot.len());
        let kept = right.get(piece.replaced..).unwrap_or_default();
        let before = scan(&format!("{left}{right}"), None, language);
        let after = scan(&format!("{left}{}{kept}", piece.text), None, language);
        if after.imbalance() > before.imbalance() {
            Err(Why::Brackets)
        } else {
            Ok(())
        }
    }

    /// Withholds what leaves more brackets without a partner, on its own lines or on the lines around. Those around alone
    /// would not do: some of theirs have partners further away, for which a bracket too many can be taken.
    fn admit_unparsed(&self, piece: &Piece) -> Result<(), Why> {
        let scanned = |left: &str, right: &str| {
            let kept = right.get(piece.replaced..).unwrap_or_default();
            let before = scan(&format!("{left}{right}"), None, self.ask.language);
            let text = format!("{left}{}{kept}", piece.text);
            (before, scan(&text, None, self.ask.language))
        };
        let (before, after) = scanned(&self.ask.line_left, &self.ask.line_right);
        let closes = after.closed.len() > before.closed.len();
        let opens = after.open_count() > before.open_count();
        let line = self.snapshot.line_of(self.offset);
        let start = self.snapshot.line_start(line.saturating_sub(LINES_AROUND));
        let end = self
            .snapshot
            .line_start(line.saturating_add(LINES_AROUND + 1));
        let left = self.snapshot.slice(start..self.offset);
        let right = self.snapshot.slice(self.offset..end);
        let (before, after) = scanned(&left, &right);
        if closes || opens || after.imbalance() > before.imbalance() {
            Err(Why::Brackets)
        } else {
            Ok(())
        }
    }
}

/// What is wrong with a snapshot, if its own tree can be had in time. Counting takes time, too, in a long file.
fn damage(
    snapshot: &Snapshot,
    item: Range<usize>,
    over: &mut dyn FnMut() -> bool,
) -> Option<Damage> {
    if over() {
        return None;
    }
    let syntax = snapshot.syntax_near(item.start, over)?;
    // Past the deadline the tree is an earlier text's and knows nothing of the cursor's place.
    snapshot.parsed()?;
    let tree = snapshot.tree_near(item.start, over)?;
    let start = snapshot.line_start(snapshot.line_of(item.start));
    Some(Damage {
        errors: syntax.errors(),
        near: syntax.errors_in(start..item.end),
        brackets: brackets(&tree),
    })
}

/// Brackets without a partner, counted over the tree's tokens, so that strings and comments do not
/// count. What was read without an error has a partner for each, so only broken nodes are entered.
fn brackets(tree: &Tree) -> usize {
    let mut cursor = tree.walk();
    let mut open = Open::default();
    let mut wrong = 0;
    loop {
        let node = cursor.node();
        if node.child_count() == 0 && !node.is_named() && !node.is_missing() {
            node.kind()
                .chars()
                .for_each(|token| wrong += open.take(token));
        }
        if node.has_error() && cursor.goto_first_child() {
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return wrong + open.kinds.len();
            }
        }
    }
}

/// Brackets that are open.
#[derive(Default)]
struct Open {
    /// Places in [`Open::KINDS`].
    kinds: Vec<usize>,
    /// How many of each there are, so that nobody looks for one that is not there.
    counts: [usize; 3],
}

impl Open {
    const KINDS: [(char, char); 3] = [('(', ')'), ('[', ']'), ('{', '}')];

    /// Takes one character of a token; gives how many brackets it leaves without a partner.
    fn take(&mut self, token: char) -> usize {
        for (kind, (opens, closes)) in Open::KINDS.into_iter().enumerate() {
            if token == opens {
                self.kinds.push(kind);
                self.counts[kind] += 1;
            } else if token == closes {
                return self.close(kind);
            }
        }
        0
    }

    fn close(&mut self, kind: usize) -> usize {
        if self.counts[kind] == 0 {
            return 1;
        }
        let mut crossed = 0;
        while let Some(last) = self.kinds.pop() {
            self.counts[last] -= 1;
            if last == kind {
                break;
            }
            crossed += 1;
        }
        crossed
    }
}
