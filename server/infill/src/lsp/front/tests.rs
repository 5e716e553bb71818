//! The front behind a real tower-lsp server, over a pipe. No model is loaded in these tests, so
//! every completion stays pending until something ends it.

use std::time::Duration;

use serde_json::json;
use text::Encoding;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tower_lsp::lsp_types::Url;

use super::*;
use crate::lsp::serve;

/// Long enough for any answer that needs no model, on a busy machine; shorter than the wait for a
/// model.
const SOON: Duration = Duration::from_secs(3);

/// A client at the other end of the pipes.
struct Peer {
    session: Arc<Session>,
    input: DuplexStream,
    output: BufReader<DuplexStream>,
    server: JoinHandle<()>,
}

impl Peer {
    fn start() -> Peer {
        let session = Arc::new(Session::new(crate::models::settings::Choice::default()));
        let (input, server_input) = duplex(1 << 20);
        let (server_output, output) = duplex(1 << 20);
        let server = tokio::spawn(serve(Arc::clone(&session), server_input, server_output));
        Peer {
            session,
            input,
            output: BufReader::new(output),
            server,
        }
    }

    /// Starts and shakes hands, stopping short of `initialized`, which would load the model.
    async fn initialized() -> Peer {
        let mut peer = Peer::start();
        let answer = peer
            .ask(json!(0), "initialize", json!({ "capabilities": {} }))
            .await;
        assert_eq!(
            answer["result"]["capabilities"]["inlineCompletionProvider"],
            true
        );
        peer
    }

    async fn send(&mut self, messages: &[Value]) {
        let mut bytes = Vec::new();
        for message in messages {
            let body = message.to_string();
            bytes.extend(format!("Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes());
        }
        self.input
            .write_all(&bytes)
            .await
            .expect("the server reads");
    }

    async fn receive(&mut self) -> Value {
        let read = async {
            let mut length = 0;
            let mut line = String::new();
            while self
                .output
                .read_line(&mut line)
                .await
                .expect("the server writes")
                > 2
            {
                length = line
                    .trim()
                    .rsplit(' ')
                    .next()
                    .and_then(|n| n.parse().ok())
                    .unwrap_or(length);
                line.clear();
            }
            let mut body = vec![0; length];
            self.output
                .read_exact(&mut body)
                .await
                .expect("a whole message");
            serde_json::from_slice(&body).expect("a message is JSON")
        };
        timeout(SOON, read).await.expect("the server answers soon")
    }

    async fn ask(&mut self, id: Value, method: &str, params: Value) -> Value {
        self.send(&[request(id, method, params)]).await;
        self.receive().await
    }

    fn text(&self, url: &str) -> Option<String> {
        let url = Url::parse(url).expect("the test's URL is one");
        self.session
            .documents
            .view(&url)
            .map(|view| view.snapshot.text())
    }

    async fn until(&self, what: impl Fn(&Session) -> bool) {
        let wait = async {
            while !what(&self.session) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(SOON, wait).await.expect("it comes true soon");
    }
}

fn request(id: Value, method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

fn notification(method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "method": method, "params": params })
}

fn open(url: &str, text: &str) -> Value {
    notification(
        "textDocument/didOpen",
        json!({ "textDocument": {
        "uri": url, "languageId": "python", "version": 0, "text": text } }),
    )
}

fn insert(url: &str, version: usize, character: usize, text: &str) -> Value {
    let at = json!({ "line": 0, "character": character });
    notification(
        "textDocument/didChange",
        json!({
        "textDocument": { "uri": url, "version": version },
        "contentChanges": [{ "range": { "start": at, "end": at }, "text": text }] }),
    )
}

fn complete(id: Value, url: &str) -> Value {
    request(
        id,
        INLINE_COMPLETION,
        json!({
        "textDocument": { "uri": url },
        "position": { "line": 0, "character": 0 },
        "context": { "triggerKind": 2 } }),
    )
}

fn cancel(id: Value) -> Value {
    notification("$/cancelRequest", json!({ "id": id }))
}

#[tokio::test]
async fn edits_are_applied_in_the_order_of_arrival() {
    let mut peer = Peer::initialized().await;
    let expected: String = (0..2000)
        .map(|i| char::from(b'a' + (i % 26) as u8))
        .collect();
    let mut messages = vec![open("file:///a.py", "")];
    for (index, letter) in expected.char_indices() {
        messages.push(insert(
            "file:///a.py",
            index + 1,
            index,
            &letter.to_string(),
        ));
        if index % 100 == 0 {
            messages.push(complete(json!(index + 1), "file:///a.py"));
        }
    }
    peer.send(&messages).await;
    peer.until(|session| {
        let url = Url::parse("file:///a.py").expect("it is one");
        session
            .documents
            .view(&url)
            .is_some_and(|view| view.snapshot.version() == 2000)
    })
    .await;
    assert_eq!(peer.text("file:///a.py"), Some(expected));
}

#[tokio::test]
async fn a_cancellation_and_an_edit_get_past_many_pending_completions() {
    let mut peer = Peer::initialized().await;
    let url = |document: usize| format!("file:///{document}.py");
    let mut messages: Vec<Value> = (0..120).map(|document| open(&url(document), "x")).collect();
    messages.extend((0..120).map(|document| complete(json!(document + 1), &url(document))));
    peer.send(&messages).await;
    peer.until(|session| session.pending.len() == 120).await;

    peer.send(&[
        insert(&url(7), 1, 1, "y"),
        cancel(json!(8)),
        cancel(json!("no such")),
    ])
    .await;
    let answer = peer.receive().await;
    assert_eq!(
        (&answer["id"], &answer["error"]["code"]),
        (&json!(8), &json!(-32800))
    );
    assert_eq!(peer.text(&url(7)).as_deref(), Some("xy"));
    assert_eq!(peer.session.pending.len(), 119);
}

#[tokio::test]
async fn a_newer_request_for_a_document_ends_the_older() {
    let mut peer = Peer::initialized().await;
    let (one, other) = ("file:///a.py", "file:///b.py");
    let first = json!("first");
    peer.send(&[open(one, "x"), open(other, "x")]).await;
    peer.send(&[
        complete(first.clone(), one),
        complete(json!(2), other),
        complete(json!(3), one),
    ])
    .await;
    let answer = peer.receive().await;
    assert_eq!(
        (&answer["id"], &answer["result"]["items"]),
        (&first, &json!([]))
    );
    assert_eq!(peer.session.pending.len(), 2);

    peer.send(&[notification(
        "textDocument/didClose",
        json!({ "textDocument": { "uri": other } }),
    )])
    .await;
    let answer = peer.receive().await;
    assert_eq!(
        (&answer["id"], &answer["result"]["items"]),
        (&json!(2), &json!([]))
    );
    assert_eq!(peer.text(other), None);
}

#[tokio::test]
async fn a_completion_is_about_the_text_that_was_there_when_it_was_asked() {
    let session = Session::new(crate::models::settings::Choice::default());
    let url = Url::parse("file:///a.py").expect("it is one");
    session
        .documents
        .open(url.clone(), "before", 1, Language::PLAIN);
    session
        .admission
        .open(&url, "plaintext", &session.settings());
    let params = complete(json!(1), url.as_str())["params"].clone();
    let params = serde_json::from_value(params).expect("the parameters are right");
    let asked = inline_completion::Asked::new(&session, params).expect("the document is open");
    session
        .documents
        .change(&url, |document| document.replace("after"));
    assert_eq!(asked.text(), "before");
}

#[tokio::test]
async fn requests_are_refused_before_initialize_and_after_shutdown() {
    let mut peer = Peer::start();
    peer.send(&[complete(json!(1), "file:///a.py")]).await;
    assert_eq!(peer.receive().await["error"]["code"], -32002);
    peer.ask(json!(2), "initialize", json!({ "capabilities": {} }))
        .await;
    let answer = peer.ask(json!(3), "shutdown", Value::Null).await;
    assert_eq!(answer, json!({ "jsonrpc": "2.0", "id": 3, "result": null }));
    peer.send(&[complete(json!(4), "file:///a.py")]).await;
    assert_eq!(peer.receive().await["error"]["code"], -32600);
    assert!(peer.session.was_shut_down());
    peer.send(&[notification("exit", Value::Null)]).await;
    timeout(SOON, peer.server)
        .await
        .expect("exit ends the server")
        .expect("in good order");
}

#[tokio::test]
async fn the_server_ends_when_the_client_closes_its_end() {
    let Peer {
        input,
        output,
        server,
        session,
    } = Peer::initialized().await;
    drop((input, output));
    timeout(SOON, server)
        .await
        .expect("it ends")
        .expect("in good order");
    assert!(!session.was_shut_down());
}

#[tokio::test]
async fn initialize_agrees_on_what_the_client_offers() {
    let mut peer = Peer::start();
    let capabilities = json!({
        "general": { "positionEncodings": ["utf-16", "utf-8"] },
        "textDocument": { "inlineCompletion": { "dynamicRegistration": true } } });
    let answer = peer
        .ask(
            json!(1),
            "initialize",
            json!({ "capabilities": capabilities }),
        )
        .await;
    let capabilities = &answer["result"]["capabilities"];
    assert_eq!(capabilities["positionEncoding"], "utf-8");
    assert_eq!(capabilities.get("inlineCompletionProvider"), None);
    assert_eq!(peer.session.agreed().encoding, Encoding::Utf8);
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_or_passed_over() {
    let mut peer = Peer::initialized().await;
    peer.send(&[
        notification("textDocument/didOpen", json!({ "textDocument": 1 })),
        notification("textDocument/didChange", Value::Null),
        insert("file:///never-opened.py", 1, 0, "x"),
        request(json!(1), INLINE_COMPLETION, json!({ "textDocument": {} })),
    ])
    .await;
    assert_eq!(peer.receive().await["error"]["code"], -32602);
    let answer = peer.ask(json!(2), "infill/status", json!({})).await;
    assert_eq!(answer["result"]["state"], "loading");
    peer.send(&[complete(json!(3), "file:///never-opened.py")])
        .await;
    assert_eq!(peer.receive().await["result"]["items"], json!([]));
}
