//! The answer meets the newest text: the user has typed on while the model ran.

use finish::Settled;
use text::Snapshot;

/// An answer meeting the newest text.
pub(super) struct Now {
    pub snapshot: Snapshot,
    pub offset: usize,
    pub settled: Settled,
}

impl Now {
    /// Catches up with what happened since `asked`: nothing, or the user typed the beginning of the
    /// answer, so that the rest of it is the answer now. None if anything else happened.
    pub fn after(mut self, asked: &Snapshot) -> Option<Now> {
        if self.snapshot.version() == asked.version() && self.snapshot.len() == asked.len() {
            return Some(self);
        }
        let added = self.snapshot.len().checked_sub(asked.len())?;
        let cursor = self.offset + added;
        let typed = self.snapshot.slice(self.offset..cursor);
        let rest = self.settled.text.strip_prefix(typed.as_str())?;
        let around =
            |text: &Snapshot, cursor| [text.slice(0..self.offset), text.slice(cursor..text.len())];
        let only_typed = !typed.contains(['\n', '\r'])
            && around(&self.snapshot, cursor) == around(asked, self.offset);
        if rest.is_empty() || !only_typed {
            return None;
        }
        self.settled = Settled {
            text: rest.to_owned(),
        };
        self.offset = cursor;
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use grammars::Language;
    use text::{Document, Edit};

    use super::*;

    const ASKED: &str = "fn f() {\n    ret\n}\n";
    const CURSOR: usize = 16;

    /// What is left of the answer `urn x;` at which offset, after these edits.
    fn left(edits: &[(usize, usize, &str)]) -> Option<(String, usize)> {
        let mut document = Document::new(ASKED, 1, Language::PLAIN);
        let asked = document.snapshot();
        for (start, end, text) in edits {
            document.edit(&Edit {
                range: *start..*end,
                text: (*text).to_owned(),
            });
            document.set_version(document.version() + 1);
        }
        let settled = Settled {
            text: "urn x;".to_owned(),
        };
        let now = Now {
            snapshot: document.snapshot(),
            offset: CURSOR,
            settled,
        };
        now.after(&asked).map(|now| (now.settled.text, now.offset))
    }

    fn some(text: &str, offset: usize) -> Option<(String, usize)> {
        Some((text.to_owned(), offset))
    }

    #[test]
    fn what_was_typed_along_is_taken_off_the_answer() {
        assert_eq!(left(&[]), some("urn x;", 16));
        assert_eq!(left(&[(16, 16, "u"), (17, 17, "r")]), some("n x;", 18));
    }

    #[test]
    fn anything_else_voids_the_answer() {
        let cases: [&[(usize, usize, &str)]; 6] = [
            &[(16, 16, "a")],
            &[(16, 16, "urn x;")],
            &[(15, 16, "")],
            &[(0, 2, "pub fn")],
            &[(0, 1, "F")],
            &[(16, 16, "u"), (0, 1, "F")],
        ];
        for edits in cases {
            assert_eq!(left(edits), None, "{edits:?}");
        }
    }
}
