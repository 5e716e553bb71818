//! Other open files and the built server: their excerpts are in the prompt if it has a place for them, the status names them,
//! and files that are left alone are in neither.
//!
//! The embedded model is asked as one that was trained on excerpts; what it says is not judged.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::Server;

const HERE: &str =
    "from keeper import feed\n\ndef evening(animals, hour):\n    feed(\n    return hour\n";
const KEEPER: &str =
    "def feed(animals, hour):\n    return [animal.eats(hour) for animal in animals]\n";
const COOK: &str =
    "def cook(animals, hour):\n    return sum(animal.wants(hour) for animal in animals)\n";

/// Longer than settings take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

fn url(name: &str) -> String {
    format!("file:///zoo/{name}.py")
}

fn start(options: Value) -> Server {
    let mut server = Server::start();
    let params = json!({
        "processId": null,
        "rootUri": "file:///zoo",
        "capabilities": {},
        "initializationOptions": { "infill": options },
    });
    server.request("initialize", params).unwrap();
    server.notify("initialized", json!({}));
    server.wait_until_ready();
    for (name, text) in [("cook", COOK), ("keeper", KEEPER), ("pen", HERE)] {
        let document =
            json!({ "uri": url(name), "languageId": "python", "version": 1, "text": text });
        server.notify("textDocument/didOpen", json!({ "textDocument": document }));
    }
    server
}

/// What the model reads where it is asked by hand, and the other files that the status names.
fn ask(server: &mut Server) -> (String, Vec<String>) {
    let pen = json!({ "uri": url("pen") });
    let params = json!({
        "textDocument": pen,
        "position": { "line": 3, "character": 9 },
        "context": { "triggerKind": 1 },
    });
    server
        .request("textDocument/inlineCompletion", params)
        .unwrap();
    let why = server.request("infill/why", json!({ "textDocument": pen }));
    // An answer that was stored needs no prompt.
    let prompt = why.unwrap()["prompt"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    (prompt, named(server))
}

/// The files that the status names.
fn named(server: &mut Server) -> Vec<String> {
    let about = json!({ "textDocument": { "uri": url("pen") } });
    let status = server.request("infill/status", about).unwrap();
    let named = status["document"]["neighbours"].as_array().unwrap();
    let named = named.iter().map(|uri| uri.as_str().unwrap().to_owned());
    named.collect()
}

/// Changes the settings so that what was shown may not be shown any more, and waits until they hold.
fn set(server: &mut Server, settings: Value) {
    let params = json!({ "settings": { "infill": settings } });
    server.notify("workspace/didChangeConfiguration", params);
    let began = Instant::now();
    while !named(server).is_empty() {
        assert!(began.elapsed() < PATIENCE, "the settings do not hold");
        sleep(Duration::from_millis(5));
    }
}

#[test]
fn other_files_are_read_unless_they_are_left_alone() {
    let options = json!({ "template": "infill_v2", "exclude": ["cook.py"], "automatic": false });
    let mut server = start(options);
    let (prompt, named) = ask(&mut server);
    let excerpt = format!("# zoo/keeper.py\n{KEEPER}\n");
    assert!(prompt.contains(&excerpt), "{prompt}");
    assert!(!prompt.contains("cook"), "{prompt}");
    assert_eq!(named, [url("keeper")]);

    set(&mut server, json!({ "exclude": ["keeper.py"] }));
    let (prompt, named) = ask(&mut server);
    assert!(
        prompt.contains("def cook") && !prompt.contains("def feed"),
        "{prompt}"
    );
    assert_eq!(named, [url("cook")]);

    set(&mut server, json!({ "neighbours": false, "exclude": null }));
    let (prompt, named) = ask(&mut server);
    assert!(prompt.contains("def evening"), "{prompt}");
    assert!(
        !prompt.contains("def cook") && !prompt.contains("def feed"),
        "{prompt}"
    );
    assert!(named.is_empty(), "{named:?}");
}

/// The built-in model looks up in them how words go on, but its prompt is as it was.
#[test]
fn a_prompt_without_a_place_for_them_shows_no_other_files() {
    let mut server = start(json!({ "template": "infill_v1", "exclude": ["cook.py"] }));
    let (prompt, named) = ask(&mut server);
    assert!(
        prompt.contains("def evening") && !prompt.contains("def feed"),
        "{prompt}"
    );
    assert_eq!(named, [url("keeper")]);
}
