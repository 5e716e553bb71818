//! What of a model is on one GPU: the weights of some layers or of a rank's part of them, and of the head if the last is
//! among them and all fits.
//!
//! Takes a checkpoint, uploads each matrix in the type that it is stored in or is to be brought to, one at a time, so that
//! the processor's memory never holds more than one of them and what a rank has of it.

use super::Gpu;
use crate::{
    Activation, Block, Config, Error, Grouped, KvType, Norm as NormKind, Positions,
    checkpoint::Checkpoint,
    kernels::{
        cpu::Heads,
        cuda::{self, Buffer, Device, DeviceError, Norm, Turns, View},
    },
    layer::Matrix,
    ranks::Rank,
    vram::{Split, has_tiles, kv_type},
};
use std::{ops::Range, sync::Arc};

/// A model's part on a GPU.
pub(crate) struct OnGpu {
    pub(super) gpu: Gpu,
    /// Which of the parts on GPUs this is.
    pub(super) stage: usize,
    /// The model's number of the first layer.
    pub(super) first: usize,
    pub(super) layers: Vec<Layer>,
    /// The norm before the head, with the last layer.
    pub(super) norm: Option<Norm>,
    /// The head, if it fits.
    pub(super) head: Option<Linear>,
    /// What tokens are looked up in besides the head, if that is the token embedding.
    pub(super) lookup: Option<Lookup>,
    pub(super) sizes: Sizes,
    /// Tells these weights, while they are where they are, from all others.
    pub(super) loaded: Arc<()>,
}

/// What the layers share.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    pub(super) layers: usize,
    pub(super) width: usize,
    pub(super) inner: usize,
    pub(super) vocabulary: usize,
    pub(super) heads: Grouped,
    /// What caches are of.
    pub(super) kv: KvType,
    pub(super) positions: Positions,
    pub(super) gated: bool,
    pub(super) activation: Activation,
    pub(super) epsilon: f32,
    /// The weight of the normed input in each sum, where that is what a half is added to.
    pub(super) alpha: Option<f32>,
    /// Whether the last layer's queries are learned.
    pub(super) top_query: bool,
}

impl Sizes {
    /// The heads, as the kernels have them.
    pub(super) fn shape(&self) -> Heads {
        Heads {
            queries: self.heads.heads,
            keys: self.heads.kv_heads,
            size: self.heads.head_size,
            scale: 1.0 / (self.heads.head_size as f32).sqrt(),
        }
    }

    /// The angles of rows, where queries and keys are turned.
    pub(super) fn turns<'a>(&self, [cosines, sines]: [View<'a>; 2]) -> Option<Turns<'a>> {
        match self.positions {
            Positions::Learned { .. } => None,
            Positions::Rotary(rotary) => Some(Turns {
                cosines,
                sines,
                sections: rotary.rows,
                pairs: rotary.size / rotary.rows / 2,
                layout: rotary.pairs,
            }),
        }
    }

    /// Whether attention of many rows goes through tiles.
    pub(super) fn has_tiles(&self) -> bool {
        has_tiles(self.heads.head_size)
    }

    /// Numbers of a row of queries, keys and values.
    pub(super) fn fused(&self) -> usize {
        self.heads.queries() + 2 * self.heads.keys()
    }

    /// Numbers of a row before a feed-forward's activation.
    pub(super) fn up(&self) -> usize {
        if self.gated {
            2 * self.inner
        } else {
            self.inner
        }
    }
}

/// A block.
pub(super) struct Layer {
    /// The norm before each half.
    pub(super) before: [Norm; 2],
    /// The norm after each half.
    pub(super) after: Option<[Norm; 2]>,
    pub(super) query_key_value: Linear,
    /// The weights of the norms of each head's query and key.
    pub(super) head_norms: Option<[Buffer; 2]>,
    pub(super) output: Linear,
    pub(super) up: Linear,
    pub(super) down: Linear,
}

/// Learned tables (places, width).
pub(super) struct Lookup {
    /// What is added to tokens' embeddings, for each row of positions.
    pub(super) places: Vec<Buffer>,
    /// What the last layer's queries come from.
    pub(super) top_query: Option<Buffer>,
}

/// A matrix, with its bias if it has one.
pub(super) struct Linear {
    /// Runs of outputs, each of one type.
    parts: Vec<Part>,
    bias: Option<Buffer>,
    outputs: usize,
}

/// Some outputs of a matrix.
struct Part {
    matrix: cuda::Matrix,
    /// Its first output among those of the whole.
    first: usize,
}

impl Layer {
    /// The memory of its weights.
    fn buffers(&mut self) -> impl Iterator<Item = &mut Buffer> {
        // Each field by its name, so that none that is added is left out.
        let Layer {
            before,
            after,
            query_key_value,
            head_norms,
            output,
            up,
            down,
        } = self;
        let norms = before.iter_mut().chain(after.iter_mut().flatten());
        let linears = [query_key_value, output, up, down];
        let linears = linears.into_iter().flat_map(Linear::buffers);
        let norms = norms.flat_map(Norm::buffers);
        norms.chain(linears).chain(head_norms.iter_mut().flatten())
    }
}

impl Lookup {
    /// The memory of its tables.
    fn buffers(&mut self) -> impl Iterator<Item = &mut Buffer> {
        let Lookup { places, top_query } = self;
        places.iter_mut().chain(top_query)
    }
}

impl Linear {
    /// The memory of its weights.
    fn buffers(&mut self) -> impl Iterator<Item = &mut Buffer> {
        let Linear {
            parts,
            bias,
            outputs: _,
        } = self;
        let parts = parts.iter_mut().flat_map(|part| part.matrix.buffers());
        parts.chain(bias)
    }

    /// Bytes of room that [`Linear::multiply`] needs for so many rows.
    pub(super) fn room(&self, rows: usize) -> usize {
        let rooms = self.parts.iter().map(|part| part.matrix.room(rows));
        rooms.max().unwrap_or(0)
    }

    /// All of it, if it is of one type: only such a matrix is looked up in.
    pub(super) fn whole(&self) -> Option<&cuda::Matrix> {
        match &self.parts[..] {
            [Part { matrix, .. }] => Some(matrix),
            _ => None,
        }
    }

    /// out (rows, outputs) ← x (rows, inputs) · matrixᵀ + bias, with scratch memory.
    pub(super) fn multiply(
        &self,
        device: &dyn Device,
        x: View,
        rows: usize,
        out: View,
        room: View,
    ) -> Result<(), DeviceError> {
        let bias = self.bias.as_ref().map(Buffer::view);
        for Part { matrix, first } in &self.parts {
            let (first, bytes) = (4 * first, 4 * matrix.outputs());
            let bias = bias.map(|bias| bias.slice(first, bytes));
            let out = out.slice(first, out.bytes() - first);
            matrix.multiply(device, x, rows, bias, out, self.outputs, room)?;
        }
        Ok(())
    }
}

/// Where tensors come from and go to.
pub(super) struct Loader<'a, 'b> {
    /// One, or those that share each layer.
    pub(super) gpus: &'a [Gpu],
    /// What each of them has of a layer.
    pub(super) ranks: &'a [Rank],
    pub(super) checkpoint: &'a Checkpoint<'b>,
    pub(super) config: &'a Config,
    /// All heads of the model.
    pub(super) heads: Grouped,
}

impl OnGpu {
    /// The memory of its weights, always in the same order.
    fn buffers(&mut self) -> impl Iterator<Item = &mut Buffer> {
        let OnGpu {
            gpu: _,
            stage: _,
            first: _,
            layers,
            norm,
            head,
            lookup,
            sizes: _,
            loaded: _,
        } = self;
        let layers = layers.iter_mut().flat_map(Layer::buffers);
        let norm = norm.iter_mut().flat_map(Norm::buffers);
        let head = head.iter_mut().flat_map(Linear::buffers);
        let lookup = lookup.iter_mut().flat_map(Lookup::buffers);
        layers.chain(norm).chain(head).chain(lookup)
    }

    /// Copies the weights into the processor's memory; they stay where they are.
    pub(super) fn copy_out(&mut self) -> Result<Vec<Vec<u8>>, Error> {
        let gpu = self.gpu.clone();
        let copy = |buffer: &mut Buffer| {
            let bytes = buffer.bytes();
            let mut copy = Vec::new();
            let reserved = copy.try_reserve_exact(bytes);
            reserved.map_err(|_| Error::NoMemory { bytes })?;
            copy.resize(bytes, 0);
            gpu.said(gpu.device.download(buffer.view(), &mut copy))?;
            Ok(copy)
        };
        self.buffers().map(copy).collect()
    }

    /// Gives the memory of the weights back.
    pub(super) fn release(&mut self) -> Result<(), Error> {
        self.buffers().for_each(Buffer::release);
        // Memory that was freed in the queue is the driver's until the queue has come there.
        self.gpu.said(self.gpu.device.synchronize())
    }

    /// Takes memory again and copies the weights there.
    pub(super) fn copy_in(&mut self, copies: &[Vec<u8>]) -> Result<(), Error> {
        // They will be elsewhere: nothing that was recorded with their old addresses may be replayed.
        self.loaded = Arc::default();
        let gpu = self.gpu.clone();
        for (buffer, copy) in self.buffers().zip(copies) {
            *buffer = gpu.allocate(copy.len())?;
            gpu.upload(copy, buffer.view())?;
        }
        gpu.said(gpu.device.synchronize())
    }

    /// Whether the model's last layer is here.
    pub(super) fn has_last(&self) -> bool {
        self.first + self.layers.len() == self.sizes.layers
    }
}

impl Loader<'_, '_> {
    /// Loads the layers of the split from `first` on, for each GPU what its rank has of them, as a model's parts from that
    /// number on.
    pub(super) fn load(
        &self,
        [stage, first]: [usize; 2],
        split: Split,
        progress: &dyn Fn(f32),
    ) -> Result<Vec<OnGpu>, Error> {
        let config = self.config;
        let end = first + split.layers;
        let mut heads = Vec::new();
        for gpu in self.gpus.iter().take(usize::from(split.head)) {
            heads.push(self.head(gpu)?);
        }
        let mut layers: Vec<Vec<Layer>> = self.gpus.iter().map(|_| Vec::new()).collect();
        for index in first..end {
            progress(index as f32 / config.layers as f32);
            for (layers, layer) in layers.iter_mut().zip(self.layer(index)?) {
                layers.push(layer);
            }
        }
        let mut heads = heads.into_iter();
        let parts = self.gpus.iter().zip(self.ranks).zip(layers);
        let parts = parts.map(|((gpu, rank), layers)| {
            let head = heads.next();
            // Only a part that is all of the model takes tokens.
            let is_all = first == 0 && self.gpus.len() == 1;
            let embedding = head.as_ref().filter(|_| config.tied && is_all);
            let has_embedding = embedding.and_then(Linear::whole).is_some();
            let has_norm = end == config.layers && (rank.number == 0 || config.top_query);
            let norm = has_norm.then(|| self.norm(gpu, "output_norm"));
            let on_gpu = OnGpu {
                stage: stage + rank.number,
                first,
                lookup: has_embedding.then(|| self.lookup(gpu)).transpose()?,
                layers,
                norm: norm.transpose()?,
                head,
                gpu: gpu.clone(),
                loaded: Arc::default(),
                sizes: Sizes {
                    layers: config.layers,
                    width: config.width,
                    inner: rank.inner().len(),
                    vocabulary: config.vocabulary,
                    heads: rank.heads(self.heads),
                    kv: kv_type(config, gpu.kv),
                    positions: config.positions,
                    gated: config.gated,
                    activation: config.activation,
                    epsilon: config.epsilon,
                    alpha: match config.block {
                        Block::DeepNorm { alpha } => Some(alpha),
                        Block::PreNorm | Block::Sandwich => None,
                    },
                    top_query: config.top_query,
                },
            };
            // What the driver has put off it says now.
            gpu.said(gpu.device.synchronize())?;
            Ok(on_gpu)
        });
        parts.collect()
    }

    /// What each GPU has of a layer.
    fn layer(&self, index: usize) -> Result<Vec<Layer>, Error> {
        let (config, sizes) = (self.config, self.heads);
        let name = |part: &str| format!("blk.{index}.{part}");
        let width = config.width;
        let columns = |part: &str, inputs, cut: &dyn Fn(&Rank) -> Range<usize>| {
            self.columns(&name(part), [width, inputs], cut, config.linear_bias)
        };
        let mixed = |rank: &Rank| rank.mixed(sizes);
        let outputs = columns("attn_output", sizes.queries(), &mixed)?;
        let downs = columns("ffn_down", config.inner, &Rank::inner)?;
        let ranks = self.gpus.iter().zip(self.ranks).zip(outputs).zip(downs);
        let layers = ranks.map(|(((gpu, rank), output), down)| {
            let norms = |[first, second]: [&str; 2]| {
                let norm = |part| self.norm(gpu, &name(part));
                Ok::<_, Error>([norm(first)?, norm(second)?])
            };
            let head_norm = |part: &str| {
                let name = name(&format!("attn_{part}_norm.weight"));
                self.vector(gpu, &name, sizes.head_size)
            };
            let up = match config.gated {
                true => "ffn_gate_up",
                false => "ffn_up",
            };
            let rows = |part: &str, outputs: usize, runs: &[Range<usize>], bias: bool| {
                self.rows(gpu, &name(part), [outputs, width], runs, bias)
            };
            let fused = sizes.queries() + 2 * sizes.keys();
            let halves = if config.gated { 2 } else { 1 };
            Ok(Layer {
                before: norms(["attn_norm", "ffn_norm"])?,
                after: match config.block {
                    Block::Sandwich => Some(norms(["attn_post_norm", "ffn_post_norm"])?),
                    Block::PreNorm | Block::DeepNorm { .. } => None,
                },
                query_key_value: rows("attn_qkv", fused, &rank.fused(sizes), sizes.qkv_bias)?,
                head_norms: match sizes.qk_norm {
                    true => Some([head_norm("q")?, head_norm("k")?]),
                    false => None,
                },
                output,
                up: rows(
                    up,
                    halves * config.inner,
                    &rank.up(config),
                    config.linear_bias,
                )?,
                down,
            })
        });
        layers.collect()
    }

    fn head(&self, gpu: &Gpu) -> Result<Linear, Error> {
        let Config {
            width, vocabulary, ..
        } = *self.config;
        let name = match self.config.tied {
            true => "token_embd",
            false => "output",
        };
        let all = 0..vocabulary;
        let all = std::slice::from_ref(&all);
        self.rows(gpu, name, [vocabulary, width], all, false)
    }

    fn lookup(&self, gpu: &Gpu) -> Result<Lookup, Error> {
        let table = |name: &str| {
            let (places, width) = (self.config.places(), self.config.width);
            let numbers = self.checkpoint.table(name, places, width)?;
            gpu.filled(&numbers)
        };
        let rows = match self.config.positions {
            Positions::Learned { rows } => rows,
            Positions::Rotary(_) => 0,
        };
        let names = ["position_embd.weight", "block_position_embd.weight"];
        let places = names.into_iter().take(rows).map(table);
        let top_query = || table("top_query_embd.weight");
        Ok(Lookup {
            places: places.collect::<Result<_, _>>()?,
            top_query: self.config.top_query.then(top_query).transpose()?,
        })
    }

    fn norm(&self, gpu: &Gpu, name: &str) -> Result<Norm, Error> {
        let Config { width, epsilon, .. } = *self.config;
        let numbers = |part| self.checkpoint.vector(&format!("{name}.{part}"), width);
        let weight = numbers("weight")?;
        let bias = match self.config.norm {
            NormKind::Layer => Some(numbers("bias")?),
            NormKind::Rms => None,
        };
        let device = &*gpu.device;
        gpu.said(Norm::new(device, &weight, bias.as_deref(), epsilon))
    }

    fn vector(&self, gpu: &Gpu, name: &str, length: usize) -> Result<Buffer, Error> {
        let numbers = self.checkpoint.vector(name, length)?;
        gpu.filled(&numbers)
    }

    /// These runs of rows of the matrix `name`.weight (outputs, inputs) and, if there is to be one, of `name`.bias.
    fn rows(
        &self,
        gpu: &Gpu,
        name: &str,
        [outputs, inputs]: [usize; 2],
        runs: &[Range<usize>],
        bias: bool,
    ) -> Result<Linear, Error> {
        let weight = format!("{name}.weight");
        let matrix = self.checkpoint.matrix_of(&weight, outputs, inputs, runs)?;
        let bias = match bias {
            true => {
                let all = self.checkpoint.vector(&format!("{name}.bias"), outputs)?;
                let mine = runs.iter().flat_map(|run| &all[run.clone()]).copied();
                Some(gpu.filled(&mine.collect::<Vec<_>>())?)
            }
            false => None,
        };
        linear(gpu, &matrix, bias)
    }

    /// For each GPU its columns of the matrix `name`.weight (outputs, inputs), which is loaded once; `name`.bias, if there
    /// is to be one, for the first alone, since what they give is added up.
    fn columns(
        &self,
        name: &str,
        [outputs, inputs]: [usize; 2],
        cut: &dyn Fn(&Rank) -> Range<usize>,
        bias: bool,
    ) -> Result<Vec<Linear>, Error> {
        let weight = format!("{name}.weight");
        let matrix = self.checkpoint.matrix(&weight, outputs, inputs)?;
        let ranks = self.gpus.iter().zip(self.ranks);
        let parts = ranks.map(|(gpu, rank)| {
            let mine = matrix.cut(cut(rank))?.ok_or_else(no_such_matrix)?;
            let bias = match bias && rank.number == 0 {
                true => Some(self.vector(gpu, &format!("{name}.bias"), outputs)?),
                false => None,
            };
            linear(gpu, &mine, bias)
        });
        parts.collect()
    }
}

/// Copies a matrix to a GPU.
fn linear(gpu: &Gpu, matrix: &Matrix, bias: Option<Buffer>) -> Result<Linear, Error> {
    let mut parts = Vec::new();
    upload(gpu, matrix, &mut parts)?;
    Ok(Linear {
        parts,
        bias,
        outputs: matrix.size()?.0,
    })
}

fn upload(gpu: &Gpu, matrix: &Matrix, parts: &mut Vec<Part>) -> Result<(), Error> {
    let device = &*gpu.device;
    let uploaded = match matrix {
        Matrix::Packed(packed) => cuda::Matrix::packed(device, packed),
        Matrix::Half(half) => cuda::Matrix::half(device, half),
        Matrix::Float(float) => cuda::Matrix::float(device, float),
        Matrix::Stack(stack) => {
            return stack.iter().try_for_each(|part| upload(gpu, part, parts));
        }
        Matrix::Beside(_) => return Err(no_such_matrix()),
    };
    let last = parts.last();
    let first = last.map_or(0, |part| part.first + part.matrix.outputs());
    parts.push(Part {
        matrix: gpu.said(uploaded)?,
        first,
    });
    Ok(())
}

/// Of parts with scales of their own: those were found when bytes were counted, before anything was loaded.
fn no_such_matrix() -> Error {
    Error::Input("a GPU multiplies by no such matrix".to_owned())
}
