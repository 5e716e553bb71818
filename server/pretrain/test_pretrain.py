"""Checks of the recipe on tiny models: `python -m unittest` in this folder, half a minute on a CPU."""

import argparse
import csv
import gzip
import json
import math
import re
import subprocess
import sys
import tempfile
import unittest
from dataclasses import asdict, replace
from pathlib import Path, PurePosixPath
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F

import export
import filters
import recall
import tokenizer
from ablate import Arm, Sum, difference, lengths
from average import average
from model import GLM, Shape, far_mask, first_masks, prefix_mask
from shards import Shards
from throughput import operations
from train import Run

HERE = Path(__file__).parent
TINY = Shape(vocab=64, context=32, layers=2, width=32, heads=2, kv_heads=0, ffn=64, near=0)
MASK, SOP, EOP = 0, 3, 4

# The worked example of GLM's paper: x1 … x6 are 11 … 16, {x3} and {x5, x6} are blanked and the
# second is answered first.
PART_A = 5
IDS = [11, 12, MASK, 14, MASK, SOP, 15, 16, SOP, 13]
ROW_0 = [0, 1, 2, 3, 4, 4, 4, 4, 2, 2]
ROW_1 = [0, 0, 0, 0, 0, 1, 2, 3, 1, 2]
TARGETS = [15, 16, EOP, 13, EOP]


def write_shard(folder: Path, split: str, values: list[int]) -> None:
    (folder / f"{split}-000.bin.gz").write_bytes(gzip.compress(np.array(values, "<u2").tobytes()))


def write_shards(folder: Path, records: int) -> None:
    """Shards of random records of many lengths, for both splits."""
    random = np.random.default_rng(3)
    for split in ("train", "valid"):
        values: list[int] = []
        for _ in range(records):
            a, b = int(random.integers(4, 16)), int(random.integers(2, 16))
            ids = random.integers(5, TINY.vocab, a + b)
            ids[random.integers(0, a)] = random.integers(0, 3)
            values += [
                a + b,
                a,
                *ids,
                *range(a),
                *[1] * b,
                *[0] * a,
                *range(1, b + 1),
                *random.integers(5, TINY.vocab, b),
            ]
        write_shard(folder, split, values)


def write_tokenizer(folder: Path) -> None:
    """A tokenizer of special tokens and of others with one to three bytes each."""
    pieces = {f"<{id}>": id for id in range(5)}
    pieces |= {chr(0x100 + id) * (1 + id % 3): id for id in range(5, TINY.vocab)}
    special = [{"id": id, "content": f"<{id}>"} for id in range(5)]
    tokenizer = {"model": {"vocab": pieces}, "added_tokens": special}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))


def told(command: list[str]) -> list[list[str]]:
    """The cells of the table that ablate.py prints last."""
    done = subprocess.run(command, cwd=HERE, check=True, capture_output=True, text=True)
    lines = done.stdout.split("\n\n")[-1].strip().splitlines()
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]


class Model(unittest.TestCase):
    def test_part_a_is_seen_whole_and_part_b_in_order(self):
        mask = prefix_mask(torch.tensor([2]), 4)[0, 0].int().tolist()
        self.assertEqual(mask, [[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]])

    def test_the_far_zone_sees_what_is_before_it(self):
        positions = torch.tensor([[ROW_0, ROW_1], [[*range(10)], [0] * 10]])
        sep = torch.tensor([PART_A, 0])
        self.assertEqual(first_masks(positions, sep).tolist(), [2, 0])
        mask = (prefix_mask(sep[:1], 10) & ~far_mask(torch.tensor([1]), 10))[0, 0].int().tolist()
        self.assertEqual(mask[0], [1] + [0] * 9)
        self.assertEqual(mask[1:5], [[1] * 5 + [0] * 5] * 4)
        self.assertEqual(mask[6], [1] * 7 + [0] * 3)
        torch.manual_seed(0)
        rows = torch.arange(PART_A, len(IDS))
        inputs = torch.tensor([IDS]), positions[:1], sep[:1], rows
        whole = GLM(TINY)
        zones = GLM(replace(TINY, near=1))
        zones.load_state_dict(whole.state_dict())
        self.assertFalse(torch.allclose(whole(*inputs), zones(*inputs)))
        # A zone that reaches the first token leaves none far from the mask.
        all_near = GLM(replace(TINY, near=2))
        all_near.load_state_dict(whole.state_dict())
        torch.testing.assert_close(whole(*inputs), all_near(*inputs))

    def test_groups_of_heads_share_keys_and_values(self):
        torch.manual_seed(0)
        grouped, whole = GLM(replace(TINY, kv_heads=1)), GLM(TINY)
        weights = grouped.state_dict()
        for name in [name for name in weights if "attn_qkv" in name]:
            q, k, v = weights[name].split(grouped.shape.qkv)
            weights[name] = torch.cat((q, k, k, v, v))
        whole.load_state_dict(weights)
        inputs = torch.tensor([IDS]), torch.tensor([[ROW_0, ROW_1]]), torch.tensor([PART_A]), torch.tensor([9])
        torch.testing.assert_close(grouped(*inputs), whole(*inputs))

    def test_a_fresh_model_looks_back(self):
        torch.manual_seed(0)
        A, B, blank = 40, 12, 25
        model = GLM(Shape(layers=1, width=256, heads=4, kv_heads=2, near=0))
        positions = torch.stack((torch.tensor([*range(A), *[blank] * B]), torch.tensor([*[0] * A, *range(1, B + 1)])))
        rows = torch.arange(A, A + B)
        with patch("model.F.scaled_dot_product_attention", wraps=F.scaled_dot_product_attention) as attention:
            model(torch.randint(8, 8192, (1, A + B)), positions[None], torch.tensor([A]), rows)
        (q, k, _), mask = attention.call_args.args, attention.call_args.kwargs["attn_mask"]
        scores = q[0] @ k[0, :1].mT / q.shape[3] ** 0.5
        looked_at = scores.masked_fill(~mask[0], -torch.inf).softmax(2)
        for head, places in enumerate((1, 2)):
            for token in (20, A - 1, A + 4, A + B - 1):
                self.assertGreater(looked_at[head, token, token - places].item(), 0.8, (head, token))
            # The first token of Part B follows what stands on the left of the blank.
            self.assertGreater(looked_at[head, A, blank - places].item(), 0.8, head)

    def test_an_answer_does_not_depend_on_what_follows_it(self):
        torch.manual_seed(0)
        model = GLM(TINY).eval()
        rows = torch.arange(PART_A, len(IDS))

        def logits(ids: list[int]) -> torch.Tensor:
            return model(torch.tensor([ids]), torch.tensor([[ROW_0, ROW_1]]), torch.tensor([PART_A]), rows)

        whole, other_end = logits(IDS), logits(IDS[:-1] + [20])
        torch.testing.assert_close(whole[:-1], other_end[:-1])
        self.assertFalse(torch.allclose(whole[-1], other_end[-1]))
        other_part_a = logits([20] + IDS[1:])
        self.assertFalse(torch.allclose(whole[0], other_part_a[0]))


class Ablation(unittest.TestCase):
    def test_an_arm_is_read(self):
        arm = Arm.parse("wide=some/shards,width=1024,near=64")
        self.assertEqual((arm.name, str(arm.shards), arm.shape), ("wide", "some/shards", Shape(width=1024, near=64)))
        self.assertIsNone(arm.valid)
        self.assertEqual(Arm.parse("small=s,valid=some/others,vocab=64").valid, Path("some/others"))
        for text in ("wide", "=shards", "wide=shards,height=3", "wide=shards,width=much"):
            with self.assertRaises(argparse.ArgumentTypeError):
                Arm.parse(text)

    def test_tokens_are_as_long_as_their_text(self):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_tokenizer(folder)
            self.assertEqual(lengths(folder).tolist(), [0] * 5 + [1 + id % 3 for id in range(5, TINY.vocab)])

    def test_arms_are_told_side_by_side(self):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_shards(folder, 60)
            write_tokenizer(folder)
            sizes = [f"{size}={number}" for size, number in vars(TINY).items()]
            arms = [",".join([f"{name}={folder}", *sizes, *more]) for name, *more in
                    [("one",), ("zones", "near=4"), ("grouped", "kv_heads=1"), ("other", f"valid={folder}")]]
            command = [sys.executable, "ablate.py", *arms, "--valid", folder, "--steps", "10", "--batch-tokens", "128"]
            command += ["--lr", "0.02", "--matrix-lr", "0.05", "--device", "cpu", "--export", folder / "models"]
            tables = [told([*map(str, command), "--jobs", jobs]) for jobs in ("1", "2")]
            models = sorted(path.name for path in (folder / "models").iterdir())
        self.assertEqual(models, ["grouped.gguf", "one.gguf", "other.gguf", "zones.gguf"])
        header, _, *rows = tables[0]
        self.assertEqual({len(row) for row in tables[0]}, {10})
        self.assertEqual([row[0] for row in rows], ["one", "zones", "grouped", "other"])
        self.assertEqual((rows[0][7], rows[3][7]), ("+0.000 ± 0.000", ""))
        self.assertNotEqual(rows[0][5], rows[2][5])
        self.assertGreater(float(rows[0][8]), 0.9 * math.log(TINY.vocab), "it cannot copy yet")
        self.assertEqual(rows[0][5:7], rows[3][5:7], "the same arm, measured on the same shards")
        self.assertEqual(header[8:], ["copying", "tokens/s"])
        self.assertEqual([row[:9] for row in tables[1]], [row[:9] for row in tables[0]], "in two processes, in one")

    def test_a_difference_is_told_with_its_error(self):
        first = [Sum(3.0, 1, 4), Sum(4.0, 2, 9), Sum(5.0, 1, 3)]
        self.assertEqual(difference(first, first), (0.0, 0.0))
        more, error = difference([one._replace(nats=one.nats + one.tokens / 4) for one in first], first)
        self.assertEqual((more, error), (0.25, 0.0))


class Reading(unittest.TestCase):
    def test_a_record_comes_back_as_written(self):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            record = [len(IDS), PART_A, *IDS, *ROW_0, *ROW_1, *TARGETS]
            write_shard(folder, "train", record * 2)
            batch = Shards(folder, "train").batch([0, 1])
        T = batch.ids.shape[1]
        self.assertEqual(batch.ids[1, : len(IDS)].tolist(), IDS)
        self.assertEqual(batch.positions[0, :, : len(IDS)].tolist(), [ROW_0, ROW_1])
        self.assertEqual(batch.rows.tolist(), [5, 6, 7, 8, 9] + [T + row for row in (5, 6, 7, 8, 9)])
        self.assertEqual(batch.targets.tolist(), TARGETS * 2)

    def test_what_is_not_to_be_learned_has_no_row(self):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            record = [3, 0, 11, 12, 13, 0, 1, 2, 0, 0, 0, 65535, 13, 14]
            write_shard(folder, "train", record * 2)
            batch = Shards(folder, "train").batch([0, 1])
        T = batch.ids.shape[1]
        self.assertEqual(batch.rows.tolist(), [1, 2, T + 1, T + 2])
        self.assertEqual(batch.targets.tolist(), [13, 14] * 2)

    def test_every_example_has_a_batch(self):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            record = [3, 0, 11, 12, 13, 0, 1, 2, 0, 0, 0, 12, 13, 14]
            write_shard(folder, "train", record * 5)
            groups = Shards(folder, "train").groups(np.arange(5), 64)
        self.assertEqual(groups, [[0, 1], [2, 3, 4]])

    def test_the_order_does_not_depend_on_where_a_run_starts(self):
        with tempfile.TemporaryDirectory() as name:
            write_shards(Path(name), 300)
            shards = Shards(Path(name), "train")
            batches = [batch.ids for batch, _ in zip(shards.batches(128, seed=1), range(40), strict=False)]
            later = [
                batch.ids for batch, _ in zip(shards.batches(128, seed=1, start=25), range(15), strict=False)
            ]
        for one, other in zip(batches[25:], later, strict=True):
            self.assertTrue(torch.equal(one, other))


class Training(unittest.TestCase):
    def train(self, shards: Path, run: Path, steps: int, *more: str | Path) -> list[list[str]]:
        """Runs train.py with `more` arguments and gives what train.csv says."""
        shape = [f"--{name}={value}" for name, value in vars(TINY).items()]
        command = [
            sys.executable,
            "train.py",
            "--shards",
            shards,
            "--out",
            run,
            "--steps",
            str(steps),
            "--batch-tokens",
            "256",
            "--device",
            "cpu",
        ]
        subprocess.run([*map(str, command), *shape, *map(str, more)], cwd=HERE, check=True, capture_output=True)
        with (run / "train.csv").open() as file:
            return [[row["step"], row["tokens"], row["loss"], row["lr"]] for row in csv.DictReader(file)]

    def test_a_run_that_was_cut_off_goes_on_as_if_it_had_not_been(self):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_shards(folder, 400)
            whole = self.train(folder, folder / "whole", 80)
            self.train(folder, folder / "cut", 80, "--stop-at", "40")
            cut = self.train(folder, folder / "cut", 80)
        self.assertEqual(len(whole), 4)
        self.assertEqual(whole, cut)
        self.assertLess(float(whole[-1][2]), float(whole[0][2]))

    def test_training_goes_on_from_an_exported_model(self):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_shards(folder, 400)
            first = self.train(folder, folder / "first", 80)
            (folder / "tokenizer.json").write_text("{}")
            files = ["--run", folder / "first", "--tokenizer", folder / "tokenizer.json", "--out", folder / "m.gguf"]
            subprocess.run(
                [sys.executable, "export.py", *map(str, files)], cwd=HERE, check=True, capture_output=True
            )
            second = self.train(folder, folder / "second", 160, "--start", folder / "m.gguf")
        self.assertEqual([int(row[0]) for row in second], [100, 120, 140, 160])
        self.assertGreater(int(second[0][1]), int(first[-1][1]))
        self.assertLess(float(second[0][2]), float(first[0][2]))
        self.assertLess(float(second[-1][2]), float(first[-1][2]) + 0.02)


class Throughput(unittest.TestCase):
    def test_the_operations_of_a_step_are_counted(self):
        options = {"seed": 1, "lr": 0.0, "matrix_lr": 0.0, "compile": False, "steps": 1, "decay": 1.0}
        run = Run(argparse.Namespace(**vars(TINY), **options), torch.device("cpu"))
        run.optimizers = []
        with tempfile.TemporaryDirectory() as name:
            write_shards(Path(name), 8)
            batch = Shards(Path(name), "train").batch([*range(8)])
        counted = operations(run, batch)
        (B, T), R = batch.ids.shape, len(batch.rows)
        qkv, rest = 3 * TINY.width**2, TINY.width**2 + 3 * TINY.width * TINY.ffn
        # Only tokens with a loss go on from the last block's attention.
        products = 6 * (B * T * (2 * qkv + rest) + R * (rest + TINY.width * TINY.vocab))
        attention = TINY.layers * 4 * B * T * T * TINY.width
        # Backward takes twice as much as forward, and the scores once more if they were not kept.
        self.assertIn(counted, (products + 3 * attention, products + 3.5 * attention))

    def test_the_share_of_a_device_is_told(self):
        with tempfile.TemporaryDirectory() as name:
            write_shards(Path(name), 40)
            shape = [f"--{name}={value}" for name, value in vars(TINY).items()]
            command = [sys.executable, "throughput.py", "--shards", name, "--steps", "2", "--batch-tokens", "128", *shape]
            done = subprocess.run([*command, "--device", "cpu"], cwd=HERE, check=True, capture_output=True, text=True)
        said = re.fullmatch(r"(\d+) tokens/s, (\S+) TFLOP/s: (\S+)% of the (\S+) of a 2048² product\n", done.stdout)
        tokens, reached, share, most = map(float, said.groups())
        self.assertGreater(tokens, 0)
        self.assertAlmostEqual(share, 100 * reached / most, delta=0.1)


class Averaging(unittest.TestCase):
    def test_the_last_run_gets_the_mean_of_all_weights(self):
        with tempfile.TemporaryDirectory() as name:
            runs = [Path(name) / end for end in ("one", "two", "other")]
            shapes = (TINY, TINY, replace(TINY, layers=1))
            for step, (run, shape) in enumerate(zip(runs, shapes, strict=True)):
                torch.manual_seed(step)
                run.mkdir()
                saved = {"shape": asdict(shape), "model": GLM(shape).state_dict(), "state": {"step": step}}
                torch.save(saved | {"valid": {"[MASK]": 1.0}}, run / "checkpoint.pt")
            one, two = (torch.load(run / "checkpoint.pt", weights_only=True)["model"] for run in runs[:2])
            mean = average(runs[:2])
            with self.assertRaisesRegex(SystemExit, "other is a model of another shape than .*one"):
                average([runs[2], runs[0]])
        for weights, values in mean["model"].items():
            torch.testing.assert_close(values, (one[weights] + two[weights]) / 2)
        self.assertEqual((mean["state"], mean["valid"]), ({"step": 1}, {}))


class Export(unittest.TestCase):
    def test_the_file_holds_the_model(self):
        from gguf import GGUFReader, dequantize

        torch.manual_seed(0)
        model = GLM(TINY)
        with tempfile.TemporaryDirectory() as name:
            path = Path(name) / "model.gguf"
            export.write(model, '{"a": 1}', "tiny", {"steps": 3}, path)
            reader = GGUFReader(path)
            tensors = {
                tensor.name: dequantize(tensor.data, tensor.tensor_type).copy() for tensor in reader.tensors
            }
            self.assertEqual(reader.fields["general.architecture"].contents(), "glm")
            self.assertEqual(reader.fields["tokenizer.huggingface.json"].contents(), '{"a": 1}')
            self.assertEqual(reader.fields["glm.context_length"].contents(), TINY.context)
        self.assertEqual(set(tensors), set(model.state_dict()))
        for tensor, values in model.state_dict().items():
            # Q8_0 keeps each value within half of a 127th of the largest beside it, which is stored as f16.
            bound = values.abs().max().item() * (1 / 254 + 2**-11)
            np.testing.assert_allclose(tensors[tensor], values.numpy(), rtol=0, atol=bound)


class Tokens(unittest.TestCase):
    def test_no_token_crosses_a_line_start(self):
        trained = tokenizer.train(iter(["def f(x):\n    return x + 1\n\n\nclass A:\n\tpass\n"] * 50))
        text = "def g(y):\r\n    return y\n\n  # é 🙂\n"
        whole = trained.encode(text)
        by_line = [token for line in text.splitlines(keepends=True) for token in trained.encode(line).ids]
        self.assertEqual(whole.ids, by_line)
        self.assertEqual(trained.decode(whole.ids), text)
        self.assertEqual([trained.token_to_id(token) for token in tokenizer.SPECIAL], list(range(7)))


    def test_a_model_for_a_task_has_the_words_of_its_texts_and_of_conversations(self):
        with tempfile.TemporaryDirectory() as name:
            lines, page = Path(name) / "pairs.jsonl", Path(name) / "page.txt"
            lines.write_text('{"key": "one\\n", "attempts": [{"code": "two"}], "count": 3}\n')
            page.write_text("three\n")
            texts = list(tokenizer.whole([lines, page]))
        self.assertEqual(texts, ["one\n", "two", "three\n"])
        special = tokenizer.SPECIAL + tokenizer.CHAT
        trained = tokenizer.train(iter(texts), 300, special)
        self.assertEqual([trained.token_to_id(token) for token in special], list(range(12)))


class Filters(unittest.TestCase):
    def test_what_stays_and_what_goes(self):
        code = "".join(f"def function_{i}(argument):\n    return argument + {i}\n\n" for i in range(20))
        self.assertEqual(filters.clean(code.encode()), (code, None))
        for text, reason in [
            ("# Generated by a tool. DO NOT EDIT.\n" + code, "generated"),
            ("x = [" + "0x1f, " * 200 + "]\n" + code, "long lines"),
            ("x = [\n" + "0x1f, 0x2e, 0x3d,\n" * 200 + "]\n", "data"),
            ("x = 1\n", "size"),
        ]:
            self.assertEqual(filters.clean(text.encode()), (None, reason))
        self.assertEqual(filters.clean(b"\xff" * 400), (None, "not UTF-8"))
        for path, reason in [
            ("src/main.py", None),
            ("src/main.rs", "other language"),
            ("tests/main.py", "test"),
            ("a/test_main.py", "test"),
            ("vendor/a/main.py", "vendored"),
            ("schema_pb2.py", "generated"),
        ]:
            self.assertEqual(filters.refuse_path(PurePosixPath(path), "python"), reason, path)

    def test_the_licence_on_top_goes_and_nothing_else(self):
        body = "import os\n\n# a note\nprint(os)\n"
        self.assertEqual(
            filters.strip_licence(
                "#!/bin/python\n# Copyright (c) A. Author\n# All rights reserved.\n\n" + body
            ),
            "#!/bin/python\n" + body,
        )
        self.assertEqual(filters.strip_licence("/*\n * Licensed under MIT\n */\n\nint x;\n"), "int x;\n")
        self.assertEqual(filters.strip_licence("# a comment\n" + body), "# a comment\n" + body)
        self.assertEqual(
            filters.strip_licence("#include <a.h>\nint licence;\n"), "#include <a.h>\nint licence;\n"
        )

    def test_secrets_and_addresses_go_and_what_is_like_them_stays(self):
        for text, scrubbed in [
            ('key = "AKIAABCDEFGHIJKLMNOP"', 'key = "secret"'),
            ("token: ghp_" + "a1" * 20, "token: secret"),
            ('API_KEY = "a8f3b2c1d4e5f6a7b8c9"', 'API_KEY = "secret"'),
            ('url = "postgres://admin:hunter22@db/x"', 'url = "postgres://secret@db/x"'),
            ("a\n-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nb", "a\nsecret\nb"),
            ("# by a.b@c.org", "# by someone@example.com"),
            ('password = "change me please, somebody"', None),
            ("password = read_password_from_file1(path)", None),
            ('f"https://{user}:{password}@host"', None),
        ]:
            self.assertEqual(filters.scrub(text), scrubbed or text)

    def test_a_near_duplicate_is_found(self):
        lines = [f"value_{i} = compute(argument_{i})" for i in range(20)]
        familiar = filters.Familiar()
        self.assertFalse(familiar.knows("\n".join(lines)))
        self.assertTrue(familiar.knows("\n".join([*lines[:16], *("another = line(%d)" % i for i in range(4))])))
        self.assertFalse(familiar.knows("\n".join([*lines[:8], *("another = row(%d)" % i for i in range(12))])))

    def test_a_copied_problem_is_found(self):
        problem = "def add(a, b):\n  total = a + b\n  if total > 3: return total\n  return total - 1 or b\n"
        unseen = filters.Overlap([problem])
        self.assertTrue(unseen.touches("x = 1\n" + problem))
        self.assertFalse(unseen.touches("def add(a, b):\n    return a + b\n"))


class Recall(unittest.TestCase):
    """The same example as in engine/src/recall.rs: behind 1 come 2, 2 and 3; behind 5 and 1 comes 3."""

    def test_counts(self):
        is_end = torch.zeros(10, dtype=torch.bool)
        is_end[3] = True
        found = recall.counts([1, 2, 4, 1, 2, 5, 1], [5, 1, 3, 9], is_end, 0)
        self.assertEqual(found[:3], [{2: 2, 0: 1}, {0: 1}, {}])

    def test_mixed(self):
        evidence = recall.Evidence.__new__(recall.Evidence)
        evidence.model = torch.tensor([4 / 55])
        evidence.orders = torch.zeros(1, recall.ORDERS, 3)
        evidence.orders[0, :2] = torch.tensor([[1.0, 3.0, 2.0], [1.0, 1.0, 1.0]])
        weights = torch.tensor([0.25 / 0.75, 3.0, 0.0]).log()
        weights[2] = 0.5
        first = (0.75 + (3 + 0.5) * 4 / 55) / (3 + 3)
        strength = 3 * np.exp(-0.5)
        expected = (0.75 + (strength + 0.25) * first) / (1 + strength)
        self.assertAlmostEqual(evidence.mixed(weights).item(), expected, places=5)

    def test_alike(self):
        """The same examples as in infill/src/complete/alike.rs."""
        before, after = "f {\n  a(1);\n  b(1);\n}\ng {\n  a(2);\n  ", "\n}\n"
        best = recall.alike(before, after)[0]
        self.assertEqual((best.rest, best.length, best.whole, best.later), ("b(1);", 0.0, 0.0, 1.0))
        self.assertAlmostEqual(best.earlier, 0.8)
        lines = recall.alike("let a = get(one);\nset(two);\nlet b = get(", "\n")
        self.assertEqual([(line.rest, line.length) for line in lines], [("one);", 3.0), ("two);", 2.0)])
        lines = recall.alike("  return x;\nmy return y;\nreturn ", "")
        self.assertEqual({line.rest: (line.length, line.whole) for line in lines}, {"x;": (3.0, 1.0), "y;": (3.0, 0.0)})

    def test_copied(self):
        """As in engine/src/recall.rs: beside a model that counts 1, a line counts 1/2, and 2 once it is followed."""
        evidence = recall.Evidence.__new__(recall.Evidence)
        evidence.lines = torch.zeros(2, recall.LINES, 8)
        evidence.lines[0, 0] = torch.tensor([1.0, 1, 1, 0, 0, 0, 0, 0])
        evidence.lines[1, 0] = torch.tensor([1.0, 0, 1, 1, 0, 0, 0, 0])
        weights = torch.tensor([math.log(0.5), 0, 0, 0, 0, 0, 0, 0, math.log(4)])
        found = evidence.copied(torch.tensor([0.25, 0.25]), weights)
        torch.testing.assert_close(found, torch.tensor([0.75 / 1.5, 0.25 / 3]))


if __name__ == "__main__":
    unittest.main()
