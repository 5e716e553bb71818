//! Answers amid a line that has code after the cursor: they may fill the gap and nothing else.

use crate::ask::Ask;
use crate::brackets::scan;
use crate::lines::is_telling;

/// What may be inserted before `ask.line_right`, best first: the answer without what stands there
/// already, without the brackets that it closes for others, and last as it is.
pub(crate) fn candidates(text: &str, ask: &Ask) -> Vec<String> {
    let line = text.split('\n').next().unwrap_or_default();
    let met = &line[..line.len() - overlap(line, &ask.line_right)];
    let mut candidates = vec![met, unclosed(met, ask)];
    // A telling overlap is a repetition; a single quote or comma may be chance.
    if !line[met.len()..].contains(char::is_alphanumeric) {
        candidates.extend([line, unclosed(line, ask)]);
    }
    let mut distinct: Vec<String> = Vec::new();
    for candidate in candidates {
        if !distinct.iter().any(|other| other == candidate) {
            distinct.push(candidate.to_owned());
        }
    }
    distinct
}

/// Bytes at the end of `line` that repeat what `right` begins with: all of `right` if the answer has it
/// anywhere, for what follows it then stands after it too. Words are met whole or not at all.
fn overlap(line: &str, right: &str) -> usize {
    let right = right.trim_end();
    let starts_word = |at: usize| {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        !(line[..at].ends_with(is_word) && line[at..].starts_with(is_word))
    };
    let meets = |at: &usize| {
        let rest = &line[*at..];
        let all = is_telling(right) && rest.starts_with(right.trim_start());
        starts_word(*at) && (all || right.starts_with(rest) || right.trim_start().starts_with(rest))
    };
    let mut places = line.char_indices().map(|(at, _)| at);
    let kept = &line[..places.find(meets).unwrap_or(line.len())];
    let kept = if right.starts_with([' ', '\t']) {
        kept.trim_end_matches([' ', '\t'])
    } else {
        kept
    };
    line.len() - kept.len()
}

/// The line without the closing brackets at its end that close nothing of its own.
fn unclosed<'a>(line: &'a str, ask: &Ask) -> &'a str {
    let inside = scan(&ask.line_left, None, ask.language).inside;
    let mut kept = line;
    for (at, closer) in scan(line, inside, ask.language).closed.into_iter().rev() {
        if at + closer.len_utf8() != kept.len() {
            break;
        }
        kept = &kept[..at];
    }
    kept
}
