"""The GLM of 2021 as a PyTorch module: the model that train.py trains and export.py writes.

Takes token ids and their two rows of positions, Part A first; gives logits of chosen rows. Pre-LN
blocks with biases, GELU (tanh), two learned position tables, the head tied to the token embedding.
The Rust server's glm crate computes the same from the exported file.

Shapes in comments: B examples, T tokens, D width, H heads, R rows that carry a loss.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass
class Shape:
    """What decides the size of every tensor; stored in checkpoints and in the GGUF."""

    vocab: int = 8192
    context: int = 512  # tokens of Part A and Part B together
    layers: int = 4
    width: int = 256
    heads: int = 4
    ffn: int = 1024


class Block(nn.Module):
    """x += attention(norm(x)); x += mlp(norm(x))."""

    def __init__(self, shape: Shape):
        super().__init__()
        self.heads = shape.heads
        self.attn_norm = nn.LayerNorm(shape.width, eps=1e-5)
        self.attn_qkv = nn.Linear(shape.width, 3 * shape.width)  # rows: all of Q, all of K, all of V
        self.attn_output = nn.Linear(shape.width, shape.width)
        self.ffn_norm = nn.LayerNorm(shape.width, eps=1e-5)
        self.ffn_up = nn.Linear(shape.width, shape.ffn)
        self.ffn_down = nn.Linear(shape.ffn, shape.width)

    def forward(self, x: Tensor, mask: Tensor, rows: Tensor | None = None) -> Tensor:
        """The next x, (B, T, D); with `rows`, only those of the flattened B·T: (R, D)."""
        B, T, D = x.shape
        q, k, v = (
            part.view(B, T, self.heads, D // self.heads).transpose(1, 2)  # (B, H, T, D/H)
            for part in self.attn_qkv(self.attn_norm(x)).split(D, dim=2)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        mixed = mixed.transpose(1, 2).reshape(B, T, D)
        if rows is not None:
            x, mixed = x.view(B * T, D)[rows], mixed.view(B * T, D)[rows]
        x = x + self.attn_output(mixed)
        return x + self.ffn_down(F.gelu(self.ffn_up(self.ffn_norm(x)), approximate="tanh"))


class GLM(nn.Module):
    """Token and position embeddings, the blocks, a final norm, the tied head."""

    def __init__(self, shape: Shape):
        super().__init__()
        self.shape = shape
        self.token_embd = nn.Embedding(shape.vocab, shape.width)
        self.position_embd = nn.Embedding(shape.context + 1, shape.width)  # row 0: place in Part A
        self.block_position_embd = nn.Embedding(shape.context + 1, shape.width)  # row 1: place in a span
        self.blk = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.output_norm = nn.LayerNorm(shape.width, eps=1e-5)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                # What a block adds to x starts small, so that x does not grow with depth.
                adds = name.endswith(("attn_output.weight", "ffn_down.weight"))
                nn.init.normal_(parameter, std=0.02 / (2 * shape.layers) ** 0.5 if adds else 0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
        self.look_beside()

    @torch.no_grad()
    def look_beside(self, strength: float = 1.0) -> None:
        """Lets the heads of the first block start out looking at the neighbours of a place.

        Both position tables get sinusoids, each in its half of the width, of which a head's Q and
        K can pick any distance. All stays free to learn; but a blank's first token must look at
        what stands before the mask, and a small model needs millions of tokens to find that out.
        """
        width, heads = self.shape.width, self.shape.heads
        half, head = width // 2, width // heads
        waves = sinusoids(self.shape.context + 1, half)
        self.position_embd.weight[:, :half] += waves
        self.block_position_embd.weight[:, half:] += waves
        query, key = self.blk[0].attn_qkv.weight[: 2 * width].view(2, heads, head, width)
        # By place in Part A: the token before (for Part B: before the mask), after, and two before.
        for place, step in zip(range(heads - 1), (-1, 1, -2), strict=False):
            query[place] = strength * shift(step, head, half, width)
            key[place] = strength * shift(0, head, half, width)
        # The last head: the same blank's token before; for its first one the mask itself.
        same, before = shift(0, head // 2, half, width), shift(-1, head // 2, half, width)
        query[-1] = strength * torch.cat([same, before.roll(half, 1)])
        key[-1] = strength * torch.cat([same, same.roll(half, 1)])

    def forward(self, ids: Tensor, positions: Tensor, sep: Tensor, rows: Tensor) -> Tensor:
        """Logits (R, V) of the chosen rows of the flattened B·T.

        ids (B, T); positions (B, 2, T); sep (B,): the length of Part A; rows (R,).
        Only the last block can leave the other rows out, for nothing after it reads them.
        """
        x = (
            self.token_embd(ids)
            + self.position_embd(positions[:, 0])
            + self.block_position_embd(positions[:, 1])
        )
        mask = prefix_mask(sep, ids.shape[1])
        for block in self.blk[:-1]:
            x = block(x, mask)
        x = self.blk[-1](x, mask, rows)
        return F.linear(self.output_norm(x), self.token_embd.weight)


def frequencies(pairs: int) -> Tensor:
    """Radians per token, (pairs,): alternately spread evenly up to π, to tell neighbours apart, and
    by powers down to 1/1000, to tell near from far."""
    even = (torch.arange(pairs // 2) + 0.5) * torch.pi / (pairs // 2)
    far = 1000 ** -torch.linspace(0, 1, pairs - pairs // 2)
    return torch.cat([even, far])


def sinusoids(rows: int, width: int) -> Tensor:
    """(rows, width): cosine and sine of each place side by side, even frequencies first.

    The amplitude gives a row about the length that token embeddings soon have.
    """
    angles = torch.arange(rows)[:, None] * frequencies(width // 2)
    return 0.12 * torch.stack([angles.cos(), angles.sin()], dim=2).reshape(rows, width)


def shift(step: int, rows: int, waves: int, width: int) -> Tensor:
    """(rows, width): a map from the first `rows` numbers of a place's sinusoids, in the first of the
    width, to those of the place `step` further on. It takes frequencies that are spread evenly, so
    that two places agree only if they are the same."""
    even = frequencies(waves // 2)[: waves // 4]
    chosen = torch.linspace(0, waves // 4 - 1, rows // 2).round().long()
    turn = torch.zeros(rows, width)
    for row, pair in enumerate(chosen.tolist()):
        cos, sin = torch.cos(step * even[pair]), torch.sin(step * even[pair])
        turn[2 * row, 2 * pair : 2 * pair + 2] = torch.stack([cos, -sin])
        turn[2 * row + 1, 2 * pair : 2 * pair + 2] = torch.stack([sin, cos])
    return turn


def prefix_mask(sep: Tensor, T: int) -> Tensor:
    """Who sees whom, (B, 1, T, T): Part A sees all of Part A, Part B all of A and itself so far.

    Padding stands after the example, where no token of it looks.
    """
    place = torch.arange(T, device=sep.device)
    causal = place[None, :] <= place[:, None]  # (T, T): row sees column
    in_part_a = place[None, :] < sep[:, None]  # (B, T)
    return (causal[None] | in_part_a[:, None, :])[:, None]
