//! Typing a part of a file again, key by key.
//!
//! [`Typing`] says what is typed where, as a value; [`type_file`] does it on a server and notes for
//! each key how long the answer took and what it cost.

use std::path::{Path, absolute};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use serde_json::{Value, json};
use tower_lsp::lsp_types::Url;

use crate::bench::client::Client;
use crate::complete::Record;
use crate::lsp::proposed::{INLINE_COMPLETION, InlineCompletionContext, InlineCompletionList};

/// A file with a part taken out, and the keys that put it back.
#[derive(Debug, PartialEq, Eq)]
pub struct Typing {
    /// The text before the first key.
    pub before: String,
    /// Line and column (in bytes, from 0) of the first key.
    pub start: (usize, usize),
    /// What each key inserts: a character, or a line end with the indentation that an editor
    /// brings along.
    pub keys: Vec<String>,
}

/// What one keystroke took.
#[derive(Clone, Debug)]
pub struct Stroke {
    /// From the keystroke's message to the answer.
    pub latency: Duration,
    /// Whether there was something to show.
    pub shown: bool,
    /// The server's own record.
    pub record: Record,
}

impl Typing {
    /// Takes whole lines out of a text and gives their first keys, at most so many. The part
    /// begins with a line that has text, a third of the way down, so that there is context on both
    /// sides; it ends at a line's end, since a cursor amid a word asks for nothing.
    pub fn new(text: &str, keystrokes: usize) -> Typing {
        let start = start_of_part(text);
        let mut keys = Vec::new();
        let mut end = start;
        while keys.len() < keystrokes && end < text.len() {
            let key = first_key(&text[end..]);
            keys.push(key.to_owned());
            end += key.len();
        }
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let rest = text[end..]
            .find(['\r', '\n'])
            .map_or(text.len(), |at| end + at);
        Typing {
            before: [&text[..start], &text[rest..]].concat(),
            start: (text[..start].matches('\n').count(), start - line_start),
            keys,
        }
    }
}

/// Where the first text of a line begins that lies a third of the way down.
fn start_of_part(text: &str) -> usize {
    let third = &text.as_bytes()[..text.len() / 3];
    let line = third
        .iter()
        .rposition(|&byte| byte == b'\n')
        .map_or(0, |at| at + 1);
    let blank = text[line..].len() - text[line..].trim_start().len();
    line + blank
}

fn first_key(text: &str) -> &str {
    let break_length = match text.as_bytes() {
        [b'\r', b'\n', ..] => 2,
        [b'\n', ..] => 1,
        _ => return &text[..text.chars().next().map_or(0, char::len_utf8)],
    };
    let indentation =
        text[break_length..].len() - text[break_length..].trim_start_matches([' ', '\t']).len();
    &text[..break_length + indentation]
}

/// Types into a file that the server is told to have open, asking for a completion at each key.
pub fn type_file(client: &mut Client, path: &Path, typing: &Typing) -> anyhow::Result<Vec<Stroke>> {
    let path = absolute(path).with_context(|| format!("cannot resolve {}", path.display()))?;
    let url = Url::from_file_path(&path).map_err(|()| anyhow!("{} has no URL", path.display()))?;
    client.notify(
        "textDocument/didOpen",
        json!({ "textDocument": {
        // No language name: the server goes by the file's name, as for a client that knows none.
        "uri": url, "languageId": "", "version": 0, "text": typing.before,
    } }),
    )?;
    let (mut line, mut column) = typing.start;
    let mut strokes = Vec::with_capacity(typing.keys.len());
    for (version, key) in (1..).zip(&typing.keys) {
        let at = json!({ "line": line, "character": column });
        match key.rfind('\n') {
            Some(end) => (line, column) = (line + 1, key.len() - end - 1),
            None => column += key.len(),
        }
        let now = json!({ "line": line, "character": column });
        strokes.push(stroke(client, &url, version, (at, now), key)?);
    }
    client.notify(
        "textDocument/didClose",
        json!({ "textDocument": { "uri": url } }),
    )?;
    Ok(strokes)
}

/// One key: inserts it at the first of two places, asks at the second.
fn stroke(
    client: &mut Client,
    url: &Url,
    version: i32,
    (at, now): (Value, Value),
    key: &str,
) -> anyhow::Result<Stroke> {
    let started = Instant::now();
    client.notify(
        "textDocument/didChange",
        json!({
            "textDocument": { "uri": url, "version": version },
            "contentChanges": [{ "range": { "start": at, "end": at }, "text": key }],
        }),
    )?;
    let answer = client.request(
        INLINE_COMPLETION,
        json!({
            "textDocument": { "uri": url },
            "position": now,
            "context": { "triggerKind": InlineCompletionContext::AUTOMATIC },
        }),
    )?;
    let latency = started.elapsed();
    let list: InlineCompletionList =
        serde_json::from_value(answer).context("the server's answer is not a list of items")?;
    let record = list.infill.unwrap_or_default();
    Ok(Stroke {
        latency,
        shown: !list.items.is_empty(),
        record,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "one\r\ntwo\n\n    thrée {\n\tfour\n}\n";

    /// Types into a plain string, as the server's document is edited.
    fn typed(typing: &Typing) -> String {
        let (line, column) = typing.start;
        let line_start: usize = typing
            .before
            .split_inclusive('\n')
            .take(line)
            .map(str::len)
            .sum();
        let mut text = typing.before.clone();
        text.insert_str(line_start + column, &typing.keys.concat());
        text
    }

    #[test]
    fn typing_the_keys_gives_the_file_again() {
        let table = [
            (0, "one\r\ntwo\n\n    \n\tfour\n}\n"),
            (1, "one\r\ntwo\n\n    t\n\tfour\n}\n"),
            (5, "one\r\ntwo\n\n    thrée\n\tfour\n}\n"),
            (8, "one\r\ntwo\n\n    thrée {\n\t\n}\n"),
            (1000, TEXT),
        ];
        for (keystrokes, expected) in table {
            let typing = Typing::new(TEXT, keystrokes);
            assert!(typing.keys.len() <= keystrokes);
            assert_eq!(typed(&typing), expected, "{keystrokes} keys: {typing:?}");
        }
        assert!(Typing::new("", 9).keys.is_empty());
    }

    #[test]
    fn a_line_end_brings_its_indentation() {
        let keys = Typing::new("ab\n    c\r\n\td\n\ne", 99).keys;
        let expected = ["c", "\r\n\t", "d", "\n", "\n", "e"];
        assert_eq!(keys, expected);
    }
}
