//! Typed along a stored answer: what is left of it.
//!
//! Takes an answer and what was typed since it was asked for; gives the part still to be typed, or
//! nothing if the two disagree. The comparison knows two ways in which an editor changes what it
//! shows or inserts: line ends and indentation follow the file, and typing an opening bracket may
//! bring its closing one along.

/// Characters that may have been typed since an answer was asked for. Beyond that the user is
/// writing something else that happens to start alike.
pub const REACH: usize = 128;

const BLANKS: [char; 2] = [' ', '\t'];

/// What is left of `answer` after `typed`, if `typed` is how the answer begins and something other
/// than blanks is left.
pub(crate) fn rest<'a>(answer: &'a str, typed: &str) -> Option<&'a str> {
    // Finishing drops the blanks at an answer's head where the line has them already, so the user
    // who types along what is shown leaves them out.
    let rest =
        follow(answer, typed).or_else(|| follow(answer.trim_start_matches(BLANKS), typed))?;
    (!rest.trim().is_empty()).then_some(rest)
}

fn follow<'a>(answer: &'a str, typed: &str) -> Option<&'a str> {
    let (mut answer, mut typed) = (answer, typed);
    while let Some(next) = typed.chars().next() {
        if let Some(below) = after_newline(typed) {
            (answer, typed) = after_indentation(after_newline(answer)?, below)?;
        } else {
            answer = answer.strip_prefix(next)?;
            typed = &typed[next.len_utf8()..];
        }
    }
    Some(answer)
}

fn after_newline(text: &str) -> Option<&str> {
    text.strip_prefix("\r\n")
        .or_else(|| text.strip_prefix(['\n', '\r']))
}

/// Passes the blanks at the start of a line in both texts.
fn after_indentation<'a, 'b>(answer: &'a str, typed: &'b str) -> Option<(&'a str, &'b str)> {
    let answer_line = answer.trim_start_matches(BLANKS);
    let typed_line = typed.trim_start_matches(BLANKS);
    let answer_blanks = &answer[..answer.len() - answer_line.len()];
    let typed_blanks = &typed[..typed.len() - typed_line.len()];
    if typed_line.is_empty() && answer_blanks.starts_with(typed_blanks) {
        return Some((&answer[typed_blanks.len()..], ""));
    }
    let same = answer_blanks == typed_blanks || other_unit(answer_blanks, typed_blanks);
    same.then_some((answer_line, typed_line))
}

/// One is tabs and the other spaces: the answer was shown in the unit of the file.
fn other_unit(one: &str, two: &str) -> bool {
    let only = |text: &str, blank: char| !text.is_empty() && text.chars().all(|c| c == blank);
    (only(one, '\t') && only(two, ' ')) || (only(one, ' ') && only(two, '\t'))
}

/// Whether `rest` itself says, in this order, the closing brackets and quotes in `inserted`, which
/// the editor has put behind the cursor while the user typed.
pub(crate) fn closes(rest: &str, inserted: &str) -> bool {
    let mut wanted = inserted.chars().filter(|c| !BLANKS.contains(c)).peekable();
    let mut open = 0_usize;
    for c in rest.chars() {
        let Some(&next) = wanted.peek() else { break };
        match c {
            '(' | '[' | '{' => open += 1,
            ')' | ']' | '}' if open > 0 => open -= 1,
            _ if c == next && open == 0 => {
                wanted.next();
            }
            ')' | ']' | '}' => return false,
            _ => {}
        }
    }
    wanted.peek().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn gives_what_is_left() {
        let cases = [
            ("return x", "ret", Some("urn x")),
            ("return x", "rat", None),
            ("return x", "return x", None),
            ("return x", "return x;", None),
            ("  return x", "re", Some("turn x")),
            ("größe + 1", "grö", Some("ße + 1")),
            ("{\n    a();\n}", "{\n    ", Some("a();\n}")),
            ("{\n    a();\n}", "{\r\n    a", Some("();\n}")),
            ("{\n    a();\n}", "{\n  ", Some("  a();\n}")),
            ("{\n    a();\n}", "{\n\t", Some("a();\n}")),
            ("{\n    a();\n}", "{\n\ta", Some("();\n}")),
            ("{\n    a();\n}", "{\n        ", None),
            ("{\n    a();\n}", "{\n  a", None),
            ("a\n   ", "a", None),
        ];
        for (answer, typed, expected) in cases {
            assert_eq!(rest(answer, typed), expected, "{answer:?} after {typed:?}");
        }
    }

    #[test]
    fn knows_closers_that_the_answer_says_itself() {
        assert!(closes("a, b):", ")"));
        assert!(closes("f(a), [b])", ")"));
        assert!(closes("world\")", "\")"));
        assert!(!closes("a, b", ")"));
        assert!(!closes("a]", ")"));
        assert!(!closes("f(a)", ")"));
        assert!(closes("anything", ""));
    }

    /// Without what the editor may change: the unit of indentation, line ends, blanks at the head.
    fn plain(text: &str) -> Vec<String> {
        let text = text
            .trim_start_matches(BLANKS)
            .replace("\r\n", "\n")
            .replace('\r', "\n");
        text.split('\n')
            .map(|line| line.trim_start_matches(BLANKS).to_owned())
            .collect()
    }

    proptest! {
        #[test]
        fn never_contradicts_what_was_typed(
            answer in "[ab(){} \t\n\"é]{0,24}",
            typed in "[ab(){} \t\r\n\"é]{1,8}",
            cut in 0..24_usize,
            along: bool,
        ) {
            let cut = answer.char_indices().map(|(at, _)| at).nth(cut).unwrap_or(answer.len());
            let typed = if along { answer[..cut].to_owned() } else { typed };
            if let Some(rest) = rest(&answer, &typed) {
                prop_assert!(answer.ends_with(rest));
                // A lone CR is a line's end of its own, also before an LF of the rest.
                let typed = typed.replace("\r\n", "\n").replace('\r', "\n");
                prop_assert_eq!(plain(&format!("{typed}{rest}")), plain(&answer));
            } else if along {
                prop_assert!(answer[cut..].trim().is_empty());
            }
        }
    }
}
