"""ChatGLM-6B in the layout its makers publish, from the code that comes with it.

    git clone https://github.com/greensheng/chatglm-6b        # 8b7d335: a copy of THUDM/chatglm-6b
    python chatglm_6b.py FOLDER-WITH-IT

`ChatGLMForConditionalGeneration` runs as it is, with the masks and positions that it makes itself. For transformers
5, three functions that only write documentation are stand-ins. The published model is float16; it runs in float32
here. Its residual factor stays sqrt(2 * 28) whatever the number of layers: the code never hands that number on.
"""

import torch
import transformers.utils

from published import *

SOURCES = sources()
MASK, GMASK, BOS, EOS = 4, 5, 6, 7


def load_published():
    decorator = lambda *_, **__: lambda function: function
    for name in ("add_code_sample_docstrings", "add_start_docstrings", "add_start_docstrings_to_model_forward"):
        setattr(transformers.utils, name, decorator)
    return package("published_chatglm", SOURCES / "chatglm-6b", ["configuration_chatglm", "modeling_chatglm"])


CODE = load_published()


def example(vocabulary, mask):
    """What the tokenizer makes: text, [gMASK], sop, and an answer begun; or a [MASK] in the middle of the text."""
    if mask == GMASK:
        before = words(31, vocabulary) + [GMASK]
    else:
        before = words(17, vocabulary) + [MASK] + words(26, vocabulary)
    ids = before + [BOS] + words(52, vocabulary)
    at, context = before.index(mask), len(before)
    after = len(ids) - context
    rows = [list(range(context)) + [at] * after, [0] * context + list(range(1, after + 1))]
    return Example(ids, rows, context, "span")


def config_json(**shape):
    """The keys of the published config.json, in the sizes of the test."""
    auto = "modeling_chatglm.ChatGLMForConditionalGeneration"
    return {
        "_name_or_path": "THUDM/chatglm-6b",
        "architectures": ["ChatGLMModel"],
        "auto_map": {
            "AutoConfig": "configuration_chatglm.ChatGLMConfig",
            "AutoModel": auto,
            "AutoModelForSeq2SeqLM": auto,
        },
        "bos_token_id": BOS,
        "eos_token_id": EOS,
        "mask_token_id": MASK,
        "gmask_token_id": GMASK,
        "pad_token_id": 3,
        "layernorm_epsilon": 1e-05,
        "max_sequence_length": 2048,
        "model_type": "chatglm",
        "position_encoding_2d": True,
        "torch_dtype": "float16",
        "use_cache": True,
        **shape,
    }


def model(config):
    """The published class with random weights."""
    configuration = CODE.ChatGLMConfig(**config)
    whole = CODE.ChatGLMForConditionalGeneration(configuration, empty_init=False).float()
    return randomize(whole)


def forward(whole):
    """The published forward pass, which makes the mask and the positions from the ids."""

    def run(ids, rows, prefix):
        ids = torch.tensor([ids])
        mask_at = [rows[0][-1]]
        made = whole.transformer.get_position_ids(ids, mask_at, ids.device)[0].tolist()
        assert made == rows, "the example's positions are not the published ones"
        assert not whole.transformer.get_masks(ids, ids.device)[0, 0, 0, :prefix].any()
        return whole(input_ids=ids, use_cache=False, return_dict=True).logits[0]

    return run


def remote(name, seed, mask, parts, **shape):
    config = config_json(**shape)

    def build(_):
        whole = model(config)

        def write(folder):
            write_json(folder / "config.json", config)
            save_in_parts(folder, half(whole.state_dict()), parts)

        return forward(whole), example(config["vocab_size"], mask), write

    case(name, seed, build)


if __name__ == "__main__":
    wide = dict(num_layers=2, hidden_size=48, inner_hidden_size=150, num_attention_heads=4, vocab_size=112)
    odd = dict(num_layers=3, hidden_size=40, inner_hidden_size=84, num_attention_heads=2, vocab_size=97)
    remote("chatglm6b-gmask", 1, GMASK, 2, **wide)
    remote("chatglm6b-mask", 1, MASK, 3, **odd)
