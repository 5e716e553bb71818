//! A model: embedding, positions, layers, head.
//!
//! Takes a checkpoint once, then chunks of tokens with their positions and a KV cache; gives logits. What the tokens
//! mean and which token comes next is for others.

use crate::{
    Config, Error, Guidance, KvCache, Source, Weights,
    checkpoint::{Checkpoint, GgufTokenizer},
    kernels::{
        FloatMatrix, Rows,
        cpu::{self, Pool},
    },
    layer::{Layer, Matrix, Norm, Pass, Span},
    mask::Mask,
    positions::{Positions, look_up, table},
    workspace::{States, Workspace, room},
};
use candle_core::Device;

/// A loaded model. Owns its threads; give it to the one thread that is to run it.
pub struct Model {
    config: Config,
    name: String,
    id: String,
    template: Option<String>,
    guidance: Guidance,
    tokenizer: Option<String>,
    gguf_tokenizer: Option<GgufTokenizer>,
    embedding: Matrix,
    positions: Positions,
    layers: Vec<Layer>,
    norm: Norm,
    /// The head, if it is not the token embedding.
    head: Option<Matrix>,
    /// What the last layer's queries come from, one row a place.
    top_query: Option<FloatMatrix>,
    pool: Pool,
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
        Model::open_telling(source, weights, device, &|_| {})
    }

    /// Loads a checkpoint, and tells now and then what part of it is loaded, from 0 to 1.
    pub fn open_telling(
        source: &Source,
        weights: Weights,
        device: &Device,
        progress: &dyn Fn(f32),
    ) -> Result<Model, Error> {
        if !device.is_cpu() {
            return Err(Error::Input(
                "the kernels run on the processor only".to_owned(),
            ));
        }
        source.read(weights, |checkpoint| Model::load(checkpoint, progress))
    }

    fn load(mut checkpoint: Checkpoint, progress: &dyn Fn(f32)) -> Result<Model, Error> {
        let config = Config::read(&checkpoint)?;
        checkpoint.arrange(&config);
        let checkpoint = &checkpoint;
        let own = |key| Ok::<_, Error>(checkpoint.optional_text(key)?.map(str::to_owned));
        let matrix = |name| checkpoint.matrix(name, config.vocabulary, config.width);
        let layer = |index| {
            progress(index as f32 / config.layers as f32);
            Layer::load(checkpoint, index, &config)
        };
        let top_query = || table(checkpoint, "top_query_embd.weight", &config);
        Ok(Model {
            name: checkpoint.name(),
            id: format!("{:016x}", checkpoint.digest()),
            template: own("infill.template")?,
            guidance: Guidance::read(checkpoint)?,
            tokenizer: own("tokenizer.huggingface.json")?,
            gguf_tokenizer: checkpoint.tokenizer(),
            embedding: matrix("token_embd.weight")?,
            positions: Positions::load(checkpoint, &config)?,
            layers: (0..config.layers).map(layer).collect::<Result<_, _>>()?,
            norm: Norm::load(checkpoint, "output_norm", &config)?,
            head: (!config.tied)
                .then(|| matrix("output.weight"))
                .transpose()?,
            top_query: config.top_query.then(top_query).transpose()?,
            pool: Pool::new(default_threads(available())).map_err(Error::Threads)?,
            config,
        })
    }

    /// The same model on another number of threads.
    pub fn with_threads(mut self, threads: usize) -> Result<Model, Error> {
        let threads = threads.clamp(1, available());
        self.pool = Pool::new(threads).map_err(Error::Threads)?;
        Ok(self)
    }

    /// Threads that a pass runs on.
    pub fn threads(&self) -> usize {
        self.pool.threads()
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

    /// How its answers are to be used.
    pub fn guidance(&self) -> &Guidance {
        &self.guidance
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
        self.check(parts)?;
        let rows = self.begin(parts, work)?;
        let pass = Pass {
            spans: &work.spans,
            rows,
            width: self.config.width,
            last: self.layers.len() - 1,
            turns: self.positions.view(&work.turns),
            pool: &self.pool,
        };
        let kept = pass.kept(pass.last);
        for (index, layer) in self.layers.iter().enumerate() {
            if between() {
                return Err(Error::Halted);
            }
            let asking = self.top_query.as_ref().filter(|_| index == pass.last);
            let asking = asking.map(|_| Rows::new(&work.asking, pass.width));
            if asking.is_some() {
                // The norm that closes other models comes before the layer whose queries are learned.
                self.close(&mut work.states, rows);
            }
            let (states, rooms) = (&mut work.states, &mut work.rooms);
            layer.forward(index, asking, &pass, parts, states, rooms)?;
        }
        if kept > 0 {
            if self.top_query.is_none() {
                self.close(&mut work.states, kept);
            }
            let head = self.head.as_ref().unwrap_or(&self.embedding);
            let (logits, states, products) = work.logits_mut(kept);
            let x = Rows::new(&states.x[..kept * self.config.width], self.config.width);
            head.multiply(x, &[], logits, products, &self.pool)?;
        }
        work.close();
        for part in parts {
            part.kv.extend(part.chunk.ids.len());
        }
        Ok(())
    }

    /// Looks up the parts' embeddings, positions and masks; gives how many rows they have together.
    fn begin(&self, parts: &[Part<'_>], work: &mut Workspace) -> Result<usize, Error> {
        let width = self.config.width;
        let rows = parts.iter().map(|part| part.chunk.ids.len()).sum();
        let mut x = room(&mut work.states.x, rows * width);
        work.asking.clear();
        let mut first = 0;
        for part in parts {
            let Chunk {
                ids,
                positions,
                prefix,
            } = part.chunk;
            let prefix = if self.config.prefix { prefix } else { 0 };
            let kept = part.want.rows(ids.len());
            work.spans.push(Span {
                first,
                mask: Mask::new(prefix, part.kv.len(), ids.len())?,
                kept,
            });
            let (mine, others) = x.split_at_mut(ids.len() * width);
            for (&id, x) in ids.iter().zip(mine.chunks_exact_mut(width)) {
                self.embedding.row(id as usize, x)?;
            }
            self.positions.add(mine, width, positions)?;
            self.positions.turn(positions, &mut work.turns);
            if let Some(table) = &self.top_query {
                for &position in &positions[0][ids.len() - kept..] {
                    work.asking.extend_from_slice(look_up(table, position)?);
                }
            }
            x = others;
            first += ids.len();
        }
        Ok(rows)
    }

    /// The norm after the layers, on the first `rows` hidden states.
    fn close(&self, states: &mut States, rows: usize) {
        let width = self.config.width;
        let normed = room(&mut states.normed, rows * width);
        let x = Rows::new(&states.x[..rows * width], width);
        self.norm.forward(x, normed, &self.pool);
        std::mem::swap(&mut states.x, &mut states.normed);
    }

    fn check(&self, parts: &[Part<'_>]) -> Result<(), Error> {
        for Part { chunk, .. } in parts {
            let count = chunk.ids.len();
            if count == 0 || chunk.positions.iter().any(|row| row.len() != count) {
                return Err(Error::Input(format!(
                    "a chunk of {count} tokens came with {} and {} positions",
                    chunk.positions[0].len(),
                    chunk.positions[1].len()
                )));
            }
            let vocabulary = self.config.vocabulary;
            if let Some(id) = chunk.ids.iter().find(|&&id| id as usize >= vocabulary) {
                return Err(Error::Input(format!(
                    "token {id} is not in the vocabulary of {vocabulary}; the tokenizer belongs to another model"
                )));
            }
        }
        Ok(())
    }
}

/// Threads that the machine has, if it says so.
fn available() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Threads of a model unless [`Model::with_threads`] says otherwise. Half of the machine's: it counts two for a core,
/// and the two share what a product with a matrix needs; and an editor, its compiler and its other servers are at work
/// at the same time. More than eight gain nothing, since memory is not read any faster.
fn default_threads(available: usize) -> usize {
    match available {
        0..=2 => available.max(1),
        more => more.div_ceil(2).min(8),
    }
}

#[cfg(test)]
mod tests;
