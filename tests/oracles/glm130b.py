"""GLM-130B as released, from its makers' own code.

    git clone https://github.com/THUDM/SwissArmyTransformer   # 63dc23a: sat/model/official/glm130B_model.py
    git clone https://github.com/THUDM/GLM-130B               # 212215c: tools/convert_tp.py, generate.py
    git clone https://github.com/greensheng/chatglm-6b chatglm-6b-int4   # at 7a9be95: quantization_kernels.c
    python glm130b.py FOLDER-WITH-THE-THREE

A case is a folder with `latest` and `STEP/mp_rank_XX_model_states.pt`, split for several devices, and quantized, by
the release's own `convert_tp.py`. What the shapes of the tensors do not say (the release has it in a shell script) is
in `model_config.json`, the file that SwissArmyTransformer keeps beside its checkpoints.

`GLM130B` runs on one CPU process in float32. For that: `torch.cuda.current_device` says CPU and calls of `.half()`
do nothing while the model runs; the attention mask, which this version of the library turns to numbers, is turned
back; the parts of the package that want CUDA, deepspeed or a tokenizer are stand-ins. `convert_tp.py` packs two
4-bit numbers in a byte with a CUDA kernel, for which stands the same function in C, published with ChatGLM-6B. The
expected numbers of a quantized case are those of the weights that the stored numbers stand for, in float32.
"""

import ctypes
import subprocess
import tempfile

import torch

from published import *

SOURCES = sources()
MASK, GMASK, EOS, SOP = 3, 4, 5, 6
STEP = "49300"


def load_published():
    sat = SOURCES / "SwissArmyTransformer" / "sat"
    for name in ("sat", "sat.model", "sat.model.official"):
        stand_in(name).__path__ = [str(sat.joinpath(*name.split(".")[1:]))]
    stand_in("sat.training")
    stand_in("sat.training.model_io", load_checkpoint=None)
    stand_in("sat.resources", auto_create=None)
    rotary = load("rotary_embeddings", sat / "model" / "position_embedding" / "rotary_embeddings.py")
    stand_in("sat.model.position_embedding", **vars(rotary))
    torch.cuda.current_device = lambda: torch.device("cpu")
    from sat.model.official import glm130B_model as code

    softmax = code.SelfAttentionWithFP32SoftmaxMixin
    plain = softmax.attention_fn
    softmax.attention_fn = lambda self, q, k, v, mask, *rest, **named: plain(self, q, k, v, mask > 0.5, *rest, **named)
    return code


def load_converter():
    """`convert_tp.py`, with the C function for packing."""
    library = Path(tempfile.mkdtemp()) / "kernels.so"
    source = SOURCES / "chatglm-6b-int4" / "quantization_kernels.c"
    subprocess.run(["gcc", "-O1", "-fPIC", "-shared", "-w", str(source), "-o", str(library)], check=True)
    kernels = ctypes.CDLL(str(library))

    def compress_int4_weight(weight):
        rows, columns = weight.shape
        packed = torch.zeros(rows, columns // 2, dtype=torch.int8)
        pointers = [ctypes.c_void_p(tensor.data_ptr()) for tensor in (weight, packed)]
        kernels.compress_int4_weight(*pointers, ctypes.c_int32(rows), ctypes.c_int32(columns // 2))
        return packed

    stand_in("kernels", compress_int4_weight=compress_int4_weight)
    torch.Tensor.cuda = lambda tensor: tensor.contiguous()
    return load("convert_tp", SOURCES / "GLM-130B" / "tools" / "convert_tp.py")


CODE, CONVERTER = load_published(), load_converter()


def example(vocabulary, mask):
    """`generate.py`: text, [gMASK], sop, and positions that count; or a [MASK] in the text, an end, sop, and from
    there on the mask's position. All before sop see one another."""
    if mask == GMASK:
        before = words(33, vocabulary) + [GMASK]
    else:
        before = words(19, vocabulary) + [MASK] + words(24, vocabulary) + [EOS]
    ids = before + [SOP] + words(48, vocabulary)
    places = list(range(len(ids)))
    if mask == MASK:
        places[len(before) :] = [19] * (len(ids) - len(before))
    return Example(ids, [places, [0] * len(ids)], len(before), "place" if mask == GMASK else "still")


def released(name, seed, mask, parts, bits=None, **shape):
    config = {
        "num_layers": shape["num_layers"],
        "hidden_size": shape["hidden_size"],
        "inner_hidden_size": shape["inner_hidden_size"],
        "num_attention_heads": shape["num_attention_heads"],
        "vocab_size": shape["vocab_size"],
        "max_sequence_length": 2048,
        "layernorm_order": "post",
        "tokenizer_type": "icetk-glm-130B",
        "model_class": "GLM130B",
        "model_parallel_size": parts,
    }

    def build(tried):
        arguments = types.SimpleNamespace(
            **config, fp16=False, skip_init=True, position_encoding_2d=False, no_glu=False, use_gpu_initialization=False
        )
        arguments.model_parallel_size = 1
        whole = CODE.GLM130B(arguments).float()
        torch.manual_seed(tried)  # the constructor takes a seed of its own
        randomize(whole, gain=1.5)
        one = half(whole.state_dict())
        # The library keeps one table now; the release's converter knows it in every layer. Nobody reads it.
        table = one.pop("mixins.rotary-embedding.rotary_emb.inv_freq")
        for layer in range(config["num_layers"]):
            one[f"transformer.layers.{layer}.attention.rotary_emb.inv_freq"] = table.clone()
        shards = convert(one, parts, bits)
        if bits:
            whole.load_state_dict(merged(one, shards), strict=False)

        def forward(ids, rows, prefix):
            ids, places = torch.tensor([ids]), torch.tensor([rows[0]])
            visible = torch.ones(1, 1, ids.shape[1], ids.shape[1]).tril()
            visible[..., :prefix] = 1
            real, torch.Tensor.half = torch.Tensor.half, lambda tensor: tensor
            try:
                return whole(ids, places, visible < 0.5)[0][0]
            finally:
                torch.Tensor.half = real

        def write(folder):
            (folder / STEP).mkdir()
            (folder / "latest").write_text(STEP)
            write_json(folder / "model_config.json", config)
            for rank, shard in enumerate(shards):
                torch.save({"module": shard}, folder / STEP / f"mp_rank_{rank:02}_model_states.pt")

        return forward, example(shape["vocab_size"], mask), write

    case(name, seed, build)


def convert(one, parts, bits):
    """The shards that `convert_tp.py` makes of a checkpoint for one device."""
    return [CONVERTER.create_checkpoint([one], rank, 1, parts, bits)["module"] for rank in range(parts)]


def merged(one, shards):
    """The checkpoint for one device that quantized shards stand for, by the converter's own merging."""
    plain = []
    for shard in shards:
        plain.append({})
        for name, tensor in shard.items():
            if f"{name}_scale" in shard:
                tensor, scale = shard[name], shard[f"{name}_scale"].float()
                short = name.split(".", 3)[-1]
                columns = one[name].shape[1] // (len(shards) if short in CONVERTER.LAYER_CONCAT_DIM else 1)
                if tensor.shape[1] != columns:
                    tensor = torch.stack([tensor >> 4, (tensor << 4) >> 4], dim=2).flatten(1)
                tensor = tensor.float() * scale[:, None]
            if not name.endswith("_scale"):
                plain[-1][name] = tensor
    return CONVERTER.create_checkpoint(plain, 0, len(shards), 1, None)["module"]


even = dict(num_layers=2, hidden_size=48, inner_hidden_size=60, num_attention_heads=4, vocab_size=104)
odd = dict(num_layers=3, hidden_size=40, inner_hidden_size=54, num_attention_heads=5, vocab_size=101)
released("glm130b-gmask", 1, GMASK, 1, **odd)
released("glm130b-shards2", 216, MASK, 2, **even)
released("glm130b-shards4", 1, GMASK, 4, **even)
released("glm130b-int8", 1, GMASK, 1, bits=8, **odd)
released("glm130b-int4-shards2", 1, GMASK, 2, bits=4, **even)
