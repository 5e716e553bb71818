"""What the oracle scripts share: random weights, the greedy continuation and the file `expected.safetensors`.

Weights are rounded to bf16 before the reference runs in f32, so that the numbers belong to exactly the stored weights.
"""

import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file

PARITY = Path(__file__).resolve().parent.parent / "data" / "parity"
LENGTH = 90
STEPS = 64
# The best two logits of a greedy step differ by more than this part of the largest logit.
MARGIN = 1e-3


class NearTie(Exception):
    """A greedy step whose best two tokens are too close to be compared with another implementation."""


def folder(case):
    """An empty folder for the case."""
    path = PARITY / case
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


@torch.no_grad()
def randomize(model, seed, dtype=torch.bfloat16):
    """Draws every parameter and router bias; nothing stays one or zero, so that a forgotten norm or bias shows."""
    random = torch.Generator().manual_seed(seed)
    named = list(model.named_parameters())
    named += [(name, buffer) for name, buffer in model.named_buffers() if name.endswith("e_score_correction_bias")]
    for name, parameter in named:
        values = torch.randn(parameter.shape, generator=random)
        if name.endswith("e_score_correction_bias"):
            values = 0.2 * values
        elif name.endswith("bias"):
            values = 0.3 * values
        elif parameter.dim() == 1:
            values = 1.0 + 0.25 * values
        elif "embed" not in name:
            gain = 2.0 if "lm_head" in name or "q_proj" in name or "k_proj" in name or "gate.weight" in name else 1.3
            values = values * gain / parameter.shape[-1] ** 0.5
        parameter.copy_(values.to(dtype).float())


def sentence(seed, vocabulary, length=LENGTH):
    """Random token ids, some of them repeated from earlier."""
    random = torch.Generator().manual_seed(1000 + seed)
    return torch.randint(0, vocabulary, (length,), generator=random)


@torch.no_grad()
def continuation(logits_of, ids, steps=STEPS, margin=MARGIN):
    """Greedy tokens, each from a fresh pass over the whole sequence, and the differences of their best two logits."""
    ids, tokens, margins = ids.clone(), [], []
    for _ in range(steps):
        last = logits_of(ids)[-1]
        best = last.topk(2)
        margins.append(float(best.values[0] - best.values[1]))
        if margins[-1] <= margin * float(last.abs().max()):
            raise NearTie
        tokens.append(int(best.indices[0]))
        ids = torch.cat([ids, best.indices[:1]])
    return torch.tensor(tokens), torch.tensor(margins)


def expected(logits_of, ids):
    """The tensors of `expected.safetensors` for a causal model with one row of positions."""
    logits = logits_of(ids)
    assert logits.std() >= 0.5, "flat logits hide errors"
    greedy, _ = continuation(logits_of, ids)
    assert len(set(greedy.tolist())) > 8, "a continuation that repeats itself tests little"
    rows = torch.stack([torch.arange(len(ids)), torch.zeros(len(ids), dtype=torch.int64)])
    return dict(ids=ids, positions=rows, logits=logits, greedy=greedy, prefix=torch.tensor([0]))


def save_expected(path, tensors, oracle):
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(tensors, path / "expected.safetensors", metadata={"advance": "place", "oracle": oracle})


def runner(model):
    """All rows of logits of a `transformers` model for one sequence, without a cache."""

    @torch.no_grad()
    def logits_of(ids):
        return model(input_ids=ids[None], use_cache=False).logits[0].float()

    return logits_of


def draw(build, vocabulary, first_seed):
    """The first seed from `first_seed` whose weights give a continuation without near ties: model, numbers."""
    for seed in range(first_seed, first_seed + 200):
        model = build().float().eval()
        randomize(model, seed)
        try:
            return model, expected(runner(model), sentence(seed, vocabulary))
        except (NearTie, AssertionError):
            continue
    raise SystemExit("no seed gives a clear continuation")


def report(case, path, tensors, again):
    """Compares the numbers with those of the saved files, read again by the reference, and prints what there is."""
    error = float((tensors["logits"] - again).abs().max() / tensors["logits"].abs().max())
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    different = len(set(tensors["greedy"].tolist()))
    spread = float(tensors["logits"].std())
    print(f"{case}: {size} bytes, logits' spread {spread:.2f}, {different} different tokens, read again {error:.1e}")
    assert error < 1e-5, case
