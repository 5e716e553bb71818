//! `infill eval translate` on a small data set of our own in HumanEval-X's form: its own solutions, other problems'
//! solutions, and answers of a scripted server.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::scripted::{Asked, Reply, Scripted};
use crate::{harness, tidy};

/// The languages whose tools the tests install.
const HERE: [&str; 4] = ["python", "cpp", "js", "rust"];

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

fn has(tool: &str) -> bool {
    let mut look = Command::new("sh");
    look.args(["-c", &format!("command -v {tool}")])
        .stdout(Stdio::null());
    look.status().unwrap().success()
}

#[test]
fn the_datas_own_solutions_pass_and_those_of_others_do_not() {
    let targets = ["--from", "python,js", "--to", "python,cpp,js,rust,java,go"];
    for (more, expected) in [
        (&["--canonical"][..], 1.0),
        (&["--canonical", "--shuffled"], 0.0),
    ] {
        let report = report(&[&targets, more].concat());
        let left_out = report["left_out"].as_array().unwrap();
        let (mut seen, mut skipped) = (0, 0);
        for from in ["python", "js"] {
            for (to, tool) in HERE
                .map(|to| (to, ""))
                .into_iter()
                .chain([("java", "javac"), ("go", "go")])
            {
                let pair = format!("{from}-{to}");
                let found = &report["pairs"][&pair];
                if from == to {
                    assert!(found.is_null(), "{pair}");
                } else if found.is_null() {
                    // Only what is not installed may be missing, and then it is told.
                    assert!(!tool.is_empty() && !has(tool), "{pair}: {report}");
                    assert!(
                        left_out.iter().any(|left| left["what"] == *pair),
                        "{report}"
                    );
                    skipped += 1;
                } else {
                    assert_eq!(
                        (&found["n"], &found["pass_at_1"]),
                        (&json!(4), &json!(expected)),
                        "{report}"
                    );
                    assert_eq!(found["not_run"], json!([]), "{report}");
                    seen += 1;
                }
            }
        }
        assert_eq!((seen >= 6, seen + skipped), (true, 10), "{report}");
    }
}

#[test]
fn people_get_a_line_for_each_pair_and_the_matrix() {
    let arguments = [
        "--from",
        "python,rust",
        "--to",
        "js,python",
        "--canonical",
        "--limit",
        "2",
    ];
    let (code, out, errors) = run(&mut eval(&data(), &arguments));
    assert_eq!(code, 0, "{errors}");
    assert!(
        out.contains("python-js: 2 problems, pass@1 100.0%"),
        "{out}"
    );
    let matrix = out.lines().skip_while(|line| !line.starts_with("pass@1 "));
    let matrix: Vec<Vec<&str>> = matrix
        .map(|line| line.split_whitespace().collect())
        .collect();
    let expected = [
        vec!["pass@1", "js", "python"],
        vec!["python", "100.0%", "-"],
        vec!["rust", "100.0%", "100.0%"],
    ];
    assert_eq!(matrix, expected);
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

#[test]
fn programs_that_do_not_end_or_end_early_fail() {
    let server = Scripted::start(|asked| {
        let (declaration, _, number) = solution(asked, "js.jsonl");
        let body = match number {
            0 => "  for (;;) {}\n}\n",
            1 => "  process.exit(0);\n}\n",
            2 => "  console.log('all tests of this problem have run'); throw new Error('no');\n}\n",
            _ => "  return '",
        };
        Reply::Says(format!("```javascript\n{declaration}{body}```"))
    });
    let arguments = [
        "--from",
        "python",
        "--to",
        "js",
        "--run",
        "--time-limit",
        "3",
    ];
    let report = report(&[&arguments[..], &["--endpoint", &server.url]].concat());
    assert_eq!(report["pairs"]["python-js"]["pass_at_1"], 0.0, "{report}");
}

/// The model that knows some translations by heart is asked for others; what it writes is read, run and counted.
#[test]
fn a_model_of_our_own_is_asked() {
    let model = tidy::root().join("tests/data/translate/pairs.gguf");
    let arguments = [
        "--from",
        "python",
        "--to",
        "js,rust",
        "--run",
        "--limit",
        "2",
        "--max-tokens",
        "64",
    ];
    let report = report(&[&arguments[..], &["--model", model.to_str().unwrap()]].concat());
    for pair in ["python-js", "python-rust"] {
        let found = &report["pairs"][pair];
        assert_eq!(found["n"], 2, "{report}");
        assert!(found["pass_at_1"].is_number(), "{report}");
    }
}

#[test]
fn what_cannot_be_evaluated_is_told() {
    let broken = tempfile::tempdir().unwrap();
    let line = |task: &str| {
        json!({ "task_id": task, "declaration": "", "canonical_solution": "", "test": "" })
            .to_string()
            + "\n"
    };
    fs::write(
        broken.path().join("python.jsonl"),
        line("Python/0") + "{\"task_id\": 3}\n",
    )
    .unwrap();
    fs::write(broken.path().join("js.jsonl"), line("JavaScript/zero")).unwrap();
    fs::write(broken.path().join("cpp.jsonl.gz"), "no archive").unwrap();
    fs::write(
        broken.path().join("rust.jsonl"),
        line("Rust/1") + &line("Rust/1"),
    )
    .unwrap();
    let (here, own) = (broken.path(), data());
    for (data, arguments, words) in [
        (
            &*own,
            &["--from", "cobol", "--to", "js"][..],
            "no language `cobol`",
        ),
        (
            &own,
            &["--from", "js", "--to", "js"],
            "no pair of two languages",
        ),
        (
            &own,
            &["--from", "js", "--to", "python", "--shuffled"],
            "--canonical",
        ),
        (
            &own,
            &["--from", "js", "--to", "python", "--canonical", "--k", "10"],
            "leave --k out",
        ),
        (
            &own,
            &[
                "--from",
                "js",
                "--to",
                "python",
                "--k",
                "10",
                "--samples",
                "3",
            ],
            "takes 10 answers",
        ),
        (
            here,
            &["--from", "python", "--to", "java", "--canonical"],
            "python.jsonl:2: this line is no problem",
        ),
        (
            here,
            &["--from", "js", "--to", "java", "--canonical"],
            "js.jsonl:1: its task_id is `JavaScript/zero`",
        ),
        (
            here,
            &["--from", "cpp", "--to", "java", "--canonical"],
            "cpp.jsonl.gz:1: cannot be read",
        ),
        (
            here,
            &["--from", "rust", "--to", "java", "--canonical"],
            "rust.jsonl:2: Rust/1 was there before",
        ),
        (
            here,
            &["--from", "go", "--to", "java", "--canonical"],
            "no go.jsonl.gz and no go.jsonl",
        ),
        (
            &here.join("nowhere"),
            &["--from", "go", "--to", "java"],
            "is no folder",
        ),
    ] {
        let (code, _, errors) = run(&mut eval(data, arguments));
        assert!(code == 1 || code == 2, "{arguments:?}: {code}");
        assert!(errors.contains(words), "{arguments:?}: {errors}");
    }
}
