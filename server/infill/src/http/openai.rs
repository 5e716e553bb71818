//! What OpenAI's two endpoints share: how answers are asked for, and the frame in which they come.

use std::marker::PhantomData;

use axum::response::Response;
use prompt::Input;
use serde_json::{Value, json};

use crate::http::answers::{Answers, Begins, End, Order};
use crate::http::events::{self, Shape};
use crate::http::fields::Fields;
use crate::http::refusal::Refusal;
use crate::http::wishes::{self, Wishes};
use crate::http::{House, json_response, seconds};

/// How answers are asked for.
pub struct Asked {
    wishes: Wishes,
    /// Answers to each prompt.
    count: usize,
    /// Most tokens of an answer, if anything is said about it.
    pub most: Option<usize>,
    /// Whether a stream is to end with the number of tokens.
    counts_tokens: bool,
}

impl Asked {
    /// Reads it, for so many prompts; `lengths` are the keys that may say how long an answer may be.
    ///
    /// # Errors
    /// If something cannot be fulfilled.
    pub fn read(fields: &mut Fields, prompts: usize, lengths: &[&str]) -> Result<Asked, Refusal> {
        Ok(Asked {
            wishes: Wishes::read(fields, 1.0)?,
            count: wishes::count(fields, prompts)?,
            most: wishes::most_tokens(fields, lengths)?,
            counts_tokens: wishes::counts_tokens(fields)?,
        })
    }

    /// Has the answers to all prompts written, each with at most so many tokens.
    ///
    /// # Errors
    /// As [`Answers::next`].
    pub async fn answer<F: Form>(
        self,
        house: &House,
        prompts: Vec<(Input, usize)>,
    ) -> Result<Response, Refusal> {
        let mut usage = Usage::default();
        let mut orders = Vec::new();
        for (input, max_tokens) in prompts {
            usage.read += input.ids.len();
            orders.extend((0..self.count).map(|index| Order {
                input: input.clone(),
                sampling: self.wishes.sampling_of(index),
                max_tokens,
                stops: self.wishes.stops.clone(),
                time: None,
                begins: F::BEGINS,
            }));
        }
        let answers = Answers::begin(house, orders);
        let mut frame = Frame::<F>::new(house, usage, self.counts_tokens);
        if self.wishes.stream {
            frame.object = F::PIECE;
            return Ok(events::response(answers, frame));
        }
        let whole = answers.whole().await?;
        let choices = whole.into_iter().enumerate().map(|(index, whole)| {
            frame.usage.add(&whole.end);
            choice(index, F::whole(whole.text), Some(&whole.end))
        });
        let choices = choices.collect();
        Ok(json_response(&frame.around(choices, true)))
    }
}

/// What tells one endpoint's answers from the other's.
pub trait Form: Send + 'static {
    /// How ids begin.
    const ID: &'static str;
    /// What a whole response is called.
    const WHOLE: &'static str;
    /// What a piece of one is called.
    const PIECE: &'static str;
    /// Where answers begin.
    const BEGINS: Begins;
    /// What a choice says of a whole answer.
    fn whole(text: String) -> Value;
    /// What it says before there is any text, if anything.
    fn opening() -> Option<Value>;
    /// What it says of more text; of none when there is no more.
    fn piece(text: Option<String>) -> Value;
}

/// One of the choices of a response.
fn choice(index: usize, mut said: Value, end: Option<&End>) -> Value {
    said["index"] = index.into();
    said["logprobs"] = Value::Null;
    said["finish_reason"] = end.map(End::reason).into();
    said
}

/// What all pieces of a response say.
struct Frame<F> {
    id: String,
    object: &'static str,
    created: u64,
    model: String,
    fingerprint: String,
    usage: Usage,
    counts_tokens: bool,
    form: PhantomData<F>,
}

impl<F: Form> Frame<F> {
    fn new(house: &House, usage: Usage, counts_tokens: bool) -> Frame<F> {
        let model = &house.rooms.model;
        Frame {
            id: format!("{}-{:016x}", F::ID, fastrand::u64(..)),
            object: F::WHOLE,
            created: seconds(),
            model: model.name.clone(),
            fingerprint: model.id.clone(),
            usage,
            counts_tokens,
            form: PhantomData,
        }
    }

    /// With these choices, and how many tokens there were if that is asked.
    fn around(&self, choices: Vec<Value>, counts_tokens: bool) -> Value {
        let mut value = json!({
            "id": self.id,
            "object": self.object,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
            "choices": choices,
        });
        if counts_tokens {
            value["usage"] = self.usage.json();
        }
        value
    }
}

impl<F: Form> Shape for Frame<F> {
    fn opening(&self, count: usize) -> Vec<Value> {
        let opening = |index| Some(self.around(vec![choice(index, F::opening()?, None)], false));
        (0..count).filter_map(opening).collect()
    }

    fn text(&self, index: usize, text: String) -> Value {
        self.around(vec![choice(index, F::piece(Some(text)), None)], false)
    }

    fn end(&mut self, index: usize, end: &End) -> Value {
        self.usage.add(end);
        self.around(vec![choice(index, F::piece(None), Some(end))], false)
    }

    fn closing(&self) -> Vec<String> {
        let usage = self.counts_tokens.then(|| self.around(Vec::new(), true));
        let usage = usage.map(|usage| usage.to_string());
        usage.into_iter().chain(["[DONE]".to_owned()]).collect()
    }
}

/// Tokens of a request and its answers.
#[derive(Debug, Default)]
struct Usage {
    read: usize,
    written: usize,
    reused: usize,
}

impl Usage {
    fn add(&mut self, end: &End) {
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
