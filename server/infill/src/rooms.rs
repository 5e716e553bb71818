//! What every completion uses: the model's vocabulary, the engine that runs it, the stored answers.
//!
//! Opened once, from a GGUF file or from the model that is built in, and shared by all requests.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use cache::Store;
use engine::Engine;
use glm::{Device, Source, Weights};
use prompt::Template;
use vocab::Vocab;

use crate::embedded;

/// Bytes of stored answers: some tens of thousands of them, more than a day of typing.
const STORE_BYTES: usize = 16 << 20;

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
    /// Loads the model in this file, or the one that is built in, and starts its engine. Takes as
    /// long as reading the file takes.
    ///
    /// # Errors
    /// If the file cannot be read, is not a model of this family, or lacks its tokenizer.
    pub fn open(path: Option<&Path>) -> anyhow::Result<Rooms> {
        let (name, source) = match path {
            Some(path) => (path.display().to_string(), Source::Path(path.to_owned())),
            None => (
                "that is built in".to_owned(),
                Source::Static(embedded::MODEL),
            ),
        };
        // The message says the cause already, so the chain of causes would only repeat it.
        let model =
            glm::Model::open(&source, Weights::AsStored, &Device::Cpu).map_err(|error| anyhow!("{error}"))?;
        let tokenizer = model
            .tokenizer_json()
            .with_context(|| format!("the model {name} has no tokenizer; export it again"))?;
        let vocab = Vocab::from_json(tokenizer)
            .with_context(|| format!("cannot use the tokenizer of the model {name}"))?;
        let template = model.template().unwrap_or(Template::InfillV1.name());
        let template = Template::from_name(template)
            .and_then(|template| {
                let size = model.config().vocabulary;
                template.check(&vocab, size).map(|()| template)
            })
            .with_context(|| format!("cannot ask the model {name}"))?;
        let facts = ModelFacts {
            name: model.name().to_owned(),
            id: model.id().to_owned(),
            context: model.config().context,
        };
        Ok(Rooms {
            vocab: Arc::new(vocab),
            engine: Engine::start(model),
            template,
            store: Store::new(STORE_BYTES),
            model: facts,
        })
    }
}
