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

use crate::http::answers::{Answers, Begins, End, Order, Whole};
use crate::http::events::{self, Shape};
use crate::http::fields::Fields;
use crate::http::refusal::Refusal;
use crate::http::wishes::{self, Wishes};
use crate::http::{House, json_response, seconds};
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
    let wishes = Wishes::read(&mut fields, 1.0)?;
    let count = wishes::count(&mut fields, prompts.len())?;
    let most = wishes::most_tokens(&mut fields, &["max_tokens"])?.unwrap_or(MOST_TOKENS);
    let counts_tokens = wishes::counts_tokens(&mut fields)?;
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
    let mut usage = Usage::of(&inputs);
    let orders = inputs.into_iter().flat_map(|input| {
        let room = house.rooms.model.context.saturating_sub(input.ids.len());
        let order = Order {
            input,
            sampling: wishes.sampling,
            max_tokens: most.min(room),
            stops: wishes.stops.clone(),
            time: None,
            begins: Begins::AtOnce,
        };
        let wishes = &wishes;
        (0..count).map(move |index| Order {
            sampling: wishes.sampling_of(index),
            ..order.clone()
        })
    });
    let answers = Answers::begin(&house, orders.collect());
    let head = Head::new("cmpl", "text_completion", &house.rooms);
    if wishes.stream {
        let shape = Pieces {
            head,
            usage,
            counts_tokens,
        };
        return Ok(events::response(answers, shape));
    }
    let whole = answers.whole().await?;
    whole.iter().for_each(|one| usage.add(&one.end));
    let choices = whole.into_iter().enumerate();
    let choices = choices.map(|(index, Whole { text, end })| {
        json!({ "index": index, "text": text, "logprobs": null, "finish_reason": end.reason() })
    });
    let choices = choices.collect();
    Ok(json_response(&head.with(choices, Some(&usage))))
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

/// What all pieces of a response say.
pub struct Head {
    id: String,
    object: &'static str,
    created: u64,
    model: String,
    fingerprint: String,
}

impl Head {
    /// For a response of this kind, whose id begins with `kind`.
    pub fn new(kind: &str, object: &'static str, rooms: &Rooms) -> Head {
        Head {
            id: format!("{kind}-{:016x}", fastrand::u64(..)),
            object,
            created: seconds(),
            model: rooms.model.name.clone(),
            fingerprint: rooms.model.id.clone(),
        }
    }

    /// With these choices.
    pub fn with(&self, choices: Vec<Value>, usage: Option<&Usage>) -> Value {
        let mut value = json!({
            "id": self.id,
            "object": self.object,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
            "choices": choices,
        });
        if let Some(usage) = usage {
            value["usage"] = usage.json();
        }
        value
    }
}

/// Tokens of a request and its answers.
#[derive(Debug, Default, Clone)]
pub struct Usage {
    read: usize,
    written: usize,
    reused: usize,
}

impl Usage {
    /// Of these prompts, before anything is written.
    pub fn of(inputs: &[Input]) -> Usage {
        Usage {
            read: inputs.iter().map(|input| input.ids.len()).sum(),
            ..Usage::default()
        }
    }

    /// Adds an answer.
    pub fn add(&mut self, end: &End) {
        self.written += end.answer.ids.len();
        self.reused += end.answer.reused;
    }

    fn json(&self) -> Value {
        json!({
            "prompt_tokens": self.read,
            "completion_tokens": self.written,
            "total_tokens": self.read + self.written,
            "prompt_tokens_details": { "cached_tokens": self.reused },
        })
    }
}

/// A completion piece by piece.
struct Pieces {
    head: Head,
    usage: Usage,
    counts_tokens: bool,
}

impl Shape for Pieces {
    fn opening(&self, _: usize) -> Vec<Value> {
        Vec::new()
    }

    fn text(&self, index: usize, text: String) -> Value {
        let choice =
            json!({ "index": index, "text": text, "logprobs": null, "finish_reason": null });
        self.head.with(vec![choice], None)
    }

    fn end(&mut self, index: usize, end: &End) -> Value {
        self.usage.add(end);
        let choice =
            json!({ "index": index, "text": "", "logprobs": null, "finish_reason": end.reason() });
        self.head.with(vec![choice], None)
    }

    fn closing(&self) -> Vec<String> {
        closing(&self.head, self.counts_tokens.then_some(&self.usage))
    }
}

/// How OpenAI's streams end.
pub fn closing(head: &Head, usage: Option<&Usage>) -> Vec<String> {
    let usage = usage.map(|usage| head.with(Vec::new(), Some(usage)).to_string());
    usage.into_iter().chain(["[DONE]".to_owned()]).collect()
}
