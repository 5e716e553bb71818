//! `infill eval lines`: the same blanks for the same seed, every figure in its place, and baselines that know what repeats.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Map, Value};

use crate::{harness, tidy};

const FIGURES: [&str; 8] = [
    "exact_match",
    "first_line_exact_match",
    "edit_similarity",
    "adds_error_share",
    "leaves_error_share",
    "shown_share",
    "right_when_shown",
    "keystrokes_saved",
];

/// Exit code, standard output and standard error.
fn eval(dir: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(harness::binary())
        .args(["eval", "lines", "--dir"])
        .arg(dir)
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

fn json_of(dir: &Path, arguments: &[&str]) -> Value {
    let (code, said, errors) = eval(dir, &[arguments, &["--json"]].concat());
    assert_eq!(code, 0, "{errors}");
    serde_json::from_str(&said).unwrap()
}

fn refused(dir: &Path, arguments: &[&str], words: &[&str]) {
    let (code, _, errors) = eval(dir, arguments);
    assert_ne!(code, 0);
    for word in words {
        assert!(errors.contains(word), "{word}: {errors}");
    }
}

/// A number of blanks and shares of them, none where nothing is shown.
fn assert_figures(figures: &Value) {
    assert!(figures["n"].as_u64().unwrap() > 0, "{figures}");
    for key in FIGURES {
        let share = figures.get(key).unwrap();
        let is_share = |share: f64| (0.0..=1.0).contains(&share);
        assert!(share.as_f64().is_none_or(is_share), "{key}: {figures}");
    }
}

fn object<'a>(report: &'a Value, key: &str) -> &'a Map<String, Value> {
    report[key].as_object().unwrap()
}

fn names(object: &Map<String, Value>) -> Vec<&str> {
    object.keys().map(String::as_str).collect()
}

#[test]
fn every_language_and_kind_has_its_figures() {
    let dir = tidy::root().join("grammars/tests");
    let arguments = [
        "--language",
        "go",
        "--language",
        "python,rust",
        "--n",
        "10",
        "--seed",
        "3",
    ];
    let with = |threshold| {
        json_of(
            &dir,
            &[&arguments[..], &["--threshold", threshold]].concat(),
        )
    };
    let found = with("0");
    assert_eq!(names(object(&found, "languages")), ["go", "python", "rust"]);
    let kinds = [
        "block",
        "mid_word",
        "rest_of_line",
        "statement",
        "whole_line",
    ];
    assert_eq!(names(object(&found, "kinds")), kinds);
    let groups = object(&found, "languages").values();
    let groups = groups.chain(object(&found, "kinds").values());
    for group in groups.chain([&found["overall"]]) {
        assert_figures(group);
        let baselines = object(group, "baselines");
        assert_eq!(names(baselines), ["ngram", "similar_line"]);
        baselines.values().for_each(assert_figures);
    }
    let n = |group: &Value| group["n"].as_u64().unwrap();
    let sum: u64 = object(&found, "languages").values().map(n).sum();
    assert_eq!(n(&found["overall"]), sum);
    assert!(
        (20..=30).contains(&sum),
        "small files have few places: {sum}"
    );
    assert_eq!(
        found["overall"]["adds_error_share"].as_f64().unwrap_or(0.0),
        0.0
    );
    let thresholds = found["thresholds"].as_array().unwrap();
    let shown = |threshold: &Value| threshold["shown_share"].as_f64().unwrap();
    assert!(
        thresholds
            .windows(2)
            .all(|pair| shown(&pair[0]) > shown(&pair[1]))
    );
    if let Some(lowest) = thresholds.first() {
        assert_eq!(lowest["shown_share"], found["overall"]["shown_share"]);
        assert!((0.0..1.0).contains(&lowest["threshold"].as_f64().unwrap()));
        assert!(lowest["right_when_shown"].is_number());
    }

    assert_eq!(with("0"), found, "the same seed");
    let unsure = with("1.5");
    assert_eq!(
        unsure["overall"]["shown_share"], 0.0,
        "no probability is that high"
    );
    assert_eq!(
        unsure["overall"]["exact_match"],
        found["overall"]["exact_match"]
    );
    assert_eq!(
        unsure["overall"]["baselines"],
        found["overall"]["baselines"]
    );
}

#[test]
fn what_repeats_needs_no_model() {
    let folder = tempfile::tempdir().unwrap();
    let again = |line: &str| format!("{line}\n").repeat(40);
    let texts = [
        ("a.py", again("value = compute(value)")),
        (
            "b.go",
            format!(
                "package main\n\nfunc main() {{\n{}}}\n",
                again("\tvalue = compute(value)")
            ),
        ),
        ("c.js", again("value = compute(value);")),
    ];
    for (name, text) in &texts {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let out = folder.path().join("blanks.jsonl");
    let arguments = ["--n", "20", "--out", out.to_str().unwrap()];
    let found = json_of(folder.path(), &arguments);
    for language in ["python", "go", "javascript"] {
        for baseline in ["ngram", "similar_line"] {
            let figures = &found["languages"][language]["baselines"][baseline];
            let exact = figures["exact_match"].as_f64().unwrap();
            // Only a first line has none before it.
            assert!(exact > 0.85, "{language}, {baseline}: {figures}");
            assert!(figures["keystrokes_saved"].as_f64().unwrap() > 0.6);
            assert_eq!(figures["adds_error_share"], 0.0);
        }
    }
    let blanks = fs::read_to_string(&out).unwrap();
    assert_eq!(
        blanks.lines().count() as u64,
        found["overall"]["n"].as_u64().unwrap()
    );
    for line in blanks.lines() {
        let blank: Value = serde_json::from_str(line).unwrap();
        let parts =
            ["before", "truth", "after"].map(|part| blank[part].as_str().unwrap_or_default());
        let (_, text) = texts
            .iter()
            .find(|(name, _)| blank["file"] == *name)
            .unwrap();
        assert!(text.contains(&parts.concat()), "{blank}");
    }
    let (code, said, errors) = eval(folder.path(), &["--n", "2", "--language", "go"]);
    assert_eq!(code, 0, "{errors}");
    for word in ["overall", "go", "n-gram", "similar line", "saved"] {
        assert!(said.contains(word), "{word}: {said}");
    }
}

#[test]
fn what_cannot_be_measured_is_named() {
    let folder = tempfile::tempdir().unwrap();
    refused(&folder.path().join("none"), &[], &["none", "no folder"]);
    refused(
        folder.path(),
        &[],
        &["no source files", folder.path().to_str().unwrap()],
    );
    fs::write(folder.path().join("a.py"), "# Only a comment.\n").unwrap();
    refused(folder.path(), &[], &["no place for a blank"]);
    refused(
        folder.path(),
        &["--language", "pyhton"],
        &["pyhton", "python"],
    );
    refused(folder.path(), &["--language", "go"], &["no files in Go"]);
    refused(folder.path(), &["--n", "0"], &["--n"]);
}

/// With other files open, the model answers otherwise, whether its prompt has a place for them or not; the blanks and what
/// needs no model stay as they are.
#[test]
fn other_files_are_open_if_they_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let package = folder.path().join("files/zoo");
    fs::create_dir_all(&package).unwrap();
    let keeper = |name: &str| {
        let bodies = ["apes", "bears", "cranes"].map(|kind| {
            format!("def {name}_{kind}(animals, hour):\n    for animal in animals:\n        animal.{name}(hour, {kind})\n    return len(animals)\n\n\n")
        });
        bodies.concat()
    };
    for name in ["feed", "wash", "weigh", "count"] {
        fs::write(package.join(format!("{name}.py")), keeper(name)).unwrap();
    }
    let rows = |template: &str, more: &[&str]| {
        let settings = format!("template = \"{template}\"\n");
        fs::write(folder.path().join("infill.toml"), settings).unwrap();
        let output = Command::new(harness::binary())
            .current_dir(folder.path())
            .args("eval lines --dir files --n 24 --out blanks.jsonl".split(' '))
            .args(more)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let rows = fs::read_to_string(folder.path().join("blanks.jsonl")).unwrap();
        let rows = rows.lines().map(|row| serde_json::from_str(row).unwrap());
        rows.collect::<Vec<Value>>()
    };
    let alone = rows("infill_v2", &[]);
    assert_eq!(rows("infill_v1", &[]), alone);
    let looked_up = rows("infill_v1", &["--neighbours"]);
    let beside = rows("infill_v2", &["--neighbours"]);
    assert_ne!(looked_up, alone);
    assert_ne!(beside, alone);
    assert_ne!(beside, looked_up);
    let without_model = |rows: Vec<Value>| {
        let part = |mut row: Value| {
            let answers = row["answers"].as_array_mut().unwrap();
            let known = answers.split_off(1);
            (row["file"].clone(), row["truth"].clone(), known)
        };
        rows.into_iter().map(part).collect::<Vec<_>>()
    };
    let expected = without_model(alone);
    assert_eq!(without_model(beside), expected);
    assert_eq!(without_model(looked_up), expected);
}
