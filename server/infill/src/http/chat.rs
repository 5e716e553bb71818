//! `POST /v1/chat/completions`: a conversation, put to the model in its family's frame.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use prompt::{Error, Message, Role};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use crate::http::House;
use crate::http::answers::Begins;
use crate::http::fields::Fields;
use crate::http::openai::{Asked, Form};
use crate::http::refusal::Refusal;

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
    let asked = Asked::read(&mut fields, 1, &["max_completion_tokens", "max_tokens"])?;
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
    let most = asked.most.unwrap_or(room).min(room);
    asked.answer::<Chat>(&house, vec![(input, most)]).await
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

/// Answers as what the assistant says.
struct Chat;

impl Form for Chat {
    const ID: &'static str = "chatcmpl";
    const WHOLE: &'static str = "chat.completion";
    const PIECE: &'static str = "chat.completion.chunk";
    // Models that chat often break the line first.
    const BEGINS: Begins = Begins::BehindBlanks;

    fn whole(text: String) -> Value {
        json!({ "message": { "role": "assistant", "content": text } })
    }

    fn opening() -> Option<Value> {
        Some(json!({ "delta": { "role": "assistant", "content": "" } }))
    }

    fn piece(text: Option<String>) -> Value {
        let delta = text.map_or(json!({}), |text| json!({ "content": text }));
        json!({ "delta": delta })
    }
}
