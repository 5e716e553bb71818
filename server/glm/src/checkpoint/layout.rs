//! The makers' names for tensors, as tables: which of them make up each tensor of ours.
//!
//! Takes stored tensors by the makers' names, gives views by our names (see `Checkpoint`). A layout is recognised by
//! the names alone. Tensors that no row mentions are left alone: rotary tables, the layers of multi-token prediction,
//! vision towers. Knows nothing of sizes but the number of heads, which interleaved matrices need.

use super::view::View;
use std::collections::BTreeMap;

/// Stored tensors by the makers' names, without the prefixes of wrapping classes.
pub(crate) type Stored<'a> = BTreeMap<String, View<'a>>;

/// How the parts named in a row make one tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// One below the other.
    Rows,
    /// One matrix, in which each head's query, key and value lie together.
    Heads,
    /// One matrix, whose halves are the other way round.
    Swap,
    /// Stacks of one matrix an expert: the first expert's matrices, then the second's.
    Experts,
}

use How::{Experts, Heads, Rows, Swap};

/// Our name, the makers' names of its parts, and how they are put together. `*` stands for the number of an expert.
/// Both sides get `.weight` or `.bias` where the table's names have no ending of their own.
type Row = (&'static str, &'static [&'static str], How);

/// The names of one maker's class.
#[derive(Debug)]
pub(crate) struct Layout {
    /// What stands before the number of a layer.
    layers: &'static str,
    /// What the last layer is called where it is none of those (with a number before it, that layer's index is known
    /// from the others).
    last: Option<&'static str>,
    /// Tensors of the whole model.
    model: &'static [Row],
    /// Tensors of one layer.
    layer: &'static [Row],
}

/// Our own files.
const OWN: Layout = Layout {
    layers: "blk.",
    last: None,
    model: &[],
    layer: &[],
};

/// llama.cpp's files of the architectures `chatglm` and `glm4`.
const GGML: Layout = Layout {
    layers: "blk.",
    last: None,
    model: &[
        ("token_embd", &["token_embd"], Rows),
        ("output_norm", &["output_norm"], Rows),
        ("output", &["output"], Rows),
    ],
    layer: &[
        ("attn_norm", &["attn_norm"], Rows),
        ("attn_qkv", &["attn_qkv"], Rows),
        ("attn_qkv", &["attn_q", "attn_k", "attn_v"], Rows),
        ("attn_output", &["attn_output"], Rows),
        ("attn_q_norm", &["attn_q_norm"], Rows),
        ("attn_k_norm", &["attn_k_norm"], Rows),
        ("attn_post_norm", &["post_attention_norm"], Rows),
        ("ffn_norm", &["ffn_norm"], Rows),
        ("ffn_post_norm", &["post_ffw_norm"], Rows),
        ("ffn_gate_up", &["ffn_gate", "ffn_up"], Rows),
        ("ffn_gate_up", &["ffn_up"], Rows),
        ("ffn_down", &["ffn_down"], Rows),
    ],
};

/// llama.cpp's files with experts: `glm4moe`, and GLM-4.7-Flash as `deepseek2`. What they call the norm after
/// attention is the one before the feed-forward.
const GGML_EXPERTS: Layout = Layout {
    layers: "blk.",
    last: None,
    model: GGML.model,
    layer: &[
        ("attn_norm", &["attn_norm"], Rows),
        ("attn_qkv", &["attn_qkv"], Rows),
        ("attn_qkv", &["attn_q", "attn_k", "attn_v"], Rows),
        ("attn_q_a", &["attn_q_a"], Rows),
        ("attn_q_a_norm", &["attn_q_a_norm"], Rows),
        ("attn_q_b", &["attn_q_b"], Rows),
        ("attn_q", &["attn_q"], Rows),
        ("attn_kv_a_mqa", &["attn_kv_a_mqa"], Rows),
        ("attn_kv_a_norm", &["attn_kv_a_norm"], Rows),
        ("attn_kv_b", &["attn_kv_b"], Rows),
        ("attn_output", &["attn_output"], Rows),
        ("attn_q_norm", &["attn_q_norm"], Rows),
        ("attn_k_norm", &["attn_k_norm"], Rows),
        ("ffn_norm", &["post_attention_norm"], Rows),
        ("ffn_norm", &["ffn_norm"], Rows),
        ("ffn_gate_up", &["ffn_gate", "ffn_up"], Rows),
        ("ffn_down", &["ffn_down"], Rows),
        ("ffn_gate_inp", &["ffn_gate_inp"], Rows),
        ("exp_probs_b", &["exp_probs_b"], Rows),
        (
            "ffn_gate_up_exps",
            &["ffn_gate_exps", "ffn_up_exps"],
            Experts,
        ),
        ("ffn_down_exps", &["ffn_down_exps"], Rows),
        (
            "ffn_gate_up_shexp",
            &["ffn_gate_shexp", "ffn_up_shexp"],
            Rows,
        ),
        ("ffn_down_shexp", &["ffn_down_shexp"], Rows),
    ],
};

/// The classes of transformers: GLM-4-9B-hf, GLM-4-0414, GLM-Z1, GLM-4.5 to 4.7 and 4.7-Flash.
const TRANSFORMERS: Layout = Layout {
    layers: "layers.",
    last: None,
    model: &[
        ("token_embd", &["embed_tokens"], Rows),
        ("output_norm", &["norm"], Rows),
        ("output", &["lm_head"], Rows),
    ],
    layer: &[
        ("attn_norm", &["input_layernorm"], Rows),
        (
            "attn_qkv",
            &["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
            Rows,
        ),
        ("attn_q_a", &["self_attn.q_a_proj"], Rows),
        ("attn_q_a_norm", &["self_attn.q_a_layernorm"], Rows),
        ("attn_q_b", &["self_attn.q_b_proj"], Rows),
        ("attn_q", &["self_attn.q_proj"], Rows),
        ("attn_kv_a_mqa", &["self_attn.kv_a_proj_with_mqa"], Rows),
        ("attn_kv_a_norm", &["self_attn.kv_a_layernorm"], Rows),
        ("attn_kv_b", &["self_attn.kv_b_proj"], Rows),
        ("attn_output", &["self_attn.o_proj"], Rows),
        ("attn_q_norm", &["self_attn.q_norm"], Rows),
        ("attn_k_norm", &["self_attn.k_norm"], Rows),
        ("attn_post_norm", &["post_self_attn_layernorm"], Rows),
        ("ffn_norm", &["post_attention_layernorm"], Rows),
        ("ffn_post_norm", &["post_mlp_layernorm"], Rows),
        ("ffn_gate_up", &["mlp.gate_up_proj"], Rows),
        ("ffn_gate_up", &["mlp.gate_proj", "mlp.up_proj"], Rows),
        ("ffn_down", &["mlp.down_proj"], Rows),
        ("ffn_gate_inp", &["mlp.gate"], Rows),
        (
            "exp_probs_b.bias",
            &["mlp.gate.e_score_correction_bias"],
            Rows,
        ),
        (
            "ffn_gate_up_exps",
            &["mlp.experts.*.gate_proj", "mlp.experts.*.up_proj"],
            Rows,
        ),
        (
            "ffn_gate_up_exps.weight",
            &["mlp.experts.gate_up_proj"],
            Rows,
        ),
        ("ffn_down_exps", &["mlp.experts.*.down_proj"], Rows),
        ("ffn_down_exps.weight", &["mlp.experts.down_proj"], Rows),
        (
            "ffn_gate_up_shexp",
            &["mlp.shared_experts.gate_proj", "mlp.shared_experts.up_proj"],
            Rows,
        ),
        ("ffn_down_shexp", &["mlp.shared_experts.down_proj"], Rows),
    ],
};

/// The published class of ChatGLM2 and 3, CodeGeeX2, GLM-4-9B and CodeGeeX4.
const CHATGLM2: Layout = Layout {
    layers: "transformer.encoder.layers.",
    last: None,
    model: &[
        (
            "token_embd",
            &["transformer.embedding.word_embeddings"],
            Rows,
        ),
        (
            "output_norm",
            &["transformer.encoder.final_layernorm"],
            Rows,
        ),
        ("output", &["transformer.output_layer"], Rows),
    ],
    layer: &[
        ("attn_norm", &["input_layernorm"], Rows),
        ("attn_qkv", &["self_attention.query_key_value"], Rows),
        ("attn_output", &["self_attention.dense"], Rows),
        ("ffn_norm", &["post_attention_layernorm"], Rows),
        ("ffn_gate_up", &["mlp.dense_h_to_4h"], Rows),
        ("ffn_down", &["mlp.dense_4h_to_h"], Rows),
    ],
};

/// ChatGLM-6B.
const CHATGLM: Layout = Layout {
    layers: "transformer.layers.",
    last: None,
    model: &[
        ("token_embd", &["transformer.word_embeddings"], Rows),
        ("output_norm", &["transformer.final_layernorm"], Rows),
        ("output", &["lm_head"], Rows),
    ],
    layer: &[
        ("attn_norm", &["input_layernorm"], Rows),
        ("attn_qkv", &["attention.query_key_value"], Heads),
        ("attn_output", &["attention.dense"], Rows),
        ("ffn_norm", &["post_attention_layernorm"], Rows),
        ("ffn_up", &["mlp.dense_h_to_4h"], Rows),
        ("ffn_down", &["mlp.dense_4h_to_h"], Rows),
    ],
};

/// GLM-130B. Its feed-forward activates the second half of the upper matrix.
const GLM130B: Layout = Layout {
    layers: "transformer.layers.",
    last: None,
    model: CHATGLM.model,
    layer: &[
        ("attn_norm", &["input_layernorm"], Rows),
        ("attn_qkv", &["attention.query_key_value"], Heads),
        ("attn_output", &["attention.dense"], Rows),
        ("ffn_norm", &["post_attention_layernorm"], Rows),
        ("ffn_gate_up", &["mlp.dense_h_to_4h"], Swap),
        ("ffn_down", &["mlp.dense_4h_to_h"], Rows),
    ],
};

/// GLM of 2021, as trained and as published for transformers.
const GLM: Layout = Layout {
    layers: "transformer.layers.",
    last: None,
    model: &[
        ("token_embd", &["word_embeddings"], Rows),
        ("token_embd", &["transformer.word_embeddings"], Rows),
        ("position_embd", &["transformer.position_embeddings"], Rows),
        (
            "block_position_embd",
            &["transformer.block_position_embeddings"],
            Rows,
        ),
        (
            "block_position_embd",
            &["mixins.block_position_embedding.block_position_embeddings"],
            Rows,
        ),
        ("output_norm", &["transformer.final_layernorm"], Rows),
    ],
    layer: &[
        ("attn_norm", &["input_layernorm"], Rows),
        ("attn_qkv", &["attention.query_key_value"], Rows),
        ("attn_output", &["attention.dense"], Rows),
        ("ffn_norm", &["post_attention_layernorm"], Rows),
        ("ffn_up", &["mlp.dense_h_to_4h"], Rows),
        ("ffn_down", &["mlp.dense_4h_to_h"], Rows),
    ],
};

/// CodeGeeX-13B.
const CODEGEEX: Layout = Layout {
    layers: "transformer.layers.",
    last: Some("transformer.topQueryLayer."),
    model: &[
        ("token_embd", &["embedding.word_embeddings"], Rows),
        ("position_embd", &["embedding.position_embeddings"], Rows),
        (
            "top_query_embd",
            &["topQueryEmbedding.top_query_embeddings"],
            Rows,
        ),
        ("output_norm", &["transformer.final_layernorm"], Rows),
    ],
    layer: &[
        ("attn_norm", &["input_layernorm"], Rows),
        (
            "attn_qkv",
            &["attention.query", "attention.key", "attention.value"],
            Rows,
        ),
        ("attn_output", &["attention.dense"], Rows),
        ("ffn_norm", &["post_attention_layernorm"], Rows),
        ("ffn_up", &["mlp.dense_h_to_4h"], Rows),
        ("ffn_down", &["mlp.dense_4h_to_h"], Rows),
    ],
};

/// Prefixes of wrapping classes and of training scripts.
const WRAPPINGS: &[&str] = &["module.", "model.", "language_model.", "glm."];

/// A stored name without the prefixes of wrapping classes.
pub(crate) fn unwrapped(mut name: &str) -> &str {
    while let Some(rest) = WRAPPINGS
        .iter()
        .find_map(|wrapping| name.strip_prefix(wrapping))
    {
        name = rest;
    }
    name
}

impl Layout {
    /// The layout of a GGUF file of this architecture.
    pub(crate) fn of_gguf(architecture: Option<&str>) -> &'static Layout {
        match architecture {
            Some("glm") | None => &OWN,
            Some("chatglm" | "glm4") => &GGML,
            Some(_) => &GGML_EXPERTS,
        }
    }

    /// The layout that the stored names show.
    pub(crate) fn of(stored: &Stored) -> Option<&'static Layout> {
        let has = |name: &str| stored.contains_key(name);
        if has("transformer.encoder.layers.0.input_layernorm.weight") {
            return Some(&CHATGLM2);
        }
        if has("layers.0.input_layernorm.weight") {
            return Some(&TRANSFORMERS);
        }
        if has("topQueryEmbedding.top_query_embeddings.weight") {
            return Some(&CODEGEEX);
        }
        let up = stored.get("transformer.layers.0.mlp.dense_h_to_4h.weight")?;
        if has("transformer.position_embeddings.weight") {
            return Some(&GLM);
        }
        // A gated feed-forward has two rows above for each column below. Codes of 4 bits halve the columns of both
        // matrices, so the norm tells how long rows really are.
        let down = stored.get("transformer.layers.0.mlp.dense_4h_to_h.weight")?;
        let width = stored
            .get("transformer.layers.0.input_layernorm.weight")?
            .rows();
        let inner = down.columns().saturating_mul(width) / up.columns().max(1);
        Some(if up.rows() == inner.saturating_mul(2) {
            &GLM130B
        } else {
            &CHATGLM
        })
    }

    /// The view of the tensor with our name `name`, or `None` if a part is missing. The error says which parts do
    /// not fit together.
    pub(crate) fn find<'a>(
        &self,
        stored: &Stored<'a>,
        name: &str,
        heads: Option<usize>,
    ) -> Result<Option<View<'a>>, String> {
        if self.model.is_empty() {
            return Ok(stored.get(name).cloned());
        }
        let (prefix, part, rows) = match name
            .strip_prefix("blk.")
            .and_then(|rest| rest.split_once('.'))
        {
            Some((layer, part)) => (self.prefix(stored, layer), part, self.layer),
            None => (String::new(), name, self.model),
        };
        for (ours, theirs, how) in rows {
            let ending = match part.strip_prefix(ours) {
                Some(ending @ (".weight" | ".bias" | ""))
                    if ending.is_empty() == ours.contains('.') =>
                {
                    ending
                }
                _ => continue,
            };
            let Some(parts) = collect(stored, &prefix, theirs, ending) else {
                continue;
            };
            let names = || theirs.join("`, `");
            let whole = match how {
                Rows => View::stacked(parts),
                Experts => experts(&parts),
                Swap => swapped(&parts[0]),
                Heads => match heads {
                    Some(heads) => parts[0].regrouped(heads, 3),
                    None => Some(parts[0].clone()),
                },
            };
            return whole.map(Some).ok_or_else(|| {
                format!("cannot be put together from `{prefix}{}{ending}`", names())
            });
        }
        Ok(None)
    }

    /// What the names of a layer begin with.
    fn prefix(&self, stored: &Stored, layer: &str) -> String {
        let prefix = format!("{}{layer}.", self.layers);
        match (self.last, layer.parse::<usize>()) {
            // The layer after the last one with a number.
            (Some(last), Ok(index)) if index > 0 => {
                let has = |index: usize| {
                    stored.contains_key(&format!("{}{index}.input_layernorm.weight", self.layers))
                };
                if !has(index) && has(index - 1) {
                    last.to_owned()
                } else {
                    prefix
                }
            }
            _ => prefix,
        }
    }
}

/// The stored tensors of a row, an expert's parts together; `None` if one is missing.
fn collect<'a>(
    stored: &Stored<'a>,
    prefix: &str,
    names: &[&str],
    ending: &str,
) -> Option<Vec<View<'a>>> {
    let part = |name: &str| stored.get(&format!("{prefix}{name}{ending}")).cloned();
    if !names[0].contains('*') {
        return names.iter().map(|name| part(name)).collect();
    }
    let mut parts = Vec::new();
    for expert in 0.. {
        let named = |name: &&str| part(&name.replace('*', &expert.to_string()));
        match names.iter().map(named).collect::<Option<Vec<_>>>() {
            Some(found) => parts.extend(found),
            None => break,
        }
    }
    (!parts.is_empty()).then_some(parts)
}

/// The second half of the rows, then the first.
fn swapped<'a>(whole: &View<'a>) -> Option<View<'a>> {
    let half = whole.rows() / 2;
    View::stacked([whole.slice(half..whole.rows())?, whole.slice(0..half)?])
        .filter(|_| whole.rows().is_multiple_of(2))
}

/// Stacks (experts, rows, columns), joined expert by expert.
fn experts<'a>(stacks: &[View<'a>]) -> Option<View<'a>> {
    let count = *stacks.first()?.shape.first()?;
    let split: Vec<_> = stacks
        .iter()
        .map(|stack| stack.split(count))
        .collect::<Option<_>>()?;
    View::stacked(
        (0..count).flat_map(|expert| split.iter().map(move |stack| stack[expert].clone())),
    )
}
