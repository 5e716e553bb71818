//! Tests of what describes a model: descriptions that are refused, with the words of the error, for each reader; and
//! our own, read back as it was written.

use super::super::{
    Checkpoint, Source, inspect,
    opened::Opened,
    source::Files,
    write::{Part, header},
};
use crate::{
    Config, Error, Weights,
    config::{Pair, pairs},
    fixture,
};
use candle_core::quantized::GgmlDType;
use serde_json::{Value as Json, json};
use std::path::Path;

#[track_caller]
fn refused(read: Result<Config, Error>, key: &str, words: &str) {
    match read {
        Ok(config) => panic!("`{key}`, which is to be refused with `{words}`, gave {config:?}"),
        Err(error) => {
            let said = error.to_string();
            assert!(
                said.contains(words),
                "`{said}` about `{key}` does not say `{words}`"
            );
        }
    }
}

/// Reads a stored case, its description changed: a dot goes down into an object, null is a key that is not there.
fn changed(case: &str, key: &str, value: &Json) -> Result<Config, Error> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/parity");
    let mut files = Files::open(&Path::new(root).join(case)).unwrap();
    let described = files.config.as_mut().or(files.sat.as_mut()).unwrap();
    let mut object = &mut described.1;
    let mut parts = key.split('.').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            object.insert(part.to_owned(), value.clone());
            break;
        }
        let inner = object.entry(part).or_insert_with(|| json!({}));
        object = inner.as_object_mut().unwrap();
    }
    let opened = Opened::new(&files)?;
    Config::read(&Checkpoint::new(opened, Weights::AsStored, &[]))
}

#[test]
fn descriptions_of_the_makers_that_cannot_be_are_refused() {
    let not_a_count = "is not a positive count";
    for (case, key, value, words) in [
        (
            "chatglm2-remote",
            "model_type",
            json!("llama"),
            "is `llama`; known are glm",
        ),
        (
            "chatglm2-remote",
            "model_type",
            json!(7),
            "`model_type` is not a string",
        ),
        ("chatglm2-remote", "hidden_size", json!("wide"), not_a_count),
        ("chatglm2-remote", "hidden_size", json!(-64), not_a_count),
        (
            "chatglm2-remote",
            "hidden_size",
            json!(1u64 << 40),
            not_a_count,
        ),
        ("chatglm2-remote", "num_layers", json!(0), not_a_count),
        (
            "chatglm2-remote",
            "seq_length",
            json!(null),
            "`seq_length` is missing",
        ),
        (
            "chatglm2-remote",
            "layernorm_epsilon",
            json!(2.0),
            "`epsilon` is 2",
        ),
        (
            "chatglm2-remote",
            "layernorm_epsilon",
            json!([]),
            "`layernorm_epsilon` is not a finite",
        ),
        (
            "chatglm2-remote",
            "multi_query_group_num",
            json!(2),
            "does not divide",
        ),
        (
            "chatglm2-remote",
            "rmsnorm",
            json!(false),
            "`rmsnorm` is false",
        ),
        (
            "chatglm2-remote",
            "post_layer_norm",
            json!(false),
            "`post_layer_norm` is false",
        ),
        (
            "chatglm2-remote",
            "apply_residual_connection_post_layernorm",
            json!(true),
            "is true",
        ),
        (
            "chatglm2-remote",
            "rope_ratio",
            json!(0),
            "`base of the rotation` is 0",
        ),
        (
            "chatglm2-remote",
            "add_qkv_bias",
            json!("yes"),
            "is not true or false",
        ),
        (
            "chatglm6b-mask",
            "num_attention_heads",
            json!(7),
            "does not divide the width",
        ),
        (
            "chatglm6b-mask",
            "position_encoding_2d",
            json!(false),
            "`position_encoding_2d` is false",
        ),
        (
            "glm-erf",
            "block_position_encoding",
            json!(false),
            "no published model has",
        ),
        (
            "glm-erf",
            "relative_encoding",
            json!(true),
            "no published model has",
        ),
        ("glm-erf", "max_sequence_length", json!(1.5), not_a_count),
        (
            "glm4-yarn",
            "rope_parameters.rope_type",
            json!("linear"),
            "is `linear`, and only",
        ),
        (
            "glm4-yarn",
            "rope_parameters.factor",
            json!(-1.0),
            "`YaRN` has a factor",
        ),
        (
            "glm4-yarn",
            "rope_parameters.partial_rotary_factor",
            json!(3.0),
            "rotated numbers",
        ),
        (
            "glm4-yarn",
            "hidden_act",
            json!("relu"),
            "is `relu`, which no model",
        ),
        (
            "glm4moe-groups",
            "num_experts_per_tok",
            json!(1000),
            "do not fit together",
        ),
        ("glm4moe-groups", "n_group", json!(3), "do not fit together"),
        (
            "glm4moe-groups",
            "n_routed_experts",
            json!(null),
            "`n_routed_experts` is missing",
        ),
        (
            "glm4moe-groups",
            "norm_topk_prob",
            json!("yes"),
            "is not true or false",
        ),
        (
            "glm4moelite-a",
            "attention_bias",
            json!(true),
            "`attention_bias` is true",
        ),
        ("glm4moelite-a", "qk_rope_head_dim", json!(0), not_a_count),
        (
            "glm4moelite-a",
            "kv_lora_rank",
            json!(null),
            "`kv_lora_rank` is missing",
        ),
        (
            "codegeex13b-a",
            "num_attention_heads",
            json!(7),
            "does not divide the width",
        ),
        (
            "glm130b-shards2",
            "max_sequence_length",
            json!(0),
            not_a_count,
        ),
        (
            "glm130b-shards2",
            "layernorm_epsilon",
            json!(-1),
            "`epsilon` is -1",
        ),
    ] {
        refused(changed(case, key, &value), key, words);
    }
}

/// Reads a GGUF file of these pairs and an embedding.
fn gguf(pairs: &[(String, Pair)], rows: usize, columns: usize) -> Result<Config, Error> {
    let part = Part::ggml(
        "token_embd.weight".into(),
        vec![rows, columns],
        GgmlDType::F32,
    );
    // A file with fewer tensors than blocks is refused before its sizes are looked at.
    let others = ["a", "b"].map(|name| Part::ggml(name.into(), vec![8], GgmlDType::F32));
    let mut bytes = header(pairs, &[&part, &others[0], &others[1]]);
    bytes.resize(bytes.len() + part.bytes as usize + 64, 0);
    let parts = [("a file".to_owned(), &bytes[..])];
    let opened = Opened::gguf(&parts)?;
    Config::read(&Checkpoint::new(opened, Weights::AsStored, &[]))
}

/// Reads the pairs with one of them changed, added, or, without a value, taken away.
fn with(pairs: &[(String, Pair)], key: &str, value: Option<Pair>) -> Result<Config, Error> {
    let mut pairs = pairs.to_vec();
    pairs.retain(|pair| pair.0 != key);
    pairs.extend(value.map(|value| (key.to_owned(), value)));
    gguf(&pairs, 100, 64)
}

#[test]
fn metadata_of_llama_cpp_that_cannot_be_is_refused() {
    let text = |text: &str| Some(Pair::Text(text.to_owned()));
    let count = |count| Some(Pair::Count(count));
    let metadata = |name: &str| {
        let counts = [
            ("block_count", 3),
            ("context_length", 128),
            ("embedding_length", 64),
            ("feed_forward_length", 96),
            ("attention.head_count", 4),
            ("attention.head_count_kv", 2),
            ("expert_count", 8),
            ("expert_used_count", 2),
            ("expert_feed_forward_length", 32),
        ];
        let mut pairs: Vec<_> = counts
            .iter()
            .map(|(key, count)| (format!("{name}.{key}"), Pair::Count(*count)))
            .collect();
        pairs.push(("general.architecture".to_owned(), text(name).unwrap()));
        pairs
    };
    for name in ["chatglm", "glm4", "glm4moe"] {
        let pairs = metadata(name);
        assert!(gguf(&pairs, 100, 64).is_ok(), "{name}");
        for (key, value, words) in [
            ("block_count", None, "is missing"),
            (
                "block_count",
                Some(Pair::Text("3".into())),
                "is not a positive count",
            ),
            (
                "embedding_length",
                Some(Pair::Flag(true)),
                "is not a positive count",
            ),
            (
                "attention.head_count_kv",
                Some(Pair::Count(3)),
                "does not divide the 4 heads",
            ),
            (
                "attention.key_length",
                Some(Pair::Count(1 << 20)),
                "`head size` is 1048576",
            ),
            (
                "attention.layer_norm_rms_epsilon",
                Some(Pair::Float(f64::NAN)),
                "not a finite number",
            ),
            (
                "rope.dimension_count",
                Some(Pair::Count(5)),
                "rotated numbers",
            ),
            (
                "rope.freq_base",
                Some(Pair::Float(0.5)),
                "base of the rotation",
            ),
            (
                "rope.scaling.type",
                Some(Pair::Text("linear".into())),
                "only `none` and `yarn`",
            ),
            (
                "nextn_predict_layers",
                Some(Pair::Count(3)),
                "is 3 of 3 blocks",
            ),
        ] {
            let key = format!("{name}.{key}");
            refused(with(&pairs, &key, value), &key, words);
        }
    }
    let pairs = metadata("glm4moe");
    for (key, value, words) in [
        ("glm4moe.expert_gating_func", count(1), "only 2 (sigmoid)"),
        ("glm4moe.expert_used_count", count(9), "do not fit together"),
        (
            "glm4moe.expert_count",
            None,
            "`glm4moe.expert_count` is missing",
        ),
        (
            "general.architecture",
            text("llama"),
            "is `llama`; known are glm",
        ),
        (
            "general.architecture",
            None,
            "`general.architecture` is missing",
        ),
        ("general.architecture", count(1), "is not a string"),
    ] {
        refused(with(&pairs, key, value), key, words);
    }
    let refused_here = gguf(&pairs, 0, 64);
    refused(
        refused_here,
        "token_embd.weight",
        "`token_embd.weight` has the empty shape",
    );
}

#[test]
fn our_own_metadata_that_cannot_be_is_refused() {
    let own = |config: &Config| {
        let mut all = vec![("general.architecture".to_owned(), Pair::Text("glm".into()))];
        all.extend(
            pairs(config)
                .into_iter()
                .map(|(key, pair)| (key.to_owned(), pair)),
        );
        all
    };
    let count = |count| Some(Pair::Count(count));
    let text = |text: &str| Some(Pair::Text(text.to_owned()));
    let members = fixture::members();
    let [first, lite] = [own(&members[0]), own(&members[7])];
    for (pairs, key, value, words) in [
        (
            &first,
            "glm.architecture",
            text("glm9"),
            "is `glm9`, which is not a member",
        ),
        (
            &first,
            "glm.activation",
            text("relu"),
            "is `relu`, which is not known",
        ),
        (
            &first,
            "glm.activation",
            None,
            "`glm.activation` is missing",
        ),
        (
            &first,
            "glm.attention.layer_norm_epsilon",
            None,
            "is missing",
        ),
        (
            &first,
            "glm.attention.layer_norm_epsilon",
            Some(Pair::Float(0.0)),
            "`epsilon` is 0",
        ),
        (&first, "glm.positions.rows", count(3), "is 3, not 1 or 2"),
        (
            &first,
            "glm.block_count",
            count(1 << 13),
            "`layers` is 8192",
        ),
        (
            &first,
            "glm.context_length",
            count(1 << 30),
            "is not a positive count",
        ),
        (&first, "glm.gated", text("yes"), "is not true or false"),
        (
            &lite,
            "glm.attention.nope",
            None,
            "`glm.attention.nope` is missing",
        ),
        (&lite, "glm.rope.size", count(10), "rotated numbers"),
        (
            &lite,
            "glm.experts.chosen_groups",
            count(9),
            "do not fit together",
        ),
        (
            &lite,
            "glm.rope.yarn.factor",
            Some(Pair::Float(2.0)),
            "`glm.rope.yarn.original` is missing",
        ),
    ] {
        refused(with(pairs, key, value), key, words);
    }
}

#[test]
fn our_own_metadata_is_read_as_it_was_written() {
    for config in fixture::members() {
        let bytes = fixture::gguf(&config, fixture::Weights::F32, 1, None);
        let info = inspect(&Source::Static(bytes.leak())).unwrap();
        assert_eq!(info.config, config);
    }
}
