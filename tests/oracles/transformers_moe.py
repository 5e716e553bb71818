"""GLM-4.5/4.6/4.7 and GLM-4.7-Flash: numbers of the mixture-of-experts classes in PyPI's transformers.

    pip install torch transformers==5.24.0 safetensors
    python tests/oracles/transformers_moe.py [case ...]

Runs `Glm4MoeForCausalLM` and `Glm4MoeLiteForCausalLM` in f32 on random weights that are bf16 numbers. The files are
laid out as the makers publish them: one tensor per expert and matrix, the router's bias in f32, a layer for multi-token
prediction after the last one (of no use here, to be skipped), and the keys of the published `config.json`. The cases
`*-saved` are what `save_pretrained` writes: the same names, no such layer, other keys in `config.json`.
"""

import json
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, Glm4MoeConfig, Glm4MoeForCausalLM, Glm4MoeLiteConfig
from transformers import Glm4MoeLiteForCausalLM
from transformers import __version__ as version

from common import NearTie, draw, folder, report, runner, save_expected

# What another implementation's rounding must not turn around: two experts, or two groups, this close to each other.
ROUTING_MARGIN = 2e-5

COMMON = dict(
    attention_dropout=0.0, pad_token_id=0, eos_token_id=[1, 2], hidden_act="silu", initializer_range=0.02,
    max_position_embeddings=256, norm_topk_prob=True, n_group=1, topk_group=1, n_shared_experts=1,
    num_hidden_layers=3, rms_norm_eps=1e-5, tie_word_embeddings=False, use_cache=True,
)  # fmt: skip
# Published keys that the classes take under another name or not at all.
PUBLISHED = dict(first_k_dense_replace=1, num_nextn_predict_layers=1, rope_scaling=None, torch_dtype="bfloat16")

SMALL = COMMON | dict(
    vocab_size=113, hidden_size=40, intermediate_size=56, num_attention_heads=4, num_key_value_heads=2, head_dim=12,
    moe_intermediate_size=20, n_routed_experts=6, num_experts_per_tok=2, attention_bias=True,
)  # fmt: skip
WIDE = COMMON | dict(
    vocab_size=101, hidden_size=48, intermediate_size=72, num_attention_heads=6, num_key_value_heads=1, head_dim=16,
    moe_intermediate_size=20, n_routed_experts=8, num_experts_per_tok=3, attention_bias=True,
)  # fmt: skip
LATENT = COMMON | dict(
    vocab_size=109, hidden_size=40, intermediate_size=56, num_attention_heads=4, num_key_value_heads=4,
    moe_intermediate_size=20, n_routed_experts=6, num_experts_per_tok=2, attention_bias=False, q_lora_rank=24,
    kv_lora_rank=20, qk_nope_head_dim=12, qk_rope_head_dim=8, v_head_dim=16,
)  # fmt: skip
DIRECT = COMMON | dict(
    vocab_size=103, hidden_size=48, intermediate_size=64, num_attention_heads=3, num_key_value_heads=3,
    moe_intermediate_size=24, n_routed_experts=8, num_experts_per_tok=3, attention_bias=False, q_lora_rank=None,
    kv_lora_rank=28, qk_nope_head_dim=16, qk_rope_head_dim=4, v_head_dim=12,
)  # fmt: skip

MOE, LITE = (Glm4MoeConfig, Glm4MoeForCausalLM), (Glm4MoeLiteConfig, Glm4MoeLiteForCausalLM)
# Case: classes, values, base of the rotary frequencies, first seed.
CASES = {
    "glm4moe-qknorm": (MOE, SMALL | dict(use_qk_norm=True, routed_scaling_factor=2.5), 1e6, 1),
    "glm4moe-plain": (MOE, WIDE | dict(use_qk_norm=False, routed_scaling_factor=1.5), 1e4, 300),
    "glm4moe-groups": (
        MOE,
        WIDE | dict(use_qk_norm=True, routed_scaling_factor=1.8, n_group=2, topk_group=1, num_experts_per_tok=2),
        1e6,
        650,
    ),
    "glm4moe-saved": (
        MOE,
        SMALL | dict(use_qk_norm=False, routed_scaling_factor=1.7, first_k_dense_replace=2, n_shared_experts=2),
        1e6,
        900,
    ),
    "glm4moelite-a": (LITE, LATENT | dict(routed_scaling_factor=1.8), 1e6, 1200),
    # An epsilon that the latent norms, which keep the class's own 1e-6, can be seen not to follow.
    "glm4moelite-b": (LITE, DIRECT | dict(routed_scaling_factor=2.2, rms_norm_eps=1e-2), 1e4, 1500),
    "glm4moelite-saved": (
        LITE,
        LATENT | dict(routed_scaling_factor=1.3, norm_topk_prob=False, n_shared_experts=2),
        1e4,
        1800,
    ),
}


def refuse_close_choices(gate, _, output):
    """A hook on a router: no seed whose choice of experts hangs on rounding."""
    scores = output[0].sigmoid() + gate.e_score_correction_bias
    groups = scores.view(len(scores), gate.num_group, -1)
    if gate.num_group > 1:
        sums = groups.topk(2).values.sum(-1)
        best = sums.topk(gate.topk_group + 1).values
        refuse(best[:, -2] - best[:, -1])
        chosen = torch.zeros_like(sums).scatter_(1, sums.topk(gate.topk_group).indices, 1)
        scores = groups.masked_fill(chosen[..., None] == 0, -1e9).flatten(1)
    best = scores.topk(gate.top_k + 1).values
    refuse(best[:, -2] - best[:, -1])


def refuse(gaps):
    if gaps.min() < ROUTING_MARGIN:
        raise NearTie


def build(config_class, model_class, values, theta):
    partial = 0.5 if model_class is Glm4MoeForCausalLM else 1.0
    more = dict(first_k_dense_replace=1, num_nextn_predict_layers=0) if partial == 0.5 else {}
    rope = dict(rope_type="default", rope_theta=theta, partial_rotary_factor=partial)
    config = config_class(**(more | values), rope_parameters=rope, bos_token_id=None, attn_implementation="eager")
    model = model_class(config)
    for name, module in model.named_modules():
        if name.endswith("mlp.gate"):
            module.register_forward_hook(refuse_close_choices)
    return model


def published_config(model, values, theta):
    lite = isinstance(model, Glm4MoeLiteForCausalLM)
    more = dict(partial_rotary_factor=1.0 if lite else 0.5, rope_theta=theta)
    if lite:
        more |= dict(topk_method="noaux_tc")
    kind = dict(architectures=[type(model).__name__], model_type=model.config.model_type)
    return kind | PUBLISHED | values | more


def layer_tensors(state, layer):
    """A layer's tensors, each expert apart."""
    tensors = {}
    for name, tensor in state.items():
        if not name.startswith(f"model.layers.{layer}."):
            continue
        stem, _, last = name.rpartition(".")
        if not stem.endswith(".experts"):
            tensors[name] = tensor
        elif last == "gate_up_proj":
            for expert, both in enumerate(tensor):
                gate, up = both.chunk(2)
                tensors |= {f"{stem}.{expert}.gate_proj.weight": gate, f"{stem}.{expert}.up_proj.weight": up}
        else:
            tensors |= {f"{stem}.{expert}.down_proj.weight": down for expert, down in enumerate(tensor)}
    return tensors


def prediction_layer(state, layer, last, seed):
    """The layer for multi-token prediction: random, shaped as the last layer, with its own embeddings and head."""
    random = torch.Generator().manual_seed(seed)
    prefix, width = f"model.layers.{layer}.", state["model.norm.weight"].shape[0]
    shapes = {prefix + name.split(".", 3)[3]: tensor.shape for name, tensor in last.items()}
    vocabulary = state["lm_head.weight"].shape
    shapes |= {prefix + "embed_tokens.weight": vocabulary, prefix + "shared_head.head.weight": vocabulary}
    shapes |= {prefix + f"{name}.weight": (width,) for name in ("enorm", "hnorm", "shared_head.norm")}
    shapes[prefix + "eh_proj.weight"] = (width, 2 * width)
    return {name: torch.randn(shape, generator=random) for name, shape in shapes.items()}


def stored_tensors(model, seed):
    state, layers = model.state_dict(), model.config.num_hidden_layers
    tensors = {name: tensor for name, tensor in state.items() if not name.startswith("model.layers.")}
    for layer in range(layers):
        last = layer_tensors(state, layer)
        tensors |= last
    tensors |= prediction_layer(state, layers, last, seed)
    return {
        name: tensor.detach().to(torch.float32 if name.endswith("correction_bias") else torch.bfloat16).contiguous()
        for name, tensor in tensors.items()
    }


def read_again(path, layers):
    """The class reads the folder, without the prediction layer, which it would skip at the published depths only."""
    tensors = load_file(path / "model.safetensors")
    tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith(f"model.layers.{layers}.")}
    with tempfile.TemporaryDirectory() as place:
        save_file(tensors, Path(place) / "model.safetensors", metadata={"format": "pt"})
        (Path(place) / "config.json").write_bytes((path / "config.json").read_bytes())
        model, info = AutoModelForCausalLM.from_pretrained(
            place, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
        )
    assert not any(info.values()), info
    return model.eval()


def make(case):
    (config_class, model_class), values, theta, seed = CASES[case]
    model, numbers = draw(lambda: build(config_class, model_class, values, theta), values["vocab_size"], seed)
    path = folder(case)
    if case.endswith("-saved"):
        model.to(torch.bfloat16).save_pretrained(path)
    else:
        config = published_config(model, values, theta)
        (path / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        save_file(stored_tensors(model, seed), path / "model.safetensors", metadata={"format": "pt"})
    save_expected(path, numbers, f"transformers {version} {model_class.__name__}")
    again = read_again(path, values["num_hidden_layers"])
    report(case, path, numbers, runner(again)(numbers["ids"]))


for case in sys.argv[1:] or CASES:
    make(case)
