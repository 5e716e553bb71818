"""Trains the byte-level BPE of the embedded model and writes it as a `tokenizers` JSON file.

Takes the train split of the corpus; gives tokenizer.json. Each language is sampled with the same
number of bytes, so that no language's words crowd out another's. The file travels inside the
GGUF (export.py), where the Rust server reads it. A model for a task learns its words from texts
instead, and has the tokens of a conversation.

    python tokenizer.py --corpus CORPUS --out tokenizer.json
    python tokenizer.py --texts PAIRS.jsonl PROMPTS.txt --chat --vocab 1536 --out tokenizer.json
"""

import argparse
import json
import random
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from filters import EXTENSIONS

VOCAB_SIZE = 8192
# The first ids. `<|endoftext|>` closes a Part A that reaches the end of its file.
SPECIAL = ("[MASK]", "[sMASK]", "[gMASK]", "<|startofpiece|>", "<|endofpiece|>", "[CLS]", "<|endoftext|>")
# GLM-4's turns, after those.
CHAT = ("<sop>", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>")
# A token is never longer than a line, and a line's leading blanks are one word: so the tokens of
# a line do not depend on its neighbours, and the server may encode a file line by line.
PATTERN = r"\r?\n|\r|[ ]{2,}|\t+|[^\r\n\t\p{L}\p{N}_]?[\p{L}_]+|\p{N}{1,3}| ?[^\s\p{L}\p{N}_]+|\s"


def untrained() -> Tokenizer:
    """The tokenizer before it has any merge."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def sample(corpus: Path, megabytes: float, seed: int) -> Iterator[str]:
    """Whole files of the train split, the same number of bytes of each language."""
    by_language = defaultdict(list)
    language_of = {
        extension: language for language, extensions in EXTENSIONS.items() for extension in extensions
    }
    for path in sorted((corpus / "train").rglob("*")):
        if path.is_file():
            by_language[language_of[path.suffix.lower()]].append(path)
    for paths in by_language.values():
        random.Random(seed).shuffle(paths)
        left = megabytes * 1e6 / len(by_language)
        for path in paths:
            text = path.read_bytes().decode()
            yield text
            left -= len(text.encode())
            if left < 0:
                break


def strings(value: object) -> Iterator[str]:
    """Every string in a value of JSON, keys aside."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for part in value.values() if isinstance(value, dict) else value:
            yield from strings(part)


def whole(paths: list[Path]) -> Iterator[str]:
    """All of these files; of JSON lines the strings in them."""
    for path in paths:
        text = path.read_text()
        if path.suffix == ".jsonl":
            for line in text.splitlines():
                yield from strings(json.loads(line))
        else:
            yield text


def train(texts: Iterator[str], size: int = VOCAB_SIZE, special: tuple[str, ...] = SPECIAL) -> Tokenizer:
    tokenizer = untrained()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in special],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--corpus", type=Path)
    source.add_argument("--texts", type=Path, nargs="+", help="files to learn from instead, as they are")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--megabytes", type=float, default=40, help="size of the sample it learns from")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--vocab", type=int, default=VOCAB_SIZE, help="tokens")
    parser.add_argument("--chat", action="store_true", help="with the tokens of a conversation")
    options = parser.parse_args()

    special = SPECIAL + CHAT if options.chat else SPECIAL
    if options.texts:
        texts = list(whole(options.texts))
        tokenizer = train(iter(texts), options.vocab, special)
    else:
        tokenizer = train(sample(options.corpus, options.megabytes, options.seed), options.vocab, special)
        texts = list(sample(options.corpus, 1, options.seed + 1))
    tokenizer.save(str(options.out))
    tokens = sum(len(tokenizer.encode(text).ids) for text in texts)
    print(f"{tokenizer.get_vocab_size()} tokens, {sum(map(len, texts)) / tokens:.2f} characters per token")


if __name__ == "__main__":
    main()
