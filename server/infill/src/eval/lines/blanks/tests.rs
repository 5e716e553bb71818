//! What is cut, from where, and that it is the same for the same seed.

use std::fs;

use super::*;

const PYTHON: &str = "\
# A licence that nobody types twice.
def area(width, height):
    if width < 0:
        raise ValueError(\"negative\")
    return width * height  # of a field


class Field:
    def __init__(self, width, height):
        self.width = width
        self.height = height
";

const GO: &str = "\
package field

/* What a
   field is. */
func Area(width, height int) int {
\tif width < 0 {
\t\tpanic(\"negative\")
\t}
\treturn width * height
}
";

/// Files of these texts in a fresh folder.
fn files(texts: &[(&str, &str)]) -> (tempfile::TempDir, Vec<SourceFile>) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in texts {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let files = crate::corpus::source_files(folder.path()).unwrap();
    (folder, files)
}

fn all(text: &str, language: &str, kind: Kind) -> Vec<String> {
    let places = Places::new(text, Language::named(language).unwrap());
    let mut rng = Rng::with_seed(1);
    let mut known = Vec::new();
    for _ in 0..200 {
        known.extend(places.find(kind, &known, &mut rng));
    }
    let text = |blank: &Blank| text[blank.missing.clone()].to_owned();
    let mut truths: Vec<String> = known.iter().map(text).collect();
    truths.sort();
    truths.dedup();
    truths
}

#[test]
fn lines_and_blocks_are_whole_and_no_comments() {
    let lines = all(GO, "go", Kind::WholeLine);
    let want = [
        "func Area(width, height int) int {",
        "if width < 0 {",
        "package field",
        "panic(\"negative\")",
        "return width * height",
    ];
    assert_eq!(lines, want);
    let blocks = all(GO, "go", Kind::Block);
    let body = "if width < 0 {\n\t\tpanic(\"negative\")\n\t}\n\treturn width * height";
    assert_eq!(blocks, [body, "panic(\"negative\")"]);
    let bodies = all(PYTHON, "python", Kind::Block);
    let of_init = "self.width = width\n        self.height = height";
    assert!(bodies.iter().any(|body| body == of_init), "{bodies:?}");
}

#[test]
fn statements_may_be_several_lines() {
    let statements = all(PYTHON, "python", Kind::Statement);
    for want in [
        "self.height = height",
        "if width < 0:\n        raise ValueError(\"negative\")",
    ] {
        assert!(statements.iter().any(|one| one == want), "{statements:?}");
    }
    let is_whole = |one: &String| !one.starts_with("return");
    assert!(
        statements.iter().all(is_whole),
        "a comment is behind it: {statements:?}"
    );
}

#[test]
fn rests_begin_behind_a_mark_or_in_a_word() {
    let rests = all(GO, "go", Kind::RestOfLine);
    for want in ["width * height", "\"negative\")", "negative"] {
        assert!(rests.iter().any(|rest| rest == want), "{want}: {rests:?}");
    }
    let in_words = all(GO, "go", Kind::MidWord);
    assert!(
        in_words.iter().any(|rest| rest == "eturn width * height"),
        "{in_words:?}"
    );
    assert!(
        !in_words.iter().any(|rest| rest.starts_with("egative")),
        "that is a string: {in_words:?}"
    );
}

#[test]
fn what_is_too_long_or_says_nothing_is_not_cut() {
    let long = format!("def f():\n{}", "    x = 1\n".repeat(LINES_MAX + 1));
    assert!(all(&long, "python", Kind::Block).is_empty());
    for kind in Kind::ALL {
        for text in ["", "\n", "}\n", "// only this\n", "\r\n)\r\n"] {
            assert!(all(text, "go", kind).is_empty(), "{kind:?} of {text:?}");
        }
    }
}

#[test]
fn blanks_are_spread_and_the_same_for_the_same_seed() {
    let (_folder, files) = files(&[
        ("a.py", PYTHON),
        ("b.py", PYTHON),
        ("c.py", "\r\nvalue_of_é = compute(1)\r\n"),
        ("d.py", ""),
    ]);
    let cuts = cut(&files, 20, 7);
    assert_eq!(format!("{cuts:?}"), format!("{:?}", cut(&files, 20, 7)));
    assert_ne!(format!("{cuts:?}"), format!("{:?}", cut(&files, 20, 8)));
    let blanks: Vec<&Blank> = cuts.iter().flat_map(|cut| &cut.blanks).collect();
    assert_eq!(blanks.len(), 20);
    for kind in Kind::ALL {
        let count = blanks.iter().filter(|blank| blank.kind == kind).count();
        assert_eq!(count, 4, "{kind:?}");
    }
    for cut in &cuts {
        assert_eq!(cut.errors, Some(0));
        for blank in &cut.blanks {
            let truth = &cut.text[blank.missing.clone()];
            assert!(
                !truth.trim().is_empty() && !truth.ends_with(['\r', '\n']),
                "{truth:?}"
            );
        }
    }
    let most = cut_all(&files);
    assert!(
        most < 1000 && most > 20,
        "as many as there are places for: {most}"
    );
}

fn cut_all(files: &[SourceFile]) -> usize {
    let cuts = cut(files, 1000, 0);
    cuts.iter().map(|cut| cut.blanks.len()).sum()
}

#[test]
fn languages_without_grammar_have_lines_only() {
    let (folder, _) = files(&[("a.py", PYTHON)]);
    let file = SourceFile {
        path: folder.path().join("a.py"),
        language: Language::PLAIN,
        bytes: PYTHON.len() as u64,
    };
    let cuts = cut(&[file], 9, 1);
    assert_eq!(cuts[0].blanks.len(), 9);
    assert!(cuts[0].errors.is_none());
    assert!(
        cuts[0]
            .blanks
            .iter()
            .all(|blank| !blank.kind.needs_grammar())
    );
}
