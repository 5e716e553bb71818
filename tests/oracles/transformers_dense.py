"""GLM-4-9B-hf, the remote `chatglm` layout, and GLM-4-0414/Z1: numbers of the classes in PyPI's transformers.

    pip install torch transformers==5.24.0 safetensors
    python tests/oracles/transformers_dense.py

Runs `GlmForCausalLM` and `Glm4ForCausalLM` in f32 on random weights that are bf16 numbers. The remote layout of
ChatGLM2/3, CodeGeeX2, GLM-4-9B and CodeGeeX4 has the same arithmetic under other names: its oracle is `GlmForCausalLM`
with the fused qkv matrix split.
"""

import json

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, Glm4Config, Glm4ForCausalLM, GlmConfig, GlmForCausalLM
from transformers import __version__ as version

from common import draw, folder, report, runner, save_expected

SHAPES = {
    "grouped": dict(
        vocab_size=113, hidden_size=40, intermediate_size=56, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=12, max_position_embeddings=256,
    ),
    "single": dict(
        vocab_size=101, hidden_size=48, intermediate_size=72, num_hidden_layers=3, num_attention_heads=6,
        num_key_value_heads=1, head_dim=16, max_position_embeddings=256,
    ),
}  # fmt: skip


def rope(theta, **more):
    return dict(rope_type="default", rope_theta=theta, partial_rotary_factor=0.5) | more


def make(kind, shape, eps, parameters, first_seed):
    config_class, model_class = dict(glm=(GlmConfig, GlmForCausalLM), glm4=(Glm4Config, Glm4ForCausalLM))[kind]
    config = config_class(
        **shape, rms_norm_eps=eps, rope_parameters=parameters, attention_bias=True, pad_token_id=0, eos_token_id=[1, 2],
        bos_token_id=None, attn_implementation="eager", dtype="bfloat16",
    )  # fmt: skip
    return draw(lambda: model_class(config), shape["vocab_size"], first_seed)


def save_hf(case, model, numbers, **how):
    """As `save_pretrained` publishes it."""
    path = folder(case)
    model.to(torch.bfloat16).save_pretrained(path, **how)
    save_expected(path, numbers, f"transformers {version} {type(model).__name__}")
    again = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, attn_implementation="eager").eval()
    report(case, path, numbers, runner(again)(numbers["ids"]))


def remote_tensors(model):
    """The same numbers under the names of the remote code, in its order."""
    state = model.state_dict()
    named = {
        "transformer.embedding.word_embeddings.weight": state["model.embed_tokens.weight"],
        "transformer.rotary_pos_emb.inv_freq": model.model.rotary_emb.inv_freq,
    }
    for layer in range(model.config.num_hidden_layers):
        old, new = f"model.layers.{layer}.", f"transformer.encoder.layers.{layer}."
        named[new + "input_layernorm.weight"] = state[old + "input_layernorm.weight"]
        for part in ("weight", "bias"):
            rows = [state[f"{old}self_attn.{which}_proj.{part}"] for which in "qkv"]
            named[f"{new}self_attention.query_key_value.{part}"] = torch.cat(rows)
        named[new + "self_attention.dense.weight"] = state[old + "self_attn.o_proj.weight"]
        named[new + "post_attention_layernorm.weight"] = state[old + "post_attention_layernorm.weight"]
        named[new + "mlp.dense_h_to_4h.weight"] = state[old + "mlp.gate_up_proj.weight"]
        named[new + "mlp.dense_4h_to_h.weight"] = state[old + "mlp.down_proj.weight"]
    named["transformer.encoder.final_layernorm.weight"] = state["model.norm.weight"]
    named["transformer.output_layer.weight"] = state["lm_head.weight"]
    return named


def remote_config(config, rope_ratio):
    values = dict(
        architectures=["ChatGLMModel"], model_type="chatglm", add_bias_linear=False, add_qkv_bias=True,
        apply_query_key_layer_scaling=True, apply_residual_connection_post_layernorm=False, attention_dropout=0.0,
        attention_softmax_in_fp32=True, ffn_hidden_size=config.intermediate_size, fp32_residual_connection=False,
        hidden_dropout=0.0, hidden_size=config.hidden_size, kv_channels=config.head_dim,
        layernorm_epsilon=config.rms_norm_eps, multi_query_attention=True,
        multi_query_group_num=config.num_key_value_heads, num_attention_heads=config.num_attention_heads,
        num_layers=config.num_hidden_layers, original_rope=True, padded_vocab_size=config.vocab_size,
        post_layer_norm=True, rmsnorm=True, seq_length=config.max_position_embeddings, use_cache=True,
        torch_dtype="bfloat16", tie_word_embeddings=False, eos_token_id=[1, 2], pad_token_id=0,
    )  # fmt: skip
    return values if rope_ratio is None else values | dict(rope_ratio=rope_ratio)


def save_remote(case, model, numbers, rope_ratio, shards):
    """One safetensors file, or `shards` PyTorch files with their index."""
    path = folder(case)
    tensors = {name: tensor.detach().bfloat16().contiguous() for name, tensor in remote_tensors(model).items()}
    config = remote_config(model.config, rope_ratio)
    (path / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    if shards == 0:
        save_file(tensors, path / "model.safetensors", metadata={"format": "pt"})
        stored = load_file(path / "model.safetensors")
    else:
        names, index, stored = list(tensors), {}, {}
        for shard in range(shards):
            file = f"pytorch_model-{shard + 1:05}-of-{shards:05}.bin"
            part = names[len(names) * shard // shards : len(names) * (shard + 1) // shards]
            torch.save({name: tensors[name] for name in part}, path / file)
            stored |= torch.load(path / file, weights_only=True)
            index |= {name: file for name in part}
        total = sum(tensor.nbytes for tensor in tensors.values())
        index = dict(metadata=dict(total_size=total), weight_map=index)
        (path / "pytorch_model.bin.index.json").write_text(json.dumps(index, indent=2) + "\n")
    save_expected(path, numbers, f"transformers {version} GlmForCausalLM with split qkv")
    report(case, path, numbers, runner(from_remote(model, stored))(numbers["ids"]))


@torch.no_grad()
def from_remote(model, stored):
    """A fresh model of the same configuration that takes its weights from the stored tensors."""
    config = model.config
    again = GlmForCausalLM(config).float().eval()
    sizes = [count * config.head_dim for count in (config.num_attention_heads, *[config.num_key_value_heads] * 2)]
    state = {
        "model.embed_tokens.weight": stored["transformer.embedding.word_embeddings.weight"],
        "model.norm.weight": stored["transformer.encoder.final_layernorm.weight"],
        "lm_head.weight": stored["transformer.output_layer.weight"],
    }
    for layer in range(config.num_hidden_layers):
        new, old = f"model.layers.{layer}.", f"transformer.encoder.layers.{layer}."
        for part in ("weight", "bias"):
            rows = stored[f"{old}self_attention.query_key_value.{part}"].split(sizes)
            state |= {f"{new}self_attn.{which}_proj.{part}": row for which, row in zip("qkv", rows)}
        for name in ("input_layernorm", "post_attention_layernorm"):
            state[f"{new}{name}.weight"] = stored[f"{old}{name}.weight"]
        state[new + "self_attn.o_proj.weight"] = stored[old + "self_attention.dense.weight"]
        state[new + "mlp.gate_up_proj.weight"] = stored[old + "mlp.dense_h_to_4h.weight"]
        state[new + "mlp.down_proj.weight"] = stored[old + "mlp.dense_4h_to_h.weight"]
    again.load_state_dict({name: tensor.float() for name, tensor in state.items()})
    return again


def main():
    grouped, single = SHAPES["grouped"], SHAPES["single"]
    save_hf("glm-hf-grouped", *make("glm", grouped, 1.5625e-07, rope(10000.0), 1))
    save_hf("glm-hf-sharded", *make("glm", single, 1.5625e-07, rope(5e6), 100), max_shard_size="40KB")
    save_remote("chatglm2-ratio1", *make("glm", single, 1e-5, rope(10000.0), 200), None, 3)
    save_remote("chatglm2-ratio500", *make("glm", grouped, 1.5625e-07, rope(5e6), 300), 500, 0)
    save_hf("glm4-grouped", *make("glm4", grouped, 1e-5, rope(10000.0), 400))
    save_hf("glm4-single", *make("glm4", single, 1e-5, rope(10000.0), 500))
    yarn = rope(10000.0, rope_type="yarn", factor=4.0, original_max_position_embeddings=64)
    save_hf("glm4-yarn", *make("glm4", grouped, 1e-5, yarn, 600))


main()
