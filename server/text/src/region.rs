//! Whether a place is code, string or comment.
//!
//! Takes a tree and an offset; reads the kinds of the nodes around it, which
//! grammars name alike enough (`string_content`, `line_comment`,
//! `template_substitution`) to do without a query for each language. Where the
//! tree is broken on the cursor's line, it counts the quotes before the cursor.

use std::ops::Range;

use ropey::Rope;
use tree_sitter::{Node, Tree};

/// What kind of text is around a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Region {
    /// Everything that is neither of the others.
    Code,
    /// Between the quotes of a string, character, regular expression or heredoc.
    String,
    /// In a comment, documentation included.
    Comment,
}

/// Nodes inside a string that hold code.
const INTERPOLATIONS: &[&str] = &[
    "interpolation",
    "string_interpolation",
    "template_substitution",
    "command_substitution",
    "process_substitution",
    "arithmetic_expansion",
    "simple_expansion",
    "expansion",
];

/// What the kind of a string, or of a part of one, contains.
const STRINGS: &[&str] = &[
    "string",
    "heredoc",
    "nowdoc",
    "regex",
    "quote_scalar",
    "block_scalar",
    "quoted_",
    "char_literal",
    "character_literal",
    "rune_literal",
    "escape_sequence",
];

/// Kinds with such a name that hold several strings, or none.
const NOT_STRINGS: &[&str] = &[
    "concatenated_string",
    "chained_string",
    "string_array",
    "string_scalar",
    "herestring_redirect",
    "heredoc_redirect",
    "heredoc_beginning",
];

/// Comments that have an end of their own; all others end with their line.
const CLOSED_COMMENTS: &[(&str, &str)] = &[
    ("/*", "*/"),
    ("<!--", "-->"),
    ("--[", "]"),
    ("=begin", "=end"),
];

/// The region at `offset`, which is at a character's start.
///
/// `is_broken` says whether the tree has errors in a range.
pub(crate) fn region(
    tree: &Tree,
    rope: &Rope,
    offset: usize,
    is_broken: impl FnOnce(Range<usize>) -> bool,
) -> Region {
    if offset == 0 {
        return Region::Code;
    }
    let root = tree.root_node();
    let innermost = root.descendant_for_byte_range(offset - 1, offset);
    // From the root down: the way up begins at the root again for each node's parent.
    let mut around = Some(root);
    let mut is_in_error = false;
    let mut found = None;
    while let Some(node) = around {
        found = decided_by(node, is_in_error, rope, offset).or(found);
        is_in_error = node.is_error();
        around = innermost
            .filter(|innermost| node != *innermost)
            .and_then(|innermost| node.child_with_descendant(innermost));
    }
    if let Some(found) = found {
        return found;
    }
    let line = rope.line_to_byte(rope.byte_to_line(offset))..offset;
    if is_broken(line.clone()) && has_open_quote(tree, rope, line) {
        Region::String
    } else {
        Region::Code
    }
}

/// What `node` says about the place, if it holds it and is of a kind that decides.
fn decided_by(node: Node, is_in_error: bool, rope: &Rope, offset: usize) -> Option<Region> {
    let Range { start, end } = node.byte_range();
    if !node.is_named() || offset <= start || offset > end {
        return None;
    }
    let inside = offset < end;
    let kind = node.kind();
    if INTERPOLATIONS.contains(&kind) {
        inside.then_some(Region::Code)
    } else if is_comment(kind) {
        (inside || is_open_comment(rope, start..end)).then_some(Region::Comment)
    } else if is_string(node, rope) {
        (inside || is_open_string(node, is_in_error)).then_some(Region::String)
    } else {
        None
    }
}

pub(crate) fn is_comment(kind: &str) -> bool {
    (kind.ends_with("comment") && !kind.starts_with("keyword")) || kind == "marginalia"
}

/// Whether a comment goes on at its end: a line comment whose line has not ended.
/// Rust's documentation comments take their line's end with them.
fn is_open_comment(rope: &Rope, range: Range<usize>) -> bool {
    let Some(text) = rope.get_byte_slice(range) else {
        return false;
    };
    let starts_with = |mark: &str| text.bytes().zip(mark.bytes()).all(|(a, b)| a == b);
    let ends_with = |mark: &str| {
        text.bytes_at(text.len_bytes())
            .reversed()
            .zip(mark.bytes().rev())
            .all(|(a, b)| a == b)
    };
    let closed = CLOSED_COMMENTS
        .iter()
        .any(|(open, close)| starts_with(open) && ends_with(close));
    !closed && !ends_with("\n")
}

fn is_string(node: Node, rope: &Rope) -> bool {
    let kind = node.kind();
    if kind.starts_with("keyword") || NOT_STRINGS.contains(&kind) {
        return false;
    }
    let quoted = || matches!(rope.get_byte(node.start_byte()), Some(b'"' | b'\''));
    // SQL's strings are `literal`s like its numbers, Ruby's `?a` is a `character`.
    STRINGS.iter().any(|part| kind.contains(part))
        || kind == "character"
        || (kind == "literal" && node.child_count() == 0 && quoted())
}

/// Whether a string goes on at its end: its closing quote is missing, or it is
/// only the inner part of a string that the parser gave up.
fn is_open_string(node: Node, is_in_error: bool) -> bool {
    let last = node
        .child_count()
        .checked_sub(1)
        .and_then(|last| node.child(last));
    let is_part = ["_content", "_fragment", "_start"]
        .iter()
        .any(|part| node.kind().ends_with(part));
    last.is_some_and(|last| last.is_missing()) || (is_part && is_in_error)
}

/// Whether a quote is opened in `line`, which ends at the cursor, and not closed.
///
/// A `'` after a letter is an apostrophe, and where the language has lifetimes
/// it is one of those.
fn has_open_quote(tree: &Tree, rope: &Rope, line: Range<usize>) -> bool {
    let has_lifetimes = tree.language().id_for_node_kind("lifetime", true) != 0;
    let (mut open, mut escaped, mut last) = (None, false, b' ');
    for byte in rope.bytes_at(line.start).take(line.len()) {
        let is_quote = match byte {
            b'"' | b'`' => true,
            b'\'' => !has_lifetimes && (open.is_some() || !last.is_ascii_alphanumeric()),
            _ => false,
        };
        if is_quote && !escaped && open.is_none_or(|open| open == byte) {
            open = if open.is_some() { None } else { Some(byte) };
        }
        escaped = byte == b'\\' && !escaped;
        last = byte;
    }
    open.is_some()
}
