"""A language server that knows nothing but inline completion, and leaves that to llama-server's `/infill`.

    python llama_bridge.py --server PATH/TO/llama-server --model FILE.gguf [--threads 2] [--window 1000]

The rival of the comparison, asked the way llama.vim does: 256 lines before the cursor and 64 behind it, `cache_prompt`,
at most 64 tokens, the best token each time. Its window of tokens is held to the one of ours (through llama-server's batch,
which `/infill` fills with three parts of prefix to one of suffix). A cancelled request ends by closing its connection,
which is how llama-server learns of it. The server runs on this machine's loopback and ends with the bridge.
"""

import argparse
import http.client
import json
import socket
import subprocess
import sys
import threading
import time

LINES_BEFORE, LINES_BEHIND = 256, 64
# As many as Infill sets aside for a line.
MOST_TOKENS = 64
START_SECONDS = 120


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Llama:
    """llama-server, started here, and the requests under way."""

    def __init__(self, arguments):
        self.port = free_port()
        # The window, the line of the cursor, which llama-server puts on top, and what is written behind them.
        context = arguments.window * 5 // 4 + 2 * MOST_TOKENS
        self.process = subprocess.Popen(
            [
                *(arguments.server, "--model", arguments.model, "--host", "127.0.0.1", "--port", str(self.port)),
                *("--threads", str(arguments.threads), "--threads-batch", str(arguments.threads)),
                *("--ctx-size", str(context), "--batch-size", str(arguments.window), "--parallel", "1"),
                *("--cache-reuse", "256", "--no-webui", "--log-disable"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.wait()

    def wait(self):
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and self.process.poll() is None:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
                connection.request("GET", "/health")
                if connection.getresponse().status == 200:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        self.end()
        raise SystemExit("llama-server does not start")

    def open(self):
        """A connection of its own for a request, so that closing it ends the request and nothing else."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)

    def end(self):
        self.process.terminate()
        self.process.wait()


class Bridge:
    def __init__(self, llama, output):
        self.llama, self.output = llama, output
        self.writing, self.lock = threading.Lock(), threading.Lock()
        self.documents, self.under_way = {}, {}

    def send(self, message):
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        with self.writing:
            self.output.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
            self.output.flush()

    def receive(self, message):
        """Does what a message says; false at the last one."""
        method, params, id = message.get("method"), message.get("params") or {}, message.get("id")
        if method == "initialize":
            offer = params.get("capabilities", {}).get("general", {}).get("positionEncodings", [])
            self.encoding = "utf-8" if "utf-8" in offer else "utf-16"
            capabilities = {"positionEncoding": self.encoding, "textDocumentSync": 2, "inlineCompletionProvider": True}
            self.send({"id": id, "result": {"capabilities": capabilities}})
        elif method == "textDocument/didOpen":
            document = params["textDocument"]
            self.documents[document["uri"]] = document["text"].split("\n")
        elif method == "textDocument/didChange":
            for change in params["contentChanges"]:
                self.change(params["textDocument"]["uri"], change)
        elif method == "textDocument/didClose":
            self.documents.pop(params["textDocument"]["uri"], None)
        elif method == "textDocument/inlineCompletion":
            self.complete(id, params)
        elif method == "$/cancelRequest":
            self.cancel(params["id"])
        elif method == "shutdown":
            self.send({"id": id, "result": None})
        elif method == "exit":
            return False
        elif id is not None and method:
            self.send({"id": id, "error": {"code": -32601, "message": f"{method} is not known here"}})
        return True

    def column(self, line, character):
        """The index of a column in a line."""
        if self.encoding == "utf-8":
            return len(line.encode()[:character].decode(errors="ignore"))
        return len(line.encode("utf-16-le")[: 2 * character].decode("utf-16-le", errors="ignore"))

    def change(self, uri, change):
        lines = self.documents[uri]
        start, end = change["range"]["start"], change["range"]["end"]
        first, last = lines[start["line"]], lines[end["line"]]
        text = first[: self.column(first, start["character"])] + change["text"]
        text += last[self.column(last, end["character"]) :]
        lines[start["line"] : end["line"] + 1] = text.split("\n")

    def complete(self, id, params):
        lines, place = self.documents[params["textDocument"]["uri"]], params["position"]
        number, line = place["line"], lines[place["line"]]
        at = self.column(line, place["character"])
        before = lines[max(0, number - LINES_BEFORE) : number]
        behind = lines[number + 1 : number + 1 + LINES_BEHIND]
        request = {
            "input_prefix": "".join(text + "\n" for text in before),
            "prompt": line[:at],
            "input_suffix": "\n".join([line[at:], *behind]),
            "n_predict": MOST_TOKENS,
            "cache_prompt": True,
            "samplers": ["top_k"],
            "top_k": 1,
            "temperature": 0.0,
            "stream": False,
        }
        connection = self.llama.open()
        with self.lock:
            self.under_way[id] = connection
        threading.Thread(target=self.ask, args=(id, connection, request, place), daemon=True).start()

    def ask(self, id, connection, request, place):
        try:
            connection.request("POST", "/infill", json.dumps(request), {"Content-Type": "application/json"})
            answer = json.load(connection.getresponse())
            text = answer.get("content", "")
        except (OSError, ValueError, AttributeError, http.client.HTTPException):
            text = ""
        with self.lock:
            is_wanted = self.under_way.pop(id, None)
        connection.close()
        if is_wanted:
            items = [{"insertText": text, "range": {"start": place, "end": place}}] if text.strip() else []
            self.send({"id": id, "result": {"items": items}})

    def cancel(self, id):
        with self.lock:
            connection = self.under_way.pop(id, None)
        if connection:
            if connection.sock:
                connection.sock.shutdown(socket.SHUT_RDWR)
            self.send({"id": id, "error": {"code": -32800, "message": "cancelled"}})


def messages(stream):
    while True:
        length = 0
        while (line := stream.readline().strip()) != b"":
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        if not length:
            return
        yield json.loads(stream.read(length))


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--server", required=True, help="llama-server")
    arguments.add_argument("--model", required=True, help="a GGUF file with tokens for filling in the middle")
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--window", type=int, default=1000, help="tokens of the text around the cursor")
    arguments = arguments.parse_args()
    llama = Llama(arguments)
    try:
        bridge = Bridge(llama, sys.stdout.buffer)
        for message in messages(sys.stdin.buffer):
            if not bridge.receive(message):
                break
    finally:
        llama.end()


if __name__ == "__main__":
    main()
