"""Compares arms of a small experiment: what each learns in the same number of steps.

Takes arms, each with its shards and what differs in its shape, and validation shards that all are measured on; gives
a table, a row an arm: nats a token for each mask token, the difference from the first arm over the same examples with
its standard error, and tokens/s. With `--start` all arms go on from one exported model, which shows in minutes what
would take a run from nothing hours to show; arms of other sizes begin at random weights of the same seed.

    python ablate.py --valid V --steps 200 --start MODEL.gguf one-zone=S two-zones=S,near=128

With `near`, Part A has two zones: what stands more than so many tokens before the first mask is the far zone, where each
token sees only those before it, so that its keys and values would outlive a jump of the cursor.
"""

import argparse
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from model import GLM, Shape, prefix_mask
from shards import Shards
from train import ANSWER, MASKS, Run


@dataclass
class Arm:
    """One way to train."""

    name: str
    shards: Path
    shape: Shape
    near: int  # 0: one zone

    @staticmethod
    def parse(text: str) -> "Arm":
        """From NAME=SHARDS[,SIZE=NUMBER…], where a size is a field of Shape."""
        name, _, rest = text.partition("=")
        shards, *sizes = rest.split(",")
        if not name or not shards:
            raise argparse.ArgumentTypeError(f"`{text}` is not NAME=SHARDS[,SIZE=NUMBER…]")
        pairs = [size.partition("=") for size in sizes]
        known = [*asdict(Shape()), "near"]
        unknown = [key for key, _, value in pairs if key not in known or not value.isdigit()]
        if unknown:
            raise argparse.ArgumentTypeError(f"`{text}`: {unknown[0]} is no size of a model, or has no number")
        numbers = {key: int(value) for key, _, value in pairs}
        near = numbers.pop("near", 0)
        return Arm(name, Path(shards), Shape(**numbers), near)


def two_zones(near: int) -> type[GLM]:
    """A model whose Part A has a far zone."""

    class TwoZones(GLM):
        def mask(self, ids: Tensor, sep: Tensor) -> Tensor:
            first = (ids < len(MASKS)).int().argmax(1)
            place = torch.arange(ids.shape[1], device=ids.device)
            far = place < first[:, None] - near  # (B, T)
            later = place[:, None] < place[None, :]  # (T, T): row comes before column
            return prefix_mask(sep, ids.shape[1]) & ~(far[:, :, None] & later)[:, None]

    return TwoZones


def learned(arm: Arm, options: argparse.Namespace) -> tuple[Run, float]:
    """The arm after its steps, and its tokens/s."""
    own = argparse.Namespace(**vars(options), **asdict(arm.shape), minutes=None, decay=1.0)
    run = Run(own, torch.device(options.device), two_zones(arm.near) if arm.near else GLM)
    if options.start:
        run.start(options.start)
        # The rates fall from the first step of this run, whatever came before.
        run.state.update(first=0, step=0, tokens=0)
    began = time.monotonic()
    for batch in Shards(arm.shards, "train").batches(options.batch_tokens, options.seed):
        if run.progress() >= 1:
            break
        loss = run.step(batch, time.monotonic() - began, 1)
        if run.state["step"] % 20 == 0:
            print(f"{arm.name} step {run.state['step']} loss {loss.item():.4f}", flush=True)
    return run, run.state["tokens"] / (time.monotonic() - began)


@torch.no_grad()
def measured(run: Run, split: Shards, most: int, batch_tokens: int) -> dict[str, list[tuple[float, int]]]:
    """Summed nats and tokens of each validation example, by its first mask, in an order that is the same for all."""
    sums: dict[str, list[tuple[float, int]]] = {}
    chosen = sorted(range(0, len(split), max(1, len(split) // most)), key=split.length)
    for group in split.groups(chosen, batch_tokens):
        batch = split.batch(group)
        *inputs, targets = batch.to(run.device)
        with torch.autocast(run.device.type, dtype=torch.bfloat16):
            losses = F.cross_entropy(run.model(*inputs).float(), targets, reduction="none")
        example = inputs[3] // inputs[0].shape[1]
        for place, index in enumerate(group):
            a, ids, _, _ = split.record(index)
            masks = [MASKS[token] for token in ids[:a] if token < len(MASKS)]
            mine = losses[example == place]
            sums.setdefault(masks[0] if masks else ANSWER, []).append((mine.sum().item(), len(mine)))
    return sums


def mean(sums: list[tuple[float, int]]) -> float:
    """Nats a token."""
    return sum(nats for nats, _ in sums) / sum(tokens for _, tokens in sums)


def difference(sums: list[tuple[float, int]], first: list[tuple[float, int]]) -> tuple[float, float]:
    """Nats a token more than the first arm, and the standard error of that over examples."""
    tokens = sum(count for _, count in sums)
    apart = [mine - theirs for (mine, _), (theirs, _) in zip(sums, first, strict=True)]
    average = sum(apart) / tokens
    spread = sum((gap - average * count) ** 2 for gap, (_, count) in zip(apart, sums, strict=True))
    return average, math.sqrt(spread) / tokens


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("arms", nargs="+", type=Arm.parse, metavar="NAME=SHARDS[,SIZE=NUMBER…]")
    parser.add_argument("--valid", type=Path, required=True, help="shards with a split `valid` to measure on")
    parser.add_argument("--start", type=Path, help="an exported model that all arms go on from")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--batch-tokens", type=int, default=8192)
    parser.add_argument("--lr", type=float, default=1e-3, help="first rate of AdamW; it falls to zero in a straight line")
    parser.add_argument("--matrix-lr", type=float, default=7e-3, help="first rate of Muon")
    parser.add_argument("--examples", type=int, default=2000, help="validation examples, about")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    split = Shards(options.valid, "valid")
    first: list[tuple[float, int]] = []
    rows = []
    for arm in options.arms:
        run, speed = learned(arm, options)
        by_mask = measured(run, split, options.examples, options.batch_tokens)
        everything = [one for mask in (*MASKS, ANSWER) for one in by_mask.get(mask, [])]
        first = first or everything
        more, error = difference(everything, first)
        masks = " | ".join(f"{mean(by_mask[mask]):.3f}" if mask in by_mask else "" for mask in MASKS)
        count = sum(parameter.numel() for parameter in run.model.parameters())
        rows.append(
            f"| {arm.name} | {count / 1e6:.1f}M | {masks} | {mean(everything):.3f} | {more:+.3f} ± {error:.3f} | {speed:.0f} |"
        )
        print(rows[-1], flush=True)
    print("\n| arm | parameters | " + " | ".join(MASKS) + " | all | from the first | tokens/s |")
    print("|---|---|---|---|---|---|---|---|", *rows, sep="\n")


if __name__ == "__main__":
    main()
