//! A walk over a tree without recursion, and whether a tree can be asked questions at all.
//!
//! Tree-sitter parses within a deadline, but its queries have none, and there are texts, typed by no person, that they
//! take minutes for.

use std::ops::Range;

use tree_sitter::{Node, Tree, TreeCursor};

/// The most levels of a tree that is asked. For each, queries keep states, and nodes look for their siblings from the
/// root on.
const MOST_LEVELS: usize = 1_000;

/// The most looks that a query may take: from each nameless token of an error it looks for the next named node. 10,000
/// such tokens in a row need that many, which is a twentieth of a second.
const MOST_LOOKS: usize = 50_000_000;

/// As many nameless tokens need so few looks, even in a row, that these are not counted.
const FEW_NAMELESS: usize = 1_000;

/// Where a walk goes from a node.
#[derive(PartialEq, Eq)]
pub(crate) enum Step {
    /// To its children.
    In,
    /// To its next sibling.
    On,
    /// Nowhere.
    Stop,
}

/// Goes through the nodes that touch `range`, each before its children. `look` is told how many levels are above it.
///
/// The cost is that of the nodes looked at: others are skipped, however many there are.
pub(crate) fn visit<'tree>(
    tree: &'tree Tree,
    range: &Range<usize>,
    mut look: impl FnMut(Node<'tree>, usize) -> Step,
) {
    let mut cursor = tree.walk();
    let mut level = 0;
    loop {
        let node = cursor.node();
        let is_behind = node.start_byte() > range.end;
        let step = if is_behind || node.end_byte() < range.start {
            Step::On
        } else {
            look(node, level)
        };
        if step == Step::Stop {
            return;
        }
        if step == Step::In && goto_child(&mut cursor, range.start) {
            level += 1;
            continue;
        }
        let mut is_last = is_behind;
        while is_last || !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return;
            }
            level -= 1;
            is_last = false;
        }
    }
}

/// Goes to a child that is at or not far before the first one that does not end before `start`.
fn goto_child(cursor: &mut TreeCursor, start: usize) -> bool {
    // Where only a nameless part of a hidden node, or nothing, is at a place, no child is found from it.
    let mut back = 1;
    while back <= start {
        if cursor.goto_first_child_for_byte(start - back).is_some() {
            return true;
        }
        back *= 2;
    }
    cursor.goto_first_child()
}

/// Whether queries of `range` take a time that grows with the text's length alone.
///
/// Nodes that are too small to be too deep are not looked into, and those are nearly all nodes.
pub(crate) fn can_be_asked(tree: &Tree, range: &Range<usize>) -> bool {
    let mut looks = 0;
    let mut is_too_much = false;
    visit(tree, range, |node, level| {
        if node.is_error() {
            looks += looks_in(node);
        }
        is_too_much = level > MOST_LEVELS || looks > MOST_LOOKS;
        if is_too_much {
            Step::Stop
        } else if level + node.descendant_count() > MOST_LEVELS {
            Step::In
        } else {
            Step::On
        }
    });
    !is_too_much
}

/// How many nodes a query looks at to find the next named node from each child of an error.
fn looks_in(error: Node) -> usize {
    if error.child_count() as usize - error.named_child_count() <= FEW_NAMELESS {
        return 0;
    }
    let mut row = 0;
    let mut looks = 0;
    for child in error.children(&mut error.walk()) {
        row = if child.is_named() { 0 } else { row + 1 };
        looks += row;
    }
    looks
}
