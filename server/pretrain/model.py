"""Infill's GLM as a PyTorch module: the model that train.py trains and export.py writes.

Takes token ids and their two rows of positions, Part A first; gives logits of chosen rows. GLM's
blank infilling with the parts that its later members settled on: RMS norms before each half of a
block, a gated MLP, queries and keys that are normed a head and rotated by both rows of positions
(ChatGLM-6B's 2-D rotary embedding), no biases, a head that is the token embedding. Parameters
carry the names that the glm crate reads.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPSILON = 1e-5
ROPE_BASE = 10_000.0
FAST = 3  # pairs of each half of a head by which heads that look back tell places apart: the fastest turning


@dataclass(frozen=True)
class Shape:
    """Sizes of a model; `context` is the most tokens that it is trained on at once. As they are, those of the built-in one."""

    vocab: int = 8192
    context: int = 1024
    layers: int = 2
    width: int = 512
    heads: int = 8
    kv_heads: int = 4  # heads of keys and values, each for as many heads of queries; 0: as many
    ffn: int = 768
    near: int = 128  # tokens before the first mask from which on Part A is read both ways; 0: from the first on

    @property
    def head(self) -> int:
        """Length of one head's query, key or value."""
        return self.width // self.heads

    @property
    def qkv(self) -> tuple[int, int, int]:
        """Lengths of all queries, of all keys, of all values of a token."""
        keys = (self.kv_heads or self.heads) * self.head
        return self.width, keys, keys


class Block(nn.Module):
    """x += attention(norm(x)); x += mlp(norm(x))."""

    def __init__(self, shape: Shape):
        super().__init__()
        self.shape = shape
        self.attn_norm = nn.RMSNorm(shape.width, eps=EPSILON)
        self.attn_qkv = nn.Linear(shape.width, sum(shape.qkv), bias=False)  # rows: all of Q, of K, of V
        self.attn_q_norm = nn.RMSNorm(shape.head, eps=EPSILON)
        self.attn_k_norm = nn.RMSNorm(shape.head, eps=EPSILON)
        self.attn_output = nn.Linear(shape.width, shape.width, bias=False)
        self.ffn_norm = nn.RMSNorm(shape.width, eps=EPSILON)
        self.ffn_gate_up = nn.Linear(shape.width, 2 * shape.ffn, bias=False)  # rows: all of gate, of up
        self.ffn_down = nn.Linear(shape.ffn, shape.width, bias=False)

    def forward(self, x: Tensor, turns: tuple[Tensor, Tensor], mask: Tensor, rows: Tensor | None) -> Tensor:
        """The next x, (B, T, D); with `rows`, only those of the flattened B·T: (R, D)."""
        B, T, D = x.shape
        q, k, v = (
            part.unflatten(2, (-1, self.shape.head)).transpose(1, 2)  # (B, H, T, D/H), of keys and values fewer heads
            for part in self.attn_qkv(self.attn_norm(x)).split(self.shape.qkv, dim=2)
        )
        q, k = turned(self.attn_q_norm(q), turns), turned(self.attn_k_norm(k), turns)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=bool(self.shape.kv_heads))
        mixed = mixed.transpose(1, 2).reshape(B, T, D)
        if rows is not None:
            x, mixed = x.view(B * T, D)[rows], mixed.view(B * T, D)[rows]
        x = x + self.attn_output(mixed)
        gate, up = self.ffn_gate_up(self.ffn_norm(x)).chunk(2, dim=-1)
        return x + self.ffn_down(F.silu(gate) * up)


class GLM(nn.Module):
    """The token embedding, the blocks, a final norm, the tied head."""

    def __init__(self, shape: Shape):
        super().__init__()
        self.shape = shape
        self.token_embd = nn.Embedding(shape.vocab, shape.width)
        self.blk = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.output_norm = nn.RMSNorm(shape.width, eps=EPSILON)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                # What a block adds to x starts small, so that x does not grow with depth.
                adds = name.endswith(("attn_output.weight", "ffn_down.weight"))
                nn.init.normal_(parameter, std=0.02 / (2 * shape.layers) ** 0.5 if adds else 0.02)
        self.look_back()

    @torch.no_grad()
    def look_back(self) -> None:
        """Makes the heads of the first block's first keys look at the token before, the one before that, and so on.

        To go on as the text did after the same token earlier, a later block needs such a head below it ("induction
        heads", Olsson et al., "In-context learning and induction heads", 2022). Gradients may need millions of tokens
        to find one, so that the model begins with some, which it may change: their queries and keys come from a number
        that is the same in all embeddings (softmax does not see it), and the query is turned by as many places as the
        head looks back, in both rows.
        """
        shape, block = self.shape, self.blk[0]
        quarter = shape.head // 4
        pairs = torch.arange(quarter)[:FAST]
        frequencies = ROPE_BASE ** (-pairs / quarter)
        first = 2 * quarter * torch.arange(2)[:, None] + pairs  # the pairs' first numbers in both halves
        self.token_embd.weight[:, 0] = 8 * 0.02  # far above the others, so that they hardly turn the heads
        queries, keys, _ = block.attn_qkv.weight.split(shape.qkv)
        heads = queries.unflatten(0, (shape.heads, shape.head))[: shape.width // shape.qkv[1]]
        heads.mul_(0.1)
        for head, places in zip(heads, range(1, len(heads) + 1), strict=True):
            head[first, 0] = (places * frequencies).cos()
            head[first + quarter, 0] = -(places * frequencies).sin()
        keys[: shape.head].mul_(0.1)
        keys[first, 0] = 1
        for norm in (block.attn_q_norm.weight, block.attn_k_norm.weight):
            norm[first] = norm[first + quarter] = 2  # sharp enough: nine tenths of the attention

    def forward(self, ids: Tensor, positions: Tensor, sep: Tensor, rows: Tensor) -> Tensor:
        """Logits (R, V) of the chosen rows of the flattened B·T.

        ids (B, T); positions (B, 2, T); sep (B,): the length of Part A; rows (R,): places in Part B.
        Only the last block can leave the other rows out, for nothing after it reads them.
        """
        x = self.token_embd(ids)
        turns = angles(positions, self.shape.head)
        mask = prefix_mask(sep, ids.shape[1])
        if self.shape.near:
            mask &= ~far_mask(first_masks(positions, sep) - self.shape.near, ids.shape[1])
        for block in self.blk[:-1]:
            x = block(x, turns, mask, None)
        x = self.blk[-1](x, turns, mask, rows)
        return F.linear(self.output_norm(x), self.token_embd.weight)


def angles(positions: Tensor, head: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines, (B, 1, T, 2, head/4): one half of a head turns by row 0, the other by row 1."""
    pairs = head // 4
    frequencies = ROPE_BASE ** (-torch.arange(pairs, device=positions.device) / pairs)
    turns = positions.mT[:, None, :, :, None] * frequencies
    return turns.cos(), turns.sin()


def turned(x: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
    """x (B, H, T, D/H) with number i of each half of a head rotated together with number i + D/H/4."""
    cos, sin = (part.to(x.dtype) for part in turns)
    first, second = x.unflatten(3, (2, 2, -1)).unbind(4)  # (B, H, T, 2, D/H/4) each
    pairs = torch.stack((first * cos - second * sin, second * cos + first * sin), dim=4)
    return pairs.flatten(3)


def prefix_mask(sep: Tensor, T: int) -> Tensor:
    """Who sees whom, (B, 1, T, T): Part A sees all of Part A, Part B all of A and itself so far.

    Padding stands after the example, where no token of it looks.
    """
    place = torch.arange(T, device=sep.device)
    causal = place[None, :] <= place[:, None]  # (T, T): row sees column
    in_part_a = place[None, :] < sep[:, None]  # (B, T)
    return (causal[None] | in_part_a[:, None, :])[:, None]


def first_masks(positions: Tensor, sep: Tensor) -> Tensor:
    """The index of each example's first mask token, (B,): the least place of its Part B; 0 without Part A."""
    T = positions.shape[2]
    place = torch.arange(T, device=sep.device)
    row_0, row_1 = positions.unbind(1)
    # Padding stands in row 1 where Part A does.
    in_part_b = (place >= sep[:, None]) & (row_1 > 0)
    return row_0.where(in_part_b, T).amin(1).minimum(sep)


def far_mask(far: Tensor, T: int) -> Tensor:
    """What a token of a far zone, the first (B,) tokens, does not see though it is in Part A, (B, 1, T, T): what comes later."""
    place = torch.arange(T, device=far.device)
    later = place[:, None] < place[None, :]  # (T, T): row comes before column
    return ((place < far[:, None])[:, :, None] & later)[:, None]
