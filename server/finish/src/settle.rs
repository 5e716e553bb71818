//! Settle: what of a raw answer is worth keeping.
//!
//! Takes the answer and the question, and nothing else, so that what it gives can be stored and
//! used again while the text around it changes. Line ends come out as line feeds; `fit` writes the
//! document's own.

use crate::ask::Ask;
use crate::filter::{head, minimum, repetition, unprintable};
use crate::lines;
use crate::scope;
use crate::why::Why;

/// An answer without what no text could use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The text to insert at the cursor it was asked at. Never blank.
    pub text: String,
}

/// Cuts `raw` to its scope, takes loops, stray characters and blanks away, and withholds what then
/// says too little.
pub fn settle(raw: &str, ask: &Ask) -> Result<Settled, Why> {
    let text = lines::unified(raw);
    let text = unprintable::cut(&text);
    if text.trim().is_empty() {
        return Err(Why::Blank);
    }
    let text = &text[..scope::end(text, ask, true).unwrap_or(text.len())];
    if text.trim().is_empty() {
        return Err(Why::OutOfScope);
    }
    let text = head::align(text, ask);
    let text = repetition::cut(&text)?;
    // A blank at the end has a meaning only before code on the same line.
    let text = match text::closers_tail(&ask.line_right) {
        Some(_) => text.trim_end(),
        None => text.trim_end_matches('\n'),
    };
    minimum::check(text)?;
    Ok(Settled {
        text: text.to_owned(),
    })
}

/// What of an answer is in whole lines: for one that was ended by its length, whose last line is
/// likely to be half a one. An answer of a single line comes back as it is.
pub fn whole_lines(raw: &str) -> &str {
    match raw.trim_end_matches(['\n', '\r']).rfind(['\n', '\r']) {
        Some(end) if raw[..end].contains(|c: char| !c.is_whitespace()) => &raw[..end],
        _ => raw,
    }
}

#[cfg(test)]
mod tests {
    use super::whole_lines;

    #[test]
    fn half_lines_are_left_out_if_there_are_others() {
        assert_eq!(whole_lines("a\nb\nc = d."), "a\nb");
        assert_eq!(whole_lines("c = d."), "c = d.");
        assert_eq!(whole_lines("\n    c = d."), "\n    c = d.");
        assert_eq!(whole_lines("a\r\nb"), "a\r");
    }
}
