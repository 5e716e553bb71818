"""Render the conversations of tests/data/prompts/chat by the makers' own code.

Writes tests/data/prompts/chat/TEMPLATE.CONVERSATION.txt: the text a model reads, special tokens
spelled out. Runs apart from the tests. Needs jinja2 and these public sources, each a folder:

  --chatglm    greensheng/chatglm-6b     modeling_chatglm.py, tokenization_chatglm.py
  --codegeex2  Lionelpang/codegeex2-6b   tokenization_chatglm.py (the tokenizer of ChatGLM2)
  --chatglm3   czk1997/chatglm3-copy     tokenization_chatglm.py
  --jinja      ggml-org/llama.cpp        models/templates/GLM-4.6.jinja

llama.cpp's glm_4_5.jinja is not used: as it stands there it has no line end after <|user|>, which
GLM-4.6's has; whether GLM-4.5's own file has one was not seen, and 4.6's form is used for both.

Functions are taken out of these files one by one and run with stand-ins for the tokenizer that give
text instead of ids, so that no weights and no vocabulary are needed.
"""

import argparse
import ast
import json
from pathlib import Path
from types import SimpleNamespace

import jinja2

CHAT = Path(__file__).parents[1] / "data/prompts/chat"


def function(file, name):
    """The function or method of this name, without decorators and annotations."""
    nodes = ast.walk(ast.parse(file.read_text()))
    node = next(n for n in nodes if isinstance(n, ast.FunctionDef) and n.name == name)
    node.decorator_list, node.returns = [], None
    for argument in node.args.args + [node.args.kwarg] * bool(node.args.kwarg):
        argument.annotation = None
    scope = {"json": json, "LogitsProcessorList": list, "InvalidScoreLogitsProcessor": int}
    exec(compile(ast.Module([node], []), file.name, "exec"), scope)
    return scope[name]


def rounds(messages):
    """The last question, and the pairs before it."""
    texts = [message["content"] for message in messages]
    return texts[-1], list(zip(texts[:-1:2], texts[1::2]))


def chatglm(folder, messages):
    seen = []

    class Seen(Exception):
        pass

    def tokenizer(texts, **_):
        seen.extend(texts)
        raise Seen

    query, history = rounds(messages)
    try:
        function(folder / "modeling_chatglm.py", "chat")(None, tokenizer, query, history)
    except Seen:
        pass
    names = {"gmask_token": "[gMASK]", "bos_token": "<sop>", "eos_token": "<eop>"}
    spelled = {name: name for name in names.values()}
    maker = SimpleNamespace(**names, sp_tokenizer=spelled)
    build = function(folder / "tokenization_chatglm.py", "build_inputs_with_special_tokens")
    return "".join(build(maker, seen))


def chatglm2(folder, messages):
    file = folder / "tokenization_chatglm.py"
    maker = SimpleNamespace(get_command=str)
    prefix = function(file, "get_prefix_tokens")(maker)
    query, history = rounds(messages)
    return "".join(prefix + [function(file, "build_prompt")(maker, query, history)])


def chatglm3(folder, messages):
    file = folder / "tokenization_chatglm.py"
    maker = SimpleNamespace(
        get_command=str,
        tokenizer=SimpleNamespace(encode=lambda text: [text]),
        batch_encode_plus=lambda ids, **_: ids[0],
    )
    single = function(file, "build_single_message")
    maker.build_single_message = lambda *arguments: single(maker, *arguments)
    prefix = function(file, "get_prefix_tokens")(maker)
    *history, last = messages
    return "".join(prefix + function(file, "build_chat_input")(maker, last["content"], history))


def jinja(file, messages):
    # As transformers renders chat templates.
    world = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    template = world.from_string(file.read_text())
    return template.render(messages=messages, add_generation_prompt=True, enable_thinking=False)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ["chatglm", "codegeex2", "chatglm3", "jinja"]:
        parser.add_argument(f"--{name}", type=Path, required=True)
    folders = parser.parse_args()
    made = {
        "chatglm_v1": lambda m: chatglm(folders.chatglm, m),
        "chatglm2_v1": lambda m: chatglm2(folders.codegeex2, m),
        "chatglm3_v1": lambda m: chatglm3(folders.chatglm3, m),
        "glm45_v1": lambda m: jinja(folders.jinja / "GLM-4.6.jinja", m),
    }
    for name, messages in json.loads((CHAT / "conversations.json").read_text()).items():
        has_system = messages[0]["role"] == "system"
        for template, render in made.items():
            # The first two know no instructions.
            if has_system and template in ["chatglm_v1", "chatglm2_v1"]:
                continue
            (CHAT / f"{template}.{name}.txt").write_text(render(messages))


if __name__ == "__main__":
    main()
