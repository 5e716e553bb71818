"""ChatGLM2 and ChatGLM-6B in the makers' int8 and int4, from the public code.

    git clone https://github.com/greensheng/chatglm-6b        # 8b7d335: a copy of THUDM/chatglm-6b
    git clone https://github.com/greensheng/chatglm-6b chatglm-6b-int4   # at 7a9be95: its quantization.py and kernels
    python quantized_published.py FOLDER-WITH-THE-CHECKOUTS   # and those that chatglm_remote.py names; needs gcc

The four matrices of each layer become `weight` (int8, two numbers a byte for int4) and `weight_scale` (f16, one a row),
by the rule of `QuantizedLinear` in the published `quantization.py`: the largest number of the row over 127 or 7, rounded
to f16, then the row divided by it and rounded. Packing and unpacking of int4, and unpacking of int8, are the published
CPU kernels (`quantization_kernels.c`). The expected numbers are those of the published model in float32 on the unpacked
weights. Embeddings and head stay float16, as in the published files.
"""

import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file

import chatglm_6b
import chatglm_remote
from published import *

MATRICES = ("query_key_value.weight", "dense.weight", "dense_h_to_4h.weight", "dense_4h_to_h.weight")


def load_published():
    """The published module with its CPU kernels compiled apart; its CUDA kernels are never called."""
    nothing = lambda *_: None
    stand_in("cpm_kernels")
    stand_in("cpm_kernels.kernels")
    base = dict(LazyKernelCModule=nothing, KernelFunction=nothing, round_up=nothing)
    stand_in("cpm_kernels.kernels.base", **base)
    folder = SOURCES / "chatglm-6b-int4"
    code = load("published_quantization", folder / "quantization.py")
    with tempfile.TemporaryDirectory() as temporary:
        source = Path(temporary) / "quantization_kernels.c"
        # The class asks for a function that only the parallel kernels have.
        kernels = (folder / "quantization_kernels.c").read_text()
        source.write_text(kernels + "\nvoid set_num_threads(int count) {}\n")
        code.cpu_kernels = code.CPUKernel(source_code=str(source))
    return code


SOURCES = sources()
CODE = load_published()


@torch.no_grad()
def quantize(whole, bits):
    """The published tensors; the model gets the numbers that they stand for."""
    state = half(whole.state_dict())
    for name, parameter in whole.named_parameters():
        if not name.endswith(MATRICES):
            parameter.copy_(parameter.half().float())
            continue
        weight = parameter.half().float()
        scale = (weight.abs().max(dim=-1).values / (2 ** (bits - 1) - 1)).half()
        stored = torch.round(weight / scale[:, None].float()).to(torch.int8)
        assert int(stored.abs().max()) < 2 ** (bits - 1)
        if bits == 4:
            stored = CODE.compress_int4_weight(stored.contiguous())
        parameter.copy_(CODE.extract_weight_to_float(stored, scale.float(), bits))
        state[name] = stored
        state[f"{name}_scale"] = scale
    return state


def remote(name, seed, bits, script, config, made, published, safetensors=False):
    """One case: `made()` gives the model and the example; `published` are the keys that the quantized model adds."""

    def build(_):
        whole, example = made()
        state = quantize(whole, bits)

        def write(folder):
            write_json(folder / "config.json", config | published | {"quantization_bit": bits})
            if safetensors:
                save_file(state, folder / "model.safetensors", {"format": "pt"})
            else:
                save_in_parts(folder, state, 2)

        return script.forward(whole), example, write

    case(name, seed, build)


def second(name, bits, safetensors=False, **shape):
    config = chatglm_remote.config_json("chatglm2", torch.float16, **shape)
    made = lambda: (chatglm_remote.model("chatglm2", config), Example.causal(83, shape["padded_vocab_size"]))
    remote(name, 1, bits, chatglm_remote, config, made, {}, safetensors)


def first(name, bits, mask, **shape):
    config = chatglm_6b.config_json(**shape)
    made = lambda: (chatglm_6b.model(config), chatglm_6b.example(shape["vocab_size"], mask))
    remote(name, 1, bits, chatglm_6b, config, made, {"quantization_embeddings": False})


if __name__ == "__main__":
    grouped = dict(
        num_layers=2, hidden_size=64, ffn_hidden_size=86, kv_channels=16, num_attention_heads=4,
        multi_query_group_num=2, padded_vocab_size=104, seq_length=256,
    )  # fmt: skip
    single = dict(
        num_layers=3, hidden_size=48, ffn_hidden_size=70, kv_channels=16, num_attention_heads=3,
        multi_query_group_num=1, padded_vocab_size=121, seq_length=256,
    )  # fmt: skip
    second("chatglm2-int4", 4, safetensors=True, **grouped)
    second("chatglm2-int8", 8, **single)
    wide = dict(num_layers=2, hidden_size=48, inner_hidden_size=150, num_attention_heads=4, vocab_size=112)
    odd = dict(num_layers=3, hidden_size=40, inner_hidden_size=84, num_attention_heads=2, vocab_size=97)
    first("chatglm6b-int4", 4, chatglm_6b.GMASK, **wide)
    first("chatglm6b-int8", 8, chatglm_6b.MASK, **odd)
