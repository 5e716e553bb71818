//! From what a model wrote to the translation in it.
//!
//! In a conversation the code stands between fences. Text that a model went on with begins with what it was given, and
//! may run on into a next exercise of the kind that it was trained on; that is cut off.

use prompt::{Request, Translation};

/// The translation in an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    /// Its text, up to its last line's end.
    pub text: String,
    /// Whether the answer was cut off before the translation was over.
    pub is_cut_off: bool,
}

/// The translation in an answer to this request. `is_whole` says whether the model ended it.
pub fn code(translation: &Translation, request: &Request, written: &str, is_whole: bool) -> Code {
    let (code, is_over) = match request {
        Request::Chat(_) => (finish::unfenced(written), has_closed_fence(written)),
        Request::Text(_) => {
            let begun = translation.begun(request);
            let end = run_on(translation, written);
            let own = &written[..end.unwrap_or(written.len())];
            (format!("{begun}{own}"), end.is_some())
        }
    };
    let text = match code.trim_end() {
        "" => String::new(),
        code => format!("{}\n", code.trim_start_matches('\n')),
    };
    Code {
        text,
        is_cut_off: !(is_whole || is_over),
    }
}

/// Whether the code is over, and at most words of the model's are not.
fn has_closed_fence(written: &str) -> bool {
    let is_fence = |line: &&str| line.trim_start().starts_with("```");
    written.lines().filter(is_fence).count() > 1
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
        let body = "fn f() -> i32 {\n    1\n}\n";
        for (request, written, is_over, expected) in [
            (
                &chat,
                "Sure:\n```rust\nfn f() {}\n\n```\n",
                true,
                "fn f() {}\n",
            ),
            (&chat, "```rust\nfn f() {}\n", false, "fn f() {}\n"),
            (&chat, "", false, ""),
            (&text, "    1\n}\n", false, body),
            (&text, "    1\n}\ncode translation\nPython:\n", true, body),
            (&text, "    1\n}\n\nPython:\nx", true, body),
            (&text, "    1\n}\n# language: Python\nx", true, body),
        ] {
            for is_whole in [true, false] {
                let found = code(&translation, request, written, is_whole);
                assert_eq!(found.text, expected, "{written}");
                assert_eq!(found.is_cut_off, !is_whole && !is_over, "{written}");
            }
        }
    }
}
