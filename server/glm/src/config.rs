//! What an architecture is, as data: the sizes and choices that a checkpoint's description states.
//!
//! Takes a checkpoint, gives a [`Config`]; layers are built from it and from nothing else. One file of this folder
//! reads each kind of description. Whether the tensors really have these shapes is checked where each one is loaded.

mod fields;
mod gguf;
mod guidance;
mod hf;
mod own;
mod sat;

pub use guidance::{Guidance, LineWeights, RecallWeights};
pub(crate) use own::{Pair, pairs};

use crate::{
    Error, Prefix,
    checkpoint::{Checkpoint, Description},
};

/// The sizes and choices of one model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Config {
    /// The member of the family, which says what the numbers below do not: names, prompts, defaults.
    pub architecture: Architecture,
    /// Transformer blocks, a top-query layer among them.
    pub layers: usize,
    /// Length of a hidden state.
    pub width: usize,
    /// Rows of the token embedding.
    pub vocabulary: usize,
    /// Tokens of the longest sequence that the model was made for. With two learned tables, the greatest position in
    /// either row.
    pub context: usize,
    /// The norm of hidden states.
    pub norm: Norm,
    /// Added to the variance in every norm.
    pub epsilon: f32,
    /// How a block's two halves and its norms are put together.
    pub block: Block,
    /// The attention half of a block.
    pub attention: Attention,
    /// How a token's place reaches the model.
    pub positions: Positions,
    /// Which of Part A's tokens see which.
    pub part_a: PartA,
    /// Length of a dense feed-forward's inner state.
    pub inner: usize,
    /// Whether the feed-forward multiplies its activated half by a linear one.
    pub gated: bool,
    /// The feed-forward's activation.
    pub activation: Activation,
    /// Whether attention's output and the feed-forward have biases.
    pub linear_bias: bool,
    /// The experts of a mixture; without it every feed-forward is dense.
    pub experts: Option<Experts>,
    /// Whether the last layer's queries are learned, one a position.
    pub top_query: bool,
    /// Whether the head is the token embedding.
    pub tied: bool,
}

/// The members of the family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// GLM of 2021 and 2022, 110M to 10B.
    Glm,
    /// GLM-130B.
    Glm130b,
    /// ChatGLM-6B, the first.
    ChatGlm,
    /// The layout of ChatGLM2: ChatGLM2 and 3, CodeGeeX2, GLM-4-9B, CodeGeeX4.
    ChatGlm2,
    /// GLM-4-9B in the layout of transformers.
    GlmHf,
    /// GLM-4-0414 and GLM-Z1.
    Glm4,
    /// GLM-4.5, 4.6 and 4.7.
    Glm4Moe,
    /// GLM-4.7-Flash.
    Glm4MoeLite,
    /// CodeGeeX-13B.
    CodeGeex,
}

/// The norm of hidden states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Norm {
    /// Layer norm, with weight and bias.
    Layer,
    /// Root-mean-square norm, with a weight alone.
    Rms,
}

/// Which of Part A's tokens see which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartA {
    /// Each sees those before it, as everywhere: the model is causal.
    Causal,
    /// All see one another.
    Whole,
    /// What stands more than `near` tokens before the first mask token, the far zone, is causal; the rest sees all.
    Zones {
        /// Tokens.
        near: usize,
    },
}

impl PartA {
    /// The zones of a Part A of so many tokens whose first mask token has this index.
    pub fn zones(self, length: usize, mask_at: Option<usize>) -> Prefix {
        match (self, mask_at) {
            (PartA::Causal, _) => Prefix::default(),
            (PartA::Zones { near }, Some(mask)) => Prefix {
                far: mask.saturating_sub(near),
                length,
            },
            (PartA::Whole | PartA::Zones { .. }, _) => length.into(),
        }
    }
}

/// How a block's two halves and its norms are put together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Block {
    /// x + half(norm x).
    PreNorm,
    /// x + norm(half(norm x)).
    Sandwich,
    /// alpha · norm x + half(norm x).
    DeepNorm {
        /// The weight of the normed input.
        alpha: f32,
    },
}

/// The attention half of a block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Attention {
    /// Heads with keys and values of their own, or shared by groups of heads.
    Grouped(Grouped),
    /// Heads whose keys and values are unpacked from one short latent a token.
    Latent(Latent),
}

/// Attention with keys and values a head or a group of heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grouped {
    /// Heads of queries.
    pub heads: usize,
    /// Heads of keys and values; each serves `heads / kv_heads` heads of queries.
    pub kv_heads: usize,
    /// Length of one head's query, key or value.
    pub head_size: usize,
    /// Whether queries, keys and values have biases.
    pub qkv_bias: bool,
    /// Whether each head's query and key is normed before it is rotated.
    pub qk_norm: bool,
}

/// Multi-head latent attention: one latent and one rotated key a token, for all heads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Latent {
    /// Heads.
    pub heads: usize,
    /// Length of the latent that queries are unpacked from; without it they come from the hidden state.
    pub query_rank: Option<usize>,
    /// Length of the latent that keys and values are unpacked from.
    pub kv_rank: usize,
    /// Numbers of a head's query and key that are not rotated.
    pub nope: usize,
    /// Numbers of a head's query, and of the token's shared key, that are rotated.
    pub rope: usize,
    /// Length of a head's value.
    pub value: usize,
    /// Added to the mean square in the norms of both latents.
    pub norm_epsilon: f32,
}

/// How a token's place reaches the model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Positions {
    /// Learned tables, added to the token embedding.
    Learned {
        /// Tables, one a row of positions: 1 or 2.
        rows: usize,
    },
    /// Queries and keys are rotated by angles that grow with the position.
    Rotary(Rotary),
}

/// Rotary positions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rotary {
    /// Numbers of a head that are rotated, from the first on. With two rows, each row rotates one half of them.
    pub size: usize,
    /// Which two numbers make a pair.
    pub pairs: Pairs,
    /// Pair i turns by position / base^(2i / size).
    pub base: f32,
    /// Rows of positions: 1 or 2.
    pub rows: usize,
    /// Whether frequencies are rounded to f16 before angles are formed, as in ChatGLM-6B.
    pub half_frequencies: bool,
    /// How the frequencies are stretched for long contexts.
    pub yarn: Option<Yarn>,
}

/// Which two numbers of a head are rotated together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pairs {
    /// i and i + size/2.
    Half,
    /// 2i and 2i + 1.
    Interleaved,
}

/// YaRN: slow pairs are slowed down by a factor, fast ones are left alone, those between are mixed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Yarn {
    /// How many times longer the context is to be.
    pub factor: f32,
    /// The context before.
    pub original: usize,
    /// Pairs that turn more often than this within the context before are left alone.
    pub beta_fast: f32,
    /// Pairs that turn less often than this are slowed down by the whole factor.
    pub beta_slow: f32,
    /// What cosines and sines are multiplied by.
    pub attention_factor: f32,
    /// What the scores of latent attention are multiplied by besides.
    pub score_factor: f32,
    /// Whether the bounds of the mixed pairs are rounded outwards to whole pairs.
    pub truncate: bool,
}

/// The activation of a feed-forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// GELU by its tanh approximation, as the GLM sources train it.
    GeluTanh,
    /// GELU by the error function, as the Hugging Face copies run it.
    Gelu,
    /// x · sigmoid(1.702 x), CodeGeeX-13B's stand-in for GELU.
    QuickGelu,
    /// x · sigmoid(x).
    Silu,
}

/// The experts of the layers that have them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Experts {
    /// Routed experts.
    pub count: usize,
    /// Experts that a token goes to.
    pub chosen: usize,
    /// Experts that every token goes to, stored as one of `shared` times the size.
    pub shared: usize,
    /// Length of an expert's inner state.
    pub inner: usize,
    /// Layers at the beginning that have a dense feed-forward.
    pub first_dense: usize,
    /// Groups that the experts are divided into; a token's experts come from `chosen_groups` of them.
    pub groups: usize,
    /// Groups that a token's experts may come from.
    pub chosen_groups: usize,
    /// What the chosen experts' weights are multiplied by.
    pub scale: f32,
    /// Whether the chosen experts' weights are brought to a sum of 1.
    pub normalize: bool,
}

impl Architecture {
    /// All members with their names.
    const ALL: [(Architecture, &'static str); 9] = [
        (Architecture::Glm, "glm"),
        (Architecture::Glm130b, "glm130b"),
        (Architecture::ChatGlm, "chatglm"),
        (Architecture::ChatGlm2, "chatglm2"),
        (Architecture::GlmHf, "glm-hf"),
        (Architecture::Glm4, "glm4"),
        (Architecture::Glm4Moe, "glm4moe"),
        (Architecture::Glm4MoeLite, "glm4moelite"),
        (Architecture::CodeGeex, "codegeex"),
    ];

    /// The name that files and messages use.
    pub fn name(self) -> &'static str {
        let row = Architecture::ALL.iter().find(|row| row.0 == self);
        row.expect("every member is in the table").1
    }

    /// The member of that name.
    pub fn from_name(name: &str) -> Option<Architecture> {
        let row = Architecture::ALL.iter().find(|row| row.1 == name);
        row.map(|row| row.0)
    }
}

impl Grouped {
    /// Numbers of a token's queries.
    pub fn queries(&self) -> usize {
        self.heads * self.head_size
    }

    /// Numbers of a token's keys, or of its values.
    pub fn keys(&self) -> usize {
        self.kv_heads * self.head_size
    }
}

impl Attention {
    /// Heads of queries.
    pub fn heads(&self) -> usize {
        match self {
            Attention::Grouped(grouped) => grouped.heads,
            Attention::Latent(latent) => latent.heads,
        }
    }

    /// Numbers that the cache keeps of a token in one layer.
    pub fn cached(&self) -> usize {
        match self {
            Attention::Grouped(grouped) => 2 * grouped.keys(),
            Attention::Latent(latent) => latent.kv_rank + latent.rope,
        }
    }
}

impl Config {
    /// Whether the layer's feed-forward is a mixture of experts.
    pub fn has_experts(&self, layer: usize) -> bool {
        self.experts
            .is_some_and(|experts| layer >= experts.first_dense)
    }

    /// Rows of each learned table of positions.
    pub fn places(&self) -> usize {
        match self.positions {
            Positions::Learned { rows: 2 } => self.context + 1,
            _ => self.context,
        }
    }

    /// Reads and checks the description of a checkpoint.
    pub(crate) fn read(checkpoint: &Checkpoint) -> Result<Config, Error> {
        let config = match checkpoint.description() {
            Description::Gguf(_) => match checkpoint.text("general.architecture")? {
                "glm" => own::read(checkpoint)?,
                other => gguf::read(checkpoint, other)?,
            },
            Description::Json(_) => hf::read(checkpoint)?,
            Description::Sat(_) => sat::read(checkpoint)?,
        };
        let tensors = checkpoint.tensors();
        match config.fault() {
            // Whoever goes through the layers goes through what is there.
            None if config.layers > tensors => {
                let why = format!("is {}, and the files have {tensors} tensors", config.layers);
                Err(checkpoint.bad_metadata("layers", why))
            }
            None => Ok(config),
            Some((what, why)) => Err(checkpoint.bad_metadata(what, why)),
        }
    }

    /// The first size that cannot be, and why.
    fn fault(&self) -> Option<(&'static str, String)> {
        let sizes = [
            ("layers", self.layers, 1 << 12),
            ("width", self.width, 1 << 20),
            ("vocabulary", self.vocabulary, 1 << 24),
            ("context", self.context, 1 << 24),
            ("feed-forward length", self.inner, 1 << 22),
            ("heads", self.attention.heads(), 1 << 12),
        ];
        for (what, size, most) in sizes {
            if size == 0 || size > most {
                return Some((what, format!("is {size}, not between 1 and {most}")));
            }
        }
        if !(self.epsilon > 0.0 && self.epsilon < 1.0) {
            return Some((
                "epsilon",
                format!("is {}, not a small positive number", self.epsilon),
            ));
        }
        let rotatable = match self.attention {
            Attention::Grouped(sizes) => {
                if sizes.head_size == 0 || sizes.head_size > 1 << 12 {
                    return Some(("head size", format!("is {}", sizes.head_size)));
                }
                if sizes.kv_heads == 0 || !sizes.heads.is_multiple_of(sizes.kv_heads) {
                    let why = format!(
                        "are {}, which does not divide the {} heads",
                        sizes.kv_heads, sizes.heads
                    );
                    return Some(("heads of keys", why));
                }
                sizes.head_size
            }
            Attention::Latent(sizes) => {
                let rank = sizes.query_rank.unwrap_or(1);
                let sizes = [rank, sizes.kv_rank, sizes.nope, sizes.rope, sizes.value];
                if sizes.iter().any(|&size| size == 0 || size > 1 << 16) {
                    return Some(("sizes of latent attention", format!("are {sizes:?}")));
                }
                sizes[3]
            }
        };
        if let Positions::Rotary(rotary) = self.positions {
            let step = 2 * rotary.rows.max(1);
            if rotary.size == 0 || rotary.size > rotatable || !rotary.size.is_multiple_of(step) {
                return Some((
                    "rotated numbers",
                    format!("are {} of a head's {rotatable}", rotary.size),
                ));
            }
            if !(rotary.base > 1.0 && rotary.base.is_finite()) {
                return Some(("base of the rotation", format!("is {}", rotary.base)));
            }
            if rotary.yarn.is_some_and(|yarn| {
                [yarn.factor, yarn.beta_fast, yarn.beta_slow]
                    .iter()
                    .any(|bound| bound.is_nan() || *bound <= 0.0)
            }) {
                return Some((
                    "YaRN",
                    "has a factor or bound that is not positive".to_owned(),
                ));
            }
        }
        let experts = self.experts?;
        let whole = (1..=1 << 14).contains(&experts.count)
            && (1..=experts.count).contains(&experts.chosen)
            && experts.inner > 0
            && experts.shared <= 1 << 8
            && experts.groups > 0
            && experts.count.is_multiple_of(experts.groups)
            && (1..=experts.groups).contains(&experts.chosen_groups)
            && experts.chosen <= experts.count / experts.groups * experts.chosen_groups;
        (!whole).then(|| ("experts", format!("do not fit together: {experts:?}")))
    }
}
