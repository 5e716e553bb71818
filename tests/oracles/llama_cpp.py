"""GGUF files as llama.cpp's converter writes them for the architectures chatglm, glm4 and glm4moe; two references.

    pip install torch transformers==5.24.0 gguf==0.19.0 xllamacpp==2026.10.11549 safetensors
    python llama_cpp.py [case ...]

The tensors' names, the metadata and the vocabulary's form follow `conversion/chatglm.py`, `glm.py` and `base.py` of
ggml-org/llama.cpp; the weights are random. PyPI's gguf packs F16, BF16, Q8_0, Q5_0 and Q4_0; Q4_K, Q5_K and Q6_K, which
it cannot pack, are random blocks of sane scales.

Each file has two references. llama.cpp itself (in PyPI's xllamacpp, with an f32 cache and without flash attention)
continues the ids greedily: `llama_greedy`, and how far the second token is behind in `llama_margins`. The classes of
transformers run in f32 on the weights that gguf unpacks: `logits` and `greedy`. llama.cpp rounds activations to the
blocks of the weights' type, so the two differ by that; a seed is taken only if both choose the same tokens, none of
them by less than 0.0015 of the largest logit, and in a file of F32 than three times the difference between the two.
"""

import gc
import json
import shutil
import sys
import tempfile
from pathlib import Path

import gguf
import numpy as np
import torch
import xllamacpp
from gguf import GGMLQuantizationType as Type
from gguf.quants import dequantize, quantize
from safetensors.torch import save_file
from transformers import Glm4Config, Glm4ForCausalLM, Glm4MoeConfig, Glm4MoeForCausalLM, GlmConfig, GlmForCausalLM
from transformers import __version__ as transformers_version

from published import PARITY, Example, Unfit, expect

LLAMA_STEPS = 32
VOCABULARY = 128
CONTROL = ["<|endoftext|>", "[MASK]", "[gMASK]", "[sMASK]", "<sop>", "<eop>", "<|system|>", "<|user|>"]
CONTROL += ["<|assistant|>", "<|observation|>"]
CONTROL_FROM_END = 20
MERGES = ["i n", "e r", "o n", "Ġ Ġ", "r e", "s e", "Ġ =", "in t", "Ġ i", "Ġi f", "l f", "se lf", "Ċ ĠĠ"]


# The weights


def random_blocks(kind, shape, spread):
    """Blocks of a K type: every bit random but the scales of 256 numbers, which give the numbers this spread."""
    rows, columns = int(np.prod(shape[:-1])), shape[-1]
    assert columns % 256 == 0, f"{columns} columns for {kind.name}"
    _, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = torch.randint(0, 256, (rows * columns // 256, size), dtype=torch.uint8).numpy()
    # The scale, and how many times larger the scale of the minima is, so that the numbers' mean is about zero.
    at, minima = {Type.Q4_K: (0, 7.5), Type.Q5_K: (0, 15.5), Type.Q6_K: (208, None)}[kind]
    step = {Type.Q4_K: 1 / 258, Type.Q5_K: 1 / 520, Type.Q6_K: 1 / 1370}[kind] * spread
    steps = (step * (0.75 + 0.5 * torch.rand(len(blocks), 1))).numpy()
    blocks[:, at : at + 2] = steps.astype(np.float16).view(np.uint8)
    if minima:
        blocks[:, 2:4] = (steps * minima).astype(np.float16).view(np.uint8)
    return blocks.reshape(*shape[:-1], columns // 256 * size)


def pack(tensor, kind):
    """The bytes of a tensor in the file, and the numbers that they stand for."""
    values = tensor.numpy()
    if kind in (Type.Q4_K, Type.Q5_K, Type.Q6_K):
        data = random_blocks(kind, values.shape, float(values.std()))
    elif kind == Type.F32:
        return values.copy(), tensor
    else:
        data = quantize(values, kind)
    unpacked = dequantize(data, kind).astype(np.float32).reshape(values.shape)
    assert np.isfinite(unpacked).all()
    return data, torch.from_numpy(unpacked)


@torch.no_grad()
def randomize(model):
    for name, parameter in list(model.named_parameters()) + list(model.named_buffers()):
        if "inv_freq" in name:
            continue
        values = torch.randn(parameter.shape)
        if name.endswith("bias"):
            values = 0.2 * values
        elif parameter.dim() == 1:
            values = 1 + 0.2 * values
        elif "embed_tokens" in name:
            values = 0.5 * values
        else:
            values = values * (2.2 if "lm_head" in name else 1.4) / parameter.shape[-1] ** 0.5
        if "lm_head" in name:
            # llama.cpp stops at marks that end a text: they are seldom chosen.
            values[-CONTROL_FROM_END:] *= 0.2
        parameter.copy_(values)
    return model.float().eval()


# The names: those of the file, and the parts of the model's tensors that are stored one after the other under them.


def names(model, arch, fused):
    body = model.model
    yield "token_embd.weight", [body.embed_tokens.weight]
    for number, layer in enumerate(body.layers):
        for name, parts in layer_names(layer, arch, fused):
            yield f"blk.{number}.{name}", parts
    yield "output_norm.weight", [body.norm.weight]
    yield "output.weight", [model.lm_head.weight]


def layer_names(layer, arch, fused):
    attention, mlp = layer.self_attn, layer.mlp
    yield "attn_norm.weight", [layer.input_layernorm.weight]
    apart = [("attn_q", attention.q_proj), ("attn_k", attention.k_proj), ("attn_v", attention.v_proj)]
    for kind in ("weight", "bias"):
        if fused:
            yield f"attn_qkv.{kind}", [getattr(part, kind) for _, part in apart]
        else:
            yield from ((f"{name}.{kind}", [getattr(part, kind)]) for name, part in apart)
    yield "attn_output.weight", [attention.o_proj.weight]
    if arch != "glm4moe":
        if arch == "glm4":
            yield "post_attention_norm.weight", [layer.post_self_attn_layernorm.weight]
            yield "post_ffw_norm.weight", [layer.post_mlp_layernorm.weight]
        yield "ffn_norm.weight", [layer.post_attention_layernorm.weight]
        yield "ffn_up.weight", [mlp.gate_up_proj.weight]
        yield "ffn_down.weight", [mlp.down_proj.weight]
        return
    if hasattr(attention, "q_norm"):
        yield "attn_q_norm.weight", [attention.q_norm.weight]
        yield "attn_k_norm.weight", [attention.k_norm.weight]
    yield "post_attention_norm.weight", [layer.post_attention_layernorm.weight]
    suffix, dense = "", mlp
    if hasattr(mlp, "experts"):
        suffix, dense = "_shexp", mlp.shared_experts
        gate, up = mlp.experts.gate_up_proj.chunk(2, 1)
        yield "ffn_gate_inp.weight", [mlp.gate.weight]
        yield "exp_probs_b.bias", [mlp.gate.e_score_correction_bias]
        yield "ffn_gate_exps.weight", [gate]
        yield "ffn_up_exps.weight", [up]
        yield "ffn_down_exps.weight", [mlp.experts.down_proj]
    for name in ("gate", "up", "down"):
        yield f"ffn_{name}{suffix}.weight", [getattr(dense, f"{name}_proj").weight]


def kind_of(name, tensor, kinds):
    """The type of a tensor: of the table, the first whose key is in its name; vectors and routers stay F32."""
    if tensor.dim() == 1 or "ffn_gate_inp" in name:
        return Type.F32
    return next(kind for key, kind in kinds.items() if key in name)


@torch.no_grad()
def store(model, arch, fused, kinds):
    """The file's tensors, name by name; the model gets the numbers that they stand for."""
    stored = {}
    for name, parts in names(model, arch, fused):
        whole = torch.cat([part.data for part in parts])
        kind = kind_of(name, whole, kinds)
        data, numbers = pack(whole, kind)
        stored[name] = data, kind
        for part, some in zip(parts, numbers.split([len(part) for part in parts])):
            part.data.copy_(some)
    return stored


def prediction_layer(stored, layers, width):
    """The layer for multi-token prediction: its predecessor's tensors, and its own; nothing may read it."""
    last = f"blk.{layers - 1}."
    more = {f"blk.{layers}." + name.removeprefix(last): it for name, it in stored.items() if name.startswith(last)}
    own = {"eh_proj": (width, 2 * width), "enorm": (width,), "hnorm": (width,), "shared_head_norm": (width,)}
    for name, shape in own.items():
        kind = Type.Q8_0 if len(shape) > 1 else Type.F32
        more[f"blk.{layers}.nextn.{name}.weight"] = (pack(torch.randn(shape), kind)[0], kind)
    return more


# The file


def write_vocabulary(writer, pre):
    printable = [chr(code) for code in range(33, 127)] + ["Ġ", "Ċ"]
    tokens = printable + [merge.replace(" ", "") for merge in MERGES]
    spare = [f"[PAD{number}]" for number in range(len(tokens) + len(CONTROL), VOCABULARY)]
    types = [1] * len(tokens) + [3] * len(CONTROL) + [5] * len(spare)
    tokens = tokens + CONTROL + spare
    assert len(tokens) == VOCABULARY == len(set(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(MERGES)
    writer.add_eos_token_id(tokens.index("<|endoftext|>"))
    writer.add_eot_token_id(tokens.index("<|user|>"))
    writer.add_unk_token_id(tokens.index("<|endoftext|>"))
    if pre == "glm4":
        writer.add_bos_token_id(tokens.index("<|endoftext|>"))


def write(path, arch, config, stored, file_type):
    """The metadata in the converter's order, and the tensors."""
    rope = config.rope_parameters
    writer = gguf.GGUFWriter(path, arch)
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(f"Tiny {arch}")
    writer.add_size_label("1M")
    predicted = int(arch == "glm4moe")
    writer.add_block_count(config.num_hidden_layers + predicted)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_freq_base(rope["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    if arch != "chatglm":
        writer.add_key_length(config.head_dim)
        writer.add_value_length(config.head_dim)
    else:
        writer.add_add_bos_token(False)
    writer.add_rope_dimension_count(int(config.head_dim * rope["partial_rotary_factor"]))
    writer.add_file_type(file_type)
    if arch == "glm4moe":
        writer.add_expert_used_count(config.num_experts_per_tok)
        writer.add_expert_group_count(config.n_group)
        writer.add_expert_group_used_count(config.topk_group)
        writer.add_expert_count(config.n_routed_experts)
        writer.add_expert_feed_forward_length(config.moe_intermediate_size)
        writer.add_expert_shared_count(config.n_shared_experts)
        writer.add_leading_dense_block_count(1)
        writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
        writer.add_expert_weights_scale(config.routed_scaling_factor)
        writer.add_expert_weights_norm(config.norm_topk_prob)
        writer.add_nextn_predict_layers(predicted)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    write_vocabulary(writer, "chatglm-bpe" if arch == "chatglm" else "glm4")
    for name, (data, kind) in stored.items():
        writer.add_tensor(name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


# The references


def llama(path, ids):
    """llama.cpp's greedy tokens, and after each the ten best tokens' logarithmic probabilities."""
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_ctx, params.n_parallel, params.n_gpu_layers, params.warmup = 256, 1, 0, False
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    params.fit_params = False
    params.verbosity = -1
    server = xllamacpp.Server(params)
    answer = server.handle_completions(
        dict(prompt=ids, max_tokens=LLAMA_STEPS, n_predict=LLAMA_STEPS, temperature=0.0, n_probs=10, logprobs=10,
             cache_prompt=False, return_tokens=True, seed=1)
    )  # fmt: skip
    del server
    gc.collect()
    return answer


def compare(answer, model, ids, slack):
    """llama.cpp's tokens and margins, and how far its probabilities are from the other reference's.

    Unfit where the two choose different tokens, or one that leads by less than `slack` times that distance.
    """
    steps = answer["choices"][0]["logprobs"]["content"]
    tokens = [step["id"] for step in steps]
    if len(tokens) != LLAMA_STEPS:
        raise Unfit("llama.cpp ends early")
    whole = torch.tensor([ids + tokens[:-1]])
    logits = model(input_ids=whole, use_cache=False).logits[0, len(ids) - 1 :].float()
    if logits.argmax(-1).tolist() != tokens:
        raise Unfit("llama.cpp chooses other tokens")
    margins, apart = [], 0.0
    for step, row in zip(steps, logits):
        best = [(choice["id"], choice["logprob"]) for choice in step["top_logprobs"]]
        there = torch.tensor([value for _, value in best])
        here = row[[token for token, _ in best]]
        # A softmax's constant is not a difference: the ten are compared up to their mean.
        apart = max(apart, float(((there - there.mean()) - (here - here.mean())).abs().max()))
        margins.append(best[0][1] - best[1][1])
    least = min(margins + [float(gap[0] - gap[1]) for gap in logits.topk(2).values])
    if least < max(slack * apart, 1.5e-3 * float(logits.abs().max())):
        raise Unfit("a near tie")
    return tokens, margins, apart


# The cases

ROPE = dict(rope_type="default", partial_rotary_factor=0.5)
BASE = dict(
    vocab_size=VOCABULARY, max_position_embeddings=256, attention_bias=True, tie_word_embeddings=False,
    pad_token_id=None, eos_token_id=None, bos_token_id=None, attn_implementation="eager",
)  # fmt: skip
SMALL = dict(
    num_hidden_layers=2, hidden_size=64, intermediate_size=96, num_attention_heads=4, num_key_value_heads=2, head_dim=16
)
WIDE = dict(
    num_hidden_layers=1, hidden_size=256, intermediate_size=256, num_attention_heads=4, num_key_value_heads=1,
    head_dim=64,
)  # fmt: skip
EXPERTS = dict(
    num_hidden_layers=2, moe_intermediate_size=32, n_routed_experts=4, num_experts_per_tok=2, n_shared_experts=1,
    n_group=1, topk_group=1, norm_topk_prob=True, routed_scaling_factor=1.5, first_k_dense_replace=1,
)  # fmt: skip
MIXED = {"token_embd": Type.Q4_K, "output.weight": Type.Q6_K, "attn_v": Type.Q6_K, "ffn_down": Type.Q6_K}
CLASSES = {
    "chatglm": (GlmConfig, GlmForCausalLM),
    "glm4": (Glm4Config, Glm4ForCausalLM),
    "glm4moe": (Glm4MoeConfig, Glm4MoeForCausalLM),
}
FILE = gguf.LlamaFileType
# Name: architecture, sizes, base of the rotary frequencies, whether Q, K and V are one tensor, type of the file, types.
CASES = {
    "gguf-chatglm-f32": ("chatglm", SMALL, 1e4, True, FILE.ALL_F32, {"": Type.F32}),
    "gguf-chatglm-q4k-mixed": ("chatglm", WIDE | dict(intermediate_size=512), 5e6, False, FILE.MOSTLY_Q4_K_M,
        MIXED | {"": Type.Q4_K}),
    "gguf-chatglm-q4_0": ("chatglm", SMALL | dict(num_key_value_heads=1), 5e6, True, FILE.MOSTLY_Q4_0,
        {"output.weight": Type.Q8_0, "": Type.Q4_0}),
    "gguf-glm4-q5k": ("glm4", WIDE, 1e4, False, FILE.MOSTLY_Q5_K_M,
        {"output.weight": Type.Q6_K, "attn_v": Type.Q6_K, "": Type.Q5_K}),
    "gguf-glm4-bf16": ("glm4", SMALL, 1e4, False, FILE.MOSTLY_BF16, {"": Type.BF16}),
    "gguf-glm4moe-f32": ("glm4moe", SMALL | EXPERTS | dict(moe_intermediate_size=16, intermediate_size=64), 1e6, False,
        FILE.ALL_F32, {"": Type.F32}),
    "gguf-glm4moe-q8": ("glm4moe", SMALL | EXPERTS, 1e6, False, FILE.MOSTLY_Q8_0, {"": Type.Q8_0}),
    "gguf-glm4moe-f16": ("glm4moe", SMALL | EXPERTS | dict(use_qk_norm=True), 1e4, False, FILE.MOSTLY_F16,
        {"": Type.F16}),
}  # fmt: skip


def build(arch, sizes, theta):
    config_class, model_class = CLASSES[arch]
    config = config_class(**BASE, **sizes, rope_parameters=dict(ROPE, rope_theta=theta))
    if arch != "glm4moe":
        assert config.head_dim * config.num_attention_heads == config.hidden_size
    return randomize(model_class(config))


@torch.no_grad()
def attempt(path, seed, arch, sizes, theta, fused, file_type, kinds):
    torch.manual_seed(seed)
    model = build(arch, sizes, theta)
    stored = store(model, arch, fused, kinds)
    if arch == "glm4moe":
        stored |= prediction_layer(stored, model.config.num_hidden_layers, model.config.hidden_size)
    example = Example.causal(83, VOCABULARY)

    def forward(ids, rows, _):
        return model(input_ids=torch.tensor([ids]), position_ids=torch.tensor([rows[0]]), use_cache=False).logits[0]

    path.unlink(missing_ok=True)
    write(path, arch, model.config, stored, file_type)
    slack = 3 if set(kinds.values()) == {Type.F32} else 0.05
    tokens, margins, apart = compare(llama(path, example.ids), model, example.ids, slack)
    logits, greedy = expect(forward, example)
    assert greedy[:LLAMA_STEPS] == tokens
    numbers = dict(
        ids=torch.tensor(example.ids), positions=torch.tensor(example.rows), prefix=torch.tensor([0]),
        logits=logits.contiguous(), greedy=torch.tensor(greedy), llama_greedy=torch.tensor(tokens),
        llama_margins=torch.tensor(margins),
    )  # fmt: skip
    return numbers, apart


def case(name, first_seed=1):
    reasons = {}
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "model.gguf"
        for seed in range(first_seed, first_seed + 200):
            try:
                numbers, apart = attempt(path, seed, *CASES[name])
            except Unfit as why:
                reasons[str(why)] = reasons.get(str(why), 0) + 1
                continue
            break
        else:
            sys.exit(f"{name}: no seed will do: {reasons}")
        folder = PARITY / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        shutil.copy(path, folder / "model.gguf")
    oracle = f"transformers {transformers_version}, xllamacpp {xllamacpp.__version__}"
    largest, tokens = float(numbers["logits"].abs().max()), len(set(numbers["greedy"].tolist()))
    notes = {"advance": "place", "seed": str(seed), "oracle": oracle, "llama_apart": f"{apart:.1e}"}
    save_file(numbers, folder / "expected.safetensors", notes)
    size = sum(file.stat().st_size for file in folder.iterdir()) // 1024
    print(
        f"{name}: seed {seed}, {size} KiB, logits up to {largest:.2f}, {tokens} different tokens, llama.cpp apart by "
        f"{apart:.1e}, its least margin {min(numbers['llama_margins']):.3f}; {json.dumps(reasons)}",
        flush=True,
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    for name in sys.argv[1:] or CASES:
        case(name)
