//! Statements, blocks and errors around places, in real syntax.

use grammars::Language;
use text::{Document, Edit, Region, Snapshot, Syntax, fixture};

fn syntax(name: &str, text: &str) -> Syntax {
    let language = Language::named(name).expect("a language of the table");
    let snapshot = Snapshot::new(text, language);
    snapshot
        .syntax(&mut || false)
        .expect("the language has a grammar")
}

/// Checks rows of language, text with a cursor, and the text of the range that is found.
fn check(
    table: &[(&str, &str, Option<&str>)],
    find: fn(&Syntax, usize) -> Option<std::ops::Range<usize>>,
) {
    for (name, marked, expected) in table {
        let (text, offset) = fixture::cursor(marked);
        let found = find(&syntax(name, &text), offset);
        let found = found.map(|range| &text[range]);
        assert_eq!(found, *expected, "{name}: {marked:?}");
    }
}

#[test]
fn the_innermost_statement_holds_the_place() {
    check(
        &[
            ("rust", "fn f() { let a = ‸1; b(); }", Some("let a = 1;")),
            ("rust", "fn f() { let a = 1;‸ b(); }", Some("let a = 1;")),
            ("rust", "fn f() { ‸let a = 1; b(); }", Some("let a = 1;")),
            (
                "rust",
                "fn f() { a(); ‸ b(); }",
                Some("fn f() { a();  b(); }"),
            ),
            ("python", "x = 1\ny = ‸2\n", Some("y = 2")),
            ("python", "x = 1;‸y = 2\n", Some("y = 2")),
            ("python", "if a:\n    b(‸)\n", Some("b()")),
            ("python", "x = 1\n\n‸\n", None),
            ("javascript", "a();‸b();", Some("a();")),
            ("json", "{\"a\": ‸1}", None),
        ],
        Syntax::statement,
    );
}

#[test]
fn the_innermost_block_holds_the_place() {
    let python = "def f():\n    a()\n    if b:\n        c()\n";
    let outer = "a()\n    if b:\n        c()";
    check(
        &[
            ("rust", "fn f() { if a { ‸b } }", Some("{ b }")),
            ("rust", "fn f() { if a { b }‸ }", Some("{ if a { b } }")),
            ("rust", "fn f() ‸{ }", None),
            ("rust", "fn f() {‸}", Some("{}")),
            ("python", &format!("{python}‸"), None),
            (
                "python",
                &format!("{python}    ‸"),
                Some(&format!("{outer}\n    ")),
            ),
            (
                "python",
                &format!("{python}        ‸"),
                Some("c()\n        "),
            ),
            (
                "python",
                &format!("{python}\n    ‸\nd()"),
                Some(&format!("{outer}\n\n    ")),
            ),
            ("python", "def f():\n    ‸a()\n", Some("a()")),
            ("python", "if a:\n    b\n‸\nelse:\n    c\n", None),
            ("lua", "if a then\n  b()\n‸\nend", Some("b()\n")),
            ("lua", "if a then\n  b()\nend‸", None),
        ],
        Syntax::block,
    );
}

#[test]
fn lists_hold_what_lies_inside_in_order() {
    let text = "fn f() { a(); if b { c(); } }\nfn g() { d(); }\n";
    let syntax = syntax("rust", text);
    let texts = |ranges: Vec<std::ops::Range<usize>>| -> Vec<&str> {
        ranges.into_iter().map(|range| &text[range]).collect()
    };
    assert_eq!(
        texts(syntax.blocks(0..text.len())),
        ["{ a(); if b { c(); } }", "{ c(); }", "{ d(); }"]
    );
    assert_eq!(texts(syntax.blocks(9..29)), ["{ c(); }"]);
    assert_eq!(texts(syntax.blocks(0..0)), Vec::<&str>::new());
    assert_eq!(
        texts(syntax.statements(8..29)),
        ["a();", "if b { c(); }", "c();"]
    );
    assert_eq!(
        texts(syntax.statements(0..usize::MAX)),
        [
            &text[..29],
            "a();",
            "if b { c(); }",
            "c();",
            &text[30..45],
            "d();"
        ]
    );
}

#[test]
fn errors_are_counted_where_they_are() {
    let text = "fn f() {}\nfn g( {}\nfn h() {}\n";
    let broken = syntax("rust", text);
    assert!(broken.errors() > 0);
    assert_eq!(broken.errors_in(0..8), 0);
    assert_eq!(broken.errors_in(10..19), broken.errors());
    assert_eq!(broken.errors_in(22..text.len()), 0);
    assert_eq!(syntax("rust", "fn f() {}\n").errors(), 0);
    assert_eq!(
        syntax("rust", "struct S { a: u8 \n").errors(),
        1,
        "a missing brace"
    );
}

#[test]
fn an_old_tree_answers_away_from_the_edit() {
    let language = Language::named("rust").expect("the table has Rust");
    let text = "fn f() { a(); }\nfn g() { b(); }\n";
    let mut document = Document::new(text, 1, language);
    document.snapshot().tree(&mut || false);
    document.edit(&Edit {
        range: 0..0,
        text: "// é\n".to_owned(),
    });
    let snapshot = document.snapshot();
    let syntax = snapshot.syntax(&mut || true).expect("there was a tree");
    let block = syntax.block(6 + 26).expect("the cursor is in g's body");
    assert_eq!(snapshot.slice(block), "{ b(); }");
}

#[test]
fn a_plain_text_has_no_syntax() {
    let snapshot = Snapshot::new("just words", Language::PLAIN);
    assert!(snapshot.syntax(&mut || false).is_none());
}

/// Asks all there is to ask, at places all over the text.
fn ask(syntax: &Syntax, len: usize) {
    for offset in [0, 1, len / 3, len / 2, len - 1, len] {
        syntax.region(offset);
        syntax.statement(offset);
        syntax.block(offset);
        syntax.errors_in(offset..len / 2);
    }
    syntax.statements(0..usize::MAX);
    syntax.blocks(0..len);
    syntax.first_error();
    syntax.errors();
    syntax.items();
    syntax.signature(&(0..len));
}

#[test]
fn texts_that_nobody_types_are_answered_in_their_own_time() {
    let texts = [
        "(\n".repeat(100_000),
        "(".repeat(100_000),
        ")".repeat(100_000),
        "a.".repeat(50_000),
        // Deep, and at its depth a row that belongs to an error.
        format!("{}{}", "a.b(".repeat(500), "(".repeat(100_000)),
    ];
    for name in ["python", "javascript", "rust", "go"] {
        for text in &texts {
            ask(&syntax(name, text), text.len());
        }
    }
    let brackets = "[{".repeat(50_000);
    for name in ["python", "javascript", "rust"] {
        ask(&syntax(name, &brackets), brackets.len());
    }
}

#[test]
fn a_tree_too_deep_to_be_asked_still_knows_strings_and_errors() {
    let chain = ".a".repeat(2_000);
    let text = format!("def f():\n    x{chain}\n\ny = 'b'\nz = (\n");
    let deep = syntax("python", &text);
    assert_eq!(deep.statement(20), None);
    assert!(deep.statements(0..usize::MAX).is_empty());
    assert_eq!(deep.region(20), Region::Code);
    let string = text.find("'b'").expect("it is there");
    assert_eq!(deep.region(string + 1), Region::String);
    assert!(deep.errors() > 0);
    assert_eq!(deep.errors_in(0..10), 0);
    // What is not deep is asked as ever.
    let found = deep.statement(string).map(|range| &text[range]);
    assert_eq!(found, Some("y = 'b'"));
}
