//! The `config.json` of the makers' own classes and of transformers.
//!
//! `model_type` alone does not say which model it is: `glm` is GLM of 2021 as well as GLM-4-9B, `chatglm` the first
//! ChatGLM as well as all later ones. The keys that only one of them has decide.

use super::{
    Activation, Architecture, Attention, Block, Config, Experts, Grouped, Latent, Norm, Pairs,
    PartA, Positions, Rotary, Yarn, fields::Fields,
};
use crate::{Error, checkpoint::Checkpoint};

/// Reads a `config.json`.
pub(super) fn read(checkpoint: &Checkpoint) -> Result<Config, Error> {
    let fields = &Fields::new(checkpoint, "");
    let kind = fields.text("model_type")?.unwrap_or_default();
    match kind.as_str() {
        "glm" | ""
            if !fields.has("num_key_value_heads")
                && fields.has("num_layers")
                && !fields.has("padded_vocab_size") =>
        {
            if fields.has("position_encoding_2d") {
                chatglm(fields)
            } else {
                glm(fields)
            }
        }
        "chatglm" if fields.has("padded_vocab_size") => chatglm2(fields),
        "chatglm" => chatglm(fields),
        "glm" => transformers(fields, Architecture::GlmHf),
        "glm4" => transformers(fields, Architecture::Glm4),
        "glm4_moe" => transformers(fields, Architecture::Glm4Moe),
        "glm4_moe_lite" => transformers(fields, Architecture::Glm4MoeLite),
        _ => Err(fields.bad(
            "model_type",
            format!("is `{kind}`; known are glm, chatglm, glm4, glm4_moe and glm4_moe_lite"),
        )),
    }
}

fn heads(width: usize, heads: usize, fields: &Fields) -> Result<Grouped, Error> {
    if !width.is_multiple_of(heads) {
        return Err(fields.bad(
            "num_attention_heads",
            format!("is {heads}, which does not divide the width {width}"),
        ));
    }
    Ok(Grouped {
        heads,
        kv_heads: heads,
        head_size: width / heads,
        qkv_bias: true,
        qk_norm: false,
    })
}

/// GLM of 2021.
fn glm(fields: &Fields) -> Result<Config, Error> {
    let width = fields.count("hidden_size")?;
    if !fields.flag("block_position_encoding", true)? || fields.flag("relative_encoding", false)? {
        return Err(fields.bad(
            "block_position_encoding",
            "describes positions that no published model has",
        ));
    }
    Ok(Config {
        architecture: Architecture::Glm,
        layers: fields.count("num_layers")?,
        width,
        vocabulary: fields.count("vocab_size")?,
        context: fields.count("max_sequence_length")?,
        norm: Norm::Layer,
        epsilon: fields.float("layernorm_epsilon")?.unwrap_or(1e-5),
        block: Block::PreNorm,
        attention: Attention::Grouped(heads(width, fields.count("num_attention_heads")?, fields)?),
        positions: Positions::Learned { rows: 2 },
        part_a: PartA::Whole,
        inner: 4 * width,
        gated: false,
        activation: Activation::Gelu,
        linear_bias: true,
        experts: None,
        top_query: false,
        tied: true,
    })
}

/// ChatGLM-6B. Its code takes 28 layers for DeepNorm's weight however many there are.
fn chatglm(fields: &Fields) -> Result<Config, Error> {
    let width = fields.count("hidden_size")?;
    let grouped = heads(width, fields.count("num_attention_heads")?, fields)?;
    if !fields.flag("position_encoding_2d", true)? {
        return Err(fields.bad(
            "position_encoding_2d",
            "is false, which no published model has",
        ));
    }
    Ok(Config {
        architecture: Architecture::ChatGlm,
        layers: fields.count("num_layers")?,
        vocabulary: fields.count("vocab_size")?,
        context: fields.count("max_sequence_length")?,
        epsilon: fields.float("layernorm_epsilon")?.unwrap_or(1e-5),
        block: Block::DeepNorm {
            alpha: 56f32.sqrt(),
        },
        attention: Attention::Grouped(grouped),
        positions: Positions::Rotary(Rotary {
            size: grouped.head_size,
            pairs: Pairs::Half,
            base: 10_000.0,
            rows: 2,
            half_frequencies: true,
            yarn: None,
        }),
        inner: fields
            .optional_count("inner_hidden_size")?
            .unwrap_or(4 * width),
        activation: Activation::GeluTanh,
        tied: fields.flag("tie_word_embeddings", false)?,
        ..causal(Architecture::ChatGlm, width)
    })
    .map(|config| Config {
        norm: Norm::Layer,
        part_a: PartA::Whole,
        gated: false,
        linear_bias: true,
        ..config
    })
}

/// What causal members share; sizes are filled in by the caller.
pub(super) fn causal(architecture: Architecture, width: usize) -> Config {
    Config {
        architecture,
        layers: 1,
        width,
        vocabulary: 1,
        context: 1,
        norm: Norm::Rms,
        epsilon: 1e-5,
        block: Block::PreNorm,
        attention: Attention::Grouped(Grouped {
            heads: 1,
            kv_heads: 1,
            head_size: 2,
            qkv_bias: true,
            qk_norm: false,
        }),
        positions: Positions::Learned { rows: 1 },
        part_a: PartA::Causal,
        inner: 1,
        gated: true,
        activation: Activation::Silu,
        linear_bias: false,
        experts: None,
        top_query: false,
        tied: false,
    }
}

/// ChatGLM2 and what came after in its layout.
fn chatglm2(fields: &Fields) -> Result<Config, Error> {
    let width = fields.count("hidden_size")?;
    let heads = fields.count("num_attention_heads")?;
    let head_size = fields
        .optional_count("kv_channels")?
        .unwrap_or((width / heads).max(1));
    for (key, absent, only) in [
        ("rmsnorm", true, true),
        ("post_layer_norm", true, true),
        ("apply_residual_connection_post_layernorm", false, false),
    ] {
        if fields.flag(key, absent)? != only {
            return Err(fields.bad(key, format!("is {}, which no published model has", !only)));
        }
    }
    let kv_heads = if fields.flag("multi_query_attention", false)? {
        fields.count("multi_query_group_num")?
    } else {
        heads
    };
    let ratio = fields.float("rope_ratio")?.unwrap_or(1.0);
    Ok(Config {
        layers: fields.count("num_layers")?,
        vocabulary: fields.count("padded_vocab_size")?,
        context: fields.count("seq_length")?,
        epsilon: fields.float("layernorm_epsilon")?.unwrap_or(1e-5),
        attention: Attention::Grouped(Grouped {
            heads,
            kv_heads,
            head_size,
            qkv_bias: fields.flag("add_qkv_bias", true)?
                || fields.flag("add_bias_linear", false)?,
            qk_norm: false,
        }),
        positions: rotary(head_size / 2, Pairs::Interleaved, 10_000.0 * ratio, None),
        inner: fields.count("ffn_hidden_size")?,
        linear_bias: fields.flag("add_bias_linear", false)?,
        tied: fields.flag("tie_word_embeddings", false)?,
        ..causal(Architecture::ChatGlm2, width)
    })
}

pub(super) fn rotary(size: usize, pairs: Pairs, base: f32, yarn: Option<Yarn>) -> Positions {
    Positions::Rotary(Rotary {
        size,
        pairs,
        base,
        rows: 1,
        half_frequencies: false,
        yarn,
    })
}

/// The classes of transformers.
fn transformers(fields: &Fields, architecture: Architecture) -> Result<Config, Error> {
    let width = fields.count("hidden_size")?;
    let heads = fields.count("num_attention_heads")?;
    let moe = matches!(
        architecture,
        Architecture::Glm4Moe | Architecture::Glm4MoeLite
    );
    let epsilon_absent = if moe { 1e-5 } else { 1.5625e-7 };
    let (attention, rotated, pairs, partial) = if architecture == Architecture::Glm4MoeLite {
        if fields.flag("attention_bias", false)? {
            return Err(fields.bad("attention_bias", "is true, which no published model has"));
        }
        let rope = fields.count("qk_rope_head_dim")?;
        let latent = Latent {
            heads,
            query_rank: fields.optional_count("q_lora_rank")?,
            kv_rank: fields.count("kv_lora_rank")?,
            nope: fields.count("qk_nope_head_dim")?,
            rope,
            value: fields.count("v_head_dim")?,
            norm_epsilon: 1e-6,
        };
        let pairs = if fields.flag("rope_interleave", true)? {
            Pairs::Interleaved
        } else {
            Pairs::Half
        };
        (Attention::Latent(latent), rope, pairs, 1.0)
    } else {
        let head_size = fields
            .optional_count("head_dim")?
            .unwrap_or((width / heads).max(1));
        let grouped = Grouped {
            heads,
            kv_heads: fields
                .optional_count("num_key_value_heads")?
                .unwrap_or(heads),
            head_size,
            qkv_bias: fields.flag("attention_bias", architecture != Architecture::Glm4Moe)?,
            qk_norm: fields.flag("use_qk_norm", false)?,
        };
        let pairs = if moe { Pairs::Half } else { Pairs::Interleaved };
        (Attention::Grouped(grouped), head_size, pairs, 0.5)
    };
    let rope = |key: &str| -> Result<Option<f32>, Error> {
        for place in ["rope_parameters", "rope_scaling"] {
            if let Some(number) = fields.float(&format!("{place}.{key}"))? {
                return Ok(Some(number));
            }
        }
        fields.float(key)
    };
    let share = rope("partial_rotary_factor")?.unwrap_or(partial);
    let base = rope("rope_theta")?.unwrap_or(10_000.0);
    let context = fields.count("max_position_embeddings")?;
    Ok(Config {
        layers: fields.count("num_hidden_layers")?,
        vocabulary: fields.count("vocab_size")?,
        context,
        epsilon: fields.float("rms_norm_eps")?.unwrap_or(epsilon_absent),
        block: if architecture == Architecture::Glm4 {
            Block::Sandwich
        } else {
            Block::PreNorm
        },
        attention,
        positions: rotary(
            (rotated as f32 * share) as usize,
            pairs,
            base,
            yarn(fields, &rope, context)?,
        ),
        inner: fields.count("intermediate_size")?,
        activation: fields.activation("hidden_act", Activation::Silu)?,
        experts: if moe { Some(experts(fields)?) } else { None },
        tied: fields.flag("tie_word_embeddings", false)?,
        ..causal(architecture, width)
    })
}

fn experts(fields: &Fields) -> Result<Experts, Error> {
    let first_dense = if fields.has("first_k_dense_replace") {
        fields.count_or_zero("first_k_dense_replace")?
    } else {
        1
    };
    Ok(Experts {
        count: fields.count("n_routed_experts")?,
        chosen: fields.count("num_experts_per_tok")?,
        shared: fields.count_or_zero("n_shared_experts")?,
        inner: fields.count("moe_intermediate_size")?,
        first_dense,
        groups: fields.optional_count("n_group")?.unwrap_or(1),
        chosen_groups: fields.optional_count("topk_group")?.unwrap_or(1),
        scale: fields.float("routed_scaling_factor")?.unwrap_or(1.0),
        normalize: fields.flag("norm_topk_prob", true)?,
    })
}

/// YaRN as transformers reads it; other ways to stretch a context are refused.
fn yarn(
    fields: &Fields,
    rope: &dyn Fn(&str) -> Result<Option<f32>, Error>,
    context: usize,
) -> Result<Option<Yarn>, Error> {
    let mut kind = None;
    for key in [
        "rope_parameters.rope_type",
        "rope_scaling.rope_type",
        "rope_scaling.type",
        "rope_parameters.type",
    ] {
        kind = kind.or(fields.text(key)?.map(|kind| (key, kind)));
    }
    match kind {
        None => return Ok(None),
        Some((_, kind)) if kind == "default" => return Ok(None),
        Some((_, kind)) if kind == "yarn" => {}
        Some((key, kind)) => {
            return Err(fields.bad(
                key,
                format!("is `{kind}`, and only `default` and `yarn` are known"),
            ));
        }
    }
    let original = rope("original_max_position_embeddings")?
        .map_or(context, |number| number as usize)
        .max(1);
    let factor = rope("factor")?.unwrap_or(context as f32 / original as f32);
    let stretch = |by: f32| {
        if factor <= 1.0 {
            1.0
        } else {
            0.1 * by * factor.ln() + 1.0
        }
    };
    let (one, all) = (
        rope("mscale")?.unwrap_or(0.0),
        rope("mscale_all_dim")?.unwrap_or(0.0),
    );
    let implied = if one != 0.0 && all != 0.0 {
        stretch(one) / stretch(all)
    } else {
        stretch(1.0)
    };
    Ok(Some(Yarn {
        factor,
        original,
        beta_fast: rope("beta_fast")?.unwrap_or(32.0),
        beta_slow: rope("beta_slow")?.unwrap_or(1.0),
        attention_factor: rope("attention_factor")?.unwrap_or(implied),
        score_factor: if all != 0.0 {
            stretch(all) * stretch(all)
        } else {
            1.0
        },
        truncate: fields.flag("rope_parameters.truncate", true)?,
    }))
}
