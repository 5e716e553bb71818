//! `infill doctor`: what it says of a machine, a model, settings and folders, and when it says that the server cannot serve.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::harness;

/// A folder to work in and a home, both empty.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Place {
        let place = Place(tempfile::tempdir().expect("the temporary folder takes folders"));
        for name in ["work", "home"] {
            fs::create_dir(place.0.path().join(name)).expect("a new folder takes folders");
        }
        place
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn doctor(&self, arguments: &[&str]) -> Output {
        Command::new(harness::binary())
            .arg("doctor")
            .args(arguments)
            .current_dir(self.path().join("work"))
            .env("INFILL_HOME", self.path().join("home"))
            .env("HOME", self.path())
            .env("XDG_CONFIG_HOME", self.path().join("config"))
            .output()
            .expect("the built binary starts")
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The line that begins with a name.
#[track_caller]
fn line(text: &str, name: &str) -> String {
    let found = text.lines().find_map(|line| line.strip_prefix(name));
    found
        .unwrap_or_else(|| panic!("no line {name} in:\n{text}"))
        .trim()
        .to_owned()
}

#[test]
fn a_fresh_machine_can_serve_and_says_how() {
    let place = Place::new();
    let output = place.doctor(&["--device", "cpu"]);
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    assert!(!line(&said, "infill").is_empty());
    assert!(line(&said, "processor").contains("vector instructions: "));
    assert!(line(&said, "gpu ").starts_with("none for the model: "));
    assert!(line(&said, "model ").starts_with("infill-v2 (built in), template "));
    assert!(line(&said, "needs").contains("for the weights"));
    assert!(line(&said, "runs on").starts_with("the processor, all "));
    let settings = line(&said, "settings");
    assert!(
        settings.ends_with("infill.toml: not there; the defaults hold"),
        "{settings}"
    );
    let models = place.path().join("home/models");
    assert_eq!(
        line(&said, "models"),
        format!("{}: 0 there; can be written", models.display())
    );
    assert!(said.ends_with("no problem was found\n"), "{said}");
    // It only looked.
    assert!(!models.exists());
}

#[test]
fn json_says_the_same() {
    let place = Place::new();
    fs::write(
        place.path().join("work/infill.toml"),
        "window = 300\nthreads = 1\n",
    )
    .unwrap();
    let output = place.doctor(&["--json", "--device", "cpu"]);
    assert!(output.status.success());
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["problems"], Value::Array(Vec::new()));
    assert_eq!(said["processor"]["model_threads"], 1);
    let model = &said["model"];
    assert_eq!(
        (&model["name"], &model["window"]),
        (&"infill-v2".into(), &300.into())
    );
    // What the model needs is what `model info` says.
    let info = Command::new(harness::binary())
        .args(["model", "info", "--json"])
        .output()
        .expect("the built binary starts");
    let info: Value = serde_json::from_slice(&info.stdout).unwrap();
    assert_eq!(model["weights_bytes"], info["memory"][0]["bytes"]);
    assert_eq!(model["layers"], info["layers"]);
    assert_eq!(model["runs_on"][0]["device"], "cpu");
    assert_eq!(model["runs_on"][0]["layers"], info["layers"]);
    let settings = said["places"][0]["path"].as_str().unwrap();
    assert!(settings.ends_with("work/infill.toml"), "{settings}");
}

/// 8.5 bits a number where f16 has 16, of the chosen window and of each that `model info` tells of.
#[test]
fn integers_take_about_half_of_a_gpu_for_caches() {
    let place = Place::new();
    let asked = |kv: &[&str]| -> Value {
        let output = place.doctor(&[&["--json", "--device", "cpu"], kv].concat());
        assert!(output.status.success());
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let number = |value: &Value| value.as_u64().unwrap();
    let [f16, q8] = [&[][..], &["--kv", "q8"]].map(|kv| asked(kv)["model"].clone());
    assert_eq!(
        (&f16["gpu_cache"], &q8["gpu_cache"]),
        (&"f16".into(), &"q8".into())
    );
    let info = Command::new(harness::binary())
        .args(["model", "info", "--json"])
        .output()
        .expect("the built binary starts");
    let info: Value = serde_json::from_slice(&info.stdout).unwrap();
    let caches = info["kv_cache"].as_array().unwrap();
    for cache in caches {
        let [f16, q8] = ["gpu_bytes", "gpu_q8_bytes"].map(|key| number(&cache[key]));
        assert!(q8 > 0 && 32 * q8 == 17 * f16, "{cache}");
    }
    let same = caches
        .iter()
        .find(|cache| cache["context"] == f16["window"]);
    let cached = number(&same.expect("the default window is among them")["gpu_bytes"]);
    let less = number(&f16["gpu_bytes"]) - number(&q8["gpu_bytes"]);
    assert_eq!(32 * less, 15 * cached);

    let output = place.doctor(&["--kv", "q4"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(
        said.contains("no type of KV caches is called `q4`; there are f16, q8"),
        "{said}"
    );
}

#[test]
fn what_keeps_the_server_from_serving_is_an_error_that_says_what_to_do() {
    let place = Place::new();
    for (arguments, words) in [
        (&["--model", "./nowhere.gguf"][..], "nowhere.gguf"),
        (
            &["--model", "codegeex4-all-9b"],
            "`infill model pull codegeex4-all-9b` gets it",
        ),
        (&["--memory", "1"], "choose a smaller model"),
    ] {
        let output = place.doctor(arguments);
        let said = text(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        let error = line(&said, "error:");
        assert!(error.contains(words), "{error}");
    }
    fs::write(place.path().join("work/infill.toml"), "modle = \"a\"\n").unwrap();
    let output = place.doctor(&[]);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let error = line(&said, "error:");
    assert!(
        error.contains("infill.toml:1:") && error.contains("modle"),
        "{error}"
    );
    assert!(line(&said, "settings").ends_with("infill.toml: cannot be used"));
    // The rest is there all the same.
    assert!(line(&said, "model ").starts_with("infill-v2"));
}

#[test]
fn what_the_server_can_do_without_is_a_problem_and_no_failure() {
    let place = Place::new();
    // The program that is tested is built for no GPU.
    for device in ["cuda:10000", "metal"] {
        let output = place.doctor(&["--device", device]);
        let said = text(&output);
        assert!(output.status.success(), "{said}");
        let problem = line(&said, "problem:");
        assert!(
            problem.ends_with("; the processor would run the model"),
            "{problem}"
        );
        assert!(line(&said, "runs on").starts_with("the processor, all "));
    }

    // A file where the store's folder is to be.
    fs::write(place.path().join("home/models"), "").unwrap();
    let output = place.doctor(&["--device", "cpu"]);
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    let problem = line(&said, "problem:");
    assert!(problem.contains("home/models"), "{problem}");
}
