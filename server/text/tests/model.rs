//! Random edits as a client sends them, against a plain `String`.
//!
//! Texts have multi-byte characters, surrogate pairs, CRLF and lone CR; a
//! notification has several changes, each in the positions of the text after
//! the one before; all three encodings. After each change the text must be the
//! model's, after some notifications the tree must be what a parse from nothing
//! gives, and in the end every position must be the model's. Trees that are not
//! parsed again yet must at least fit the text.

use std::cell::Cell;
use std::ops::Range;

use grammars::Language;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use text::{Document, Edit, Encoding, Position, Snapshot, Tree};
use tree_sitter::Point;

const ENCODINGS: [Encoding; 3] = [Encoding::Utf8, Encoding::Utf16, Encoding::Utf32];

/// A language, a text of it, and lines that keep it correct wherever a line may start.
type Sample = (&'static str, &'static str, &'static [&'static str]);

const SAMPLES: [Sample; 8] = [
    (
        "cpp",
        "// Größe 😀\nint f(int a) {\r\n  auto é = \"日本😀\";\n  return g(é, 'x'); /* ünï */\n}\n\n#define X 1\nstruct S { int x; };\r\n",
        &[
            "struct T;\n",
            "// 😀 é\r\n",
            "int y;\n",
            "\n",
            "#define Y \"ß\"\r\n",
        ],
    ),
    (
        "ruby",
        "# Größe 😀\ndef f(a)\r\n  é = \"日本#{a}😀\"\n  g(é, 'ß') # ünï\nend\n\nclass S\r\n  X = <<~T\n    ß\n  T\nend\n",
        &["x = 1\n", "# 😀 é\r\n", "g(\"ß#{x}\")\n", "\n", "\r\n"],
    ),
    (
        "bash",
        "# Größe 😀\nf() {\n  local é=\"日本${a}😀\"\n  g \"$é\" 'ß' # ünï\n}\n\ncat <<T\nß $x\nT\nif f; then g; fi\n",
        &["x=1\n", "# 😀 é\n", "g \"ß${x}\"\n", "\n", "f | g\n"],
    ),
    (
        "yaml",
        "# Größe 😀\na: 1\nb:\n  - \"日本😀\"\n  - 'ß' # ünï\nc: |\n  é\n  x\nd: {e: [1, 2]}\n",
        &["# é\n", "\n", "# 😀 é\r\n", "  - x\n", "f: 1\n"],
    ),
    (
        "rust",
        "/// Größe 😀\nfn f(a: u8) -> u8 {\r\n    let é = \"日本😀\";\n    g(é, 'ß'); // ünï\n}\n\nstruct S { x: u8 }\r\n",
        &["let x = 1;\n", "// 😀 é\r\n", "g(\"ß\");\n", "\n", "\r\n"],
    ),
    (
        "python",
        "# Größe 😀\ndef f(a):\r\n    é = \"日本😀\"\n    g(é, 'ß')  # ünï\n\nclass S:\r\n    x = 1\n",
        &[
            "    x = 1\n",
            "# 😀 é\r\n",
            "    g(f\"ß{x}\")\n",
            "\n",
            "\r\n",
        ],
    ),
    (
        "javascript",
        "// Größe 😀\nfunction f(a) {\r\n  const é = `日本${a}😀`;\n  g(é, 'ß'); /* ünï */\n}\n\nclass S { x = 1 }\r\n",
        &["g();\n", "// 😀 é\r\n", "let x = \"ß\";\n", "\n", "\r\n"],
    ),
    (
        "json",
        "{\n  \"Größe\": [1, 2.5, \"日本😀\"],\r\n  \"é\": {\"a\": null}\n}\n",
        &["\n", " ", "\r\n", "\t", "\r"],
    ),
];

/// Pieces that break lines, characters and syntax.
const PIECES: [&str; 18] = [
    "a", "é", "😀", "日本", "\n", "\r\n", "\r", "\n\r", "\"", "'", "{", "}", "(", ")", "//", "#",
    " ", "\u{301}",
];

/// One change as the test draws it; places are fractions of 65536 of the text.
#[derive(Clone, Debug)]
enum Change {
    /// Any range by any pieces.
    Wild {
        from: u16,
        length: u8,
        pieces: Vec<usize>,
    },
    /// A range in numbers that need not exist in the text.
    Lost {
        start: (u32, u32),
        end: (u32, u32),
        pieces: Vec<usize>,
    },
    /// One of the sample's lines put in at the start of a line.
    Line { at: u16, line: usize },
    /// The whole text, as a client without ranges sends it.
    Full { from: u16, pieces: Vec<usize> },
}

fn change() -> impl Strategy<Value = Change> {
    let pieces = || prop::collection::vec(0..PIECES.len(), 0..4);
    let place = || (0..12u32, prop_oneof![4 => 0..30u32, 1 => Just(u32::MAX)]);
    prop_oneof![
        3 => (any::<u16>(), 0..12u8, pieces())
            .prop_map(|(from, length, pieces)| Change::Wild { from, length, pieces }),
        1 => (place(), place(), pieces())
            .prop_map(|(start, end, pieces)| Change::Lost { start, end, pieces }),
        5 => (any::<u16>(), 0..5usize).prop_map(|(at, line)| Change::Line { at, line }),
        1 => (any::<u16>(), pieces()).prop_map(|(from, pieces)| Change::Full { from, pieces }),
    ]
}

/// A session: sample, encoding, notifications; each says whether somebody reads the tree after it.
fn session() -> impl Strategy<Value = (usize, usize, Vec<(bool, Vec<Change>)>)> {
    let notification = (any::<bool>(), prop::collection::vec(change(), 1..4));
    (
        0..SAMPLES.len(),
        0..ENCODINGS.len(),
        prop::collection::vec(notification, 1..12),
    )
}

#[test]
fn thousands_of_edits_leave_text_positions_and_tree_as_the_model_has_them() {
    let (edits, clean) = (Cell::new(0), Cell::new(0));
    let (same, differ) = (Cell::new(0), Cell::new(0));
    let count = |cell: &Cell<usize>| cell.set(cell.get() + 1);
    let mut runner = TestRunner::new(Config {
        cases: 500,
        failure_persistence: None,
        // The same edits every time: a red run can be run again.
        rng_seed: RngSeed::Fixed(1),
        ..Config::default()
    });
    let outcome = runner.run(&session(), |(sample, encoding, notifications)| {
        let (name, text, lines) = SAMPLES[sample];
        let encoding = ENCODINGS[encoding];
        let language = Language::named(name).expect("a language of the table");
        let mut model = text.to_owned();
        let mut document = Document::new(text, 0, language);
        for (version, (read, changes)) in (1..).zip(notifications) {
            for change in changes {
                apply(&mut model, &mut document, &change, lines, encoding);
                if let Some(old) = document.snapshot().tree(&mut || true) {
                    nodes(&old, &model);
                }
                count(&edits);
            }
            document.set_version(version);
            let snapshot = document.snapshot();
            assert_eq!(snapshot.version(), version);
            if read {
                match assert_tree(&model, &snapshot) {
                    Compared::Clean => count(&clean),
                    Compared::Same => count(&same),
                    Compared::Differ => count(&differ),
                }
            }
        }
        assert_positions(&model, &document.snapshot(), encoding);
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
    let (edits, clean) = (edits.get(), clean.get());
    let (same, differ) = (same.get(), differ.get());
    let counts = format!("{edits} edits; trees: {clean} clean, {same} same, {differ} differ");
    println!("{counts}");
    assert!(edits > 5000 && clean > 200, "{counts}");
    assert!(differ * 50 < same, "{counts}");
}

/// Makes one change in both, by the way a client's change takes.
fn apply(
    model: &mut String,
    document: &mut Document,
    change: &Change,
    lines: &[&str],
    encoding: Encoding,
) {
    let joined = |pieces: &[usize]| {
        pieces
            .iter()
            .map(|&piece| PIECES[piece])
            .collect::<String>()
    };
    let (start, end, new) = match change {
        Change::Wild {
            from,
            length,
            pieces,
        } => {
            let start = boundary(model, *from);
            let end = boundary_after(model, start, usize::from(*length));
            let lines = model_lines(model);
            let place = |offset| model_position(model, &lines, offset, encoding);
            (place(start), place(end), joined(pieces))
        }
        Change::Lost { start, end, pieces } => {
            let place = |(line, column)| Position { line, column };
            (place(*start), place(*end), joined(pieces))
        }
        Change::Line { at, line } => {
            let starts = model_lines(model);
            let at = starts[usize::from(*at) * starts.len() / 65536].start;
            let place = model_position(model, &starts, at, encoding);
            (place, place, lines[*line].to_owned())
        }
        Change::Full { from, pieces } => {
            let at = boundary(model, *from);
            model.insert_str(at, &joined(pieces));
            document.replace(model);
            assert_eq!(document.snapshot().text(), *model);
            return;
        }
    };
    let range = document.offset(start, encoding)..document.offset(end, encoding);
    let expected = model_offset(model, start, encoding)..model_offset(model, end, encoding);
    assert_eq!(
        range, expected,
        "{start:?} {end:?} {encoding:?} in {model:?}"
    );
    model.replace_range(range.start..range.end.max(range.start), &new);
    document.edit(&Edit { range, text: new });
    assert_eq!(document.snapshot().text(), *model);
}

/// The characters' start next to this fraction of the text.
fn boundary(text: &str, fraction: u16) -> usize {
    let mut at = (text.len() + 1) * usize::from(fraction) / 65536;
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn boundary_after(text: &str, start: usize, chars: usize) -> usize {
    text[start..]
        .char_indices()
        .nth(chars)
        .map_or(text.len(), |(at, _)| start + at)
}

/// The lines of a text without what ends them, found the slow and plain way.
fn model_lines(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let (mut lines, mut start, mut at) = (Vec::new(), 0, 0);
    while at < bytes.len() {
        let terminator = match bytes[at] {
            b'\r' if bytes.get(at + 1) == Some(&b'\n') => 2,
            b'\r' | b'\n' => 1,
            _ => 0,
        };
        if terminator > 0 {
            lines.push(start..at);
            start = at + terminator;
        }
        at += terminator.max(1);
    }
    lines.push(start..text.len());
    lines
}

fn units(text: &str, encoding: Encoding) -> usize {
    match encoding {
        Encoding::Utf8 => text.len(),
        Encoding::Utf16 => text.encode_utf16().count(),
        Encoding::Utf32 => text.chars().count(),
    }
}

fn model_position(
    text: &str,
    lines: &[Range<usize>],
    offset: usize,
    encoding: Encoding,
) -> Position {
    let line = lines
        .iter()
        .rposition(|line| line.start <= offset)
        .expect("the first starts at 0");
    let end = offset.min(lines[line].end);
    Position {
        line: line as u32,
        column: units(&text[lines[line].start..end], encoding) as u32,
    }
}

fn model_offset(text: &str, position: Position, encoding: Encoding) -> usize {
    let lines = model_lines(text);
    let Some(line) = lines.get(position.line as usize) else {
        return text.len();
    };
    let mut left = position.column as usize;
    for (at, char) in text[line.clone()].char_indices() {
        let width = units(char.encode_utf8(&mut [0; 4]), encoding);
        if left < width {
            return line.start + at;
        }
        left -= width;
    }
    line.end
}

/// Every line and every place of the text, there and back.
fn assert_positions(model: &str, snapshot: &Snapshot, encoding: Encoding) {
    let lines = model_lines(model);
    assert_eq!(snapshot.line_count(), lines.len());
    for (line, range) in lines.iter().enumerate() {
        assert_eq!(
            snapshot.line_range(line),
            *range,
            "line {line} of {model:?}"
        );
        assert_eq!(snapshot.line_start(line), range.start);
    }
    assert_eq!(snapshot.line_start(lines.len()), model.len());
    let places = model.char_indices().map(|(at, _)| at).chain([model.len()]);
    for offset in places {
        let inside_crlf = model[..offset].ends_with('\r') && model[offset..].starts_with('\n');
        let position = snapshot.position(offset, encoding);
        let expected = model_position(model, &lines, offset, encoding);
        assert_eq!(position, expected, "{offset} in {model:?}");
        let back = snapshot.offset(position, encoding);
        assert_eq!(
            back,
            offset - usize::from(inside_crlf),
            "{position:?} in {model:?}"
        );
        assert_eq!(snapshot.line_of(offset), position.line as usize);
    }
}

/// What a tree made by many edits and parses has in common with one made from nothing.
enum Compared {
    /// The text has no errors, and the trees are the same.
    Clean,
    /// The text has errors, and the trees are the same.
    Same,
    /// The text has errors, and the trees differ.
    Differ,
}

/// Asserts what must hold of the snapshot's tree.
///
/// Of a correct text there is one tree, whatever the way to it. Amid errors
/// tree-sitter keeps what it can of the old tree and guesses at what is missing
/// from there, so that it may end elsewhere than a parse from nothing: that is
/// no mistake, but it is rare, and both say that there are errors.
fn assert_tree(model: &str, snapshot: &Snapshot) -> Compared {
    let never = || false;
    let tree = snapshot
        .tree(&mut { never })
        .expect("the samples have grammars");
    let fresh = Snapshot::new(model, snapshot.language());
    let fresh = fresh
        .tree(&mut { never })
        .expect("the samples have grammars");
    let same = nodes(&tree, model) == nodes(&fresh, model);
    let (root, fresh_root) = (tree.root_node(), fresh.root_node());
    assert_eq!(root.has_error(), fresh_root.has_error(), "{model:?}");
    assert_eq!(root.end_byte(), fresh_root.end_byte(), "{model:?}");
    if !fresh_root.has_error() {
        assert!(
            same,
            "{model:?}\n{}\n{}",
            root.to_sexp(),
            fresh_root.to_sexp()
        );
        Compared::Clean
    } else if same {
        Compared::Same
    } else {
        Compared::Differ
    }
}

/// All nodes in order, as depth, kind, range and whether it is missing, after
/// the checks that hold for every single one, in an edited old tree too.
fn nodes<'tree>(tree: &'tree Tree, model: &str) -> Vec<(usize, &'tree str, Range<usize>, bool)> {
    let points: Vec<Point> = (0..=model.len())
        .scan(Point::new(0, 0), |next, offset| {
            let point = *next;
            *next = match model.as_bytes().get(offset) {
                Some(b'\n') => Point::new(point.row + 1, 0),
                _ => Point::new(point.row, point.column + 1),
            };
            Some(point)
        })
        .collect();
    let mut cursor = tree.walk();
    let mut nodes = Vec::new();
    loop {
        let node = cursor.node();
        let range = node.byte_range();
        assert!(
            model.get(range.clone()).is_some(),
            "{node:?} splits a character of {model:?}"
        );
        assert_eq!(
            node.start_position(),
            points[range.start],
            "{node:?} in {model:?}"
        );
        assert_eq!(
            node.end_position(),
            points[range.end],
            "{node:?} in {model:?}"
        );
        nodes.push((
            cursor.depth() as usize,
            node.kind(),
            range,
            node.is_missing(),
        ));
        if cursor.goto_first_child() {
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return nodes;
            }
        }
    }
}
