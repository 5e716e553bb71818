//! A model: embedding, positions, layers, head.
//!
//! Takes a checkpoint once, then chunks of tokens with their positions and a KV cache; gives logits. What the tokens
//! mean and which token comes next is for others.

use crate::{
    Config, Error, KvCache, Source, Weights,
    checkpoint::{Checkpoint, GgufTokenizer},
    kernels::cpu,
    layer::{Layer, Matrix, Norm, Pass},
    mask::Mask,
    positions::{Positions, look_up},
    workspace::Workspace,
};
use candle_core::{Device, Tensor};

/// Threads of a model unless [`Model::with_threads`] says otherwise: more gain little on a small model, and an
/// editor's machine has other work to do.
const THREADS: usize = 2;

/// A loaded model. Owns its threads; give it to the one thread that is to run it.
pub struct Model {
    config: Config,
    name: String,
    id: String,
    template: Option<String>,
    tokenizer: Option<String>,
    gguf_tokenizer: Option<GgufTokenizer>,
    embedding: Matrix,
    positions: Positions,
    layers: Vec<Layer>,
    norm: Norm,
    /// The head, if it is not the token embedding.
    head: Option<Matrix>,
    /// What the last layer's queries come from, one row a place.
    top_query: Option<Tensor>,
    device: Device,
    pool: rayon::ThreadPool,
}

/// Tokens to run after those in the cache.
#[derive(Debug, Clone, Copy)]
pub struct Chunk<'a> {
    /// The tokens; at least one.
    pub ids: &'a [u32],
    /// Two positions a token: the place in Part A, the place in its span.
    pub positions: [&'a [u32]; 2],
    /// Tokens of the whole sequence with a smaller index see one another; the rest is causal. They must come in one
    /// chunk.
    pub prefix: usize,
}

/// Which rows of logits are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// None: the tokens only go into the cache, and the head is not run.
    None,
    /// The last token's.
    Last,
    /// Every token's.
    All,
}

impl Want {
    /// Rows of logits for a chunk of that many tokens.
    fn rows(self, tokens: usize) -> usize {
        match self {
            Want::None => 0,
            Want::Last => 1,
            Want::All => tokens,
        }
    }
}

/// One sequence's share of a pass.
#[derive(Debug)]
pub struct Part<'a> {
    /// The tokens to run.
    pub chunk: Chunk<'a>,
    /// The cache of their sequence.
    pub kv: &'a mut KvCache,
    /// Which of their logits are wanted.
    pub want: Want,
}

/// Rows of logits, one number a vocabulary entry, in the [`Workspace`] of the pass that made them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Logits<'a> {
    /// How many rows.
    pub rows: usize,
    /// Length of a row.
    pub vocab: usize,
    /// The rows, one after the other.
    pub values: &'a [f32],
}

impl<'a> Logits<'a> {
    /// One row.
    pub fn row(&self, row: usize) -> &'a [f32] {
        &self.values[row * self.vocab..][..self.vocab]
    }

    /// The natural logarithm of the probability that a row gives to a token.
    pub fn log_probability(&self, row: usize, id: u32) -> f32 {
        let row = self.row(row);
        row[id as usize] - cpu::log_sum_exp(row)
    }
}

impl Model {
    /// Loads a checkpoint, its matrices brought to the type that `weights` says.
    pub fn open(source: &Source, weights: Weights, device: &Device) -> Result<Model, Error> {
        source.read(weights, device, Model::load)
    }

    fn load(mut checkpoint: Checkpoint) -> Result<Model, Error> {
        let config = Config::read(&checkpoint)?;
        checkpoint.arrange(&config);
        let checkpoint = &checkpoint;
        let own = |key| Ok::<_, Error>(checkpoint.optional_text(key)?.map(str::to_owned));
        let matrix = |name| checkpoint.matrix(name, config.vocabulary, config.width);
        let top_query = || checkpoint.table("top_query_embd.weight", config.places(), config.width);
        Ok(Model {
            name: checkpoint.name(),
            id: format!("{:016x}", checkpoint.digest()),
            template: own("infill.template")?,
            tokenizer: own("tokenizer.huggingface.json")?,
            gguf_tokenizer: checkpoint.tokenizer(),
            embedding: matrix("token_embd.weight")?,
            positions: Positions::load(checkpoint, &config)?,
            layers: (0..config.layers)
                .map(|index| Layer::load(checkpoint, index, &config))
                .collect::<Result<_, _>>()?,
            norm: Norm::load(checkpoint, "output_norm", &config)?,
            head: (!config.tied)
                .then(|| matrix("output.weight"))
                .transpose()?,
            top_query: config.top_query.then(top_query).transpose()?,
            device: checkpoint.device().clone(),
            pool: pool(THREADS)?,
            config,
        })
    }

    /// The same model on another number of threads.
    pub fn with_threads(mut self, threads: usize) -> Result<Model, Error> {
        self.pool = pool(threads)?;
        Ok(self)
    }

    /// The sizes and choices of the model.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The model's name, for people.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A short hash of the checkpoint's content, for cache keys and records.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The prompt template that the model was trained on, with its version.
    pub fn template(&self) -> Option<&str> {
        self.template.as_deref()
    }

    /// The `tokenizer.json` that came with the weights.
    pub fn tokenizer_json(&self) -> Option<&[u8]> {
        self.tokenizer.as_deref().map(str::as_bytes)
    }

    /// The tokenizer that llama.cpp's files carry.
    pub fn gguf_tokenizer(&self) -> Option<&GgufTokenizer> {
        self.gguf_tokenizer.as_ref()
    }

    /// An empty cache for a sequence of this model.
    pub fn kv(&self) -> KvCache {
        KvCache::new(&self.config)
    }

    /// Room for the passes of this model.
    pub fn workspace(&self) -> Workspace {
        Workspace::new(self.config.vocabulary)
    }

    /// Runs several sequences' chunks in one pass, each after the tokens in its cache; [`Workspace::logits`] has the
    /// logits wanted. `between` is called on the calling thread before each layer; once it says true the pass ends with
    /// [`Error::Halted`]. It may itself run another pass, with another workspace and other caches. After any error
    /// every cache is as before.
    pub fn forward(
        &self,
        parts: &mut [Part<'_>],
        work: &mut Workspace,
        between: &mut dyn FnMut() -> bool,
    ) -> Result<(), Error> {
        work.clear();
        for part in &*parts {
            self.check(&part.chunk)?;
        }
        for part in &mut *parts {
            let rows = self.run(part, work, between)?;
            work.close(rows);
        }
        for part in parts {
            part.kv.extend(part.chunk.ids.len());
        }
        Ok(())
    }

    /// Runs one part and appends its logits; gives their number of rows.
    fn run(
        &self,
        part: &mut Part<'_>,
        work: &mut Workspace,
        between: &mut dyn FnMut() -> bool,
    ) -> Result<usize, Error> {
        let Part { chunk, kv, want } = part;
        let new = chunk.ids.len();
        let prefix = if self.config.prefix { chunk.prefix } else { 0 };
        let pass = Pass {
            mask: Mask::new(prefix, kv.len(), new)?,
            turns: self.positions.turns(chunk.positions),
        };
        let wanted = want.rows(new);
        let x = self.embedding.rows(chunk.ids, &self.device)?;
        let mut x = self.positions.add(x, chunk.positions)?;
        // The last layer always gives a row, since it has keys and values to write.
        let kept = wanted.max(1);
        let asking = match &self.top_query {
            Some(table) => Some(look_up(table, &chunk.positions[0][new - kept..])?),
            None => None,
        };
        let last = self.layers.len() - 1;
        for (index, (layer, kv)) in self.layers.iter().zip(kv.layers_mut()).enumerate() {
            if between() {
                return Err(Error::Halted);
            }
            // No later layer needs the other rows of the last one.
            let keep = if index == last { kept } else { new };
            let asking = asking.as_ref().filter(|_| index == last);
            x = self.pool.install(|| {
                if asking.is_some() {
                    // The norm that closes other models comes before the layer whose queries are learned.
                    x = self.norm.forward(&x)?;
                }
                layer.forward(&x, asking, &pass, kv, keep)
            })?;
        }
        if wanted > 0 {
            let logits = self.pool.install(|| {
                if asking.is_none() {
                    x = self.norm.forward(&x)?;
                }
                self.head.as_ref().unwrap_or(&self.embedding).forward(&x)
            })?;
            work.extend(&numbers(&logits)?);
        }
        Ok(wanted)
    }

    fn check(&self, chunk: &Chunk) -> Result<(), Error> {
        let count = chunk.ids.len();
        if count == 0 || chunk.positions.iter().any(|row| row.len() != count) {
            return Err(Error::Input(format!(
                "a chunk of {count} tokens came with {} and {} positions",
                chunk.positions[0].len(),
                chunk.positions[1].len()
            )));
        }
        match chunk
            .ids
            .iter()
            .find(|&&id| id as usize >= self.config.vocabulary)
        {
            Some(id) => Err(Error::Input(format!(
                "token {id} is not in the vocabulary of {}; the tokenizer belongs to another model",
                self.config.vocabulary
            ))),
            None => Ok(()),
        }
    }
}

fn numbers(logits: &Tensor) -> candle_core::Result<Vec<f32>> {
    logits.flatten_all()?.to_vec1()
}

fn pool(threads: usize) -> Result<rayon::ThreadPool, Error> {
    let available = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = threads.clamp(1, available);
    Ok(rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|index| format!("glm-{index}"))
        .build()?)
}

#[cfg(test)]
mod tests;
