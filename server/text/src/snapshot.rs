//! A text at one moment: immutable, cheap to make and to clone, safe to send.
//!
//! Takes a rope and the tree to be made of it; gives slices, lines, places and
//! the tree. It knows nothing of later edits: those are the document's.

use std::ops::Range;
use std::sync::Arc;

use grammars::Language;
use ropey::Rope;
use tree_sitter::Tree;

use crate::parse::{Parse, ParsedTree, Wanted};
use crate::position::{self, Encoding, Position};
use crate::syntax::Syntax;

/// One version of a text with its syntax tree, which is made when first asked for.
#[derive(Clone)]
pub struct Snapshot {
    pub(crate) rope: Rope,
    pub(crate) version: i32,
    pub(crate) revision: u64,
    pub(crate) language: Language,
    pub(crate) parse: Arc<Parse>,
    /// As the document's.
    pub(crate) lone_cr: bool,
}

impl Snapshot {
    /// A snapshot of a text that no document stands behind; its version is 0.
    pub fn new(text: &str, language: Language) -> Snapshot {
        let rope = Rope::from_str(text);
        Snapshot {
            lone_cr: position::has_lone_cr(&rope, 0..rope.len_bytes()),
            rope,
            version: 0,
            revision: 0,
            language,
            parse: Arc::new(Parse::new(language, None)),
        }
    }

    /// The language that the text is read as.
    pub fn language(&self) -> Language {
        self.language
    }

    /// The client's version of the document when the snapshot was made.
    pub fn version(&self) -> i32 {
        self.version
    }

    /// Bytes of the text.
    pub fn len(&self) -> usize {
        self.rope.len_bytes()
    }

    /// Whether the text has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The text in `range`, clamped to the text and to characters' starts.
    pub fn slice(&self, range: Range<usize>) -> String {
        self.rope
            .byte_slice(position::clamp(&self.rope, &range))
            .to_string()
    }

    /// The whole text.
    pub fn text(&self) -> String {
        self.rope.to_string()
    }

    /// Lines of the text, at least 1: LF, CRLF and CR each end a line, and the
    /// last line may be empty.
    pub fn line_count(&self) -> usize {
        self.rope.len_lines()
    }

    /// The line, counted from 0, that `offset` is on; the last one for offsets behind the text.
    pub fn line_of(&self, offset: usize) -> usize {
        self.rope.byte_to_line(offset.min(self.len()))
    }

    /// The bytes of `line` without its terminator; empty at the text's end for lines behind the last.
    pub fn line_range(&self, line: usize) -> Range<usize> {
        position::line_range(&self.rope, line)
    }

    /// Where `line` starts; [`Snapshot::len`] for lines behind the last.
    pub fn line_start(&self, line: usize) -> usize {
        position::line_start(&self.rope, line)
    }

    /// The byte offset of a client's position. A column behind the line's end is
    /// the line's end, a line behind the last is the text's end, and a place
    /// inside a character is its start.
    pub fn offset(&self, position: Position, encoding: Encoding) -> usize {
        position::to_offset(&self.rope, position, encoding)
    }

    /// The client's position of a byte offset, clamped in the same way.
    pub fn position(&self, offset: usize, encoding: Encoding) -> Position {
        position::from_offset(&self.rope, offset, encoding)
    }

    /// The syntax tree, parsed by the first reader and shared by all clones.
    ///
    /// `over` is asked every now and then whether the caller's time is over.
    /// Once it is, the answer is the tree of an earlier version, edited along,
    /// which is right everywhere but near the edits; `None` if there is no such
    /// tree, or no grammar for the language.
    pub fn tree(&self, over: &mut dyn FnMut() -> bool) -> Option<Arc<Tree>> {
        self.parse.tree(&self.wanted(None), over)
    }

    /// As [`Snapshot::tree`], but of a long text only the part around `offset` is parsed, so that it costs no more there
    /// than in a short one.
    pub fn tree_near(&self, offset: usize, over: &mut dyn FnMut() -> bool) -> Option<Arc<Tree>> {
        self.parse.tree(&self.wanted(Some(offset)), over)
    }

    fn wanted(&self, near: Option<usize>) -> Wanted<'_> {
        Wanted {
            rope: &self.rope,
            lone_cr: self.lone_cr,
            near: near.map(|offset| offset.min(self.len())),
        }
    }

    /// The finished tree of this very text, if somebody has parsed it, to hand to
    /// [`Document::adopt`](crate::Document::adopt).
    pub fn parsed(&self) -> Option<ParsedTree> {
        self.parse.fresh().map(|tree| ParsedTree {
            tree,
            revision: self.revision,
        })
    }

    /// What the tree says about this text; `over` and `None` as for [`Snapshot::tree`].
    pub fn syntax(&self, over: &mut dyn FnMut() -> bool) -> Option<Syntax> {
        self.tree(over).map(|tree| Syntax::new(self.clone(), tree))
    }

    /// What the tree says about the text around `offset`; `over` and `None` as for [`Snapshot::tree_near`].
    pub fn syntax_near(&self, offset: usize, over: &mut dyn FnMut() -> bool) -> Option<Syntax> {
        let tree = self.tree_near(offset, over)?;
        Some(Syntax::new(self.clone(), tree))
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot")
            .field("version", &self.version)
            .field("language", &self.language.name())
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
