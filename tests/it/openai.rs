//! OpenAI's own client against `infill serve`: lists, completions, conversations, streams, refusals, keys, leaving.
//!
//! The client comes from `tests/setup/openai.sh`, which prints a Python that has it. Cases are the functions of
//! `tests/clients/openai/session.py`; each has a server of its own, and passes if Python ends with status 0.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::fs;
use std::process::Command;

use crate::serving::Server;
use crate::tidy;

/// Where the cases are.
const SESSION: &str = "tests/clients/openai/session.py";

/// What the server of the case `keys` wants, and the client sends always.
const KEY: &str = "a-token-of-some-length";

macro_rules! cases {
    ($($name:ident)*) => {
        $(
            #[test]
            #[ignore = "wants OpenAI's client; tests/run brings it and runs this"]
            fn $name() { run(stringify!($name)); }
        )*
    };
}

cases! {
    models completes chats draws refuses keys serves_one_model side_by_side leaves_a_stream leaves_a_whole
}

/// A case that the list above does not name would be a test that is never run.
#[test]
fn every_case_is_run() {
    let source = fs::read_to_string(tidy::root().join("tests/it/openai.rs")).unwrap();
    let session = fs::read_to_string(tidy::root().join(SESSION)).unwrap();
    let named: Vec<&str> = source.split_whitespace().collect();
    let cases: Vec<&str> = session
        .split("@case\ndef ")
        .skip(1)
        .map(|case| case.split('(').next().unwrap())
        .collect();
    assert!(cases.len() > 5, "{cases:?}");
    for case in cases {
        assert!(named.contains(&case), "{case} is never run");
    }
}

fn run(case: &str) {
    let python = succeed(Command::new(tidy::root().join("tests/setup/openai.sh")));
    let token = (case == "keys").then_some(KEY);
    let server = Server::start_with_token(&["--model", "pairs.gguf"], token);
    let mut session = Command::new(python.trim());
    session.args([SESSION, case, &format!("http://{}/v1", server.address)]);
    succeed(session);
}

/// Runs a command in the repository's root; gives what it printed.
fn succeed(mut command: Command) -> String {
    let output = command.current_dir(tidy::root()).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let faults = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{printed}{faults}");
    printed
}
