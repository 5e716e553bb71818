//! Neovim's own inline completion against the built server: ghost text, accepting, undo, leaving.
//!
//! Takes a Neovim of version 0.12 or later from `INFILL_NVIM` (`tests/setup/neovim.sh` prints one)
//! and the cases in `tests/clients/nvim/cases/*.lua`, one test each. What a case does is left to
//! its file; here a case passes if Neovim ends with status 0.

use std::fs;
use std::process::Command;

use crate::{harness, tidy};

macro_rules! cases {
    ($($name:ident)*) => {
        $(
            #[test]
            #[ignore = "wants Neovim 0.12; tests/run brings it and runs this"]
            fn $name() { run(stringify!($name)); }
        )*
        const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

cases! {
    accept
    brackets
    languages
    leave
    real_files
    typing_along
    undo
    unicode
}

#[test]
fn every_case_is_run() {
    let mut found: Vec<String> = fs::read_dir(tidy::root().join("tests/clients/nvim/cases"))
        .expect("the folder is there")
        .map(|entry| entry.expect("the folder can be read").path())
        .map(|path| {
            path.file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    found.sort();
    assert_eq!(found, NAMES);
}

fn run(case: &str) {
    let setup = Command::new(tidy::root().join("tests/setup/neovim.sh")).output();
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
        ])
        .env("INFILL_BIN", harness::binary())
        .current_dir(tidy::root())
        .output()
        .expect("Neovim starts");
    let said = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success(),
        "{case}: {}",
        String::from_utf8_lossy(&said)
    );
}
