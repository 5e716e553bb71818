//! What the tree says about a text: regions, statements, blocks, errors.
//!
//! Takes a snapshot and a tree of it, possibly one of an earlier version edited
//! along; gives byte ranges. Which nodes are statements and blocks is the
//! queries' in `grammars`. Queries look only at the range that is asked for, so
//! that a question costs little in a long file.

use std::ops::Range;
use std::sync::Arc;

use grammars::Queries;
use ropey::iter::Chunks;
use tree_sitter::{Node, Query, QueryCursor, StreamingIterator, TextProvider, Tree};

use crate::position;
use crate::region::{self, Region};
use crate::snapshot::Snapshot;
use crate::visit::{Step, can_be_asked, visit};

/// A tree with the text it is of.
#[derive(Clone, Debug)]
pub struct Syntax {
    snapshot: Snapshot,
    tree: Arc<Tree>,
}

impl Syntax {
    pub(crate) fn new(snapshot: Snapshot, tree: Arc<Tree>) -> Syntax {
        Syntax { snapshot, tree }
    }

    /// Whether `offset` is in code, a string or a comment. Code in a string's
    /// interpolation is code; the outer sides of quotes and comment marks are code too.
    pub fn region(&self, offset: usize) -> Region {
        let rope = &self.snapshot.rope;
        region::region(&self.tree, rope, position::floor(rope, offset), |range| {
            self.errors_in(range) > 0
        })
    }

    /// The innermost statement that contains `offset` (its end included) or starts there.
    ///
    /// Between two statements that touch at `offset` it is the first.
    pub fn statement(&self, offset: usize) -> Option<Range<usize>> {
        let queries = self.queries()?;
        let near = offset.saturating_sub(1)..offset.saturating_add(1);
        let around = self
            .captured(&queries.statements, "statement", near)
            .into_iter()
            .map(|node| node.byte_range());
        let (starting, containing): (Vec<_>, Vec<_>) = around
            .filter(|range| range.start <= offset && offset <= range.end)
            .partition(|range| range.start == offset);
        let container = innermost(containing);
        match &container {
            Some(range) if range.end == offset => container,
            _ => innermost(starting).or(container),
        }
    }

    /// All statements that lie inside `range`, by start, outer before inner.
    pub fn statements(&self, range: Range<usize>) -> Vec<Range<usize>> {
        self.queries().map_or_else(Vec::new, |queries| {
            self.inside(&queries.statements, "statement", range)
        })
    }

    /// The innermost block (a body of a function, class, branch, loop) around `offset`.
    ///
    /// Inside brackets that belong to a block means between them. A block
    /// without a closing bracket, as Python's, also holds the blank lines that
    /// follow it as far as they are indented like it; the range then ends at
    /// `offset`.
    pub fn block(&self, offset: usize) -> Option<Range<usize>> {
        let queries = self.queries()?;
        let offset = position::floor(&self.snapshot.rope, offset);
        let near = self.blank_before(offset).saturating_sub(1)..offset.saturating_add(1);
        let around = self
            .captured(&queries.blocks, "block", near)
            .into_iter()
            .filter(|node| self.is_around(*node, offset))
            .map(|node| node.start_byte()..node.end_byte().max(offset));
        innermost(around)
    }

    /// All blocks that lie inside `range`, by start, outer before inner.
    pub fn blocks(&self, range: Range<usize>) -> Vec<Range<usize>> {
        self.queries().map_or_else(Vec::new, |queries| {
            self.inside(&queries.blocks, "block", range)
        })
    }

    /// The statements that bring in names from elsewhere.
    pub(crate) fn imports(&self) -> Vec<Range<usize>> {
        let nodes = self
            .queries()
            .map(|queries| self.captured(&queries.imports, "import", 0..usize::MAX));
        let nodes = nodes.into_iter().flatten();
        nodes.map(|node| node.byte_range()).collect()
    }

    /// All definitions, each with the name that it defines.
    pub(crate) fn symbols(&self) -> Vec<(Range<usize>, String)> {
        let Some(queries) = self.queries() else {
            return Vec::new();
        };
        let query: &Query = &queries.symbols;
        let index = |name| query.capture_index_for_name(name);
        let (Some(symbol), Some(name)) = (index("symbol"), index("name")) else {
            return Vec::new();
        };
        if !can_be_asked(&self.tree, &(0..self.snapshot.len())) {
            return Vec::new();
        }
        let mut cursor = QueryCursor::new();
        let mut matches = cursor.matches(query, self.tree.root_node(), Text(&self.snapshot));
        let mut symbols = Vec::new();
        while let Some(found) = matches.next() {
            let whole = found.nodes_for_capture_index(symbol).next();
            let named = found.nodes_for_capture_index(name).next();
            if let (Some(whole), Some(named)) = (whole, named) {
                symbols.push((whole.byte_range(), self.slice(named.byte_range())));
            }
        }
        symbols
    }

    /// The nodes at the top of the tree, and whether each is a comment or, in Rust, an attribute of what follows.
    pub(crate) fn top(&self) -> Vec<(Range<usize>, bool)> {
        let root = self.tree.root_node();
        let mut cursor = root.walk();
        let nodes = root.children(&mut cursor);
        nodes
            .filter(|node| !node.byte_range().is_empty())
            .map(|node| {
                let belongs_below =
                    region::is_comment(node.kind()) || node.kind() == "attribute_item";
                (node.byte_range(), belongs_below)
            })
            .collect()
    }

    /// The text of a range.
    pub(crate) fn slice(&self, range: Range<usize>) -> String {
        self.snapshot.slice(range)
    }

    /// Whether a line without text lies in `range`.
    pub(crate) fn has_blank_line(&self, range: Range<usize>) -> bool {
        let between = self.slice(range);
        between.trim().is_empty() && between.matches('\n').count() > 1
    }

    /// Where the first place is that the grammar could not read.
    pub fn first_error(&self) -> Option<usize> {
        let mut node = self.tree.root_node();
        while node.has_error() && !node.is_error() && !node.is_missing() {
            let mut cursor = node.walk();
            let next = node
                .children(&mut cursor)
                .find(|child| child.has_error() || child.is_missing());
            node = next?;
        }
        (node.is_error() || node.is_missing()).then(|| node.start_byte())
    }

    /// How many places the grammar could not read: ERROR and MISSING nodes.
    pub fn errors(&self) -> usize {
        self.errors_in(0..usize::MAX)
    }

    /// [`Syntax::errors`] that touch `range`.
    pub fn errors_in(&self, range: Range<usize>) -> usize {
        let mut errors = 0;
        visit(&self.tree, &range, |node, _| {
            errors += usize::from(node.is_error() || node.is_missing());
            if node.has_error() { Step::In } else { Step::On }
        });
        errors
    }

    fn queries(&self) -> Option<&'static Queries> {
        self.snapshot.language.queries()
    }

    /// The ranges of a capture's nodes inside `range`, by start, outer before inner.
    fn inside(&self, query: &Query, capture: &str, range: Range<usize>) -> Vec<Range<usize>> {
        let mut found: Vec<_> = self
            .captured(query, capture, range.clone())
            .into_iter()
            .map(|node| node.byte_range())
            .filter(|node| range.start <= node.start && node.end <= range.end)
            .collect();
        found.sort_by_key(|node| (node.start, std::cmp::Reverse(node.end)));
        found.dedup();
        found
    }

    /// The nodes of one capture that touch `range`; none if the tree cannot be asked.
    fn captured(&self, query: &Query, capture: &str, range: Range<usize>) -> Vec<Node<'_>> {
        let Some(index) = query.capture_index_for_name(capture) else {
            return Vec::new();
        };
        // The cursor takes an end of 0 for "no end", and an empty range holds nothing.
        let end = range.end.min(self.snapshot.len()).saturating_add(1);
        let range = range.start.min(end - 1)..end;
        if !can_be_asked(&self.tree, &range) {
            return Vec::new();
        }
        let mut cursor = QueryCursor::new();
        cursor.set_byte_range(range);
        let mut matches = cursor.matches(query, self.tree.root_node(), Text(&self.snapshot));
        let mut nodes = Vec::new();
        while let Some(found) = matches.next() {
            nodes.extend(found.nodes_for_capture_index(index));
        }
        nodes
    }

    /// Whether `offset` is inside the block `node`, see [`Syntax::block`].
    fn is_around(&self, node: Node, offset: usize) -> bool {
        let is_bracket = |index: u32| node.child(index).is_some_and(|child| !child.is_named());
        let opened = is_bracket(0);
        let closed = is_bracket(node.child_count().saturating_sub(1));
        let after_start = node.start_byte() < offset || (!opened && node.start_byte() == offset);
        let before_end = offset < node.end_byte() || (!closed && offset == node.end_byte());
        after_start && (before_end || (!closed && self.trails(node, offset)))
    }

    /// Whether `offset` is in the blank text behind `node` and still indented
    /// like it, or before the word that ends what `node` is the body of.
    fn trails(&self, node: Node, offset: usize) -> bool {
        let end = node.end_byte();
        if offset < end || self.blank_before(offset) > end {
            return false;
        }
        let column = |at: usize| at - self.snapshot.line_start(self.snapshot.line_of(at));
        column(offset) >= column(node.start_byte())
            || node
                .next_sibling()
                .is_some_and(|next| !next.is_named() && next.start_byte() >= offset)
    }

    /// Where the blank text that ends at `offset` begins.
    fn blank_before(&self, offset: usize) -> usize {
        let mut bytes = self.snapshot.rope.bytes_at(offset);
        let mut start = offset;
        while bytes.prev().is_some_and(|byte| byte.is_ascii_whitespace()) {
            start -= 1;
        }
        start
    }
}

/// The range that starts last, and of those the shortest.
fn innermost(ranges: impl IntoIterator<Item = Range<usize>>) -> Option<Range<usize>> {
    ranges
        .into_iter()
        .max_by_key(|range| (range.start, std::cmp::Reverse(range.end)))
}

/// Gives a query's predicates the text of a node, chunk by chunk.
struct Text<'a>(&'a Snapshot);

impl<'a> TextProvider<&'a [u8]> for Text<'a> {
    type I = Bytes<'a>;

    fn text(&mut self, node: Node) -> Bytes<'a> {
        let rope = &self.0.rope;
        let range = position::clamp(rope, &node.byte_range());
        Bytes(rope.byte_slice(range).chunks())
    }
}

/// A rope's chunks as bytes.
struct Bytes<'a>(Chunks<'a>);

impl<'a> Iterator for Bytes<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.0.next().map(str::as_bytes)
    }
}
