//! Fit: an item that can be put into the text as it is now, or the reason why there is none.
//!
//! Takes settled text, new or from the cache, and the newest snapshot. The filters run in an order
//! in which each finds what the one before has left right: indentation, what follows, closing
//! brackets, and last the syntax of the whole, which trims line by line until the text is no worse
//! than before.

use std::ops::Range;

use text::Snapshot;

use crate::ask::Ask;
use crate::filter::closers::{self, Piece};
use crate::filter::syntax::Gate;
use crate::filter::{following, indentation, midline, minimum, preceding};
use crate::settle::Settled;
use crate::why::Why;

/// A completion as it goes into the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The text that takes the place of `range`, with the document's line ends.
    pub text: String,
    /// Bytes that are replaced, on the cursor's line: empty, at the cursor, unless closing brackets
    /// to the right are part of what the item says.
    pub range: Range<usize>,
    /// What appears at the cursor. The same as `text` as long as items begin at the cursor.
    pub ghost: String,
}

/// Fits `settled` into `snapshot` at byte `offset`. `ask` is the question as the text is now, and
/// `over` says when the time for parsing is over; past it, fewer things are checked.
pub fn fit(
    settled: &Settled,
    ask: &Ask,
    snapshot: &Snapshot,
    offset: usize,
    over: &mut dyn FnMut() -> bool,
) -> Result<Item, Why> {
    let text = indentation::align(&settled.text, ask, snapshot, offset);
    preceding::check(&text, ask, snapshot, offset)?;
    let below = following::below(snapshot, offset);
    let text = following::cut(&text, ask, &below);
    if text.trim().is_empty() {
        return Err(Why::RepeatsFollowing);
    }
    // What is left of a stored answer may be closing brackets alone; what is trimmed here may not.
    let closers_will_do = minimum::check(&settled.text).is_err();
    let gate = Gate::new(snapshot, offset, ask, over);
    let newline = newline(snapshot, offset);
    let mut why = None;
    for mut piece in pieces(text, ask) {
        // Closers that nothing has opened so far may be the answer's own.
        let shared = closers::shared(&piece, ask);
        if let Some(shared) = shared.filter(|shared| gate.mends(shared, over)) {
            piece = shared;
        }
        // What is left of an answer may be half of the next line, which the whole of it was not.
        let repeats = following::cut(&piece.text, ask, &below).len() < piece.text.len();
        if repeats || piece.text.trim().is_empty() {
            why = why.or(Some(Why::RepeatsFollowing));
            continue;
        }
        piece.text = piece.text.replace('\n', newline);
        let says_enough = if closers_will_do {
            Ok(())
        } else {
            minimum::check(&piece.text)
        };
        match says_enough.and_then(|()| gate.admit(&piece, over)) {
            Ok(()) => return Ok(item(piece, offset)),
            Err(refused) => why = why.or(Some(refused)),
        }
    }
    Err(why.unwrap_or(Why::Blank))
}

fn item(piece: Piece, offset: usize) -> Item {
    Item {
        ghost: piece.text.clone(),
        text: piece.text,
        range: offset..offset + piece.replaced,
    }
}

/// What of the answer may be inserted, best first: what fits the gap if code follows on the line,
/// else the whole answer and then ever fewer of its lines.
fn pieces(text: &str, ask: &Ask) -> Vec<Piece> {
    if text::closers_tail(&ask.line_right).is_none() {
        let candidates = midline::candidates(text, ask).into_iter();
        return candidates.map(|text| Piece::new(&text, 0)).collect();
    }
    let ends = text
        .match_indices('\n')
        .map(|(at, _)| at)
        .chain([text.len()]);
    let mut prefixes: Vec<&str> = ends.map(|end| text[..end].trim_end()).collect();
    prefixes.dedup();
    prefixes
        .into_iter()
        .rev()
        .map(|prefix| closers::join(prefix, ask))
        .collect()
}

/// How the document ends its lines: as the cursor's, or the one before if that is the last.
fn newline(snapshot: &Snapshot, offset: usize) -> &'static str {
    let line = snapshot.line_of(offset);
    let ends =
        |line: usize| snapshot.slice(snapshot.line_range(line).end..snapshot.line_start(line + 1));
    let end = match ends(line) {
        end if end.is_empty() && line > 0 => ends(line - 1),
        end => end,
    };
    match end.as_str() {
        "\r\n" => "\r\n",
        "\r" => "\r",
        _ => "\n",
    }
}
