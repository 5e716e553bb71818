//! `server/cluster/ray_translate.py` on two local Ray nodes, one of which is killed while commands run on both.
//!
//! Takes a Python with Ray from `tests/setup/ray.sh`; `tests/clients/ray/cluster.py` starts the nodes and kills one. The
//! model of `tests/data/translate` writes. Each of four shards does three of its units at once; the tests of its others
//! wait for a file, so that the kill comes when two shards have come so far and two have not begun.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::translation::{assert_each_done_once, done, results};
use crate::{harness, tidy};

const SHARDS: usize = 4;
/// Units of a shard that wait for nothing.
const FREE: usize = 3;
/// Shards that run when the node is killed, one a node.
const NODES: usize = 2;

/// Lets a translation through to its test, once it may be: if nothing says that it waits, or there is the file `gate`.
const GATE: &str = "if grep -q '// waits' \"$1\"; then
    until [ -e \"${0%/*}/gate\" ]; do sleep 0.05; done
fi
exec node \"$1\"
";

/// A folder on a disk that all nodes share.
struct Shared {
    folder: TempDir,
    names: Vec<String>,
    python: PathBuf,
}

impl Shared {
    /// Each pair twice, so that there are several dozen; a note in its test makes each another unit.
    fn new() -> Shared {
        let setup = Command::new(tidy::root().join("tests/setup/ray.sh"))
            .output()
            .expect("bash runs");
        assert!(setup.status.success(), "{}", said(&setup));
        let python = PathBuf::from(String::from_utf8_lossy(&setup.stdout).trim());

        let folder = tempfile::tempdir().expect("there is room for a folder");
        let pairs = tidy::root().join("tests/data/translate/pairs/python-javascript.jsonl");
        let pairs = fs::read_to_string(pairs).expect("the pairs are there");
        let (mut names, mut list) = (Vec::new(), String::new());
        for (number, line) in pairs.lines().chain(pairs.lines()).enumerate() {
            let pair: Value = serde_json::from_str(line).expect("a pair is JSON");
            let text = |key: &str| pair[key].as_str().unwrap_or_default().to_owned();
            let waits = match number / SHARDS < FREE {
                true => "goes on",
                false => "waits",
            };
            let name = format!("{}-{number}", text("id"));
            let unit = json!({
                "id": name,
                "code": text("code"),
                "context": text("context"),
                "declaration": text("declaration"),
                "test": format!("// {waits}, {number}\n{}", text("test")),
            });
            list += &format!("{unit}\n");
            names.push(name);
        }
        fs::write(folder.path().join("list.jsonl"), list).expect("there is room");
        fs::write(folder.path().join("gate.sh"), GATE).expect("there is room");
        Shared {
            folder,
            names,
            python,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn translate(&self, out: &str) -> Vec<String> {
        let gate = self.path("gate.sh");
        let model = tidy::root().join("tests/data/translate/pairs.gguf");
        let binary = harness::binary();
        // A waiting command takes the turn of another one, and time, so of both there is enough.
        let words = [
            path(&binary),
            "translate",
            "--from",
            "python",
            "--to",
            "javascript",
            "--model",
            path(&model),
            "--jsonl",
            "list.jsonl",
            "--out",
            out,
            "--jobs",
            "64",
            "--time-limit",
            "3600",
            "--test",
            &format!("sh {} {{file}}", path(&gate)),
        ];
        words.map(str::to_owned).to_vec()
    }

    /// Translates on two nodes, one of which is killed; gives the job's exit code and what was said.
    fn lose_a_node(&self, out: &str, options: &[&str], arguments: &[&str]) -> (i32, String) {
        let root = tidy::root();
        let _ = fs::remove_file(self.path("gate"));
        let output = Command::new(&self.python)
            .arg(root.join("tests/clients/ray/cluster.py"))
            .arg("--out")
            .arg(self.path(out))
            .arg("--gate")
            .arg(self.path("gate"))
            .args(["--done", &(NODES * FREE).to_string(), "--"])
            .arg(&self.python)
            .arg(root.join("server/cluster/ray_translate.py"))
            .args(["--shards", &SHARDS.to_string()])
            .args(options)
            .arg("--")
            .args(self.translate(out))
            .args(arguments)
            .current_dir(self.folder.path())
            .output()
            .expect("Python runs");
        let said = said(&output);
        assert!(output.status.success(), "{said}");
        let code = said.lines().find_map(|line| line.strip_prefix("job: "));
        let code = code.and_then(|code| code.parse().ok());
        (code.unwrap_or_else(|| panic!("{said}")), said)
    }

    /// Translates in one go, without Ray.
    fn plainly(&self, out: &str, arguments: &[&str]) -> Output {
        fs::write(self.path("gate"), "").expect("there is room");
        let words = self.translate(out);
        Command::new(&words[0])
            .args(&words[1..])
            .args(arguments)
            .current_dir(self.folder.path())
            .output()
            .expect("the built binary starts")
    }

    fn report(&self) -> Value {
        let report = fs::read_to_string(self.path("report.json")).expect("it was written");
        serde_json::from_str(&report).expect("it is JSON")
    }
}

fn path(path: &Path) -> &str {
    path.to_str().expect("test folders have plain names")
}

fn said(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

#[test]
#[ignore = "wants Ray; tests/run brings it and runs this"]
fn a_node_that_dies_costs_nothing_that_was_done() {
    let shared = Shared::new();
    let reports = ["--report", "report.json", "--summary", "summary.md"];
    let (code, said) = shared.lose_a_node("out", &[], &reports);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("4 of 4 shards are over"), "{said}");
    let all = shared.names.len();
    assert!(
        said.contains(&format!("all: {all} units: {all} passed")) && said.contains("; 0 tokens"),
        "{said}"
    );
    assert_each_done_once(&shared.path("out"), &shared.names);

    // The last run alone reports, on everything.
    assert_eq!(shared.report()["counts"]["passed"], all);
    let summary = fs::read_to_string(shared.path("summary.md")).expect("it was written");
    assert_eq!(summary.matches("## Translation").count(), 1, "{summary}");

    assert!(shared.plainly("whole", &[]).status.success());
    let [found, expected] =
        ["out", "whole"].map(|out| results(&shared.path(out).join("translations.jsonl")));
    assert_eq!(found, expected);
}

#[test]
#[ignore = "wants Ray; tests/run brings it and runs this"]
fn a_shard_that_is_given_up_is_told_and_the_next_job_goes_on() {
    let shared = Shared::new();
    // One of the pairs takes two rounds of repair, so its two units get less far, which their shard tells at once.
    let repair = ["--repair", "1"];
    let arguments = [repair[0], repair[1], "--report", "report.json"];
    let (code, said) = shared.lose_a_node("out", &["--retries", "0"], &arguments);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("given up after 0 retries"), "{said}");
    assert!(
        said.contains("shard 1/4: infill: clock_face-8: parses: "),
        "{said}"
    );
    // One shard has done what waits for nothing; of the others all is done, and the last run did nothing of the rest.
    let all = shared.names.len();
    let left = all / SHARDS - FREE;
    assert_eq!(done(&shared.path("out")).len(), all - left, "{said}");
    assert_eq!(shared.report()["counts"]["skipped"], left, "{said}");

    let again = shared.plainly("out", &repair);
    assert_eq!(again.status.code(), Some(3), "{again:?}");
    assert_each_done_once(&shared.path("out"), &shared.names);
}

#[test]
#[ignore = "wants Ray; tests/run brings it and runs this"]
fn commands_that_cannot_be_shared_are_refused() {
    let shared = Shared::new();
    for (words, told) in [
        (&[][..], "the following arguments are required: --shards"),
        (
            &["--shards", "0", "--", "infill", "translate"],
            "--shards 0 is no number from 1",
        ),
        (&["--shards", "2"], "after -- comes the command"),
        (
            &["--shards", "2", "--", "infill", "complete"],
            "after -- comes the command",
        ),
        (
            &["--shards", "2", "--", "infill", "translate", "--shard=1/2"],
            "leave it out",
        ),
        (
            &["--shards", "2", "--", "infill", "translate", "--jsonl", "-"],
            "of one process",
        ),
        (
            &["--shards", "2", "--", "infill", "translate", "--out"],
            "--out needs a value",
        ),
    ] {
        let output = Command::new(&shared.python)
            .arg(tidy::root().join("server/cluster/ray_translate.py"))
            .args(words)
            .current_dir(shared.folder.path())
            .output()
            .expect("Python runs");
        let said = said(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(told), "{said}");
    }
}
