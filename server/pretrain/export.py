"""Writes a model as the GGUF that the server embeds.

Takes a checkpoint of train.py (or none: random weights, to test with) and the tokenizer; gives
one file with the weights, the tokenizer and what is known of the run. Matrices are Q8_0, vectors
F32. Metadata and tensor names are those that the glm crate reads.

    python export.py --run RUN --tokenizer tokenizer.json --out infill-v2.gguf
"""

import argparse
from pathlib import Path

import gguf
import torch

from model import EPSILON, GLM, ROPE_BASE, Shape

# Where model.py differs from the GLM of 2021.
FLAGS = {
    "rms_norm": True,
    "gated": True,
    "linear_bias": False,
    "attention.qkv_bias": False,
    "attention.qk_norm": True,
}
TEMPLATE = "infill_v1"  # how the server lays out the prompts that the embedded model was trained on
RECALL = ("DISCOUNT", "STRENGTH", "DECLINE")
# What lines like the one at hand count, in the order in which recall.py prints it.
LINES = (
    "typed",
    "typed.length",
    "typed.whole",
    "typed.earlier",
    "typed.later",
    "untyped",
    "untyped.earlier",
    "untyped.later",
    "followed",
)


def write(
    model: GLM,
    tokenizer: str,
    name: str,
    facts: dict[str, str | int | float],
    out: Path,
    template: str = TEMPLATE,
    guidance: dict[str, float] | None = None,
) -> None:
    shape = model.shape
    writer = gguf.GGUFWriter(out, "glm")
    writer.add_name(name)
    writer.add_license("MIT OR Apache-2.0")
    writer.add_block_count(shape.layers)
    writer.add_embedding_length(shape.width)
    writer.add_feed_forward_length(shape.ffn)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads or shape.heads)
    writer.add_layer_norm_eps(EPSILON)
    writer.add_context_length(shape.context)
    writer.add_string("glm.activation", "silu")
    for key, flag in FLAGS.items():
        writer.add_bool(f"glm.{key}", flag)
    writer.add_uint64("glm.positions.rows", 2)
    if shape.near:
        writer.add_uint64("glm.prefix.near", shape.near)
    writer.add_uint64("glm.rope.size", shape.head)
    writer.add_float32("glm.rope.base", ROPE_BASE)
    writer.add_string("infill.template", template)
    writer.add_string("tokenizer.huggingface.json", tokenizer)
    for key, value in (guidance or {}).items():
        writer.add_float32(f"infill.{key}", value)
    for key, value in facts.items():
        add = {str: writer.add_string, int: writer.add_uint64, float: writer.add_float32}[type(value)]
        add(f"infill.training.{key}", value)
    for tensor, values in model.state_dict().items():
        array = values.float().cpu().numpy()
        if array.ndim == 2:
            quantized = gguf.quants.quantize(array, gguf.GGMLQuantizationType.Q8_0)
            writer.add_tensor(tensor, quantized, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
        else:
            writer.add_tensor(tensor, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--run", type=Path, help="folder of train.py; without it the weights are random")
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--name", default="infill-v2")
    parser.add_argument("--template", default=TEMPLATE, help="how the server is to ask the model")
    parser.add_argument("--recall", type=float, nargs=3, metavar=RECALL, help="as recall.py prints them")
    parser.add_argument("--lines", type=float, nargs=len(LINES), metavar="WEIGHT", help="as recall.py prints them")
    parser.add_argument("--threshold", type=float, help="least probability of a line that is shown unasked")
    options = parser.parse_args()

    guidance = dict(zip((f"recall.{name.lower()}" for name in RECALL), options.recall or ()))
    guidance |= dict(zip((f"recall.lines.{name}" for name in LINES), options.lines or ()))
    if options.threshold is not None:
        guidance["threshold"] = options.threshold
    facts: dict[str, str | int | float] = {}
    if options.run:
        saved = torch.load(options.run / "checkpoint.pt", map_location="cpu", weights_only=True)
        model = GLM(Shape(**saved["shape"]))
        model.load_state_dict(saved["model"])
        state = saved["state"]
        facts = {"steps": state["step"], "tokens": state["tokens"], "loss_tokens": state["loss_tokens"]}
        facts["minutes"] = float(state["elapsed"] / 60)
        facts |= {
            f"valid_loss.{mask.strip('[]').lower()}": float(loss) for mask, loss in saved["valid"].items()
        }
    else:
        torch.manual_seed(0)
        model = GLM(Shape())
    # A reader of the old file must never see half of the new one.
    fresh = options.out.with_suffix(".new")
    write(model, options.tokenizer.read_text(), options.name, facts, fresh, options.template, guidance)
    fresh.rename(options.out)
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB, {facts}")


if __name__ == "__main__":
    main()
