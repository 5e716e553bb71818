//! A hub of models on this machine, for the tests of pulling: it answers like the real ones, with faults on demand.
//!
//! Takes what it holds and its mood, gives what it was asked and the built binary's view of it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{harness, tidy};

/// The model that is pulled, its repository, and its weights' name.
pub const NAME: &str = "codegeex4-all-9b";
pub const REPOSITORY: &str = "zai-org/codegeex4-all-9b";
pub const WEIGHTS: &str = "model.safetensors";

/// Git's checksum of [`CONFIG`].
const GIT: &str = "0967ef424bce6791893e9a57bb952f80fd536e93";
const CONFIG: &[u8] = b"{}\n";

/// How the hub treats the files in large file storage, or everything.
#[derive(Clone, PartialEq)]
pub enum Mood {
    Good,
    /// Sends half of the rest, then closes.
    Cut,
    /// Sends other bytes than it promised.
    Wrong,
    /// Sends the whole file whatever was asked for.
    Whole,
    /// Sends nothing until the mood is another.
    Hold,
    Refuse(u16),
    RefuseFiles(u16),
    /// Large files are at this address.
    Moved(String),
}

/// What the hub holds, how it feels, and what it was asked.
pub struct State {
    pub mood: Mood,
    pub revision: &'static str,
    pub large: Vec<(&'static str, Vec<u8>)>,
    pub modelscope: bool,
    pub asked: Vec<Asked>,
}

#[derive(Clone, Debug)]
pub struct Asked {
    pub path: String,
    pub start: usize,
    pub token: Option<String>,
}

pub struct Hub {
    pub address: String,
    pub state: Arc<Mutex<State>>,
    pub home: PathBuf,
}

impl Hub {
    pub fn start(name: &str, mood: Mood) -> Hub {
        let home = tidy::root().join("target/pull").join(name);
        let _ = fs::remove_dir_all(&home);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let hub = Hub {
            address: format!("http://{}", listener.local_addr().expect("it is bound")),
            state: Arc::new(Mutex::new(State {
                mood,
                revision: "abc123",
                large: vec![(WEIGHTS, b"0123456789".repeat(1000))],
                modelscope: false,
                asked: Vec::new(),
            })),
            home,
        };
        let state = Arc::clone(&hub.state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&state);
                thread::spawn(move || answer(stream, &state));
            }
        });
        hub
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics with it held")
    }

    /// `infill` with this store, asking this hub, with nothing of the user's environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(harness::binary());
        command.args(arguments).env("INFILL_HOME", &self.home);
        for name in ["HF_ENDPOINT", "HF_TOKEN", "INFILL_TOKEN"] {
            command.env_remove(name);
        }
        command.env("INFILL_ENDPOINT", &self.address);
        command
    }

    pub fn infill(&self, arguments: &[&str]) -> Output {
        self.command(arguments)
            .output()
            .expect("the built binary starts")
    }

    pub fn pull(&self) -> Output {
        self.infill(&["model", "pull", NAME])
    }

    pub fn pulled(&self) {
        let output = self.pull();
        assert!(output.status.success(), "{}", said(&output));
    }

    /// Pulls and fails; gives why.
    pub fn fails(&self) -> String {
        let output = self.pull();
        assert!(!output.status.success());
        said(&output)
    }

    pub fn listed(&self) -> Value {
        let output = self.infill(&["model", "list", "--json"]);
        serde_json::from_slice(&output.stdout).expect("it is JSON")
    }

    pub fn models(&self) -> PathBuf {
        self.home.join("models")
    }

    /// Whether `model verify` finds every file as it came. That these weights are none is another matter.
    pub fn is_as_pulled(&self) -> bool {
        let output = self.infill(&["model", "verify", NAME]);
        String::from_utf8_lossy(&output.stdout).contains("all as they were pulled")
    }

    /// The names of a model's files; none if it has no folder.
    pub fn files(&self, folder: &str) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.models().join(folder))
            .into_iter()
            .flatten()
            .map(|entry| {
                entry
                    .expect("it can be read")
                    .file_name()
                    .into_string()
                    .expect("names are ASCII")
            })
            .collect();
        names.sort();
        names
    }

    /// What was asked for whose path ends so.
    pub fn asked(&self, end: &str) -> Vec<Asked> {
        let state = self.state();
        let such = state.asked.iter().filter(|asked| asked.path.ends_with(end));
        such.cloned().collect()
    }
}

fn answer(mut stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().unwrap_or(Ok(String::new()))?;
    let mut asked = Asked {
        path: request.split(' ').nth(1).unwrap_or_default().to_owned(),
        start: 0,
        token: None,
    };
    for line in lines {
        let line = line?.to_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(range) = line.strip_prefix("range: bytes=") {
            asked.start = range.trim_end_matches('-').parse().unwrap_or(0);
        }
        if let Some(token) = line.strip_prefix("authorization: bearer ") {
            asked.token = Some(token.to_owned());
        }
    }
    state
        .lock()
        .expect("no test panics with it held")
        .asked
        .push(asked.clone());
    while state.lock().expect("no test panics with it held").mood == Mood::Hold
        && asked.path.ends_with(WEIGHTS)
    {
        thread::sleep(Duration::from_millis(5));
    }
    let state = state.lock().expect("no test panics with it held");
    let mut reply = |status: &str, headers: &str, length: usize, body: &[u8]| {
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{headers}Connection: close\r\n\r\n"
        )?;
        stream.write_all(body)
    };
    let is_file = asked.path.contains("/resolve/");
    match state.mood {
        Mood::Refuse(status) => return reply(&format!("{status} No"), "", 0, b""),
        Mood::RefuseFiles(status) if is_file => {
            return reply(&format!("{status} No"), "", 0, b"");
        }
        _ => {}
    }
    if !is_file {
        let body = description(&state, &asked.path);
        return match body {
            Some(body) => {
                let body = body.to_string();
                reply("200 OK", "", body.len(), body.as_bytes())
            }
            None => reply("404 No", "", 0, b""),
        };
    }
    if asked.path.ends_with("/config.json") {
        return reply("200 OK", "", CONFIG.len(), CONFIG);
    }
    let Some((_, whole)) = state
        .large
        .iter()
        .find(|(name, _)| asked.path.ends_with(&format!("/{name}")))
    else {
        return reply("404 No", "", 0, b"");
    };
    if let Mood::Moved(place) = &state.mood
        && !asked.path.starts_with("/elsewhere")
    {
        let headers = format!("Location: {place}/elsewhere{}\r\n", asked.path);
        return reply("302 Found", &headers, 0, b"");
    }
    let mut rest = whole[asked.start..].to_vec();
    match state.mood {
        Mood::Wrong => rest.reverse(),
        Mood::Whole => return reply("200 OK", "", whole.len(), whole),
        Mood::Cut => {
            return reply(
                "206 Partial Content",
                "",
                rest.len(),
                &rest[..rest.len() / 2],
            );
        }
        _ => {}
    }
    let status = if asked.start > 0 {
        "206 Partial Content"
    } else {
        "200 OK"
    };
    reply(status, "", rest.len(), &rest)
}

/// What the hub says of the repository under this address, in the dialect that it speaks.
fn description(state: &State, path: &str) -> Option<Value> {
    let hash = |bytes: &[u8]| {
        let bytes = Sha256::digest(bytes);
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    if state.modelscope {
        let model = "/api/v1/models/ZhipuAI/codegeex4-all-9b";
        let file = |name: &str, bytes: &[u8]| json!({ "Type": "blob", "Path": name, "Size": bytes.len(), "Sha256": hash(bytes) });
        if path == model {
            return Some(json!({ "Code": 200, "Data": { "License": "other" } }));
        }
        let large = state.large.iter().map(|(name, bytes)| file(name, bytes));
        let files: Vec<Value> = large.chain([file("config.json", CONFIG)]).collect();
        return (path == format!("{model}/repo/files?Revision=master&Recursive=true"))
            .then(|| json!({ "Code": 200, "Data": { "Files": files } }));
    }
    let large = state.large.iter().map(|(name, bytes)| {
        json!({ "rfilename": name, "size": bytes.len(), "blobId": "0",
            "lfs": { "sha256": hash(bytes), "size": bytes.len() } })
    });
    let mut files: Vec<Value> = large.collect();
    files.extend([
        json!({ "rfilename": "config.json", "size": 3, "blobId": GIT }),
        json!({ "rfilename": "../evil.json", "size": 1, "blobId": "0" }),
        json!({ "rfilename": "original/model.safetensors", "size": 1, "blobId": "0" }),
        json!({ "rfilename": "README.md", "size": 1, "blobId": "0" }),
    ]);
    (path == format!("/api/models/{REPOSITORY}/revision/main?blobs=true")).then(|| {
        json!({ "_id": "1", "sha": state.revision, "cardData": { "license": "other" },
            "siblings": files })
    })
}

pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
