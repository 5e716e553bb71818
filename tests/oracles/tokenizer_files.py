"""Tiny tokenizer files of every kind that a GLM was published with, and the ids that the makers' libraries give.

    pip install sentencepiece protobuf tokenizers tiktoken
    pip install --no-deps icetk                              # its two modules for GLM-130B's tokenizer
    git clone https://github.com/THUDM/SwissArmyTransformer  # sat/tokenization/icetk_glm_130B/ice_tokenizer.py
    git clone https://github.com/THUDM/chatglm-6b            # tokenization_chatglm.py (the model's repository)
    git clone https://github.com/THUDM/CodeGeeX              # codegeex/tokenizer/tokenizer.py
    python tests/oracles/tokenizer_files.py FOLDER-WITH-THE-THREE

Writes `tests/data/tokenizers`: `texts.json`, and for each kind a folder with the files and `expected.json`:
`start` are the ids of each text as the makers' tokenizer gives them for a whole text, `plain` those of the same text
inside another, `decoded` what the library makes of `plain` where that is not the text again.

Every model is trained here, on the texts and on the licence. Of the makers' modules only the classes named above run;
`transformers` is answered by stand-ins, since nothing of it is called. The WordPiece trainer breaks ties by chance, so its
two folders differ from run to run, files and ids together.
"""

import base64
import importlib.util
import io
import json
import os
import sys
import types

import sentencepiece
import tiktoken
import tokenizers
from sentencepiece import sentencepiece_model_pb2 as proto
from tokenizers import Regex, models, pre_tokenizers, trainers

SOURCES = sys.argv[1] if len(sys.argv) > 1 else "."
OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "data", "tokenizers")

TEXTS = [
    "",
    " ",
    "  ",
    "\n",
    "\t",
    "\n\n\n",
    "a",
    " a",
    "a ",
    "  a  b   c    d",
    "def area(width, height):\n    return width * height\n",
    "class Point:\n    def __init__(self, x, y):\n        self.x = x\n        self.y = y\n\n\n    def norm(self):\n        return (self.x ** 2 + self.y ** 2) ** 0.5\n",
    "func (s *Server) Start(ctx context.Context) error {\n\tif err := s.listen(ctx); err != nil {\n\t\treturn fmt.Errorf(\"start: %w\", err)\n\t}\n\treturn nil\n}\n",
    "let index = self.index_of(&key)?;\r\nmatch self.entries.get_mut(index) {\r\n\tNone => None,\r\n}\r\n",
    "template <typename T> class Stack {\n  std::vector<T> items;\n};",
    "public static void main(String[] args) {\n        System.out.println(\"hello, world\");\n}",
    "SELECT name, COUNT(*) FROM users WHERE id >= 1000000 GROUP BY name;",
    "<div class=\"box\">\n  <p>don't we'll I'M THEY'RE</p>\n</div>\n",
    "\t\t  \t x = 1\r\r\n \n\t\n",
    "x" + " " * 79 + "y" + " " * 80 + "z" + " " * 81 + "w" + " " * 163 + "\n",
    " " * 11 + "eleven\n" + " " * 12 + "twelve" + " " * 21,
    "# 这是一个测试。返回两个数的和\ndef 加(甲, 乙):\n    return 甲 + 乙  # 「中文」，标点！",
    "你好，世界 　全角ＡＢＣ１２３ ﬁne ① ½ ㌔",
    "grüße naïve Ünïcode a\u0300 e\u0301 \u212b ŕ",
    "😀 👩‍👩‍👧 🇨🇳 🏳️‍🌈 x😀y",
    "[MASK] [gMASK][sMASK] <sop> <eop> <|endoftext|> <|user|>\n<|code_prefix|> sop eop </s> <s> <unk> <pad>",
    "<0x0A> <0xFF> ▁under▁score ##ing",
    "\u0000\u0001\u007f\u0080\u00a0\u200b\u2028\ufeff\ufffd\U000e0001\U0010ffff",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa abababababababab ==> => === != !==",
    "1234567890 3.14159e-10 0xDEADBEEF 1_000_000",
    "trailing   ",
    "   leading and\n   trailing \n",
    "über\tstraße\n\n\n\n    tief\n\n  \n ende\n \n",
]
# A text that spells white space as ChatGLM-6B has it. The makers' code makes white space of it; this project's does not,
# so only the round trip is tested.
SPELLED = "Array<n> <|tab|> <|blank_2|>"

LICENCE = os.path.join(OUT, "..", "..", "..", "LICENSE-APACHE")
CORPUS = [line for text in TEXTS for line in text.split("\n")] * 3 + open(LICENCE).read().split("\n")

GLM4 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def write(kind, files, start, plain=None, decoded=None):
    folder = os.path.join(OUT, kind)
    os.makedirs(folder, exist_ok=True)
    for name, content in files.items():
        with open(os.path.join(folder, name), "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
    expected = {"start": start, "plain": plain or start}
    if decoded:
        expected["decoded"] = decoded
    rows = [f'"{key}": [\n' + ",\n".join(json.dumps(row) for row in rows) + "\n]" for key, rows in expected.items()]
    with open(os.path.join(folder, "expected.json"), "w") as file:
        file.write("{" + ",\n".join(rows) + "}\n")


def module(path, **stand_ins):
    """A module of the makers by its path, with modules that it imports but does not need replaced."""
    for name, attributes in stand_ins.items():
        name = name.replace("__", ".")
        stand_in = types.ModuleType(name)
        stand_in.__dict__.update(attributes)
        sys.modules[name] = stand_in
    spec = importlib.util.spec_from_file_location("makers." + os.path.basename(path)[:-3], os.path.join(SOURCES, path))
    made = importlib.util.module_from_spec(spec)
    sys.modules["makers"] = types.ModuleType("makers")
    spec.loader.exec_module(made)
    return made


# --- sentencepiece ---

SENTINEL = "\U000f0000"

# A few rules in the place of all of nmt_nfkc's, which take 240 kB: of one to one, to several, of several, to none.
RULES = {" ": "\u3000", " \u0301": "\u00b4", "fi": "\ufb01", "é": "e\u0301", "": "\u200b", "A": "Ａ", "  ": "\u2028"}


def train(**options):
    model = io.BytesIO()
    if options.pop("few_rules", False):
        options["normalization_rule_tsv"] = rules = os.path.join(OUT, "rules.tsv")
        with open(rules, "w") as file:
            for new, old in RULES.items():
                file.write("\t".join(" ".join(f"{ord(c):04X}" for c in text) for text in (old, new)) + "\n")
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS), model_writer=model, hard_vocab_limit=False, minloglevel=2, num_threads=1, **options
    )
    return proto.ModelProto.FromString(model.getvalue())


def processor(model):
    return sentencepiece.SentencePieceProcessor(model_proto=model.SerializeToString())


def inside(model, text):
    """The ids of a text in the midst of another: between two symbols that join with nothing."""
    model = proto.ModelProto.FromString(model.SerializeToString())
    model.pieces.add(piece=SENTINEL, score=0.0, type=4)
    model.normalizer_spec.add_dummy_prefix = False
    ids = processor(model).encode(SENTINEL + text + SENTINEL)
    assert ids[0] == ids[-1] == len(model.pieces) - 1
    return ids[1:-1]


def decoded(model, ids):
    model = proto.ModelProto.FromString(model.SerializeToString())
    model.normalizer_spec.add_dummy_prefix = False
    model.normalizer_spec.remove_extra_whitespaces = False
    model.trainer_spec.unk_surface = ""
    return processor(model).decode(ids)


def sentencepieces():
    kinds = {
        # As ChatGLM2's and ChatGLM3's tokenizer.model.
        "spm_bpe": dict(
            model_type="bpe", vocab_size=900, byte_fallback=True, normalization_rule_name="identity",
            remove_extra_whitespaces=False, split_digits=True, allow_whitespace_only_pieces=True,
        ),
        "spm_bpe_symbols": dict(
            model_type="bpe", vocab_size=500, character_coverage=0.98, few_rules=True,
            user_defined_symbols=["==>", "==", "self.", "\u2581\u2581", "返回"],
        ),
        "spm_unigram": dict(
            model_type="unigram", vocab_size=700, byte_fallback=True, normalization_rule_name="nmt_nfkc",
            remove_extra_whitespaces=False, user_defined_symbols=["==>", "==", "self.", "中文"], character_coverage=0.98,
        ),
        # As cog-pretrain.model.
        "spm_chinese": dict(model_type="unigram", vocab_size=450, normalization_rule_name="nmt_nfkc", character_coverage=0.98),
    }
    for kind, options in kinds.items():
        model = train(**options)
        if kind == "spm_bpe":
            # Pieces that are out of use fall apart again.
            for place in range(300, 420, 3):
                if model.pieces[place].type == 1:
                    model.pieces[place].type = 5
            # Equal scores: the leftmost pair joins first.
            for place in range(420, 480):
                model.pieces[place].score = model.pieces[420].score
        plain = [inside(model, text) for text in TEXTS]
        made = processor(model)
        lossy = [decoded(model, ids) for ids in plain]
        name = "cog-pretrain.model" if kind == "spm_chinese" else "tokenizer.model"
        write(kind, {name: model.SerializeToString()}, [made.encode(text) for text in TEXTS], plain, lossy)
        if kind == "spm_bpe":
            llama = {
                "tokens": [piece.piece for piece in model.pieces],
                "scores": [piece.score for piece in model.pieces],
                "types": [piece.type for piece in model.pieces],
            }
            files = {"gguf.json": json.dumps(llama, ensure_ascii=False)}
            write("gguf_llama", files, [made.encode(text) for text in TEXTS], plain, lossy)


# --- ice_text.model ---


def ice():
    nothing = dict(PreTrainedTokenizer=object, logging=types.SimpleNamespace(get_logger=lambda _: None), PaddingStrategy=types.SimpleNamespace(DO_NOT_PAD=None))
    # Of its package the module needs an abstract class that adds nothing.
    path = os.path.join(SOURCES, "SwissArmyTransformer/sat/tokenization/icetk_glm_130B/ice_tokenizer.py")
    source = open(path).read().replace("from .tokenizer import AbstractTokenizer", "AbstractTokenizer = object")
    # The package itself would load what only images need.
    folders = importlib.util.find_spec("icetk").submodule_search_locations
    sys.modules["icetk"] = package = types.ModuleType("icetk")
    package.__path__ = list(folders)
    sys.modules["icetk.sentencepiece_model_pb2"] = proto
    sys.modules["icetk.utils"] = types.ModuleType("icetk.utils")
    sys.modules["icetk.utils"].auto_create = lambda path: None
    makers = {"__name__": "ice_tokenizer"}
    exec(compile(source, path, "exec"), makers)
    base = train(
        model_type="unigram", vocab_size=600, few_rules=True, user_defined_symbols=["<n>"], character_coverage=0.98
    )
    write("ice_130b", {"ice_text.model": base.SerializeToString()}, [])
    big = makers["GLM130BTokenizer"](path=os.path.join(OUT, "ice_130b"))
    start = [big.encode(text) for text in TEXTS]
    # The makers' own way to continue a text strips spaces at its end, so the ids come from between two "<n>".
    newline = big.text_tokenizer.convert_token_to_id("<n>") + 20000

    def between(tokenizer, text, newline):
        ids = tokenizer.encode(text + "\n", add_dummy_prefix=False)
        assert ids[-1] == newline
        return ids[:-1]

    plain = [between(big, text, newline) for text in TEXTS]
    full = proto.ModelProto.FromString(big.text_tokenizer.proto.SerializeToString())
    lossy = []
    for ids in plain:
        pieces = [id - 20000 for id in ids]
        lossy.append(white(decoded(full, pieces)))
    write("ice_130b", {"ice_text.model": base.SerializeToString()}, start, plain, lossy)

    chatglm = module(
        "chatglm-6b/tokenization_chatglm.py",
        transformers=dict(__path__=[]),
        transformers__tokenization_utils=nothing,
        transformers__utils=nothing,
        transformers__tokenization_utils_base=dict(EncodedInput=None, BatchEncoding=None),
    )
    base = train(
        model_type="bpe", vocab_size=600, normalization_rule_name="identity", remove_extra_whitespaces=False,
        user_defined_symbols=["<n>"], byte_fallback=False, character_coverage=0.98,
    )
    with open(os.path.join(OUT, "ice_130b", "scratch.model"), "wb") as file:
        file.write(base.SerializeToString())
    configured = sys.modules["icetk.text_tokenizer"].TextTokenizer(file.name)
    os.remove(file.name)
    names = ["[MASK]", "[gMASK]", "[sMASK]", "<unused_0>", "<sop>", "<eop>", "<ENC>", "<dBLOCK>"]
    makers["GLM130BTokenizer"]._configure_tokenizer(configured, names, 80, True)
    write("ice_6b", {"ice_text.model": configured.proto.SerializeToString()}, [])
    small = chatglm.SPTokenizer(os.path.join(OUT, "ice_6b", "ice_text.model"), num_image_tokens=0)
    newline = small["<n>"]
    files = {"ice_text.model": configured.proto.SerializeToString()}
    plain = [between(small, text, newline) for text in TEXTS]
    lossy = [white(decoded(configured.proto, ids)) for ids in plain]
    write("ice_6b", files, [small.encode(text) for text in TEXTS], plain, lossy)


def white(text):
    text = text.replace("<n>", "\n").replace("<|tab|>", "\t")
    for count in range(2, 81):
        text = text.replace(f"<|blank_{count}|>", " " * count)
    return text


# --- byte-level BPE ---


def byte_level(pre_tokenizer, size, ignore_merges=False):
    tokenizer = tokenizers.Tokenizer(models.BPE(ignore_merges=ignore_merges))
    tokenizer.pre_tokenizer = pre_tokenizer
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(TEXTS + CORPUS, trainers.BpeTrainer(vocab_size=size, show_progress=False, initial_alphabet=alphabet))
    return tokenizer


def ids_of(tokenizer):
    return [tokenizer.encode(text, add_special_tokens=False).ids for text in TEXTS]


def glm4():
    split = pre_tokenizers.Split(Regex(GLM4), "isolated")
    cut = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer = byte_level(cut, 1000, ignore_merges=True)
    model = json.loads(tokenizer.to_str())["model"]
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(256) if byte not in printable]
    byte_of = {chr(byte): byte for byte in printable} | {chr(0x100 + place): byte for place, byte in enumerate(rest)}
    # In a rank file a token's id is the order in which it was joined.
    order = sorted(model["vocab"], key=lambda token: (len(token) > 1, model["vocab"][token]))
    ranks = {bytes(byte_of[c] for c in token): rank for rank, token in enumerate(order)}
    encoding = tiktoken.Encoding("glm4", pat_str=GLM4, mergeable_ranks=ranks, special_tokens={})
    start = [encoding.encode_ordinary(text) for text in TEXTS]
    lines = [base64.b64encode(token).decode() + f" {rank}\n" for token, rank in ranks.items()]
    write("tiktoken", {"tokenizer.model": "".join(lines)}, start)

    tokenizer.add_special_tokens(["<|endoftext|>", "[MASK]", "[gMASK]", "[sMASK]", "<sop>", "<eop>", "<|user|>"])
    plain = tokenizers.Tokenizer.from_str(tokenizer.to_str())
    plain = json.loads(plain.to_str())
    plain["added_tokens"] = []
    ids = ids_of(tokenizers.Tokenizer.from_str(json.dumps(plain)))
    write("json", {"tokenizer.json": tokenizer.to_str()}, ids)
    inverse = sorted(model["vocab"], key=model["vocab"].get)
    gguf = {"tokens": inverse, "merges": [" ".join(pair) for pair in model["merges"]]}
    write("gguf_gpt2", {"gguf.json": json.dumps(gguf, ensure_ascii=False)}, ids)


def gpt2():
    tokenizer = byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False), 800)
    model = json.loads(tokenizer.to_str())["model"]
    files = {
        "vocab.json": json.dumps(model["vocab"], ensure_ascii=False),
        "merges.txt": "#version: 0.2\n" + "".join(" ".join(pair) + "\n" for pair in model["merges"]),
    }
    write("gpt2", files, ids_of(tokenizer))
    # CodeGeeX-13B: the makers' own step, with the extra tokens behind the vocabulary.
    sys.modules.pop("transformers", None)
    makers = module(
        "CodeGeeX/codegeex/tokenizer/tokenizer.py",
        transformers=dict(AutoTokenizer=None, __path__=[]),
        transformers__models__gpt2=dict(GPT2TokenizerFast=object),
    )
    tokenizer.add_tokens([f"<|extratoken_{k}|>" for k in range(1, 144)])
    texts = [makers.encode_whitespaces(text, 10, 10) for text in TEXTS]
    write("codegeex_13b", files, [tokenizer.encode(text).ids for text in texts])


# --- WordPiece ---


def wordpiece():
    for kind, lowercase in (("wordpiece_uncased", True), ("wordpiece_cased", False)):
        trained = tokenizers.BertWordPieceTokenizer(lowercase=lowercase)
        trained.train_from_iterator(
            CORPUS, vocab_size=500, show_progress=False, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        )
        vocab = trained.get_vocab()
        lines = "".join(token + "\n" for token in sorted(vocab, key=vocab.get))
        tokenizer = tokenizers.Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
        tokenizer.normalizer, tokenizer.pre_tokenizer = trained.normalizer, trained.pre_tokenizer
        ids = ids_of(tokenizer)
        pieces = [[tokenizer.id_to_token(id) for id in row] for row in ids]
        text = ["".join(p[2:] if p.startswith("##") and p != "##" else " " + p for p in row if p != "[UNK]") for row in pieces]
        write(kind, {"vocab.txt": lines}, ids, decoded=text)


if __name__ == "__main__":
    os.makedirs(OUT, exist_ok=True)
    with open(os.path.join(OUT, "texts.json"), "w") as file:
        json.dump({"texts": TEXTS, "spelled": SPELLED}, file, indent=0)
    sentencepieces()
    glm4()
    wordpiece()
    gpt2()
    ice()
    os.remove(os.path.join(OUT, "rules.tsv"))
