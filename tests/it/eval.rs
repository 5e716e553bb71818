//! `infill eval translate`: the data's own solutions pass and others fail, by each language's own tools; figures as JSON.
//!
//! Takes `tests/data/humaneval-x-like`, four small problems of our own in the form of HumanEval-X.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use grammars::Language;
use infill::eval::translate::assemble::{Answer, code, cut};
use infill::eval::translate::languages::{End, Row};
use infill::eval::translate::problems::Problem;
use infill::eval::translate::work::source_code;
use prompt::{Request, Template, Translation};
use serde_json::{Value, json};

use crate::{harness, tidy};

fn data() -> PathBuf {
    tidy::root().join("tests/data/humaneval-x-like")
}

/// Evaluates translation.
fn eval(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    evaluate("translate", folder, arguments)
}

/// Evaluates; gives the exit code, standard output and standard error.
pub fn evaluate(what: &str, data: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(harness::binary())
        .args(["eval", what, "--data"])
        .arg(data)
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

fn json_of(folder: &Path, arguments: &[&str]) -> Value {
    let (code, said, errors) = eval(folder, &[arguments, &["--json"]].concat());
    assert_eq!(code, 0, "{errors}");
    serde_json::from_str(&said).unwrap()
}

/// A folder with these problems: a language, its declaration, solution and test.
fn problems(rows: &[(&str, &str, &str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (language, declaration, solution, test) in rows {
        let path = folder.path().join(format!("{language}.jsonl"));
        let mut text = fs::read_to_string(&path).unwrap_or_default();
        let number = text.lines().count();
        let row = json!({
            "task_id": format!("{language}/{number}"), "declaration": declaration,
            "canonical_solution": solution, "test": test,
        });
        text += &format!("{row}\n");
        fs::write(path, text).unwrap();
    }
    folder
}

#[test]
fn own_solutions_pass_and_others_do_not() {
    for (flags, share) in [
        (&["--canonical"][..], 1.0),
        (&["--canonical", "--shuffled"], 0.0),
    ] {
        let found = json_of(
            &data(),
            &[&["--from", "all", "--to", "all"], flags].concat(),
        );
        let names = ["python", "cpp", "java", "js", "go", "rust"];
        let pairs = names.iter().flat_map(|from| names.map(|to| (*from, to)));
        for (from, to) in pairs.filter(|(from, to)| from != to) {
            let key = format!("{from}-{to}");
            let pair = &found["pairs"][&key];
            if pair.is_null() && ["java", "go"].contains(&to) {
                let left_out = found["left_out"].as_array().unwrap();
                let told = left_out.iter().find(|left| left["what"] == *key).unwrap();
                assert!(
                    told["reason"]
                        .as_str()
                        .unwrap()
                        .ends_with("is not installed")
                );
                continue;
            }
            let seen = (&pair["n"], &pair["pass_at_1"]);
            assert_eq!(seen, (&json!(4), &json!(share)), "{key}: {pair}");
        }
    }
}

#[test]
fn people_get_a_line_for_each_pair_and_the_matrix() {
    let list = [
        "--from",
        "python,js",
        "--to",
        "js,python",
        "--canonical",
        "--limit",
        "2",
    ];
    let (code, said, _) = eval(&data(), &list);
    assert_eq!(code, 0);
    let expected = "python-js: 2 problems, pass@1 100.0%; 100.0% parse\n\
                    js-python: 2 problems, pass@1 100.0%; 100.0% parse\n\n\
                    pass@1       python       js\n\
                    python            -   100.0%\n\
                    js           100.0%        -\n";
    assert_eq!(said, expected);
}

#[test]
fn what_is_wrong_does_not_end_or_ends_early_fails() {
    let test = "console.assert(f(1) === 2)\n";
    let python = (
        "python",
        "def f(x):\n",
        "    return x + 1\n",
        "assert f(1) == 2\n",
    );
    let begin = "const f = (x) => {\n";
    let folder = problems(&[
        ("js", begin, "  return x + 2;\n}\n", test),
        ("js", begin, "  while (true) {}\n}\n", test),
        ("js", begin, "  process.exit(0);\n}\n", test),
        ("js", begin, "  return x + 1;\n}\n", test),
        python,
        python,
        python,
        python,
    ]);
    let rows = folder.path().join("rows");
    let out = ["--out", rows.to_str().unwrap(), "--time-limit", "5"];
    let list = ["--from", "python", "--to", "javascript", "--canonical"];
    let found = json_of(folder.path(), &[&list[..], &out].concat());
    let pair = &found["pairs"]["python-js"];
    assert_eq!((&pair["n"], &pair["pass_at_1"]), (&json!(4), &json!(0.25)));
    assert_eq!(pair["failed"], json!(["js/0", "js/1", "js/2"]));
    let rows = fs::read_to_string(rows).unwrap();
    assert_eq!(rows.lines().count(), 4);
    for (task, complaint) in [
        ("js/0", "an assertion failed"),
        ("js/1", "it does not end within 5 s"),
        ("js/2", "it ended before its tests had run"),
    ] {
        let mut rows = rows
            .lines()
            .map(|row| serde_json::from_str::<Value>(row).unwrap());
        let row = rows.find(|row| row["task_id"] == task).unwrap();
        assert!(
            row["complaint"].as_str().unwrap().contains(complaint),
            "{row}"
        );
        assert_eq!(row["passed"], false);
    }
}

#[test]
fn mistakes_are_told_with_their_place() {
    let folder = problems(&[("python", "def f():\n", "    pass\n", "")]);
    fs::write(
        folder.path().join("js.jsonl"),
        "{\"task_id\": \"JavaScript/0\"}\n",
    )
    .unwrap();
    fs::write(folder.path().join("cpp.jsonl.gz"), "this is not packed").unwrap();
    let long = "a language that is spoken by Klingons";
    for (from, to, more, told) in [
        (
            "python",
            "klingon",
            &[][..],
            "there is no language `klingon`",
        ),
        ("python", "haskell", &[], "HumanEval-X has no Haskell"),
        ("python", long, &[], long),
        ("python", "rust", &[], "no rust.jsonl.gz and no rust.jsonl"),
        (
            "python",
            "js",
            &[],
            "js.jsonl:1: this line is no problem: missing field `declaration`",
        ),
        ("python", "cpp", &[], "cpp.jsonl.gz:1: cannot be read"),
        ("python", "python", &[], "no pair of two languages"),
        (
            "python",
            "js",
            &["--k", "10", "--samples", "3"],
            "pass@10 takes 10 answers",
        ),
        (
            "python",
            "js",
            &["--k", "10", "--temperature", "0"],
            "would all be the same",
        ),
    ] {
        let (code, _, errors) = eval(
            folder.path(),
            &[&["--from", from, "--to", to], more].concat(),
        );
        assert!(code == 1 && errors.contains(told), "{to}: {errors}");
    }
    let (code, _, errors) = eval(Path::new("nowhere"), &["--from", "all", "--to", "all"]);
    assert!(
        code == 1 && errors.contains("--data nowhere is no folder"),
        "{errors}"
    );
}

#[test]
fn the_prompt_is_the_papers() {
    let problem = |declaration: &str, solution: &str| Problem {
        task_id: "x/0".to_owned(),
        declaration: declaration.to_owned(),
        canonical_solution: solution.to_owned(),
        test: String::new(),
        test_setup: String::new(),
    };
    let source = problem("def twice(x: int) -> int:\n", "    return x * 2\n\n");
    let target = problem("\nusing namespace std;\nint twice(int x){\n", "");
    let [from, to] = ["python", "cpp"].map(|name| Language::named(name).unwrap());
    let translation = Translation {
        from,
        to,
        code: &source_code(&source),
        context: "",
        declaration: &target.declaration,
        note: "",
        attempts: &[],
    };
    let expected = "code translation\nPython:\ndef twice(x: int) -> int:\n\n    return x * 2\nC++:\n\n\
                    using namespace std;\nint twice(int x){\n";
    let request = translation.request(Template::CodeGeex).unwrap();
    assert_eq!(request, Request::Text(expected.to_owned()));
}

#[test]
fn answers_end_by_the_papers_rules() {
    for (end, text, expected) in [
        (
            End::Outdent,
            "    return 1\n\n\ndef g():\n    pass\n",
            "    return 1\n\n\n",
        ),
        (End::Outdent, "\treturn 1\nprint(f())", "\treturn 1\n"),
        (
            End::Brace(""),
            "  if (x) { y }\n}\nint main(){}\n",
            "  if (x) { y }\n}\n",
        ),
        (End::Brace(""), "  if (x) { y } and on", "  if (x) { y }\n"),
        (
            End::Brace("\n}"),
            "  return 1;\n    }\n    void g() {}\n}",
            "  return 1;\n    }\n}\n",
        ),
    ] {
        assert_eq!(cut(end, text), expected, "{text}");
    }
}

#[test]
fn a_whole_answer_gets_what_it_does_not_say_and_loses_what_tests_define() {
    let problem = |declaration: &str, solution: &str, test: &str| Problem {
        task_id: "x/0".to_owned(),
        declaration: declaration.to_owned(),
        canonical_solution: solution.to_owned(),
        test: test.to_owned(),
        test_setup: String::new(),
    };
    let cpp = problem(
        "#include<vector>\nint half(int x){\n    return x/2;\n}\n\nint f(int x){\n",
        "    return half(x);\n}\n",
        "int main(){\n}\n",
    );
    let rust = problem(
        "use std::collections::HashMap;\n\nfn f() -> i32 {\n",
        "    1\n}\n",
        "",
    );
    for (row, problem, answer, expected) in [
        (
            "cpp",
            &cpp,
            "int f(int x){\n    return x/2;\n}\nint main(){\n    f(1);\n}\n",
            "#include<vector>\nint half(int x){\n    return x/2;\n}\nint f(int x){\n    return x/2;\n}\n\n",
        ),
        (
            "cpp",
            &cpp,
            "    return 1;\n}\n",
            "#include<vector>\nint half(int x){\n    return x/2;\n}\n\nint f(int x){\n    return 1;\n}\n",
        ),
        (
            "rust",
            &rust,
            "use std::collections::{HashMap, HashSet};\nfn f() -> i32 { 1 }\n",
            "mod given { pub use std::collections::HashMap; }\nuse given::*;\nuse std::collections::{HashMap, HashSet};\nfn f() -> i32 { 1 }\n",
        ),
        (
            "rust",
            &rust,
            "use std::collections::HashMap;\nfn f() -> i32 { 1 }\n",
            "use std::collections::HashMap;\nfn f() -> i32 { 1 }\n",
        ),
    ] {
        let found = code(
            Row::named(row).unwrap(),
            problem,
            &Answer::Whole(answer.to_owned()),
        );
        assert_eq!(found, expected);
    }
}

/// Pairs of `tests/data/translate` as problems: the model writes those with a wrong attempt wrongly at first.
fn learned() -> (tempfile::TempDir, usize, usize) {
    let list = tidy::root().join("tests/data/translate/pairs/python-javascript.jsonl");
    let text = fs::read_to_string(list).unwrap();
    let pairs: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let word = |pair: &Value, key: &str| pair[key].as_str().unwrap_or_default().to_owned();
    let mut python = String::new();
    let mut js = String::new();
    let (mut all, mut right) = (0, 0);
    for pair in pairs.iter().filter(|pair| word(pair, "context").is_empty()) {
        // The paper joins declaration and solution with a line's end.
        let source = word(pair, "code");
        let (first, rest) = source.split_once('\n').unwrap();
        let row = json!({"task_id": format!("Python/{all}"), "declaration": first,
            "canonical_solution": rest, "test": ""});
        python += &format!("{row}\n");
        let row = json!({"task_id": format!("JavaScript/{all}"), "declaration": word(pair, "declaration"),
            "canonical_solution": word(pair, "translation"), "test": word(pair, "test")});
        js += &format!("{row}\n");
        all += 1;
        right += usize::from(
            pair.get("attempts")
                .is_none_or(|attempts| attempts == &json!([])),
        );
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("python.jsonl"), python).unwrap();
    fs::write(folder.path().join("js.jsonl"), js).unwrap();
    (folder, all, right)
}

#[test]
fn a_model_passes_what_it_knows() {
    let (folder, all, right) = learned();
    assert!(right > 0 && right < all);
    let model = tidy::root().join("tests/data/translate/pairs.gguf");
    let list = [
        "--from",
        "python",
        "--to",
        "js",
        "--model",
        model.to_str().unwrap(),
    ];
    let found = json_of(folder.path(), &[&list[..], &["--run"]].concat());
    let pair = &found["pairs"]["python-js"];
    let expected = right as f64 / all as f64;
    assert_eq!(pair["n"], all);
    let share = pair["pass_at_1"].as_f64().unwrap();
    assert!((share - expected).abs() < 1e-9, "{expected}: {pair}");
    let found = json_of(folder.path(), &[&list[..], &["--limit", "3"]].concat());
    let pair = &found["pairs"]["python-js"];
    assert_eq!((&pair["n"], &pair["parses"]), (&json!(3), &json!(1.0)));
    assert!(pair.get("pass_at_1").is_none(), "nothing was run: {pair}");
}
