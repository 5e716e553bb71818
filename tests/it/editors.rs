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
                    accept brackets typing_along undo unicode
                    autopairs backspace columns crlf cycling dismiss excluded folders health killed
                    large_file lines loading manual menus missing models plain_setup repeats restart
                    smooth snippets switches tab tasks undo_steps untitled why words
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

/// Ghost text on a terminal's screen, as the README shows it: there, and paler than the code.
#[test]
#[ignore = "wants a Neovim and tmux; tests/run brings them and runs this"]
fn picture() {
    let target = std::env::temp_dir().join(format!("infill-picture-{}.svg", std::process::id()));
    let mut command = Command::new("python3");
    command
        .arg("editors/nvim/tests/picture.py")
        .arg(neovim("0.12"))
        .arg(&target);
    succeed(command, "the picture");
    let picture = fs::read_to_string(&target).expect("the picture can be read");
    fs::remove_file(&target).expect("the picture can be removed");
    let fill = |text: &str| {
        let line = picture.lines().find(|line| line.contains(text));
        let line = line.unwrap_or_else(|| panic!("no {text} in {picture}"));
        line.split("fill=\"").nth(1).expect("a colour")[..7].to_owned()
    };
    assert_ne!(
        fill(">return nil<"),
        fill("err = os.WriteFile"),
        "{picture}"
    );
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

/// The path of a Neovim of this version.
fn neovim(version: &str) -> String {
    let mut command = Command::new(tidy::root().join("tests/setup/neovim.sh"));
    command.arg(version);
    succeed(command, "the setup of Neovim").trim().to_owned()
}

fn run(way: &str, version: &str, case: &str) {
    let mut command = Command::new(neovim(version));
    command.args([
        "--clean",
        "--headless",
        "-l",
        "tests/clients/nvim/drive.lua",
    ]);
    command.args([case, way]);
    succeed(command, &format!("{case} on {version}"));
}

/// Runs a command in the repository's root, with the server's binary; gives what it printed.
fn succeed(mut command: Command, what: &str) -> String {
    let output = command
        .env("INFILL_BIN", harness::binary())
        .current_dir(tidy::root())
        .output()
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let faults = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {printed}{faults}");
    printed
}
