//! A translation as a training example: the request in a model's frame, then the answer to give.
//!
//! The answer has the form that the frame gives to an earlier answer of a conversation that goes on. So a model learns
//! to write what it will read of itself, and ends it with the token that stands there.

use vocab::Vocab;

use super::{Example, NO_LOSS};
use crate::chat::{Message, Role, chat};
use crate::request::Request;
use crate::task::block;
use crate::translation::Translation;
use crate::{Error, Template};

/// The example that teaches a model of this template to answer the request with this code. Nothing is to be learned of
/// the request itself.
///
/// # Errors
/// If the model does not translate, its frame does not mark where an answer ends, or the vocabulary lacks a token.
pub fn translated(
    translation: &Translation,
    code: &str,
    template: Template,
    vocab: &Vocab,
) -> Result<Example, Error> {
    let unmarked = || Error::NoLesson { template };
    let Request::Chat(mut messages) = translation.request(template)? else {
        return Err(unmarked());
    };
    let question = chat(template, vocab, &messages)?;
    messages.push(Message {
        role: Role::Assistant,
        content: block(template, translation.to, code),
    });
    messages.push(Message {
        role: Role::User,
        content: String::new(),
    });
    let mut input = chat(template, vocab, &messages)?;
    let answer = input.ids.strip_prefix(&question.ids[..]);
    let answer = answer.ok_or_else(unmarked)?;
    let length = answer.iter().position(|id| question.stops.contains(id));
    let length = length.ok_or_else(unmarked)?;

    // A token predicts the one after it, so the last of the request the first of the answer.
    let mut targets = vec![NO_LOSS; question.ids.len() - 1];
    targets.extend_from_slice(&answer[..=length]);
    let end = question.ids.len() + length;
    input.ids.truncate(end);
    for row in &mut input.positions {
        row.truncate(end);
    }
    Ok(Example {
        ids: input.ids,
        positions: input.positions,
        part_a: input.part_a,
        targets,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::translation::Attempt;
    use grammars::Language;
    use vocab::fixture;

    /// The tokens of GLM-4's conversations, and the marks of reasoning in later ones.
    const FRAME: &[&str] = &[
        "[gMASK]",
        "<sop>",
        "<|system|>",
        "<|user|>",
        "<|assistant|>",
        "<|observation|>",
        "<|endoftext|>",
        "</think>",
        "<think>",
    ];

    fn translation(attempts: &[Attempt]) -> Translation<'_> {
        let [from, to] = ["python", "rust"].map(|name| Language::named(name).unwrap());
        Translation {
            from,
            to,
            code: "def half(x):\n    return x // 2\n",
            context: "",
            declaration: "",
            note: "",
            attempts,
        }
    }

    #[test]
    fn the_answer_follows_the_request_and_alone_is_learned() {
        let vocab = fixture::with_special(FRAME);
        let attempts = [Attempt {
            code: "fn half() {}\n".to_owned(),
            complaint: "no argument".to_owned(),
        }];
        for attempts in [&attempts[..0], &attempts] {
            let translation = translation(attempts);
            let code = "fn half(x: i64) -> i64 {\n    x >> 1\n}\n";
            let template = Template::Glm4;
            let example = translated(&translation, code, template, &vocab).unwrap();
            let request = translation.request(template).unwrap();
            let asked = request.input(template, &vocab).unwrap();

            let (question, answer) = example.ids.split_at(asked.ids.len());
            assert_eq!(question, asked.ids);
            assert_eq!(vocab.decode(answer), format!("\n```rust\n{code}```"));
            let (unlearned, learned) = example.targets.split_at(question.len() - 1);
            assert!(unlearned.iter().all(|&target| target == NO_LOSS));
            let (stop, learned) = learned.split_last().unwrap();
            assert_eq!(learned, answer);
            assert_eq!(Some(*stop), vocab.id("<|user|>"));

            let count = example.ids.len() as u32;
            assert_eq!(example.part_a, 0);
            assert_eq!(
                example.positions,
                [(0..count).collect(), vec![0; count as usize]]
            );
        }
    }

    #[test]
    fn frames_that_mark_the_end_of_an_answer_can_be_learned() {
        let vocab = fixture::with_special(FRAME);
        let learned = Template::ALL.into_iter().filter(|&template| {
            translated(&translation(&[]), "fn half() {}", template, &vocab).is_ok()
        });
        let names: Vec<&str> = learned.map(Template::name).collect();
        let expected = [
            "chatglm3_v1",
            "codegeex4_v1",
            "glm4_v1",
            "glm4_0414_v1",
            "glm45_v1",
            "glm47_v1",
        ];
        assert_eq!(names, expected);
        // It opens its answers with reasoning, and reads none of it again.
        let z1 = translated(&translation(&[]), "", Template::GlmZ1, &vocab);
        assert_eq!(
            z1,
            Err(Error::NoLesson {
                template: Template::GlmZ1
            })
        );
    }
}
