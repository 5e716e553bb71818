//! Which room may see which, and which outside crate belongs to whom.
//!
//! Takes what `cargo metadata` says of the workspace's manifests; fails with the edge that is too
//! many. A new edge is a decision: it is made here, and told in `server/ARCHITECTURE.md`.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::tidy;

/// The rooms and what each may see of the house. `infill` may see all rooms.
const WALLS: &[(&str, &[&str])] = &[
    ("grammars", &[]),
    ("text", &["grammars"]),
    ("vocab", &[]),
    ("prompt", &["text", "vocab", "grammars"]),
    ("cache", &[]),
    ("glm", &[]),
    ("engine", &["glm"]),
    ("finish", &["text", "grammars"]),
];

/// Rooms that stand over the others. Nothing but the last two may see one of them.
const ROOFS: &[&str] = &["infill", "tests", "benches"];

/// Outside crates that stay behind one wall, by the start of their names.
const OWNERS: &[(&str, &[&str])] = &[
    ("tower", &["infill"]),
    ("lsp-types", &["infill"]),
    ("tokio", &["infill"]),
    ("reqwest", &["infill"]),
    ("axum", &["infill"]),
    ("hyper", &["infill"]),
    ("futures", &["infill"]),
    ("prometheus", &["infill"]),
    ("clap", &["infill"]),
    ("anyhow", &["infill"]),
    // A tokenizer's file is JSON, and only `vocab` may know what is in it; a model's `config.json` likewise, `glm`.
    ("serde_json", &["infill", "vocab", "glm"]),
    ("tokenizers", &["vocab"]),
    ("candle", &["glm"]),
    ("cudarc", &["glm"]),
    ("memmap2", &["glm"]),
    ("tree-sitter", &["grammars", "text"]),
    ("ropey", &["text"]),
    ("dashmap", &["cache", "infill"]),
];

/// Rooms that take values and give values: no disk, no network, no clock, no environment.
const PURE: &[&str] = &["grammars", "text", "vocab", "prompt", "cache", "finish"];

/// What a pure room may not name.
const WORLD: &[&str] = &[
    "std::fs",
    "std::env",
    "std::net",
    "std::process",
    "std::thread",
    "Instant::now",
    "SystemTime",
];

#[test]
fn rooms_see_only_what_they_may() {
    let packages = packages();
    let house: BTreeSet<&str> = packages.iter().map(name).collect();
    let known: BTreeSet<&str> = WALLS
        .iter()
        .map(|(room, _)| *room)
        .chain(ROOFS.iter().copied())
        .collect();
    assert_eq!(
        house, known,
        "a crate came or went: say here what it may see"
    );

    let mut faults = Vec::new();
    for (room, allowed) in WALLS {
        let package = packages.iter().find(|package| name(package) == *room);
        for (dependency, _) in dependencies(package.expect("compared above")) {
            // A room that asks for itself switches a feature on for its own tests.
            let is_itself = dependency == *room;
            if house.contains(dependency) && !is_itself && !allowed.contains(&dependency) {
                faults.push(format!("{room} → {dependency}"));
            }
        }
    }
    assert_eq!(
        faults,
        Vec::<String>::new(),
        "edges that the walls do not allow"
    );
}

#[test]
fn nothing_sees_the_roofs_but_tests_and_benches() {
    let mut faults = Vec::new();
    for package in packages() {
        for (dependency, _) in dependencies(&package) {
            if ROOFS.contains(&dependency) && !["tests", "benches"].contains(&name(&package)) {
                faults.push(format!("{} → {dependency}", name(&package)));
            }
        }
    }
    assert_eq!(faults, Vec::<String>::new());
}

#[test]
fn outside_crates_stay_with_their_owners() {
    let mut faults = Vec::new();
    for package in packages() {
        let room = name(&package);
        if ["tests", "benches"].contains(&room) {
            continue;
        }
        for (dependency, kind) in dependencies(&package) {
            let owned = OWNERS
                .iter()
                .find(|(start, _)| dependency.starts_with(start));
            let Some((_, owners)) = owned else { continue };
            // A room's own tests may read data as they like.
            if kind != "dev" && !owners.contains(&room) {
                faults.push(format!(
                    "{room} → {dependency}, which belongs to {owners:?}"
                ));
            }
        }
    }
    assert_eq!(faults, Vec::<String>::new());
}

#[test]
fn a_crate_has_its_folders_name() {
    for package in packages() {
        let manifest = package["manifest_path"]
            .as_str()
            .expect("every package has a manifest");
        let folder = Path::new(manifest).parent().and_then(Path::file_name);
        assert_eq!(
            folder.and_then(|name| name.to_str()),
            Some(name(&package)),
            "{manifest}"
        );
    }
}

#[test]
fn pure_rooms_know_no_world() {
    let mut faults = Vec::new();
    for file in tidy::files() {
        let mut parts = file.path.split('/').skip_while(|part| *part == "server");
        let (room, inside) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        if !PURE.contains(&room) || inside != "src" || !file.path.ends_with(".rs") {
            continue;
        }
        for word in WORLD {
            if tidy::before_tests(&file.text).contains(word) {
                faults.push(format!("{}: {word}", file.path));
            }
        }
    }
    assert_eq!(
        faults,
        Vec::<String>::new(),
        "pure rooms take values and give values"
    );
}

/// The packages of the workspace, as their manifests stand.
fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(tidy::root())
        .output()
        .expect("cargo runs where its tests run");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
    metadata["packages"]
        .as_array()
        .expect("a workspace has packages")
        .clone()
}

fn name(package: &Value) -> &str {
    package["name"].as_str().expect("every package has a name")
}

/// Name and kind ("normal", "dev" or "build") of everything that a manifest asks for.
fn dependencies(package: &Value) -> impl Iterator<Item = (&str, &str)> {
    let list = package["dependencies"]
        .as_array()
        .expect("every package lists its dependencies");
    list.iter().map(|dependency| {
        let name = dependency["name"]
            .as_str()
            .expect("every dependency has a name");
        (name, dependency["kind"].as_str().unwrap_or("normal"))
    })
}
