//! A dense model's weights on a device of candle's.
//!
//! Takes a checkpoint, uploads each matrix in the type that it is stored in or is to be brought to, one at a time, so that
//! the processor's memory never holds more than one of them twice.

use super::{Cache, Metal};
use crate::{
    Activation, Attention, Block, Config, Error, Grouped, Norm as NormKind, Positions,
    checkpoint::{Checkpoint, GgmlRows},
};
use candle_core::{
    D, DType, Module, Result, Tensor,
    quantized::{GgmlDType, QMatMul, QStorage, QTensor},
};
use std::{borrow::Cow, sync::Arc};

/// A model on a device of candle's: all of it, but for what tokens and positions are looked up in.
pub(crate) struct OnMetal {
    pub(super) metal: Metal,
    pub(super) layers: Vec<Layer>,
    /// The norm before the head.
    pub(super) norm: Norm,
    pub(super) head: Linear,
    /// Whether tokens are looked up in the head.
    pub(super) looks_up: bool,
    pub(super) sizes: Sizes,
}

/// What the layers share.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    pub(super) width: usize,
    pub(super) inner: usize,
    pub(super) heads: Grouped,
    pub(super) positions: Positions,
    pub(super) gated: bool,
    pub(super) activation: Activation,
    /// The weight of the normed input in each sum, where that is what a half is added to.
    pub(super) alpha: Option<f32>,
}

/// A block.
pub(super) struct Layer {
    /// The norm before each half.
    pub(super) before: [Norm; 2],
    /// The norm after each half.
    pub(super) after: Option<[Norm; 2]>,
    pub(super) query_key_value: Linear,
    /// The norms of each head's query and key.
    pub(super) head_norms: Option<[Norm; 2]>,
    pub(super) output: Linear,
    pub(super) up: Linear,
    pub(super) down: Linear,
}

/// A norm of the innermost dimension.
pub(super) struct Norm {
    weight: Tensor,
    /// Layer norm has it, root-mean-square norm does not.
    bias: Option<Tensor>,
    epsilon: f64,
}

impl Norm {
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let centered = match self.bias {
            Some(_) => x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?,
            None => x.clone(),
        };
        let variance = centered.sqr()?.mean_keepdim(D::Minus1)?;
        let deviation = (variance + self.epsilon)?.sqrt()?;
        let normed = centered.broadcast_div(&deviation)?;
        let normed = normed.broadcast_mul(&self.weight)?;
        match &self.bias {
            Some(bias) => normed.broadcast_add(bias),
            None => Ok(normed),
        }
    }
}

/// A matrix, with its bias if it has one.
pub(super) struct Linear {
    /// Runs of outputs, each of one type.
    parts: Vec<Part>,
    bias: Option<Tensor>,
}

/// Some outputs of a matrix (outputs, inputs).
enum Part {
    /// In blocks.
    Quantized(QMatMul),
    /// In plain numbers. Activations are brought to their type for the product, as the makers' own code has them.
    Plain(Tensor),
}

impl Part {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Part::Quantized(matrix) => matrix.forward(x),
            Part::Plain(matrix) => {
                let x = x.to_dtype(matrix.dtype())?;
                x.matmul(&matrix.t()?)?.to_dtype(DType::F32)
            }
        }
    }

    fn look_up(&self, ids: &Tensor) -> Result<Tensor> {
        match self {
            Part::Quantized(matrix) => matrix.embedding(ids),
            Part::Plain(matrix) => matrix.index_select(ids, 0)?.to_dtype(DType::F32),
        }
    }
}

impl Linear {
    /// x · matrixᵀ + bias, row by row; `x` lies in one piece.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let parts = self.parts.iter().map(|part| part.forward(x));
        let mut parts = parts.collect::<Result<Vec<_>>>()?;
        let product = match parts.len() {
            1 => parts.remove(0),
            _ => Tensor::cat(&parts, 1)?,
        };
        match &self.bias {
            Some(bias) => product.broadcast_add(bias),
            None => Ok(product),
        }
    }

    /// The rows of the matrix with these numbers; only of one that is of one type.
    pub(super) fn look_up(&self, ids: &Tensor) -> Result<Tensor> {
        match &self.parts[..] {
            [part] => part.look_up(ids),
            _ => candle_core::bail!("rows are looked up in matrices of one type"),
        }
    }
}

/// Where tensors come from and go to.
struct Loader<'a, 'b> {
    metal: &'a Metal,
    checkpoint: &'a Checkpoint<'b>,
    config: &'a Config,
}

impl OnMetal {
    /// Loads a model. The inner error says why it does not run there.
    pub(crate) fn load(
        metal: &Metal,
        checkpoint: &Checkpoint,
        config: &Config,
        progress: &dyn Fn(f32),
    ) -> std::result::Result<std::result::Result<OnMetal, String>, Error> {
        let needed = match checkpoint.candle(config)? {
            Ok(needed) => needed,
            Err(why) => return Ok(Err(why)),
        };
        let Attention::Grouped(heads) = config.attention else {
            return Ok(Err("it has no heads".to_owned()));
        };
        if let Err(why) = metal.fits(needed) {
            return Ok(Err(why));
        }
        let loader = Loader {
            metal,
            checkpoint,
            config,
        };
        let layer = |index| {
            progress(index as f32 / config.layers as f32);
            loader.layer(index, heads)
        };
        let head = loader.head()?;
        let on_metal = OnMetal {
            looks_up: config.tied && head.parts.len() == 1,
            head,
            layers: (0..config.layers)
                .map(layer)
                .collect::<std::result::Result<_, _>>()?,
            norm: loader.norm("output_norm")?,
            metal: metal.clone(),
            sizes: Sizes {
                width: config.width,
                inner: config.inner,
                heads,
                positions: config.positions,
                gated: config.gated,
                activation: config.activation,
                alpha: match config.block {
                    Block::DeepNorm { alpha } => Some(alpha),
                    Block::PreNorm | Block::Sandwich => None,
                },
            },
        };
        // What the system has put off it says now.
        metal.said(metal.device.synchronize())?;
        Ok(Ok(on_metal))
    }

    /// Whether tokens are looked up there.
    pub(crate) fn looks_up(&self) -> bool {
        self.looks_up
    }

    /// An empty cache.
    pub(crate) fn cache(&self) -> Cache {
        Cache::new(&self.metal, self.layers.len(), self.sizes.heads)
    }
}

type Loaded<T> = std::result::Result<T, Error>;

impl Loader<'_, '_> {
    fn layer(&self, index: usize, sizes: Grouped) -> Loaded<Layer> {
        let config = self.config;
        let name = |part: &str| format!("blk.{index}.{part}");
        let (width, inner) = (config.width, config.inner);
        let norms = |[first, second]: [&str; 2]| {
            Ok::<_, Error>([self.norm(&name(first))?, self.norm(&name(second))?])
        };
        let head_norm = |part: &str| {
            let name = name(&format!("attn_{part}_norm.weight"));
            Ok::<_, Error>(Norm {
                weight: self.vector(&name, sizes.head_size)?,
                bias: None,
                epsilon: f64::from(config.epsilon),
            })
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

    fn head(&self) -> Loaded<Linear> {
        let Config {
            width, vocabulary, ..
        } = *self.config;
        let name = match self.config.tied {
            true => "token_embd",
            false => "output",
        };
        self.linear(name, vocabulary, width, false)
    }

    fn norm(&self, name: &str) -> Loaded<Norm> {
        let Config { width, epsilon, .. } = *self.config;
        let vector = |part| self.vector(&format!("{name}.{part}"), width);
        Ok(Norm {
            weight: vector("weight")?,
            bias: match self.config.norm {
                NormKind::Layer => Some(vector("bias")?),
                NormKind::Rms => None,
            },
            epsilon: f64::from(epsilon),
        })
    }

    fn vector(&self, name: &str, length: usize) -> Loaded<Tensor> {
        let numbers = self.checkpoint.vector(name, length)?;
        let metal = self.metal;
        metal.said(Tensor::from_vec(numbers, length, &metal.device))
    }

    /// The matrix `name`.weight (outputs, inputs) and, if there is to be one, `name`.bias.
    fn linear(&self, name: &str, outputs: usize, inputs: usize, bias: bool) -> Loaded<Linear> {
        let rows = self
            .checkpoint
            .ggml(&format!("{name}.weight"), outputs, inputs)?;
        let parts = rows.into_iter().map(|rows| self.upload(rows, inputs));
        Ok(Linear {
            parts: self.metal.said(parts.collect())?,
            bias: match bias {
                true => Some(self.vector(&format!("{name}.bias"), outputs)?),
                false => None,
            },
        })
    }

    fn upload(&self, rows: GgmlRows, inputs: usize) -> Result<Part> {
        let device = &self.metal.device;
        let GgmlRows { kind, rows, bytes } = rows;
        let plain = match kind {
            GgmlDType::F32 => DType::F32,
            GgmlDType::F16 => DType::F16,
            GgmlDType::BF16 => DType::BF16,
            _ => {
                let blocks = QStorage::from_data(Cow::Owned(bytes), device, kind)?;
                let tensor = QTensor::new(blocks, (rows, inputs))?;
                return Ok(Part::Quantized(QMatMul::QTensor(Arc::new(tensor))));
            }
        };
        let matrix = Tensor::from_raw_buffer(&bytes, plain, &[rows, inputs], device)?;
        Ok(Part::Plain(match plain {
            // candle's processor device has no such product.
            DType::BF16 => matrix.to_dtype(device.bf16_default_to_f32())?,
            _ => matrix,
        }))
    }
}
