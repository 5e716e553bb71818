"""Trains the GLM on token shards for a number of minutes, on the GPU if there is one, else the CPU.

Takes the shards of `infill shards` and a folder for the run; gives checkpoints, train.csv,
valid.csv and loss.png there. Started again on the same folder, it goes on from the last
checkpoint exactly: weights, optimizers, place in the data and elapsed time. With `--start` a
first checkpoint is not needed: it goes on from a file of export.py, whose optimizers are gone.

    python train.py --shards SHARDS --out RUN --minutes 75

Several processes share the work under `torchrun --nproc-per-node N train.py …`, each with batches
of its own. On a CPU that others use too, N processes of one thread each lose less time waiting
for one another (once a step) than N threads do (in every operation).
"""

import argparse
import csv
import os
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, distributed

from model import GLM, Shape
from muon import Muon
from shards import Batch, Shards

MASKS = ("[MASK]", "[sMASK]", "[gMASK]")  # their ids are 0, 1, 2: the first of tokenizer.SPECIAL
ANSWER = "answer"  # what validation calls examples without Part A
BLANKS_PER_MASK = 48  # validation examples of each mask token
WARM_UP = 20  # steps
NOTE_EVERY = 20  # steps


def optimizers(model: GLM, lr: float, matrix_lr: float) -> list[torch.optim.Optimizer]:
    """Muon for the blocks' matrices, AdamW for the rest; weight decay on matrices and embeddings."""
    by_shape = defaultdict(list)
    tokens, plain = [], []
    for name, parameter in model.named_parameters():
        if name.startswith("blk.") and parameter.dim() == 2:
            parts = model.shape.qkv if "attn_qkv" in name else 2 * (model.shape.ffn,) if "ffn_gate_up" in name else ()
            by_shape[tuple(parameter.shape), parts].append(parameter)
        else:
            (plain if parameter.dim() == 1 else tokens).append(parameter)
    matrices = [{"params": group, "parts": parts} for (_, parts), group in by_shape.items()]
    rest = [{"params": tokens, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}]
    chosen = [
        Muon(matrices, lr=matrix_lr, weight_decay=0.1),
        torch.optim.AdamW(rest, lr=lr, betas=(0.9, 0.95), eps=1e-8),
    ]
    for optimizer in chosen:
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return chosen


def set_rates(chosen: list[torch.optim.Optimizer], progress: float, step: int, decay: float) -> None:
    """A short warm-up to each peak (`step` counts from fresh optimizers), level, then straight down to zero in the last `decay` of the run."""
    share = min(1.0, (step + 1) / WARM_UP) * min(1.0, max(0.0, 1 - progress) / decay)
    for optimizer in chosen:
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * share


def loss_of(model: Callable[..., Tensor], batch: Batch, device: torch.device) -> Tensor:
    """Mean cross entropy of a batch's targets, nats per token."""
    *inputs, targets = batch.to(device)
    with torch.autocast(device.type, dtype=torch.bfloat16):
        return F.cross_entropy(model(*inputs).float(), targets)


def average_gradients(model: GLM, elapsed: float, device: torch.device) -> float:
    """Gives all processes the mean of their gradients, and one clock: the mean elapsed time."""
    if not distributed.is_initialized():
        return elapsed
    gradients = [parameter.grad for parameter in model.parameters()]
    flat = torch.cat(
        [*(gradient.flatten() for gradient in gradients), torch.tensor([elapsed], device=device)]
    )
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    parts = flat[:-1].split([gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))
    return flat[-1].item()


class Validation:
    """The same few examples of each mask token, told apart by the first mask in Part A; and of answers."""

    def __init__(self, split: Shards, batch_tokens: int):
        indices: dict[str, list[int]] = {mask: [] for mask in (*MASKS, ANSWER)}
        stride = max(1, len(split) // (40 * BLANKS_PER_MASK))
        for index in range(0, len(split), stride):
            a, ids, _, _ = split.record(index)
            masks = [MASKS[token] for token in ids[:a] if token < len(MASKS)]
            kind = indices[masks[0] if masks else ANSWER]
            if len(kind) < BLANKS_PER_MASK:
                kind.append(index)
        self.batches = {
            mask: [split.batch(group) for group in split.groups(sorted(own, key=split.length), batch_tokens)]
            for mask, own in indices.items()
            if own
        }

    @torch.no_grad()
    def losses(self, model: GLM, device: torch.device) -> dict[str, float]:
        """Mean loss (nats per token) for each mask token."""
        losses = {}
        for mask, batches in self.batches.items():
            sums = [loss_of(model, batch, device).item() * len(batch.targets) for batch in batches]
            losses[mask] = sum(sums) / sum(len(batch.targets) for batch in batches)
        return losses


class Folder:
    """Where a run keeps its checkpoint and its curves."""

    def __init__(self, path: Path):
        self.path = path
        path.mkdir(parents=True, exist_ok=True)

    def load(self, device: torch.device) -> dict | None:
        path = self.path / "checkpoint.pt"
        return torch.load(path, map_location=device, weights_only=True) if path.exists() else None

    def save(self, checkpoint: dict) -> None:
        """Written beside the old one first: a run that dies while writing loses nothing."""
        fresh = self.path / "checkpoint.new"
        torch.save(checkpoint, fresh)
        fresh.rename(self.path / "checkpoint.pt")

    def note(self, name: str, row: dict) -> None:
        path = self.path / f"{name}.csv"
        opens = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, row)
            if opens:
                writer.writeheader()
            writer.writerow(row)
        print(" ".join(f"{key} {value}" for key, value in row.items()), flush=True)

    def forget_after(self, step: int) -> None:
        """Takes out of the tables what a run that was cut off noted after its last checkpoint."""
        for path in self.path.glob("*.csv"):
            rows = list(csv.reader(path.open(newline="")))
            with path.open("w", newline="") as file:
                csv.writer(file).writerows(rows[:1] + [row for row in rows[1:] if int(row[0]) <= step])

    def draw(self) -> None:
        """loss.png from the two tables, where matplotlib is installed."""
        try:
            from matplotlib import pyplot
        except ImportError:
            return
        figure, axes = pyplot.subplots(figsize=(8, 5))
        for name in ("train", "valid"):
            if not (path := self.path / f"{name}.csv").exists():
                continue
            rows = list(csv.DictReader(path.open()))
            tokens = [float(row["tokens"]) / 1e6 for row in rows]
            for column in ("loss", *MASKS, ANSWER):
                if column in rows[0]:
                    losses = [float(row[column]) for row in rows]
                    axes.plot(tokens, losses, label=f"{name} {column}", linewidth=1)
        axes.set(xlabel="million tokens", ylabel="nats per token", ylim=(1, 7))
        axes.grid(alpha=0.3)
        axes.legend()
        figure.savefig(self.path / "loss.png", dpi=110)
        pyplot.close(figure)


class Run:
    """A model in training: all that a checkpoint holds, and one step."""

    def __init__(self, options: argparse.Namespace, device: torch.device):
        torch.manual_seed(options.seed)
        self.options, self.device = options, device
        self.shape = Shape(**{name: getattr(options, name) for name in asdict(Shape())})
        self.model = GLM(self.shape).to(device)
        self.optimizers = optimizers(self.model, options.lr, options.matrix_lr)
        # `first` is the step with fresh optimizers; `batches` counts those of all processes; `elapsed` is in seconds.
        self.state = {"first": 0, "step": 0, "batches": 0, "elapsed": 0.0, "tokens": 0, "loss_tokens": 0}
        self.forward = torch.compile(self.model, dynamic=True) if options.compile else self.model

    def checkpoint(self, losses: dict[str, float]) -> dict:
        return {
            "shape": asdict(self.shape),
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "state": self.state,
            "shards": str(self.options.shards),
            "valid": losses,
        }

    def resume(self, saved: dict) -> None:
        """Goes on from a checkpoint, with the peak rates of today's options."""
        self.model.load_state_dict(saved["model"])
        for optimizer, state in zip(self.optimizers, saved["optimizers"], strict=True):
            peaks = [group["peak"] for group in optimizer.param_groups]
            optimizer.load_state_dict(state)
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["peak"] = peak
        self.state = saved["state"]
        # Other shards start at their first batch.
        if saved["shards"] != str(self.options.shards):
            self.state["batches"] = 0

    def start(self, path: Path) -> None:
        """Goes on from an exported model, as far as its file tells; minutes and steps count on."""
        weights, facts = exported(path)
        self.model.load_state_dict(weights)
        for name in ("step", "tokens", "loss_tokens"):
            self.state[name] = facts[name]
        self.state["first"] = self.state["step"]
        self.state["elapsed"] = 60 * facts["minutes"]

    def progress(self) -> float:
        """How much of the run is done, 0 to 1."""
        if self.options.steps:
            return self.state["step"] / self.options.steps
        return self.state["elapsed"] / (60 * self.options.minutes)

    def step(self, batch: Batch, clock: float, world: int) -> Tensor:
        """Learns from one batch in each process; `clock` is the elapsed time. Gives the loss."""
        fresh = self.state["step"] - self.state["first"]
        set_rates(self.optimizers, self.progress(), fresh, self.options.decay)
        loss = loss_of(self.forward, batch, self.device)
        loss.backward()
        self.state["elapsed"] = average_gradients(self.model, clock, self.device)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.state["step"] += 1
        self.state["batches"] += world
        # The other processes' batches are as large, near enough.
        self.state["tokens"] += batch.tokens * world
        self.state["loss_tokens"] += len(batch.targets) * world
        return loss.detach()


def exported(path: Path) -> tuple[dict[str, Tensor], dict[str, int | float]]:
    """The weights of a file of export.py, and what it tells of its run."""
    from gguf import GGUFReader, dequantize  # not needed by those who begin at random weights

    reader = GGUFReader(path)
    weights = {
        tensor.name: torch.from_numpy(dequantize(tensor.data, tensor.tensor_type).reshape(*tensor.shape[::-1]))
        for tensor in reader.tensors
    }
    field = "infill.training.{}".format
    names = {"step": "steps", "tokens": "tokens", "loss_tokens": "loss_tokens", "minutes": "minutes"}
    try:
        return weights, {name: reader.fields[field(key)].contents() for name, key in names.items()}
    except KeyError as missing:
        raise SystemExit(f"{path} does not tell of its training: {missing} is missing") from None


def add_shape(parser: argparse.ArgumentParser) -> None:
    """Makes an option of each field of a Shape."""
    for name, default in asdict(Shape()).items():
        parser.add_argument(f"--{name}", type=int, default=default)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--shards", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint and the curves")
    parser.add_argument("--start", type=Path, help="an exported model to go on from, if OUT has no checkpoint")
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--minutes", type=float, help="time to train for; the rates reach zero at its end")
    length.add_argument("--steps", type=int, help="steps to train for, instead of a time")
    parser.add_argument("--stop-at", type=int, help="stop after this step with a checkpoint, to go on later")
    parser.add_argument("--batch-tokens", type=int, default=4096, help="tokens of a batch, in each process")
    parser.add_argument("--lr", type=float, default=3e-3, help="peak rate of AdamW")
    parser.add_argument("--matrix-lr", type=float, default=0.02, help="peak rate of Muon")
    parser.add_argument("--decay", type=float, default=0.6, help="last share of the run, in which rates fall")
    parser.add_argument("--valid", default="valid", help="split to measure losses on")
    parser.add_argument("--save-minutes", type=float, default=5, help="time between checkpoints")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--compile", action="store_true", help="let torch.compile fuse small operations")
    add_shape(parser)
    return parser.parse_args()


def train(options: argparse.Namespace, rank: int, world: int) -> None:
    """Runs to the end of the time or steps; the process of rank 0 speaks for all, which hold the same."""
    device = torch.device(options.device, rank if options.device == "cuda" else None)
    if world > 1:
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    torch.set_float32_matmul_precision("high")
    folder, run = Folder(options.out), Run(options, device)
    if saved := folder.load(device):
        run.resume(saved)
    elif options.start:
        run.start(options.start)
    state = run.state
    if saved and rank == 0:
        folder.forget_after(state["step"])
    data = Shards(options.shards, "train")
    validation = Validation(Shards(options.shards, options.valid), options.batch_tokens)

    def save() -> None:
        losses = validation.losses(run.model, device)
        place = {"step": state["step"], "minutes": round(state["elapsed"] / 60, 2), "tokens": state["tokens"]}
        folder.note("valid", place | {mask: round(loss, 4) for mask, loss in losses.items()})
        folder.save(run.checkpoint(losses))
        folder.draw()

    recent: list[tuple[Tensor, int]] = []
    began = time.monotonic() - state["elapsed"]
    noted = saved_at = time.monotonic()
    start = state["batches"] + rank
    for batch in data.batches(options.batch_tokens, options.seed, start, every=world):
        if run.progress() >= 1 or state["step"] == options.stop_at:
            break
        loss = run.step(batch, time.monotonic() - began, world)
        if rank:
            continue
        recent.append((loss, len(batch.targets)))
        now = time.monotonic()
        if state["step"] % NOTE_EVERY == 0:
            mean = sum(loss.item() * count for loss, count in recent) / sum(count for _, count in recent)
            row = {name: state[name] for name in ("step", "tokens", "loss_tokens")}
            row |= {"minutes": round(state["elapsed"] / 60, 2), "loss": round(mean, 4)}
            row["lr"] = round(run.optimizers[1].param_groups[0]["lr"], 6)
            row["steps_per_second"] = round(NOTE_EVERY / (now - noted), 3)
            folder.note("train", row)
            recent, noted = [], now
        if now - saved_at > 60 * options.save_minutes:
            save()
            saved_at = noted = time.monotonic()
    if rank == 0:
        save()
    if world > 1:
        distributed.destroy_process_group()


if __name__ == "__main__":
    train(arguments(), rank=int(os.environ.get("RANK", 0)), world=int(os.environ.get("WORLD_SIZE", 1)))
