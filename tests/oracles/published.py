"""What the scripts that run the makers' published code share: sources, random weights, the expected numbers.

Every script takes one argument, a folder with checkouts of the public repositories that its head names (each in a
folder of the repository's name), and writes its cases under `tests/data/parity`. Each case is drawn from the first
seed at which the check is worth something: logits spread by at least 0.5, and a greedy continuation of 64 tokens
without a near tie and with at least 8 different tokens.
"""

import importlib.util
import json
import shutil
import sys
import types
from pathlib import Path

import torch
from safetensors.torch import save_file

PARITY = Path(__file__).parent.parent / "data" / "parity"
STEPS = 64


def sources():
    """The folder with the checkouts, from the command line."""
    if len(sys.argv) != 2:
        sys.exit(f"usage: python {sys.argv[0]} FOLDER-WITH-THE-CHECKOUTS")
    return Path(sys.argv[1]).resolve()


def stand_in(name, **members):
    """A module `name` with these members, instead of one that need not be installed."""
    module = types.ModuleType(name)
    module.__dict__.update(members)
    sys.modules[name] = module
    return module


def load(name, path):
    """The module in the file at `path`, under `name` (dotted for relative imports inside it)."""
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def package(name, folder, files):
    """The modules `files` of `folder` as members of a package, so that they find one another; returns the last."""
    stand_in(name).__path__ = [str(folder)]
    return [load(f"{name}.{file}", folder / f"{file}.py") for file in files][-1]


def draw(shape, spread):
    """Random numbers that f16 holds exactly."""
    return (torch.randn(shape) * spread).half().float()


@torch.no_grad()
def randomize(module, gain=1.6, tables=0.3):
    """Random weights for all of a model: matrices by their input, norms around one, biases and tables."""
    for name, parameter in module.named_parameters():
        if name.endswith("bias"):
            parameter.copy_(draw(parameter.shape, 0.15))
        elif parameter.dim() == 1:
            parameter.copy_((1 + draw(parameter.shape, 0.15)).half().float())
        elif "embedding" in name.lower():
            parameter.copy_(draw(parameter.shape, tables))
        else:
            parameter.copy_(draw(parameter.shape, gain / parameter.shape[1] ** 0.5))
    return module.eval()


def half(state, kind=torch.float16):
    """A state dict as published: every tensor in 16 bits, none sharing memory with another."""
    return {name: tensor.detach().to(kind).clone().contiguous() for name, tensor in state.items()}


def words(count, vocabulary, first=8):
    """Plain tokens: no id under `first`, which the examples use as marks."""
    return torch.randint(first, vocabulary, (count,)).tolist()


class Example:
    """Token ids, their two rows of positions, and how many of the first tokens see one another."""

    def __init__(self, ids, rows, prefix, advance):
        assert len(ids) >= 80 and all(len(row) == len(ids) for row in rows)
        self.ids, self.rows, self.prefix, self.advance = ids, rows, prefix, advance

    @staticmethod
    def causal(length, vocabulary):
        """A plain text: positions count, nothing is seen before its time."""
        return Example(words(length, vocabulary), [list(range(length)), [0] * length], 0, "place")


class Unfit(Exception):
    """This seed gives numbers that would check little."""


@torch.no_grad()
def expect(forward, example):
    """All logits of the example and the 64 tokens after it, each from a fresh pass over the whole sequence.

    `forward(ids, rows, prefix)` gives the logits `[T, V]`. `example.advance` says which row of positions counts on:
    `place` row 0, `span` row 1, `still` none.
    """
    ids, rows = list(example.ids), [list(row) for row in example.rows]
    logits = forward(ids, rows, example.prefix).float()
    if not torch.isfinite(logits).all() or logits.std() < 0.5:
        raise Unfit(f"logits spread by {logits.std():.2f}")
    largest, last, greedy = logits.abs().max(), logits[-1], []
    for _ in range(STEPS):
        best, second = last.topk(2).values
        if best - second <= 1.5e-3 * largest:
            raise Unfit("a near tie")
        greedy.append(int(last.argmax()))
        ids.append(greedy[-1])
        rows[0].append(rows[0][-1] + (example.advance == "place"))
        rows[1].append(rows[1][-1] + (example.advance == "span"))
        last = forward(ids, rows, example.prefix)[-1].float()
    if len(set(greedy)) < 8:
        raise Unfit(f"only {len(set(greedy))} different tokens")
    return logits, greedy


def case(name, seed, build):
    """Finds a seed from `seed` on, and makes the case `name` of what `build(seed)` gives: forward, example, write.

    `write(folder)` stores the maker's files there. Returns the folder.
    """
    reasons = set()
    for tried in range(seed, seed + 400):
        torch.manual_seed(tried)
        forward, example, write = build(tried)
        try:
            logits, greedy = expect(forward, example)
        except Unfit as why:
            reasons.add(str(why))
            continue
        break
    else:
        sys.exit(f"{name}: no seed from {seed} on will do: {', '.join(sorted(reasons)[:9])}")
    folder = PARITY / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write(folder)
    numbers = {
        "ids": torch.tensor(example.ids),
        "positions": torch.tensor(example.rows),
        "prefix": torch.tensor([example.prefix]),
        "logits": logits.contiguous(),
        "greedy": torch.tensor(greedy),
    }
    save_file(numbers, folder / "expected.safetensors", {"advance": example.advance, "seed": str(tried)})
    size = sum(file.stat().st_size for file in folder.rglob("*")) // 1024
    print(
        f"{name}: seed {tried}, {len(example.ids)} tokens, logits up to {logits.abs().max():.2f} spread by "
        f"{logits.std():.2f}, {len(set(greedy))} different tokens in the continuation, {size} KiB"
    )
    return folder


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2) + "\n")


def save_in_parts(folder, state, parts, stem="pytorch_model", total=None):
    """`pytorch_model-00001-of-0000N.bin` … and their index, as transformers publishes a large model."""
    names = list(state)
    cut = -(-len(names) // parts)
    weight_map = {}
    for part in range(parts):
        file = f"{stem}-{part + 1:05}-of-{parts:05}.bin"
        some = {name: state[name] for name in names[part * cut : (part + 1) * cut]}
        torch.save(some, folder / file)
        weight_map |= dict.fromkeys(some, file)
    size = sum(tensor.numel() * tensor.element_size() for tensor in state.values())
    index = {"metadata": {"total_size": size}, "weight_map": dict(sorted(weight_map.items()))}
    write_json(folder / f"{stem}.bin.index.json", index)
