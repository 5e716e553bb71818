//! What a keystroke costs, over the protocol: how little is read and written when text is typed on,
//! taken back, accepted, or typed elsewhere, and that nothing is done when nothing is wanted.
//!
//! The records that the server sends along with its answers are the measure; no clock is. What the
//! embedded model says is not judged.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::Server;

/// Long enough for anything the server does by itself on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

const URI: &str = "file:///typed.py";

const ABOVE: &str = "import os\n\n\ndef area(width, height):\n    return width * height\n\n\n";
const BELOW: &str = "\n\n\ndef main():\n    print(area(2, 3))\n\n\nmain()\n";

/// A user with one document, whose cursor is where the last key was.
struct Typist {
    server: Server,
    text: String,
    cursor: usize,
    version: i32,
}

impl Typist {
    fn new(options: Value) -> Typist {
        let mut server = Server::start();
        let params = json!({
            "processId": null,
            "rootUri": null,
            "capabilities": { "general": { "positionEncodings": ["utf-8"] } },
            "initializationOptions": { "infill": options },
        });
        server
            .request("initialize", params)
            .expect("it initializes");
        server.notify("initialized", json!({}));
        server.wait_until_ready();
        let text = [ABOVE, BELOW].concat();
        let document = json!({ "uri": URI, "languageId": "python", "version": 0, "text": text });
        server.notify("textDocument/didOpen", json!({ "textDocument": document }));
        let mut typist = Typist {
            server,
            text,
            cursor: ABOVE.len(),
            version: 0,
        };
        typist.settle();
        typist
    }

    fn position(&self, offset: usize) -> Value {
        let before = &self.text[..offset];
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        json!({ "line": before.matches('\n').count(), "character": offset - start })
    }

    /// Replaces `taken` bytes before the cursor by `text`.
    fn edit(&mut self, taken: usize, text: &str) {
        let start = self.cursor - taken;
        let range = json!({ "start": self.position(start), "end": self.position(self.cursor) });
        self.version += 1;
        self.server.notify(
            "textDocument/didChange",
            json!({
                "textDocument": { "uri": URI, "version": self.version },
                "contentChanges": [{ "range": range, "text": text }],
            }),
        );
        self.text.replace_range(start..self.cursor, text);
        self.cursor = start + text.len();
    }

    fn send(&mut self, kind: u32) -> i64 {
        let params = json!({
            "textDocument": { "uri": URI },
            "position": self.position(self.cursor),
            "context": { "triggerKind": kind },
        });
        self.server.send("textDocument/inlineCompletion", params)
    }

    fn ask(&mut self, kind: u32) -> Value {
        let id = self.send(kind);
        self.server.response(id).expect("a list is always given")
    }

    /// Types a key and asks, as an editor does.
    fn key(&mut self, key: &str) -> Value {
        self.edit(0, key);
        self.ask(2)
    }

    fn status(&mut self) -> Value {
        self.server
            .request("infill/status", Value::Null)
            .expect("a status is always given")
    }

    /// Waits until the server has done all that it does by itself.
    fn settle(&mut self) {
        let start = Instant::now();
        let mut idle = 0;
        // Longer than the server waits for the hand to rest.
        while idle < 15 {
            thread::sleep(Duration::from_millis(20));
            idle = if self.status()["engine_idle"] == true {
                idle + 1
            } else {
                0
            };
            assert!(
                start.elapsed() < PATIENCE,
                "the engine does not come to rest"
            );
        }
    }
}

fn count(record: &Value, key: &str) -> u64 {
    record[key]
        .as_u64()
        .unwrap_or_else(|| panic!("{key} is missing in {record}"))
}

#[test]
fn what_is_typed_costs_a_few_tokens_and_a_backspace_none() {
    let mut typist = Typist::new(json!({ "timings": true }));
    let line = "value = area(width=10, height=20) + os.getpid()";
    let mut read = Vec::new();
    for (place, key) in line.char_indices() {
        let answer = typist.key(&key.to_string());
        let record = &answer["infill"];
        if record["anchor"] == "" {
            continue;
        }
        if place > 0 {
            assert_eq!(record["anchor"], "kept", "{key:?}: {record}");
            read.push((count(record, "tokens_prefilled"), record.clone()));
        }
    }
    read.sort_by_key(|(tokens, _)| *tokens);
    assert!(read.len() > 5, "the model was hardly asked: {read:?}");
    assert!(read[read.len() / 2].0 <= 3, "{read:?}");
    assert!(read[read.len() - 1].0 <= 16, "{:?}", read[read.len() - 1]);
    for _ in 0..4 {
        typist.edit(1, "");
        let record = &typist.ask(2)["infill"];
        let prefilled = count(record, "tokens_prefilled");
        assert!(prefilled <= 2, "{record}");
    }
}

#[test]
fn an_edit_far_away_keeps_the_question_and_one_in_the_window_voids_it() {
    let mut typist = Typist::new(json!({ "timings": true }));
    // A file that is much longer than the model's window.
    let filler = "# a line that says nothing\n".repeat(400);
    typist.cursor = 0;
    typist.edit(0, &filler);
    typist.cursor = typist.text.len();
    typist.edit(0, &filler);
    let place = filler.len() + ABOVE.len();
    typist.cursor = place;
    typist.key("total = ");
    typist.settle();

    typist.cursor = 0;
    typist.edit(0, "# far\n");
    typist.cursor = place + "# far\n".len() + "total = ".len();
    let record = typist
        .key("area")
        .get("infill")
        .cloned()
        .expect("timings were asked for");
    assert_eq!(record["anchor"], "kept", "{record}");
    assert!(count(&record, "tokens_prefilled") <= 4, "{record}");

    let back = typist.cursor;
    typist.cursor = back - "total = area".len() - 3;
    typist.edit(0, "x = 1\n");
    typist.cursor = back + "x = 1\n".len();
    let record = typist
        .key("(")
        .get("infill")
        .cloned()
        .expect("timings were asked for");
    // A small window answers in the stead of a full one that would have to be read.
    assert_eq!(record["anchor"], "new near", "{record}");
}

#[test]
fn the_cursor_at_rest_is_read_ahead_and_so_is_what_follows_a_suggestion() {
    let mut typist = Typist::new(json!({ "timings": true }));
    typist.edit(0, "print(");
    typist.settle();
    let answer = typist.ask(2);
    let record = &answer["infill"];
    assert_eq!(record["anchor"], "kept", "{record}");
    assert!(count(record, "tokens_prefilled") <= 2, "{record}");
    // Whatever is shown is accepted, as long as there is something.
    let mut accepted = 0;
    for key in ["w", "i", "d", "t", "h", ")", "\n", "f", "o", "r"] {
        let mut answer = typist.key(key);
        for _ in 0..3 {
            let item = answer["items"][0].clone();
            let Some(text) = item["insertText"].as_str() else {
                break;
            };
            typist.settle();
            let start = &item["range"]["start"];
            let line = start["line"].as_u64().expect("a number") as usize;
            let column = start["character"].as_u64().expect("a number") as usize;
            let lines = typist.text.split_inclusive('\n').take(line).map(str::len);
            let start = lines.sum::<usize>() + column;
            typist.edit(typist.cursor - start, text);
            answer = typist.ask(2);
            let record = &answer["infill"];
            assert_eq!(count(record, "tokens_decoded"), 0, "{record}");
            assert_eq!(count(record, "tokens_prefilled"), 0, "{record}");
            accepted += 1;
        }
    }
    assert!(accepted > 0, "nothing was shown");
}

#[test]
fn nothing_is_done_unasked_where_the_settings_want_nothing() {
    let mut typist = Typist::new(json!({ "timings": true, "automatic": false }));
    let answer = typist.key("print(");
    assert_eq!(answer["items"], json!([]));
    typist.settle();
    let engine = &typist.status()["engine"];
    for total in ["prefilled", "decoded", "ahead_prefilled", "ahead_decoded"] {
        assert_eq!(count(engine, total), 0, "{engine}");
    }
    let answer = typist.ask(1);
    assert!(count(&answer["infill"], "tokens_prefilled") > 0, "{answer}");
    let settings = json!({ "settings": { "infill": { "automatic": true } } });
    typist
        .server
        .notify("workspace/didChangeConfiguration", settings);
    // The settings are in force once a later request is answered.
    typist.status();
    let answer = typist.key("a");
    assert!(answer["infill"]["mask"].is_string(), "{answer}");
}

#[test]
fn a_request_that_is_taken_back_leaves_the_engine_idle_and_its_work_is_not_lost() {
    let mut typist = Typist::new(json!({ "timings": true, "delay": 0 }));
    for key in ["d", "e", "f", " ", "f", "("] {
        typist.edit(0, key);
        let id = typist.send(2);
        typist.server.notify("$/cancelRequest", json!({ "id": id }));
        match typist.server.response(id) {
            Ok(_) => {}
            Err(error) => assert_eq!(error["code"], -32800, "{error}"),
        }
    }
    typist.settle();
    let record = typist.ask(2)["infill"].clone();
    assert!(count(&record, "tokens_prefilled") <= 16, "{record}");
}
