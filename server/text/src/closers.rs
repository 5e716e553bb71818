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

#[cfg(test)]
mod tests {
    use super::*;

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
