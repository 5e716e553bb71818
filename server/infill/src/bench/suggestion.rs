//! What a server suggests, and whether it is what the script types next.

use serde_json::Value;

use crate::bench::buffer::{Buffer, Edit, Key, Place};
use crate::bench::script::{Step, keys};

/// Bytes on either side of the cursor that a suggestion is looked at in.
const NEAR: usize = 8 << 10;

/// Steps that a suggestion is compared with: more than any suggestion spares.
const AHEAD: usize = 500;

/// What an answer shows, if anything: the first item's text and range.
#[derive(Clone, Debug, PartialEq)]
pub struct Suggestion {
    text: String,
    range: Option<[Place; 2]>,
}

/// A suggestion that is right: taking it leaves the text as some later step does.
#[derive(Clone, Debug, PartialEq)]
pub struct Right {
    /// What taking it does.
    pub edit: Edit,
    /// How many steps it stands for.
    pub steps: usize,
    /// How many keys it saves, the one that takes it counted.
    pub saved: usize,
}

impl Suggestion {
    /// Reads the answer to `textDocument/inlineCompletion`: a list of items, bare or under `items`, or nothing.
    pub fn of(answer: &Value) -> Option<Suggestion> {
        let items = answer.as_array().or_else(|| answer["items"].as_array())?;
        let item = items.first()?;
        let text = &item["insertText"];
        // A snippet has its text one level down.
        let text = text.as_str().or_else(|| text["value"].as_str())?;
        let place = |place: &Value| {
            let number = |key: &str| usize::try_from(place[key].as_u64()?).ok();
            Some(Place {
                line: number("line")?,
                column: number("character")?,
            })
        };
        let range = &item["range"];
        let range = place(&range["start"]).zip(place(&range["end"]));
        Some(Suggestion {
            text: text.to_owned(),
            range: range.map(|(start, end)| [start, end]),
        })
    }

    /// Whether it has text to show that is not there already.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Whether it says that this key comes next.
    pub fn foresees(&self, buffer: &Buffer, key: &Key) -> bool {
        let (Key::Type { text, .. } | Key::Over { text }) = key else {
            return false;
        };
        let near = buffer.near(NEAR);
        let cursor = near.cursor();
        let [start, end] = self.range.unwrap_or([cursor, cursor]);
        let edit = near.edit_of(start, end, &self.text);
        let rest = edit.and_then(|edit| edit.text.get(edit.back..).map(str::to_owned));
        rest.is_some_and(|rest| rest.starts_with(text))
    }

    /// Whether taking it in this text is the same as taking some of the next steps, more than one of them a key.
    pub fn right(&self, buffer: &Buffer, next: &[Step]) -> Option<Right> {
        let near = buffer.near(NEAR);
        let cursor = near.cursor();
        let [start, end] = self.range.unwrap_or([cursor, cursor]);
        let edit = near.edit_of(start, end, &self.text)?;
        let mut taken = near.clone();
        taken.edit(&edit);
        let mut typed = near;
        for (count, step) in (1..=AHEAD).zip(next) {
            if matches!(step.key, Key::Jump { .. }) || typed.press(&step.key).is_err() {
                return None;
            }
            let keys = keys(&next[..count]);
            if typed == taken && keys > 1 {
                return Some(Right {
                    edit,
                    steps: count,
                    saved: keys - 1,
                });
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;
    use text::Encoding;

    use super::*;
    use crate::bench::script::Script;

    /// Where `foo(a)` is about to be typed after `x = `, with brackets that close by themselves.
    fn start() -> (Buffer, Vec<Step>) {
        let text = "z\nz\nx = foo(a)\nend\n\n\n";
        let mut script = Script::synthetic(Path::new("a.py"), text, 9, 4);
        script.steps.retain(|step| step.key.is_needed());
        let mut buffer = Buffer::new(&script.text, Encoding::Utf16);
        buffer.press(&Key::Jump { line: 2, column: 0 }).unwrap();
        let steps = script.steps.split_off(4);
        script
            .steps
            .iter()
            .for_each(|step| drop(buffer.press(&step.key).unwrap()));
        assert_eq!(
            (steps.len(), buffer.text().as_str()),
            (6, "z\nz\nx = \nend\n\n\n")
        );
        (buffer, steps)
    }

    #[test]
    fn a_key_is_foreseen_that_the_text_goes_on_with() {
        let (mut buffer, steps) = start();
        let foresees = |buffer: &Buffer, text: &str, range: [u64; 2], step: usize| {
            let suggestion = Suggestion::of(&item(text, range)).unwrap();
            suggestion.foresees(buffer, &steps[step].key)
        };
        assert!(foresees(&buffer, "four", [4, 4], 0));
        assert!(!foresees(&buffer, "oof", [4, 4], 0));
        assert!(foresees(&buffer, "x = foo", [0, 4], 0), "in a whole line");
        buffer.press(&steps[0].key).unwrap();
        assert!(foresees(&buffer, "fo", [4, 5], 1));
        assert!(!foresees(&buffer, "f", [4, 5], 1), "it ends there");
    }

    fn item(text: &str, range: [u64; 2]) -> Value {
        let place = |column| json!({ "line": 2, "character": column });
        let range = json!({ "start": place(range[0]), "end": place(range[1]) });
        json!({ "items": [{ "insertText": text, "range": range }] })
    }

    #[test]
    fn a_suggestion_is_right_if_typing_comes_to_the_same() {
        let (mut buffer, steps) = start();
        let saved = |answer: &Value, buffer: &Buffer, steps: &[Step]| {
            let suggestion = Suggestion::of(answer).expect("there is an item");
            suggestion
                .right(buffer, steps)
                .map(|right| (right.steps, right.saved))
        };
        // Bare text, the line repeated as some servers do, a part of it, and wrong ones.
        let bare = json!([{ "insertText": "foo(a)" }]);
        assert_eq!(saved(&bare, &buffer, &steps), Some((6, 5)));
        assert_eq!(
            saved(&item("x = foo(a)", [0, 4]), &buffer, &steps),
            Some((6, 5))
        );
        assert_eq!(saved(&item("foo", [4, 4]), &buffer, &steps), Some((3, 2)));
        assert_eq!(
            saved(&item("f", [4, 4]), &buffer, &steps),
            None,
            "one key saves none"
        );
        assert_eq!(saved(&item("foo(b)", [4, 4]), &buffer, &steps), None);
        assert_eq!(saved(&item("foo(a)\nend", [4, 4]), &buffer, &steps), None);
        // Inside the brackets, with the closer in the range and without it.
        steps[..4]
            .iter()
            .for_each(|step| drop(buffer.press(&step.key).unwrap()));
        assert_eq!(buffer.text(), "z\nz\nx = foo()\nend\n\n\n");
        assert_eq!(
            saved(&item("a)", [8, 9]), &buffer, &steps[4..]),
            Some((2, 1))
        );
        assert_eq!(saved(&item("a)", [8, 8]), &buffer, &steps[4..]), None);
    }

    #[test]
    fn answers_of_all_shapes_are_read() {
        assert_eq!(Suggestion::of(&Value::Null), None);
        assert_eq!(Suggestion::of(&json!({ "items": [] })), None);
        let snippet = json!([{ "insertText": { "kind": "snippet", "value": "a" } }]);
        assert_eq!(
            Suggestion::of(&snippet).map(|found| found.text),
            Some("a".to_owned())
        );
    }
}
