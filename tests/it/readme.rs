//! The README tells the truth: its ghost text is what the binary says, its Lua is what is tested.
//!
//! Takes README.md and the files that it names; fails with what the two say.

use std::fs;
use std::process::Command;

use crate::{harness, tidy};

#[test]
fn the_first_screen_shows_what_the_binary_says() {
    let readme = read("README.md");
    let shown = between(&readme, "▏", "◀");
    let command = between(&readme, "cargo run --release -- ", "#");
    let output = Command::new(harness::binary())
        .args(command.split_whitespace())
        .current_dir(tidy::root())
        .output()
        .expect("the built binary starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        said.trim(),
        shown,
        "`infill {command}` {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn the_configuration_for_neovim_is_the_tested_one() {
    let readme = read("README.md");
    let shown = between(&readme, "```lua", "```");
    let tested = read("tests/clients/nvim/init.lua").replace("vim.env.INFILL_BIN", "'infill'");
    assert!(tested.contains(shown), "not in init.lua:\n{shown}");
}

#[test]
fn the_configurations_for_menus_are_the_tested_ones() {
    let readme = read("editors/README.md");
    let helix = between(&readme, "```toml", "```").replace("\"gopls\", ", "");
    let emacs = between(&readme, "```elisp", "```");
    for (file, shown) in [("languages.toml", &*helix), ("init.el", emacs)] {
        let tested = read(&format!("tests/clients/menus/{file}"));
        assert!(tested.contains(shown), "not in {file}:\n{shown}");
    }
}

/// What stands between two marks, without blanks around it.
fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let (_, rest) = text
        .split_once(start)
        .unwrap_or_else(|| panic!("no `{start}`"));
    let (inside, _) = rest.split_once(end).unwrap_or_else(|| panic!("no `{end}`"));
    inside.trim()
}

fn read(path: &str) -> String {
    fs::read_to_string(tidy::root().join(path)).expect("the file is there")
}
