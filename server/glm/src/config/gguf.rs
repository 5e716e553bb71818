//! The metadata of llama.cpp's GGUF files: architectures `chatglm`, `glm4` and `glm4moe`.

use super::{
    Architecture, Attention, Block, Config, Experts, Grouped, Pairs, Yarn,
    fields::Fields,
    hf::{causal, rotary},
};
use crate::{Error, checkpoint::Checkpoint};

/// Reads the metadata of this architecture.
pub(super) fn read(checkpoint: &Checkpoint, name: &str) -> Result<Config, Error> {
    let fields = &Fields::new(checkpoint, &format!("{name}."));
    let architecture = match name {
        "chatglm" => Architecture::ChatGlm2,
        "glm4" => Architecture::Glm4,
        "glm4moe" => Architecture::Glm4Moe,
        _ => {
            let why = format!("is `{name}`; known are glm, chatglm, glm4 and glm4moe");
            return Err(checkpoint.bad_metadata("general.architecture", why));
        }
    };
    let moe = architecture == Architecture::Glm4Moe;
    let width = fields.count("embedding_length")?;
    let heads = fields.count("attention.head_count")?;
    let head_size = fields
        .optional_count("attention.key_length")?
        .unwrap_or((width / heads).max(1));
    // The blocks include those that predict further tokens; they come last and are not loaded.
    let blocks = fields.count("block_count")?;
    let further = fields.count_or_zero("nextn_predict_layers")?;
    if further >= blocks {
        return Err(fields.bad(
            "nextn_predict_layers",
            format!("is {further} of {blocks} blocks"),
        ));
    }
    let rotated = fields
        .optional_count("rope.dimension_count")?
        .unwrap_or(head_size / 2);
    let context = fields.count("context_length")?;
    let pairs = if moe { Pairs::Half } else { Pairs::Interleaved };
    let base = fields.float("rope.freq_base")?.unwrap_or(10_000.0);
    Ok(Config {
        layers: blocks - further,
        vocabulary: checkpoint.rows("token_embd.weight")?,
        context,
        epsilon: fields
            .float("attention.layer_norm_rms_epsilon")?
            .unwrap_or(1e-5),
        block: if architecture == Architecture::Glm4 {
            Block::Sandwich
        } else {
            Block::PreNorm
        },
        attention: Attention::Grouped(Grouped {
            heads,
            kv_heads: fields
                .optional_count("attention.head_count_kv")?
                .unwrap_or(heads),
            head_size,
            qkv_bias: checkpoint.has("blk.0.attn_qkv.bias"),
            qk_norm: checkpoint.has("blk.0.attn_q_norm.weight"),
        }),
        positions: rotary(rotated, pairs, base, yarn(fields, context)?),
        inner: fields.count("feed_forward_length")?,
        experts: if moe { Some(experts(fields)?) } else { None },
        tied: !checkpoint.has("output.weight"),
        ..causal(architecture, width)
    })
}

fn experts(fields: &Fields) -> Result<Experts, Error> {
    // 0 is unset, 2 the logistic function.
    let gating = fields.count_or_zero("expert_gating_func")?;
    if gating != 0 && gating != 2 {
        return Err(fields.bad(
            "expert_gating_func",
            format!("is {gating}, and only 2 (sigmoid) is known"),
        ));
    }
    Ok(Experts {
        count: fields.count("expert_count")?,
        chosen: fields.count("expert_used_count")?,
        shared: fields.count_or_zero("expert_shared_count")?,
        inner: fields.count("expert_feed_forward_length")?,
        first_dense: fields.count_or_zero("leading_dense_block_count")?,
        groups: fields.optional_count("expert_group_count")?.unwrap_or(1),
        chosen_groups: fields
            .optional_count("expert_group_used_count")?
            .unwrap_or(1),
        scale: fields.float("expert_weights_scale")?.unwrap_or(1.0),
        normalize: fields.flag("expert_weights_norm", true)?,
    })
}

fn yarn(fields: &Fields, context: usize) -> Result<Option<Yarn>, Error> {
    match fields.text("rope.scaling.type")?.as_deref() {
        None | Some("none") => return Ok(None),
        Some("yarn") => {}
        Some(kind) => {
            let why = format!("is `{kind}`, and only `none` and `yarn` are known");
            return Err(fields.bad("rope.scaling.type", why));
        }
    }
    let factor = fields.float("rope.scaling.factor")?.unwrap_or(1.0);
    let stretch = if factor <= 1.0 {
        1.0
    } else {
        0.1 * factor.ln() + 1.0
    };
    Ok(Some(Yarn {
        factor,
        original: fields
            .optional_count("rope.scaling.original_context_length")?
            .unwrap_or(context),
        beta_fast: fields.float("rope.scaling.yarn_beta_fast")?.unwrap_or(32.0),
        beta_slow: fields.float("rope.scaling.yarn_beta_slow")?.unwrap_or(1.0),
        attention_factor: stretch * fields.float("rope.scaling.attn_factor")?.unwrap_or(1.0),
        score_factor: 1.0,
        truncate: true,
    }))
}
