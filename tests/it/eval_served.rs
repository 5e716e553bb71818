//! `infill eval translate` with answers of a scripted server: counted right, asked for and cut as in the paper.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::scripted::{Asked, Reply, Scripted};
use crate::{harness, tidy};

fn data() -> PathBuf {
    tidy::root().join("tests/data/humaneval-x-like")
}

fn eval(data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(harness::binary());
    command
        .args(["eval", "translate", "--data"])
        .arg(data)
        .args(arguments)
        .env_remove("INFILL_ENDPOINT_KEY")
        .stdin(Stdio::null());
    command
}

/// Runs it; gives the exit code, standard output, standard error.
fn run(command: &mut Command) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

#[track_caller]
fn report(arguments: &[&str]) -> Value {
    let (code, out, errors) = run(eval(&data(), arguments).arg("--json"));
    assert_eq!(code, 0, "{out}{errors}");
    serde_json::from_str(&out).unwrap()
}

/// The body of a solution to the problem that is asked, in JavaScript or Rust.
fn solution(asked: &Asked, file: &str) -> (String, String, usize) {
    let text = fs::read_to_string(data().join(file)).unwrap();
    let problems = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let names = ["clamp", "initials", "doubled", "root"];
    let asked = asked.text().to_lowercase();
    let number = names.iter().position(|name| asked.contains(name)).unwrap();
    let problem = problems.into_iter().nth(number).unwrap();
    let part = |key: &str| problem[key].as_str().unwrap().to_owned();
    (part("declaration"), part("canonical_solution"), number)
}

#[test]
fn answers_of_a_chat_are_run_and_counted() {
    // Right for even problems; for odd ones only with the second seed.
    let server = Scripted::start(|asked| {
        let (declaration, body, number) = solution(asked, "js.jsonl");
        let is_right = number % 2 == 0 || asked.body["seed"] == 1;
        let body = match is_right {
            true => body,
            false => "  return 'wrong';\n}\n".to_owned(),
        };
        Reply::Says(format!(
            "Here it is:\n\n```javascript\n{declaration}{body}```\n\nEnjoy!"
        ))
    });
    let to_js = [
        "--from",
        "python",
        "--to",
        "js",
        "--run",
        "--endpoint",
        &server.url,
    ];
    let one = report(&to_js);
    assert_eq!(one["pairs"]["python-js"]["pass_at_1"], 0.5, "{one}");
    assert_eq!(
        one["pairs"]["python-js"]["failed"],
        json!(["JavaScript/1", "JavaScript/3"])
    );
    assert_eq!(one["model"], "scripted");
    let two = report(&[&to_js[..], &["--k", "1,2"]].concat());
    let found = &two["pairs"]["python-js"];
    assert_eq!(
        (&found["pass_at_1"], &found["pass_at_2"]),
        (&json!(0.75), &json!(1.0)),
        "{two}"
    );
    // Nothing is run without being asked for.
    let unrun = report(&["--from", "python", "--to", "js", "--endpoint", &server.url]);
    let found = &unrun["pairs"]["python-js"];
    assert_eq!(
        (&found["parses"], &found["pass_at_1"]),
        (&json!(1.0), &Value::Null),
        "{unrun}"
    );
}

/// A model that goes on with text gets the paper's prompt, and what it writes ends by the paper's rules.
#[test]
fn text_that_goes_on_is_asked_for_and_cut_as_in_the_paper() {
    let server = Scripted::start(|asked| {
        let (_, body, _) = solution(asked, "rust.jsonl");
        // Models write on and on.
        Reply::Says(format!(
            "{body}\nfn main() {{\n    unfinished(\nPython:\ndef next"
        ))
    });
    let folder = tempfile::tempdir().unwrap();
    let rows = folder.path().join("rows.jsonl");
    let asking = [
        "--endpoint",
        &server.url,
        "--endpoint-template",
        "codegeex_v1",
    ];
    let arguments = [
        "--from",
        "python",
        "--to",
        "rust",
        "--run",
        "--out",
        rows.to_str().unwrap(),
    ];
    let report = report(&[&arguments[..], &asking].concat());
    assert_eq!(report["pairs"]["python-rust"]["pass_at_1"], 1.0, "{report}");

    let asked = server.asked();
    assert_eq!(asked.len(), 4);
    let first = asked
        .iter()
        .find(|asked| asked.text().contains("clamp"))
        .unwrap();
    assert_eq!(first.path, "/v1/completions");
    let problem = |file: &str| {
        let text = fs::read_to_string(data().join(file)).unwrap();
        serde_json::from_str::<Value>(text.lines().next().unwrap()).unwrap()
    };
    let (python, rust) = (problem("python.jsonl"), problem("rust.jsonl"));
    let part = |problem: &Value, key: &str| problem[key].as_str().unwrap().to_owned();
    let expected = format!(
        "code translation\nPython:\n{}\n{}\nRust:\n{}",
        part(&python, "declaration"),
        part(&python, "canonical_solution").trim_end(),
        part(&rust, "declaration"),
    );
    assert_eq!(first.body["prompt"], json!(expected));

    let rows = fs::read_to_string(rows).unwrap();
    assert_eq!(rows.lines().count(), 4);
    for row in rows.lines() {
        let row: Value = serde_json::from_str(row).unwrap();
        assert_eq!(
            (&row["pair"], &row["passed"]),
            (&json!("python-rust"), &json!(true))
        );
        let code = row["code"].as_str().unwrap();
        assert!(
            !code.contains("unfinished") && code.trim_end().ends_with('}'),
            "{code}"
        );
    }
}
