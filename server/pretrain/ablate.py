"""Compares arms of a small experiment: what each learns in the same number of steps, or in the same time.

Takes arms, each with its shards and what differs in its shape, and validation shards that all are measured on; gives
a table, a row an arm: nats a token for each mask token, nats a byte with the standard error, the difference from the
first arm over the same examples, whether it has learned to copy (nats a token of random text repeated), and tokens/s.
With `--start` all arms go on from one exported model, which shows in minutes what would take a run from nothing hours to
show; arms of other sizes begin at random weights of the same seed. With `--export` each arm's model is written to a folder,
so that its speed can be measured where it is used. With `--jobs N` so many arms learn side by side, each in a process with
its share of the threads.

    python ablate.py --valid V --steps 200 --start MODEL.gguf two-zones=S one-zone=S,near=0

With `near`, Part A has two zones: what stands more than so many tokens before the first mask is the far zone, where each
token sees only those before it, so that its keys and values outlive a jump of the cursor. An arm with another vocabulary
names validation shards of its own, `valid=FOLDER`, and can be compared by the byte.
"""

import argparse
import json
import math
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from export import write
from model import Shape
from shards import Batch, Shards
from tokenizer import SPECIAL
from train import ANSWER, MASKS, Run, loss_of


@dataclass
class Arm:
    """One way to train."""

    name: str
    shards: Path
    shape: Shape
    valid: Path | None  # its own validation shards

    @staticmethod
    def parse(text: str) -> "Arm":
        """From NAME=SHARDS[,valid=SHARDS][,SIZE=NUMBER…], where a size is a field of Shape."""
        name, _, rest = text.partition("=")
        shards, *sizes = rest.split(",")
        if not name or not shards:
            raise argparse.ArgumentTypeError(f"`{text}` is not NAME=SHARDS[,SIZE=NUMBER…]")
        valid = next((Path(size[len("valid=") :]) for size in sizes if size.startswith("valid=")), None)
        pairs = [size.partition("=") for size in sizes if not size.startswith("valid=")]
        unknown = [key for key, _, value in pairs if key not in asdict(Shape()) or not value.isdigit()]
        if unknown:
            raise argparse.ArgumentTypeError(f"`{text}`: {unknown[0]} is no size of a model, or has no number")
        return Arm(name, Path(shards), Shape(**{key: int(value) for key, _, value in pairs}), valid)


def learned(arm: Arm, options: argparse.Namespace) -> tuple[Run, float]:
    """The arm after its steps, and its tokens/s."""
    own = argparse.Namespace(**vars(options), **asdict(arm.shape), decay=1.0)
    run = Run(own, torch.device(options.device))
    if options.start:
        run.start(options.start)
        # The rates fall from the first step of this run, whatever came before.
        run.state.update(first=0, step=0, tokens=0, elapsed=0.0)
    began = time.monotonic()
    for batch in Shards(arm.shards, "train").batches(options.batch_tokens, options.seed):
        if run.progress() >= 1:
            break
        loss = run.step(batch, time.monotonic() - began, 1)
        if (asker := parent_process()) and not asker.is_alive():
            os._exit(1)  # nobody waits for this arm, and the pool's loop would wait for others for ever
        if run.state["step"] % 20 == 0:
            print(f"{arm.name} step {run.state['step']} loss {loss.item():.4f}", flush=True)
    return run, run.state["tokens"] / (time.monotonic() - began)


def lengths(shards: Path) -> Tensor:
    """How many bytes of text each token of the shards' tokenizer is; none of the special ones."""
    tokenizer = json.loads((shards / "tokenizer.json").read_text())
    pieces = tokenizer["model"]["vocab"]
    special = {token["id"] for token in tokenizer["added_tokens"]}
    bytes_of = torch.zeros(max(*pieces.values(), *special) + 1, dtype=torch.long)
    for piece, index in pieces.items():
        bytes_of[index] = 0 if index in special else len(piece)  # byte-level: a character a byte
    return bytes_of


class Sum(NamedTuple):
    """What an example's answer took."""

    nats: float
    tokens: int
    bytes: int


@torch.no_grad()
def measured(run: Run, shards: Path, most: int, batch_tokens: int) -> dict[str, list[Sum]]:
    """The sums of each validation example, by its first mask, in an order that is the same for all."""
    split, bytes_of = Shards(shards, "valid"), lengths(shards)
    sums: dict[str, list[Sum]] = {}
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
            own = example == place
            mine = Sum(losses[own].sum().item(), int(own.sum()), int(bytes_of[targets[own].cpu()].sum()))
            sums.setdefault(masks[0] if masks else ANSWER, []).append(mine)
    return sums


@torch.no_grad()
def copying(run: Run) -> float:
    """Nats a token for a Part B that repeats a piece of Part A, both of random tokens, from its sixth token on.

    The logarithm of the vocabulary or more, until the model has learned to go on as the text did after the same token earlier.
    Much of what it is worth comes with that, all of a sudden, so that arms on both sides of it cannot be compared.
    """
    examples, A, B, skipped = 16, 200, 30, 5
    text = torch.randint(len(SPECIAL), run.shape.vocab, (examples, A), generator=torch.Generator().manual_seed(1))
    piece = text[:, A // 3 :][:, :B]
    mask, sop = (torch.full((examples, 1), SPECIAL.index(token)) for token in ("[MASK]", "<|startofpiece|>"))
    ids = torch.cat((text, mask, sop, piece[:, :-1]), dim=1)
    places = torch.arange(A + 1 + B)
    positions = torch.stack((places.clamp(max=A), (places - A).clamp(min=0))).expand(examples, 2, -1)
    rows = (places.numel() * torch.arange(examples)[:, None] + places[A + 1 + skipped :]).flatten()
    batch = Batch(ids, positions, torch.full((examples,), A + 1), rows, piece[:, skipped:].flatten(), ids.numel())
    return loss_of(run.model, batch, run.device).item()


@dataclass
class Outcome:
    """What became of an arm."""

    arm: Arm
    parameters: int
    by_mask: dict[str, list[Sum]]
    copying: float  # nats a token
    speed: float  # tokens/s

    @property
    def everything(self) -> list[Sum]:
        """All examples, in an order that is the same for arms with the same validation shards."""
        return [one for mask in (*MASKS, ANSWER) for one in self.by_mask.get(mask, [])]


def outcome(options: argparse.Namespace, arm: Arm) -> Outcome:
    """Trains the arm, measures and exports it."""
    run, speed = learned(arm, options)
    by_mask = measured(run, arm.valid or options.valid, options.examples, options.batch_tokens)
    if options.export:
        options.export.mkdir(parents=True, exist_ok=True)
        tokenizer = (arm.shards / "tokenizer.json").read_text()
        write(run.model, tokenizer, arm.name, {}, options.export / f"{arm.name}.gguf")
    return Outcome(arm, sum(parameter.numel() for parameter in run.model.parameters()), by_mask, copying(run), speed)


def outcomes(options: argparse.Namespace) -> Iterator[Outcome]:
    """Those of all arms in turn, as soon as they are there."""
    if options.jobs == 1:
        yield from map(partial(outcome, options), options.arms)
        return
    threads = max(1, torch.get_num_threads() // options.jobs)
    # PyTorch's threads do not outlive a fork.
    with ProcessPoolExecutor(options.jobs, get_context("spawn"), torch.set_num_threads, (threads,)) as pool:
        yield from pool.map(partial(outcome, options), options.arms)


def ratio(pairs: list[tuple[float, int]]) -> tuple[float, float]:
    """The sum of the first over that of the second, and the standard error of that over the pairs."""
    whole = sum(count for _, count in pairs)
    average = sum(amount for amount, _ in pairs) / whole
    spread = sum((amount - average * count) ** 2 for amount, count in pairs)
    return average, math.sqrt(spread) / whole


def difference(sums: list[Sum], first: list[Sum]) -> tuple[float, float]:
    """Nats a token more than the first arm, and the standard error of that over examples."""
    return ratio([(mine.nats - theirs.nats, mine.tokens) for mine, theirs in zip(sums, first, strict=True)])


def row(of: Outcome, more: str) -> str:
    """An arm's row of the table."""
    a_token = [[(one.nats, one.tokens) for one in of.by_mask.get(mask, [])] for mask in MASKS] + [
        [(one.nats, one.tokens) for one in of.everything]
    ]
    means = [f"{ratio(pairs)[0]:.3f}" if pairs else "" for pairs in a_token]
    a_byte, error = ratio([(one.nats, one.bytes) for one in of.everything])
    cells = [of.arm.name, f"{of.parameters / 1e6:.1f}M", *means, f"{a_byte:.4f} ± {error:.4f}", more]
    cells += [f"{of.copying:.2f}", f"{of.speed:.0f}"]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("arms", nargs="+", type=Arm.parse, metavar="NAME=SHARDS[,SIZE=NUMBER…]")
    parser.add_argument("--valid", type=Path, required=True, help="shards with a split `valid` to measure on")
    parser.add_argument("--start", type=Path, help="an exported model that all arms go on from")
    parser.add_argument("--export", type=Path, help="folder to write the arms' models to")
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--steps", type=int, help="steps that each arm takes")
    length.add_argument("--minutes", type=float, help="time that each arm takes: one that is slower learns from less")
    parser.add_argument("--batch-tokens", type=int, default=8192)
    parser.add_argument("--lr", type=float, default=1e-3, help="first rate of AdamW; it falls to zero in a straight line")
    parser.add_argument("--matrix-lr", type=float, default=7e-3, help="first rate of Muon")
    parser.add_argument("--examples", type=int, default=2000, help="validation examples, about")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--jobs", type=int, default=1, help="arms that learn side by side")
    options = parser.parse_args()
    if options.jobs < 1:
        parser.error("--jobs: at least one arm learns at a time")
    first: list[Sum] = []
    rows = []
    for of in outcomes(options):
        more = ""
        if not of.arm.valid:
            first = first or of.everything
            more = "{:+.3f} ± {:.3f}".format(*difference(of.everything, first))
        rows.append(row(of, more))
        print(rows[-1], flush=True)
    print("\n| arm | parameters | " + " | ".join(MASKS) + " | all | nats a byte | from the first | copying | tokens/s |")
    print("|---|---|---|---|---|---|---|---|---|---|", *rows, sep="\n")


if __name__ == "__main__":
    main()
