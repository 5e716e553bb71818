//! `infill bench`: replays against the built server and against one that is not ours, and what a budget does.
//!
//! Takes the binary and small files of the repository; looks at the JSON that it prints, never at how long things took.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, fs};

use serde_json::Value;

use crate::{harness, tidy};

fn bench(arguments: &[&str]) -> Output {
    Command::new(harness::binary())
        .arg("bench")
        .args(arguments)
        .current_dir(tidy::root())
        .output()
        .expect("the built binary starts")
}

/// The figures that were printed, and whether the command succeeded.
fn figures(arguments: &[&str]) -> (Value, Output) {
    let output = bench(arguments);
    let figures = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        let said = String::from_utf8_lossy(&output.stderr);
        panic!("{arguments:?} printed no JSON ({error}): {said}")
    });
    (figures, output)
}

/// A file of this test's own.
fn written(name: &str, text: &str) -> PathBuf {
    let folder = env::temp_dir().join(format!("infill-bench-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("the temporary folder can be written");
    let path = folder.join(name);
    fs::write(&path, text).expect("the temporary folder can be written");
    path
}

fn path(path: &Path) -> &str {
    path.to_str().expect("temporary paths are text")
}

#[test]
fn our_server_is_measured_and_a_broken_budget_fails() {
    let budget = written(
        "broken.toml",
        "[max]\nlatency_ms.p50 = 0\nrss_mb = 100000\n",
    );
    let (figures, output) = figures(&[
        "latency",
        "tests/data/try/cart.js",
        "--keystrokes=25",
        "--open=2",
        "--json",
        "--budget",
        path(&budget),
    ]);
    assert!(
        figures["keystrokes"]
            .as_u64()
            .is_some_and(|keys| keys >= 20),
        "{figures}"
    );
    for (key, part) in [
        ("latency_ms", "p99"),
        ("jump_ms", "p50"),
        ("tokens_prefilled", "p95"),
        ("tokens_decoded", "p50"),
        ("tiers", "miss"),
    ] {
        assert!(figures[key][part].is_number(), "{key}.{part}: {figures}");
    }
    for key in ["zero_decode_share", "keystrokes_saved_share", "shown_share"] {
        assert!(figures[key].is_number(), "{key}: {figures}");
    }
    if cfg!(target_os = "linux") {
        // The model alone takes more.
        assert!(figures["rss_mb"].as_f64() > Some(5.0) && figures["cpu_s"].as_f64() > Some(0.0));
    }
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("latency_ms.p50") && !said.contains("rss_mb"),
        "{said}"
    );
}

#[test]
fn a_recording_is_replayed_within_its_budget() {
    let budget = written(
        "kept.json",
        r#"{"min": {"answered_share": 1}, "max": {"rss_mb": 100000}}"#,
    );
    let (figures, output) = figures(&[
        "latency",
        "--recording=tests/data/replays/cart.jsonl",
        "--json",
        "--budget",
        path(&budget),
    ]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let count = |kind: &str| figures["kinds"][kind]["count"].as_u64().unwrap_or(0);
    let counts = ["jump", "paste", "accept", "backspace"].map(count);
    assert!(
        counts[0] <= 2 && counts[1] == 1 && count("forward") > 10,
        "{figures}"
    );
}

#[test]
fn a_server_that_is_not_ours_is_measured_without_our_figures() {
    let text = "start\nfirst\nsecond\nconst größe𝄞 = compute(first, [second]);\nif (größe𝄞) {\n    call(\"one\");\n}\nend\n\n\n";
    let file = written("stranger.js", text);
    let stranger = tidy::root().join("tests/it/stranger.py");
    let server = format!("python3 '{}' '{}'", stranger.display(), file.display());
    let (figures, output) = figures(&[
        "latency",
        path(&file),
        "--keystrokes=60",
        "--json",
        "--server",
        &server,
    ]);
    // The server itself fails if its text is not the file's in the end.
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for key in [
        "tokens_prefilled",
        "tokens_decoded",
        "zero_decode_share",
        "tiers",
        "engine",
    ] {
        assert!(figures[key].is_null(), "{key}: {figures}");
    }
    assert!(figures["latency_ms"]["p50"].is_number());
    // It knows every line once three characters are there.
    let saved = figures["keystrokes_saved_share"].as_f64().unwrap_or(0.0);
    assert!((0.5..1.0).contains(&saved), "{figures}");
    assert!(figures["shown_share"].as_f64() > Some(0.1), "{figures}");
}

#[test]
fn keys_that_come_before_the_answer_cancel_it() {
    let text = "first\n".repeat(8) + "alpha beta gamma delta\n" + &"last\n".repeat(12);
    let file = written("paced.txt", &text);
    let stranger = tidy::root().join("tests/it/stranger.py");
    let server = format!("python3 '{}' '{}' 60", stranger.display(), file.display());
    let (figures, output) = figures(&[
        "latency",
        path(&file),
        "--keystrokes=20",
        "--pace=25",
        "--json",
        "--server",
        &server,
    ]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(figures["answered_share"].as_f64() < Some(0.9), "{figures}");
}

#[test]
fn an_engine_is_measured_as_llama_bench_does() {
    let (figures, output) = figures(&[
        "engine",
        "--prompt=32",
        "--generate=4",
        "--repeat=2",
        "--threads=1",
        "--json",
    ]);
    assert!(output.status.success());
    assert!(
        figures["prefill_tps"].as_f64() > Some(0.0) && figures["decode_tps"].as_f64() > Some(0.0)
    );
    assert_eq!(
        figures["prefill"]["rounds"].as_array().map(Vec::len),
        Some(2)
    );
    assert!(figures["lookup"].is_null(), "{figures}");
    let output = bench(&["engine", "--prompt=100000"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("1024"), "{said}");
}

/// The bench itself fails if drafts change a single token.
#[test]
fn drafts_write_the_same_code() {
    let (figures, output) = figures(&[
        "engine",
        "--prompt=256",
        "--generate=32",
        "--repeat=1",
        "--lookup",
        "--text=server/text/src/document.rs",
        "--places=4",
        "--json",
    ]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let lookup = &figures["lookup"];
    assert_eq!(lookup["tokens"].as_u64(), Some(4 * 32), "{figures}");
    assert_eq!(lookup["decode_tps"], figures["decode_tps"]);
    assert!(lookup["tokens_a_pass"].as_f64() >= Some(1.0), "{figures}");
}
