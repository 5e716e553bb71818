"""Reads the token shards that `infill shards` writes and cuts them into batches.

Takes a folder of SPLIT-NNN.bin.gz files; gives batches of tensors in an order that depends on the
seed and the position alone, so that a run that was cut off goes on with the batch it would have
seen. Each record, u16 little-endian: n, a, ids[n], row 0[n], row 1[n], targets[n - a]; a target of
65535 is none.
"""

import gzip
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

POOL = 48  # batches that are filled from one pool of examples, sorted by length
NONE = 65535  # a target that carries no loss
ROUND = 32  # lengths of batches are multiples of this: few shapes for the kernels to prepare


@dataclass
class Batch:
    """B examples, each padded to T tokens, with R tokens to predict."""

    ids: Tensor  # (B, T)
    positions: Tensor  # (B, 2, T)
    sep: Tensor  # (B,)
    rows: Tensor  # (R,) places in the flattened B·T
    targets: Tensor  # (R,)
    tokens: int  # without padding

    def to(self, device: torch.device) -> tuple[Tensor, ...]:
        """The arguments of GLM.forward and the targets, on a device."""
        return tuple(
            part.to(device, non_blocking=True)
            for part in (self.ids, self.positions, self.sep, self.rows, self.targets)
        )


class Shards:
    """One split: all its records, by index."""

    def __init__(self, folder: Path, split: str):
        paths = sorted(folder.glob(f"{split}-*.bin.gz"))
        self.data = [np.frombuffer(gzip.decompress(path.read_bytes()), dtype="<u2") for path in paths]
        if not self.data:
            raise FileNotFoundError(f"{folder} holds no {split}-*.bin.gz: write them with `infill shards`")
        where, lengths = [], []
        for shard, data in enumerate(self.data):
            at = 0
            while at < len(data):
                n, a = int(data[at]), int(data[at + 1])
                where.append((shard, at))
                lengths.append(n)
                at += 2 + 4 * n - a
        self.where = where
        self.lengths = np.array(lengths)

    def __len__(self) -> int:
        return len(self.where)

    def length(self, index: int) -> int:
        """Tokens of one example."""
        return int(self.lengths[index])

    def record(self, index: int) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
        """(a, ids (n,), positions (2, n), targets (n - a,)) of one example."""
        shard, at = self.where[index]
        data = self.data[shard]
        n, a = int(data[at]), int(data[at + 1])
        body = data[at + 2 : at + 2 + 4 * n - a].astype(np.int64)
        return a, body[:n], body[n : 3 * n].reshape(2, n), body[3 * n :]

    def batch(self, indices: list[int]) -> Batch:
        records = [self.record(index) for index in indices]
        longest = max(len(ids) for _, ids, _, _ in records)
        T = -(-longest // ROUND) * ROUND
        ids = np.zeros((len(records), T), np.int64)
        positions = np.zeros((len(records), 2, T), np.int64)
        rows = []
        for place, (a, own, own_positions, targets) in enumerate(records):
            ids[place, : len(own)] = own
            positions[place, :, : len(own)] = own_positions
            rows.append(place * T + np.arange(a, len(own))[targets != NONE])
        return Batch(
            torch.from_numpy(ids),
            torch.from_numpy(positions),
            torch.tensor([record[0] for record in records]),
            torch.from_numpy(np.concatenate(rows)),
            torch.from_numpy(np.concatenate([targets[targets != NONE] for _, _, _, targets in records])),
            tokens=sum(len(own) for _, own, _, _ in records),
        )

    def batches(self, tokens: int, seed: int, start: int = 0, every: int = 1) -> Iterator[Batch]:
        """Batches of about `tokens` tokens, padding included, for ever: number `start` and from
        there each `every`-th.

        Examples of similar length share a batch, or padding would be a good part of the work:
        pools of the shuffled examples are sorted by length, cut, and their batches shuffled.
        """
        epoch, skip = 0, start
        while True:
            order = np.random.default_rng([seed, epoch]).permutation(len(self))
            filled = np.cumsum(self.lengths[order]) // (tokens * POOL)
            for pool in range(int(filled[-1]) + 1):
                chosen = order[filled == pool]
                chosen = chosen[np.argsort(self.lengths[chosen], kind="stable")]
                groups = self.groups(chosen, tokens)
                random.Random(f"{seed} {epoch} {pool}").shuffle(groups)
                for group in groups:
                    if skip:
                        skip -= 1
                    else:
                        skip = every - 1
                        yield self.batch(group)
            epoch += 1

    def groups(self, indices: np.ndarray, tokens: int) -> list[list[int]]:
        """Runs of the indices, sorted by length, that fill a batch each."""
        groups: list[list[int]] = [[]]
        for index in indices:
            if (
                groups[-1]
                and (len(groups[-1]) + 1) * (-(-int(self.lengths[index]) // ROUND) * ROUND) > tokens
            ):
                groups.append([])
            groups[-1].append(int(index))
        # A batch of one, left over, would be one more shape for a compiler to prepare.
        if len(groups) > 1 and len(groups[-1]) == 1:
            last = groups.pop()
            groups[-1] += last
        return groups
