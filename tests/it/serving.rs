//! `infill serve` as its clients see it: what OpenAI's and llama.cpp's clients ask, who may ask, and leaving early.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{harness, tidy};

/// The model has more than a few tokens to say to this.
const PROMPT: &str = "def area(width, height):\n    ";

/// A server of this test's own.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub address: String,
}

impl Server {
    /// Starts it, in the folder of the model `pairs.gguf`.
    pub fn start(arguments: &[&str]) -> Server {
        Server::start_with_token(arguments, None)
    }

    /// Starts it so that it wants this token of its clients.
    pub fn start_with_token(arguments: &[&str], token: Option<&str>) -> Server {
        let mut command = Command::new(harness::binary());
        command
            .args(["serve", "--port", "0"])
            .args(arguments)
            .current_dir(tidy::root().join("tests/data/translate"))
            .env_remove("INFILL_SERVE_TOKEN")
            .stdout(Stdio::piped());
        if let Some(token) = token {
            command.env("INFILL_SERVE_TOKEN", token);
        }
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let (_, address) = line.trim().split_once("http://").unwrap();
        Server {
            address: address.to_owned(),
            child,
        }
    }

    /// Sends a request; what follows its head can be read.
    fn send(&self, head: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let length = body.len();
        let request =
            format!("{head}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }

    /// The status and the body.
    pub fn ask_with(&self, method: &str, path: &str, headers: &str, body: &str) -> (u16, String) {
        let host = if headers.contains("Host:") {
            String::new()
        } else {
            format!("\r\nHost: {}", self.address)
        };
        let head =
            format!("{method} {path} HTTP/1.1{host}\r\nContent-Type: application/json{headers}");
        let mut answer = String::new();
        self.send(&head, body).read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body.to_owned())
    }

    /// The same of a path that takes no body.
    pub fn get(&self, path: &str) -> (u16, String) {
        self.ask_with("GET", path, "", "")
    }

    /// The status, and the body as JSON.
    pub fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let (status, body) = self.ask_with("POST", path, "", &body.to_string());
        (status, serde_json::from_str(&body).unwrap())
    }

    fn completion(&self, more: Value) -> Value {
        let mut body = json!({ "prompt": PROMPT, "max_tokens": 24, "temperature": 0 });
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let (status, answer) = self.post("/v1/completions", &body);
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// A figure of `/metrics`.
    pub fn figure(&self, name: &str) -> f64 {
        let (_, text) = self.get("/metrics");
        let line = text
            .lines()
            .find(|line| line.starts_with(&format!("{name} ")));
        line.unwrap().rsplit_once(' ').unwrap().1.parse().unwrap()
    }
}

#[cfg(unix)]
impl Server {
    /// Tells it to end; how it did.
    pub fn end(&mut self) -> std::process::ExitStatus {
        let told = Command::new("kill")
            .arg(self.child.id().to_string())
            .status()
            .unwrap();
        assert!(told.success());
        self.child.wait().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(answer: &Value) -> &str {
    answer["choices"][0]["text"].as_str().unwrap()
}

#[test]
fn a_completion_is_that_of_the_command_line_and_stops_where_it_should() {
    let server = Server::start(&[]);
    let answer = server.completion(json!({}));
    let generated = Command::new(harness::binary())
        .args(["generate", "--max-tokens", "24", "--prompt", PROMPT])
        .output()
        .unwrap();
    let whole = text(&answer).to_owned();
    assert_eq!(
        whole.trim_end(),
        String::from_utf8(generated.stdout).unwrap().trim_end()
    );
    assert!(whole.chars().count() >= 3, "{whole}");

    let middle: String = whole.chars().skip(2).take(2).collect();
    let stopped = server.completion(json!({ "stop": [middle] }));
    assert_eq!(text(&stopped), whole.split(&middle).next().unwrap());
    assert_eq!(stopped["choices"][0]["finish_reason"], "stop");
    assert_eq!(
        answer["usage"]["total_tokens"],
        answer["usage"]["prompt_tokens"].as_u64().unwrap()
            + answer["usage"]["completion_tokens"].as_u64().unwrap()
    );
}

#[test]
fn what_is_drawn_depends_on_the_seed_alone() {
    let server = Server::start(&[]);
    let draw = |seed: u64, n: u64| {
        let answer = server.completion(json!({ "temperature": 1.0, "seed": seed, "n": n }));
        let choices = answer["choices"].as_array().unwrap().clone();
        choices
            .iter()
            .map(|choice| choice["text"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let first = draw(7, 2);
    assert_eq!(first, draw(7, 2));
    assert_ne!(first[0], first[1]);
    assert_ne!(first, draw(8, 2));
}

#[test]
fn a_stream_gives_the_same_text_in_pieces() {
    let server = Server::start(&[]);
    let whole = server.completion(json!({}));
    let body = json!({ "prompt": PROMPT, "max_tokens": 24, "temperature": 0, "stream": true });
    let (status, events) = server.ask_with("POST", "/v1/completions", "", &body.to_string());
    assert_eq!(status, 200);
    let data: Vec<&str> = events
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .collect();
    assert_eq!(data.last(), Some(&"[DONE]"));
    let pieces: Vec<Value> = data[..data.len() - 1]
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(pieces.len() > 3, "{events}");
    assert_eq!(pieces.iter().map(text).collect::<String>(), text(&whole));
}

#[test]
fn a_conversation_is_answered_by_a_model_that_chats() {
    let server = Server::start(&["--model", "pairs.gguf"]);
    let code = "def parking_fee(hours):\n    if hours <= 1:\n        return 0\n    if hours < 8:\n        return 3 * (hours - 1)\n    return 24";
    let system = "You are a programming assistant. Translate the code that you are given into JavaScript, so that it does the same and reads as JavaScript usually does. Answer with the code only.";
    let body = json!({ "temperature": 0, "messages": [
        { "role": "system", "content": system },
        { "role": "user", "content": format!("```python\n{code}\n```\nTranslate this code into JavaScript.") },
    ]});
    let (status, answer) = server.post("/v1/chat/completions", &body);
    assert_eq!(status, 200, "{answer}");
    let said = answer["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(
        said.contains("```javascript\nfunction parkingFee(hours) {"),
        "{said}"
    );
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");

    let server = Server::start(&[]);
    let (status, answer) = server.post("/v1/chat/completions", &body);
    let why = answer["error"]["message"].as_str().unwrap();
    assert!(status == 400 && why.contains("cannot chat"), "{answer}");
}

#[test]
fn what_is_wrong_with_a_request_is_named() {
    let server = Server::start(&[]);
    let long = "x = 1\n".repeat(4000);
    for (path, body, told) in [
        ("/v1/completions", "{".to_owned(), "JSON"),
        ("/v1/completions", "[]".to_owned(), "object"),
        (
            "/v1/completions",
            json!({ "prompt": 3 }).to_string(),
            "`prompt`",
        ),
        (
            "/v1/completions",
            json!({ "prompt": "x", "temperature": -1 }).to_string(),
            "temperature",
        ),
        (
            "/v1/completions",
            json!({ "prompt": "x", "top_p": 7 }).to_string(),
            "top_p",
        ),
        (
            "/v1/completions",
            json!({ "prompt": "x", "n": 0 }).to_string(),
            "`n`",
        ),
        (
            "/v1/chat/completions",
            json!({ "messages": [] }).to_string(),
            "message",
        ),
        (
            "/v1/chat/completions",
            json!({ "messages": [{ "role": "king", "content": "x" }] }).to_string(),
            "role",
        ),
        (
            "/infill",
            json!({ "input_prefix": 1 }).to_string(),
            "input_prefix",
        ),
        (
            "/v1/completions",
            json!({ "prompt": long }).to_string(),
            "1024",
        ),
    ] {
        let (status, answer) = server.ask_with("POST", path, "", &body);
        assert!(
            status == 400 && answer.contains(told),
            "{path} {}: {status} {answer}",
            &body[..body.len().min(80)]
        );
    }
    assert_eq!(server.get("/nowhere").0, 404);
    assert_eq!(server.get("/v1/completions").0, 405);
}

#[test]
fn the_place_between_two_texts_is_filled() {
    let server = Server::start(&[]);
    let body = json!({
        "input_prefix": "def area(width, height):\n    ret", "input_suffix": "\n\nprint(area(2, 3))\n", "filename": "a.py",
        "n_predict": 16, "input_extra": [{ "filename": "b.py", "text": "x = 1\n" }], "cache_prompt": true, "samplers": ["top_k"],
    });
    let (status, answer) = server.post("/infill", &body);
    assert!(
        status == 200 && answer["content"].is_string() && answer["stop"] == true,
        "{answer}"
    );
    assert_eq!(
        server.post("/infill", &body).1["content"],
        answer["content"],
        "it is greedy"
    );
}

#[test]
fn web_pages_and_strangers_are_refused() {
    let server = Server::start(&[]);
    let status = |headers: &str| server.ask_with("GET", "/v1/models", headers, "").0;
    assert_eq!(status(""), 200);
    assert_eq!(status("\r\nOrigin: http://localhost:3000"), 200);
    assert_eq!(status("\r\nOrigin: http://evil.example"), 403);
    assert_eq!(status("\r\nHost: evil.example"), 403);

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "a-token-of-some-length\n").unwrap();
    let server = Server::start(&["--token-file", &file.display().to_string()]);
    let status = |path: &str, headers: &str| server.ask_with("GET", path, headers, "").0;
    assert_eq!(status("/health", ""), 200);
    assert_eq!(status("/v1/models", ""), 401);
    assert_eq!(
        status(
            "/v1/models",
            "\r\nAuthorization: Bearer a-token-of-some-lengtH"
        ),
        401
    );
    assert_eq!(
        status(
            "/v1/models",
            "\r\nAuthorization: Bearer a-token-of-some-length"
        ),
        200
    );
    assert_eq!(status("/metrics", ""), 401);

    let open = Command::new(harness::binary())
        .args(["serve", "--host", "0.0.0.0", "--port", "0"])
        .output()
        .unwrap();
    let told = String::from_utf8(open.stderr).unwrap();
    assert!(
        open.status.code() == Some(1) && told.contains("--token-file"),
        "{told}"
    );
}

#[test]
fn a_client_that_leaves_ends_its_answer() {
    let server = Server::start(&["--model", "pairs.gguf"]);
    // Hot enough that it does not end by itself.
    let body = json!({ "stream": true, "max_tokens": 100_000, "temperature": 9.0, "n": 8,
        "messages": [{ "role": "user", "content": "x" }] });
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json",
        server.address
    );
    let mut stream = server.send(&head, &body.to_string());
    let mut first = [0; 64];
    stream.read_exact(&mut first).unwrap();
    drop(stream);
    let began = Instant::now();
    while server.figure("infill_jobs_running") > 0.0 || server.figure("infill_jobs_waiting") > 0.0 {
        assert!(began.elapsed() < Duration::from_secs(20), "it goes on");
        sleep(Duration::from_millis(20));
    }
    // To their ends, the eight answers would fill the context of 1024 tokens each.
    let written = server.figure("infill_time_per_token_seconds_count");
    assert!(written < 4000.0, "{written} tokens");
}

#[cfg(unix)]
#[test]
fn a_server_that_is_told_to_end_ends() {
    let mut server = Server::start(&[]);
    assert!(server.end().success());
    assert!(TcpStream::connect(&server.address).is_err());
}
