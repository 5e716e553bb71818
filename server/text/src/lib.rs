//! Documents, snapshots, edits, positions and syntax of an editor's buffer.
//!
//! A [`Document`] takes edits in microseconds and never parses. A [`Snapshot`]
//! of it is immutable and cheap; its syntax tree is made by its first reader,
//! within a deadline that the reader gives as a callback. [`Syntax`] answers
//! what the tree says about a place: string or comment, which statement, which
//! block, how many errors, what a file is made of.
//!
//! All offsets are bytes of UTF-8. Lines end with LF, CRLF or CR. The columns
//! of a client are converted in [`Snapshot::offset`] and [`Snapshot::position`]
//! and nowhere else.
//!
//! This room knows languages through `grammars`. It knows no tokens, no model,
//! no JSON and no disk, and it reads no clock.

mod closers;
mod document;
mod edit;
mod excerpt;
#[cfg(feature = "fixture")]
pub mod fixture;
mod outline;
mod parse;
mod position;
mod region;
mod snapshot;
mod syntax;
mod visit;

pub use closers::{before_closers, closers_tail};
pub use document::Document;
pub use edit::{Bias, Edit};
pub use outline::{Item, ItemKind};
pub use parse::ParsedTree;
pub use position::{Encoding, Position};
pub use region::Region;
pub use snapshot::Snapshot;
pub use syntax::Syntax;
/// The tree that [`Snapshot::tree`] gives, so that readers need not name the crate it is from.
pub use tree_sitter::Tree;
