//! Finishing, seen from outside: bad answers of models and what becomes of them.
//!
//! Takes the golden cases under `data/finish/<filter>/`, each a text with its cursor, a raw answer
//! and either the item or the reason for withholding it; and real snippets with random answers, for
//! which what must always hold is checked: an item repeats nothing after the cursor, leaves
//! brackets no worse and adds no syntax error. Brackets are counted here over the tokens of the
//! whole tree, independently of how finishing goes about it.

use std::path::{Path, PathBuf};

use finish::{Ask, Item, Settled, Until, Why};
use grammars::Language;
use proptest::prelude::*;
use serde::Deserialize;
use text::{Edit, Snapshot};

/// A golden case.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// What it is about, in a sentence.
    description: String,
    language: String,
    /// What was asked for: `line`, `statement` or `block`.
    until: String,
    /// The text, with `‸` at the cursor.
    text: String,
    /// What the model wrote.
    raw: String,
    /// The item's text.
    expect: Option<String>,
    /// The text after the cursor whose place the item takes; nothing by default.
    #[serde(default)]
    replaces: String,
    /// Words of the reason for which the answer is withheld.
    withheld: Option<String>,
    /// Whether the time for parsing is over.
    #[serde(default)]
    late: bool,
}

fn finish(
    raw: &str,
    ask: &Ask,
    snapshot: &Snapshot,
    offset: usize,
    late: bool,
) -> Result<Item, Why> {
    let settled = finish::settle(raw, ask)?;
    finish::fit(&settled, ask, snapshot, offset, &mut || late)
}

fn language(name: &str) -> Language {
    Language::named(name).unwrap_or(Language::PLAIN)
}

fn until(name: &str) -> Until {
    match name {
        "line" => Until::Line,
        "statement" => Until::Statement,
        "block" => Until::Block,
        other => panic!("`until` is line, statement or block, not {other}"),
    }
}

#[test]
fn golden_cases() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/finish");
    let mut paths: Vec<PathBuf> = files(&folder).collect();
    paths.sort();
    let faults: Vec<String> = paths.iter().filter_map(|path| fault(path)).collect();
    assert!(
        faults.is_empty(),
        "{} of {} cases:\n{}",
        faults.len(),
        paths.len(),
        faults.join("\n")
    );
    assert!(paths.len() >= 40, "only {} cases were found", paths.len());
}

fn files(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let filters = std::fs::read_dir(folder).expect("the folder of golden cases");
    filters.flat_map(|filter| {
        let filter = filter.expect("a folder of one filter").path();
        let cases = std::fs::read_dir(filter).expect("a folder of cases");
        cases.map(|case| case.expect("a case").path())
    })
}

/// What is wrong with a case, if anything is.
fn fault(path: &Path) -> Option<String> {
    let source = std::fs::read_to_string(path).expect("a readable case");
    let case: Case = toml::from_str(&source).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    let (text, offset) = text::fixture::cursor(&case.text);
    let snapshot = Snapshot::new(&text, language(&case.language));
    let ask = Ask::at(&snapshot, offset, until(&case.until));
    let found = finish(&case.raw, &ask, &snapshot, offset, case.late);
    let seen = match &found {
        Ok(item) => format!(
            "{:?} in place of {:?}",
            item.text,
            snapshot.slice(item.range.clone())
        ),
        Err(why) => format!("withheld: {why}"),
    };
    let wanted = match (&case.expect, &case.withheld) {
        (Some(expect), None) => format!("{expect:?} in place of {:?}", case.replaces),
        (None, Some(words)) if seen.contains(words) && found.is_err() => seen.clone(),
        (None, Some(words)) => format!("withheld: … {words} …"),
        _ => "either `expect` or `withheld` in the case".to_owned(),
    };
    let item = found.as_ref().ok();
    let broken = item.and_then(|item| broken_promise(item, &ask, &snapshot, offset));
    let name = path
        .strip_prefix(env!("CARGO_MANIFEST_DIR"))
        .unwrap_or(path)
        .display();
    if seen != wanted {
        return Some(format!(
            "{name}: {}\n  wanted {wanted}\n  found  {seen}",
            case.description
        ));
    }
    broken.map(|promise| format!("{name}: {promise}\n  found {seen}"))
}

/// The promise that an item breaks, if it breaks one.
fn broken_promise(item: &Item, ask: &Ask, snapshot: &Snapshot, offset: usize) -> Option<String> {
    if item.range.start != offset || item.range.end > offset + ask.line_right.len() {
        return Some("the range is not on the cursor's line".to_owned());
    }
    if let Some(line) = repeated_line(item, ask, snapshot, offset) {
        return Some(format!("it repeats {line:?}"));
    }
    let after = snapshot.edited(&Edit {
        range: item.range.clone(),
        text: item.text.clone(),
    });
    let (errors, errors_after) = (errors(snapshot), errors(&after));
    if errors_after > errors {
        return Some(format!(
            "{errors} syntax errors before, {errors_after} after"
        ));
    }
    let (brackets, brackets_after) = (brackets(snapshot), brackets(&after));
    if brackets_after > brackets {
        return Some(format!(
            "{brackets} brackets wrong before, {brackets_after} after"
        ));
    }
    None
}

/// A line of the item that is the next line below the cursor. Lines of a few letters, such as
/// `else:`, may come twice.
fn repeated_line(item: &Item, ask: &Ask, snapshot: &Snapshot, offset: usize) -> Option<String> {
    let mut below = snapshot.line_of(offset) + 1..snapshot.line_count();
    let next = below.find_map(|line| {
        let line = snapshot.slice(snapshot.line_range(line));
        (!line.trim().is_empty()).then_some(line)
    })?;
    let telling = next.chars().filter(|c| c.is_alphanumeric()).count() >= 4;
    let said = format!("{}{}", ask.line_left, item.text);
    let whole = said.lines().any(|line| line.trim() == next.trim());
    let half = said.trim().len() >= 8 && next.trim().starts_with(said.trim());
    let repeated = whole || (half && ask.line_left.trim().is_empty());
    let grew = !item
        .text
        .lines()
        .next()
        .unwrap_or_default()
        .trim()
        .is_empty();
    (telling && repeated && grew).then_some(next)
}

fn errors(snapshot: &Snapshot) -> usize {
    snapshot
        .syntax(&mut || false)
        .map_or(0, |syntax| syntax.errors())
}

/// Brackets without a partner among all tokens of the text.
fn brackets(snapshot: &Snapshot) -> usize {
    let Some(tree) = snapshot.tree(&mut || false) else {
        return 0;
    };
    let mut open = Vec::new();
    let mut wrong = 0;
    let mut cursor = tree.walk();
    loop {
        let node = cursor.node();
        if node.child_count() == 0 && !node.is_named() && !node.is_missing() {
            for token in node.kind().chars() {
                match token {
                    '(' => open.push(')'),
                    '[' => open.push(']'),
                    '{' => open.push('}'),
                    ')' | ']' | '}' => match open.iter().rposition(|closer| *closer == token) {
                        Some(at) => {
                            wrong += open.len() - at - 1;
                            open.truncate(at);
                        }
                        None => wrong += 1,
                    },
                    _ => {}
                }
            }
        }
        if cursor.goto_first_child() {
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return wrong + open.len();
            }
        }
    }
}

/// Real code in the languages that matter most.
const SNIPPETS: [(&str, &str); 6] = [
    ("python", include_str!("../data/snippets/ledger.py")),
    ("typescript", include_str!("../data/snippets/ledger.ts")),
    ("rust", include_str!("../data/snippets/ledger.rs")),
    ("go", include_str!("../data/snippets/ledger.go")),
    ("java", include_str!("../data/snippets/Ledger.java")),
    ("cpp", include_str!("../data/snippets/ledger.cpp")),
];

/// Pieces of answers that models like, beside pieces of the text itself.
const PIECES: [&str; 24] = [
    "\n",
    "\n    ",
    "\n        ",
    "\n\t",
    "    ",
    " ",
    ")",
    "(",
    "]",
    "[",
    "{",
    "}",
    ");",
    "\"",
    "'",
    ",",
    ":",
    " = ",
    "return x",
    "if (x) {",
    "value",
    "\r\n",
    "// note",
    "\u{fffd}",
];

/// One part of a random answer.
#[derive(Clone, Debug)]
enum Part {
    /// One of [`PIECES`].
    Piece(prop::sample::Index),
    /// So many characters of the text, from so far after the cursor on.
    After(usize, usize),
    /// So many characters of the text from anywhere.
    From(prop::sample::Index, usize),
}

fn part() -> impl Strategy<Value = Part> {
    prop_oneof![
        3 => any::<prop::sample::Index>().prop_map(Part::Piece),
        1 => (0..6_usize, 1..80_usize).prop_map(|(skip, length)| Part::After(skip, length)),
        2 => (any::<prop::sample::Index>(), 1..60_usize).prop_map(|(at, length)| Part::From(at, length)),
    ]
}

fn answer(text: &str, offset: usize, parts: &[Part]) -> String {
    let starts: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
    let from = |start: usize, length: usize| text[start..].chars().take(length).collect::<String>();
    let part = |part: &Part| match part {
        Part::Piece(index) => PIECES[index.index(PIECES.len())].to_owned(),
        Part::After(skip, length) => text[offset..].chars().skip(*skip).take(*length).collect(),
        Part::From(index, length) => from(starts[index.index(starts.len())], *length),
    };
    parts.iter().map(part).collect()
}

/// Of so long a text a part is parsed, which lacks the last bracket and would take it from the answer.
#[test]
fn a_bracket_too_many_is_found_in_a_long_text() {
    let functions = "int one() {\n    return 1;\n}\n\n".repeat(4000);
    let text = |body: &str| {
        format!("namespace a {{\n{functions}int f() {{\n    {body}\n}}\n\n{functions}}}\n")
    };
    let offset = text("").len() - functions.len() - "\n}\n\n}\n".len();
    let snapshot = Snapshot::new(&text(""), language("cpp"));
    let ask = Ask::at(&snapshot, offset, Until::Block);
    let finished = |raw: &str| finish(raw, &ask, &snapshot, offset, false).map(|item| item.text);
    assert_eq!(finished("static int value;").unwrap(), "static int value;");
    let cut = finished("static int value{1};\n};");
    assert!(!cut.is_ok_and(|text| text.contains("\n}")));
    // Where the text lacks it, it may come.
    let snapshot = Snapshot::new(&text("if (one()) {"), language("cpp"));
    let offset = offset + "if (one()) {".len();
    let ask = Ask::at(&snapshot, offset, Until::Block);
    let item = finish(
        "\n        return 2;\n    }\n",
        &ask,
        &snapshot,
        offset,
        false,
    );
    assert_eq!(item.unwrap().text, "\n        return 2;\n    }");
}

#[test]
fn a_bracket_that_nothing_closes_is_found_in_a_long_text() {
    // A part of it that is parsed may begin within one of these, and is then read as text and code the other way round.
    let words = "        Words about it, and more words.\n".repeat(60);
    let method = |name: &str, body: &str| {
        format!(
            "    def {name}(self, rv):\n        \"\"\"What it does.\n\n{words}        \"\"\"\n        if rv is None:\n            \
             {body}\n\n        return rv\n\n"
        )
    };
    let whole: String = (0..40)
        .map(|n| method(&format!("f{n}"), "return 1"))
        .collect();
    let mut passed = 0;
    for lines in 0..12 {
        let shift = "    # shifts what follows\n".repeat(10 * lines);
        let above = format!("class A:\n{shift}{whole}{}", method("f", ""));
        let offset = above.len() - "\n\n        return rv\n\n".len();
        let snapshot = Snapshot::new(&format!("{above}{whole}"), language("python"));
        let ask = Ask::at(&snapshot, offset, Until::Block);
        let finished =
            |raw: &str| finish(raw, &ask, &snapshot, offset, false).map(|item| item.text);
        let opened = finished("raise TypeError(\n");
        assert!(
            !opened.as_ref().is_ok_and(|text| text.contains('(')),
            "{lines}: {opened:?}"
        );
        passed += usize::from(finished("raise TypeError()\n").is_ok());
    }
    assert_eq!(passed, 12, "what closes all that it opens is let through");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn promises_are_kept_for_any_answer(
        snippet in 0..SNIPPETS.len(),
        cursor: prop::sample::Index,
        removed in 0..40_usize,
        until in prop::sample::select(vec![Until::Line, Until::Statement, Until::Block]),
        crlf: bool,
        parts in prop::collection::vec(part(), 1..8),
    ) {
        let (name, source) = SNIPPETS[snippet];
        let source = if crlf { source.replace('\n', "\r\n") } else { source.to_owned() };
        let starts: Vec<usize> = source.char_indices().map(|(at, _)| at).collect();
        let offset = starts[cursor.index(starts.len())];
        // As while typing: some of what belongs at the cursor is not there yet.
        let rest: String = source[offset..].chars().skip(removed).collect();
        let text = format!("{}{rest}", &source[..offset]);
        let snapshot = Snapshot::new(&text, language(name));
        let ask = Ask::at(&snapshot, offset, until);
        let raw = answer(&source, offset, &parts);
        if let Ok(item) = finish(&raw, &ask, &snapshot, offset, false) {
            prop_assert!(!item.text.trim().is_empty());
            let broken = broken_promise(&item, &ask, &snapshot, offset);
            prop_assert!(broken.is_none(), "{}\nanswer {raw:?}\nitem {item:?}", broken.unwrap_or_default());
        }
    }

    #[test]
    fn stopping_and_settling_agree(
        until in prop::sample::select(vec![Until::Line, Until::Statement, Until::Block]),
        raw in "[ab(){}: \n]{0,60}",
        indent in "[ ]{0,4}",
    ) {
        let snapshot = Snapshot::new(&indent, language("javascript"));
        let ask = Ask::at(&snapshot, indent.len(), until);
        let mut stop = finish::Stop::new(&ask);
        let mut read = String::new();
        for c in raw.chars() {
            read.push(c);
            if stop.push(&c.to_string()) {
                break;
            }
        }
        let settled = |raw: &str| finish::settle(raw, &ask).ok().map(|Settled { text }| text);
        prop_assert_eq!(settled(&read), settled(&raw), "read {:?}", read);
    }
}
