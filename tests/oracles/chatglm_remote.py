"""ChatGLM2, ChatGLM3, CodeGeeX2 and GLM-4-9B in the layout their makers publish, from the code that comes with it.

    git clone https://github.com/Lionelpang/codegeex2-6b      # 3cb3f8f: a copy of THUDM/codegeex2-6b (as ChatGLM2)
    git clone https://github.com/czk1997/chatglm3-copy        # 456aa87: a copy of THUDM/chatglm3-6b
    git clone https://github.com/XuRui314/GLM4v-Finetune      # 513b75d: modeling_chatglm.py of GLM-4(V)-9B
    python chatglm_remote.py FOLDER-WITH-THE-THREE

`ChatGLMForConditionalGeneration` runs as it is. The file of GLM-4(V)-9B comes without its configuration class: it
gets ChatGLM3's, and its image tower is a stand-in that is never called (the text stack is GLM-4-9B's). For transformers
5 the configuration gets `max_length`, which it no longer has by itself. The models publish float16 or bfloat16; they
run in float32 here, which also makes the first generation's angles float32.
"""

import torch

from published import *

SOURCES = sources()


def load_published(folder, name):
    """The module `modeling_chatglm` of one of the repositories."""
    stand_in(name).__path__ = [str(folder)]
    has_own = (folder / "configuration_chatglm.py").exists()
    configuration = folder if has_own else SOURCES / "chatglm3-copy"
    load(f"{name}.configuration_chatglm", configuration / "configuration_chatglm.py")
    if (folder / "quantization.py").exists():
        load(f"{name}.quantization", folder / "quantization.py")
    stand_in(f"{name}.visual", EVA2CLIPModel=lambda config: None)
    return load(f"{name}.modeling_chatglm", folder / "modeling_chatglm.py")


CODE = {
    "chatglm2": load_published(SOURCES / "codegeex2-6b", "published_chatglm2"),
    "chatglm3": load_published(SOURCES / "chatglm3-copy", "published_chatglm3"),
    "glm4": load_published(SOURCES / "GLM4v-Finetune", "published_glm4"),
}


def config_json(generation, kind, **shape):
    """The keys of the published config.json, in the sizes of the test."""
    auto = "modeling_chatglm.ChatGLMForConditionalGeneration"
    return {
        "_name_or_path": f"THUDM/{generation}",
        "model_type": "chatglm",
        "architectures": ["ChatGLMModel"],
        "auto_map": {
            "AutoConfig": "configuration_chatglm.ChatGLMConfig",
            "AutoModel": auto,
            "AutoModelForCausalLM": auto,
            "AutoModelForSeq2SeqLM": auto,
        },
        "add_bias_linear": False,
        "add_qkv_bias": True,
        "apply_query_key_layer_scaling": True,
        "apply_residual_connection_post_layernorm": False,
        "attention_dropout": 0.0,
        "attention_softmax_in_fp32": True,
        "bias_dropout_fusion": True,
        "fp32_residual_connection": False,
        "hidden_dropout": 0.0,
        "layernorm_epsilon": 1e-05,
        "multi_query_attention": True,
        "original_rope": True,
        "post_layer_norm": True,
        "rmsnorm": True,
        "use_cache": True,
        "torch_dtype": str(kind).removeprefix("torch."),
        "tie_word_embeddings": False,
        "eos_token_id": 2,
        "pad_token_id": 0,
        **shape,
    }


def model(generation, config):
    """The published class with random weights."""
    code = CODE[generation]
    configuration = code.ChatGLMConfig(**config)
    configuration.max_length = config["seq_length"]
    return randomize(code.ChatGLMForConditionalGeneration(configuration, empty_init=False).float())


def forward(whole):
    def run(ids, rows, _):
        ids, places = torch.tensor([ids]), torch.tensor([rows[0]])
        return whole(input_ids=ids, position_ids=places, use_cache=False, return_dict=True).logits[0]

    return run


def remote(name, seed, generation, kind, parts, length=83, **shape):
    """One case, its tensors stored as `kind` in so many `parts`."""
    config = config_json(generation, kind, **shape)

    def build(_):
        whole = model(generation, config)
        for parameter in whole.parameters():
            parameter.data = parameter.data.to(kind).float()

        def write(folder):
            write_json(folder / "config.json", config)
            save_in_parts(folder, half(whole.state_dict(), kind), parts)

        return forward(whole), Example.causal(length, config["padded_vocab_size"]), write

    case(name, seed, build)


if __name__ == "__main__":
    remote(
        "chatglm2-remote", 1, "chatglm2", torch.float16, 2,
        num_layers=3, hidden_size=48, ffn_hidden_size=70, kv_channels=16, num_attention_heads=3,
        multi_query_group_num=1, padded_vocab_size=120, seq_length=256,
    )  # fmt: skip
    remote(
        "codegeex2-remote", 1, "chatglm2", torch.bfloat16, 3,
        num_layers=2, hidden_size=64, ffn_hidden_size=86, kv_channels=16, num_attention_heads=4,
        multi_query_group_num=2, padded_vocab_size=104, seq_length=8192, interleaved_qkv=False, rotary_percent=0.5,
    )  # fmt: skip
    remote(
        "chatglm3-remote", 1, "chatglm3", torch.float16, 2,
        num_layers=2, hidden_size=60, ffn_hidden_size=54, kv_channels=20, num_attention_heads=6,
        multi_query_group_num=3, padded_vocab_size=111, seq_length=8192,
    )  # fmt: skip
    remote(
        "glm4-remote", 1, "glm4", torch.bfloat16, 2,
        num_layers=2, hidden_size=56, ffn_hidden_size=90, kv_channels=28, num_attention_heads=4,
        multi_query_group_num=2, padded_vocab_size=128, seq_length=131072, layernorm_epsilon=1.5625e-07,
        rope_ratio=500, eos_token_id=[120, 122, 124], pad_token_id=120,
    )  # fmt: skip
