"""GLM of 2021 in the two forms its makers publish, from their own code.

    git clone https://github.com/yuekaizhang/InstructGLM    # 70a502b: modeling_glm.py, the copy of shunxing1234/GLM
    git clone https://github.com/THUDM/GLM                  # 4f61ed7: model/, mpu/
    python glm_2021.py FOLDER-WITH-BOTH

The first is the Hugging Face form (exact GELU), a folder with `config.json` and `pytorch_model.bin` with or without
the prefix `glm.`. The second is the original (GELU by tanh), a folder with `latest` and the training checkpoint
`STEP/mp_rank_00_model_states.pt`, here for one device, and for two as `change_mp.py` of that repository splits it.

Changed for today's libraries: `transformers` is answered by stand-ins (`PreTrainedModel` is `torch.nn.Module`); of
THUDM/GLM, `deepspeed`, `apex` and `torch._six` are stand-ins and the process group is gloo's with one member; the random state for CUDA dropout is left out.
"""

import contextlib
import os
import shutil
import subprocess
import tempfile

import torch

from published import *

SOURCES = sources()
MASK, START, END = 1, 2, 3


def example(vocabulary, context):
    """A Part A of 37 tokens with two masks, and two spans in shuffled order."""
    part_a = words(37, vocabulary)
    part_a[9] = part_a[24] = MASK
    ids, place, block = list(part_a), list(range(37)), [0] * 37
    for mask_at, length in ((24, 29), (9, 18)):
        ids += [START] + words(length, vocabulary)
        place += [mask_at] * (length + 1)
        block += range(1, length + 2)
    assert max(block) + STEPS <= context
    return Example(ids, [place, block], 37, "span")


def load_published():
    empty = type("Empty", (), {})
    decorator = lambda *_, **__: lambda function: function
    stand_in("transformers")
    stand_in("transformers.activations", gelu=torch.nn.functional.gelu)
    docs = ("add_code_sample_docstrings", "add_start_docstrings", "add_start_docstrings_to_model_forward")
    stand_in("transformers.utils", **dict.fromkeys(docs, decorator))
    outputs = ("BaseModelOutputWithPastAndCrossAttentions", "SequenceClassifierOutput")
    output = type("ModelOutput", (), {"__init__": lambda self, **members: self.__dict__.update(members)})
    stand_in("transformers.modeling_outputs", ModelOutput=output, **dict.fromkeys(outputs, empty))

    class PreTrainedModel(torch.nn.Module):
        def __init__(self, config):
            super().__init__()

        def post_init(self):
            pass

    stand_in("transformers.modeling_utils", PreTrainedModel=PreTrainedModel)
    stand_in("configuration_glm", GLMConfig=empty)
    return load("modeling_glm", SOURCES / "InstructGLM" / "modeling_glm.py")


def published(name, seed, prefixed, **shape):
    reference = load_published()
    config = {
        "architectures": ["GLMForConditionalGeneration" if prefixed else "GLMModel"],
        "attention_dropout_prob": 0.1,
        "attention_scale": 1.0,
        "auto_map": {
            "AutoConfig": "configuration_glm.GLMConfig",
            "AutoModel": "modeling_glm.GLMModel",
            "AutoModelForSeq2SeqLM": "modeling_glm.GLMForConditionalGeneration",
            "AutoModelForMultipleChoice": "modeling_glm.GLMForMultipleChoice",
        },
        "block_position_encoding": True,
        "checkpoint_activations": False,
        "checkpoint_num_layers": 1,
        "embedding_dropout_prob": 0.1,
        "initializer_range": 0.02,
        "max_sequence_length": 96,
        "model_type": "glm",
        "output_dropout_prob": 0.1,
        "output_predict": True,
        "parallel_output": True,
        "pool_token": "cls",
        "relative_encoding": False,
        "spell_func": "lstm",
        "spell_length": None,
        "torch_dtype": "float16",
        **shape,
    }

    def build(_):
        whole = randomize(reference.GLMForConditionalGeneration(types.SimpleNamespace(**config)))

        def forward(ids, rows, prefix):
            return whole(torch.tensor([ids]), torch.tensor([rows]), torch.tensor([prefix])).logits[0]

        def write(folder):
            write_json(folder / "config.json", config)
            torch.save(half((whole if prefixed else whole.glm).state_dict()), folder / "pytorch_model.bin")

        return forward, example(config["vocab_size"], config["max_sequence_length"]), write

    case(name, seed, build)


def load_original():
    """`GLMModel` of THUDM/GLM with its own model-parallel layers, on one CPU process."""
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29519"}
    torch.distributed.init_process_group("gloo", rank=0, world_size=1)
    stand_in("deepspeed").checkpointing = types.SimpleNamespace(is_configured=lambda: False)
    stand_in("torch._six", inf=float("inf"))
    stand_in("apex")
    stand_in("apex.normalization")
    stand_in("apex.normalization.fused_layer_norm", FusedLayerNorm=torch.nn.LayerNorm)
    stand_in("utils", print_rank_0=print)  # the real one imports the training stack
    sys.path.insert(0, str(SOURCES / "GLM"))
    import mpu

    mpu.initialize_model_parallel(1)
    tracker = types.SimpleNamespace(fork=contextlib.nullcontext)
    mpu.transformer.get_cuda_rng_tracker = lambda: tracker
    stand_in("model").__path__ = [str(SOURCES / "GLM" / "model")]
    return load("model.modeling_glm", SOURCES / "GLM" / "model" / "modeling_glm.py")


def original(name, seed, parts, **shape):
    """`STEP/mp_rank_XX_model_states.pt`; more than one part is cut by `change_mp.py`. No file says the number of
    heads: in every model of the release a head is 64 wide."""
    assert shape["hidden_size"] == 64 * shape["num_attention_heads"]

    def build(_):
        whole = randomize(
            ORIGINAL.GLMModel(
                embedding_dropout_prob=0.0,
                attention_dropout_prob=0.0,
                output_dropout_prob=0.0,
                max_memory_length=0,
                checkpoint_activations=False,
                parallel_output=False,
                block_position_encoding=True,
                **shape,
            ).float()
        )

        def forward(ids, rows, prefix):
            return whole(torch.tensor([ids]), torch.tensor([rows]), torch.tensor([prefix]))[0][0]

        def write(folder):
            with tempfile.TemporaryDirectory() as there:
                one = Path(there) / "one"
                (one / "200000").mkdir(parents=True)
                (one / "latest").write_text("200000\n")
                state = {"module": half(whole.state_dict()), "iteration": 200000, "mp_world_size": 1}
                torch.save(state, one / "200000" / "mp_rank_00_model_states.pt")
                if parts > 1:
                    change = SOURCES / "GLM" / "change_mp.py"
                    subprocess.run([sys.executable, str(change), str(one), str(parts)], check=True, cwd=there)
                    one = Path(f"{one}_MP{parts}")
                shutil.copytree(one, folder, dirs_exist_ok=True)

        return forward, example(shape["vocab_size"], shape["max_sequence_length"]), write

    case(name, seed, build)


published("glm-erf", 1, True, num_layers=2, vocab_size=113, hidden_size=40, num_attention_heads=5)
published("glm-erf-bare", 1, False, num_layers=3, vocab_size=96, hidden_size=36, num_attention_heads=3)
ORIGINAL = load_original()
sat = dict(max_sequence_length=96)
original("glm-tanh-sat", 1, 1, num_layers=2, vocab_size=112, hidden_size=64, num_attention_heads=1, **sat)
original("glm-tanh-sat-mp2", 1, 2, num_layers=1, vocab_size=128, hidden_size=128, num_attention_heads=2, **sat)
