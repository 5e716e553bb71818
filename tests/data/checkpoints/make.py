"""Writes the small files that the container tests read: `python make.py`, with torch, safetensors and gguf.

numbers.gguf holds 256 numbers a type, quantized by gguf.quants, and beside each the f32 values that the same package
unpacks; the tests compare our unpacking with them.
"""

import pathlib

import gguf
import numpy as np
import safetensors.torch
import torch

HERE = pathlib.Path(__file__).parent
torch.manual_seed(1)
tensors = {
    "module.layers.0.weight": torch.arange(12, dtype=torch.float16).reshape(3, 4),
    "module.layers.0.bias": torch.tensor([0.5, -1.5, 2.0], dtype=torch.bfloat16),
    "module.codes": torch.tensor([[-8, 127], [1, -128]], dtype=torch.int8),
    "module.codes_scale": torch.tensor([0.5, 0.25], dtype=torch.float16),
}
nested = {"module": {"layers.0.weight": tensors["module.layers.0.weight"], "layers.0": {"bias": tensors["module.layers.0.bias"]}}}
nested["module"]["codes"] = tensors["module.codes"]
nested["module"]["codes_scale"] = torch.nn.Parameter(tensors["module.codes_scale"])
nested["iteration"] = 7
torch.save(nested, HERE / "nested.pt")
torch.save({"a": tensors["module.codes"]}, HERE / "legacy.pt", _use_new_zipfile_serialization=False)
torch.save({"a": torch.arange(6.0).reshape(2, 3).t()}, HERE / "strided.pt")
torch.save({"a": pathlib.PurePosixPath("x"), "b": torch.nn.Linear(1, 1)}, HERE / "foreign.pt")
safetensors.torch.save_file(tensors, HERE / "flat.safetensors")

random = np.random.default_rng(1)
file = gguf.GGUFWriter(HERE / "numbers.gguf", "glm")
for kind in ["Q4_0", "Q8_0", "Q4_K", "Q5_K", "Q6_K"]:
    which = gguf.GGMLQuantizationType[kind]
    block, size = gguf.GGML_QUANT_SIZES[which]
    if kind.endswith("_K"):
        # The package unpacks these types but does not make them: random bits with sane scales.
        packed = random.integers(0, 256, (2, size), dtype=np.uint8)
        places = {"Q6_K": [208]}.get(kind, [0, 2])
        for place in places:
            packed[:, place : place + 2] = np.array([0.01], np.float16).view(np.uint8)
    else:
        packed = gguf.quants.quantize(random.standard_normal((2, 256)).astype(np.float32), which)
    file.add_tensor(kind, packed, raw_dtype=which)
    file.add_tensor(kind + ".f32", gguf.quants.dequantize(packed, which).astype(np.float32))
file.add_array("list", ["a", "", "ä"])
file.add_array("scores", [0.5, -1.0])
file.add_bool("yes", True)
file.write_header_to_file()
file.write_kv_data_to_file()
file.write_tensors_to_file()
file.close()
