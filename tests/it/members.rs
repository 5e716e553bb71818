//! `infill translate` with every family that translates: random weights in its true architecture, asked in its own form.
//!
//! Such a model writes nonsense, but the same nonsense whether it is asked for one unit at a time or for all at once, and
//! each unit ends with what became of it.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use glm::{Config, fixture};
use grammars::Language;
use prompt::{Template, Translation};
use serde_json::{Value, json};

use crate::harness;
use crate::prompts::FAMILIES;

/// The architecture of a family's models, by its place among those of the fixture.
fn architecture(template: Template) -> usize {
    match template {
        Template::ChatGlm => 2,
        Template::ChatGlm2 | Template::ChatGlm3 | Template::CodeGeex2 | Template::CodeGeex4 => 3,
        Template::Glm4 => 4,
        Template::Glm4_0414 | Template::GlmZ1 => 5,
        Template::Glm45 => 6,
        Template::Glm47 => 7,
        Template::CodeGeex => 9,
        other => panic!("{} does not translate", other.name()),
    }
}

fn translates(template: Template) -> bool {
    let trial = Translation {
        from: Language::named("python").unwrap(),
        to: Language::named("rust").unwrap(),
        code: "",
        context: "",
        declaration: "",
        note: "",
        attempts: &[],
    };
    trial.request(template).is_ok()
}

/// Translates the list in a folder; gives its results in order of their names.
fn translate(folder: &Path, at_once: &str) -> Vec<Value> {
    let out = format!("out-{at_once}");
    let output = Command::new(harness::binary())
        .args([
            "translate",
            "--from",
            "python",
            "--to",
            "rust",
            "--jsonl",
            "list.jsonl",
        ])
        .args(["--out", &out, "--at-once", at_once])
        .args(["--repair", "1", "--max-tokens", "12"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(matches!(output.status.code(), Some(0 | 3)), "{said}");
    let text = fs::read_to_string(folder.join(out).join("translations.jsonl")).unwrap();
    let line = |line| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        line.as_object_mut().unwrap().remove("seconds");
        line
    };
    let mut lines: Vec<Value> = text.lines().map(line).collect();
    lines.sort_by_key(|line| line["id"].to_string());
    lines
}

#[test]
fn every_family_translates_alone_and_side_by_side() {
    let mut seen = 0;
    for (template, special) in FAMILIES {
        if !translates(template) {
            continue;
        }
        seen += 1;
        let folder = tempfile::tempdir().unwrap();
        let tokenizer = vocab::fixture::tokenizer_json_with(special);
        let config = Config {
            vocabulary: 1024,
            context: 4096,
            ..fixture::members()[architecture(template)]
        };
        let model = fixture::gguf(&config, fixture::Weights::Q8, 7, Some(&tokenizer));
        fs::write(folder.path().join("model.gguf"), model).unwrap();
        let settings = format!(
            "model = \"model.gguf\"\ntemplate = \"{}\"\n",
            template.name()
        );
        fs::write(folder.path().join("infill.toml"), settings).unwrap();
        let unit = |number: usize| {
            let code = format!("def f{number}(a):\n    return a + {number}\n");
            json!({ "id": number.to_string(), "code": code }).to_string() + "\n"
        };
        let units: String = (0..4).map(unit).collect();
        fs::write(folder.path().join("list.jsonl"), units).unwrap();
        let alone = translate(folder.path(), "1");
        assert_eq!(alone.len(), 4, "{}", template.name());
        for unit in &alone {
            let status = unit["status"].as_str().unwrap();
            assert!(
                matches!(status, "failed" | "parses"),
                "{}: {unit}",
                template.name()
            );
            assert!(
                unit["written"].as_u64() > Some(0),
                "{}: {unit}",
                template.name()
            );
        }
        assert_eq!(translate(folder.path(), "4"), alone, "{}", template.name());
    }
    assert!(seen >= 10, "{seen} families");
}
