//! A model: embedding, positions, layers, head.
//!
//! Takes a checkpoint once, then chunks of tokens with their positions and a KV cache; gives logits, or tokens chosen from
//! them as the caller says. What the tokens mean, and whether what is chosen is what comes next, is for others.

use crate::{
    Config, Device, Draw, Error, Guidance, KvCache, KvType, Metal, PartA, Source, Weights,
    candle::OnMetal,
    checkpoint::{Checkpoint, GgufTokenizer},
    gpu::{Stages, Together},
    kernels::{
        FloatMatrix, Rows,
        cpu::{self, Pool},
    },
    layer::{Layer, Matrix, Norm, Pass, Span},
    mask::{Mask, Prefix},
    positions::{Positions, look_up, table},
    vram,
    workspace::{States, Workspace, room},
};

/// Tokens of a prompt in a pass on the processor.
const CHUNK: usize = 128;
/// Sequences in a pass on the processor.
const SIDE_BY_SIDE: usize = 16;

/// A loaded model. Owns its threads; give it to the one thread that is to run it.
pub struct Model {
    config: Config,
    /// What it was loaded from, and how.
    origin: (Source, Weights),
    name: String,
    id: String,
    template: Option<String>,
    guidance: Guidance,
    tokenizer: Option<String>,
    gguf_tokenizer: Option<GgufTokenizer>,
    /// What tokens are looked up in, unless that is on a GPU.
    embedding: Option<Matrix>,
    positions: Positions,
    /// The first layers, if they are on GPUs, and the head if all layers are.
    gpus: Option<Stages>,
    /// All layers and the head, if they are on Apple's GPU.
    metal: Option<OnMetal>,
    /// Why nothing is on the GPUs that were asked for.
    refusal: Option<String>,
    /// What caches on GPUs are of, and why it is not what was asked for.
    kv: KvType,
    kv_refusal: Option<String>,
    /// The layers after those on GPUs.
    layers: Vec<Layer>,
    norm: Norm,
    /// The head, if it is not the token embedding and not on a GPU.
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
    /// Part A of the whole sequence; the rest is causal. What of it is not the far zone must come in one chunk.
    pub prefix: Prefix,
}

/// What is wanted of a chunk.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Want<'a> {
    /// Nothing: the tokens only go into the cache, and the head is not run.
    None,
    /// The last token's logits.
    Last,
    /// Every token's logits.
    All,
    /// The token chosen from each of the last tokens' logits, one a draw, and not the logits, which then stay on the
    /// device that made them.
    Choices(&'a [Draw]),
}

impl<'a> Want<'a> {
    /// Rows of logits for a chunk of that many tokens.
    fn rows(self, tokens: usize) -> usize {
        match self {
            Want::None => 0,
            Want::Last => 1,
            Want::All => tokens,
            Want::Choices(draws) => draws.len(),
        }
    }

    /// How a token is chosen from each row of logits, where one is.
    fn draws(self, rows: usize) -> impl Iterator<Item = Option<Draw>> + 'a {
        let draws = match self {
            Want::Choices(draws) => draws,
            Want::None | Want::Last | Want::All => &[],
        };
        (0..rows).map(|row| draws.get(row).copied())
    }
}

/// One sequence's share of a pass.
#[derive(Debug)]
pub struct Part<'a> {
    /// The tokens to run.
    pub chunk: Chunk<'a>,
    /// The cache of their sequence.
    pub kv: &'a mut KvCache,
    /// What is wanted of them.
    pub want: Want<'a>,
}

impl Part<'_> {
    /// Counts the tokens, which every layer has cached.
    fn count(&mut self) {
        self.kv.extend(self.chunk.ids.len());
    }
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
        let origin = (source.clone(), weights);
        source.read(weights, |checkpoint| {
            Model::load(checkpoint, origin, device, progress)
        })
    }

    fn load(
        mut checkpoint: Checkpoint,
        origin: (Source, Weights),
        device: &Device,
        progress: &dyn Fn(f32),
    ) -> Result<Model, Error> {
        let config = Config::read(&checkpoint)?;
        checkpoint.arrange(&config);
        let checkpoint = &checkpoint;
        let own = |key| Ok::<_, Error>(checkpoint.optional_text(key)?.map(str::to_owned));
        let matrix = |name| checkpoint.matrix(name, config.vocabulary, config.width);
        let layer = |index| {
            progress(index as f32 / config.layers as f32);
            Layer::load(checkpoint, index, &config)
        };
        let (mut gpus, mut metal, mut refusal) = (None, None, None);
        let stages = match device {
            Device::Cpu => None,
            Device::Gpus(gpus) => Some((gpus, None)),
            Device::Together(Together { gpus, all_reduce }) => Some((gpus, Some(all_reduce))),
            Device::Metal(it) => {
                match OnMetal::load(it, checkpoint, &config, progress)? {
                    Ok(loaded) => metal = Some(loaded),
                    Err(why) => refusal = Some(why),
                }
                None
            }
        };
        if let Some((them, all_reduce)) = stages {
            match Stages::load(them, all_reduce, checkpoint, &config, progress)? {
                Ok(loaded) => gpus = Some(loaded),
                Err(why) => refusal = Some(why),
            }
        }
        let kv = match gpus {
            Some(_) => device.kv(),
            None => KvType::default(),
        };
        let first = match metal {
            Some(_) => config.layers,
            None => gpus.as_ref().map_or(0, Stages::layers),
        };
        let is_whole = metal.is_some() || gpus.as_ref().is_some_and(Stages::is_whole);
        let has_head = !config.tied && !is_whole;
        let looks_up = !gpus.as_ref().is_some_and(Stages::looks_up)
            && !metal.as_ref().is_some_and(OnMetal::looks_up);
        let embedding = || matrix("token_embd.weight");
        let top_query = || table(checkpoint, "top_query_embd.weight", &config);
        Ok(Model {
            origin,
            name: checkpoint.name(),
            id: format!("{:016x}", checkpoint.digest()),
            template: own("infill.template")?,
            guidance: Guidance::read(checkpoint)?,
            tokenizer: own("tokenizer.huggingface.json")?,
            gguf_tokenizer: checkpoint.tokenizer(),
            embedding: looks_up.then(embedding).transpose()?,
            positions: Positions::load(checkpoint, &config)?,
            layers: (first..config.layers)
                .map(layer)
                .collect::<Result<_, _>>()?,
            norm: Norm::load(checkpoint, "output_norm", &config)?,
            head: has_head.then(|| matrix("output.weight")).transpose()?,
            top_query: config.top_query.then(top_query).transpose()?,
            pool: Pool::new(threads(None)).map_err(Error::Threads)?,
            gpus,
            metal,
            refusal,
            kv: vram::kv_type(&config, kv),
            kv_refusal: vram::kv_refusal(&config, kv),
            config,
        })
    }

    /// The same model on another number of threads.
    pub fn with_threads(mut self, threads: usize) -> Result<Model, Error> {
        self.pool = Pool::new(self::threads(Some(threads))).map_err(Error::Threads)?;
        Ok(self)
    }

    /// The same model on as many threads, loaded again to run on the processor alone.
    pub fn on_cpu(&self) -> Result<Model, Error> {
        let (source, weights) = &self.origin;
        Model::open(source, *weights, &Device::Cpu)?.with_threads(self.threads())
    }

    /// Whether its weights left the GPUs, so that it cannot be run before [`Model::resume`].
    pub fn is_suspended(&self) -> bool {
        self.gpus.as_ref().is_some_and(Stages::is_suspended)
    }

    /// Whether weights are on a GPU that could be in the computer's memory.
    pub fn can_suspend(&self) -> bool {
        self.gpus.as_ref().is_some_and(|gpus| !gpus.is_suspended())
    }

    /// Moves the weights on GPUs into the computer's memory, so that others can use the GPUs'. Caches and workspaces have
    /// memory of their own there. Until [`Model::resume`] the model cannot be run.
    ///
    /// # Errors
    /// If there is no room for them, or a device fails; after [`Error::NoMemory`] they are where they were.
    pub fn suspend(&mut self) -> Result<(), Error> {
        self.gpus.as_mut().map_or(Ok(()), Stages::suspend)
    }

    /// Moves the weights back, if they are away; the model then runs as before, to the bit.
    ///
    /// # Errors
    /// If a GPU has no room for them any more, or fails. Then [`Model::on_cpu`] is what is left.
    pub fn resume(&mut self) -> Result<(), Error> {
        self.gpus.as_mut().map_or(Ok(()), Stages::resume)
    }

    /// Tokens of a prompt that are worth running in one pass; larger passes are hardly faster.
    pub fn chunk(&self) -> usize {
        match (&self.gpus, &self.metal) {
            (None, None) => CHUNK,
            _ => vram::CHUNK,
        }
    }

    /// Sequences that are worth running side by side; with more, memory is no longer what a pass waits for.
    pub fn side_by_side(&self) -> usize {
        match (&self.gpus, &self.metal) {
            (None, None) => SIDE_BY_SIDE,
            _ => vram::SIDE_BY_SIDE,
        }
    }

    /// Bytes of caches that its device has room for; none if they are in the processor's memory, which others bound.
    pub fn kv_room(&self) -> Option<usize> {
        self.gpus.as_ref().map(Stages::kv_room)
    }

    /// What it runs on, for people: `cpu`, or the GPUs and how many of the layers.
    pub fn place(&self) -> String {
        if self.metal.is_some() {
            return Metal::NAME.to_owned();
        }
        let Some(gpus) = &self.gpus else {
            return "cpu".to_owned();
        };
        let (names, count) = gpus.names();
        if gpus.is_suspended() {
            return format!("{names}, idle: the weights are in the computer's memory");
        }
        let there = if count == 1 { "the GPU" } else { "the GPUs" };
        let caches = match self.kv {
            KvType::F16 => "",
            KvType::Q8 => ", with q8 caches",
        };
        match (gpus.is_whole(), gpus.layers(), self.config.layers) {
            (true, ..) => format!("{names}{caches}"),
            (false, layers, all) => {
                format!("{names} and cpu: {layers} of {all} layers on {there}{caches}")
            }
        }
    }

    /// Why nothing of it runs on the GPUs that it was opened on.
    pub fn refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }

    /// Why its caches on GPUs are not of the type that it was opened with.
    pub fn kv_refusal(&self) -> Option<&str> {
        self.kv_refusal.as_deref()
    }

    /// Why the GPUs that it was opened on take layers one after the other, though they were to work on every layer together.
    pub fn apart(&self) -> Option<&str> {
        self.gpus.as_ref().and_then(Stages::apart)
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
        let gpus = self.gpus.as_ref().map_or_else(Vec::new, Stages::caches);
        let metal = self.metal.as_ref().map(OnMetal::cache);
        KvCache::new(&self.config, gpus, metal)
    }

    /// Room for the passes of this model.
    pub fn workspace(&self) -> Workspace {
        Workspace::new(self.config.vocabulary)
    }

    /// Runs several sequences' chunks in one pass, each after the tokens in its cache; [`Workspace::logits`] has the
    /// logits wanted, [`Workspace::choice`] the tokens. `between` is called on the calling thread before each layer, or
    /// once before several that a GPU is asked for as a whole; once it says true the pass ends with [`Error::Halted`]. It
    /// may itself run another pass, with another workspace and other caches. After any error
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
        let mut first = 0;
        if let Some(metal) = &self.metal {
            metal.forward(parts, work, rows, &self.positions, &self.pool, between)?;
            work.close();
            parts.iter_mut().for_each(Part::count);
            return Ok(());
        }
        if let Some(gpus) = &self.gpus {
            if gpus.is_suspended() {
                return Err(Error::Input("its weights are not on the GPU".to_owned()));
            }
            gpus.forward(parts, work, rows, &self.pool, between)?;
            first = gpus.layers();
            if gpus.is_whole() {
                work.close();
                parts.iter_mut().for_each(Part::count);
                return Ok(());
            }
        }
        let pass = Pass {
            spans: &work.spans,
            rows,
            width: self.config.width,
            last: self.config.layers - 1,
            turns: self.positions.view(&work.turns),
            pool: &self.pool,
        };
        let kept = pass.kept(pass.last);
        for (index, layer) in (first..).zip(&self.layers) {
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
            let head = self.head.as_ref().or(self.embedding.as_ref());
            // Where the embedding is on a GPU, the head is, too, and has been run there.
            let head = head.expect("the processor has the head that it runs");
            let (logits, states, products) = work.logits_mut(kept);
            let x = Rows::new(&states.x[..kept * self.config.width], self.config.width);
            head.multiply(x, &[], logits, products, &self.pool)?;
        }
        work.close();
        parts.iter_mut().for_each(Part::count);
        Ok(())
    }

    /// Looks up the parts' embeddings, unless a GPU does, their positions and masks; gives how many rows they have
    /// together.
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
            let prefix = match self.config.part_a {
                PartA::Causal => Prefix::default(),
                PartA::Whole | PartA::Zones { .. } => prefix,
            };
            let kept = part.want.rows(ids.len());
            work.draws.extend(part.want.draws(kept));
            work.spans.push(Span {
                first,
                mask: Mask::new(prefix, part.kv.len(), ids.len())?,
                kept,
            });
            let (mine, others) = x.split_at_mut(ids.len() * width);
            match &self.embedding {
                Some(embedding) => {
                    for (&id, x) in ids.iter().zip(mine.chunks_exact_mut(width)) {
                        embedding.row(id as usize, x)?;
                    }
                    self.positions.add(mine, width, positions)?;
                }
                None => self.positions.check(positions)?,
            }
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
        for Part { chunk, want, .. } in parts {
            let count = chunk.ids.len();
            if count == 0 || chunk.positions.iter().any(|row| row.len() != count) {
                return Err(Error::Input(format!(
                    "a chunk of {count} tokens came with {} and {} positions",
                    chunk.positions[0].len(),
                    chunk.positions[1].len()
                )));
            }
            if want.rows(count) > count {
                return Err(Error::Input(format!(
                    "{} tokens were to be chosen from {count} rows of logits",
                    want.rows(count)
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

/// Threads that a model runs on, of which so many are wanted.
pub fn threads(wanted: Option<usize>) -> usize {
    let available = available();
    wanted.map_or(default_threads(available), |wanted| {
        wanted.clamp(1, available)
    })
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
