//! Which places are code, string and comment, in real syntax of many languages.

use grammars::Language;
use text::{Region, Snapshot, fixture};

const CODE: Region = Region::Code;
const STRING: Region = Region::String;
const COMMENT: Region = Region::Comment;

const TABLE: &[(&str, &str, Region)] = &[
    ("rust", "let a = ‸1;", CODE),
    ("rust", "let a = \"‸\";", STRING),
    ("rust", "let a = \"b‸\";", STRING),
    ("rust", "let a = ‸\"b\";", CODE),
    ("rust", "let a = \"b\"‸;", CODE),
    ("rust", "let a = r#\"b‸\"#;", STRING),
    ("rust", "let a = \"\\‸n\";", STRING),
    ("rust", "let a = 'b‸';", STRING),
    ("rust", "let a = f::<'a>(‸);", CODE),
    ("rust", "// why‸\nlet a = 1;", COMMENT),
    ("rust", "‸// why\nlet a = 1;", CODE),
    ("rust", "// why\n‸let a = 1;", CODE),
    ("rust", "/// what‸\nfn f() {}", COMMENT),
    ("rust", "/// what\n‸fn f() {}", CODE),
    ("rust", "/* a ‸ b */ fn f() {}", COMMENT),
    ("rust", "/* a */‸ fn f() {}", CODE),
    ("rust", "fn f() { let a = g(\"b‸\n}\n", STRING),
    ("rust", "fn f() { let a = g(\"b\"‸\n}\n", CODE),
    ("rust", "fn f<'a, 'b>(x: ‸\n", CODE),
    ("python", "x = f\"a{‸b}c\"", CODE),
    ("python", "x = f\"a{b‸}c\"", CODE),
    ("python", "x = f\"a‸{b}c\"", STRING),
    ("python", "x = f\"a{b}‸c\"", STRING),
    ("python", "x = f\"a{g('‸')}c\"", STRING),
    ("python", "x = \"a\" ‸ \"b\"", CODE),
    ("python", "\"\"\"What\n‸\n\"\"\"\n", STRING),
    ("python", "# see a[b[0]]‸\n", COMMENT),
    ("python", "x = 'it‸\ny = 1\n", STRING),
    ("python", "x = g(\"‸\ny = 1\n", STRING),
    ("python", "x = g(\"a\", ‸\ny = 1\n", CODE),
    ("javascript", "x = `a${‸b}c`", CODE),
    ("javascript", "x = `a${b}c‸`", STRING),
    ("javascript", "x = /a‸b/", STRING),
    ("javascript", "x = 1 // é‸", COMMENT),
    ("javascript", "foo('‸\nbar()\n", STRING),
    ("typescript", "const a: 'b‸' = c", STRING),
    ("tsx", "const a = <b c=\"‸\">{d}</b>", STRING),
    ("go", "x := `a‸`", STRING),
    ("go", "x := 'a‸'", STRING),
    ("go", "import \"fm‸t\"", STRING),
    ("java", "class A { String a = \"b‸\"; }", STRING),
    ("java", "/** what ‸ */ class A {}", COMMENT),
    ("c", "#include <std‸io.h>\n", STRING),
    ("c", "char *a = \"b\" ‸ \"c\";", CODE),
    ("cpp", "template <class... T> void f(T... ‸a) {}", CODE),
    ("csharp", "class A { string a = $\"b{‸c}\"; }", CODE),
    ("csharp", "class A { string a = $\"b‸{c}\"; }", STRING),
    ("ruby", "x = \"a#{‸b}c\"", CODE),
    ("ruby", "x = <<~T\n  a‸\nT\n", STRING),
    ("ruby", "x = %w[a ‸ b]", CODE),
    ("ruby", "=begin\na‸\n=end\nx = 1\n", COMMENT),
    ("php", "<?php $x = \"a‸b\";", STRING),
    ("php", "<?php // why‸\n$x = 1;", COMMENT),
    ("bash", "echo \"a ‸ b\"", STRING),
    ("bash", "echo \"$(ca‸t x)\"", CODE),
    ("bash", "cat <<T\na‸b\nT\n", STRING),
    ("lua", "x = [[a‸]]", STRING),
    ("lua", "--[[ a ‸ ]] x = 1", COMMENT),
    ("lua", "--[[ a ]]‸ x = 1", CODE),
    ("kotlin", "val x = \"a${‸b}c\"", CODE),
    ("kotlin", "val x = \"a‸${b}c\"", STRING),
    ("scala", "val x = s\"a${‸b}c\"", CODE),
    ("scala", "val x = s\"a‸ c\"", STRING),
    ("html", "<a href=\"‸b\">c</a>", STRING),
    ("html", "<!-- a ‸ --><b></b>", COMMENT),
    ("html", "<!-- a -->‸<b></b>", CODE),
    ("css", "a { content: \"‸b\"; }", STRING),
    ("css", "a { color: ‸red; }", CODE),
    ("json", "{\"a‸\": 1}", STRING),
    ("yaml", "a: plain ‸text\n", CODE),
    ("yaml", "a: \"quo‸ted\"\n", STRING),
    ("yaml", "a: 1 # why‸\n", COMMENT),
    ("toml", "a = \"b‸\"\n", STRING),
    ("sql", "SELECT 'a‸b' FROM c;", STRING),
    ("sql", "SELECT 1‸2 FROM c;", CODE),
    ("sql", "COMMENT ON TABLE ‸a IS 'b';", CODE),
    ("sql", "-- why‸\nSELECT 1;", COMMENT),
    ("sql", "/* a ‸ */ SELECT 1;", COMMENT),
];

#[test]
fn places_are_in_their_regions() {
    let mut wrong = Vec::new();
    for &(name, marked, expected) in TABLE {
        let (text, offset) = fixture::cursor(marked);
        let language = Language::named(name).expect("a language of the table");
        let syntax = Snapshot::new(&text, language).syntax(&mut || false);
        let syntax = syntax.expect("the languages of the table have grammars");
        let found = syntax.region(offset);
        if found != expected {
            wrong.push(format!("{name}: {marked:?} is {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_place_makes_it_panic() {
    for language in Language::all() {
        for text in ["", "\"é", "/* 😀", "'\r\n`", "{\"a\": [<<~T\n"] {
            let snapshot = Snapshot::new(text, language);
            if let Some(syntax) = snapshot.syntax(&mut || false) {
                for offset in 0..text.len() + 3 {
                    syntax.region(offset);
                    syntax.statement(offset);
                    syntax.block(offset);
                    syntax.errors_in(offset..usize::MAX);
                }
            }
        }
    }
}
