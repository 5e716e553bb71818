//! How far an answer belongs to what was asked for.
//!
//! Takes an answer, whole or still coming, and gives the byte at which it leaves its line,
//! statement or block. [`Stop`](crate::Stop) asks while the model writes and
//! [`settle`](crate::settle()) once more at the end, so that both always agree.

use crate::ask::{Ask, Until};
use crate::brackets::scan;
use crate::lines::{columns, numbered, words};

/// Lines that a statement may go over. Longer ones are lists and tables, where a model of any size
/// soon invents.
const STATEMENT_LINES: usize = 8;

/// Lines of a block that are worth showing: about what is read at a glance.
const BLOCK_LINES: usize = 12;

/// Blank lines that a model may put before it says anything.
const LEADING_LINES: usize = 3;

/// Words that carry a compound statement on at its own indentation.
const CLAUSES: [&str; 10] = [
    "else", "elif", "elsif", "elseif", "except", "catch", "finally", "rescue", "ensure", "while",
];

/// Words that end a block where brackets do not.
const ENDS: [&str; 4] = ["end", "fi", "done", "esac"];

/// The bytes of `answer` that are in scope, or `None` if all of it is and more might be. `whole`
/// says that nothing more will come, so that its last line can be judged like the others.
pub(crate) fn end(answer: &str, ask: &Ask, whole: bool) -> Option<usize> {
    let blank = &answer[..answer.len() - answer.trim_start().len()];
    if blank.matches('\n').count() > LEADING_LINES {
        return Some(0);
    }
    let start = if ask.starts_line() {
        leading_lines(answer)
    } else {
        0
    };
    let body = &answer[start..];
    let end = match ask.until {
        Until::Line => body.find('\n'),
        Until::Statement => statement_end(body, ask),
        Until::Block => block_end(body, ask, whole),
    };
    end.map(|end| start + end)
}

/// Bytes of the blank lines at the start of an answer.
pub(crate) fn leading_lines(answer: &str) -> usize {
    let blank = answer.len() - answer.trim_start().len();
    answer[..blank].rfind('\n').map_or(0, |at| at + 1)
}

/// The first line end at which nothing is open that the text to the right does not close. Between
/// brackets that are closed there already, a line that ends in a comma still goes on.
fn statement_end(answer: &str, ask: &Ask) -> Option<usize> {
    let left = scan(&ask.line_left, None, ask.language);
    let right = scan(&ask.line_right, left.inside, ask.language);
    let ends = answer.match_indices('\n').map(|(at, _)| at);
    ends.enumerate().find_map(|(line, at)| {
        let before = format!("{}{}", ask.line_left, &answer[..at]);
        let open = scan(&before, None, ask.language).open_count();
        let amid_list = open > 0 && before.trim_end().ends_with([',', '(', '[', '{']);
        let goes_on = open > right.closed.len() || amid_list || before.ends_with('\\');
        (!goes_on || line + 1 == STATEMENT_LINES).then_some(at)
    })
}

/// Inside a body a block is the run of lines that are not indented less than the cursor's. Behind a
/// head, or in the first column, where everything is a body, it is one compound statement with its
/// clauses. The line that closes the block is its last.
fn block_end(answer: &str, ask: &Ask, whole: bool) -> Option<usize> {
    let mut lines = numbered(answer).map(|(start, line)| {
        let end = start + line.len();
        Line {
            end,
            text: line,
            ended: whole || end < answer.len(),
        }
    });
    let first = lines.next()?;
    if ask.starts_line() && first.ended && matches!(first.kind(), Kind::Closer) {
        return Some(first.end);
    }
    let base = base(&first, ask);
    let mut kept = first.end;
    let in_body = ask.starts_line() && base > 0;
    let mut floor = in_body.then_some(base);
    let mut shown = 1;
    let mut blank = 0;
    for line in lines {
        if line.text.trim().is_empty() {
            blank += usize::from(line.ended && kept > 0);
            if blank == 2 {
                return Some(kept);
            }
            continue;
        }
        blank = 0;
        shown += 1;
        if shown > BLOCK_LINES {
            return Some(kept);
        }
        let column = columns(line.text);
        let floor = *floor.get_or_insert(if column > base { base + 1 } else { base });
        if column < floor {
            match line.kind() {
                Kind::Unclear => return None,
                Kind::Clause if column == base => {}
                Kind::Closer if line.ended => return Some(line.end),
                Kind::Closer => return None,
                _ => return Some(kept),
            }
        }
        kept = line.end;
    }
    None
}

/// The indentation of the block: the cursor's, or that of the answer's first line if the cursor
/// stands at the very start of a line.
fn base(first: &Line<'_>, ask: &Ask) -> usize {
    if ask.line_left.is_empty() {
        columns(first.text)
    } else {
        columns(&ask.indent)
    }
}

/// A line of an answer.
struct Line<'a> {
    text: &'a str,
    /// Where it ends in the answer.
    end: usize,
    /// Whether all of it is there.
    ended: bool,
}

/// What a line that is indented less means for the block.
enum Kind {
    /// Half a word: more text is needed to tell.
    Unclear,
    /// It carries the statement on: `else:`, `} catch {`.
    Clause,
    /// It closes the block: `}`, `});`, `end`.
    Closer,
    /// It begins something else.
    Other,
}

impl Line<'_> {
    fn kind(&self) -> Kind {
        let text = self.text.trim_start();
        let after = text.trim_start_matches([')', ']', '}']);
        let closes = after.len() < text.len();
        if !self.ended && (closes || after.chars().all(char::is_alphanumeric)) {
            return Kind::Unclear;
        }
        match words(after).next() {
            Some(word) if after.trim_start().starts_with(word) && CLAUSES.contains(&word) => {
                Kind::Clause
            }
            _ if closes && after.trim_end().ends_with(['{', '(', '[']) => Kind::Clause,
            Some(word) if after.starts_with(word) && ENDS.contains(&word) => Kind::Closer,
            _ if closes => Kind::Closer,
            _ => Kind::Other,
        }
    }
}
