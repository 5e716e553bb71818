//! The tail of closers that an editor's auto-pairing leaves behind the cursor.
//!
//! Takes what follows the cursor on its line; gives how much of it may belong
//! to a completion's replaced range. Whether to replace it is `finish`'s choice.

/// Bytes of `line_rest`, up to the end of the line, if all of it closes
/// something: closing brackets, quotes, `;`, `,` and blanks.
///
/// `line_rest` starts at the cursor. `Some(0)` if nothing follows the cursor,
/// `None` if there is anything else on the line: then the cursor is amid code.
pub fn closers_tail(line_rest: &str) -> Option<usize> {
    let line = line_rest
        .split(['\n', '\r'])
        .next()
        .expect("a split gives at least one part");
    line.chars()
        .all(|c| {
            matches!(
                c,
                ')' | ']' | '}' | '>' | '"' | '\'' | '`' | ';' | ',' | ' ' | '\t'
            )
        })
        .then_some(line.len())
}

/// Bytes of `line` before the closers at its end: what a person has to write whose editor closes brackets and quotes.
pub fn before_closers(line: &str) -> usize {
    let mut starts = line.char_indices().map(|(index, _)| index);
    starts
        .find(|&index| closers_tail(&line[index..]).is_some())
        .unwrap_or(line.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_closes_is_not_counted() {
        for (line, want) in [
            ("", 0),
            (");", 0),
            ("a, b);", 4),
            ("f(x) {", 6),
            ("é\")", 2),
        ] {
            assert_eq!(before_closers(line), want, "{line:?}");
        }
    }

    #[test]
    fn only_closers_to_the_end_of_the_line_are_a_tail() {
        let table = [
            ("", Some(0)),
            ("\n", Some(0)),
            ("\r\nnext", Some(0)),
            (")", Some(1)),
            (");", Some(2)),
            ("\"])});", Some(6)),
            ("'),  \t", Some(6)),
            ("`}>\nfoo(", Some(3)),
            ("   ", Some(3)),
            (") \r\n", Some(2)),
            (") {", None),
            ("):", None),
            ("(", None),
            ("foo)", None),
            (") // why", None),
            ("”", None),
            ("é)", None),
        ];
        for (rest, tail) in table {
            assert_eq!(closers_tail(rest), tail, "{rest:?}");
        }
    }
}
