//! A small blocking LSP client that talks to a server over its standard streams.
//!
//! Written apart from the server's own protocol code, so that a bench sees what an editor sees.
//! One request at a time; notifications from the server are passed over and its requests answered
//! with null, as a plain client does.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use serde_json::{Value, json};

use crate::flags::ModelArgs;

/// How long an answer may take before the bench gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often a server that is still loading its model is asked again.
const READY_INTERVAL: Duration = Duration::from_millis(20);

/// A server process and the way to talk to it.
pub struct Client {
    server: Child,
    input: ChildStdin,
    messages: Receiver<Value>,
    requests: u64,
}

impl Client {
    /// Starts this program's own server and waits until its model is loaded.
    pub fn start(model: &ModelArgs) -> anyhow::Result<Client> {
        let program = std::env::current_exe().context("cannot tell which program this is")?;
        let mut command = Command::new(program);
        command.arg("lsp");
        if let Some(quant) = model.quant {
            command.arg("--quant").arg(quant.to_string());
        }
        if let Some(model) = &model.model {
            command.arg("--model").arg(model);
        }
        let mut server = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start `infill lsp`")?;
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
        };
        client.shake_hands()?;
        Ok(client)
    }

    /// Sends a request and waits for its result.
    pub fn request(&mut self, method: &str, params: Value) -> anyhow::Result<Value> {
        self.requests += 1;
        let id = self.requests;
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }))?;
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let message = self
                .messages
                .recv_timeout(left)
                .map_err(|_| anyhow!("the server did not answer {method}"))?;
            if message.get("method").is_some() {
                self.answer_with_null(&message)?;
            } else if message.get("id") == Some(&json!(id)) {
                if let Some(error) = message.get("error") {
                    bail!("the server answered {method} with an error: {error}");
                }
                return Ok(message.get("result").cloned().unwrap_or_default());
            }
        }
    }

    /// Sends a notification.
    pub fn notify(&mut self, method: &str, params: Value) -> anyhow::Result<()> {
        self.send(&json!({ "jsonrpc": "2.0", "method": method, "params": params }))
    }

    /// Ends the server as an editor does.
    pub fn stop(mut self) -> anyhow::Result<()> {
        self.request("shutdown", Value::Null)?;
        self.notify("exit", Value::Null)?;
        let status = self
            .server
            .wait()
            .context("cannot wait for the server's end")?;
        if !status.success() {
            bail!("the server ended with {status}");
        }
        Ok(())
    }

    fn shake_hands(&mut self) -> anyhow::Result<()> {
        let capabilities = json!({ "general": { "positionEncodings": ["utf-8"] } });
        self.request(
            "initialize",
            json!({
                "processId": std::process::id(),
                "rootUri": null,
                "capabilities": capabilities,
                "initializationOptions": { "infill": { "timings": true } },
            }),
        )?;
        self.notify("initialized", json!({}))?;
        loop {
            let status = self.request("infill/status", Value::Null)?;
            match status["state"].as_str() {
                Some("ready") => return Ok(()),
                Some("loading") => thread::sleep(READY_INTERVAL),
                _ => bail!("the server cannot load its model: {}", status["message"]),
            }
        }
    }

    fn answer_with_null(&mut self, message: &Value) -> anyhow::Result<()> {
        match message.get("id") {
            Some(id) => self.send(&json!({ "jsonrpc": "2.0", "id": id, "result": null })),
            None => Ok(()),
        }
    }

    fn send(&mut self, message: &Value) -> anyhow::Result<()> {
        let body = message.to_string();
        write!(self.input, "Content-Length: {}\r\n\r\n{body}", body.len())
            .and_then(|()| self.input.flush())
            .context("the server closed its input")
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Reached with the server alive only when the bench failed; it must not outlive us.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Hands on every message until the server closes its end or nobody listens.
fn read_all(mut output: impl BufRead, messages: &Sender<Value>) {
    while let Some(message) = read_message(&mut output) {
        if messages.send(message).is_err() {
            return;
        }
    }
}

fn read_message(output: &mut impl BufRead) -> Option<Value> {
    let mut length = None;
    loop {
        let mut line = String::new();
        if output.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            header => {
                if let Some(value) = header.strip_prefix("Content-Length:") {
                    length = value.trim().parse().ok();
                }
            }
        }
    }
    let mut body = vec![0; length?];
    output.read_exact(&mut body).ok()?;
    serde_json::from_slice(&body).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_one_after_the_other_until_the_end() {
        let stream =
            "Content-Length: 7\r\nContent-Type: x\r\n\r\n{\"a\":1}Content-Length: 4\r\n\r\nnull";
        let (sender, messages) = channel();
        read_all(stream.as_bytes(), &sender);
        drop(sender);
        assert_eq!(
            messages.iter().collect::<Vec<_>>(),
            [json!({ "a": 1 }), Value::Null]
        );
    }
}
