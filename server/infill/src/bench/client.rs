//! A small LSP client that talks to a server over its standard streams.
//!
//! Written apart from the server's own protocol code, so that a bench sees what an editor sees, of any server. A thread
//! of its own reads and notes when each message came, so that an answer's time does not hang on when it is looked at.
//! Notifications from the server are passed over and its requests answered with null, as a plain client does.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use serde_json::{Value, json};
use text::Encoding;

/// How long an answer may take before the bench gives up.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How often a server that is still loading its model is asked again.
const READY_INTERVAL: Duration = Duration::from_millis(20);

/// How long a server may take to end.
const FAREWELL: Duration = Duration::from_secs(10);

/// A server process and the way to talk to it.
pub struct Client {
    server: Child,
    input: ChildStdin,
    messages: Receiver<(Instant, Value)>,
    requests: u64,
    encoding: Encoding,
    has_status: bool,
}

/// The answer to a request.
#[derive(Debug)]
pub struct Answer {
    /// The request.
    pub id: u64,
    /// When it came.
    pub at: Instant,
    /// The result, or the error object.
    pub result: Result<Value, Value>,
}

impl Client {
    /// Starts a server and waits until it is ready, for one that can say so.
    ///
    /// # Errors
    /// If it does not start, or says that it cannot load its model.
    pub fn start(mut command: Command) -> anyhow::Result<Client> {
        let mut server = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start the server, {command:?}"))?;
        let (input, output) = server
            .stdin
            .take()
            .zip(server.stdout.take())
            .context("the server was started without pipes")?;
        let (sender, messages) = channel();
        thread::Builder::new()
            .name("infill-bench-reader".to_owned())
            .spawn(move || read_all(BufReader::new(output), &sender))
            .context("cannot start a thread to read the server's answers")?;
        let mut client = Client {
            server,
            input,
            messages,
            requests: 0,
            encoding: Encoding::Utf16,
            has_status: false,
        };
        client.shake_hands()?;
        Ok(client)
    }

    /// How columns are counted.
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The server's process.
    pub fn process(&self) -> u32 {
        self.server.id()
    }

    /// What the server says of itself, if it is one that does.
    pub fn status(&mut self) -> anyhow::Result<Option<Value>> {
        let status = self
            .has_status
            .then(|| self.request("infill/status", Value::Null));
        status.transpose()
    }

    /// Sends a request and waits for its result; answers to others are passed over.
    pub fn request(&mut self, method: &str, params: Value) -> anyhow::Result<Value> {
        match self.ask(method, params)? {
            Ok(result) => Ok(result),
            Err(error) => bail!("the server answered {method} with an error: {error}"),
        }
    }

    /// Sends a notification and, right behind it, a request; gives the request's id.
    pub fn send(
        &mut self,
        notification: Option<(&str, Value)>,
        (method, params): (&str, Value),
    ) -> anyhow::Result<u64> {
        self.requests += 1;
        let id = self.requests;
        let mut bytes = Vec::new();
        if let Some((method, params)) = notification {
            frame(
                &mut bytes,
                &json!({ "jsonrpc": "2.0", "method": method, "params": params }),
            );
        }
        frame(
            &mut bytes,
            &json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }),
        );
        self.write(&bytes)?;
        Ok(id)
    }

    /// Sends a notification.
    pub fn notify(&mut self, method: &str, params: Value) -> anyhow::Result<()> {
        let mut bytes = Vec::new();
        frame(
            &mut bytes,
            &json!({ "jsonrpc": "2.0", "method": method, "params": params }),
        );
        self.write(&bytes)
    }

    /// Waits for the next answer, so long at most.
    pub fn answer(&mut self, wait: Duration) -> anyhow::Result<Option<Answer>> {
        let until = Instant::now() + wait;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let (at, message) = match self.messages.recv_timeout(left) {
                Ok(message) => message,
                Err(RecvTimeoutError::Timeout) => return Ok(None),
                Err(RecvTimeoutError::Disconnected) => bail!("the server has ended"),
            };
            if message.get("method").is_some() {
                self.answer_with_null(&message)?;
            } else if let Some(id) = message["id"].as_u64() {
                let result = match message.get("error") {
                    Some(error) => Err(error.clone()),
                    None => Ok(message.get("result").cloned().unwrap_or_default()),
                };
                return Ok(Some(Answer { id, at, result }));
            }
        }
    }

    /// Ends the server as an editor does.
    pub fn stop(mut self) -> anyhow::Result<()> {
        self.request("shutdown", Value::Null)?;
        self.notify("exit", Value::Null)?;
        let until = Instant::now() + FAREWELL;
        while Instant::now() < until {
            let ended = self
                .server
                .try_wait()
                .context("cannot wait for the server's end")?;
            match ended {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!("the server ended with {status}"),
                None => thread::sleep(Duration::from_millis(5)),
            }
        }
        bail!("the server was told to exit and did not")
    }

    fn shake_hands(&mut self) -> anyhow::Result<()> {
        let inline = json!({ "dynamicRegistration": false });
        let agreed = self.request(
            "initialize",
            json!({
                "processId": std::process::id(),
                "rootUri": null,
                "capabilities": {
                    "general": { "positionEncodings": ["utf-8", "utf-16"] },
                    "textDocument": { "inlineCompletion": inline },
                },
                "initializationOptions": { "infill": { "timings": true } },
            }),
        )?;
        self.encoding = match agreed["capabilities"]["positionEncoding"].as_str() {
            Some("utf-8") => Encoding::Utf8,
            Some("utf-16") | None => Encoding::Utf16,
            Some(other) => bail!("the server counts columns in {other}, which was not offered"),
        };
        self.notify("initialized", json!({}))?;
        loop {
            // Another server does not know the request, and says so with an error.
            let Ok(status) = self.ask("infill/status", Value::Null)? else {
                return Ok(());
            };
            self.has_status = true;
            match status["state"].as_str() {
                Some("ready") => return Ok(()),
                Some("loading") => thread::sleep(READY_INTERVAL),
                _ => bail!("the server cannot load its model: {}", status["message"]),
            }
        }
    }

    fn ask(&mut self, method: &str, params: Value) -> anyhow::Result<Result<Value, Value>> {
        let id = self.send(None, (method, params))?;
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let answer = self.answer(left)?;
            let answer = answer.ok_or_else(|| anyhow!("the server did not answer {method}"))?;
            if answer.id == id {
                return Ok(answer.result);
            }
        }
    }

    fn answer_with_null(&mut self, message: &Value) -> anyhow::Result<()> {
        let Some(id) = message.get("id") else {
            return Ok(());
        };
        // A list of settings was asked for one by one.
        let items = message["params"]["items"].as_array();
        let result = items.map_or(Value::Null, |items| vec![Value::Null; items.len()].into());
        let mut bytes = Vec::new();
        frame(
            &mut bytes,
            &json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        );
        self.write(&bytes)
    }

    fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let written = self
            .input
            .write_all(bytes)
            .and_then(|()| self.input.flush());
        written.context("the server closed its input")
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Reached with the server alive only when the bench failed; it must not outlive us.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn frame(bytes: &mut Vec<u8>, message: &Value) {
    let body = message.to_string();
    bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes());
}

/// Hands on every message, with its time, until the server closes its end or nobody listens.
fn read_all(mut output: impl BufRead, messages: &Sender<(Instant, Value)>) {
    while let Some(message) = read_message(&mut output) {
        if messages.send(message).is_err() {
            return;
        }
    }
}

fn read_message(output: &mut impl BufRead) -> Option<(Instant, Value)> {
    let mut length = None;
    loop {
        let mut line = String::new();
        if output.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end().split_once(':') {
            None if line.trim_end().is_empty() => break,
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().ok();
            }
            _ => {}
        }
    }
    let mut body = vec![0; length?];
    output.read_exact(&mut body).ok()?;
    let at = Instant::now();
    Some((at, serde_json::from_slice(&body).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_one_after_the_other_until_the_end() {
        let stream =
            "content-length: 7\r\nContent-Type: x\r\n\r\n{\"a\":1}Content-Length: 4\r\n\r\nnull";
        let (sender, messages) = channel();
        read_all(stream.as_bytes(), &sender);
        drop(sender);
        let read: Vec<Value> = messages.iter().map(|(_, message)| message).collect();
        assert_eq!(read, [json!({ "a": 1 }), Value::Null]);
    }
}
