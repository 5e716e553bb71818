"""Makes the numbers that the parity test of the GLM model compares with.

    python make.py path/to/modeling_glm.py

The argument is the public PyTorch source of the GLM architecture (Hugging Face's `modeling_glm.py` for
`shunxing1234/GLM`; a copy is in the repository yuekaizhang/InstructGLM). It is loaded unchanged: only the imports of
`transformers` are answered by stand-ins here, so that nothing but torch, numpy and gguf need be installed.

For each shape it draws random weights, runs the reference on a two-span blank-infilling example and on a greedy
continuation of 64 tokens, and writes beside itself `NAME.gguf` (the weights) and `NAME.json` (inputs, all logits of
the example, the tokens). The reference recomputes the whole sequence for every token, so it shares nothing with a KV
cache. `small_q8.gguf` holds the weights of `small` in Q8_0, and `small_q8.json` the reference's numbers on exactly
those rounded weights. `zones` reads what is more than `near` tokens before the first mask from left to right: the reference
takes a matrix of who sees whom, too, and is given that.

All weights are multiples of 2^-12 small enough for f16, so that F16 and F32 files hold the same numbers.
"""

import importlib.util
import json
import sys
import types
from pathlib import Path

import gguf
import numpy as np
import torch

HERE = Path(__file__).parent
SHAPES = {
    # `type`: how the matrices are stored. `odd` has sizes that no kernel's tile divides.
    "small": dict(layers=2, width=32, heads=2, vocab=61, context=72, activation="gelu_tanh", type="F32", seed=1),
    "odd": dict(layers=2, width=24, heads=3, vocab=89, context=72, activation="gelu", type="F16", seed=2),
    "zones": dict(layers=2, width=32, heads=2, vocab=61, context=72, activation="gelu_tanh", type="F32", seed=3, near=2),
}
STEPS = 64


def load_reference(path):
    """The reference's module, with stand-ins for what it imports from transformers."""

    def decorator(*args, **kwargs):
        return lambda function: function

    def module(name, **members):
        stand_in = types.ModuleType(name)
        stand_in.__dict__.update(members)
        sys.modules[name] = stand_in

    empty = type("Empty", (), {})
    module("transformers")
    module("transformers.activations", gelu=torch.nn.functional.gelu)
    module(
        "transformers.utils",
        add_code_sample_docstrings=decorator,
        add_start_docstrings=decorator,
        add_start_docstrings_to_model_forward=decorator,
    )
    outputs = ("BaseModelOutputWithPastAndCrossAttentions", "ModelOutput", "SequenceClassifierOutput")
    module("transformers.modeling_outputs", **{name: empty for name in outputs})
    module("transformers.modeling_utils", PreTrainedModel=torch.nn.Module)
    module("configuration_glm", GLMConfig=empty)
    spec = importlib.util.spec_from_file_location("reference", path)
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    return reference


class Model:
    """The reference's transformer stack with a word embedding, on random weights."""

    def __init__(self, reference, shape):
        self.shape = shape
        tanh = shape["activation"] == "gelu_tanh"
        reference.gelu = lambda x: torch.nn.functional.gelu(x, approximate="tanh" if tanh else "none")
        self.reference, self.gelu = reference, reference.gelu
        self.stack = reference.GLMStack(
            num_layers=shape["layers"],
            hidden_size=shape["width"],
            num_attention_heads=shape["heads"],
            max_sequence_length=shape["context"],
            embedding_dropout_prob=0.0,
            attention_dropout_prob=0.0,
            output_dropout_prob=0.0,
            checkpoint_activations=False,
            block_position_encoding=True,
        ).eval()
        torch.manual_seed(shape["seed"])
        self.words = self.draw((shape["vocab"], shape["width"]), 0.15)
        for name, parameter in self.stack.named_parameters():
            # Strong positions and matrices, so that the continuation is not one token over and over.
            norm_weight = "layernorm.weight" in name
            spread = 0.15 if norm_weight or name.endswith("bias") else 0.35
            parameter.data = self.draw(parameter.shape, spread) + (1.0 if norm_weight else 0.0)

    @staticmethod
    def draw(shape, spread):
        return (torch.randn(shape) * spread).clamp(-0.99, 0.99).mul(4096).round().div(4096).half().float()

    @torch.no_grad()
    def logits(self, ids, positions, sep):
        """All rows of logits for one whole sequence."""
        self.reference.gelu = self.gelu
        hidden = self.words[torch.tensor(ids)][None]
        mask = torch.tensor([sep])
        if near := self.shape.get("near"):
            far = min(positions[0][sep:]) - near
            sees = torch.ones(len(ids), len(ids)).tril()
            sees[far:, :sep] = 1
            mask = sees[None, None]
        output, _ = self.stack(hidden, torch.tensor(positions)[None], mask)
        return output[0] @ self.words.T

    def tensors(self):
        """The weights by their names in the GGUF file; True marks a matrix that may be quantized."""
        yield "token_embd.weight", self.words, True
        stack = self.stack
        yield "position_embd.weight", stack.position_embeddings.weight, False
        yield "block_position_embd.weight", stack.block_position_embeddings.weight, False
        yield "output_norm.weight", stack.final_layernorm.weight, False
        yield "output_norm.bias", stack.final_layernorm.bias, False
        for index, layer in enumerate(stack.layers):
            parts = {
                "attn_norm": layer.input_layernorm,
                "attn_qkv": layer.attention.query_key_value,
                "attn_output": layer.attention.dense,
                "ffn_norm": layer.post_attention_layernorm,
                "ffn_up": layer.mlp.dense_h_to_4h,
                "ffn_down": layer.mlp.dense_4h_to_h,
            }
            for name, part in parts.items():
                yield f"blk.{index}.{name}.weight", part.weight, part.weight.dim() == 2
                yield f"blk.{index}.{name}.bias", part.bias, False

    @torch.no_grad()
    def round_to_q8(self):
        """Replaces every matrix by what Q8_0 makes of it."""
        for _, tensor, is_matrix in self.tensors():
            if is_matrix:
                blocks = gguf.quantize(tensor.numpy(), gguf.GGMLQuantizationType.Q8_0)
                tensor.copy_(torch.from_numpy(gguf.dequantize(blocks, gguf.GGMLQuantizationType.Q8_0)))

    @torch.no_grad()
    def write(self, path, matrix_type):
        shape = self.shape
        writer = gguf.GGUFWriter(str(path), "glm")
        writer.add_name(f"parity {path.stem}")
        writer.add_license("MIT OR Apache-2.0")
        writer.add_uint32("glm.block_count", shape["layers"])
        writer.add_uint32("glm.embedding_length", shape["width"])
        writer.add_uint32("glm.feed_forward_length", 4 * shape["width"])
        writer.add_uint32("glm.attention.head_count", shape["heads"])
        writer.add_float32("glm.attention.layer_norm_epsilon", 1e-5)
        writer.add_uint32("glm.context_length", shape["context"])
        writer.add_string("glm.activation", shape["activation"])
        if near := shape.get("near"):
            writer.add_uint32("glm.prefix.near", near)
        for name, tensor, is_matrix in self.tensors():
            kind = gguf.GGMLQuantizationType[matrix_type if is_matrix else "F32"]
            writer.add_tensor(name, gguf.quantize(tensor.numpy().astype(np.float32), kind), raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def example(shape):
    """Part A of 17 tokens with two masks, and two spans in shuffled order: ids and the two rows of positions."""
    random = np.random.default_rng(shape["seed"])
    word = lambda: int(random.integers(4, shape["vocab"]))
    mask, start = 1, 2
    part_a = [word() for _ in range(17)]
    part_a[5] = part_a[12] = mask
    ids, row_0, row_1 = list(part_a), list(range(17)), [0] * 17
    for mask_at, length in ((12, 6), (5, 3)):
        ids += [start] + [word() for _ in range(length)]
        row_0 += [mask_at] * (length + 1)
        row_1 += range(1, length + 2)
    return ids, [row_0, row_1], 17


def greedy(model, ids, positions, sep):
    """64 tokens after the whole example, each the greatest logit of a fresh pass over the whole sequence."""
    ids, row_0, row_1 = list(ids), list(positions[0]), list(positions[1])
    tokens = []
    for _ in range(STEPS):
        last = model.logits(ids, [row_0, row_1], sep)[-1]
        best, second = last.topk(2).values
        assert best - second > 1e-4, "a near tie would make the comparison of tokens meaningless: change the seed"
        tokens.append(int(last.argmax()))
        ids.append(tokens[-1])
        row_0.append(row_0[-1])
        row_1.append(row_1[-1] + 1)
    return tokens


def save(model, name, matrix_type):
    model.write(HERE / f"{name}.gguf", matrix_type)
    ids, positions, sep = example(model.shape)
    logits = model.logits(ids, positions, sep)
    tokens = greedy(model, ids, positions, sep)
    numbers = [[float(f"{x:.5g}") for x in row] for row in logits.tolist()]
    case = dict(ids=ids, positions=positions, part_a=sep, logits=numbers, greedy=tokens)
    (HERE / f"{name}.json").write_text(json.dumps(case, separators=(",", ":")) + "\n")
    print(f"{name}: logits up to {logits.abs().max():.2f}, {len(set(tokens))} different tokens in the continuation")


def main():
    reference = load_reference(sys.argv[1])
    for name, shape in SHAPES.items():
        save(Model(reference, shape), name, shape["type"])
    model = Model(reference, SHAPES["small"])
    model.round_to_q8()
    save(model, "small_q8", "Q8_0")


main()
