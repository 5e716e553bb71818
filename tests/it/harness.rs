//! A small language client: starts `infill lsp`, talks to it over its pipes, waits for answers.
//!
//! Takes the binary from `INFILL_BIN`, else has Cargo build it. Gives [`Server`], which announces no
//! capabilities of its own, so that the server has nothing to say but answers; what a test leaves
//! unread fails it. Meaning is left to the tests: messages go in and out as JSON.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use std::{env, thread};

use serde_json::{Value, json};

use crate::tidy;

/// Longest wait for one message. The model loads in well under a second; a machine that compiles
/// something beside the tests may need many times that.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server and the pipes to it.
pub struct Server {
    child: Child,
    input: Option<ChildStdin>,
    inbox: Receiver<Value>,
    unread: VecDeque<Value>,
    last_id: i64,
    /// Methods of messages that may stay unread.
    overheard: Vec<&'static str>,
}

impl Server {
    /// Starts `infill lsp`; says nothing to it yet.
    pub fn start() -> Server {
        let mut command = Command::new(binary());
        command.arg("lsp");
        Server::start_by(command)
    }

    /// Starts a server by this command; says nothing to it yet.
    pub fn start_by(mut command: Command) -> Server {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the built binary starts");
        let output = child.stdout.take().expect("its output is a pipe");
        let (sender, inbox) = channel();
        thread::spawn(move || {
            let mut output = BufReader::new(output);
            while let Some(message) = read(&mut output) {
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        let input = child.stdin.take();
        Server {
            child,
            input,
            inbox,
            unread: VecDeque::new(),
            last_id: 0,
            overheard: Vec::new(),
        }
    }

    /// Messages of this method may stay unread.
    pub fn may_miss(&mut self, method: &'static str) {
        self.overheard.push(method);
    }

    /// Sends a request and waits for its result, or for its error.
    pub fn request(&mut self, method: &str, params: Value) -> Result<Value, Value> {
        let id = self.send(method, params);
        self.response(id)
    }

    /// Sends a request; gives its id.
    pub fn send(&mut self, method: &str, params: Value) -> i64 {
        self.last_id += 1;
        let id = self.last_id;
        self.write(with_params(
            json!({"jsonrpc": "2.0", "id": id, "method": method}),
            params,
        ));
        id
    }

    /// Waits for the answer to the request with this id.
    pub fn response(&mut self, id: i64) -> Result<Value, Value> {
        let is_answer = |message: &Value| message["id"] == id && message.get("method").is_none();
        let mut answer = self.wait(&format!("the answer to request {id}"), is_answer);
        match answer.get_mut("error") {
            Some(error) => Err(error.take()),
            None => Ok(answer["result"].take()),
        }
    }

    /// Sends a notification.
    pub fn notify(&mut self, method: &str, params: Value) {
        self.write(with_params(
            json!({"jsonrpc": "2.0", "method": method}),
            params,
        ));
    }

    /// Waits for a message of the server's own, a notification or a request, and gives its `params`.
    /// A request is answered with `null`.
    pub fn receive(&mut self, method: &str) -> Value {
        let mut message = self.wait(method, |message| message["method"] == method);
        if let Some(id) = message.get("id").cloned() {
            self.write(json!({"jsonrpc": "2.0", "id": id, "result": null}));
        }
        message["params"].take()
    }

    /// Asks `infill/status` until the model is loaded.
    pub fn wait_until_ready(&mut self) {
        let start = Instant::now();
        loop {
            let status = self
                .request("infill/status", Value::Null)
                .expect("a status is always given");
            match status["state"].as_str() {
                Some("ready") => return,
                Some("loading") if start.elapsed() < PATIENCE => {
                    thread::sleep(Duration::from_millis(20))
                }
                _ => panic!("the model is not ready: {status}"),
            }
        }
    }

    /// `shutdown` and `exit`; gives how the server ended.
    pub fn shut_down(mut self) -> ExitStatus {
        self.request("shutdown", Value::Null)
            .expect("shutdown never fails");
        self.notify("exit", Value::Null);
        self.wait_for_exit()
    }

    /// Waits for the server's end.
    pub fn wait_for_exit(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("the child is ours") {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "the server does not end");
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn write(&mut self, message: Value) {
        let body = message.to_string();
        let input = self
            .input
            .as_mut()
            .expect("open until the server is dropped");
        write!(input, "Content-Length: {}\r\n\r\n{body}", body.len()).expect("the server reads");
        input.flush().expect("the server reads");
    }

    /// The first message for which `is_wanted` holds; those before it stay unread.
    fn wait(&mut self, what: &str, is_wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(place) = self.unread.iter().position(&is_wanted) {
            return self.unread.remove(place).expect("found just now");
        }
        let end = Instant::now() + PATIENCE;
        loop {
            match self
                .inbox
                .recv_timeout(end.saturating_duration_since(Instant::now()))
            {
                Ok(message) if is_wanted(&message) => return message,
                Ok(message) => self.unread.push_back(message),
                Err(RecvTimeoutError::Timeout) => {
                    panic!("no {what} in {PATIENCE:?}; unread: {:?}", self.unread)
                }
                Err(RecvTimeoutError::Disconnected) => {
                    panic!(
                        "the server ended before {what} came; unread: {:?}",
                        self.unread
                    )
                }
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.input = None;
        // A server that outlives its client is a fault, but one that the tests of leaving report.
        let start = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if start.elapsed() > Duration::from_secs(5) || thread::panicking() {
                let _ = self.child.kill();
                let _ = self.child.wait();
                break;
            }
            thread::sleep(Duration::from_millis(5));
        }
        if !thread::panicking() {
            self.unread.extend(self.inbox.iter());
            let may_miss = |message: &Value| {
                let method = message["method"].as_str();
                method.is_some_and(|method| self.overheard.contains(&method))
            };
            self.unread.retain(|message| !may_miss(message));
            assert!(
                self.unread.is_empty(),
                "messages that no test has read: {:?}",
                self.unread
            );
        }
    }
}

/// The binary under test; built once a process.
pub fn binary() -> PathBuf {
    static BINARY: LazyLock<PathBuf> = LazyLock::new(built);
    BINARY.clone()
}

fn built() -> PathBuf {
    if let Some(path) = env::var_os("INFILL_BIN") {
        return PathBuf::from(path);
    }
    let output = Command::new(env!("CARGO"))
        .args(["build", "--package=infill", "--message-format=json"])
        .current_dir(tidy::root())
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo runs where its tests run");
    assert!(output.status.success(), "infill does not build");
    let messages = String::from_utf8_lossy(&output.stdout);
    let executable = messages.lines().rev().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    });
    executable.expect("a build names its executable")
}

/// LSP wants `params` left out where a message has none.
fn with_params(mut message: Value, params: Value) -> Value {
    if !params.is_null() {
        message["params"] = params;
    }
    message
}

/// The next message, or nothing at the end of the stream.
fn read(output: &mut BufReader<ChildStdout>) -> Option<Value> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if output.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().ok()?
            }
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    output.read_exact(&mut body).ok()?;
    Some(serde_json::from_slice(&body).expect("the server writes JSON"))
}
