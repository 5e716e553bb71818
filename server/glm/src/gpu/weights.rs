//! What of a model is on one GPU: the weights of some layers, and of the head if the last is among them and all fits.
//!
//! Takes a checkpoint, uploads each matrix in the type that it is stored in or is to be brought to, one at a time, so that
//! the processor's memory never holds more than one of them.

use super::Gpu;
use crate::{
    Activation, Block, Config, Error, Grouped, KvType, Norm as NormKind, Positions,
    checkpoint::Checkpoint,
    kernels::{
        cpu::Heads,
        cuda::{self, Buffer, Device, DeviceError, Norm, Turns, View},
    },
    layer::Matrix,
    vram::{Split, has_tiles, kv_type},
};
use std::sync::Arc;

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
struct Loader<'a, 'b> {
    gpu: &'a Gpu,
    checkpoint: &'a Checkpoint<'b>,
    config: &'a Config,
}

impl OnGpu {
    /// Loads the layers of the split from `first` on, as a model's part of that number.
    pub(super) fn load(
        gpu: &Gpu,
        checkpoint: &Checkpoint,
        config: &Config,
        heads: Grouped,
        [stage, first]: [usize; 2],
        split: Split,
        progress: &dyn Fn(f32),
    ) -> Result<OnGpu, Error> {
        let loader = Loader {
            gpu,
            checkpoint,
            config,
        };
        let end = first + split.layers;
        let layer = |index| {
            progress(index as f32 / config.layers as f32);
            loader.layer(index, heads)
        };
        let head = split.head.then(|| loader.head()).transpose()?;
        // Only a part that is all of the model takes tokens.
        let embedding = head.as_ref().filter(|_| config.tied && first == 0);
        let has_embedding = embedding.and_then(Linear::whole).is_some();
        let on_gpu = OnGpu {
            stage,
            first,
            lookup: has_embedding.then(|| loader.lookup()).transpose()?,
            layers: (first..end).map(layer).collect::<Result<_, _>>()?,
            norm: match end == config.layers {
                true => Some(loader.norm("output_norm")?),
                false => None,
            },
            head,
            gpu: gpu.clone(),
            loaded: Arc::default(),
            sizes: Sizes {
                layers: config.layers,
                width: config.width,
                inner: config.inner,
                vocabulary: config.vocabulary,
                heads,
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
    }

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
    fn layer(&self, index: usize, sizes: Grouped) -> Result<Layer, Error> {
        let config = self.config;
        let name = |part: &str| format!("blk.{index}.{part}");
        let (width, inner) = (config.width, config.inner);
        let norms = |[first, second]: [&str; 2]| {
            Ok::<_, Error>([self.norm(&name(first))?, self.norm(&name(second))?])
        };
        let head_norm = |part: &str| {
            let name = name(&format!("attn_{part}_norm.weight"));
            self.vector(&name, sizes.head_size)
        };
        let fused = sizes.queries() + 2 * sizes.keys();
        let (up, outputs) = match config.gated {
            true => ("ffn_gate_up", 2 * inner),
            false => ("ffn_up", inner),
        };
        let bias = config.linear_bias;
        Ok(Layer {
            before: norms(["attn_norm", "ffn_norm"])?,
            after: match config.block {
                Block::Sandwich => Some(norms(["attn_post_norm", "ffn_post_norm"])?),
                Block::PreNorm | Block::DeepNorm { .. } => None,
            },
            query_key_value: self.linear(&name("attn_qkv"), fused, width, sizes.qkv_bias)?,
            head_norms: match sizes.qk_norm {
                true => Some([head_norm("q")?, head_norm("k")?]),
                false => None,
            },
            output: self.linear(&name("attn_output"), width, sizes.queries(), bias)?,
            up: self.linear(&name(up), outputs, width, bias)?,
            down: self.linear(&name("ffn_down"), width, inner, bias)?,
        })
    }

    fn head(&self) -> Result<Linear, Error> {
        let Config {
            width, vocabulary, ..
        } = *self.config;
        let name = match self.config.tied {
            true => "token_embd",
            false => "output",
        };
        self.linear(name, vocabulary, width, false)
    }

    fn lookup(&self) -> Result<Lookup, Error> {
        let table = |name: &str| {
            let (places, width) = (self.config.places(), self.config.width);
            let numbers = self.checkpoint.table(name, places, width)?;
            self.gpu.filled(&numbers)
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

    fn norm(&self, name: &str) -> Result<Norm, Error> {
        let Config { width, epsilon, .. } = *self.config;
        let numbers = |part| self.checkpoint.vector(&format!("{name}.{part}"), width);
        let weight = numbers("weight")?;
        let bias = match self.config.norm {
            NormKind::Layer => Some(numbers("bias")?),
            NormKind::Rms => None,
        };
        let device = &*self.gpu.device;
        self.gpu
            .said(Norm::new(device, &weight, bias.as_deref(), epsilon))
    }

    fn vector(&self, name: &str, length: usize) -> Result<Buffer, Error> {
        let numbers = self.checkpoint.vector(name, length)?;
        self.gpu.filled(&numbers)
    }

    /// The matrix `name`.weight (outputs, inputs) and, if there is to be one, `name`.bias.
    fn linear(
        &self,
        name: &str,
        outputs: usize,
        inputs: usize,
        bias: bool,
    ) -> Result<Linear, Error> {
        let weight = format!("{name}.weight");
        let matrix = self.checkpoint.matrix(&weight, outputs, inputs)?;
        let mut parts = Vec::new();
        self.upload(&matrix, &mut parts)?;
        Ok(Linear {
            parts,
            bias: match bias {
                true => Some(self.vector(&format!("{name}.bias"), outputs)?),
                false => None,
            },
            outputs,
        })
    }

    fn upload(&self, matrix: &Matrix, parts: &mut Vec<Part>) -> Result<(), Error> {
        let device = &*self.gpu.device;
        let uploaded = match matrix {
            Matrix::Packed(packed) => cuda::Matrix::packed(device, packed),
            Matrix::Half(half) => cuda::Matrix::half(device, half),
            Matrix::Float(float) => cuda::Matrix::float(device, float),
            Matrix::Stack(stack) => {
                return stack.iter().try_for_each(|part| self.upload(part, parts));
            }
            // They were found when their bytes were counted, before anything was loaded.
            Matrix::Beside(_) => {
                return Err(Error::Input(
                    "a GPU multiplies by no such matrix".to_owned(),
                ));
            }
        };
        let last = parts.last();
        let first = last.map_or(0, |part| part.first + part.matrix.outputs());
        parts.push(Part {
            matrix: self.gpu.said(uploaded)?,
            first,
        });
        Ok(())
    }
}
