//! What was asked for, as finishing needs to know it: how far the answer may go, and the cursor's
//! line on both sides.

use grammars::Language;
use text::Snapshot;

/// What an answer may cover at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// The rest of the cursor's line.
    Line,
    /// The statement at the cursor, which may go on over lines while brackets are open.
    Statement,
    /// The block at the cursor: lines that are not indented less.
    Block,
}

/// A question for a completion, without the text far from the cursor.
#[derive(Clone, Debug)]
pub struct Ask {
    /// What the answer may cover at most.
    pub until: Until,
    /// The blanks at the start of the cursor's line.
    pub indent: String,
    /// The cursor's line before the cursor.
    pub line_left: String,
    /// The cursor's line after the cursor, without its end.
    pub line_right: String,
    /// The language of the document.
    pub language: Language,
}

impl Ask {
    /// The question that a cursor at byte `offset` of `snapshot` asks.
    pub fn at(snapshot: &Snapshot, offset: usize, until: Until) -> Ask {
        let line = snapshot.line_range(snapshot.line_of(offset));
        let offset = offset.clamp(line.start, line.end);
        let whole = snapshot.slice(line.clone());
        let blanks = whole.len() - whole.trim_start_matches([' ', '\t']).len();
        Ask {
            until,
            indent: whole[..blanks].to_owned(),
            line_left: snapshot.slice(line.start..offset),
            line_right: snapshot.slice(offset..line.end),
            language: snapshot.language(),
        }
    }

    /// Whether nothing but blanks stands before the cursor on its line.
    pub(crate) fn starts_line(&self) -> bool {
        self.line_left.trim().is_empty()
    }
}
