//! A model: embedding, positions, layers, head.
//!
//! Takes a checkpoint once, then chunks of tokens with their positions and a KV cache; gives logits. What the tokens
//! mean and which token comes next is for others.

use crate::{
    Config, Error, KvCache, Source, Weights,
    checkpoint::Checkpoint,
    kernels::cpu,
    layer::{Layer, LayerNorm, Matrix},
    mask::Mask,
    positions::Positions,
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
    embedding: Matrix,
    positions: Positions,
    layers: Vec<Layer>,
    norm: LayerNorm,
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
    /// The last token's.
    Last,
    /// Every token's.
    All,
}

/// Rows of logits, one number a vocabulary entry.
#[derive(Debug, Clone, PartialEq)]
pub struct Logits {
    /// How many rows.
    pub rows: usize,
    /// Length of a row.
    pub vocab: usize,
    /// The rows, one after the other.
    pub values: Vec<f32>,
}

impl Logits {
    /// One row.
    pub fn row(&self, row: usize) -> &[f32] {
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

    fn load(checkpoint: Checkpoint) -> Result<Model, Error> {
        let checkpoint = &checkpoint;
        let config = Config::read(checkpoint)?;
        let own = |key| Ok::<_, Error>(checkpoint.optional_text(key)?.map(str::to_owned));
        Ok(Model {
            name: checkpoint.text("general.name")?.to_owned(),
            id: format!("{:016x}", checkpoint.digest()),
            template: own("infill.template")?,
            tokenizer: own("tokenizer.huggingface.json")?,
            embedding: checkpoint.matrix("token_embd.weight", config.vocabulary, config.width)?,
            positions: Positions::load(checkpoint, &config)?,
            layers: (0..config.layers)
                .map(|index| Layer::load(checkpoint, index, &config))
                .collect::<Result<_, _>>()?,
            norm: LayerNorm::load(checkpoint, "output_norm", &config)?,
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

    /// An empty cache for a sequence of this model.
    pub fn kv(&self) -> KvCache {
        KvCache::new(self.config.layers, self.config.width)
    }

    /// Runs the tokens of `chunk` after those in `kv` and gives the logits wanted. `halt` is asked before each layer;
    /// once it says true the pass ends with [`Error::Halted`]. After any error the cache is as before.
    pub fn forward(
        &self,
        chunk: &Chunk,
        kv: &mut KvCache,
        want: Want,
        halt: &(dyn Fn() -> bool + Sync),
    ) -> Result<Logits, Error> {
        self.check(chunk)?;
        self.pool.install(|| self.run(chunk, kv, want, halt))
    }

    fn run(
        &self,
        chunk: &Chunk,
        kv: &mut KvCache,
        want: Want,
        halt: &(dyn Fn() -> bool + Sync),
    ) -> Result<Logits, Error> {
        let new = chunk.ids.len();
        let mask = Mask::new(chunk.prefix, kv.len(), new)?;
        let wanted = if want == Want::All { new } else { 1 };

        let mut x = self.embedding.rows(chunk.ids, &self.device)?;
        x = self.positions.add(&x, chunk.positions)?;
        for (index, (layer, kv)) in self.layers.iter().zip(kv.layers_mut()).enumerate() {
            if halt() {
                return Err(Error::Halted);
            }
            // No later layer needs the other rows of the last one.
            let keep = if index + 1 == self.layers.len() {
                wanted
            } else {
                new
            };
            x = layer.forward(&x, &mask, kv, keep)?;
        }
        let logits = self.embedding.forward(&self.norm.forward(&x)?)?;
        kv.extend(new);
        Ok(Logits {
            rows: wanted,
            vocab: self.config.vocabulary,
            values: numbers(&logits)?,
        })
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
mod tests {
    use super::*;
    use crate::fixture::{self, Weights as Stored};
    use std::sync::atomic::{AtomicUsize, Ordering};

    const IDS: [u32; 12] = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8];
    const ROWS: [[u32; 12]; 2] = [
        [0, 1, 2, 3, 4, 5, 6, 7, 2, 2, 2, 2],
        [0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4],
    ];

    fn chunk() -> Chunk<'static> {
        Chunk {
            ids: &IDS,
            positions: [&ROWS[0], &ROWS[1]],
            prefix: 8,
        }
    }

    #[test]
    fn the_last_row_is_the_last_of_all_rows() {
        for weights in [Stored::F32, Stored::Q8] {
            let model = fixture::model(&fixture::tiny(100), weights, 1);
            let all = model
                .forward(&chunk(), &mut model.kv(), Want::All, &|| false)
                .unwrap();
            let last = model
                .forward(&chunk(), &mut model.kv(), Want::Last, &|| false)
                .unwrap();
            assert_eq!((all.rows, all.vocab, last.rows), (12, 100, 1));
            crate::kernels::reference::assert_close(last.row(0), all.row(11), 1e-5);
        }
    }

    #[test]
    fn a_halted_pass_leaves_the_cache_as_it_was() {
        let model = fixture::model(&fixture::tiny(100), Stored::Q8, 1);
        let mut kv = model.kv();
        model
            .forward(&chunk(), &mut kv, Want::Last, &|| false)
            .unwrap();
        let step = Chunk {
            ids: &[7],
            positions: [&[2], &[5]],
            prefix: 8,
        };
        let mut fresh = model.kv();
        model
            .forward(&chunk(), &mut fresh, Want::Last, &|| false)
            .unwrap();
        let want = model
            .forward(&step, &mut fresh, Want::Last, &|| false)
            .unwrap();

        let asked = AtomicUsize::new(0);
        let halt = || asked.fetch_add(1, Ordering::SeqCst) == 1;
        let other = Chunk {
            ids: &[50, 51],
            positions: [&[2, 2], &[5, 6]],
            prefix: 8,
        };
        let halted = model.forward(&other, &mut kv, Want::Last, &halt);
        assert!(matches!(halted, Err(Error::Halted)));
        assert_eq!(
            asked.into_inner(),
            2,
            "asked before each layer until it says so"
        );
        assert_eq!(kv.len(), 12);
        assert_eq!(
            model
                .forward(&step, &mut kv, Want::Last, &|| false)
                .unwrap(),
            want
        );
    }

    #[test]
    fn what_does_not_fit_the_model_is_refused_with_the_reason() {
        let model = fixture::model(&fixture::tiny(100), Stored::F32, 1);
        let refused = |chunk: Chunk| {
            let error = model
                .forward(&chunk, &mut model.kv(), Want::Last, &|| false)
                .unwrap_err();
            assert!(matches!(error, Error::Input(_)));
            error.to_string()
        };
        assert!(
            refused(Chunk {
                ids: &[],
                positions: [&[], &[]],
                prefix: 0
            })
            .contains("0 tokens")
        );
        assert!(
            refused(Chunk {
                ids: &[100],
                positions: [&[0], &[0]],
                prefix: 1
            })
            .contains("token 100")
        );
        assert!(
            refused(Chunk {
                ids: &[1],
                positions: [&[129], &[0]],
                prefix: 1
            })
            .contains("position 129")
        );
        assert!(
            refused(Chunk {
                ids: &[1],
                positions: [&[0], &[0, 1]],
                prefix: 1
            })
            .contains("2 positions")
        );
        assert!(
            refused(Chunk {
                prefix: 13,
                ..chunk()
            })
            .contains("split")
        );
    }
}
