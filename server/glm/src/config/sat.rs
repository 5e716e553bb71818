//! Training checkpoints without a `config.json`: GLM-130B, CodeGeeX-13B and GLM of 2021.
//!
//! The tensors' shapes give every size but the number of heads and, without learned positions, the context. Those come
//! from a `model_config.json` (`num_attention_heads`, `max_sequence_length`, `num_layers`) if there is one, else they
//! are the published models': heads of 128, of 64 in GLM of 2021; 2,048 tokens.

use super::{
    Activation, Architecture, Attention, Block, Config, Grouped, Norm, Pairs, PartA, Positions,
    fields::Fields,
    hf::{causal, rotary},
};
use crate::{Error, checkpoint::Checkpoint};

/// More layers than any model of this kind has.
const MOST_LAYERS: usize = 1 << 12;

/// Works out the sizes of a training checkpoint.
pub(super) fn read(checkpoint: &Checkpoint) -> Result<Config, Error> {
    let fields = &Fields::new(checkpoint, "");
    let shape = checkpoint.shape("token_embd.weight")?;
    let vocabulary = checkpoint.rows("token_embd.weight")?;
    let width = shape[1];
    let architecture = if checkpoint.has("top_query_embd.weight") {
        Architecture::CodeGeex
    } else if checkpoint.has("block_position_embd.weight") {
        Architecture::Glm
    } else {
        Architecture::Glm130b
    };
    let glm = architecture == Architecture::Glm;
    let head = if glm { 64 } else { 128 };
    let heads = fields
        .optional_count("num_attention_heads")?
        .unwrap_or((width / head).max(1));
    if !width.is_multiple_of(heads) {
        let why = format!("is {heads}, which does not divide the width {width}");
        return Err(fields.bad("num_attention_heads", why));
    }
    let norm = |layer: usize| checkpoint.has(&format!("blk.{layer}.attn_norm.weight"));
    let layers = (0..MOST_LAYERS).take_while(|&layer| norm(layer)).count();
    let gated = architecture == Architecture::Glm130b;
    let inner = if gated {
        checkpoint.rows("blk.0.ffn_gate_up.weight")? / 2
    } else {
        checkpoint.rows("blk.0.ffn_up.weight")?
    };
    let context = match architecture {
        Architecture::Glm => checkpoint.rows("position_embd.weight")?.saturating_sub(1),
        Architecture::CodeGeex => checkpoint.rows("position_embd.weight")?,
        _ => fields
            .optional_count("max_sequence_length")?
            .unwrap_or(2048),
    };
    Ok(Config {
        layers,
        vocabulary,
        context,
        norm: Norm::Layer,
        epsilon: fields.float("layernorm_epsilon")?.unwrap_or(1e-5),
        block: if gated {
            Block::DeepNorm {
                alpha: ((2 * layers) as f32).sqrt(),
            }
        } else {
            Block::PreNorm
        },
        attention: Attention::Grouped(Grouped {
            heads,
            kv_heads: heads,
            head_size: width / heads,
            qkv_bias: true,
            qk_norm: false,
        }),
        positions: match architecture {
            Architecture::Glm => Positions::Learned { rows: 2 },
            Architecture::CodeGeex => Positions::Learned { rows: 1 },
            _ => rotary(width / heads, Pairs::Half, 10_000.0, None),
        },
        part_a: match architecture {
            Architecture::CodeGeex => PartA::Causal,
            _ => PartA::Whole,
        },
        inner,
        gated,
        activation: match architecture {
            Architecture::Glm => Activation::GeluTanh,
            Architecture::CodeGeex => Activation::QuickGelu,
            _ => Activation::Gelu,
        },
        linear_bias: true,
        top_query: architecture == Architecture::CodeGeex,
        tied: true,
        ..causal(architecture, width)
    })
}
