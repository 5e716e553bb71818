"""How much a text's own words are to count beside a model: fits the weights of the server's `Recall`.

Takes a run of train.py, its tokenizer and a folder of files that it has not seen; cuts lines short, asks the model
for the rest, counts how the last tokens went on elsewhere in the whole file (engine/src/recall.rs does the same), finds
the lines that are most like the one cut short (infill/src/complete/alike.rs does), and looks for the weights under which
the truth is likeliest. Every second blank is kept to tell how much it helps.

    python recall.py --run RUN --tokenizer tokenizer.json --corpus CORPUS/valid
"""

import argparse
import math
import random
from collections import Counter
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

import torch
from tokenizers import Tokenizer
from torch import Tensor

from model import GLM, Shape

ORDERS = 12  # most tokens that are compared before a place
BYTES = 32 << 10  # of text on each side of the blank
ANSWER = 40  # most tokens of an answer
TAGS = {
    ".c": "// language: C",
    ".cpp": "// language: C++",
    ".go": "// language: Go",
    ".java": "// language: Java",
    ".js": "// language: JavaScript",
    ".py": "# language: Python",
    ".rs": "// language: Rust",
    ".ts": "// language: TypeScript",
}
STEPS = 300
# Where the weights of the orders begin, and those of lines, in the order of glm's LineWeights.
RECALL = (-1.0, 4.0, 0.5)
COPIES = (-5.0, 0.5, 0.5, 1.0, 1.0, -6.0, 2.0, 2.0, 1.0)
LINES = 24  # lines that are kept of a file, of which the likeliest MOST count
MOST = 8
LONGEST = 400  # a longer line is data


class Alike(NamedTuple):
    """A line like the one cut short."""

    rest: str
    length: float  # of what is the same before the blank: bytes and one, to the base 2
    whole: float  # 1 if that is all of both lines
    earlier: float  # how alike the lines above both are
    later: float  # how alike the lines below both are


class Blanks:
    """Ends of lines, cut off behind their indentation or behind a mark."""

    def __init__(self, corpus: Path, tokenizer: Tokenizer, seed: int):
        self.tokenizer = tokenizer
        self.random = random.Random(seed)
        self.files = {tag: sorted(corpus.rglob(f"*{suffix}")) for suffix, tag in TAGS.items()}

    def encode(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def draw(self, tag: str) -> tuple[list[int], list[int], list[int], bool, list[Alike]] | None:
        """Ids before a blank, of what is missing, and behind it; whether its line has begun, and lines like it."""
        text = self.random.choice(self.files[tag]).read_text(encoding="utf-8", errors="replace")
        lines = text.splitlines(keepends=True)
        number = self.random.randrange(len(lines)) if lines else 0
        line = lines[number].rstrip("\r\n") if lines else ""
        start = len(line) - len(line.lstrip())
        marks = [place + 1 for place in range(start, len(line) - 1) if not line[place].isalnum()]
        if len(line) - start < 3 or line[start:].startswith(("//", "#", "/*", "*")):
            return None
        cursor = self.random.choice([start, self.random.choice(marks)]) if marks else start
        before = sum(map(len, lines[:number])) + cursor
        behind = before + len(line) - cursor
        missing = self.encode(line[cursor:])[:ANSWER]
        left, right = text[max(0, before - BYTES) : before], text[behind : behind + BYTES]
        return self.encode(left), missing, self.encode(right), cursor > start, alike(left, right)


def likeness(one: str, other: str) -> float:
    """The share of the longer line that both begin and end with."""
    shorter = min(len(one), len(other))
    if not shorter:
        return 0.0
    begin = next((place for place in range(shorter) if one[place] != other[place]), shorter)
    room = shorter - begin
    end = next((place for place in range(room) if one[-1 - place] != other[-1 - place]), room)
    return (begin + end) / max(len(one), len(other))


def rest(line: str, typed: str) -> tuple[str, int, bool] | None:
    """What follows where a line is most like the end of what is typed, for how far back, and whether that is all."""
    if not typed:
        return line, 0, False
    found = None
    for place in (place for place, char in enumerate(line) if char == typed[-1]):
        pairs = zip(reversed(line[: place + 1]), reversed(typed))
        common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        whole = common == place + 1 == len(typed)
        if found is None or common + whole >= found[1] + found[2]:
            found = line[place + 1 :], common, whole
    return found


def alike(before: str, after: str) -> list[Alike]:
    """The lines most like the one at the end of `before`, by a guess at their weights."""
    above, _, typed = before.rpartition("\n")
    _, _, below = after.partition("\n")
    sides = [
        [line for line in map(str.strip, text.splitlines()) if 0 < len(line) <= LONGEST] for text in (above, below)
    ]
    previous, following = (sides[0] or [""])[-1], (sides[1] or [""])[0]
    found = []
    for side in sides:
        for earlier, line, later in zip(["", *side], side, [*side[1:], ""]):
            match = rest(line, typed.lstrip())
            if match and match[0]:
                length = math.log2(match[1] + 1)
                around = likeness(earlier, previous), likeness(later, following)
                found.append(Alike(match[0], length, float(match[2]), *around))
    found.sort(key=lambda line: -(line.length + line.whole + 2 * line.earlier + 2 * line.later))
    return found[:LINES]


def counts(left: list[int], after: list[int], is_end: Tensor, stop: int) -> list[Counter]:
    """How often each token stands behind the last token of `left`, the last two and so on."""
    found = [Counter() for _ in range(ORDERS)]
    recent = left[-ORDERS:][::-1]
    for text in (left, after):
        for place in range(len(text) - 1):
            order = 0
            while order < len(recent) and order <= place and text[place - order] == recent[order]:
                following = stop if is_end[text[place + 1]] else text[place + 1]
                found[order][following] += 1
                order += 1
    return found


class Evidence:
    """What a model and a text say of the true tokens of many blanks, as tensors with a row a token."""

    def __init__(self, model: GLM, blanks: Blanks, number: int):
        special = {name: blanks.tokenizer.token_to_id(name) for name in ("[CLS]", "[sMASK]")}
        sop = blanks.tokenizer.token_to_id("<|startofpiece|>")
        stop = blanks.tokenizer.token_to_id("<|endofpiece|>")
        pieces = [blanks.tokenizer.id_to_token(id) or "" for id in range(model.shape.vocab)]
        is_end = torch.tensor([piece.startswith(("Ċ", "č")) for piece in pieces])
        rows, lines, blank_of, blanks_drawn = [], [], [], 0
        for tag in TAGS.values():
            head = [special["[CLS]"], *blanks.encode(tag + "\n")]
            drawn = 0
            while drawn < number:
                if (blank := blanks.draw(tag)) is None:
                    continue
                before, missing, after, begun, like = blank
                copies = [[*blanks.encode(line.rest), stop] for line in like]
                room = model.shape.context - ANSWER - len(head) - 2
                left = before[-max(room * 3 // 4, room - len(after)) :]
                part_a = [*head, *left, special["[sMASK]"], *after[: room - len(left)]]
                place = len(head) + len(left)
                probabilities = answered(model, part_a, place, [sop, *missing])
                truths = [*missing, stop]
                for count, truth in enumerate(truths):
                    orders = counts(before + missing[:count], after, is_end, stop)
                    rows.append(
                        [
                            (probabilities[count, truth].item(), 0.0, 0.0),
                            *((order[truth], order.total(), len(order)) for order in orders),
                        ]
                    )
                    row = [[0.0] * 8] * LINES
                    for place, (line, ids) in enumerate(zip(like, copies)):
                        follows = count < len(ids) and ids[:count] == truths[:count]
                        is_truth = follows and ids[count] == truth
                        row[place] = [follows, is_truth, begun, count > 0, *line[1:]]
                    lines.append(row)
                    blank_of.append(blanks_drawn)
                drawn += 1
                blanks_drawn += 1
        table = torch.tensor(rows, dtype=torch.float32)  # (N, 1 + ORDERS, 3)
        self.model, self.orders = table[:, 0, 0], table[:, 1:]
        self.lines = torch.tensor(lines, dtype=torch.float32)  # (N, LINES, 8)
        self.blank = torch.tensor(blank_of)

    def mixed(self, weights: Tensor) -> Tensor:
        """The probability of each true token; weights are as `fit` has them."""
        discount, strength, decline = weights[0].sigmoid(), weights[1].exp(), weights[2]
        probability = self.model
        for order in range(ORDERS):
            own, total, kinds = self.orders[:, order].unbind(1)
            worth = strength * torch.exp(-decline * order)
            above = (own - discount).clamp(min=0) + (worth + discount * kinds) * probability
            probability = torch.where(total > 0, above / (total + worth), probability)
        return probability if len(weights) == len(RECALL) else self.copied(probability, weights[len(RECALL) :])

    def copied(self, probability: Tensor, weights: Tensor) -> Tensor:
        """The same with what the lines like the one cut short have next."""
        follows, is_truth, begun, followed, *facts = self.lines.unbind(2)  # (N, LINES) each
        typed = weights[0] + sum(weight * fact for weight, fact in zip(weights[1:5], facts))
        untyped = weights[5] + sum(weight * fact for weight, fact in zip(weights[6:8], facts[2:]))
        worth = torch.where(begun > 0, typed, untyped)
        there = self.lines.any(2)
        likeliest = worth.masked_fill(~there, -math.inf).topk(MOST, 1).indices
        counts = torch.zeros_like(worth).scatter(1, likeliest, 1.0)
        worth = (worth + weights[8] * followed).exp() * follows * counts
        return (probability + (worth * is_truth).sum(1)) / (1 + worth.sum(1))

    def fit(self, chosen: Tensor, start: tuple[float, ...]) -> Tensor:
        """The weights under which the chosen tokens are likeliest."""
        weights = torch.tensor(start, requires_grad=True)
        optimizer = torch.optim.Adam([weights], lr=0.05)
        for _ in range(STEPS):
            loss = -(self.mixed(weights)[chosen] + 1e-9).log().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return weights.detach()


@torch.no_grad()
def answered(model: GLM, part_a: list[int], place: int, part_b: list[int]) -> Tensor:
    """The probabilities (T, V) after each token of Part B."""
    a, b = len(part_a), len(part_b)
    positions = torch.tensor([[*range(a), *[place] * b], [*[0] * a, *range(1, b + 1)]])
    ids = torch.tensor([part_a + part_b])
    return model(ids, positions[None], torch.tensor([a]), torch.arange(a, a + b)).float().softmax(-1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--run", type=Path, required=True, help="folder of train.py")
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--corpus", type=Path, required=True, help="folder of files that were not trained on")
    parser.add_argument("--blanks", type=int, default=70, help="blanks of each language")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()

    saved = torch.load(options.run / "checkpoint.pt", map_location="cpu", weights_only=True)
    model = GLM(Shape(**saved["shape"]))
    model.load_state_dict(saved["model"])
    blanks = Blanks(options.corpus, Tokenizer.from_file(str(options.tokenizer)), options.seed)
    evidence = Evidence(model.eval(), blanks, options.blanks)

    held_out = evidence.blank % 2 == 1
    mixtures = {
        "model": evidence.model,
        "with counts": evidence.mixed(evidence.fit(~held_out, RECALL)),
        "with lines, too": evidence.mixed(evidence.fit(~held_out, RECALL + COPIES)),
    }
    for name, probability in mixtures.items():
        print(f"{name}: {-(probability[held_out] + 1e-9).log().mean():.3f} nats per token")
    discount, strength, decline, *lines = evidence.fit(torch.ones_like(held_out), RECALL + COPIES)
    print(f"--recall {discount.sigmoid():.4f} {strength.exp():.1f} {decline:.3f}")
    print("--lines", *(f"{weight:.3f}" for weight in lines))


if __name__ == "__main__":
    main()
