//! `POST /infill`, as llama.cpp's server has it: what belongs between two texts.
//!
//! Editors' plugins for llama.cpp (llama.vim, llama.vscode) ask it. The cursor goes through the same rooms as a
//! completion: which blank it is, what the model reads of the text around it and of other files; half of a word before it is
//! gone on with and not said again. The answer comes as the model gives it, since these plugins fit it to the text themselves.
//!
//! What these plugins leave out is decided so: without a `temperature` the likeliest tokens are taken, as for
//! completions everywhere here. `filename`, which is ours, says the language; without it the text is plain. What samplers
//! and caches are told (`top_k`, `samplers`, `cache_prompt`, `n_indent` …) has no meaning here and is let be, and there is
//! one answer whatever `n_cmpl` says. With an `n_predict` of 0 the prompt is read and kept for the next one, no more.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::response::Response;
use engine::Ended;
use grammars::Language;
use prompt::{Around, Asked, Budget, Reference, Why};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use text::Snapshot;
use tokio::task::spawn_blocking;

use crate::complete::{LARGEST_DOCUMENT, LONGEST_LINE};
use crate::http::answers::{Answers, Begins, End, Order, Whole};
use crate::http::events::{self, Shape};
use crate::http::fields::Fields;
use crate::http::refusal::Refusal;
use crate::http::wishes::Wishes;
use crate::http::{House, json_response};
use crate::input;
use crate::rooms::Rooms;

/// Most tokens of an answer, where the request says nothing.
const MOST_TOKENS: usize = 128;

/// How long parsing may take; past it, the text is read by its lines alone.
const PARSE_DEADLINE: Duration = Duration::from_millis(250);

/// Another text worth knowing.
#[derive(Debug, Deserialize)]
struct Extra {
    #[serde(default)]
    filename: String,
    text: String,
}

/// The texts of a request.
struct Texts {
    prefix: String,
    suffix: String,
    extras: Vec<Extra>,
    filename: String,
}

/// Answers a request.
///
/// # Errors
/// [`Refusal`].
pub async fn answer(
    State(house): State<Arc<House>>,
    mut fields: Fields,
) -> Result<Response, Refusal> {
    let mut text = |key| Ok(fields.take::<String>(key)?.unwrap_or_default());
    let (prefix, suffix) = (text("input_prefix")?, text("input_suffix")?);
    // What llama.cpp calls the prompt is the cursor's line up to the cursor.
    let (line, filename) = (text("prompt")?, text("filename")?);
    let texts = Texts {
        prefix: prefix + &line,
        suffix,
        extras: fields.take("input_extra")?.unwrap_or_default(),
        filename,
    };
    let wishes = Wishes::read(&mut fields, 0.0)?;
    let most = match fields.take::<i64>("n_predict")? {
        None | Some(-1) => MOST_TOKENS,
        Some(count) => usize::try_from(count)
            .map_err(|_| Refusal::bad_key("n_predict", "must be a number from 0, or -1"))?,
    };
    let time = fields.take::<u64>("t_max_predict_ms")?;
    let wanted = fields.take::<Vec<String>>("response_fields")?;
    let context = house.rooms.model.context;
    let max_tokens = most.min(context / 2);
    let settings = settings(&wishes, max_tokens, context);
    let laid = {
        let house = Arc::clone(&house);
        let laid = move || lay_out(&house.rooms, &texts, max_tokens);
        let laid = spawn_blocking(laid).await;
        laid.map_err(|error| Refusal::failed(&error.to_string()))?
    };
    let (orders, read, is_cut) = match laid? {
        None => (Vec::new(), 0, false),
        Some((Asked { prompt, open, .. }, is_cut)) => {
            let read = prompt.ids.len();
            let order = Order {
                input: input::of(prompt),
                sampling: wishes.sampling,
                // What the answer has to begin with may be a token a byte. To read only stays to read only.
                max_tokens: max_tokens + if max_tokens > 0 { open.len() } else { 0 },
                stops: wishes.stops,
                time: time.map(Duration::from_millis),
                begins: Begins::Behind(open),
            };
            (vec![order], read, is_cut)
        }
    };
    let pieces = Pieces {
        model: house.rooms.model.name.clone(),
        read,
        is_cut,
        settings,
        wanted,
    };
    let answers = Answers::begin(&house, orders);
    if wishes.stream {
        return Ok(events::response(answers, pieces));
    }
    let whole = answers.whole().await?.pop();
    Ok(json_response(&pieces.whole(whole)))
}

/// The prompt for the place between the two texts, and whether not all of them fits; none if there is nothing to fill.
fn lay_out(
    rooms: &Rooms,
    texts: &Texts,
    max_tokens: usize,
) -> Result<Option<(Asked, bool)>, Refusal> {
    let Texts {
        prefix,
        suffix,
        extras,
        filename,
    } = texts;
    let whole = format!("{prefix}{suffix}");
    if whole.len() > LARGEST_DOCUMENT {
        return Err(Refusal::bad(format!(
            "the text has more than {} MiB: send what is near the cursor",
            LARGEST_DOCUMENT >> 20
        )));
    }
    let first_line = whole.lines().next().unwrap_or_default();
    let path = (!filename.is_empty()).then(|| Path::new(filename));
    let language = path.map_or(Language::PLAIN, |path| {
        Language::detect(Some(path), None, first_line)
    });
    let snapshot = Snapshot::new(&whole, language);
    if snapshot.line_range(snapshot.line_of(prefix.len())).len() > LONGEST_LINE {
        return Ok(None);
    }
    let began = Instant::now();
    let syntax = snapshot.syntax_near(prefix.len(), &mut || began.elapsed() > PARSE_DEADLINE);
    let situation = match prompt::situate(&snapshot, syntax.as_ref(), prefix.len()) {
        Ok(situation) => situation,
        Err(Why::InsideWord) => return Ok(None),
        Err(why @ Why::Model(_)) => return Err(Refusal::bad(why.to_string())),
    };
    let references: Vec<Reference> = extras
        .iter()
        .map(|extra| Reference {
            path: &extra.filename,
            text: &extra.text,
        })
        .collect();
    let around = Around {
        path: filename,
        references: &references,
    };
    // One place is for what opens the answer.
    let part_b = max_tokens + 1;
    let budget = Budget {
        part_a: rooms.model.context.saturating_sub(part_b).min(rooms.window),
        part_b,
    };
    let asked = prompt::build_open(
        &snapshot,
        &situation,
        &rooms.vocab,
        rooms.template,
        &around,
        budget,
    );
    let asked = asked.map_err(|why| Refusal::bad(why.to_string()))?;
    let is_cut = asked.prompt.window.start > 0;
    Ok(Some((asked, is_cut)))
}

/// How an answer is written, in llama.cpp's words. llama.vscode shows `n_ctx` and fails where it is not told it.
fn settings(wishes: &Wishes, max_tokens: usize, context: usize) -> Value {
    json!({
        "n_ctx": context,
        "n_predict": max_tokens,
        // As a request may give it back.
        "seed": wishes.sampling.seed.cast_signed(),
        "temperature": wishes.sampling.temperature,
        "top_p": wishes.sampling.top_p,
        "stop": wishes.stops,
        "stream": wishes.stream,
    })
}

/// An answer in llama.cpp's words.
struct Pieces {
    model: String,
    /// Tokens of the prompt.
    read: usize,
    is_cut: bool,
    /// What [`settings`] says.
    settings: Value,
    /// The parts of the response that are wanted; all of them if none are named.
    wanted: Option<Vec<String>>,
}

impl Pieces {
    fn whole(&self, whole: Option<Whole>) -> Value {
        let (text, end) = whole.map_or((String::new(), None), |Whole { text, end }| {
            (text, Some(end))
        });
        let has_line = text.contains('\n');
        let mut value = self.last(end.as_ref());
        value["content"] = text.into();
        value["has_new_line"] = has_line.into();
        match &self.wanted {
            Some(paths) => parts(&value, paths),
            None => value,
        }
    }

    /// What is said at the end; nothing was asked of the model if there is none.
    fn last(&self, end: Option<&End>) -> Value {
        let answer = end.map(|end| &end.answer);
        let count = answer.map_or(0, |answer| answer.ids.len());
        let stop_type = match (
            end.and_then(|end| end.stop.as_ref()),
            answer.map(|answer| &answer.ended),
        ) {
            (Some(_), _) => "word",
            (None, Some(Ended::Stop)) => "eos",
            (None, Some(_)) => "limit",
            (None, None) => "none",
        };
        let prefilled = answer.map_or(0, |answer| answer.prefilled);
        let prefill = answer.map_or(Duration::ZERO, |answer| answer.prefill);
        let decode = answer.map_or(Duration::ZERO, |answer| answer.decode);
        let mut timings = Map::new();
        for (name, count, time) in [("prompt", prefilled, prefill), ("predicted", count, decode)] {
            let milliseconds = time.as_secs_f64() * 1e3;
            let per_token = if count == 0 {
                0.0
            } else {
                milliseconds / count as f64
            };
            let per_second = if milliseconds == 0.0 {
                0.0
            } else {
                count as f64 * 1e3 / milliseconds
            };
            timings.insert(format!("{name}_n"), count.into());
            timings.insert(format!("{name}_ms"), milliseconds.into());
            timings.insert(format!("{name}_per_token_ms"), per_token.into());
            timings.insert(format!("{name}_per_second"), per_second.into());
        }
        json!({
            "index": 0,
            "content": "",
            "stop": true,
            "model": self.model,
            "tokens_predicted": count,
            "tokens_evaluated": self.read,
            "tokens_cached": self.read + count,
            "truncated": self.is_cut,
            "generation_settings": self.settings,
            "stop_type": stop_type,
            "stopping_word": end.and_then(|end| end.stop.clone()).unwrap_or_default(),
            "timings": timings,
        })
    }
}

impl Shape for Pieces {
    fn opening(&self, count: usize) -> Vec<Value> {
        // Nothing will come, not even an end.
        if count == 0 {
            vec![self.last(None)]
        } else {
            Vec::new()
        }
    }

    fn text(&self, index: usize, text: String) -> Value {
        json!({ "index": index, "content": text, "stop": false })
    }

    fn end(&mut self, _: usize, end: &End) -> Value {
        self.last(Some(end))
    }

    fn closing(&self) -> Vec<String> {
        Vec::new()
    }
}

/// These parts of a value, by their paths such as `timings/prompt_n`, under those names; paths that lead nowhere are left out.
fn parts(value: &Value, paths: &[String]) -> Value {
    let found = paths.iter().filter_map(|path| {
        let part = value.pointer(&format!("/{path}"))?;
        Some((path.clone(), part.clone()))
    });
    Value::Object(found.collect())
}
