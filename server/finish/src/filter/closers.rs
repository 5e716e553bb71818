//! Answers that close brackets and quotes which an editor has closed already.
//!
//! Where nothing but closers stands after the cursor, the answer's own closers take their place:
//! the item then covers them, and nothing stands there twice.

use crate::ask::Ask;
use crate::brackets::scan;

/// A text to insert and the bytes after the cursor that it takes the place of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// The text.
    pub text: String,
    /// Bytes of the cursor's line, from the cursor on.
    pub replaced: usize,
}

impl Piece {
    pub(crate) fn new(text: &str, replaced: usize) -> Piece {
        Piece {
            text: text.to_owned(),
            replaced,
        }
    }
}

/// Joins an answer with the closers that follow the cursor on its line.
pub(crate) fn join(text: &str, ask: &Ask) -> Piece {
    let tail = ask.line_right.trim_end();
    let is_tail = text::closers_tail(&ask.line_right).is_some() && !tail.is_empty();
    if !is_tail {
        return Piece::new(text, 0);
    }
    let said = said(text, ask, tail);
    let rest = &tail[said..];
    let separators = rest.trim_start();
    let says_rest = !separators.is_empty()
        && separators.chars().all(|c| matches!(c, ';' | ','))
        && text.ends_with(separators);
    let covered = if says_rest { tail } else { &tail[..said] };
    if !covered.is_empty() {
        // Where the answer ends just as the line does, nothing needs to be covered.
        let (text, replaced) = match text.strip_suffix(covered) {
            Some(text) => (text, 0),
            None => (text, covered.len()),
        };
        return Piece::new(text, replaced);
    }
    // The answer leaves the closers to those that are there. Then it does not end the statement
    // before them, and closers of a block that it has filled stand on their own line.
    let text = text
        .strip_suffix(';')
        .filter(|_| tail.ends_with(';'))
        .unwrap_or(text);
    let fills_block = text.starts_with('\n') && tail.starts_with(['}', ')', ']']);
    let break_line = if fills_block {
        format!("\n{}", ask.indent)
    } else {
        String::new()
    };
    Piece::new(&format!("{text}{break_line}"), 0)
}

/// The piece whose last closers are those that follow the cursor: what it opens, they close. None if they are others.
pub(crate) fn shared(piece: &Piece, ask: &Ask) -> Option<Piece> {
    if piece.replaced > 0 || text::closers_tail(&ask.line_right).is_none() {
        return None;
    }
    let tail = ask.line_right.trim_end();
    let ends = tail.char_indices().map(|(at, c)| at + c.len_utf8());
    let end = ends.rev().find(|&end| piece.text.ends_with(&tail[..end]))?;
    let text = &piece.text[..piece.text.len() - end];
    Some(Piece::new(text, 0))
}

/// Bytes of `tail` whose closers the answer says itself.
fn said(text: &str, ask: &Ask, tail: &str) -> usize {
    let inside = scan(&ask.line_left, None, ask.language).inside;
    let mut answer = scan(text, inside, ask.language);
    // In a string brackets are text, but an editor closes them there, too.
    if inside.is_some() && answer.inside == inside {
        answer = scan(text, None, ask.language);
    }
    let mut closed = answer.closed.into_iter().map(|(_, c)| c).peekable();
    let mut said = 0;
    for (at, closer) in tail.char_indices() {
        if closed.next_if_eq(&closer).is_some() {
            said = at + closer.len_utf8();
        } else if !matches!(closer, ' ' | '\t') {
            break;
        }
    }
    // Angle brackets are brackets only where types are written, so they are counted here alone.
    let count = |bracket: char| text.matches(bracket).count();
    let ends = text.trim_end_matches([';', ',']).ends_with('>');
    if said == 0 && tail.starts_with('>') && ends && count('>') > count('<') {
        said = 1;
    }
    said
}
