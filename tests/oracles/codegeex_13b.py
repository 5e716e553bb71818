"""CodeGeeX-13B as released, from its makers' own code.

    git clone https://github.com/THUDM/CodeGeeX               # 2838420: codegeex/torch/codegeex_model.py
    python codegeex_13b.py FOLDER-WITH-IT

The file is the released one in small: `{"module": {"language_model": …}}`, nested dictionaries with the tensors in
float16, as the model's own `state_dict_for_save_checkpoint` makes them. `CodeGeeXModel` runs as it is, in float32:
its calls of `.half()` are made to do nothing while it runs. The number of heads is not in the file (a head of the
published model is 128 wide): `model_config.json` beside it says it here, with the keys of SAT's file of that name.
"""

from collections import OrderedDict

import torch

from published import *

SOURCES = sources()
CODE = load("codegeex_model", SOURCES / "CodeGeeX" / "codegeex" / "torch" / "codegeex_model.py")


def nested(state):
    """The model's nested dictionaries, every tensor in 16 bits."""
    if isinstance(state, dict):
        return OrderedDict((name, nested(part)) for name, part in state.items())
    return state.detach().half().clone()


def released(name, seed, **shape):
    config = {
        "num_layers": shape["num_layers"],
        "hidden_size": shape["hidden_size"],
        "num_attention_heads": shape["num_attention_heads"],
        "vocab_size": shape["padded_vocab_size"],
        "max_sequence_length": shape["max_position_embeddings"],
    }

    def build(_):
        whole = randomize(CODE.CodeGeeXModel(**shape).float(), gain=1.8)

        def forward(ids, rows, _):
            ids, places = torch.tensor([ids]), torch.tensor([rows[0]])
            later = torch.ones(1, 1, ids.shape[1], ids.shape[1]).triu(1) > 0.5
            real, torch.Tensor.half = torch.Tensor.half, lambda tensor: tensor
            try:
                return whole(ids, places, later)[0]
            finally:
                torch.Tensor.half = real

        def write(folder):
            state = nested(whole.state_dict_for_save_checkpoint())
            torch.save({"module": state}, folder / "codegeex_13b.pt")
            write_json(folder / "model_config.json", config)

        return forward, Example.causal(85, shape["padded_vocab_size"]), write

    case(name, seed, build)


wide = dict(hidden_size=48, num_layers=3, num_attention_heads=4, padded_vocab_size=112, max_position_embeddings=160)
odd = dict(hidden_size=36, num_layers=2, num_attention_heads=3, padded_vocab_size=131, max_position_embeddings=150)
released("codegeex13b-a", 1, **wide)
released("codegeex13b-b", 1, **odd)
