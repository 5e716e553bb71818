//! `infill translate` as CI runs it: killed and started again, shared between processes, stopped by budgets, and told of
//! in reports.
//!
//! In most tests the built-in model writes, asked as CodeGeeX is; what it writes is no translation, which is as good as any
//! for what they test: that each unit is done once and ends with a reason. Where translations have to be right, the model
//! of `tests/data/translate` writes, which knows some by heart, wrong first attempts among them.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{harness, tidy};

/// A folder with settings that let the built-in model translate.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("infill.toml"),
        "template = \"codegeex_v1\"\n",
    )
    .unwrap();
    folder
}

fn translate(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(harness::binary());
    command
        .args(["translate", "--from", "python", "--to", "javascript"])
        .args(["--repair", "0", "--max-tokens", "24"])
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null());
    command
}

fn run(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = translate(folder, arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

/// A list of so many units.
fn list(folder: &Path, count: usize) -> Vec<String> {
    let names: Vec<String> = (0..count).map(|number| format!("unit-{number}")).collect();
    let lines = names.iter().enumerate().map(|(number, name)| {
        let code = format!("def f{number}(a):\n    return a + {number}\n");
        json!({ "id": name, "code": code }).to_string() + "\n"
    });
    fs::write(folder.join("list.jsonl"), lines.collect::<String>()).unwrap();
    names
}

fn journals(out: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(out.join(".infill/journal")) else {
        return Vec::new();
    };
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// How often each unit was done, by all runs together.
pub fn done(out: &Path) -> BTreeMap<String, usize> {
    let mut done = BTreeMap::new();
    for journal in journals(out) {
        let text = fs::read_to_string(journal).unwrap();
        for line in text
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'))
        {
            let entry: Value = serde_json::from_str(line).unwrap();
            if entry["key"].is_string() && entry["outcome"].is_object() {
                *done
                    .entry(entry["name"].as_str().unwrap().to_owned())
                    .or_default() += 1;
            }
        }
    }
    done
}

pub fn assert_each_done_once(out: &Path, names: &[String]) {
    let done = done(out);
    assert!(done.values().all(|&count| count == 1), "{done:?}");
    let mut expected = names.to_vec();
    expected.sort();
    assert_eq!(done.into_keys().collect::<Vec<_>>(), expected);
    let claims = fs::read_dir(out.join(".infill/claims")).unwrap();
    assert_eq!(claims.count(), 0, "claims are let go");
}

/// The lines of a list's results, by name, without how long each took.
pub fn results(path: &Path) -> BTreeMap<String, Value> {
    let text = fs::read_to_string(path).unwrap();
    let line = |line| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        line.as_object_mut().unwrap().remove("seconds");
        (line["id"].as_str().unwrap().to_owned(), line)
    };
    text.lines().map(line).collect()
}

#[test]
fn a_run_that_is_killed_at_any_point_goes_on() {
    let folder = folder();
    let names = list(folder.path(), 40);
    let arguments = ["--jsonl", "list.jsonl", "--out", "out", "--at-once", "3"];
    let out = folder.path().join("out");
    let mut kills = 0;
    loop {
        let before = done(&out).len();
        let mut child = translate(folder.path(), &arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Each run gets a little further than its start, so that there is an end.
        while done(&out).len() < (before + 4).min(names.len())
            && child.try_wait().unwrap().is_none()
        {
            sleep(Duration::from_millis(1));
        }
        sleep(Duration::from_millis(7 * kills % 20));
        if done(&out).len() >= names.len() {
            child.wait().unwrap();
            break;
        }
        // SIGKILL: it cannot put anything in order.
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
    }
    assert!(kills >= 3, "killed {kills} times");
    let (code, said, _) = run(folder.path(), &arguments);
    assert!(
        said.contains("40 units") && said.contains("40 of them before; 0 tokens"),
        "{said}"
    );
    assert_eq!(code, 3, "the model cannot translate");
    assert_each_done_once(&out, &names);

    // Not otherwise than in one go.
    run(folder.path(), &["--jsonl", "list.jsonl", "--out", "whole"]);
    let [found, expected] =
        ["out", "whole"].map(|out| results(&folder.path().join(out).join("translations.jsonl")));
    assert_eq!(found, expected);
}

#[test]
fn processes_share_a_folder_and_the_work() {
    let folder = folder();
    let names = list(folder.path(), 40);
    let arguments = ["--jsonl", "list.jsonl", "--out", "out", "--at-once", "4"];
    let start = |_| {
        let mut command = translate(folder.path(), &arguments);
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let running: Vec<_> = (0..3).map(start).collect();
    for child in running {
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.code() == Some(3) && said.starts_with("40 units"),
            "{output:?}"
        );
    }
    let out = folder.path().join("out");
    assert_each_done_once(&out, &names);
    assert_eq!(results(&out.join("translations.jsonl")).len(), 40);
}

#[test]
fn shards_are_the_whole() {
    let folder = folder();
    let names = list(folder.path(), 10);
    for shard in ["1/3", "2/3", "3/3"] {
        let (code, said, _) = run(
            folder.path(),
            &["--jsonl", "list.jsonl", "--out", "out", "--shard", shard],
        );
        assert!(
            code == 3 && (said.starts_with("3 units") || said.starts_with("4 units")),
            "{said}"
        );
    }
    let out = folder.path().join("out");
    assert_each_done_once(&out, &names);
    assert!(out.join("translations-2-of-3.jsonl").is_file());
}

#[test]
fn budgets_stop_a_run_and_the_next_one_goes_on() {
    let folder = folder();
    let names = list(folder.path(), 30);
    let arguments = ["--jsonl", "list.jsonl", "--out", "out", "--at-once", "2"];
    for (budget, told) in [
        ("tokens=200", "200 tokens"),
        ("failures=3", "3 failures"),
        ("minutes=0.0001", "of time"),
    ] {
        let before = done(&folder.path().join("out")).len();
        let reports = ["--budget", budget, "--report", "report.json"];
        let (code, said, _) = run(folder.path(), &[&arguments[..], &reports].concat());
        assert!(
            code == 4 && said.contains("stopped early") && said.contains(told),
            "{said}"
        );
        let after = done(&folder.path().join("out")).len();
        assert!(after < before + 15, "{budget}: {before}, {after}");
        let report: Value =
            serde_json::from_str(&fs::read_to_string(folder.path().join("report.json")).unwrap())
                .unwrap();
        assert_eq!(report["units"].as_array().unwrap().len(), 30);
        assert_eq!(report["counts"]["skipped"], 30 - after);
    }
    let (code, ..) = run(folder.path(), &arguments);
    assert_eq!(code, 3);
    assert_each_done_once(&folder.path().join("out"), &names);
}

#[test]
fn what_is_drawn_is_the_same_every_time_and_in_any_company() {
    let folder = folder();
    list(folder.path(), 6);
    let draw = |out: &str, seed: &str, at_once: &str| {
        let drawn = [
            "--samples",
            "3",
            "--temperature",
            "0.9",
            "--top-p",
            "0.9",
            "--seed",
            seed,
        ];
        let rest = ["--jsonl", "list.jsonl", "--out", out, "--at-once", at_once];
        run(folder.path(), &[drawn.as_slice(), &rest].concat());
        results(&folder.path().join(out).join("translations.jsonl"))
    };
    let first = draw("a", "1", "1");
    assert_eq!(first, draw("b", "1", "6"));
    assert_ne!(first, draw("c", "2", "6"));
    assert_ne!(first, draw("d", "18446744073709551615", "6"));
    assert_eq!(first["unit-0"]["attempts"], 3);
}

#[cfg(unix)]
#[test]
fn a_run_that_is_told_to_end_writes_its_reports() {
    let folder = folder();
    list(folder.path(), 2000);
    let mut child = translate(
        folder.path(),
        &[
            "--jsonl",
            "list.jsonl",
            "--out",
            "out",
            "--junit",
            "junit.xml",
        ],
    )
    .stdout(Stdio::piped())
    .spawn()
    .unwrap();
    while done(&folder.path().join("out")).len() < 5 {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        sleep(Duration::from_millis(20));
    }
    let terminated = Command::new("kill")
        .arg(child.id().to_string())
        .status()
        .unwrap();
    assert!(terminated.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(4));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("stopped early: it was told to end"), "{said}");
    let junit = fs::read_to_string(folder.path().join("junit.xml")).unwrap();
    assert!(junit.trim_end().ends_with("</testsuites>"));
}

#[test]
fn reports_tell_ci_of_each_unit() {
    let folder = folder();
    let sources = folder.path().join("src");
    fs::create_dir_all(sources.join("deep")).unwrap();
    fs::write(
        sources.join("deep/a b.py"),
        "import os\n\ndef odd(n):\n    return n % 2\n\nclass Even:\n    pass\n",
    )
    .unwrap();
    fs::write(sources.join("empty.py"), "").unwrap();
    let reports = [
        "--junit",
        "j.xml",
        "--sarif",
        "s.sarif",
        "--summary",
        "m.md",
        "--report",
        "r.json",
    ];
    fs::write(folder.path().join("m.md"), "# Job\n\n").unwrap();
    let arguments = [
        "src",
        "--by",
        "item",
        "--out",
        "out",
        "--check",
        "echo '<wrong> | `here`' >&2; exit 1",
    ];
    let (code, said, told) = run(folder.path(), &[&arguments[..], &reports].concat());
    assert_eq!(code, 3, "{said}{told}");
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();

    // Python's own parsers, since what CI reads with is not ours either.
    let junit = Command::new("python3")
        .args(["-c", "import sys, xml.etree.ElementTree as e\nr = e.parse(sys.argv[1]).getroot()\nfor c in r.iter('testcase'): print(c.get('file'), c.get('name'), c.get('line'), [x.tag for x in c])\nprint(r.get('tests'), r.get('failures'), r.get('skipped'))"])
        .arg(folder.path().join("j.xml"))
        .output()
        .unwrap();
    let junit = String::from_utf8(junit.stdout).unwrap();
    let mut lines: Vec<&str> = junit.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "3 2 1",
            "None src/empty.py None ['skipped']",
            "src/deep/a b.py src/deep/a b.py::Even 6 ['failure']",
            "src/deep/a b.py src/deep/a b.py::odd 3 ['failure']",
        ]
    );
    let sarif: Value = serde_json::from_str(&read("s.sarif")).unwrap();
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    assert_eq!(results.len(), 2);
    for result in results {
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "src/deep/a%20b.py");
        assert!(place["region"]["startLine"].as_u64() >= Some(3));
    }
    let summary = read("m.md");
    assert!(
        summary.starts_with("# Job\n\n## Translation from Python to JavaScript"),
        "{summary}"
    );
    assert!(summary.contains("| 3 | 0 | 0 | 0 | 2 | 1 |"), "{summary}");
    let report: Value = serde_json::from_str(&read("r.json")).unwrap();
    assert_eq!(report["counts"]["failed"], 2);
    assert_eq!(report["units"].as_array().unwrap().len(), 3);

    // A file of parts is there once all are over, with a word on those that are not.
    let result = read("out/deep/a b.js");
    assert_eq!(result.matches("// Not translated: ").count(), 2, "{result}");
    // What a person made of it since stays.
    fs::write(folder.path().join("out/deep/a b.js"), "mended();\n").unwrap();
    run(folder.path(), &arguments);
    assert_eq!(read("out/deep/a b.js"), "mended();\n");
}

#[test]
fn what_cannot_be_done_is_said() {
    let folder = folder();
    list(folder.path(), 1);
    let jsonl = ["--jsonl", "list.jsonl"];
    for (arguments, code, told) in [
        (
            &["--to", "klingon"][..],
            1,
            "there is no language `klingon`; there are ",
        ),
        (&["--to", "python"], 1, "--from and --to are both python"),
        (
            &["--samples", "3"],
            1,
            "would all be the same; give a --temperature",
        ),
        (&["--top-p", "0"], 1, "--top-p 0"),
        (&["--file", "../x"], 1, "is not a path inside"),
        (&["--project", "nowhere"], 1, "is no folder"),
        (
            &["--check", "klingonc {file}"],
            1,
            "klingonc is not installed",
        ),
        (&["--shard", "3/2"], 2, "expected I/N"),
        (
            &["--budget", "money=1"],
            2,
            "expected tokens=N, minutes=N or failures=N",
        ),
        (
            &["--out", "list.jsonl"],
            1,
            "cannot make list.jsonl/.infill",
        ),
    ] {
        let mut command = translate(folder.path(), &jsonl);
        // The later of two wins for clap only where it may be repeated, so the usual languages are left out.
        if arguments[0] == "--to" {
            command = Command::new(harness::binary());
            command
                .args(["translate", "--from", "python"])
                .args(jsonl)
                .current_dir(folder.path());
        }
        let output = command.args(arguments).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.code() == Some(code) && errors.contains(told),
            "{arguments:?}: {output:?}"
        );
    }
    fs::remove_file(folder.path().join("infill.toml")).unwrap();
    let (code, _, errors) = run(folder.path(), &jsonl);
    assert!(
        code == 1 && errors.contains("cannot translate code") && errors.contains("--model"),
        "{errors}"
    );
    let (code, _, errors) = run(folder.path(), &["nowhere.py"]);
    assert!(code == 1 && errors.contains("nowhere.py"), "{errors}");
}

/// Translates what the model of the pairs knows; gives the exit code and what was said.
fn translate_pairs(out: &Path, to: &str, arguments: &[&str]) -> (i32, String) {
    let pairs = tidy::root().join("tests/data/translate");
    let output = Command::new(harness::binary())
        .args([
            "translate",
            "--from",
            "python",
            "--to",
            to,
            "--model",
            "pairs.gguf",
            "--out",
        ])
        .arg(out)
        .args(arguments)
        .current_dir(pairs)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap(), said)
}

#[test]
fn every_translation_passes_its_tests_after_its_repairs() {
    let run_rust = "rustc --edition 2021 -A warnings -o program {file} && ./program";
    for (to, test) in [("javascript", "node {file}"), ("rust", run_rust)] {
        let folder = tempfile::tempdir().unwrap();
        let list = format!("pairs/python-{to}.jsonl");
        let (code, said) = translate_pairs(folder.path(), to, &["--jsonl", &list, "--test", test]);
        assert_eq!(code, 0, "{said}");
        let text =
            fs::read_to_string(tidy::root().join("tests/data/translate").join(&list)).unwrap();
        let found = results(&folder.path().join("translations.jsonl"));
        assert_eq!(found.len(), text.lines().count());
        for line in text.lines() {
            let pair: Value = serde_json::from_str(line).unwrap();
            let found = &found[pair["id"].as_str().unwrap()];
            assert_eq!(
                (&found["status"], &found["text"]),
                (&json!("passed"), &pair["translation"])
            );
            let wrong = pair["attempts"].as_array().map_or(0, Vec::len);
            assert_eq!(found["attempts"], 1 + wrong, "{found}");
        }
    }
}

#[test]
fn a_repair_that_is_not_allowed_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let list = [
        "--jsonl",
        "pairs/python-javascript.jsonl",
        "--test",
        "node {file}",
        "--repair",
        "1",
    ];
    let (code, said) = translate_pairs(folder.path(), "javascript", &list);
    // One of the pairs takes two rounds.
    assert!(
        code == 3 && said.contains("24 units: 23 passed, 1 parses"),
        "{said}"
    );
}

#[test]
fn half_of_a_translation_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let list = [
        "--jsonl",
        "pairs/python-javascript.jsonl",
        "--repair",
        "0",
        "--max-tokens",
        "12",
    ];
    let (code, said) = translate_pairs(folder.path(), "javascript", &list);
    assert!(code == 3 && said.contains("24 units: 24 failed"), "{said}");
    let found = results(&folder.path().join("translations.jsonl"));
    let is_told = |line: &Value| line["reason"].as_str().unwrap().contains("cut off");
    assert!(found.values().all(is_told), "{found:?}");
}

#[test]
fn functions_are_translated_one_by_one_and_make_files_again() {
    let folder = tempfile::tempdir().unwrap();
    let by_item = [
        "files/python-javascript",
        "--by",
        "item",
        "--check",
        "node --check {file}",
    ];
    let (code, said) = translate_pairs(folder.path(), "javascript", &by_item);
    assert_eq!(code, 0, "{said}");
    let program = "garden.js tickets.js; do cat $file; done > all.js; \
                   echo 'console.log(gardenPlan([\"a\", \"b\", \"c\"], 2), familyFare(2, [5, 10, 40]))' >> all.js; node all.js";
    let output = Command::new("sh")
        .args(["-c", &format!("for file in {program}")])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "a, b\nc 8\n",
        "{output:?}"
    );
}
