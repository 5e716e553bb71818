//! `infill model pull` against a hub of our own on this machine.
//!
//! Takes the built binary and a thread that answers like the hub, with faults on demand: a connection that is cut, a
//! wrong file, a refusal. Fails with what the store holds then.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

use crate::{harness, tidy};

const SHA256: &str = "4c207598af7a20db0e3334dd044399a40e467cb81b37f7ba05a4f76dcbd8fd59";
const GIT: &str = "0967ef424bce6791893e9a57bb952f80fd536e93";

/// How the hub treats the weights, or everything.
#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Good,
    /// Sends half of the rest, then closes.
    Cut,
    /// Sends other bytes than it promised.
    Wrong,
    Refuse(u16),
}

struct Hub {
    address: String,
    mood: Arc<Mutex<Mood>>,
    /// The first byte that each request for the weights asked for.
    starts: Arc<Mutex<Vec<usize>>>,
    store: PathBuf,
}

impl Hub {
    fn start(name: &str, mood: Mood) -> Hub {
        let store = tidy::root().join("target/pull").join(name);
        let _ = fs::remove_dir_all(&store);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let hub = Hub {
            address: format!("http://{}", listener.local_addr().expect("it is bound")),
            mood: Arc::new(Mutex::new(mood)),
            starts: Arc::default(),
            store,
        };
        let (mood, starts) = (Arc::clone(&hub.mood), Arc::clone(&hub.starts));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mood = *mood.lock().unwrap();
                let _ = answer(stream, mood, &starts);
            }
        });
        hub
    }

    fn infill(&self, arguments: &[&str]) -> Output {
        Command::new(harness::binary())
            .args(["model"])
            .args(arguments)
            .arg("--store")
            .arg(&self.store)
            .env("INFILL_ENDPOINT", &self.address)
            .output()
            .expect("the built binary starts")
    }

    fn pull(&self) -> Output {
        self.infill(&["pull", "codegeex4-all-9b"])
    }

    fn listed(&self) -> Value {
        serde_json::from_slice(&self.infill(&["list", "--json"]).stdout).expect("it is JSON")
    }
}

fn answer(mut stream: TcpStream, mood: Mood, starts: &Mutex<Vec<usize>>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().unwrap_or(Ok(String::new()))?;
    let mut start = 0;
    for line in lines {
        let line = line?.to_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(range) = line.strip_prefix("range: bytes=") {
            start = range.trim_end_matches('-').parse().unwrap_or(0);
        }
    }
    let path = request.split(' ').nth(1).unwrap_or_default();
    if let Mood::Refuse(status) = mood {
        return write!(
            stream,
            "HTTP/1.1 {status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
    }
    let body = if path.starts_with("/api/models/THUDM/codegeex4-all-9b/revision/main") {
        json!({ "_id": "1", "sha": "abc123", "cardData": { "license": "other" }, "siblings": [
            { "rfilename": "config.json", "size": 3, "blobId": GIT },
            { "rfilename": "model.safetensors", "size": 10000, "blobId": "0", "lfs": { "sha256": SHA256, "size": 10000 } },
            { "rfilename": "../evil.bin", "size": 1, "blobId": "0" },
            { "rfilename": "README.md", "size": 1, "blobId": "0" },
        ] })
        .to_string()
        .into_bytes()
    } else if path.ends_with("/resolve/abc123/config.json") {
        b"{}\n".to_vec()
    } else if path.ends_with("/resolve/abc123/model.safetensors") {
        starts.lock().unwrap().push(start);
        let whole = if mood == Mood::Wrong {
            b"9876543210"
        } else {
            b"0123456789"
        }
        .repeat(1000);
        whole[start..].to_vec()
    } else {
        return write!(
            stream,
            "HTTP/1.1 404 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
    };
    let status = if start > 0 {
        "206 Partial Content"
    } else {
        "200 OK"
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    let is_cut = mood == Mood::Cut && path.ends_with("safetensors");
    stream.write_all(&body[..if is_cut { length / 2 } else { length }])
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn what_was_pulled_is_whole_listed_and_verified() {
    let hub = Hub::start("whole", Mood::Good);
    let output = hub.pull();
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("registration"), "{}", said(&output));
    let list = hub.listed();
    assert_eq!(list[0]["name"], "codegeex4-all-9b");
    assert_eq!(list[0]["revision"], "abc123");
    let folder = Path::new(&hub.store).join("codegeex4-all-9b");
    assert!(
        fs::read_to_string(folder.join("INFILL-LICENCE.txt"))
            .unwrap()
            .contains("registration")
    );
    assert!(!folder.join("README.md").exists());
    assert!(hub.infill(&["verify", "codegeex4-all-9b"]).status.success());
    fs::write(folder.join("config.json"), "{ }").unwrap();
    assert!(!hub.infill(&["verify", "codegeex4-all-9b"]).status.success());
    assert!(
        !hub.infill(&["remove", "codegeex4-all-9b"]).status.success(),
        "nobody said --yes"
    );
    assert!(
        hub.infill(&["remove", "codegeex4-all-9b", "--yes"])
            .status
            .success()
    );
    assert_eq!(hub.listed(), json!([]));
}

#[test]
fn a_cut_connection_goes_on_where_it_was_cut() {
    let hub = Hub::start("cut", Mood::Cut);
    let output = hub.pull();
    // Each connection brings half of the rest, so this one pull gets to the end of the file's last byte but one.
    let starts = hub.starts.lock().unwrap().clone();
    assert!(
        starts.len() > 2 && starts.windows(2).all(|pair| pair[0] <= pair[1]),
        "{starts:?}"
    );
    assert_eq!(starts[1], 5000);
    assert!(!output.status.success());
    assert_eq!(hub.listed(), json!([]), "half a model is none");
    *hub.mood.lock().unwrap() = Mood::Good;
    let output = hub.pull();
    assert!(output.status.success(), "{}", said(&output));
    assert!(hub.starts.lock().unwrap().last() > Some(&9000));
    assert_eq!(hub.listed()[0]["name"], "codegeex4-all-9b");
}

#[test]
fn a_wrong_file_is_refused() {
    let hub = Hub::start("wrong", Mood::Wrong);
    let output = hub.pull();
    assert!(!output.status.success());
    assert!(said(&output).contains("checksum"), "{}", said(&output));
    assert_eq!(hub.listed(), json!([]));
}

#[test]
fn refusals_say_what_to_do() {
    for (status, hint) in [(401, "HF_TOKEN"), (404, "--revision")] {
        let hub = Hub::start(&format!("refuse{status}"), Mood::Refuse(status));
        let output = hub.pull();
        assert!(!output.status.success());
        assert!(said(&output).contains(hint), "{}", said(&output));
    }
}
