//! `infill eval infill`: known code passes and is found exact, wrong code is not, and the built-in model is asked for real.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::eval::evaluate;

fn eval(data: &Path, arguments: &[&str]) -> (i32, String, String) {
    evaluate("infill", data, arguments)
}

fn json_of(data: &Path, arguments: &[&str]) -> Value {
    let (code, said, errors) = eval(data, &[arguments, &["--json"]].concat());
    assert_eq!(code, 0, "{errors}");
    serde_json::from_str(&said).unwrap()
}

/// A problem, of which the third says a wrong solution.
fn problem(number: usize, middle: &str) -> String {
    let row = json!({
        "task_id": format!("Test/{number}"), "entry_point": "double",
        "prompt": "def double(number):\n    \"\"\"Twice the number.\"\"\"\n    return ",
        "suffix": "\n", "canonical_solution": middle,
        "test": "def check(candidate):\n    assert candidate(3) == 6\n    assert candidate(0) == 0\n",
    });
    format!("{row}\n")
}

fn problems() -> String {
    let middles = ["number * 2", "2 * number", "number * 3"].into_iter();
    middles
        .enumerate()
        .map(|(number, middle)| problem(number, middle))
        .collect()
}

#[test]
fn own_solutions_are_exact_and_pass_if_they_are_right() {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("problems.jsonl");
    std::fs::write(&plain, problems()).unwrap();
    let packed = folder.path().join("problems.jsonl.gz");
    let gzip = Command::new("gzip").arg("--keep").arg(&plain).status();
    assert!(gzip.unwrap().success());
    for data in [plain, packed] {
        let found = json_of(&data, &["--canonical", "--run"]);
        assert_eq!(found["n"], 3);
        assert_eq!(found["exact_match"], 1.0);
        assert_eq!(found["edit_similarity"], 1.0);
        assert_eq!(found["pass_at_1"], 2.0 / 3.0);
        let found = json_of(&data, &["--canonical", "--limit", "2"]);
        assert_eq!(
            (&found["n"], &found["pass_at_1"]),
            (&json!(2), &Value::Null)
        );
    }
}

#[test]
fn a_program_that_does_not_end_does_not_pass() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("problems.jsonl");
    std::fs::write(&data, problem(0, "double(number)\n    while True: pass")).unwrap();
    let found = json_of(&data, &["--canonical", "--run", "--time-limit", "1"]);
    assert_eq!(found["pass_at_1"], 0.0);
    std::fs::write(&data, problem(0, "exit(0)")).unwrap();
    let found = json_of(&data, &["--canonical", "--run"]);
    assert_eq!(found["pass_at_1"], 0.0, "it ended before its tests");
}

#[test]
fn the_built_in_model_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("problems.jsonl");
    std::fs::write(&data, problems()).unwrap();
    let found = json_of(&data, &["--run"]);
    assert_eq!(found["n"], 3);
    for key in [
        "exact_match",
        "prefix_match",
        "edit_similarity",
        "shown_share",
        "pass_at_1",
    ] {
        let share = found[key].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&share), "{key}: {found}");
    }
    // One question, so one answer: the three differ only in what would be right.
    let shown = found["shown_share"].as_f64().unwrap();
    assert!(shown == 0.0 || shown == 1.0, "{found}");
    let (code, said, errors) = eval(&data, &[]);
    assert_eq!(code, 0, "{errors}");
    assert!(
        said.contains("edit similarity") && !said.contains("pass@1"),
        "{said}"
    );
}

#[test]
fn what_is_no_data_is_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("problems.jsonl");
    std::fs::write(&data, problem(0, "1") + "{\"task_id\": \"x\"}\n").unwrap();
    let (code, _, errors) = eval(&data, &["--canonical"]);
    assert!(
        code != 0 && errors.contains("problems.jsonl:2") && errors.contains("prompt"),
        "{errors}"
    );
    std::fs::write(&data, "\n").unwrap();
    let (code, _, errors) = eval(&data, &["--canonical"]);
    assert!(code != 0 && errors.contains("has no problems"), "{errors}");
    let (code, _, errors) = eval(&folder.path().join("none.jsonl"), &["--canonical"]);
    assert!(code != 0 && errors.contains("none.jsonl"), "{errors}");
}
