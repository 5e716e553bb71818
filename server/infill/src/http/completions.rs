//! `POST /v1/completions`: a text that the model goes on with.
//!
//! A model that reads from left to right gets the text as it is; one that reads its question both ways gets it with a
//! blank at its end.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use prompt::{Budget, Input};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use crate::http::House;
use crate::http::answers::Begins;
use crate::http::fields::Fields;
use crate::http::openai::{Asked, Form};
use crate::http::refusal::Refusal;
use crate::input;
use crate::rooms::Rooms;

/// Most tokens of an answer, where the request says nothing: OpenAI's number.
const MOST_TOKENS: usize = 16;

/// What is asked for and not done here.
const NOT_DONE: [&str; 6] = [
    "best_of",
    "echo",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "presence_penalty",
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
    let prompts = fields
        .take_texts("prompt")?
        .ok_or_else(|| Refusal::bad_key("prompt", "is missing: the text to go on with"))?;
    if prompts.is_empty() {
        return Err(Refusal::bad_key("prompt", "is an empty list"));
    }
    if let Some(true) = fields
        .take::<String>("suffix")?
        .map(|suffix| !suffix.is_empty())
    {
        return Err(Refusal::bad_key(
            "suffix",
            "is not supported here: ask /infill",
        ));
    }
    let asked = Asked::read(&mut fields, prompts.len(), &["max_tokens"])?;
    let inputs = {
        let house = Arc::clone(&house);
        let laid = move || {
            prompts
                .iter()
                .map(|text| lay_out(&house.rooms, text))
                .collect()
        };
        let laid: Result<Result<Vec<Input>, Refusal>, _> = spawn_blocking(laid).await;
        laid.map_err(|error| Refusal::failed(&error.to_string()))??
    };
    let most = asked.most.unwrap_or(MOST_TOKENS);
    let context = house.rooms.model.context;
    let prompts = inputs.into_iter().map(|input| {
        let room = context.saturating_sub(input.ids.len());
        (input, most.min(room))
    });
    asked.answer::<Completion>(&house, prompts.collect()).await
}

/// A text that the model is to go on with, in the form that it goes on with.
fn lay_out(rooms: &Rooms, text: &str) -> Result<Input, Refusal> {
    let Rooms {
        vocab,
        template,
        model,
        ..
    } = rooms;
    let too_long = |tokens| Refusal::too_long(tokens, &model.name, model.context);
    let input = if model.reads_both_ways {
        // One place is for what opens the answer, one for its first token.
        let budget = Budget {
            part_a: model.context.saturating_sub(2),
            part_b: 2,
        };
        let blank = input::blank_at_end(text, vocab, *template, budget);
        let blank = blank.map_err(|why| Refusal::bad(why.to_string()))?;
        if blank.window.start > 0 {
            let frame = blank.ids.len() - vocab.encode(&text[blank.window.clone()]).len();
            return Err(too_long(vocab.encode(text).len() + frame));
        }
        input::of(blank)
    } else {
        input::as_it_is(text, vocab)
    };
    match input.ids.len() {
        0 => Err(Refusal::bad_key("prompt", "has nothing to go on from")),
        tokens if tokens >= model.context => Err(too_long(tokens)),
        _ => Ok(input),
    }
}

/// Answers as texts.
struct Completion;

impl Form for Completion {
    const ID: &'static str = "cmpl";
    const WHOLE: &'static str = "text_completion";
    const PIECE: &'static str = "text_completion";
    const BEGINS: Begins = Begins::AtOnce;

    fn whole(text: String) -> Value {
        json!({ "text": text })
    }

    fn opening() -> Option<Value> {
        None
    }

    fn piece(text: Option<String>) -> Value {
        json!({ "text": text.unwrap_or_default() })
    }
}
