//! Who writes the answers of batch work: the engine in this process, or a server elsewhere.
//!
//! Takes a request in words, gives the text that was written. Several may be written at once: the engine decodes them
//! side by side, behind anything that an editor asks for.

pub mod endpoint;

use std::sync::Arc;

use anyhow::Context as _;
use engine::{Class, Ended, Flow, Watch};
use prompt::{Request, Template};

use crate::flags::ModelArgs;
use crate::input;
use crate::models::settings::Choice;
use crate::rooms::Rooms;
use endpoint::{Endpoint, EndpointArgs};

/// One answer to write.
#[derive(Debug, Clone)]
pub struct Order {
    /// What is asked.
    pub request: Request,
    /// How tokens are drawn.
    pub sampling: engine::Sampling,
    /// Most tokens to write.
    pub max_tokens: usize,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Its text, as the model gave it.
    pub text: String,
    /// Tokens of the request, framed.
    pub read: usize,
    /// Tokens of the answer.
    pub written: usize,
    /// Whether the model ended it; else it was cut off at the most tokens or at the model's context.
    pub is_whole: bool,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// This request will never get one; others may.
    #[error("{0}")]
    Refused(String),
    /// Nothing can be written any more, now or at all.
    #[error("{0}")]
    Unavailable(String),
}

/// Writes answers.
pub enum Writer {
    /// The engine in this process.
    Engine(Arc<Rooms>),
    /// A server elsewhere.
    Endpoint(Box<Endpoint>),
}

impl Writer {
    /// The server that was named, or else the model.
    ///
    /// # Errors
    /// If the server or the model cannot be used.
    pub async fn open(model: &ModelArgs, endpoint: &EndpointArgs) -> anyhow::Result<Writer> {
        if let Some(url) = &endpoint.endpoint {
            let endpoint = Endpoint::open(url, endpoint).await?;
            return Ok(Writer::Endpoint(Box::new(endpoint)));
        }
        let folder = std::env::current_dir().context("the current folder is gone")?;
        let choice = model.choice().or(Choice::found_from(&folder)?);
        Ok(Writer::Engine(Arc::new(Rooms::open(&choice, &|_| {})?)))
    }

    /// How the model wants to be asked.
    pub fn template(&self) -> Template {
        match self {
            Writer::Engine(rooms) => rooms.template,
            Writer::Endpoint(endpoint) => endpoint.template(),
        }
    }

    /// The model's name, for people.
    pub fn name(&self) -> &str {
        match self {
            Writer::Engine(rooms) => &rooms.model.name,
            Writer::Endpoint(endpoint) => endpoint.model(),
        }
    }

    /// What tells this model from others: a hash of its content, or where it is and its name.
    pub fn id(&self) -> &str {
        match self {
            Writer::Engine(rooms) => &rooms.model.id,
            Writer::Endpoint(endpoint) => endpoint.id(),
        }
    }

    /// Writes one answer. Dropping the future ends the work on it.
    ///
    /// # Errors
    /// [`Failure`], in words for the user.
    pub async fn write(&self, order: &Order) -> Result<Written, Failure> {
        match self {
            Writer::Engine(rooms) => by_engine(rooms, order).await,
            Writer::Endpoint(endpoint) => endpoint.write(order).await,
        }
    }
}

async fn by_engine(rooms: &Rooms, order: &Order) -> Result<Written, Failure> {
    let input = order.request.input(rooms.template, &rooms.vocab);
    let input = input.map_err(|error| Failure::Refused(error.to_string()))?;
    let read = input.ids.len();
    let room = rooms.model.context.saturating_sub(read);
    if room == 0 {
        return Err(Failure::Refused(format!(
            "it has {read} tokens with its instructions, and {} reads and writes {} in all",
            rooms.model.name, rooms.model.context
        )));
    }
    let most = order.max_tokens.min(room);
    let job = input::job(input, Class::Batch, most, order.sampling);
    let stopped = || Failure::Unavailable("the engine has stopped".to_owned());
    let answer = rooms.run(job, Box::new(ToItsEnd)).await;
    let answer = answer.ok_or_else(stopped)?;
    match answer.ended {
        Ended::Failed(why) => Err(Failure::Refused(format!(
            "the model could not be run: {why}"
        ))),
        Ended::Cancelled | Ended::Superseded => Err(stopped()),
        ended => Ok(Written {
            text: rooms.vocab.decode(&answer.ids),
            read,
            written: answer.ids.len(),
            is_whole: ended == Ended::Stop,
        }),
    }
}

/// Lets the model write until it stops.
struct ToItsEnd;

impl Watch for ToItsEnd {
    fn token(&mut self, _: u32) -> Flow {
        Flow::More
    }
}
