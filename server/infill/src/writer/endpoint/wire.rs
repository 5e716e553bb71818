//! The words of OpenAI's API: requests for chats and for texts, and what comes back.
//!
//! Takes an [`Order`], gives the path and the body; takes a body, gives what was written. Servers are not trusted: what is
//! not as it should be is an error that says so.

use prompt::{Message, Request, Role};
use serde::{Deserialize, Serialize};

use crate::writer::{Order, Written};

/// A request for an answer. Fields that stay out are not sent.
#[derive(Debug, Serialize)]
pub(super) struct Body<'a> {
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<Vec<Turn<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: Option<&'a str>,
    max_tokens: usize,
    temperature: f32,
    top_p: f32,
    seed: u64,
    stream: bool,
}

#[derive(Debug, Serialize)]
struct Turn<'a> {
    role: &'static str,
    content: &'a str,
}

/// The path and the body for an order.
pub(super) fn request<'a>(model: &'a str, order: &'a Order) -> (&'static str, Body<'a>) {
    let (path, messages, prompt) = match &order.request {
        Request::Chat(messages) => {
            let turns = messages.iter().map(turn).collect();
            ("chat/completions", Some(turns), None)
        }
        Request::Text(text) => ("completions", None, Some(text.as_str())),
    };
    let sampling = &order.sampling;
    let body = Body {
        model,
        messages,
        prompt,
        max_tokens: order.max_tokens,
        temperature: sampling.temperature,
        top_p: sampling.top_p,
        // Servers read a signed number.
        seed: sampling.seed & i64::MAX as u64,
        stream: false,
    };
    (path, body)
}

fn turn(message: &Message) -> Turn<'_> {
    let role = match message.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Observation => "tool",
    };
    Turn {
        role,
        content: &message.content,
    }
}

#[derive(Deserialize)]
struct Answer {
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    message: Option<Said>,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    content: Option<String>,
}

#[derive(Default, Deserialize)]
struct Usage {
    #[serde(default)]
    prompt_tokens: usize,
    #[serde(default)]
    completion_tokens: usize,
}

/// What a server says of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answered {
    /// The answer.
    pub written: Written,
    /// Whether the server counts tokens; if not, it counts as one that read and wrote none.
    pub is_counted: bool,
}

/// What was written. A model that was heard and said nothing, such as one that only reasoned, wrote an empty text.
pub(super) fn answered(body: &[u8]) -> Result<Answered, String> {
    let answer: Answer = read(body)?;
    let choice = answer.choices.into_iter().next();
    let choice = choice.ok_or("answered with no choice")?;
    let said = choice.message.map(|said| said.content.unwrap_or_default());
    let text = said.or(choice.text).ok_or("answered with no text")?;
    let is_counted = answer.usage.is_some();
    let usage = answer.usage.unwrap_or_default();
    let written = Written {
        text,
        read: usage.prompt_tokens,
        written: usage.completion_tokens,
        is_whole: choice.finish_reason.as_deref() != Some("length"),
    };
    Ok(Answered {
        written,
        is_counted,
    })
}

#[derive(Deserialize)]
struct Models {
    data: Vec<Model>,
}

#[derive(Deserialize)]
struct Model {
    id: String,
}

/// The models that a server lists.
pub(super) fn models(body: &[u8]) -> Result<Vec<String>, String> {
    let models: Models = read(body)?;
    Ok(models.data.into_iter().map(|model| model.id).collect())
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| match error.is_data() {
        true => format!("answered otherwise than OpenAI's API does ({error})"),
        false => "did not answer in JSON".to_owned(),
    })
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Complaint {
    OpenAi { error: Words },
    Plain(Words),
}

#[derive(Deserialize)]
struct Words {
    message: String,
}

/// The message of an error, in OpenAI's form or in vLLM's older one.
pub(super) fn message(body: &[u8]) -> Option<String> {
    match serde_json::from_slice(body).ok()? {
        Complaint::OpenAi { error } | Complaint::Plain(error) => Some(error.message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::Sampling;
    use serde_json::{Value, json};

    fn order(request: Request) -> Order {
        Order {
            request,
            sampling: Sampling {
                temperature: 0.5,
                top_p: 1.0,
                seed: u64::MAX,
            },
            max_tokens: 7,
        }
    }

    #[test]
    fn chats_and_texts_have_their_paths() {
        let message = |role, content: &str| Message {
            role,
            content: content.to_owned(),
        };
        let chat = order(Request::Chat(vec![
            message(Role::System, "be brief"),
            message(Role::User, "translate"),
        ]));
        let (path, body) = request("m", &chat);
        assert_eq!(path, "chat/completions");
        let expected = json!({
            "model": "m",
            "messages": [
                { "role": "system", "content": "be brief" },
                { "role": "user", "content": "translate" },
            ],
            "max_tokens": 7,
            "temperature": 0.5,
            "top_p": 1.0,
            "seed": i64::MAX,
            "stream": false,
        });
        assert_eq!(serde_json::to_value(body).unwrap(), expected);
        let text = order(Request::Text("code".to_owned()));
        let (path, body) = request("m", &text);
        let body: Value = serde_json::to_value(body).unwrap();
        assert_eq!((path, &body["prompt"]), ("completions", &json!("code")));
        assert!(body.get("messages").is_none());
    }

    #[test]
    fn answers_are_read_and_what_is_none_is_told() {
        let read = |answer: Value| answered(answer.to_string().as_bytes());
        let chat = json!({
            "choices": [{ "message": { "role": "assistant", "content": "x" }, "finish_reason": "stop" }],
            "usage": { "prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5 },
        });
        let expected = |text: &str, counted: Option<(usize, usize)>, is_whole| {
            let (read, written) = counted.unwrap_or_default();
            Ok(Answered {
                written: Written {
                    text: text.to_owned(),
                    read,
                    written,
                    is_whole,
                },
                is_counted: counted.is_some(),
            })
        };
        assert_eq!(read(chat), expected("x", Some((3, 2)), true));
        let text = json!({ "choices": [{ "text": "x", "finish_reason": "length" }] });
        assert_eq!(read(text), expected("x", None, false));
        let reasoned =
            json!({ "choices": [{ "message": { "content": null }, "finish_reason": "length" }] });
        assert_eq!(read(reasoned), expected("", None, false));
        for (answer, word) in [
            (json!({ "choices": [] }), "no choice"),
            (json!({ "choices": [{ "index": 0 }] }), "no text"),
            (
                json!({ "choices": [{ "message": { "content": 7 } }] }),
                "otherwise",
            ),
            (json!({ "choices": 3 }), "otherwise"),
            (json!([]), "otherwise"),
        ] {
            let why = read(answer).unwrap_err();
            assert!(why.contains(word), "{why}");
        }
        assert!(answered(b"<html>").unwrap_err().contains("JSON"));
    }
}
