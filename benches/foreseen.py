"""How many keys can be answered without a decode step: those whose character the model had written before them.

    python benches/foreseen.py --infill INFILL [--model MODEL] [--places N] [FILE...]

At places of the files, drawn at random inside lines, the model is asked over HTTP for what comes next, with the file
before and after the place but without the rest of its line, as it is while somebody types. Prints how often its answer
begins with the character that follows. A server that keeps what the model has written needs a decode step for all other
keys, whatever else it does.
"""

import argparse
import json
import random
import re
import subprocess
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILES = [ROOT / "server/text/src/document.rs", ROOT / "server/pretrain/train.py"]


def places(texts, count, seed):
    """(file, text, offset) with a character to be typed there that is not the line's end or its indentation."""
    drawn = random.Random(seed)
    while count:
        path, text = drawn.choice(texts)
        at = drawn.randrange(len(text))
        line = text.rfind("\n", 0, at) + 1
        if text[at] != "\n" and text[line:at].strip():
            yield path, text, at
            count -= 1


def ask(address, path, text, at):
    end = text.find("\n", at)
    body = {"input_prefix": text[:at], "input_suffix": text[end:] if end >= 0 else "", "filename": path.name}
    body = json.dumps(body | {"n_predict": 8, "temperature": 0}).encode()
    request = urllib.request.Request(f"{address}/infill", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)["content"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--infill", required=True)
    parser.add_argument("--model")
    parser.add_argument("--places", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("files", nargs="*", type=Path)
    arguments = parser.parse_args()
    texts = [(path, path.read_text(encoding="utf-8")) for path in arguments.files or FILES]
    command = [arguments.infill, "serve", "--port", "0"]
    command += ["--model", arguments.model] if arguments.model else []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            found = None
            while not found:
                said = server.stdout.readline()
                if not said:
                    raise SystemExit(f"{' '.join(command)} ended before it served")
                found = re.search(r"http://[\w.:\[\]]+", said)
            asked = right = 0
            for path, text, at in places(texts, arguments.places, arguments.seed):
                asked += 1
                right += ask(found.group(), path, text, at).startswith(text[at])
        finally:
            server.terminate()
    print(f"{right} of {asked} keys ({right / asked:.1%}) are what the model had written")


if __name__ == "__main__":
    main()
