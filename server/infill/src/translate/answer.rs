//! From what a model wrote to the translation in it.
//!
//! In a conversation the code stands between fences. Text that a model went on with begins with what it was given, and
//! may run on into a next exercise of the kind that it was trained on; that is cut off.

use prompt::{Request, Translation};

/// The translation in an answer to this request; it ends with its last line's end.
pub fn code(translation: &Translation, request: &Request, written: &str) -> String {
    let code = match request {
        Request::Chat(_) => finish::unfenced(written),
        Request::Text(_) => {
            let begun = translation.begun(request);
            let end = run_on(translation, written).unwrap_or(written.len());
            format!("{begun}{}", &written[..end])
        }
    };
    match code.trim_end() {
        "" => String::new(),
        code => format!("{}\n", code.trim_start_matches('\n')),
    }
}

/// Where a next exercise begins: a line that names it, or one of the two languages.
fn run_on(translation: &Translation, written: &str) -> Option<usize> {
    let titles =
        [translation.from, translation.to].map(|language| format!("{}:", language.title()));
    let tags = [translation.from, translation.to].map(|language| language.tag());
    let mut place = 0;
    for line in written.split_inclusive('\n') {
        let text = line.trim_end();
        let is_next = text == "code translation"
            || text == "<|endoftext|>"
            || titles.iter().any(|title| text == title)
            || tags.contains(&Some(text));
        // The first line still belongs to what was given.
        if is_next && place > 0 {
            return Some(place);
        }
        place += line.len();
    }
    None
}

#[cfg(test)]
mod tests {
    use grammars::Language;

    use super::*;

    #[test]
    fn an_answer_gives_its_code_and_no_more() {
        let [from, to] = ["python", "rust"].map(|name| Language::named(name).unwrap());
        let translation = Translation {
            from,
            to,
            code: "def f(): return 1",
            context: "",
            declaration: "fn f() -> i32 {\n",
            note: "",
            attempts: &[],
        };
        let chat = Request::Chat(Vec::new());
        let text = Request::Text(String::new());
        for (request, written, expected) in [
            (&chat, "Sure:\n```rust\nfn f() {}\n\n```\n", "fn f() {}\n"),
            (&chat, "", ""),
            (&text, "    1\n}\n", "fn f() -> i32 {\n    1\n}\n"),
            (
                &text,
                "    1\n}\ncode translation\nPython:\n",
                "fn f() -> i32 {\n    1\n}\n",
            ),
            (
                &text,
                "    1\n}\n\nPython:\nx",
                "fn f() -> i32 {\n    1\n}\n",
            ),
            (
                &text,
                "    1\n}\n# language: Python\nx",
                "fn f() -> i32 {\n    1\n}\n",
            ),
        ] {
            assert_eq!(code(&translation, request, written), expected, "{written}");
        }
    }
}
