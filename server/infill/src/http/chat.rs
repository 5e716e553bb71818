//! `POST /v1/chat/completions`: a conversation, put to the model in its family's frame.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use prompt::{Error, Message, Role};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use crate::http::answers::{Answers, Begins, End, Order, Whole};
use crate::http::completions::{Head, Usage, closing};
use crate::http::events::{self, Shape};
use crate::http::fields::Fields;
use crate::http::refusal::Refusal;
use crate::http::wishes::{self, Wishes};
use crate::http::{House, json_response};

/// What is asked for and not done here.
const NOT_DONE: [&str; 10] = [
    "audio",
    "frequency_penalty",
    "functions",
    "logit_bias",
    "logprobs",
    "presence_penalty",
    "response_format",
    "tool_choice",
    "tools",
    "top_logprobs",
];

/// Answers a request.
///
/// # Errors
/// [`Refusal`].
pub async fn answer(
    State(house): State<Arc<House>>,
    mut fields: Fields,
) -> Result<Response, Refusal> {
    fields.refuse(&NOT_DONE)?;
    let messages = fields
        .take::<Vec<Value>>("messages")?
        .ok_or_else(|| Refusal::bad_key("messages", "is missing: the conversation"))?;
    let messages: Vec<Message> = messages
        .into_iter()
        .enumerate()
        .map(|(index, value)| message(index, value))
        .collect::<Result<_, _>>()?;
    let wishes = Wishes::read(&mut fields, 1.0)?;
    let count = wishes::count(&mut fields, 1)?;
    let most = wishes::most_tokens(&mut fields, &["max_completion_tokens", "max_tokens"])?;
    let counts_tokens = wishes::counts_tokens(&mut fields)?;
    let input = {
        let house = Arc::clone(&house);
        let laid = move || prompt::chat(house.rooms.template, &house.rooms.vocab, &messages);
        let laid = spawn_blocking(laid).await;
        laid.map_err(|error| Refusal::failed(&error.to_string()))?
    };
    let model = &house.rooms.model;
    let input = input.map_err(|error| match error {
        Error::NoChat { .. } => Refusal::bad(format!(
            "{} cannot chat: {error}. Ask /v1/completions, or serve a model that chats; `infill model pull \
             codegeex4-all-9b` gets one",
            model.name
        )),
        Error::Messages { .. } => Refusal::bad_key("messages", format!("are not answered: {error}")),
        error => Refusal::bad(error.to_string()),
    })?;
    let room = model.context.saturating_sub(input.ids.len());
    if room == 0 {
        return Err(Refusal::too_long(
            input.ids.len(),
            &model.name,
            model.context,
        ));
    }
    let mut usage = Usage::of(std::slice::from_ref(&input));
    let orders = (0..count).map(|index| Order {
        input: input.clone(),
        sampling: wishes.sampling_of(index),
        max_tokens: most.unwrap_or(room).min(room),
        stops: wishes.stops.clone(),
        time: None,
        begins: Begins::BehindBlanks,
    });
    let answers = Answers::begin(&house, orders.collect());
    if wishes.stream {
        let head = Head::new("chatcmpl", "chat.completion.chunk", &house.rooms);
        let shape = Pieces {
            head,
            usage,
            counts_tokens,
        };
        return Ok(events::response(answers, shape));
    }
    let head = Head::new("chatcmpl", "chat.completion", &house.rooms);
    let whole = answers.whole().await?;
    whole.iter().for_each(|one| usage.add(&one.end));
    let choices = whole.into_iter().enumerate();
    let choices = choices.map(|(index, Whole { text, end })| {
        json!({
            "index": index,
            "message": { "role": "assistant", "content": text },
            "logprobs": null,
            "finish_reason": end.reason(),
        })
    });
    let choices = choices.collect();
    Ok(json_response(&head.with(choices, Some(&usage))))
}

/// The message at this place of a conversation. What it says is a text, or a list of texts.
fn message(index: usize, mut value: Value) -> Result<Message, Refusal> {
    let wrong = |key: &str, what| Refusal::bad_key(format!("messages[{index}]{key}"), what);
    let role = match value["role"].as_str() {
        Some("system" | "developer") => Role::System,
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        Some("tool" | "function") => Role::Observation,
        _ => return Err(wrong(".role", "must be system, user, assistant or tool")),
    };
    let content = match value["content"].take() {
        Value::String(text) => text,
        Value::Null if role == Role::Assistant => String::new(),
        Value::Array(parts) => {
            let texts = parts.iter().map(|part| part["text"].as_str());
            let text: Option<String> = texts.collect();
            text.ok_or_else(|| wrong(".content", "may have parts of text only"))?
        }
        _ => return Err(wrong(".content", "must be a text")),
    };
    Ok(Message { role, content })
}

/// An answer piece by piece.
struct Pieces {
    head: Head,
    usage: Usage,
    counts_tokens: bool,
}

impl Pieces {
    fn piece(&self, index: usize, delta: Value, reason: Option<&str>) -> Value {
        let choice =
            json!({ "index": index, "delta": delta, "logprobs": null, "finish_reason": reason });
        self.head.with(vec![choice], None)
    }
}

impl Shape for Pieces {
    fn opening(&self, count: usize) -> Vec<Value> {
        let role = |index| self.piece(index, json!({ "role": "assistant", "content": "" }), None);
        (0..count).map(role).collect()
    }

    fn text(&self, index: usize, text: String) -> Value {
        self.piece(index, json!({ "content": text }), None)
    }

    fn end(&mut self, index: usize, end: &End) -> Value {
        self.usage.add(end);
        self.piece(index, json!({}), Some(end.reason()))
    }

    fn closing(&self) -> Vec<String> {
        closing(&self.head, self.counts_tokens.then_some(&self.usage))
    }
}
