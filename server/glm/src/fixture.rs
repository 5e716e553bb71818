//! Small random models and numbers, for tests and benches (feature `fixture`).
//!
//! Takes a [`Config`] and a seed, gives the bytes of a GGUF file, or a loaded [`Model`]. The weights are random, so
//! the model's answers mean nothing; they are the same every time.

use crate::{
    Activation, Architecture, Attention, Block, Config, Device, Grouped, Model, Norm, Positions,
    Source, kernels::Q8Matrix,
};
use half::f16;

/// The type of a fixture's matrices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weights {
    /// Plain f32.
    F32,
    /// Q8_0; the sizes must be multiples of 32.
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
        prefix: true,
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

/// The bytes of a random model, with a tokenizer if one is given.
pub fn gguf(config: &Config, weights: Weights, seed: u64, tokenizer_json: Option<&str>) -> Vec<u8> {
    let mut file = Writer::default();
    file.text("general.architecture", "glm");
    file.text("general.name", "fixture");
    file.text(
        "glm.activation",
        if config.activation == Activation::Gelu {
            "gelu"
        } else {
            "gelu_tanh"
        },
    );
    file.text("infill.template", "infill_v1");
    if let Some(json) = tokenizer_json {
        file.text("tokenizer.huggingface.json", json);
    }
    file.count("glm.block_count", config.layers);
    file.count("glm.embedding_length", config.width);
    file.count("glm.feed_forward_length", config.inner);
    file.count("glm.attention.head_count", config.attention.heads());
    file.count("glm.context_length", config.context);
    file.float("glm.attention.layer_norm_epsilon", config.epsilon);

    let mut random = Random::new(seed);
    let Config { width, inner, .. } = *config;
    file.matrix(
        "token_embd.weight",
        &mut random,
        config.vocabulary,
        width,
        weights,
    );
    file.matrix(
        "position_embd.weight",
        &mut random,
        config.context + 1,
        width,
        Weights::F32,
    );
    file.matrix(
        "block_position_embd.weight",
        &mut random,
        config.context + 1,
        width,
        Weights::F32,
    );
    file.norm("output_norm", &mut random, width);
    for layer in 0..config.layers {
        let name = |part: &str| format!("blk.{layer}.{part}");
        file.norm(&name("attn_norm"), &mut random, width);
        file.linear(&name("attn_qkv"), &mut random, 3 * width, width, weights);
        file.linear(&name("attn_output"), &mut random, width, width, weights);
        file.norm(&name("ffn_norm"), &mut random, width);
        file.linear(&name("ffn_up"), &mut random, inner, width, weights);
        file.linear(&name("ffn_down"), &mut random, width, inner, weights);
    }
    file.finish()
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

    /// A random Q8_0 matrix.
    pub fn q8(&mut self, rows: usize, columns: usize) -> Q8Matrix {
        Q8Matrix::pack(&quantize(&self.normal(rows * columns)), rows, columns)
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

/// Puts a GGUF file together.
#[derive(Default)]
struct Writer {
    pairs: (u64, Vec<u8>),
    tensors: (u64, Vec<u8>),
    data: Vec<u8>,
}

impl Writer {
    fn pair(&mut self, key: &str, kind: u32, value: &[u8]) {
        self.pairs.0 += 1;
        write_text(&mut self.pairs.1, key);
        self.pairs.1.extend(kind.to_le_bytes());
        self.pairs.1.extend(value);
    }

    fn text(&mut self, key: &str, value: &str) {
        let mut bytes = Vec::new();
        write_text(&mut bytes, value);
        self.pair(key, 8, &bytes);
    }

    fn count(&mut self, key: &str, value: usize) {
        self.pair(key, 4, &(value as u32).to_le_bytes());
    }

    fn float(&mut self, key: &str, value: f32) {
        self.pair(key, 6, &value.to_le_bytes());
    }

    fn tensor(&mut self, name: &str, shape: &[usize], kind: u32, bytes: &[u8]) {
        self.tensors.0 += 1;
        let out = &mut self.tensors.1;
        write_text(out, name);
        out.extend((shape.len() as u32).to_le_bytes());
        for &size in shape.iter().rev() {
            out.extend((size as u64).to_le_bytes());
        }
        out.extend(kind.to_le_bytes());
        self.data.resize(self.data.len().next_multiple_of(32), 0);
        out.extend((self.data.len() as u64).to_le_bytes());
        self.data.extend(bytes);
    }

    fn vector(&mut self, name: &str, numbers: impl Iterator<Item = f32>) {
        let bytes: Vec<u8> = numbers.flat_map(f32::to_le_bytes).collect();
        self.tensor(name, &[bytes.len() / 4], 0, &bytes);
    }

    fn matrix(
        &mut self,
        name: &str,
        random: &mut Random,
        rows: usize,
        columns: usize,
        weights: Weights,
    ) {
        let size = (columns as f32).sqrt();
        let numbers: Vec<f32> = random
            .normal(rows * columns)
            .into_iter()
            .map(|x| x / size)
            .collect();
        match weights {
            Weights::F32 => {
                let bytes: Vec<u8> = numbers.into_iter().flat_map(f32::to_le_bytes).collect();
                self.tensor(name, &[rows, columns], 0, &bytes);
            }
            Weights::Q8 => self.tensor(name, &[rows, columns], 8, &quantize(&numbers)),
        }
    }

    fn norm(&mut self, name: &str, random: &mut Random, width: usize) {
        self.vector(
            &format!("{name}.weight"),
            random.normal(width).into_iter().map(|x| 1.0 + 0.1 * x),
        );
        self.vector(
            &format!("{name}.bias"),
            random.normal(width).into_iter().map(|x| 0.1 * x),
        );
    }

    fn linear(
        &mut self,
        name: &str,
        random: &mut Random,
        rows: usize,
        columns: usize,
        weights: Weights,
    ) {
        self.matrix(&format!("{name}.weight"), random, rows, columns, weights);
        self.vector(
            &format!("{name}.bias"),
            random.normal(rows).into_iter().map(|x| 0.1 * x),
        );
    }

    fn finish(self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(3u32.to_le_bytes());
        out.extend(self.tensors.0.to_le_bytes());
        out.extend(self.pairs.0.to_le_bytes());
        out.extend(self.pairs.1);
        out.extend(self.tensors.1);
        out.resize(out.len().next_multiple_of(32), 0);
        out.extend(self.data);
        out
    }
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}
