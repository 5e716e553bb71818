//! Of a long text only the part around a place is parsed, and it says there what the whole would.

use std::ops::Range;

use grammars::Language;
use text::{Document, Edit, Region, Snapshot, Syntax};

/// More bytes than any part that is parsed.
const LONGEST: usize = 96 << 10;

/// A long text of one definition after the other, with strings and comments in them.
fn long(language: &str) -> String {
    let definition = |number: usize| match language {
        "rust" => format!(
            "/// Says {number}.\nfn say_{number}(of: &str) -> String {{\n    // It is \"{number}\".\n    if of.is_empty() {{\n        \
             return String::new();\n    }}\n    format!(\"{{of}} {{}}\", {number})\n}}\n\n"
        ),
        "python" => format!(
            "class Say{number}:\n    \"\"\"Says\n\n    {number}.\"\"\"\n\n    def say(self, of):\n        # It is '{number}'.\n        \
             if not of:\n            return ''\n        return f'{{of}} {number}'\n\n\n"
        ),
        _ => format!(
            "export function say{number}(of) {{\n  // It is `{number}`.\n  if (!of) {{\n    return '';\n  }}\n  \
             return `${{of}}\n {number}`;\n}}\n\n"
        ),
    };
    (0..3_000).map(definition).collect()
}

fn snapshot(text: &str, language: &str) -> Snapshot {
    Snapshot::new(
        text,
        Language::named(language).expect("a language of the table"),
    )
}

fn near(snapshot: &Snapshot, offset: usize) -> Syntax {
    let syntax = snapshot.syntax_near(offset, &mut || false);
    syntax.expect("the language has a grammar")
}

/// What is asked of a place.
fn said(syntax: &Syntax, at: usize) -> (Region, Option<Range<usize>>, Option<Range<usize>>) {
    (syntax.region(at), syntax.block(at), syntax.statement(at))
}

#[test]
fn the_part_says_what_the_whole_says() {
    for language in ["rust", "python", "javascript"] {
        let text = long(language);
        let whole = snapshot(&text, language);
        let whole = whole.syntax(&mut || false).expect("there is a grammar");
        assert_eq!(whole.errors(), 0, "{language}");
        // One snapshot for all places, so that it jumps; first and last places among them.
        let shared = snapshot(&text, language);
        for number in 0..40 {
            let at = if number == 20 {
                text.len()
            } else {
                number * 7_919 * 131 % text.len()
            };
            let part = near(&shared, at);
            assert_eq!(said(&part, at), said(&whole, at), "{language}, {at}");
            assert_eq!(part.errors(), 0, "{language}, {at}");
        }
    }
}

#[test]
fn the_part_is_short_and_moves_along_with_the_typing() {
    for language in ["rust", "python"] {
        let text = long(language);
        let named = Language::named(language).expect("a language of the table");
        let mut document = Document::new(&text, 1, named);
        for place in [text.len() / 2, 0, text.len(), text.len() / 3] {
            let place = document
                .snapshot()
                .line_start(document.snapshot().line_of(place));
            let mut at = place;
            for (number, typed) in "total = fold(\"half\")\n".chars().enumerate() {
                let edit = Edit {
                    range: at..at,
                    text: typed.to_string(),
                };
                document.edit(&edit);
                at += typed.len_utf8();
                let snapshot = document.snapshot();
                let part = snapshot
                    .tree_near(at, &mut || false)
                    .expect("there is a grammar");
                assert!(part.root_node().byte_range().len() < LONGEST);
                if number % 7 == 0 {
                    let fresh = Snapshot::new(&snapshot.text(), named);
                    let fresh = fresh.syntax(&mut || false).expect("there is a grammar");
                    assert_eq!(
                        near(&snapshot, at).region(at),
                        fresh.region(at),
                        "{language}, {at}"
                    );
                }
            }
        }
    }
}

#[test]
fn an_edit_that_is_tried_out_is_parsed_in_the_same_part() {
    let text = long("rust");
    let document = Document::new(&text, 1, Language::named("rust").expect("in the table"));
    let at = text.len() / 2;
    let at = text[..at].rfind("    if ").expect("there are many");
    let before = document.snapshot();
    assert_eq!(near(&before, at).errors(), 0);
    let edit = |text: &str| Edit {
        range: at..at,
        text: text.to_owned(),
    };
    let good = before.edited(&edit("    let all = of.len();\n"));
    assert_eq!(near(&good, at).errors(), 0);
    let bad = before.edited(&edit("    let all = of.len(;\n"));
    assert!(near(&bad, at).errors() > 0);
    // Far away nothing is known of it.
    assert_eq!(near(&bad, 0).errors(), 0);
}

#[test]
fn a_text_that_grows_long_is_cut_then() {
    let language = Language::named("rust").expect("in the table");
    let mut document = Document::new("fn first() {}\n", 1, language);
    let function = "fn more() {\n    let x = 1;\n}\n".repeat(100);
    while document.snapshot().len() < 2 * LONGEST {
        let snapshot = document.snapshot();
        let tree = snapshot
            .tree_near(snapshot.len(), &mut || false)
            .expect("there is a grammar");
        assert!(!tree.root_node().has_error());
        assert!(tree.root_node().byte_range().len() <= LONGEST + function.len());
        let end = snapshot.len();
        document.edit(&Edit {
            range: end..end,
            text: function.clone(),
        });
    }
}
