//! `infill generate`: a model writes on, greedily.
//!
//! A prompt is a message if the model chats, else text with a blank at its end; `--raw` gives it as it is.

use std::io::{Write, stdout};
use std::sync::mpsc;

use anyhow::{Context as _, anyhow, bail};
use engine::{Class, Ended, Engine, Flow, Job, Sampling, Watch};
use prompt::{Budget, Error, Message, Role};
use serde_json::json;
use vocab::Vocab;

use crate::command::places;
use crate::flags::GenerateArgs;
use crate::input;
use crate::models::open::{Opened, open, weights};
use crate::models::settings::Choice;

/// Generates and prints the text, or JSON with `text`, `tokens` and `ended`.
///
/// # Errors
/// If the model cannot be opened or run, or the prompt cannot be put to it.
pub fn run(arguments: &GenerateArgs) -> anyhow::Result<()> {
    let folder = std::env::current_dir().context("the current folder is gone")?;
    let choice = arguments.model.choice().or(Choice::found_from(&folder)?);
    let (model, vocab, job) = match &arguments.prompt {
        None => (
            weights(&choice, &|_| {})?.0.model,
            None,
            plain(&arguments.tokens, arguments, &[])?,
        ),
        Some(text) => {
            let opened = open(&choice, &|_| {})?;
            let job = match arguments.raw {
                true => {
                    let ids = opened.vocab.encode_start(text);
                    plain(&ids, arguments, &input::ends(&opened.vocab))?
                }
                false => framed(text, &opened, arguments.max_tokens)?,
            };
            (opened.model, Some(opened.vocab), job)
        }
    };
    let (done, answer) = mpsc::channel();
    let engine = Engine::start(model, 0);
    engine.submit(
        job,
        Box::new(Unwatched),
        Box::new(move |answer| {
            // The receiver waits below.
            let _ = done.send(answer);
        }),
    );
    let answer = answer.recv().context("the engine has stopped")?;
    if let Some(trouble) = engine.trouble() {
        tracing::warn!("{trouble}");
    }
    let ended = match answer.ended {
        Ended::Stop => "stop",
        Ended::Watch | Ended::Length | Ended::Stuck => "length",
        Ended::Cancelled | Ended::Superseded => bail!("the generation was cancelled"),
        Ended::Failed(why) => bail!("the model could not be run: {why}"),
    };
    let text = vocab.map(|vocab: Vocab| vocab.decode(&answer.ids));
    let printed = match (arguments.json, &text) {
        (true, _) => json!({ "text": text, "tokens": answer.ids, "ended": ended }).to_string(),
        (false, Some(text)) => text.clone(),
        (false, None) => {
            let ids: Vec<String> = answer.ids.iter().map(u32::to_string).collect();
            ids.join(",")
        }
    };
    writeln!(stdout(), "{printed}").context("cannot write to standard output")
}

/// Tokens as they are.
fn plain(ids: &[u32], arguments: &GenerateArgs, stops: &[u32]) -> anyhow::Result<Job> {
    if ids.is_empty() {
        bail!("there is nothing to go on from: the prompt has no tokens");
    }
    let positions = places::rows(&arguments.places, ids.len())?;
    Ok(Job {
        advance: places::advance(&positions),
        ids: ids.to_owned(),
        positions,
        part_a: arguments.places.sep,
        mask_at: arguments.places.mask,
        class: Class::Invoked,
        stops: stops.to_owned(),
        max_tokens: arguments.max_tokens,
        sampling: Sampling::GREEDY,
        document: 0,
        drafts: Vec::new(),
        recall: None,
    })
}

/// The text in the frame of the model's family.
fn framed(text: &str, opened: &Opened, max_tokens: usize) -> anyhow::Result<Job> {
    let Opened {
        model,
        vocab,
        template,
        ..
    } = opened;
    let message = Message {
        role: Role::User,
        content: text.to_owned(),
    };
    let input = match prompt::chat(*template, vocab, &[message]) {
        Ok(input) => input,
        Err(Error::NoChat { .. }) => {
            let budget = Budget {
                part_a: model.config().context.saturating_sub(max_tokens + 1),
                part_b: max_tokens + 1,
            };
            let blank = input::blank_at_end(text, vocab, *template, budget);
            input::of(blank.map_err(|why| anyhow!("{why}; --raw gives the prompt as it is"))?)
        }
        Err(error) => return Err(error.into()),
    };
    Ok(input::job(
        input,
        Class::Invoked,
        max_tokens,
        Sampling::GREEDY,
    ))
}

/// Lets the model write to its end.
struct Unwatched;

impl Watch for Unwatched {
    fn token(&mut self, _: u32) -> Flow {
        Flow::More
    }
}
