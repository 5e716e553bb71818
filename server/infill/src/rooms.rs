//! What every completion uses: the model's vocabulary, the engine that runs it, the stored answers.
//!
//! Opened once, from a model's files or from the model that is built in, and shared by all requests.

use std::sync::Arc;

use cache::Store;
use engine::Engine;
use prompt::Template;
use vocab::Vocab;

use crate::models::open::{Opened, open};
use crate::models::settings::Choice;

/// Bytes of stored answers: some tens of thousands of them, more than a day of typing.
const STORE_BYTES: usize = 16 << 20;

/// Bytes of the sequences that the engine keeps: with the embedded model some 30 windows of 1,000 tokens.
const KV_BYTES: usize = 256 << 20;

/// What every completion uses.
pub struct Rooms {
    /// The model's vocabulary.
    pub vocab: Arc<Vocab>,
    /// How the model wants to be asked.
    pub template: Template,
    /// The engine, which owns the model.
    pub engine: Engine,
    /// The answers that were given before.
    pub store: Store,
    /// What the other rooms need to know of the model.
    pub model: ModelFacts,
}

/// What the other rooms need to know of the model.
#[derive(Clone, Debug)]
pub struct ModelFacts {
    /// Its name, for people.
    pub name: String,
    /// A hash of its content, for cache keys and records.
    pub id: String,
    /// How many tokens it can see and write together.
    pub context: usize,
}

impl Rooms {
    /// Loads the model of this choice and starts its engine. Takes as long as reading the files takes.
    ///
    /// # Errors
    /// If the files cannot be read, are no model of this family, or lack a tokenizer.
    pub fn open(choice: &Choice) -> anyhow::Result<Rooms> {
        let Opened {
            model,
            vocab,
            template,
        } = open(choice)?;
        let facts = ModelFacts {
            name: model.name().to_owned(),
            id: model.id().to_owned(),
            context: model.config().context,
        };
        Ok(Rooms {
            vocab: Arc::new(vocab),
            template,
            engine: Engine::start(model, KV_BYTES),
            store: Store::new(STORE_BYTES),
            model: facts,
        })
    }
}
