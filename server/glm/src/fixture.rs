//! Small random models and numbers, for tests and benches (feature `fixture`).
//!
//! Takes a [`Config`] and a seed, gives the bytes of a GGUF file, or a loaded [`Model`]. The weights are random, so
//! the model's answers mean nothing; they are the same every time.

use crate::{
    Activation, Architecture, Attention, Block, Config, Device, Experts, Grouped, Latent, Metal,
    Model, Norm, Pairs, PartA, Positions, Rotary, Source, Yarn,
    checkpoint::{Part, Shape, header, needs, pad},
    config::{Pair, pairs},
    gpu::{Gpu, Together, faulty::Faulty},
    kernels::{
        PackedMatrix, Stored,
        cuda::{self, ThroughMemory, emulated::Emulated},
    },
};
use candle_core::quantized::GgmlDType;
use half::f16;
use std::sync::Arc;

pub use crate::gpu::faulty::Switch;

/// The type of a fixture's matrices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weights {
    /// Plain f32.
    F32,
    /// Q8_0, but for matrices whose rows are no multiple of 32.
    Q8,
}

/// A model small enough for a unit test: 2 layers, width 64, 4 heads.
pub fn tiny(vocabulary: usize) -> Config {
    glm(2, 64, 4, 128, vocabulary, 128)
}

/// A model of the shape of the first embedded one: 4 layers, width 256, 8,192 tokens, context 512.
pub fn embedded() -> Config {
    glm(4, 256, 4, 1024, 8192, 512)
}

/// A model of a later generation, of a size that a laptop runs while someone types: 42 million parameters.
pub fn causal() -> Config {
    let first = glm(12, 512, 8, 1408, 16_384, 2048);
    Config {
        architecture: Architecture::ChatGlm2,
        norm: Norm::Rms,
        attention: Attention::Grouped(Grouped {
            heads: 8,
            kv_heads: 2,
            head_size: 64,
            qkv_bias: true,
            qk_norm: false,
        }),
        positions: Positions::Rotary(Rotary {
            size: 32,
            pairs: Pairs::Interleaved,
            base: 10_000.0,
            rows: 1,
            half_frequencies: false,
            yarn: None,
        }),
        part_a: PartA::Causal,
        gated: true,
        activation: Activation::Silu,
        linear_bias: false,
        ..first
    }
}

/// A model of the first generation, with these sizes.
pub fn glm(
    layers: usize,
    width: usize,
    heads: usize,
    inner: usize,
    vocabulary: usize,
    context: usize,
) -> Config {
    Config {
        architecture: Architecture::Glm,
        layers,
        width,
        vocabulary,
        context,
        norm: Norm::Layer,
        epsilon: 1e-5,
        block: Block::PreNorm,
        attention: Attention::Grouped(Grouped {
            heads,
            kv_heads: heads,
            head_size: width / heads,
            qkv_bias: true,
            qk_norm: false,
        }),
        positions: Positions::Learned { rows: 2 },
        part_a: PartA::Whole,
        inner,
        gated: false,
        activation: Activation::GeluTanh,
        linear_bias: true,
        experts: None,
        top_query: false,
        tied: true,
    }
}

/// A random model, loaded.
pub fn model(config: &Config, weights: Weights, seed: u64) -> Model {
    let bytes = gguf(config, weights, seed, None).leak();
    Model::open(
        &Source::Static(bytes),
        crate::Weights::AsStored,
        &Device::Cpu,
    )
    .expect("the fixture writes what the loader reads")
}

/// A GPU that the processor emulates, of which a model may take `room` bytes, and what makes it fail. Needs a C++ compiler,
/// and is slow.
pub fn gpu(room: u64) -> (Device, Switch) {
    let device = Faulty::new(Emulated::new());
    let switch = device.switch();
    let gpu = Gpu::of(Arc::new(device), "cuda:0 (emulated)", room);
    (Device::Gpus(vec![gpu]), switch)
}

/// As many GPUs that work on every layer together, as [`gpu`] has one; what they give is added up by the processor.
pub fn together(rooms: &[u64]) -> (Device, Vec<Switch>) {
    let devices: Vec<_> = rooms.iter().map(|_| Faulty::new(Emulated::new())).collect();
    let switches = devices.iter().map(Faulty::switch).collect();
    let devices: Vec<Arc<dyn cuda::Device + Send + Sync>> = devices
        .into_iter()
        .map(|device| Arc::new(device) as _)
        .collect();
    let gpu = |(number, (device, &room)): (usize, (&Arc<_>, &u64))| {
        Gpu::of(
            Arc::clone(device),
            &format!("cuda:{number} (emulated)"),
            room,
        )
    };
    let together = Together {
        gpus: devices.iter().zip(rooms).enumerate().map(gpu).collect(),
        all_reduce: Ok(Arc::new(ThroughMemory::new(devices))),
    };
    (Device::Together(together), switches)
}

/// candle's processor device in the place of Apple's GPU, and what makes it fail.
pub fn metal(room: u64) -> (Device, Switch) {
    let metal = Metal::emulated(room);
    let switch = metal.switch();
    (Device::Metal(metal), switch)
}

/// One small model of every member of the family, and of every choice that a member leaves open: the least sizes at
/// which each part still has something to do. Widths are multiples of 32, so that they can be stored as Q8_0.
pub fn members() -> Vec<Config> {
    let first = tiny(100);
    let rotary = Rotary {
        size: 8,
        pairs: Pairs::Interleaved,
        base: 10_000.0,
        rows: 1,
        half_frequencies: false,
        yarn: None,
    };
    let grouped = Grouped {
        heads: 4,
        kv_heads: 2,
        head_size: 16,
        qkv_bias: true,
        qk_norm: false,
    };
    let causal = Config {
        architecture: Architecture::ChatGlm2,
        norm: Norm::Rms,
        attention: Attention::Grouped(grouped),
        positions: Positions::Rotary(rotary),
        part_a: PartA::Causal,
        inner: 96,
        gated: true,
        activation: Activation::Silu,
        linear_bias: false,
        tied: false,
        ..first
    };
    let deep = Config {
        architecture: Architecture::Glm130b,
        block: Block::DeepNorm { alpha: 2.0 },
        positions: Positions::Rotary(Rotary {
            size: 16,
            pairs: Pairs::Half,
            ..rotary
        }),
        gated: true,
        activation: Activation::Gelu,
        ..first
    };
    let experts = Experts {
        count: 8,
        chosen: 3,
        shared: 1,
        inner: 32,
        first_dense: 1,
        groups: 1,
        chosen_groups: 1,
        scale: 2.5,
        normalize: true,
    };
    let latent = Latent {
        heads: 4,
        query_rank: Some(32),
        kv_rank: 32,
        nope: 12,
        rope: 8,
        value: 24,
        norm_epsilon: 1e-6,
    };
    let lite = Config {
        architecture: Architecture::Glm4MoeLite,
        attention: Attention::Latent(latent),
        experts: Some(Experts {
            groups: 4,
            chosen_groups: 2,
            shared: 0,
            ..experts
        }),
        ..causal
    };
    vec![
        first,
        deep,
        Config {
            architecture: Architecture::ChatGlm,
            positions: Positions::Rotary(Rotary {
                size: 16,
                pairs: Pairs::Half,
                rows: 2,
                half_frequencies: true,
                ..rotary
            }),
            gated: false,
            activation: Activation::GeluTanh,
            tied: false,
            ..deep
        },
        causal,
        Config {
            architecture: Architecture::GlmHf,
            tied: true,
            ..causal
        },
        Config {
            architecture: Architecture::Glm4,
            block: Block::Sandwich,
            ..causal
        },
        Config {
            architecture: Architecture::Glm4Moe,
            attention: Attention::Grouped(Grouped {
                qk_norm: true,
                ..grouped
            }),
            experts: Some(experts),
            ..causal
        },
        lite,
        Config {
            attention: Attention::Latent(Latent {
                query_rank: None,
                ..latent
            }),
            positions: Positions::Rotary(Rotary {
                yarn: Some(Yarn {
                    factor: 4.0,
                    original: 32,
                    beta_fast: 32.0,
                    beta_slow: 1.0,
                    attention_factor: 1.125,
                    score_factor: 1.25,
                    truncate: true,
                }),
                ..rotary
            }),
            ..lite
        },
        Config {
            architecture: Architecture::CodeGeex,
            positions: Positions::Learned { rows: 1 },
            part_a: PartA::Causal,
            activation: Activation::QuickGelu,
            top_query: true,
            ..first
        },
    ]
}

/// The bytes of a random model, with a tokenizer if one is given.
pub fn gguf(config: &Config, weights: Weights, seed: u64, tokenizer_json: Option<&str>) -> Vec<u8> {
    let texts = [
        ("general.architecture", Some("glm")),
        ("general.name", Some("fixture")),
        ("infill.template", Some("infill_v1")),
        ("tokenizer.huggingface.json", tokenizer_json),
    ];
    let texts = texts
        .into_iter()
        .filter_map(|(key, text)| Some((key, Pair::Text(text?.to_owned()))));
    let metadata: Vec<_> = texts
        .chain(pairs(config))
        .map(|(key, pair)| (key.to_owned(), pair))
        .collect();
    let mut random = Random::new(seed);
    let mut parts = Vec::new();
    let mut data = Vec::new();
    for need in needs(config) {
        let numbers = numbers(&need.name, need.shape, &mut random);
        let (_, columns) = need.shape.matrix();
        let is_matrix = matches!(need.shape, Shape::Matrix(..) | Shape::Experts(..));
        let (kind, bytes) = match weights {
            Weights::Q8 if is_matrix && columns.is_multiple_of(32) => {
                (GgmlDType::Q8_0, quantize(&numbers))
            }
            _ => {
                let bytes = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
                (GgmlDType::F32, bytes)
            }
        };
        parts.push(Part::ggml(need.name, need.shape.dimensions(), kind));
        data.extend(&bytes);
        pad(&mut data, bytes.len() as u64).expect("a vector takes every byte");
    }
    let mut file = header(&metadata, &parts.iter().collect::<Vec<_>>());
    file.extend(data);
    file
}

/// Numbers of the size that training leaves: norms near 1, biases near 0, a matrix's output as large as its input.
fn numbers(name: &str, shape: Shape, random: &mut Random) -> Vec<f32> {
    let (rows, columns) = shape.matrix();
    let (mean, size) = match shape {
        Shape::Vector(_) if name.ends_with(".bias") => (0.0, 0.1),
        Shape::Vector(_) => (1.0, 0.1),
        _ => (0.0, 1.0 / (columns as f32).sqrt()),
    };
    let numbers = random.normal(rows * columns);
    numbers.into_iter().map(|x| mean + size * x).collect()
}

/// Numbers that look random and are the same for the same seed.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// A sequence of its own for each seed.
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next 32 bits.
    pub fn bits(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
    }

    /// Numbers near enough to normally distributed: mean 0, variance 1.
    pub fn normal(&mut self, count: usize) -> Vec<f32> {
        let mut uniform = || self.bits() as f32 / u32::MAX as f32 - 0.5;
        (0..count)
            .map(|_| 2.0 * (uniform() + uniform() + uniform()))
            .collect()
    }

    /// Rows of random blocks, of random bits and scales that are finite and positive.
    pub fn blocks(&mut self, stored: Stored, rows: usize, columns: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..rows * stored.row_bytes(columns))
            .map(|_| self.bits() as u8)
            .collect();
        for block in bytes.chunks_exact_mut(stored.block_bytes()) {
            for &at in stored.factors() {
                let factor = 0.01 + self.bits() as f32 / u32::MAX as f32 / 50.0;
                block[at..at + 2].copy_from_slice(&f16::from_f32(factor).to_le_bytes());
            }
        }
        bytes
    }

    /// A random matrix of one of the types that are packed.
    pub fn packed(&mut self, stored: Stored, rows: usize, columns: usize) -> PackedMatrix {
        let bytes = self.blocks(stored, rows, columns);
        let panels = PackedMatrix::panels_of(stored, &bytes, columns);
        let scales = match stored {
            Stored::Int8 | Stored::Int4 => self.normal(rows),
            _ => Vec::new(),
        };
        PackedMatrix::of_panels(stored.packing(), panels, scales, rows, columns)
    }
}

/// Q8_0 blocks of the numbers; their count is a multiple of 32.
pub fn quantize(numbers: &[f32]) -> Vec<u8> {
    let mut blocks = Vec::new();
    for block in numbers.chunks_exact(32) {
        let scale = block.iter().fold(0.0f32, |largest, x| largest.max(x.abs())) / 127.0;
        blocks.extend(f16::from_f32(scale).to_le_bytes());
        blocks.extend(
            block
                .iter()
                .map(|x| (x / scale.max(f32::MIN_POSITIVE)).round() as i8 as u8),
        );
    }
    blocks
}
