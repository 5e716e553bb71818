//! What the server says beyond the protocol (`editors/PROTOCOL.md`): its status as it changes, why something is shown or
//! not, what became of it, other suggestions for the same place, and the commands of models and tasks.
//!
//! What the embedded model says is not judged, only that the same is told everywhere.

use std::process::Command;

use serde_json::{Value, json};

use crate::hub::{Hub, Mood, NAME};
use crate::{harness, tidy};
use harness::Server;

const URI: &str = "file:///work/store.go";

/// The row and column where the README's example is completed.
const PLACE: (u64, u64) = (45, 1);

fn source() -> String {
    let path = tidy::root().join("tests/data/try/unfinished.go");
    std::fs::read_to_string(path).expect("the example is there")
}

fn start(command: Option<Command>, options: Value) -> Server {
    let mut server = match command {
        Some(command) => Server::start_by(command),
        None => Server::start(),
    };
    let params = json!({
        "processId": null,
        "rootUri": "file:///work",
        "capabilities": { "workspace": { "executeCommand": {} } },
        "initializationOptions": { "infill": options },
    });
    server
        .request("initialize", params)
        .expect("it initializes");
    server.notify("initialized", json!({}));
    server
}

fn open(server: &mut Server, uri: &str, language: &str, text: &str) {
    let document = json!({ "uri": uri, "languageId": language, "version": 1, "text": text });
    server.notify("textDocument/didOpen", json!({ "textDocument": document }));
}

fn ask(server: &mut Server, trigger: u32) -> Vec<Value> {
    let params = json!({
        "textDocument": { "uri": URI },
        "position": { "line": PLACE.0, "character": PLACE.1 },
        "context": { "triggerKind": trigger },
    });
    let answer = server.request("textDocument/inlineCompletion", params);
    let answer = answer.expect("a completion is never an error");
    answer["items"]
        .as_array()
        .expect("items are a list")
        .clone()
}

fn execute(server: &mut Server, command: &str, arguments: Value) -> Result<Value, Value> {
    let params = json!({ "command": command, "arguments": arguments });
    server.request("workspace/executeCommand", params)
}

fn usage(server: &mut Server) -> Value {
    let status = server.request("infill/status", Value::Null);
    status.expect("a status is always given")["usage"].clone()
}

/// The news until one for which this holds.
fn news(server: &mut Server, is_wanted: impl Fn(&Value) -> bool) -> Value {
    loop {
        let news = server.receive("didChangeStatus");
        if is_wanted(&news) {
            return news;
        }
    }
}

#[test]
fn the_status_is_told_as_it_changes() {
    let mut server = start(None, json!({ "status": true }));
    server.may_miss("didChangeStatus");
    let first = server.receive("didChangeStatus");
    assert!(first["kind"] == "Normal", "{first}");
    let ready = news(&mut server, |news| news["infill"]["state"] == "ready");
    assert_eq!(ready["message"], "infill-v2 is ready");
    open(&mut server, "file:///work/.env", "dotenv", "A=");
    let off = news(&mut server, |news| news["kind"] == "Inactive");
    assert_eq!(off["infill"]["state"], "off");
    assert_eq!(off["infill"]["why"], off["message"]);
    assert!(
        off["message"]
            .as_str()
            .is_some_and(|why| why.contains("`.env`"))
    );
    open(&mut server, URI, "go", &source());
    news(&mut server, |news| {
        news["infill"]["uri"] == URI && news["kind"] == "Normal"
    });
    ask(&mut server, 2);
    news(&mut server, |news| {
        news["infill"]["ms"].is_f64() && news["busy"] == false
    });
    let focus = json!({ "textDocument": { "uri": "file:///work/.env" } });
    server.notify("textDocument/didFocus", focus);
    news(&mut server, |news| news["kind"] == "Inactive");
    execute(&mut server, "infill.selectModel", json!(["./nowhere.gguf"])).expect("it loads behind");
    server.receive("window/showMessage");
    server.notify(
        "textDocument/didFocus",
        json!({ "textDocument": { "uri": URI } }),
    );
    let warning = news(&mut server, |news| news["kind"] == "Warning");
    assert!(
        warning["message"]
            .as_str()
            .is_some_and(|why| why.contains("nowhere.gguf"))
    );
    assert_eq!(warning["infill"]["model"], "infill-v2");
}

#[test]
fn what_is_shown_can_be_explained() {
    let mut server = start(None, json!({ "timings": true }));
    server.wait_until_ready();
    open(&mut server, URI, "go", &source());
    let nothing = server.request("infill/why", Value::Null);
    assert_eq!(nothing, Ok(Value::Null), "nothing was asked yet");
    let items = ask(&mut server, 2);
    let why = server.request("infill/why", json!({ "textDocument": { "uri": URI } }));
    let why = why.expect("it is told");
    assert_eq!(
        why["position"],
        json!({ "line": PLACE.0, "character": PLACE.1 })
    );
    assert_eq!(why["trigger"], "automatic");
    let prompt = why["prompt"].as_str().expect("the model was asked");
    assert!(
        prompt.contains("MASK]") && prompt.contains("json.Marshal"),
        "{prompt}"
    );
    let answer = why["answer"].as_str().expect("the model answered");
    match &items[..] {
        [] => assert_ne!(why["decision"], "shown"),
        [item, ..] => {
            assert_eq!(why["decision"], "shown");
            let shown = why["shown"].as_str().expect("it is shown");
            assert!(
                item["insertText"]
                    .as_str()
                    .is_some_and(|text| text.contains(shown))
            );
            assert!(answer.contains(shown.trim()), "{answer}");
        }
    }
    assert!(why["record"]["timings_ms"]["total"].is_f64(), "{why}");
}

#[test]
fn what_becomes_of_a_suggestion_is_counted_from_the_edits() {
    let mut server = start(None, json!({}));
    server.wait_until_ready();
    open(&mut server, URI, "go", &source());
    let items = ask(&mut server, 2);
    let [item, ..] = &items[..] else {
        panic!("the README's example has a suggestion");
    };
    let command = &item["command"];
    assert_eq!(command["command"], "infill.didAccept");
    let before = usage(&mut server);
    assert_eq!(
        before,
        json!({ "shown": 1, "accepted": 0, "kept": 0, "characters": 0 })
    );
    let change = json!({
        "textDocument": { "uri": URI, "version": 2 },
        "contentChanges": [{ "range": item["range"], "text": item["insertText"] }],
    });
    server.notify("textDocument/didChange", change);
    execute(
        &mut server,
        "infill.didAccept",
        command["arguments"].clone(),
    )
    .expect("it is noted");
    let taken = usage(&mut server);
    assert_eq!(
        (&taken["shown"], &taken["accepted"]),
        (&json!(1), &json!(1))
    );
    let text = item["insertText"].as_str().expect("it has a text");
    assert_eq!(taken["characters"], text.chars().count());
    let close = json!({ "textDocument": { "uri": URI } });
    server.notify("textDocument/didClose", close);
    assert_eq!(usage(&mut server)["kept"], 1);
}

#[test]
fn the_names_of_others_for_events_are_understood() {
    let mut server = start(None, json!({}));
    server.wait_until_ready();
    open(&mut server, URI, "go", &source());
    let items = ask(&mut server, 2);
    let item = items
        .first()
        .expect("the README's example has a suggestion");
    server.notify("textDocument/didShowCompletion", json!({ "item": item }));
    let part = json!({ "item": item, "acceptedLength": 3 });
    server.notify("textDocument/didPartiallyAcceptCompletion", part);
    let counts = usage(&mut server);
    assert_eq!(
        (&counts["shown"], &counts["accepted"]),
        (&json!(1), &json!(1))
    );
}

#[test]
fn asked_by_hand_there_are_other_suggestions() {
    let mut server = start(None, json!({}));
    server.wait_until_ready();
    open(&mut server, URI, "go", &source());
    let automatic = ask(&mut server, 2);
    let by_hand = ask(&mut server, 1);
    assert_eq!(automatic.len(), 1, "{automatic:?}");
    assert_eq!(by_hand[0], automatic[0], "the best one comes first");
    assert!((2..=3).contains(&by_hand.len()), "{by_hand:?}");
    for (place, item) in by_hand.iter().enumerate() {
        assert_eq!(item["range"]["start"], automatic[0]["range"]["start"]);
        let others = &by_hand[..place];
        assert!(
            others
                .iter()
                .all(|other| other["insertText"] != item["insertText"])
        );
    }
    assert_eq!(
        ask(&mut server, 1),
        by_hand,
        "the same question has the same answers"
    );
    assert_eq!(ask(&mut server, 2), automatic);
}

#[test]
fn with_single_line_nothing_goes_beyond_the_line() {
    let mut server = start(None, json!({ "singleLine": true }));
    server.wait_until_ready();
    // A block: the model would write several lines.
    let text = "def area(width, height):\n    \n";
    open(&mut server, URI, "python", text);
    let params = json!({
        "textDocument": { "uri": URI },
        "position": { "line": 1, "character": 4 },
        "context": { "triggerKind": 1 },
    });
    let answer = server.request("textDocument/inlineCompletion", params);
    let items = answer.expect("a completion is never an error")["items"].clone();
    let items = items.as_array().expect("items are a list");
    let is_one_line = |item: &Value| {
        item["insertText"]
            .as_str()
            .is_some_and(|text| !text.contains('\n'))
    };
    assert!(items.iter().all(is_one_line), "{items:?}");
}

#[test]
fn a_model_is_pulled_with_progress_and_its_licence() {
    let hub = Hub::start("over-lsp", Mood::Good);
    let mut server = start(Some(hub.command(&["lsp"])), json!({}));
    server.wait_until_ready();
    let listed =
        execute(&mut server, "infill.listModels", json!([])).expect("the store is readable");
    assert_eq!(
        (&listed["current"], &listed["models"]),
        (&json!("infill-v2"), &json!([]))
    );
    let known = listed["known"].as_array().expect("models are known");
    assert!(
        known
            .iter()
            .any(|known| known["name"] == NAME && known["licence"].is_string())
    );

    let params =
        json!({ "command": "infill.pullModel", "arguments": [NAME], "workDoneToken": "p" });
    let pulled = server
        .request("workspace/executeCommand", params)
        .expect("it is pulled");
    assert!(
        pulled["licence"]
            .as_str()
            .is_some_and(|licence| licence.contains("registration"))
    );
    let begun = server.receive("$/progress");
    assert_eq!(
        (&begun["token"], &begun["value"]["kind"]),
        (&json!("p"), &json!("begin"))
    );
    assert_eq!(server.receive("$/progress")["value"]["kind"], "end");
    let listed =
        execute(&mut server, "infill.listModels", json!([])).expect("the store is readable");
    assert_eq!(listed["models"][0]["name"], NAME);

    let error =
        execute(&mut server, "infill.pullModel", json!(["no such"])).expect_err("it is no name");
    assert_eq!(error["code"], -32803);
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|why| why.contains("there is no model `no such`"))
    );
}

#[test]
fn a_pull_is_given_up_when_its_request_is_cancelled() {
    let hub = Hub::start("given-up-over-lsp", Mood::Hold);
    let mut server = start(Some(hub.command(&["lsp"])), json!({}));
    server.wait_until_ready();
    let params = json!({ "command": "infill.pullModel", "arguments": [NAME] });
    let id = server.send("workspace/executeCommand", params);
    server.notify("$/cancelRequest", json!({ "id": id }));
    let error = server.response(id).expect_err("it was taken back");
    assert_eq!(error["code"], -32800);
    hub.state().mood = Mood::Good;
}

/// The built-in model, asked as CodeGeeX is: that one goes on with code, and no token of its own is needed.
#[test]
fn what_a_task_writes_is_told_as_it_comes() {
    let mut server = start(None, json!({ "template": "codegeex_v1" }));
    server.may_miss("$/progress");
    server.wait_until_ready();
    open(&mut server, URI, "go", &source());
    let status = server
        .request("infill/status", Value::Null)
        .expect("it is told");
    assert_eq!(status["tasks"], json!(["explain", "comment", "translate"]));
    let arguments = json!([{
        "kind": "translate", "to": "python", "textDocument": { "uri": URI }, "partialResultToken": "part",
        "range": { "start": { "line": 0, "character": 0 }, "end": { "line": 12, "character": 0 } },
    }]);
    let answer = execute(&mut server, "infill.task", arguments).expect("it is written");
    assert_eq!(answer["language"], "python");
    let mut told = String::new();
    let text = answer["text"].as_str().expect("it is a text");
    while !told.contains(text) {
        let part = server.receive("$/progress");
        assert_eq!(part["token"], "part");
        told.push_str(part["value"]["text"].as_str().expect("a part is a text"));
    }
    assert!(!told.is_empty());
}

#[test]
fn a_model_that_needs_more_memory_than_allowed_is_not_loaded() {
    let mut server = start(None, json!({ "memory": 4 }));
    let shown = server.receive("window/showMessage");
    let message = shown["message"].as_str().expect("it is said");
    assert!(
        message.contains("infill-v2 needs") && message.contains("`memory` allows 4"),
        "{message}"
    );
    let status = server
        .request("infill/status", Value::Null)
        .expect("it is told");
    assert_eq!(status["state"], "failed");
    let settings = json!({ "settings": { "infill": { "memory": null } } });
    server.notify("workspace/didChangeConfiguration", settings);
    while server
        .request("infill/status", Value::Null)
        .expect("it is told")["state"]
        != "ready"
    {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
