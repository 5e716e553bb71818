//! Answers that begin wrong: with blank lines, with a space that is there already, or all over with
//! what stands before the cursor.

use std::borrow::Cow;

use crate::ask::{Ask, Until};
use crate::lines::blanks;
use crate::scope;

/// Characters of a word that must stand before the cursor for the word to be taken as said again.
const WORD_START: usize = 3;

/// The answer as it goes on from the cursor's line.
pub(crate) fn align<'a>(text: &'a str, ask: &Ask) -> Cow<'a, str> {
    if ask.starts_line() {
        // Indentation is seen to when the text around is at hand.
        return Cow::Borrowed(&text[scope::leading_lines(text)..]);
    }
    if text.trim_start_matches([' ', '\t']).starts_with('\n') {
        return Cow::Borrowed(below(text, ask));
    }
    let text = &text[said_again(text, &ask.line_left)..];
    let lead = blanks(text);
    let rest = &text[lead.len()..];
    if lead.is_empty() || ask.line_left.ends_with([' ', '\t', '(', '[', '.']) {
        Cow::Borrowed(rest)
    } else {
        Cow::Owned(format!(" {rest}"))
    }
}

/// An answer that begins on the next line: without blank lines in between.
fn below<'a>(text: &'a str, ask: &Ask) -> &'a str {
    match ask.until {
        Until::Block | Until::Statement => &text[scope::leading_lines(text).saturating_sub(1)..],
        Until::Line => text,
    }
}

/// Bytes at the start of `text` that stand at the end of `left` already: the whole line, or the
/// beginning of the word that the cursor is in.
fn said_again(text: &str, left: &str) -> usize {
    let line = left.trim_start();
    if line.chars().count() > WORD_START && text.starts_with(line) {
        return line.len();
    }
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let word = &left[left.trim_end_matches(is_word).len()..];
    let goes_on = |rest: &str| rest.starts_with(is_word);
    match text.strip_prefix(word) {
        Some(rest) if word.chars().count() >= WORD_START && goes_on(rest) => word.len(),
        _ => 0,
    }
}
