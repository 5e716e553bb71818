"""Models of random weights for the comparison of engines: GGUF files of the architecture `chatglm`, of which 42M
parameters work for each token, and as many as the head has lie in the embedding.

    pip install gguf numpy tokenizers
    python random_model.py [--quantize PATH/TO/llama-quantize] FOLDER

Writes `random-q8_0.gguf`, `random-q4_0.gguf`, `random-q4_k.gguf` and `random-q6_k.gguf` into the folder: the shape of
CodeGeeX4 (grouped attention with biases, gated feed-forward, a head of its own) in small, with its special tokens and a
byte-level vocabulary trained on this repository's own sources, so that a token is as much text as in a real model. They
are quantized by llama.cpp's own tool from one file in F32. The K types need rows of a multiple of 256, so their
feed-forward is 1536 wide and not 1408. Without the tool there is only `random-f32-1408.gguf`, with `--large` only one of 193M parameters.

Random weights write nonsense. That is fair for speed, and for nothing else: what share of suggestions is accepted, or
adopted, must come from a model that was trained.
"""

import argparse
import json
import subprocess
from pathlib import Path

import gguf
import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

LAYERS, WIDTH, HEADS, KV_HEADS, CONTEXT = 12, 512, 8, 2, 4096
VOCABULARY = 16384
INNER = {"q8_0": 1408, "q4_0": 1408, "q4_k": 1536, "q6_k": 1536}
LLAMA_NAME = {"q8_0": "Q8_0", "q4_0": "Q4_0", "q4_k": "Q4_K", "q6_k": "Q6_K"}
SPECIAL = ["<|endoftext|>", "[MASK]", "[gMASK]", "[sMASK]", "<sop>", "<eop>", "<|system|>", "<|user|>"]
SPECIAL += ["<|assistant|>", "<|observation|>", "<|code_prefix|>", "<|code_middle|>", "<|code_suffix|>"]
# How GLM-4 cuts text before merging; llama.cpp calls it chatglm-bpe.
PATTERN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
PATTERN += r"|\s+(?!\S)|\s+"
ROOT = Path(__file__).resolve().parent.parent


def sources():
    """The text of this repository's sources, in order of path."""
    for path in sorted(ROOT.rglob("*")):
        folders = path.relative_to(ROOT).parts
        if path.suffix in (".rs", ".py", ".md", ".js", ".ts", ".scm", ".sh") and path.is_file():
            if not {"target", ".cache", "node_modules", ".git", "data"} & set(folders):
                yield path.read_text(encoding="utf-8", errors="ignore")


def vocabulary():
    """Tokens by id, their types, and merges: as many as these sources give, the rest is filled up."""
    bpe = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(PATTERN), behavior="isolated")
    bpe.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    size = VOCABULARY - len(SPECIAL)
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=sorted(alphabet), show_progress=False)
    bpe.train_from_iterator(sources(), trainer)
    by_id = sorted(bpe.get_vocab().items(), key=lambda item: item[1])
    tokens = [token for token, _ in by_id]
    known = set(tokens)
    merges = []
    for merge in merges_of(bpe):
        assert merge.replace(" ", "") in known
        merges.append(merge)
    spare = [f"[PAD{number}]" for number in range(VOCABULARY - len(SPECIAL) - len(tokens))]
    types = [gguf.TokenType.NORMAL] * len(tokens) + [gguf.TokenType.UNUSED] * len(spare)
    types += [gguf.TokenType.CONTROL] * len(SPECIAL)
    return tokens + spare + SPECIAL, types, merges


def merges_of(bpe):
    for merge in json.loads(bpe.to_str())["model"]["merges"]:
        yield merge if isinstance(merge, str) else " ".join(merge)


def write(path, inner, words):
    """One file in F32, the same weights for the same width of the feed-forward."""
    tokens, types, merges = words
    random = np.random.default_rng(1)
    head = WIDTH // HEADS
    writer = gguf.GGUFWriter(path, "chatglm")
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name("Random CodeGeeX4 42M")
    writer.add_block_count(LAYERS)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(head // 2)
    writer.add_add_bos_token(False)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("chatglm-bpe")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    ids = {token: index for index, token in enumerate(tokens)}
    writer.add_eos_token_id(ids["<|endoftext|>"])
    writer.add_eot_token_id(ids["<|user|>"])
    writer.add_unk_token_id(ids["<|endoftext|>"])
    writer.add_pad_token_id(ids["<|endoftext|>"])
    writer.add_uint32("tokenizer.ggml.fim_pre_token_id", ids["<|code_prefix|>"])
    writer.add_uint32("tokenizer.ggml.fim_suf_token_id", ids["<|code_suffix|>"])
    writer.add_uint32("tokenizer.ggml.fim_mid_token_id", ids["<|code_middle|>"])

    def matrix(name, rows, columns, gain=1.0):
        spread = gain / columns**0.5
        writer.add_tensor(name, (spread * random.standard_normal((rows, columns))).astype(np.float32))

    def vector(name, size, mean):
        writer.add_tensor(name, (mean + 0.1 * random.standard_normal(size)).astype(np.float32))

    matrix("token_embd.weight", VOCABULARY, WIDTH, WIDTH**0.5)
    for layer in range(LAYERS):
        block = f"blk.{layer}."
        vector(block + "attn_norm.weight", WIDTH, 1.0)
        matrix(block + "attn_qkv.weight", WIDTH + 2 * KV_HEADS * head, WIDTH)
        vector(block + "attn_qkv.bias", WIDTH + 2 * KV_HEADS * head, 0.0)
        matrix(block + "attn_output.weight", WIDTH, WIDTH)
        vector(block + "ffn_norm.weight", WIDTH, 1.0)
        matrix(block + "ffn_up.weight", 2 * inner, WIDTH)
        matrix(block + "ffn_down.weight", WIDTH, inner)
    vector("output_norm.weight", WIDTH, 1.0)
    matrix("output.weight", VOCABULARY, WIDTH)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--quantize", help="llama.cpp's llama-quantize")
    arguments.add_argument("--large", action="store_true", help="one of 193M parameters, in F32: none of it stays in a cache")
    arguments.add_argument("folder", type=Path)
    arguments = arguments.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    words = vocabulary()
    if arguments.large:
        global LAYERS, WIDTH, HEADS
        LAYERS, WIDTH, HEADS = 16, 1024, 16
        path = arguments.folder / "random-large-f32.gguf"
        write(path, 2816, words)
        print(path)
        return
    if not arguments.quantize:
        path = arguments.folder / "random-f32-1408.gguf"
        write(path, 1408, words)
        print(path)
        return
    for inner in sorted(set(INNER.values())):
        whole = arguments.folder / f"random-f32-{inner}.gguf"
        write(whole, inner, words)
        for kind in (kind for kind, width in INNER.items() if width == inner):
            path = arguments.folder / f"random-{kind}.gguf"
            name = LLAMA_NAME[kind]
            # --pure: every matrix in the type that the file is named after, none in a larger one.
            command = [arguments.quantize, "--pure", str(whole), str(path), name]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
            print(path)
        whole.unlink()


if __name__ == "__main__":
    main()
