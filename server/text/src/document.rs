//! The text of an open document while it is edited.
//!
//! Takes edits in the order they come and applies each in microseconds: the
//! rope is changed and the tree is told what moved, nothing is parsed. Gives
//! snapshots, whose readers parse. Who calls it, and when, is the LSP layer's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use grammars::Language;
use ropey::Rope;
use tree_sitter::InputEdit;

use crate::edit::Edit;
use crate::parse::{Parse, ParsedTree};
use crate::position::{self, Encoding, Position};
use crate::snapshot::Snapshot;

/// Edits remembered for a tree that comes late. A parse is over after some 30
/// keystrokes even in the longest files; older trees are not waited for.
const TRAIL: usize = 64;

/// An open document: its text, version, language and the tree edited along.
pub struct Document {
    rope: Rope,
    version: i32,
    language: Language,
    /// Names this very text among all texts of all documents.
    revision: u64,
    parse: Arc<Parse>,
    /// Whether the text has, or had, a CR without LF; see [`position::point`].
    lone_cr: bool,
    /// The last edits since a tree was fresh, each with the revision it was made on.
    trail: Vec<(u64, InputEdit)>,
}

impl Document {
    /// A document as it was opened. `version` is the client's.
    pub fn new(text: &str, version: i32, language: Language) -> Document {
        let rope = Rope::from_str(text);
        Document {
            lone_cr: position::has_lone_cr(&rope, 0..rope.len_bytes()),
            rope,
            version,
            language,
            revision: new_revision(),
            parse: Arc::new(Parse::new(language, None)),
            trail: Vec::new(),
        }
    }

    /// The language that the text is read as.
    pub fn language(&self) -> Language {
        self.language
    }

    /// The client's version, as last set.
    pub fn version(&self) -> i32 {
        self.version
    }

    /// Takes the client's version of the text as it is now.
    pub fn set_version(&mut self, version: i32) {
        self.version = version;
    }

    /// The byte offset of a client's position in the text as it is now; see [`Snapshot::offset`].
    pub fn offset(&self, position: Position, encoding: Encoding) -> usize {
        position::to_offset(&self.rope, position, encoding)
    }

    /// Replaces a range. Ends inside a character or behind the text are moved
    /// back; a reversed range inserts at its start.
    pub fn edit(&mut self, edit: &Edit) {
        let range = position::clamp(&self.rope, &edit.range);
        if range.is_empty() && edit.text.is_empty() {
            return;
        }
        let old_end_position = position::point(&self.rope, range.end, self.lone_cr);
        let start_char = self.rope.byte_to_char(range.start);
        self.rope
            .remove(start_char..self.rope.byte_to_char(range.end));
        self.rope.insert(start_char, &edit.text);

        let new_end = range.start + edit.text.len();
        self.lone_cr = self.lone_cr || position::has_lone_cr(&self.rope, range.start..new_end);
        self.move_tree(InputEdit {
            start_byte: range.start,
            old_end_byte: range.end,
            new_end_byte: new_end,
            start_position: position::point(&self.rope, range.start, self.lone_cr),
            old_end_position,
            new_end_position: position::point(&self.rope, new_end, self.lone_cr),
        });
    }

    /// Replaces the whole text. What both texts start and end with is kept, so
    /// that a client which always sends all of it still gets quick parses.
    pub fn replace(&mut self, text: &str) {
        self.edit(&difference(&self.rope, text));
    }

    /// The text as it is now. All snapshots between two edits share one tree.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            rope: self.rope.clone(),
            version: self.version,
            revision: self.revision,
            language: self.language,
            parse: Arc::clone(&self.parse),
            lone_cr: self.lone_cr,
        }
    }

    /// Takes a tree that a snapshot's reader has finished, as the one that the
    /// next parses start from. If the document was edited since, those few edits
    /// are made in the tree first. A tree of another document, or of a text too
    /// long ago, is left.
    pub fn adopt(&mut self, tree: ParsedTree) {
        if self.parse.fresh().is_some() {
            return;
        }
        if tree.revision == self.revision {
            self.parse = Arc::new(Parse::finished(self.language, tree.tree));
            self.trail.clear();
        } else if let Some(first) = self
            .trail
            .iter()
            .position(|(revision, _)| *revision == tree.revision)
        {
            self.trail.drain(..first);
            let mut moved = (*tree.tree).clone();
            for (_, edit) in &self.trail {
                moved.edit(edit);
            }
            self.parse = Arc::new(Parse::new(self.language, Some(Arc::new(moved))));
        }
    }

    /// Starts a new revision, whose tree is the one at hand moved by `edit`.
    fn move_tree(&mut self, edit: InputEdit) {
        if self.parse.fresh().is_some() || self.trail.len() == TRAIL {
            self.trail.clear();
        }
        self.trail.push((self.revision, edit));
        let moved = self.parse.at_hand().map(|tree| {
            let mut tree = (*tree).clone();
            tree.edit(&edit);
            Arc::new(tree)
        });
        self.parse = Arc::new(Parse::new(self.language, moved));
        self.revision = new_revision();
    }
}

impl Snapshot {
    /// What the text would be after `edit`, to look at before it is made. Its tree is parsed from
    /// this snapshot's, if that is parsed already, at the price of one keystroke.
    pub fn edited(&self, edit: &Edit) -> Snapshot {
        let mut document = Document {
            rope: self.rope.clone(),
            version: self.version,
            language: self.language,
            revision: self.revision,
            parse: Arc::clone(&self.parse),
            lone_cr: self.lone_cr,
            trail: Vec::new(),
        };
        document.edit(edit);
        document.snapshot()
    }
}

/// A number that no other text in this process has. Snapshots without a document are 0.
fn new_revision() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The smallest single edit that makes `text` of `rope`.
fn difference(rope: &Rope, text: &str) -> Edit {
    let new = text.as_bytes();
    let mut prefix = 0;
    for chunk in rope.chunks() {
        let same = same_bytes(chunk.bytes(), new[prefix..].iter().copied());
        prefix += same;
        if same < chunk.len() {
            break;
        }
    }
    while !text.is_char_boundary(prefix) {
        prefix -= 1;
    }

    let most = rope.len_bytes().min(new.len()) - prefix;
    let mut suffix = 0;
    let (mut chunks, ..) = rope.chunks_at_byte(rope.len_bytes());
    while let Some(chunk) = chunks.prev() {
        let rest = &new[new.len() - most..new.len() - suffix];
        let same = same_bytes(chunk.bytes().rev(), rest.iter().rev().copied());
        suffix += same;
        if same < chunk.len() {
            break;
        }
    }
    while !text.is_char_boundary(new.len() - suffix) {
        suffix -= 1;
    }
    Edit {
        range: prefix..rope.len_bytes() - suffix,
        text: text[prefix..new.len() - suffix].to_owned(),
    }
}

/// How many bytes two runs have in common from where they start.
fn same_bytes(left: impl Iterator<Item = u8>, right: impl Iterator<Item = u8>) -> usize {
    left.zip(right)
        .take_while(|(left, right)| left == right)
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::counted::parses;

    const NEVER: fn() -> bool = || false;
    const ALREADY: fn() -> bool = || true;

    fn rust(text: &str) -> Document {
        Document::new(
            text,
            1,
            Language::named("rust").expect("the table has Rust"),
        )
    }

    fn insertion(at: usize, text: &str) -> Edit {
        Edit {
            range: at..at,
            text: text.to_owned(),
        }
    }

    fn sexp(document: &Document) -> String {
        let tree = document.snapshot().tree(&mut { NEVER });
        tree.expect("Rust has a grammar").root_node().to_sexp()
    }

    #[test]
    fn an_edit_never_parses_and_a_text_is_parsed_once() {
        let mut document = rust("fn f() {}\n");
        let before = parses();
        for at in 0..40 {
            document.edit(&insertion(8 + at, "x"));
            let _unread = document.snapshot();
        }
        document.replace("fn g() {}\n");
        assert_eq!(parses(), before);

        let snapshot = document.snapshot();
        let clone = snapshot.clone();
        for reader in [&snapshot, &clone, &document.snapshot()] {
            assert!(reader.tree(&mut { NEVER }).is_some());
        }
        assert_eq!(parses(), before + 1);
        assert!(clone.parsed().is_some());
    }

    #[test]
    fn a_deadline_that_is_over_gives_the_old_tree_at_once() {
        let mut document = rust("fn f() {}\n");
        let before = parses();
        assert!(document.snapshot().tree(&mut { ALREADY }).is_none());
        assert_eq!(parses(), before);

        let fresh = sexp(&document);
        document.edit(&insertion(10, "struct S;\n"));
        let snapshot = document.snapshot();
        let old = snapshot.tree(&mut { ALREADY }).expect("there was a tree");
        assert_eq!(old.root_node().to_sexp(), fresh);
        assert!(old.root_node().has_changes());
        assert!(snapshot.parsed().is_none());
        assert_eq!(parses(), before + 1);
    }

    #[test]
    fn a_parse_that_ran_out_of_time_is_carried_on_by_the_next_reader() {
        let text = "fn f(a: u8) -> u8 { a + 1 }\n".repeat(2000);
        let document = rust(&text);
        let snapshot = document.snapshot();
        let asked = |most: usize| {
            let mut asked = 0;
            let tree = snapshot.tree(&mut || {
                asked += 1;
                asked > most
            });
            (asked, tree)
        };
        assert!(asked(100).1.is_none());
        let (in_all, tree) = {
            let whole = rust(&text).snapshot();
            let mut asked = 0;
            let tree = whole.tree(&mut || {
                asked += 1;
                false
            });
            (asked, tree.expect("Rust has a grammar"))
        };
        let (rest, carried) = asked(usize::MAX);
        assert!(rest < in_all - 50, "{rest} questions after 100 of {in_all}");
        let carried = carried.expect("the time was never over");
        assert_eq!(carried.root_node().to_sexp(), tree.root_node().to_sexp());
    }

    #[test]
    fn an_unparsed_document_takes_a_tree_that_comes_late() {
        let document = rust("fn f() {}\n");
        let first = document.snapshot();
        first.tree(&mut { NEVER });
        let mut late = rust("fn f() {}\n");
        let early = late.snapshot();
        late.edit(&insertion(10, "fn g() {}\n"));
        early.tree(&mut { NEVER });

        late.adopt(first.parsed().expect("it was read"));
        assert!(
            late.snapshot().tree(&mut { ALREADY }).is_none(),
            "another document's"
        );
        late.adopt(early.parsed().expect("it was read"));
        let old = late
            .snapshot()
            .tree(&mut { ALREADY })
            .expect("it was adopted");
        assert_eq!(old.root_node().child_count(), 1);
        assert_eq!(sexp(&late), sexp(&rust("fn f() {}\nfn g() {}\n")));
    }

    #[test]
    fn clamped_edits_never_split_a_character() {
        let table = [
            ("aé", (2, 2), "axé"),
            ("aé", (2, 3), "ax"),
            ("aé", (1, 2), "axé"),
            ("aé", (0, 2), "xé"),
            ("aé", (3, 9), "aéx"),
            ("aé", (9, 4), "aéx"),
            ("abc", (2, 1), "abxc"),
        ];
        for (text, (start, end), expected) in table {
            let mut document = rust(text);
            document.edit(&Edit {
                range: start..end,
                text: "x".to_owned(),
            });
            assert_eq!(
                document.snapshot().text(),
                expected,
                "{text:?} {start} {end}"
            );
        }
    }

    #[test]
    fn a_full_text_becomes_the_smallest_edit() {
        let table = [
            ("", "", 0..0, ""),
            ("abc", "abc", 3..3, ""),
            ("abc", "abxc", 2..2, "x"),
            ("aaa", "aa", 2..3, ""),
            ("é", "è", 0..2, "è"),
            ("😀", "\u{1F601}", 0..4, "\u{1F601}"),
            ("aéb", "a\u{29}b", 1..3, ")"),
            ("abc", "", 0..3, ""),
            ("", "abc", 0..0, "abc"),
        ];
        for (old, new, range, text) in table {
            let edit = difference(&Rope::from_str(old), new);
            assert_eq!(
                (edit.range, edit.text.as_str()),
                (range, text),
                "{old} {new}"
            );
        }
        let long = "let a = 1;\n".repeat(500);
        let changed = format!("{}b{}", &long[..3000], &long[3001..]);
        let edit = difference(&Rope::from_str(&long), &changed);
        assert_eq!((edit.range, edit.text.as_str()), (3000..3001, "b"));
    }
}
