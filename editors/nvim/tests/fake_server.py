"""A language server whose answers a test knows beforehand, and which can be slow, hang or die.

Takes one JSON object as its argument:
  items       lines that it knows; a line that begins as one of them is completed with it (and with
              every other line that begins so)
  encoding    what columns count (default utf-8)
  loading     true: it says 43 % first, and is ready when a file named `ready` is in its folder
  mute        true: it answers `initialize` and then nothing more
  deaf        true: it answers `initialize` and then does not even read
  log         a file that gets every message, one a line
"""

import json
import os
import sys
import threading
import time

script = json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}
encoding = script.get("encoding", "utf-8")
documents = {}
asked = {}
lock = threading.Lock()


def send(message):
    body = json.dumps({"jsonrpc": "2.0", **message}).encode()
    with lock:
        sys.stdout.buffer.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        sys.stdout.buffer.flush()


def read():
    length = 0
    while (header := sys.stdin.buffer.readline().strip()) != b"":
        name, _, value = header.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    if length == 0:
        sys.exit(1)
    return json.loads(sys.stdin.buffer.read(length))


def units(text):
    """How many units of the encoding a text has."""
    if encoding == "utf-16":
        return len(text.encode("utf-16-le")) // 2
    return len(text.encode()) if encoding == "utf-8" else len(text)


def is_ready():
    return not script.get("loading") or os.path.exists("ready")


def state():
    return "ready" if is_ready() else "loading"


def say_status(uri=None):
    send(
        {
            "method": "didChangeStatus",
            "params": {
                "kind": "Normal",
                "busy": not is_ready(),
                "message": "the model is loading" if not is_ready() else "fake-1 is ready",
                "infill": {
                    "state": state(),
                    "model": "fake-1",
                    "percent": None if is_ready() else 43,
                    "uri": uri,
                    "why": None,
                    "ms": 7.2 if is_ready() else None,
                },
            },
        }
    )


def completion(params):
    uri, position = params["textDocument"]["uri"], params["position"]
    if not is_ready():
        return {"items": []}
    line = documents[uri].split("\n")[position["line"]].rstrip("\r")
    before = ""
    for letter in line:
        if units(before) >= position["character"]:
            break
        before += letter
    after = line[len(before) :]
    typed = before.lstrip()
    begin = units(before) - units(typed)
    # What stands behind the cursor is replaced if the item ends with it.
    found = [
        (item, position["character"] + (units(after) if item.endswith(after) else 0))
        for item in script.get("items", [])
        if item.startswith(typed) and item != typed
    ]
    if params["context"]["triggerKind"] == 2:
        found = found[:1]
    asked.update(uri=uri, position=position, trigger="automatic", prompt="the [MASK] of it")
    start = {"line": position["line"], "character": begin}
    command = {"title": "accepted", "command": "infill.didAccept", "arguments": [7]}
    return {
        "items": [
            {"insertText": item, "range": {"start": start, "end": {**start, "character": end}}, "command": command}
            for item, end in found
        ]
    }


def task(argument):
    if argument["kind"] == "tests":
        return None, {"code": -32803, "message": "fake-1 cannot write tests: infill model pull a-model-that-chats"}
    text = {"explain": "It adds\ntwo numbers.", "comment": "# adds\nreturn a + b"}.get(argument["kind"], "return a + b")
    for part in text.partition("\n"):
        send({"method": "$/progress", "params": {"token": argument["partialResultToken"], "value": {"text": part}}})
        time.sleep(0.1)
    return {"text": text, "language": "python"}, None


def pull(params):
    token = params["workDoneToken"]
    for value in ({"kind": "begin", "title": "pulling"}, {"kind": "report", "percentage": 50}, {"kind": "end"}):
        send({"method": "$/progress", "params": {"token": token, "value": value}})
        time.sleep(0.05)
    return {"name": params["arguments"][0], "licence": "a licence", "notice": None}


def execute(params):
    command = params["command"]
    if command == "infill.task":
        return task(params["arguments"][0])
    if command == "infill.pullModel":
        return pull(params), None
    if command == "infill.listModels":
        models = [{"name": "mine", "bytes": 2000000000, "path": "/m"}]
        known = [{"name": "yours", "repository": "o/yours", "licence": "a licence"}]
        return {"current": "fake-1", "models": models, "known": known}, None
    return None, None


def answer(method, params):
    """Result and error of a request."""
    if method == "initialize":
        commands = ["infill.selectModel", "infill.listModels", "infill.pullModel", "infill.task", "infill.didAccept"]
        return {
            "capabilities": {
                "positionEncoding": encoding,
                "textDocumentSync": {"openClose": True, "change": 1, "save": True},
                "inlineCompletionProvider": True,
                "executeCommandProvider": {"commands": commands},
            },
            "serverInfo": {"name": "infill", "version": "0.0.0"},
        }, None
    if method == "textDocument/inlineCompletion":
        return completion(params), None
    if method == "infill/status":
        uri = params.get("textDocument", {}).get("uri")
        document = {"active": True, "language": "python", "why": None} if uri else None
        usage = {"shown": 3, "accepted": 2, "kept": 1, "characters": 40}
        return {"state": state(), "model": "fake-1", "version": "0.0.0", "document": document, "usage": usage}, None
    if method == "infill/why":
        return {**asked, "answer": "the answer", "decision": "shown", "record": {"timings_ms": {"total": 7.2}}} if asked else None, None
    if method == "workspace/executeCommand":
        return execute(params)
    return None, None


def heed(method, params):
    """What a notification changes."""
    if method == "textDocument/didOpen":
        documents[params["textDocument"]["uri"]] = params["textDocument"]["text"]
    elif method == "textDocument/didChange":
        documents[params["textDocument"]["uri"]] = params["contentChanges"][-1]["text"]
    elif method == "textDocument/didFocus":
        say_status(params["textDocument"]["uri"])
    elif method == "initialized":
        say_status()
        if script.get("loading"):
            threading.Thread(target=wait_until_ready, daemon=True).start()
    elif method == "exit":
        os._exit(0)


def wait_until_ready():
    while not is_ready():
        time.sleep(0.02)
    say_status(next(iter(documents), None))


while True:
    message = read()
    method, params = message.get("method"), message.get("params") or {}
    if "log" in script:
        with open(script["log"], "a") as log:
            log.write(json.dumps(message) + "\n")
    if script.get("mute") and method not in ("initialize", "shutdown", "exit"):
        continue
    if "id" in message:
        result, error = answer(method, params)
        send({"id": message["id"], **({"error": error} if error else {"result": result})})
        if script.get("deaf"):
            time.sleep(3600)
    elif method:
        heed(method, params)
