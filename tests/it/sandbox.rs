//! Commands in the sandbox: what they cannot do, what they cannot take, and that nothing of them is left.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use infill::sandbox::{Ended, Limits, Ran, Sandbox};

use crate::harness;

fn limits() -> Limits {
    Limits {
        time: Duration::from_secs(30),
        memory_bytes: 1 << 30,
        output_bytes: 4000,
    }
}

fn run_in(folder: &Path, command: &[&str], limits: &Limits) -> Ran {
    let command: Vec<String> = command.iter().map(|&word| word.to_owned()).collect();
    let sandbox = Sandbox::new(harness::binary());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime
        .block_on(sandbox.run(&command, folder, &[], limits))
        .unwrap()
}

fn run(command: &[&str], limits: &Limits) -> Ran {
    run_in(tempfile::tempdir().unwrap().path(), command, limits)
}

fn python(program: &str) -> Ran {
    run(&["python3", "-c", program], &limits())
}

#[test]
fn a_command_tells_how_it_ends_and_what_it_says() {
    let ran = run(&["sh", "-c", "echo one; echo two >&2; exit 7"], &limits());
    assert_eq!((ran.ended, &*ran.output), (Ended::Exit(7), "one\ntwo\n"));
    let ran = run(&["sh", "-c", "kill -9 $$"], &limits());
    assert_eq!(ran.ended, Ended::Signal(9));
    let ran = run(&["no-such-command"], &limits());
    assert_eq!(ran.ended, Ended::Missing);
    assert!(ran.output.contains("no-such-command"), "{}", ran.output);
}

#[test]
fn a_loop_ends_with_its_time() {
    let short = Limits {
        time: Duration::from_millis(400),
        ..limits()
    };
    let ran = run(&["sh", "-c", "echo begun; while true; do :; done"], &short);
    assert_eq!((ran.ended, &*ran.output), (Ended::TimeOut, "begun\n"));
}

#[test]
fn memory_is_limited_for_one_process_and_for_all() {
    let ran = python("x = bytearray(3 << 30)");
    assert!(ran.output.contains("MemoryError"), "{ran:?}");
    // Five processes with 400 MiB each.
    let ran = python(
        "import os, time\nfor i in range(5):\n    if os.fork() == 0:\n        x = b'x' * (400 << 20); time.sleep(60)\ntime.sleep(60)",
    );
    assert_eq!(ran.ended, Ended::Memory);
}

#[test]
fn a_flood_of_output_is_cut() {
    let ran = run(
        &["sh", "-c", "yes | head -c 50000000; echo last"],
        &limits(),
    );
    assert_eq!(ran.ended, Ended::Exit(0));
    assert!(
        ran.output.len() < 5000 && ran.output.starts_with("y\n") && ran.output.ends_with("last\n")
    );
}

#[test]
fn there_is_no_network() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let connect = format!("import socket; socket.create_connection(('127.0.0.1', {port}), 5)");
    let outside = Command::new("python3")
        .args(["-c", &connect])
        .status()
        .unwrap();
    assert!(outside.success(), "the listener is there");
    let ran = python(&connect);
    assert!(
        ran.ended == Ended::Exit(1) && ran.output.contains("PermissionError"),
        "{ran:?}"
    );
    let ran = python("import socket; socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)");
    assert!(ran.output.contains("PermissionError"), "{ran:?}");
    let ran = python("import socket; a, b = socket.socketpair(); a.send(b'x'); print(b.recv(1))");
    assert_eq!(ran.output, "b'x'\n");
}

#[test]
fn the_environment_is_clean_and_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let ran = run_in(folder.path(), &["sh", "-c", "env; pwd; cat"], &limits());
    assert_eq!(ran.ended, Ended::Exit(0), "standard input is empty");
    let home = format!("HOME={}\n", folder.path().display());
    assert!(
        ran.output.contains(&home) && ran.output.contains("PATH="),
        "{}",
        ran.output
    );
    // Set by cargo for every test.
    assert!(std::env::var_os("CARGO_PKG_NAME").is_some());
    assert!(!ran.output.contains("CARGO_PKG_NAME"), "{}", ran.output);
}

#[test]
fn the_usual_tools_work() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("a.rs"),
        "fn main() { println!(\"rust {}\", 1) }\n",
    )
    .unwrap();
    for (command, said) in [
        ("node -e 'console.log(`node ${1}`)'", "node 1\n"),
        ("python3 -c 'print(\"python\", 1)'", "python 1\n"),
        ("rustc --edition 2021 a.rs && ./a", "rust 1\n"),
    ] {
        let ran = run_in(folder.path(), &["sh", "-c", command], &limits());
        assert_eq!((ran.ended, &*ran.output), (Ended::Exit(0), said));
    }
}

/// A command that leaves a process behind, which has its own session and no parent, and writes its number down.
const DAEMON: &str = "(setsid sh -c 'echo $$ > daemon; exec sleep 1000' &)\n\
    while [ ! -s daemon ]; do sleep 0.05; done";

fn is_gone(number: &str) -> bool {
    let began = Instant::now();
    while Path::new("/proc").join(number.trim()).exists() {
        if began.elapsed() > Duration::from_secs(20) {
            return false;
        }
        sleep(Duration::from_millis(20));
    }
    true
}

#[test]
fn nothing_outlives_its_command() {
    let folder = tempfile::tempdir().unwrap();
    let ran = run_in(folder.path(), &["sh", "-c", DAEMON], &limits());
    assert_eq!(ran.ended, Ended::Exit(0), "{}", ran.output);
    let number = fs::read_to_string(folder.path().join("daemon")).unwrap();
    assert!(!number.trim().is_empty() && is_gone(&number), "{number}");
}

#[test]
fn nothing_outlives_who_asked_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let note = folder.path().join("note");
    // As the sandbox starts it, by a process that is killed without notice.
    let mut asker = Command::new("python3")
        .arg("-c")
        .arg("import subprocess, sys; subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE).wait()")
        .arg(harness::binary())
        .args([
            "sandboxed",
            "--time",
            "100000",
            "--memory",
            "1000000000",
            "--note",
        ])
        .arg(&note)
        .args(["--", "sh", "-c"])
        .arg(format!("{DAEMON}; sleep 1000"))
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let daemon = folder.path().join("daemon");
    let began = Instant::now();
    while !fs::read_to_string(&daemon).is_ok_and(|text| text.ends_with('\n')) {
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "it does not start"
        );
        sleep(Duration::from_millis(20));
    }
    asker.kill().unwrap();
    asker.wait().unwrap();
    let number = fs::read_to_string(&daemon).unwrap();
    assert!(is_gone(&number), "{number}");
}
