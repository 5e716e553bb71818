//! `infill serve` and clients that mean ill or know no better: requests too large, too slow, too deep or no requests at
//! all, answers that nobody reads, two hundred clients at once, and an end in mid-answer.
//!
//! Raw connections, since no HTTP client sends what is sent here.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::serving::Server;

/// A connection of which nothing is waited for longer than a busy machine may take.
fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(&server.address).unwrap();
    let patience = Some(Duration::from_secs(120));
    stream.set_read_timeout(patience).unwrap();
    stream
}

/// All that comes until the connection ends or breaks.
fn rest(mut stream: &TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => bytes.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(error) => panic!("the server neither answers nor leaves: {error}"),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn head(path: &str, length: usize) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n"
    )
}

/// Sends a request; its answer can be read.
fn send(server: &Server, path: &str, body: &[u8]) -> TcpStream {
    let mut stream = connect(server);
    let head = head(path, body.len()) + "\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    stream
}

/// The status of a response, and what its JSON says.
fn told(response: &str) -> (u16, Value) {
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap())
}

fn completion(server: &Server) -> (u16, Value) {
    let body = json!({ "prompt": "x = ", "max_tokens": 4, "temperature": 0 });
    let body = body.to_string();
    told(&rest(&send(server, "/v1/completions", body.as_bytes())))
}

/// A conversation that is answered many times and at length: hot enough that no answer ends by itself.
fn long(answers: usize) -> String {
    let messages = [json!({ "role": "user", "content": "x" })];
    json!({ "stream": true, "max_tokens": 100_000, "temperature": 9.0, "n": answers, "messages": messages }).to_string()
}

#[test]
fn what_is_no_request_is_refused_in_words() {
    let server = Server::start(&[]);
    let large = vec![b'x'; 9 << 20];
    let mut deep = br#"{"prompt":"#.to_vec();
    deep.extend([b'['; 100_000]);
    let cases: [(&[u8], u16, &str); 4] = [
        (&large, 413, "8 MiB"),
        (&deep, 400, "recursion limit"),
        (b"{\"prompt\":\"\xff\xfe\"}", 400, "no JSON"),
        (b"", 400, "no JSON"),
    ];
    for (body, wanted, words) in cases {
        for path in ["/v1/completions", "/v1/chat/completions", "/infill"] {
            let (status, answer) = told(&rest(&send(&server, path, body)));
            let error = &answer["error"];
            let message = error["message"].as_str().unwrap();
            assert!(
                status == wanted && message.contains(words),
                "{path}: {status} {answer}"
            );
            assert_eq!(error["type"], "invalid_request_error");
            assert_eq!(error["code"], wanted);
        }
    }
    assert_eq!(completion(&server).0, 200);
}

#[test]
fn a_text_that_nobody_types_is_answered() {
    let server = Server::start(&[]);
    for (unit, filename) in [("(\n", "a.py"), ("a.\n", "a.js"), ("[{\n", "a.go")] {
        let text = unit.repeat(400_000);
        let body = json!({ "input_prefix": text, "input_suffix": "", "filename": filename, "n_predict": 4 });
        let stream = send(&server, "/infill", body.to_string().as_bytes());
        let (status, answer) = told(&rest(&stream));
        assert!(
            status == 200 && answer["content"].is_string(),
            "{status} {answer}"
        );
    }
    assert_eq!(completion(&server).0, 200);
}

#[test]
fn a_body_that_would_be_too_large_need_not_be_sent() {
    let server = Server::start(&[]);
    let mut stream = connect(&server);
    let head = head("/v1/completions", 9 << 20) + "Expect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let (status, answer) = told(&rest(&stream));
    assert_eq!(status, 413, "{answer}");
}

#[test]
fn what_is_not_http_ends_the_connection() {
    let server = Server::start(&[]);
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"[..],
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: many\r\n\r\n",
        b"\0\0\0\0\0\0\0\0\r\n\r\n",
    ] {
        let mut stream = connect(&server);
        stream.write_all(bytes).unwrap();
        let answer = rest(&stream);
        let is_refused = answer.is_empty() || answer.starts_with("HTTP/1.1 4");
        assert!(is_refused, "{bytes:?}: {answer}");
    }
    let mut stream = connect(&server);
    let mut head = head("/health", 0);
    for number in 0..2000 {
        head += &format!("X-{number}: {}\r\n", "y".repeat(1000));
    }
    // It may well be left before it has said everything.
    let _ = stream.write_all((head + "\r\n").as_bytes());
    let answer = rest(&stream);
    assert!(answer.is_empty() || answer.contains(" 431 "), "{answer}");
    assert_eq!(completion(&server).0, 200);
}

#[test]
fn who_does_not_finish_the_head_of_a_request_is_left() {
    let server = Server::start(&[]);
    let silent: Vec<TcpStream> = (0..50).map(|_| connect(&server)).collect();
    let mut slow: Vec<TcpStream> = (0..50).map(|_| connect(&server)).collect();
    for stream in &mut slow {
        stream.write_all(b"GET /health HTTP/1.1\r\nX: ").unwrap();
    }
    assert_eq!(completion(&server).0, 200, "others are served meanwhile");
    for stream in silent.iter().chain(&slow) {
        let answer = rest(stream);
        assert!(!answer.contains(" 200 "), "{answer}");
    }
}

#[test]
fn who_does_not_read_its_answer_keeps_nobody_waiting_and_loses_nothing() {
    let server = Server::start(&["--model", "pairs.gguf"]);
    let stream = send(&server, "/v1/chat/completions", long(64).as_bytes());
    for _ in 0..3 {
        assert_eq!(completion(&server).0, 200);
    }
    let answer = rest(&stream);
    assert!(answer.contains("data: [DONE]"), "{}", answer.len());
    let ends = answer.matches(r#""finish_reason":"length""#).count()
        + answer.matches(r#""finish_reason":"stop""#).count();
    assert_eq!(ends, 64);
}

#[test]
fn two_hundred_clients_at_once_are_all_answered() {
    let server = Server::start(&[]);
    let answers: Vec<(u16, Value)> = thread::scope(|scope| {
        let clients: Vec<_> = (0..200)
            .map(|_| scope.spawn(|| completion(&server)))
            .collect();
        let answers = clients.into_iter().map(|client| client.join().unwrap());
        answers.collect()
    });
    let (_, first) = &answers[0];
    for (status, answer) in &answers {
        assert_eq!(*status, 200, "{answer}");
        assert_eq!(answer["choices"], first["choices"]);
    }
}

#[cfg(unix)]
#[test]
fn a_server_that_is_told_to_end_ends_in_mid_answer() {
    let mut server = Server::start(&["--model", "pairs.gguf"]);
    let reading = send(&server, "/v1/chat/completions", long(64).as_bytes());
    let leaving = send(&server, "/v1/chat/completions", long(64).as_bytes());
    let mut first = [0; 512];
    (&reading).read_exact(&mut first).unwrap();
    // This one never reads on, and is not waited for.
    (&leaving).read_exact(&mut first).unwrap();
    let answer = thread::scope(|scope| {
        let reader = scope.spawn(|| rest(&reading));
        assert!(server.end().success());
        reader.join().unwrap()
    });
    let is_told = answer.contains("data: [DONE]") || answer.contains("being shut down");
    assert!(is_told, "{}", &answer[answer.len().saturating_sub(400)..]);
    assert!(answer.ends_with("0\r\n\r\n"), "the response is complete");
}
