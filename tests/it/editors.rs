//! Real Neovims against the built server: its own inline completion, and the plugin in
//! `editors/nvim` on each version that it is for.
//!
//! Neovims come from `tests/setup/neovim.sh`, which prints one of the version asked for. Cases are
//! the files in `tests/clients/nvim/cases` and, for the plugin alone, `editors/nvim/tests/cases`.
//! What a case does is left to its file; here a case passes if Neovim ends with status 0.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::{harness, tidy};

/// Configurations that a case may be run with, each with the folder that holds its `init.lua`.
const BUILTIN: &str = "tests/clients/nvim";
const PLUGIN: &str = "editors/nvim/tests";

macro_rules! cases {
    ($way:ident, $version:literal, $($name:ident)*) => {
        $(
            #[test]
            #[ignore = "wants a Neovim; tests/run brings it and runs this"]
            fn $name() { super::run(super::$way, $version, stringify!($name)); }
        )*
    };
}

/// The plugin's cases on one version of Neovim, and the built-in way's that it must pass as well.
macro_rules! plugin {
    ($($module:ident $version:literal)*) => {
        $(
            mod $module {
                cases! {
                    PLUGIN, $version,
                    accept brackets languages typing_along undo unicode
                    autopairs backspace columns crlf cycling dismiss excluded health killed
                    large_file lines loading manual menus missing models plain_setup repeats restart
                    smooth snippets switches tab tasks untitled why words
                }
            }
        )*
    };
}

mod builtin {
    cases! {
        BUILTIN, "0.12",
        accept brackets languages leave real_files typing_along undo unicode
    }
}

plugin! {
    plugin_0_12 "0.12"
    plugin_0_11 "0.11"
    plugin_0_10 "0.10"
}

/// A case that no list above names would be a test that is never run.
#[test]
fn every_case_is_run() {
    let source = fs::read_to_string(tidy::root().join("tests/it/editors.rs"));
    let source = source.expect("this file can be read");
    let named: Vec<&str> = source.split_whitespace().collect();
    for way in [BUILTIN, PLUGIN] {
        for entry in
            fs::read_dir(tidy::root().join(way).join("cases")).expect("the folder is there")
        {
            let path = entry.expect("the folder can be read").path();
            let name = stem(&path);
            assert!(
                named.contains(&name.as_str()),
                "{} is never run",
                path.display()
            );
        }
    }
}

fn stem(path: &Path) -> String {
    path.file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn run(way: &str, version: &str, case: &str) {
    let setup = Command::new(tidy::root().join("tests/setup/neovim.sh"))
        .arg(version)
        .output();
    let setup = setup.expect("bash runs");
    let neovim = String::from_utf8_lossy(&setup.stdout);
    assert!(
        setup.status.success(),
        "{}",
        String::from_utf8_lossy(&setup.stderr)
    );
    let output = Command::new(neovim.trim())
        .args([
            "--clean",
            "--headless",
            "-l",
            "tests/clients/nvim/drive.lua",
            case,
            way,
        ])
        .env("INFILL_BIN", harness::binary())
        .current_dir(tidy::root())
        .output()
        .expect("Neovim starts");
    let said = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success(),
        "{case} on {version}: {}",
        String::from_utf8_lossy(&said)
    );
}
