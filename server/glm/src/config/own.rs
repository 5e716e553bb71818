//! The metadata of our own GGUF files, architecture `glm`: one key for each field of a [`Config`].
//!
//! A key that is absent has the value of GLM of 2021, so files from before the other members stay readable.

use super::{
    Activation, Architecture, Attention, Block, Config, Experts, Grouped, Latent, Norm, Pairs,
    PartA, Positions, Rotary, Yarn, fields::Fields,
};
use crate::{Error, checkpoint::Checkpoint};

/// A metadata value to write.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Pair {
    /// A string.
    Text(String),
    /// A size.
    Count(u64),
    /// A number, f32 in the file.
    Float(f64),
    /// Yes or no.
    Flag(bool),
    /// As many values of the same type as a GGUF file has them.
    Array(u32, u64, Vec<u8>),
}

/// Reads the metadata.
pub(super) fn read(checkpoint: &Checkpoint) -> Result<Config, Error> {
    let fields = &Fields::new(checkpoint, "glm.");
    let name = fields
        .text("architecture")?
        .unwrap_or_else(|| "glm".to_owned());
    let architecture = Architecture::from_name(&name).ok_or_else(|| {
        fields.bad(
            "architecture",
            format!("is `{name}`, which is not a member of the family"),
        )
    })?;
    let width = fields.count("embedding_length")?;
    let heads = fields.count("attention.head_count")?;
    let activation = match fields.text("activation")?.as_deref() {
        Some("gelu_tanh") => Activation::GeluTanh,
        Some("gelu") => Activation::Gelu,
        Some("quick_gelu") => Activation::QuickGelu,
        Some("silu") => Activation::Silu,
        Some(other) => {
            return Err(fields.bad("activation", format!("is `{other}`, which is not known")));
        }
        None => return Err(fields.bad("activation", "is missing")),
    };
    let attention = match fields.optional_count("attention.kv_rank")? {
        Some(kv_rank) => Attention::Latent(Latent {
            heads,
            query_rank: fields.optional_count("attention.query_rank")?,
            kv_rank,
            nope: fields.count("attention.nope")?,
            rope: fields.count("attention.rope")?,
            value: fields.count("attention.value")?,
            norm_epsilon: fields.float("attention.latent_epsilon")?.unwrap_or(1e-6),
        }),
        None => {
            let head_size = fields.optional_count("attention.head_size")?;
            if head_size.is_none() && !width.is_multiple_of(heads) {
                let why = format!("is {heads}, which does not divide the width {width}");
                return Err(fields.bad("attention.head_count", why));
            }
            Attention::Grouped(Grouped {
                heads,
                kv_heads: fields
                    .optional_count("attention.head_count_kv")?
                    .unwrap_or(heads),
                head_size: head_size.unwrap_or(width / heads),
                qkv_bias: fields.flag("attention.qkv_bias", true)?,
                qk_norm: fields.flag("attention.qk_norm", false)?,
            })
        }
    };
    let rows = fields.optional_count("positions.rows")?.unwrap_or(2);
    if rows > 2 {
        return Err(fields.bad("positions.rows", format!("is {rows}, not 1 or 2")));
    }
    let float = |key: &str, absent: f32| Ok::<_, Error>(fields.float(key)?.unwrap_or(absent));
    let positions = match fields.optional_count("rope.size")? {
        None => Positions::Learned { rows },
        Some(size) => Positions::Rotary(Rotary {
            size,
            pairs: if fields.flag("rope.interleaved", false)? {
                Pairs::Interleaved
            } else {
                Pairs::Half
            },
            base: float("rope.base", 10_000.0)?,
            rows,
            half_frequencies: fields.flag("rope.half_frequencies", false)?,
            yarn: match fields.float("rope.yarn.factor")? {
                None => None,
                Some(factor) => Some(Yarn {
                    factor,
                    original: fields.count("rope.yarn.original")?,
                    beta_fast: float("rope.yarn.beta_fast", 32.0)?,
                    beta_slow: float("rope.yarn.beta_slow", 1.0)?,
                    attention_factor: float("rope.yarn.attention_factor", 1.0)?,
                    score_factor: float("rope.yarn.score_factor", 1.0)?,
                    truncate: fields.flag("rope.yarn.truncate", true)?,
                }),
            },
        }),
    };
    let experts = match fields.optional_count("experts.count")? {
        None => None,
        Some(count) => Some(Experts {
            count,
            chosen: fields.count("experts.chosen")?,
            shared: fields.count_or_zero("experts.shared")?,
            inner: fields.count("experts.inner")?,
            first_dense: fields.count_or_zero("experts.first_dense")?,
            groups: fields.optional_count("experts.groups")?.unwrap_or(1),
            chosen_groups: fields.optional_count("experts.chosen_groups")?.unwrap_or(1),
            scale: float("experts.scale", 1.0)?,
            normalize: fields.flag("experts.normalize", true)?,
        }),
    };
    Ok(Config {
        architecture,
        layers: fields.count("block_count")?,
        width,
        vocabulary: checkpoint.rows("token_embd.weight")?,
        context: fields.count("context_length")?,
        norm: if fields.flag("rms_norm", false)? {
            Norm::Rms
        } else {
            Norm::Layer
        },
        epsilon: fields
            .float("attention.layer_norm_epsilon")?
            .ok_or_else(|| fields.bad("attention.layer_norm_epsilon", "is missing"))?,
        block: match (
            fields.float("deep_norm_alpha")?,
            fields.flag("sandwich", false)?,
        ) {
            (Some(alpha), _) => Block::DeepNorm { alpha },
            (None, true) => Block::Sandwich,
            (None, false) => Block::PreNorm,
        },
        attention,
        positions,
        part_a: part_a(fields)?,
        inner: fields.count("feed_forward_length")?,
        gated: fields.flag("gated", false)?,
        activation,
        linear_bias: fields.flag("linear_bias", true)?,
        experts,
        top_query: fields.flag("top_query", false)?,
        tied: fields.flag("tied", true)?,
    })
}

fn part_a(fields: &Fields) -> Result<PartA, Error> {
    let near = fields.optional_count("prefix.near")?;
    match (fields.flag("prefix", true)?, near) {
        (true, None) => Ok(PartA::Whole),
        (true, Some(near)) => Ok(PartA::Zones { near }),
        (false, None) => Ok(PartA::Causal),
        (false, Some(near)) => Err(fields.bad(
            "prefix.near",
            format!("is {near} in a model without a prefix"),
        )),
    }
}

/// The keys and values that describe a model, for a file that [`read`] reads.
pub(crate) fn pairs(config: &Config) -> Vec<(&'static str, Pair)> {
    let count = |n: usize| Pair::Count(n as u64);
    let float = |x: f32| Pair::Float(f64::from(x));
    let activation = match config.activation {
        Activation::GeluTanh => "gelu_tanh",
        Activation::Gelu => "gelu",
        Activation::QuickGelu => "quick_gelu",
        Activation::Silu => "silu",
    };
    let mut pairs = vec![
        (
            "glm.architecture",
            Pair::Text(config.architecture.name().to_owned()),
        ),
        ("glm.block_count", count(config.layers)),
        ("glm.embedding_length", count(config.width)),
        ("glm.context_length", count(config.context)),
        ("glm.feed_forward_length", count(config.inner)),
        ("glm.attention.head_count", count(config.attention.heads())),
        ("glm.attention.layer_norm_epsilon", float(config.epsilon)),
        ("glm.activation", Pair::Text(activation.to_owned())),
        ("glm.rms_norm", Pair::Flag(config.norm == Norm::Rms)),
        ("glm.prefix", Pair::Flag(config.part_a != PartA::Causal)),
        ("glm.gated", Pair::Flag(config.gated)),
        ("glm.linear_bias", Pair::Flag(config.linear_bias)),
        ("glm.top_query", Pair::Flag(config.top_query)),
        ("glm.tied", Pair::Flag(config.tied)),
    ];
    if let PartA::Zones { near } = config.part_a {
        pairs.push(("glm.prefix.near", count(near)));
    }
    match config.block {
        Block::PreNorm => {}
        Block::Sandwich => pairs.push(("glm.sandwich", Pair::Flag(true))),
        Block::DeepNorm { alpha } => pairs.push(("glm.deep_norm_alpha", float(alpha))),
    }
    match config.attention {
        Attention::Grouped(sizes) => pairs.extend([
            ("glm.attention.head_count_kv", count(sizes.kv_heads)),
            ("glm.attention.head_size", count(sizes.head_size)),
            ("glm.attention.qkv_bias", Pair::Flag(sizes.qkv_bias)),
            ("glm.attention.qk_norm", Pair::Flag(sizes.qk_norm)),
        ]),
        Attention::Latent(sizes) => {
            pairs.extend([
                ("glm.attention.kv_rank", count(sizes.kv_rank)),
                ("glm.attention.nope", count(sizes.nope)),
                ("glm.attention.rope", count(sizes.rope)),
                ("glm.attention.value", count(sizes.value)),
                ("glm.attention.latent_epsilon", float(sizes.norm_epsilon)),
            ]);
            pairs.extend(
                sizes
                    .query_rank
                    .map(|rank| ("glm.attention.query_rank", count(rank))),
            );
        }
    }
    match config.positions {
        Positions::Learned { rows } => pairs.push(("glm.positions.rows", count(rows))),
        Positions::Rotary(rotary) => {
            pairs.extend([
                ("glm.positions.rows", count(rotary.rows)),
                ("glm.rope.size", count(rotary.size)),
                (
                    "glm.rope.interleaved",
                    Pair::Flag(rotary.pairs == Pairs::Interleaved),
                ),
                ("glm.rope.base", float(rotary.base)),
                (
                    "glm.rope.half_frequencies",
                    Pair::Flag(rotary.half_frequencies),
                ),
            ]);
            if let Some(yarn) = rotary.yarn {
                pairs.extend([
                    ("glm.rope.yarn.factor", float(yarn.factor)),
                    ("glm.rope.yarn.original", count(yarn.original)),
                    ("glm.rope.yarn.beta_fast", float(yarn.beta_fast)),
                    ("glm.rope.yarn.beta_slow", float(yarn.beta_slow)),
                    (
                        "glm.rope.yarn.attention_factor",
                        float(yarn.attention_factor),
                    ),
                    ("glm.rope.yarn.score_factor", float(yarn.score_factor)),
                    ("glm.rope.yarn.truncate", Pair::Flag(yarn.truncate)),
                ]);
            }
        }
    }
    if let Some(experts) = config.experts {
        pairs.extend([
            ("glm.experts.count", count(experts.count)),
            ("glm.experts.chosen", count(experts.chosen)),
            ("glm.experts.shared", count(experts.shared)),
            ("glm.experts.inner", count(experts.inner)),
            ("glm.experts.first_dense", count(experts.first_dense)),
            ("glm.experts.groups", count(experts.groups)),
            ("glm.experts.chosen_groups", count(experts.chosen_groups)),
            ("glm.experts.scale", float(experts.scale)),
            ("glm.experts.normalize", Pair::Flag(experts.normalize)),
        ]);
    }
    pairs
}
