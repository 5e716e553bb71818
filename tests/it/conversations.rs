//! Conversations with the server as text files: what the client says, and the shape of each answer.
//!
//! Takes `tests/data/conversations/*.txt`. A file opens with `#` lines that tell what it shows. Then
//! each line that starts with a mark opens a turn, and the JSON up to the next such line belongs to
//! it (none is `null`):
//!
//! - `> request METHOD` and `> notify METHOD` send; `> ready` waits until the model is loaded;
//! - `< result` and `< error` are the answer to the request just sent;
//! - `< receive METHOD` is a message of the server's own.
//!
//! What is expected is a pattern: an object's keys must be there and match, others may be; arrays
//! match item by item. `"$any"`, `"$text"` (not empty), `"$number"`, `"$bool"` stand for values,
//! `"$absent"` for a key that must not be there, `{"$each": P}` for an array whose items match P, and
//! `{"$some": P}` for one that is not empty either. Every server is shut down, ends with status 0,
//! and may leave nothing unread.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::Server;
use crate::tidy;

macro_rules! conversations {
    ($($name:ident)*) => {
        $(#[test] fn $name() { hold(stringify!($name)); })*
        const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

conversations! {
    initialize
    positions_in_utf8
    progress_while_loading
    completion_in_python
    completion_in_an_unknown_language
    completion_before_ready
    completion_in_a_closed_document
    completion_as_items
    excluded_files
    settings_that_are_wrong
    tasks_that_the_model_cannot_do
    selected_completion
    switching_models
    unknown_requests
    watching_settings
}

#[test]
fn every_conversation_is_held() {
    let mut found: Vec<String> = fs::read_dir(folder())
        .expect("the folder is there")
        .map(|entry| entry.expect("the folder can be read").path())
        .map(|path| {
            path.file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    let mut named: Vec<String> = NAMES.iter().map(ToString::to_string).collect();
    found.sort();
    named.sort();
    assert_eq!(found, named);
}

#[test]
fn patterns_can_fail() {
    for (pattern, value, fits) in [
        (json!({"a": "$text"}), json!({"a": "x", "b": 1}), true),
        (json!({"a": "$text"}), json!({"a": ""}), false),
        (json!({"a": "$absent"}), json!({"a": null}), false),
        (json!({"a": "$absent"}), json!({}), true),
        (json!([1, "$number"]), json!([1, 2]), true),
        (json!([1]), json!([1, 2]), false),
        (json!({"$each": 1}), json!([]), true),
        (json!({"$some": 1}), json!([]), false),
        (json!({"$some": 1}), json!([1, 2]), false),
        (json!(null), json!(0), false),
    ] {
        assert_eq!(
            matches(&pattern, Some(&value), "").is_ok(),
            fits,
            "{pattern} {value}"
        );
    }
}

/// One turn of a conversation.
struct Turn {
    line: usize,
    mark: String,
    body: String,
}

/// Holds the conversation in the file of this name.
fn hold(name: &str) {
    let path = folder().join(name).with_extension("txt");
    let text = fs::read_to_string(&path).expect("the conversation is there");
    let mut server = Server::start();
    let mut asked = None;
    for turn in turns(&text) {
        let place = format!("{name}.txt:{}", turn.line);
        let json: Value = match turn.body.trim() {
            "" => Value::Null,
            body => serde_json::from_str(body).unwrap_or_else(|error| panic!("{place}: {error}")),
        };
        let words: Vec<&str> = turn.mark.split_whitespace().collect();
        match words[..] {
            [">", "request", method] => asked = Some(server.send(method, json)),
            [">", "notify", method] => server.notify(method, json),
            [">", "ready"] => server.wait_until_ready(),
            ["<", "receive", method] => check(&json, &server.receive(method), &place),
            ["<", kind @ ("result" | "error")] => {
                let id = asked
                    .take()
                    .unwrap_or_else(|| panic!("{place}: nothing was asked"));
                match (kind, server.response(id)) {
                    ("result", Ok(answer)) | ("error", Err(answer)) => {
                        check(&json, &answer, &place)
                    }
                    (_, answer) => panic!("{place}: {answer:?}"),
                }
            }
            _ => panic!("{place}: what is `{}`?", turn.mark),
        }
    }
    assert!(server.shut_down().success());
}

fn turns(text: &str) -> Vec<Turn> {
    let mut turns: Vec<Turn> = Vec::new();
    for (line, content) in text.lines().enumerate() {
        if content.starts_with(['<', '>']) {
            turns.push(Turn {
                line: line + 1,
                mark: content.to_string(),
                body: String::new(),
            });
        } else if let Some(turn) = turns.last_mut() {
            turn.body.push_str(content);
            turn.body.push('\n');
        }
    }
    turns
}

fn check(pattern: &Value, answer: &Value, place: &str) {
    if let Err(fault) = matches(pattern, Some(answer), "") {
        panic!("{place}: {fault}\nwhole answer: {answer:#}");
    }
}

/// Does `value` have this shape? If not, says where and why.
fn matches(pattern: &Value, value: Option<&Value>, at: &str) -> Result<(), String> {
    let fits = match (pattern.as_str(), value) {
        (Some("$absent"), value) => value.is_none(),
        (_, None) => false,
        (Some("$any"), _) => true,
        (Some("$text"), Some(value)) => value.as_str().is_some_and(|text| !text.is_empty()),
        (Some("$number"), Some(value)) => value.is_number(),
        (Some("$bool"), Some(value)) => value.is_boolean(),
        (_, Some(value)) => return match_parts(pattern, value, at),
    };
    if fits {
        Ok(())
    } else {
        Err(format!("at `{at}`: expected {pattern}, got {value:?}"))
    }
}

fn match_parts(pattern: &Value, value: &Value, at: &str) -> Result<(), String> {
    match (pattern, value) {
        (Value::Object(pattern), Value::Array(items))
            if pattern.contains_key("$each") || pattern.contains_key("$some") =>
        {
            if items.is_empty() && pattern.contains_key("$some") {
                return Err(format!("at `{at}`: an empty array"));
            }
            let each = pattern.values().next().unwrap_or(&Value::Null);
            items
                .iter()
                .enumerate()
                .try_for_each(|(index, item)| matches(each, Some(item), &format!("{at}/{index}")))
        }
        (Value::Object(pattern), Value::Object(object)) => {
            pattern.iter().try_for_each(|(key, expected)| {
                matches(expected, object.get(key), &format!("{at}/{key}"))
            })
        }
        (Value::Array(pattern), Value::Array(items)) if pattern.len() == items.len() => pattern
            .iter()
            .zip(items)
            .enumerate()
            .try_for_each(|(index, (expected, item))| {
                matches(expected, Some(item), &format!("{at}/{index}"))
            }),
        _ if pattern == value => Ok(()),
        _ => Err(format!("at `{at}`: expected {pattern}, got {value}")),
    }
}

fn folder() -> std::path::PathBuf {
    tidy::root().join(Path::new("tests/data/conversations"))
}
