//! Where the cursor is, and therefore which blank it is.
//!
//! Takes a snapshot, its syntax if there is any, and the cursor; gives a [`Situation`] with the
//! mask token and how far an answer may reach, or [`Why`] no answer is wanted. Lines decide most of
//! it, the tree only whether the place is a string or a comment, so plain text has situations too.

use std::ops::Range;

use text::{Region, Snapshot, Syntax, closers_tail};

use crate::Error;
use crate::opener::opens_block;

/// Columns that a tab is wide when indentations are compared.
const TAB: usize = 4;

/// The mask token that stands for the blank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mask {
    /// `[MASK]`: a few tokens inside a line.
    Mask,
    /// `[sMASK]`: the rest of a line or statement.
    SMask,
    /// `[gMASK]`: a block, or what follows to the end.
    GMask,
}

/// What an answer may cover at most, from the cursor on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Until {
    /// The line's end.
    Line,
    /// The statement's end.
    Statement,
    /// The block's end.
    Block,
}

/// A cursor that can be completed. Ranges are bytes of the snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Situation {
    /// The kind of blank.
    pub mask: Mask,
    /// How far the answer may reach.
    pub until: Until,
    /// Code, string or comment.
    pub region: Region,
    /// The cursor.
    pub offset: usize,
    /// Columns of blank text at the start of the cursor's line, a tab being up to four.
    pub indent: usize,
    /// The cursor's line up to the cursor.
    pub line_left: Range<usize>,
    /// The cursor's line from the cursor on, without its terminator.
    pub line_right: Range<usize>,
    /// The innermost block around the cursor.
    pub scope: Option<Range<usize>>,
}

/// Why there is no prompt for a cursor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// Letters, digits or underscores stand on both sides: a name is being changed, not written.
    #[error("the cursor is inside a word")]
    InsideWord,
    /// The model cannot be asked.
    #[error(transparent)]
    Model(#[from] Error),
}

/// Says which blank the cursor at `offset` is. Without `syntax` everything counts as code.
pub fn situate(
    snapshot: &Snapshot,
    syntax: Option<&Syntax>,
    offset: usize,
) -> Result<Situation, Why> {
    let offset = offset.min(snapshot.len());
    let region = syntax.map_or(Region::Code, |syntax| syntax.region(offset));
    let scope = syntax.and_then(|syntax| syntax.block(offset));
    let situation = classify(snapshot, region, offset)?;
    Ok(Situation { scope, ..situation })
}

/// [`situate`] for a region that is known already; leaves the scope open.
pub(crate) fn classify(
    snapshot: &Snapshot,
    region: Region,
    offset: usize,
) -> Result<Situation, Why> {
    let number = snapshot.line_of(offset);
    let range = snapshot.line_range(number);
    // A cursor between CR and LF is at the end of its line.
    let offset = offset.min(range.end);
    let left = snapshot.slice(range.start..offset);
    let right = snapshot.slice(offset..range.end);
    let line = Line {
        snapshot,
        number,
        left: &left,
        right: &right,
    };
    if line.is_inside_word() {
        return Err(Why::InsideWord);
    }
    let (mask, until) = match region {
        _ if line.has_code_right() => (Mask::Mask, Until::Line),
        Region::String | Region::Comment => (Mask::SMask, Until::Line),
        Region::Code if line.is_in_empty_body() || line.is_at_end() => (Mask::GMask, Until::Block),
        Region::Code if snapshot.language().queries().is_some() => (Mask::SMask, Until::Statement),
        Region::Code => (Mask::SMask, Until::Line),
    };
    Ok(Situation {
        mask,
        until,
        region,
        offset,
        indent: columns(&snapshot.slice(range.clone())),
        line_left: range.start..offset,
        line_right: offset..range.end,
        scope: None,
    })
}

/// The cursor's line in its text.
struct Line<'a> {
    snapshot: &'a Snapshot,
    number: usize,
    left: &'a str,
    right: &'a str,
}

impl Line<'_> {
    fn is_inside_word(&self) -> bool {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        self.left.chars().next_back().is_some_and(is_word)
            && self.right.chars().next().is_some_and(is_word)
    }

    /// Whether more than closing brackets and the like follows on the line.
    fn has_code_right(&self) -> bool {
        closers_tail(self.right).is_none()
    }

    /// Whether the line is blank and nothing follows it.
    fn is_at_end(&self) -> bool {
        is_blank(self.left) && is_blank(self.right) && self.next_line().is_none()
    }

    /// Whether this line, or if it is blank the last one before it that is not, has just opened a
    /// block that has nothing in it yet.
    fn is_in_empty_body(&self) -> bool {
        let opener = if is_blank(self.left) {
            self.line_above()
        } else {
            Some(self.left.to_owned())
        };
        let Some(opener) = opener else {
            return false;
        };
        let language = self.snapshot.language();
        opens_block(language, &opener) && self.nothing_is_inside(columns(&opener))
    }

    /// Whether what follows the cursor is not indented deeper than a block's opener at `indent`.
    fn nothing_is_inside(&self, indent: usize) -> bool {
        if is_blank(self.right) {
            self.next_line().is_none_or(|line| columns(&line) <= indent)
        } else {
            self.right.trim_start().starts_with('}') || is_blank(self.left)
        }
    }

    fn line_above(&self) -> Option<String> {
        (0..self.number)
            .rev()
            .map(|line| self.text_of(line))
            .find(|line| !is_blank(line))
    }

    fn next_line(&self) -> Option<String> {
        let lines = self.number + 1..self.snapshot.line_count();
        lines
            .map(|line| self.text_of(line))
            .find(|line| !is_blank(line))
    }

    fn text_of(&self, line: usize) -> String {
        self.snapshot.slice(self.snapshot.line_range(line))
    }
}

fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

/// Columns of blank text at the start of a line.
fn columns(line: &str) -> usize {
    let mut columns = 0;
    for c in line.chars() {
        match c {
            ' ' => columns += 1,
            '\t' => columns += TAB - columns % TAB,
            _ => break,
        }
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;
    use grammars::Language;
    use text::fixture;

    /// The situation in short: mask, until, region.
    fn check(name: &str, marked: &str, expected: &str) {
        let (text, offset) = fixture::cursor(marked);
        let snapshot = Snapshot::new(&text, Language::named(name).unwrap_or(Language::PLAIN));
        let syntax = snapshot.syntax(&mut || false);
        let found = match situate(&snapshot, syntax.as_ref(), offset) {
            Ok(Situation {
                mask,
                until,
                region,
                ..
            }) => format!("{mask:?} {until:?} {region:?}"),
            Err(why) => why.to_string(),
        };
        assert_eq!(found, expected, "{name}: {marked}");
    }

    #[test]
    fn code_right_of_the_cursor_asks_for_a_few_tokens() {
        check("python", "x = ‸ + 1\n", "Mask Line Code");
        check("python", "f(‸, b)\n", "Mask Line Code");
        check("python", "    ‸x = 1\n", "Mask Line Code");
        check("python", "cou‸nt = 1\n", "the cursor is inside a word");
        check("rust", "fn f(‸) -> u8 {\n", "Mask Line Code");
    }

    #[test]
    fn an_open_end_asks_for_the_rest_of_the_statement() {
        check("python", "x = ‸\ny = 2\n", "SMask Statement Code");
        check("python", "print(len(‸))\n", "SMask Statement Code");
        check(
            "rust",
            "fn f() {\n    let x = v[‸];\n}\n",
            "SMask Statement Code",
        );
        check(
            "rust",
            "fn f() {\n    g();\n    ‸\n    h();\n}\n",
            "SMask Statement Code",
        );
        check(
            "python",
            "def f():\n    ‸\n    return 1\n",
            "SMask Statement Code",
        );
        check("json", "{\n  \"a\": ‸\n}\n", "SMask Line Code");
        check("plain", "Dear ‸\n\nYours\n", "SMask Line Code");
    }

    #[test]
    fn an_empty_body_or_the_end_of_the_file_asks_for_a_block() {
        check("python", "def f(x):‸\n", "GMask Block Code");
        check("python", "def f(x):\n    ‸\n", "GMask Block Code");
        check(
            "python",
            "class A:\n    def f(x):  # why\n\n        ‸\n\n    def g(x):\n",
            "GMask Block Code",
        );
        check("rust", "fn f() {‸}\n", "GMask Block Code");
        check("rust", "fn f() {\n    ‸\n}\n", "GMask Block Code");
        check("rust", "fn f() {\n‸}\n", "GMask Block Code");
        check(
            "typescript",
            "a.map((x) => {‸});\nb();\n",
            "GMask Block Code",
        );
        check("lua", "if x then\n  ‸\nend\n", "GMask Block Code");
        check("python", "x = 1\n\n‸\n", "GMask Block Code");
        check("python", "‸", "GMask Block Code");
        check("plain", "All is well.\n‸", "GMask Block Code");
    }

    #[test]
    fn strings_and_comments_end_with_their_line() {
        check("python", "x = \"a ‸ b\"\n", "Mask Line String");
        check("python", "x = \"a ‸\"\n", "SMask Line String");
        check("python", "# Why ‸\nx = 1\n", "SMask Line Comment");
        check("python", "# Why ‸ not\n", "Mask Line Comment");
        check("rust", "/* a\n ‸\n */\n", "SMask Line Comment");
        check("rust", "/// Opens {‸\nfn f() {}\n", "SMask Line Comment");
    }

    #[test]
    fn lines_and_scopes_are_told_in_bytes() {
        let (text, offset) = fixture::cursor("fn f() {\r\n\té(‸);\r\n}\r\n");
        let snapshot = Snapshot::new(&text, Language::named("rust").unwrap());
        let syntax = snapshot.syntax(&mut || false);
        let situation = situate(&snapshot, syntax.as_ref(), offset).unwrap();
        assert_eq!(situation.line_left, 10..14);
        assert_eq!(situation.line_right, 14..16);
        assert_eq!(situation.indent, 4);
        assert_eq!(situation.scope, Some(7..19));
        let between = situate(&snapshot, None, 17).unwrap();
        assert_eq!((between.offset, between.scope), (16, None));
    }
}
