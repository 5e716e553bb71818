//! Stop: has the answer that is being written left what was asked for, or lost its thread?
//!
//! Takes the answer in pieces as the model writes it and says when to stop decoding. What is cut
//! off at the end is settled later by the same rules.

use crate::ask::Ask;
use crate::filter::repetition;
use crate::scope;

/// Watches one answer grow.
#[derive(Clone, Debug)]
pub struct Stop {
    ask: Ask,
    answer: String,
    after_return: bool,
}

impl Stop {
    /// A watch for an answer to `ask`.
    pub fn new(ask: &Ask) -> Stop {
        Stop {
            ask: ask.clone(),
            answer: String::new(),
            after_return: false,
        }
    }

    /// Takes the next piece of the answer. True once the answer has left its scope or goes round in
    /// circles: nothing that could still come would be used.
    pub fn push(&mut self, piece: &str) -> bool {
        // The two halves of CRLF may come in different pieces.
        for c in piece.chars() {
            match c {
                '\r' => self.answer.push('\n'),
                '\n' if self.after_return => {}
                _ => self.answer.push(c),
            }
            self.after_return = c == '\r';
        }
        // An answer has at most some hundred short pieces, so reading it from the start each time
        // costs less than one layer of the model, and there is one set of rules.
        scope::end(&self.answer, &self.ask, false).is_some() || repetition::has_begun(&self.answer)
    }
}

#[cfg(test)]
mod tests {
    use grammars::Language;
    use text::Snapshot;
    use text::fixture::cursor;

    use super::*;
    use crate::Until;

    /// What of `answer` had come when the watch said stop, read character by character.
    fn read(marked: &str, until: Until, answer: &str) -> String {
        let (text, offset) = cursor(marked);
        let language = Language::named("python").expect("a language of the table");
        let snapshot = Snapshot::new(&text, language);
        let mut stop = Stop::new(&Ask::at(&snapshot, offset, until));
        let mut read = String::new();
        for c in answer.chars() {
            read.push(c);
            if stop.push(c.encode_utf8(&mut [0; 4])) {
                break;
            }
        }
        read
    }

    #[test]
    fn a_line_ends_at_its_end() {
        assert_eq!(read("x = ‸", Until::Line, "f(1,\n2)\n"), "f(1,\n");
        assert_eq!(read("x = ‸", Until::Line, "1\r\ny"), "1\r");
        assert_eq!(
            read("    ‸", Until::Line, "\n\n    x = 1\ny"),
            "\n\n    x = 1\n"
        );
    }

    #[test]
    fn a_statement_ends_when_nothing_is_open() {
        assert_eq!(read("x = ‸", Until::Statement, "f(1,\n2)\ny"), "f(1,\n2)\n");
        assert_eq!(read("x = f(‸", Until::Statement, "1,\n2)\ny"), "1,\n2)\n");
        assert_eq!(read("x = f(‸)", Until::Statement, "1,\n2)\ny"), "1,\n2)\n");
        assert_eq!(read("x = f(‸)", Until::Statement, "1\ny)"), "1\n");
        assert_eq!(
            read("x = ‸", Until::Statement, "1 + \\\n2\ny"),
            "1 + \\\n2\n"
        );
        let endless = "(\n".repeat(20);
        assert_eq!(read("x = ‸", Until::Statement, &endless), "(\n".repeat(8));
    }

    #[test]
    fn a_block_ends_where_the_indentation_does() {
        let run_on = "if a:\n    b\nelse:\n    c\nd = 1\n";
        assert_eq!(
            read("‸", Until::Block, run_on),
            "if a:\n    b\nelse:\n    c\nd "
        );
        let run_on = "if a:\n        b\n    else:\n        c\nd = 1\n";
        assert_eq!(
            read("def f():\n    ‸", Until::Block, run_on),
            "if a:\n        b\n    else:\n        c\nd "
        );
        assert_eq!(
            read("    ‸", Until::Block, "a\n    b\n\n    c\n\n\n    d"),
            "a\n    b\n\n    c\n\n\n"
        );
        assert_eq!(read("‸", Until::Block, "a {\n  b\n}\nc"), "a {\n  b\n}\n");
        assert_eq!(read("f {‸", Until::Block, "\n  b\n}\nc"), "\n  b\n}\n");
        let endless: String = (0..20).map(|line| format!("x = {line}\n")).collect();
        assert_eq!(read("‸", Until::Block, &endless).matches('\n').count(), 12);
    }

    #[test]
    fn an_answer_that_goes_round_in_circles_ends_there() {
        let endless = "total += 1\n".repeat(20);
        assert_eq!(read("‸", Until::Block, &endless), "total += 1\n".repeat(3));
        let endless = "get(".repeat(20);
        assert_eq!(read("x = ‸", Until::Line, &endless), "get(".repeat(8));
    }
}
