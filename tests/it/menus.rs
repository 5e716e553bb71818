//! Editors that draw no ghost text, and show a suggestion in their menu: Helix and Emacs in a terminal.
//!
//! Takes the editors from `tests/setup/{helix,emacs}.sh`, their configurations from `tests/clients/menus`, and types as
//! a person does. Passes if the file on disk then holds what the same binary's command line suggests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use crate::{harness, tidy};

/// Longest wait for one thing on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The line of the example that is not finished, and what is typed there.
const LINE: usize = 46;
const TYPED: &str = "ret";

/// A terminal with an editor in it.
struct Terminal {
    name: String,
    folder: PathBuf,
}

impl Terminal {
    /// Runs a command in a terminal, in a folder that holds the example, an `infill` on the path, and a file of
    /// configuration that is copied to this place.
    fn start(name: &str, command: &str, configuration: Option<(&Path, &str)>) -> Terminal {
        let folder =
            std::env::temp_dir().join(format!("infill-menus-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("bin")).expect("there is room for a folder");
        fs::copy(harness::binary(), folder.join("bin/infill")).expect("the binary can be copied");
        let example = tidy::root().join("tests/data/try/unfinished.go");
        fs::copy(example, folder.join("store.go")).expect("the example can be copied");
        if let Some((from, to)) = configuration {
            let to = folder.join(to);
            fs::create_dir_all(to.parent().expect("it is in a folder")).expect("there is room");
            fs::copy(from, to).expect("it can be copied");
        }
        let terminal = Terminal {
            name: format!("infill-{name}-{}", std::process::id()),
            folder,
        };
        let path = std::env::var("PATH").unwrap_or_default();
        let folder = terminal.folder.display();
        let shell = format!(
            "cd {folder} && PATH={folder}/bin:{path} HOME={folder} XDG_CACHE_HOME={folder}/cache \
             XDG_CONFIG_HOME={folder}/config {command} store.go"
        );
        let started = terminal.tmux(&["new-session", "-d", "-x", "100", "-y", "30", &shell]);
        assert!(started.status.success(), "{}", said(&started));
        terminal
    }

    fn tmux(&self, arguments: &[&str]) -> Output {
        Command::new("tmux")
            .args(["-L", &self.name, "-f", "/dev/null"])
            .args(arguments)
            .output()
            .expect("tmux runs; tests/run installs it")
    }

    fn keys(&self, keys: &[&str]) {
        for key in keys {
            let sent = self.tmux(&["send-keys", key]);
            assert!(sent.status.success(), "{}", said(&sent));
            thread::sleep(Duration::from_millis(100));
        }
    }

    fn screen(&self) -> String {
        said(&self.tmux(&["capture-pane", "-p"]))
    }

    /// Waits until the screen shows this.
    fn shows(&self, what: &str) {
        self.until(what, || self.screen().contains(what));
    }

    /// Waits until the file on disk has this line.
    fn saved(&self, line: &str) {
        self.until(line, || {
            let text = fs::read_to_string(self.folder.join("store.go")).unwrap_or_default();
            text.lines().nth(LINE - 1) == Some(line)
        });
    }

    fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let start = Instant::now();
        while !holds() {
            assert!(
                start.elapsed() < PATIENCE,
                "no `{what}`; the screen:\n{}",
                self.screen()
            );
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn said(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// What a script of `tests/setup` prints: the path of an editor.
fn setup(script: &str) -> String {
    let setup = Command::new(tidy::root().join("tests/setup").join(script)).output();
    let setup = setup.expect("bash runs");
    assert!(setup.status.success(), "{}", said(&setup));
    String::from_utf8_lossy(&setup.stdout).trim().to_owned()
}

/// The line as the command line completes it.
fn completed(folder: &Path) -> String {
    let path = folder.join("typed.go");
    let example = fs::read_to_string(folder.join("store.go")).expect("the example is there");
    let lines = example
        .lines()
        .enumerate()
        .map(|(at, line)| match at + 1 == LINE {
            true => format!("{line}{TYPED}\n"),
            false => format!("{line}\n"),
        });
    fs::write(&path, lines.collect::<String>()).expect("it can be written");
    let place = format!("{LINE}:{}", 2 + TYPED.len());
    let output = Command::new(harness::binary())
        .args(["complete", &path.display().to_string(), "--at", &place])
        .output()
        .expect("the built binary starts");
    let rest = String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned();
    assert!(!rest.is_empty(), "{}", said(&output));
    format!("\t{TYPED}{rest}")
}

fn configuration(file: &str) -> PathBuf {
    tidy::root().join("tests/clients/menus").join(file)
}

#[test]
#[ignore = "wants Helix; tests/run brings it and runs this"]
fn helix_shows_and_takes_a_suggestion() {
    let helix = setup("helix.sh");
    let languages = configuration("languages.toml");
    let place = Some((&*languages, "config/helix/languages.toml"));
    let terminal = Terminal::start("helix", &format!("{helix} -v"), place);
    let line = completed(&terminal.folder);
    terminal.shows("NOR");
    terminal.keys(&[&format!(":{LINE}"), "Enter", "A"]);
    terminal.shows("INS");
    // The same line ends another function.
    let times = || terminal.screen().matches(line.trim()).count();
    let known = times();
    terminal.keys(&["r", "e", "t"]);
    terminal.until(line.trim(), || times() > known);
    terminal.keys(&["Tab", "Enter", "Escape", ":w", "Enter"]);
    terminal.saved(&line);
}

#[test]
#[ignore = "wants Emacs with eglot; tests/run brings it and runs this"]
fn emacs_takes_a_suggestion() {
    let emacs = setup("emacs.sh");
    let session = configuration("session.el");
    let terminal = Terminal::start(
        "emacs",
        &format!("{emacs} -nw -q -l {}", session.display()),
        None,
    );
    let line = completed(&terminal.folder);
    terminal.shows("[eglot:");
    terminal.keys(&["M-g", "g", &LINE.to_string(), "Enter", "C-e"]);
    terminal.keys(&["r", "e", "t", "C-M-i"]);
    // The same line ends another function above, which scrolls away when a window of warnings opens.
    terminal.until(line.trim(), || {
        let screen = terminal.screen();
        let below = screen.split_once("os.WriteFile");
        below.is_some_and(|(_, below)| below.contains(line.trim()))
    });
    terminal.keys(&["C-x", "C-s"]);
    terminal.saved(&line);
}
