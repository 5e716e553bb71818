"""Tells how well training uses a device: tokens/s of some steps, and what share they reach of a large product's speed.

Takes token shards; trains a fresh model for some steps and throws it away. Its floating-point operations are those of all
matrix products of a step, Muon's too, as PyTorch counts them: attention as if nothing were masked, padding as tokens.
The tokens/s leave padding out. To be run before a long run of train.py, with the options that it is to have.

    python throughput.py --shards SHARDS --compile

Of several processes with one thread each, as on a CPU, it tells what one does alone: `OMP_NUM_THREADS=1`.
"""

import argparse
import time
from itertools import islice
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from shards import Batch, Shards
from train import Run, add_shape

WARM_UP = 3  # steps in which PyTorch compiles and its allocator finds its sizes
PRODUCTS = 10  # of which the fastest counts


def operations(run: Run, batch: Batch) -> int:
    """Floating-point operations of a step, two for each multiply-add."""
    with FlopCounterMode(display=False) as counter:
        run.step(batch, 0.0, 1)
    return counter.get_total_flops()


def now(device: torch.device) -> float:
    """Seconds, once the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.monotonic()


def fastest_product(device: torch.device, size: int) -> float:
    """Floating-point operations a second of the fastest of some bf16 products of two matrices of size × size."""
    matrix = torch.randn(size, size, device=device, dtype=torch.bfloat16)
    times = []
    for _ in range(PRODUCTS):
        began = now(device)
        matrix @ matrix
        times.append(now(device) - began)
    return 2 * size**3 / min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--shards", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=20, help="steps that are timed")
    parser.add_argument("--batch-tokens", type=int, default=4096)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--compile", action="store_true")
    add_shape(parser)
    options = parser.parse_args()
    device = torch.device(options.device)
    torch.set_float32_matmul_precision("high")

    own = vars(options) | {"lr": 1e-3, "matrix_lr": 7e-3, "decay": 1.0, "steps": WARM_UP + options.steps}
    run = Run(argparse.Namespace(**own), device)
    batches = list(islice(Shards(options.shards, "train").batches(options.batch_tokens, options.seed), own["steps"]))
    for batch in batches[:WARM_UP]:
        run.step(batch, 0.0, 1)
    began = now(device)
    for batch in batches[WARM_UP:]:
        run.step(batch, 0.0, 1)
    seconds = now(device) - began

    eager = Run(argparse.Namespace(**own | {"compile": False}), device)
    speed = sum(operations(eager, batch) for batch in batches[WARM_UP:]) / seconds
    size = 8192 if device.type == "cuda" else 2048
    most = fastest_product(device, size)
    tokens = sum(batch.tokens for batch in batches[WARM_UP:]) / seconds
    print(f"{tokens:.0f} tokens/s, {speed / 1e12:.4g} TFLOP/s: {speed / most:.1%} of the {most / 1e12:.4g} of a {size}² product")


if __name__ == "__main__":
    main()
