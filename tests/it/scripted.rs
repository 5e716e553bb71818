//! An OpenAI-compatible server that answers as a test tells it: well, badly, slowly, or not at all.
//!
//! Takes what to reply to each request, gives an address, and remembers what was asked and how much at once.
//! [`Tls`] stands in front of such a server, for tests of who is trusted.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::tidy;

/// What came.
#[derive(Debug, Clone)]
pub struct Asked {
    /// How many came before it.
    pub number: usize,
    /// The path.
    pub path: String,
    /// The header `authorization`, if there was one.
    pub key: Option<String>,
    /// The body; null if there was none.
    pub body: Value,
    /// When.
    pub at: Instant,
}

impl Asked {
    /// All that the model is to read.
    pub fn text(&self) -> String {
        let messages = self.body["messages"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let contents = messages
            .iter()
            .filter_map(|message| message["content"].as_str());
        let prompt = self.body["prompt"].as_str();
        contents.chain(prompt).collect::<Vec<_>>().join("\n")
    }
}

/// What is replied.
#[derive(Debug, Clone)]
pub enum Reply {
    /// An answer of a model in this text.
    Says(String),
    /// A status, further headers, and a body.
    Status(u16, Vec<(&'static str, String)>, String),
    /// These bytes, after which the connection is closed.
    Raw(&'static [u8]),
    /// Nothing until so much time has passed or the client has gone, then this.
    Late(Duration, Box<Reply>),
}

impl Reply {
    /// A status with a body.
    pub fn status(status: u16, body: &str) -> Reply {
        Reply::Status(status, Vec::new(), body.to_owned())
    }
}

/// A running server. Its threads end with the process.
pub struct Scripted {
    /// Its address, as for `--endpoint`.
    pub url: String,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    models: Vec<String>,
    asked: Mutex<Vec<Asked>>,
    under_way: AtomicUsize,
    most_under_way: AtomicUsize,
    left: AtomicUsize,
}

impl Scripted {
    /// Starts one that replies so to everything but the list of models, which names one.
    pub fn start(reply: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Scripted {
        Scripted::with_models(&["scripted"], reply)
    }

    /// Starts one that lists these models.
    pub fn with_models(
        models: &[&str],
        reply: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
    ) -> Scripted {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(State {
            models: models.iter().map(|&model| model.to_owned()).collect(),
            ..State::default()
        });
        let reply = Arc::new(reply);
        let server = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (state, reply) = (Arc::clone(&server), Arc::clone(&reply));
                thread::spawn(move || {
                    // A client that leaves is a part of some tests.
                    let _ = state.serve(stream, &*reply);
                });
            }
        });
        Scripted { url, state }
    }

    /// What was asked of the model so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.state.asked.lock().unwrap().clone()
    }

    /// The most requests that were under way at once.
    pub fn most_at_once(&self) -> usize {
        self.state.most_under_way.load(Ordering::SeqCst)
    }

    /// How many requests are under way.
    pub fn under_way(&self) -> usize {
        self.state.under_way.load(Ordering::SeqCst)
    }

    /// How many clients left before they were answered.
    pub fn left(&self) -> usize {
        self.state.left.load(Ordering::SeqCst)
    }
}

/// TLS in front of a server of this machine.
pub struct Tls {
    /// Its address; its certificate is one that `tests/data/tls/ca.pem` vouches for.
    pub url: String,
    process: Child,
}

impl Tls {
    /// Starts it in front of the server at this address.
    pub fn before(url: &str) -> Tls {
        let port = url.rsplit(':').next().unwrap();
        let mut process = Command::new("python3")
            .args(["tests/it/tls.py", port])
            .current_dir(tidy::root())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut port = String::new();
        let output = process.stdout.take().unwrap();
        BufReader::new(output).read_line(&mut port).unwrap();
        Tls {
            url: format!("https://localhost:{}", port.trim()),
            process,
        }
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl State {
    fn serve(&self, stream: TcpStream, reply: &dyn Fn(&Asked) -> Reply) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let (mut key, mut length) = (None, 0);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim().split_once(':') else {
                break;
            };
            match name.to_ascii_lowercase().as_str() {
                "authorization" => key = Some(value.trim().to_owned()),
                "content-length" => length = value.trim().parse().unwrap_or(0),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let is_models = path.ends_with("/models");
        let mut asked = self.asked.lock().unwrap();
        let one = Asked {
            number: asked.len(),
            path,
            key,
            body: serde_json::from_slice(&body).unwrap_or_default(),
            at: Instant::now(),
        };
        if is_models {
            drop(asked);
            let models = self.models.iter().map(|model| json!({ "id": model }));
            let models = json!({ "object": "list", "data": models.collect::<Vec<_>>() });
            return write(&stream, 200, &[], &models.to_string());
        }
        asked.push(one.clone());
        drop(asked);
        let under_way = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_under_way.fetch_max(under_way, Ordering::SeqCst);
        let sent = self.send(&stream, &one, reply(&one));
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        sent
    }

    fn send(&self, mut stream: &TcpStream, asked: &Asked, reply: Reply) -> std::io::Result<()> {
        match reply {
            Reply::Says(text) => {
                let (object, said) = match asked.path.ends_with("/chat/completions") {
                    true => ("message", json!({ "role": "assistant", "content": text })),
                    false => ("text", json!(text)),
                };
                let answer = json!({
                    "choices": [{ "index": 0, object: said, "finish_reason": "stop" }],
                    "usage": { "prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16 },
                });
                write(stream, 200, &[], &answer.to_string())
            }
            Reply::Status(status, headers, body) => write(stream, status, &headers, &body),
            Reply::Raw(bytes) => stream.write_all(bytes),
            Reply::Late(wait, reply) => {
                stream.set_read_timeout(Some(wait))?;
                // The client has nothing more to say, so that reading ends when it leaves or when the time is over.
                if matches!(stream.read(&mut [0]), Ok(0)) {
                    self.left.fetch_add(1, Ordering::SeqCst);
                    return Ok(());
                }
                self.send(stream, asked, *reply)
            }
        }
    }
}

fn write(
    mut stream: &TcpStream,
    status: u16,
    headers: &[(&str, String)],
    body: &str,
) -> std::io::Result<()> {
    let length = body.len();
    let mut head = format!(
        "HTTP/1.1 {status} As told\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n"
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n{body}").as_bytes())
}
