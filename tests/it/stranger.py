"""A language server that is not ours and knows none of our extensions: it suggests the rest of a line of one file.

    python stranger.py FILE [MILLISECONDS]

It answers with a bare list, so many milliseconds after it was asked, counts columns in UTF-16 and speaks for itself:
when the client goes, its document must be FILE again, else it ends with an error.
"""

import json
import sys
import time

WHOLE = open(sys.argv[1], encoding="utf-8", newline="").read()
DELAY = float(sys.argv[2]) / 1000 if len(sys.argv) > 2 else 0.0


def send(message):
    body = json.dumps({"jsonrpc": "2.0", **message}).encode()
    sys.stdout.buffer.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
    sys.stdout.buffer.flush()


def messages():
    while header := sys.stdin.buffer.readline().strip():
        length = int(header.split(b":")[1])
        sys.stdin.buffer.readline()
        yield json.loads(sys.stdin.buffer.read(length))


def offset(text, place):
    lines = text.split("\n")
    line = lines[place["line"]].encode("utf-16-le")
    assert 2 * place["character"] <= len(line), f"{place} is not in the text"
    column = len(line[: 2 * place["character"]].decode("utf-16-le"))
    return sum(len(line) + 1 for line in lines[: place["line"]]) + column


def suggest(text, place):
    """The rest of the first line of the file that begins as the cursor's does."""
    at = offset(text, place)
    left = text[text.rfind("\n", 0, at) + 1 : at]
    right = text[at:].split("\n")[0]
    for line in WHOLE.split("\n"):
        if len(left.strip()) > 2 and line.startswith(left) and line.endswith(right) and len(line) > len(left + right):
            end = {"line": place["line"], "character": place["character"] + len(right.encode("utf-16-le")) // 2}
            return [{"insertText": line[len(left) :], "range": {"start": place, "end": end}}]
    return []


def main():
    text = closed = ""
    for message in messages():
        method, params, id = message.get("method"), message.get("params"), message.get("id")
        if method == "initialize":
            # A client must answer questions, too, whenever they come.
            send({"id": "own", "method": "workspace/configuration", "params": {"items": [{}, {}]}})
            send({"id": id, "result": {"capabilities": {"textDocumentSync": 2, "inlineCompletionProvider": {}}}})
        elif id == "own":
            assert message["result"] == [None, None], message
        elif method == "textDocument/didOpen":
            text = params["textDocument"]["text"]
        elif method == "textDocument/didChange":
            for change in params["contentChanges"]:
                start, end = (offset(text, change["range"][side]) for side in ("start", "end"))
                text = text[:start] + change["text"] + text[end:]
        elif method == "textDocument/inlineCompletion":
            time.sleep(DELAY)
            send({"method": "window/logMessage", "params": {"type": 4, "message": "asked"}})
            send({"id": id, "result": suggest(text, params["position"])})
        elif method == "textDocument/didClose":
            closed = text
        elif method == "shutdown":
            send({"id": id, "result": None})
        elif method == "exit":
            sys.exit(0 if closed == WHOLE else "the text is another one than the file's")
        elif id is not None and method:
            send({"id": id, "error": {"code": -32601, "message": "unknown"}})


main()
