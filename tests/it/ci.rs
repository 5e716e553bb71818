//! The examples of CI jobs in `server/ci`, run as they stand.
//!
//! Takes the two files as YAML and the translate step's own lines, and runs these in bash with what CI would set and
//! nothing else, on a small project that the model of `tests/data/translate` knows how to translate. Each run has a
//! checkout of its own, with what the job caches and no more, so that a path that is wrong in the file fails here.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::{harness, tidy};

/// The sources of the project: as many as there are shards, so that none of these has nothing to do.
const SOURCES: [(&str, &str); 4] = [
    ("src/garden.py", "garden.py"),
    ("src/more/garden.py", "garden.py"),
    ("src/more/tickets.py", "tickets.py"),
    ("src/tickets.py", "tickets.py"),
];

/// The functions in them.
const UNITS: [&str; 8] = [
    "src/garden.py::beds",
    "src/garden.py::garden_plan",
    "src/more/garden.py::beds",
    "src/more/garden.py::garden_plan",
    "src/more/tickets.py::family_fare",
    "src/more/tickets.py::fare",
    "src/tickets.py::family_fare",
    "src/tickets.py::fare",
];

/// A job that translates, as a file of `server/ci` describes it.
struct Job {
    name: &'static str,
    script: String,
    /// What the file sets, with GitHub's expressions in it.
    variables: BTreeMap<String, String>,
    shards: usize,
    /// How long the job may take.
    minutes: f64,
    /// What is there again at the next run.
    cached: Vec<String>,
    /// What people can look at after a run.
    kept: Vec<String>,
    /// The file that code scanning is given.
    sarif: String,
    /// The file that summaries are appended to.
    summary: &'static str,
    /// Exit codes other than 0 with which the job does not count as failed.
    tolerated: Vec<i32>,
}

#[test]
fn all_shards_translate_the_project_and_go_on_from_their_caches() {
    for job in jobs() {
        let mut units = BTreeSet::new();
        let mut files = BTreeSet::new();
        for shard in 1..=job.shards {
            let checkout = checkout();
            let (code, said) = job.run(checkout.path(), shard, &[]);
            assert_eq!(code, 0, "{}, shard {shard}: {said}", job.name);
            let report = job.check_reports(checkout.path(), 0);
            for unit in report["units"].as_array().unwrap() {
                let name = unit["name"].as_str().unwrap().to_owned();
                assert_eq!(unit["status"], "compiles", "{unit}");
                assert!(units.insert(name), "{}: twice: {unit}", job.name);
            }
            for (source, _) in SOURCES {
                let file = translated(source);
                if checkout.path().join(&file).is_file() {
                    assert!(files.insert(file), "{}: {source} twice", job.name);
                }
            }

            let (next, before) = (job.next_checkout(checkout.path()), &report["counts"]);
            let (code, said) = job.run(next.path(), shard, &[]);
            assert_eq!(code, 0, "{}, shard {shard} again: {said}", job.name);
            let counts = &job.check_reports(next.path(), 0)["counts"];
            assert_eq!(
                (&counts["old"], counts["written"].as_u64()),
                (&before["compiles"], Some(0)),
                "{}, shard {shard}: {counts}",
                job.name
            );
        }
        assert_eq!(
            units.iter().map(String::as_str).collect::<Vec<_>>(),
            UNITS,
            "{}",
            job.name
        );
        assert_eq!(files.len(), SOURCES.len(), "{}: {files:?}", job.name);
    }
}

#[test]
fn units_that_fall_short_fail_the_job_if_it_says_so() {
    for job in jobs() {
        for (fails, is_to_pass) in [("true", false), ("false", true)] {
            let checkout = checkout();
            let said = [("CHECK", "false"), ("FAIL_ON_SHORT", fails)];
            let (code, said) = job.run(checkout.path(), 1, &said);
            let passes = job.passes(code);
            assert_eq!(passes, is_to_pass, "{}, {fails}: {code}, {said}", job.name);
            // What is short is in the reports either way.
            job.check_reports(checkout.path(), 2);
        }
    }
}

#[test]
fn a_budget_that_is_used_up_passes_and_the_next_run_goes_on() {
    for job in jobs() {
        let checkout = checkout();
        let (code, said) = job.run(checkout.path(), 1, &[("MINUTES", "0.00001")]);
        assert!(job.passes(code), "{}: {code}, {said}", job.name);
        let report = job.read(checkout.path(), "report.json");
        assert!(report["stopped"].is_string(), "{}: {report}", job.name);

        let next = job.next_checkout(checkout.path());
        let (code, said) = job.run(next.path(), 1, &[]);
        assert_eq!(code, 0, "{}: {said}", job.name);
        let report = job.check_reports(next.path(), 0);
        assert_eq!(report["counts"]["compiles"], 2, "{}: {report}", job.name);
    }
}

#[test]
fn a_run_that_fails_fails_the_job() {
    for job in jobs() {
        for wrong in [("MODEL", "nowhere.gguf"), ("MINUTES", "none")] {
            let checkout = checkout();
            let said = [wrong, ("FAIL_ON_SHORT", "false")];
            let (code, said) = job.run(checkout.path(), 1, &said);
            assert!(!job.passes(code), "{}, {wrong:?}: {code}, {said}", job.name);
        }
    }
}

#[test]
fn budgets_end_well_before_their_jobs() {
    for job in jobs() {
        let budget: f64 = job.variables["MINUTES"].parse().unwrap();
        assert!(budget + 30.0 <= job.minutes, "{}", job.name);
    }
}

impl Job {
    /// Runs the script; gives the exit code and what was said.
    fn run(&self, checkout: &Path, shard: usize, changed: &[(&str, &str)]) -> (i32, String) {
        let programs = tempfile::tempdir().unwrap();
        let program = fs::canonicalize(harness::binary()).unwrap();
        symlink(program, programs.path().join("infill")).unwrap();
        let path = std::env::var("PATH").unwrap();
        let model = tidy::root().join("tests/data/translate/pairs.gguf");
        let (index, count) = (shard.to_string(), self.shards.to_string());

        let mut bash = Command::new("bash");
        bash.args(["-euo", "pipefail", "-c", &self.script])
            .current_dir(checkout)
            .env_clear()
            .env("PATH", format!("{}:{path}", programs.path().display()))
            .env("HOME", programs.path());
        for (name, value) in &self.variables {
            bash.env(name, filled(value, &index, &count));
        }
        match self.name {
            "GitHub" => bash.env("GITHUB_STEP_SUMMARY", checkout.join(self.summary)),
            _ => bash
                .env("CI_NODE_INDEX", &index)
                .env("CI_NODE_TOTAL", &count),
        };
        bash.env("MODEL", model).envs(changed.iter().copied());
        let Output {
            status,
            stdout,
            stderr,
        } = bash.output().unwrap();
        let said = [stdout, stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        (status.code().unwrap(), said)
    }

    /// Whether CI goes on after such an exit code.
    fn passes(&self, code: i32) -> bool {
        code == 0 || self.tolerated.contains(&code)
    }

    /// Everything that the job keeps is there and agrees on how many units fell short; gives the report in JSON.
    fn check_reports(&self, checkout: &Path, short: usize) -> Value {
        for kept in &self.kept {
            assert!(checkout.join(kept).exists(), "{}: no {kept}", self.name);
        }
        let report = self.read(checkout, "report.json");
        assert_eq!(report["counts"]["short"], short, "{}: {report}", self.name);
        let sarif = self.read(checkout, &self.sarif);
        assert_eq!(sarif["version"], "2.1.0");
        let results = sarif["runs"][0]["results"].as_array().unwrap();
        assert_eq!(results.len(), short, "{}: {sarif}", self.name);
        let summary = fs::read_to_string(checkout.join(self.summary)).unwrap();
        assert!(
            summary.starts_with("## Translation from Python to JavaScript"),
            "{}: {summary}",
            self.name
        );
        // A parser of XML that is not ours, as CI's is not.
        let count = "import sys, xml.etree.ElementTree as e\nr = e.parse(sys.argv[1]).getroot()\n\
                     print(len(list(r.iter('testcase'))), len(list(r.iter('failure'))))";
        let mut python = Command::new("python3");
        let junit = python.args(["-c", count]).arg(checkout.join("junit.xml"));
        let junit = String::from_utf8(junit.output().unwrap().stdout).unwrap();
        let units = report["units"].as_array().unwrap().len();
        assert_eq!(junit.trim(), format!("{units} {short}"), "{}", self.name);
        report
    }

    fn read(&self, checkout: &Path, name: &str) -> Value {
        let text = fs::read_to_string(checkout.join(name)).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// The checkout of the next run: the project, and what this run left in the cache.
    fn next_checkout(&self, checkout_before: &Path) -> TempDir {
        let next = checkout();
        for cached in &self.cached {
            let mut copy = Command::new("cp");
            copy.args(["-a", cached])
                .arg(next.path())
                .current_dir(checkout_before);
            assert!(copy.status().unwrap().success(), "{}: {cached}", self.name);
        }
        next
    }
}

/// The project to translate.
fn checkout() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let files = tidy::root().join("tests/data/translate/files/python-javascript");
    fs::create_dir_all(folder.path().join("src/more")).unwrap();
    for (path, file) in SOURCES {
        fs::copy(files.join(file), folder.path().join(path)).unwrap();
    }
    folder
}

/// Where the translation of a source is put.
fn translated(source: &str) -> String {
    let inside = source.strip_prefix("src/").unwrap();
    format!("translated/{}", inside.replace(".py", ".js"))
}

/// A text with GitHub's expressions filled in; one that is not known here is a fault.
fn filled(text: &str, index: &str, count: &str) -> String {
    let mut parts = text.split("${{");
    let mut filled = parts.next().unwrap().to_owned();
    for part in parts {
        let (expression, rest) = part.split_once("}}").unwrap();
        filled += match expression.trim() {
            "matrix.shard" => index,
            "strategy.job-total" => count,
            // The step that installs reads it, and no test runs that.
            "vars.INFILL_REV" => "",
            other => panic!("no value for the expression {other}"),
        };
        filled += rest;
    }
    filled
}

fn jobs() -> [Job; 2] {
    [github(), gitlab()]
}

fn github() -> Job {
    let file = yaml("github-actions.yml");
    let job = &file["jobs"]["translate"];
    let steps = job["steps"].as_array().unwrap();
    let step = |is_it: &dyn Fn(&Value) -> bool| {
        let found: Vec<&Value> = steps.iter().filter(|step| is_it(step)).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        found[0]
    };
    let uses = |step: &Value, action: &str| {
        let used = step["uses"].as_str().unwrap_or_default();
        used.starts_with(&format!("{action}@"))
    };
    let saved = step(&|step| uses(step, "actions/cache/save"));
    // Its own cache is what a run starts from.
    let restored =
        step(&|step| uses(step, "actions/cache/restore") && step["with"]["path"] == "translated");
    assert_eq!(saved["with"]["path"], restored["with"]["path"]);
    assert_eq!(saved["with"]["key"], restored["with"]["key"]);
    let [key, start] = ["key", "restore-keys"].map(|name| word(&restored["with"][name]));
    assert!(key.starts_with(&start), "{key}, {start}");
    let kept = step(&|step| uses(step, "actions/upload-artifact"));
    let sarif = step(&|step| uses(step, "github/codeql-action/upload-sarif"));
    for step in [saved, kept, sarif] {
        assert!(word(&step["if"]).starts_with("always()"), "{step}");
    }
    let translate = step(&|step| step["name"] == "Translate");
    let mut set = variables(&file["env"]);
    set.extend(variables(&translate["env"]));
    let shards = job["strategy"]["matrix"]["shard"].as_array().unwrap();
    let numbers = shards.iter().map(|shard| shard.as_u64().unwrap());
    assert!(numbers.eq(1..=shards.len() as u64), "{shards:?}");
    Job {
        name: "GitHub",
        script: word(&translate["run"]),
        variables: set,
        shards: shards.len(),
        minutes: job["timeout-minutes"].as_f64().unwrap(),
        cached: lines(&saved["with"]["path"]),
        kept: lines(&kept["with"]["path"]),
        sarif: word(&sarif["with"]["sarif_file"]),
        summary: "step-summary.md",
        tolerated: Vec::new(),
    }
}

fn gitlab() -> Job {
    let file = yaml("gitlab-ci.yml");
    let job = &file["translate"];
    assert_eq!(job["cache"]["when"], "always");
    assert_eq!(job["artifacts"]["when"], "always");
    assert_eq!(job["artifacts"]["reports"]["junit"], "junit.xml");
    let codes = job["allow_failure"]["exit_codes"].as_array().unwrap();
    let codes = codes.iter().map(|code| code.as_i64().unwrap());
    let hours = word(&job["timeout"]);
    let hours: f64 = hours.strip_suffix('h').unwrap().parse().unwrap();
    Job {
        name: "GitLab",
        script: words(&job["script"]).join("\n"),
        variables: variables(&file["variables"]),
        shards: job["parallel"].as_u64().unwrap() as usize,
        minutes: hours * 60.0,
        cached: words(&job["cache"]["paths"]),
        kept: words(&job["artifacts"]["paths"]),
        sarif: "translate.sarif".to_owned(),
        summary: "summary.md",
        tolerated: codes.map(|code| i32::try_from(code).unwrap()).collect(),
    }
}

fn yaml(name: &str) -> Value {
    let text = fs::read_to_string(tidy::root().join("server/ci").join(name)).unwrap();
    serde_yaml_ng::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn variables(of: &Value) -> BTreeMap<String, String> {
    let set = of.as_object().unwrap().iter();
    set.map(|(name, value)| (name.clone(), word(value)))
        .collect()
}

fn word(of: &Value) -> String {
    let text = of.as_str();
    text.unwrap_or_else(|| panic!("no text: {of}")).to_owned()
}

fn words(of: &Value) -> Vec<String> {
    of.as_array().unwrap().iter().map(word).collect()
}

fn lines(of: &Value) -> Vec<String> {
    word(of).lines().map(str::to_owned).collect()
}
