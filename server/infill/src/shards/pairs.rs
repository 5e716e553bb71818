//! Pairs of code and its translation to training examples.
//!
//! A list has a JSON object a line. A pair with wrong attempts gives an example for each of them, then one for the
//! translation that is given once all complaints are heard; so a model learns to err and to correct itself.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use grammars::Language;
use prompt::example::{Example, translated};
use prompt::{Attempt, Template, Translation};
use serde::Deserialize;
use vocab::Vocab;

/// A line of a list. What else it says, such as how the translation is tested, is of no use here.
#[derive(Deserialize)]
struct Pair {
    from: String,
    to: String,
    code: String,
    #[serde(default)]
    context: String,
    #[serde(default)]
    declaration: String,
    translation: String,
    #[serde(default)]
    attempts: Vec<Wrong>,
}

/// An attempt, and what is said of it.
#[derive(Deserialize)]
struct Wrong {
    code: String,
    complaint: String,
}

/// The examples of a list, each with the language that it translates into.
///
/// # Errors
/// If the list cannot be read, a line is no pair, or an example would have more than `max_len` tokens.
pub fn examples(
    list: &Path,
    template: Template,
    vocab: &Vocab,
    max_len: usize,
) -> Result<Vec<(Language, Example)>> {
    let text =
        fs::read_to_string(list).with_context(|| format!("cannot read {}", list.display()))?;
    let mut examples = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let place = || format!("{}:{}", list.display(), number + 1);
        let pair: Pair = serde_json::from_str(line).with_context(place)?;
        let own = pair.examples(template, vocab).with_context(place)?;
        for (_, example) in &own {
            let length = example.ids.len();
            ensure!(
                length <= max_len,
                "{}: an example has {length} tokens, more than --max-len {max_len}",
                place()
            );
        }
        examples.extend(own);
    }
    Ok(examples)
}

impl Pair {
    fn examples(self, template: Template, vocab: &Vocab) -> Result<Vec<(Language, Example)>> {
        let [from, to] = [language(&self.from)?, language(&self.to)?];
        let attempts = self.attempts.into_iter();
        let attempts: Vec<Attempt> = attempts
            .map(|Wrong { code, complaint }| Attempt { code, complaint })
            .collect();
        let round = |round: usize| {
            let translation = Translation {
                from,
                to,
                code: &self.code,
                context: &self.context,
                declaration: &self.declaration,
                note: "",
                attempts: &attempts[..round],
            };
            let next = attempts.get(round);
            let answer = next.map_or(&self.translation, |attempt| &attempt.code);
            Ok((to, translated(&translation, answer, template, vocab)?))
        };
        (0..=attempts.len()).map(round).collect()
    }
}

fn language(name: &str) -> Result<Language> {
    Language::named(name).with_context(|| format!("there is no language `{name}`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use prompt::example::NO_LOSS;
    use vocab::fixture;

    const FRAME: &[&str] = &[
        "[gMASK]",
        "<sop>",
        "<|system|>",
        "<|user|>",
        "<|assistant|>",
        "<|observation|>",
        "<|endoftext|>",
    ];

    /// What becomes of a list with these lines.
    fn read(name: &str, lines: &[&str], max_len: usize) -> Result<Vec<String>> {
        let vocab = fixture::with_special(FRAME);
        let list =
            std::env::temp_dir().join(format!("infill-pairs-{name}-{}.jsonl", std::process::id()));
        fs::write(&list, lines.join("\n")).unwrap();
        let examples = examples(&list, Template::Glm4, &vocab, max_len);
        fs::remove_file(&list).unwrap();
        let learned = |(_, example): (Language, Example)| {
            let targets = example.targets.into_iter();
            vocab.decode(&targets.filter(|&id| id != NO_LOSS).collect::<Vec<_>>())
        };
        Ok(examples?.into_iter().map(learned).collect())
    }

    const PAIR: &str = r#"{"id": "a", "from": "python", "to": "rust", "code": "x = 1\n", "translation": "let x = 1;\n", "test": "",
        "attempts": [{"code": "x = 1", "complaint": "no"}, {"code": "let x", "complaint": "one more"}]}"#;

    #[test]
    fn each_attempt_and_the_translation_are_learned() {
        let pair = PAIR.replace('\n', "");
        let answers = read("each", &[&pair], 1024).unwrap();
        let expected = ["x = 1", "let x", "let x = 1;"];
        assert_eq!(
            answers,
            expected.map(|code| format!("\n```rust\n{code}\n```"))
        );
    }

    #[test]
    fn mistakes_name_the_line() {
        let pair = PAIR.replace('\n', "");
        let error = |line: &str, max_len| {
            let error = read("mistakes", &[&pair, line], max_len).unwrap_err();
            format!("{error:#}")
        };
        let foreign = pair.replace("rust", "klingon");
        assert!(error(&foreign, 1024).ends_with(".jsonl:2: there is no language `klingon`"));
        assert!(error("{}", 1024).contains(".jsonl:2: missing field `from`"));
        let long = error(&pair, 64);
        assert!(long.contains(".jsonl:1: an example has"), "{long}");
    }
}
