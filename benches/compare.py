"""The runs behind `compare.sh`: infill and llama.cpp in turn, and a table of what came out.

The two engines alternate, A B A B, so that a slow minute hits both; figures are medians over the rounds. A busy core is a
loop in a process of its own, started on the last core before the run and ended after it.
"""

import argparse
import contextlib
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import time
from pathlib import Path

KINDS = ["q8_0", "q4_0", "q4_k", "q6_k"]
PROMPT, GENERATE, WINDOW = 512, 64, 1000
ROOT = Path(__file__).resolve().parent.parent
# Code of this repository, in more than one language.
FILES = ["server/text/src/document.rs", "server/pretrain/train.py", "tests/clients/node/client.mjs"]


def run(command):
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise SystemExit(f"{shlex.join(map(str, command))} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout)


@contextlib.contextmanager
def neighbour(is_busy):
    """Another process that keeps the last core busy, or none."""
    if not is_busy:
        yield
        return
    cores = sorted(os.sched_getaffinity(0))
    loop = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        os.sched_setaffinity(loop.pid, {cores[-1]})
        time.sleep(0.2)
        yield
    finally:
        loop.kill()
        loop.wait()


def engine_infill(arguments, model, rounds):
    command = [arguments.infill, "bench", "engine", "--model", model, "--threads", arguments.threads, "--prompt", PROMPT]
    figures = run([str(part) for part in [*command, "--generate", GENERATE, "--repeat", rounds, "--lookup", "--json"]])
    lookup = figures["lookup"]
    extra = {"memory": figures["memory_tps"]["rounds"], "gain": [lookup["gain"]], "tokens": [lookup["tokens_a_pass"]]}
    return figures["prefill"]["rounds"], figures["decode"]["rounds"], extra


def engine_llama(arguments, model, rounds):
    command = [arguments.llama / "llama-bench", "-m", model, "-t", arguments.threads, "-p", PROMPT, "-n", GENERATE]
    reading, writing = run([str(part) for part in [*command, "-r", rounds, "-ngl", 0, "-o", "json"]])
    assert reading["n_prompt"] == PROMPT and writing["n_gen"] == GENERATE
    return reading["samples_ts"], writing["samples_ts"], {}


def engines(arguments, is_busy):
    turns, rounds = (1, 3) if arguments.quick else (3, 3)
    table = []
    for kind in KINDS:
        model = arguments.models / f"random-{kind}.gguf"
        speeds = {"infill": ([], []), "llama.cpp": ([], [])}
        extras = {"memory": [], "gain": [], "tokens": []}
        for _ in range(turns):
            for name, measure in ("infill", engine_infill), ("llama.cpp", engine_llama):
                with neighbour(is_busy):
                    reading, writing, extra = measure(arguments, model, rounds)
                speeds[name][0].extend(reading)
                speeds[name][1].extend(writing)
                for part, figures in extra.items():
                    extras[part].extend(figures)
        medians = {name: [statistics.median(part) for part in parts] for name, parts in speeds.items()}
        row = {"kind": kind, "busy": is_busy} | {part: statistics.median(extra) for part, extra in extras.items()}
        for at, part in enumerate(("prefill", "decode")):
            ours, theirs = medians["infill"][at], medians["llama.cpp"][at]
            row[part] = {"infill": ours, "llama.cpp": theirs, "ratio": ours / theirs}
        table.append(row)
        say(f"  {kind}: {row['prefill']['ratio']:.2f} x prefill, {row['decode']['ratio']:.2f} x decode")
    return table


def typing(arguments, is_busy):
    """The same script of keys for both, each in its own process with its own files open."""
    model = arguments.models / "random-q8_0.gguf"
    server = [sys.executable, ROOT / "benches/llama_bridge.py", "--server", arguments.llama / "llama-server"]
    server += ["--model", model, "--threads", arguments.threads, "--window", WINDOW]
    # Beside a busy core the rival takes seconds a key, so there are fewer keys, for both.
    keys = max(1, arguments.keystrokes // (4 if arguments.quick else 1) // (3 if is_busy else 1))
    command = [arguments.infill, "bench", "latency", *arguments.files, "--keystrokes", keys, "--json"]
    if arguments.pace:
        command += ["--pace", arguments.pace]
    settings = shlex.split(arguments.settings.format(threads=arguments.threads, window=WINDOW))
    servers = {
        "infill, the built-in model": [arguments.infill, "lsp", *settings],
        "infill": [arguments.infill, "lsp", "--model", model, *settings],
        "llama-server": server,
    }
    table = {}
    for name, server in servers.items():
        with neighbour(is_busy):
            line = shlex.join(str(part) for part in server)
            table[name] = run([str(part) for part in [*command, "--server", line]])
        say(f"  {name}: {table[name]['latency_ms']['p50']} ms at p50")
    return table


def say(text):
    print(text, file=sys.stderr, flush=True)


def markdown(results):
    lines = [f"{results['machine']}, {results['threads']} threads; medians of rounds in turn."]
    title = {False: "", True: ", one core kept busy by another process"}
    for is_busy in (False, True):
        rows = [row for row in results.get("engine", []) if row["busy"] == is_busy]
        if rows:
            lines += ["", f"Tokens a second, prefill of {PROMPT} and decode of {GENERATE}{title[is_busy]}:", ""]
            head = ["weights", "prefill: infill", "llama.cpp", "ratio", "decode: infill", "llama.cpp", "ratio"]
            head += ["memory allows", "lookup on code", "tokens a pass"]
            lines += [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
        for row in rows:
            parts = [row["kind"].upper()]
            for part in (row["prefill"], row["decode"]):
                parts += [f"{part['infill']:,.0f}", f"{part['llama.cpp']:,.0f}", f"**{part['ratio']:.2f}**"]
            parts += [f"{row['memory']:,.0f}", f"{row['gain']:.2f} ×", f"{row['tokens']:.2f}"]
            lines.append(f"| {' | '.join(parts)} |")
    for is_busy in (False, True):
        replay = results.get("typing", {}).get("busy" if is_busy else "quiet")
        if replay:
            lines += ["", *replay_table(replay, title[is_busy])]
    return "\n".join(lines) + "\n"


def replay_table(replay, title):
    own, same, theirs = replay.values()
    yield f"Milliseconds from a key to its answer, a window of {WINDOW:,} tokens{title}."
    yield "The random model seldom ends a line, so its answers are long: see the tokens decoded; both limits are 64."
    yield ""
    yield f"| | {' | '.join(replay)} | llama-server against the built-in | against the same model |"
    yield "|---|" + "---|" * (len(replay) + 2)
    rows = [
        ("key, p50", "latency_ms", "p50"),
        ("key, p95", "latency_ms", "p95"),
        ("jump, p50", "jump_ms", "p50"),
        ("jump, p95", "jump_ms", "p95"),
    ]
    for name, key, part in rows:
        own_ms, same_ms, their_ms = ((report[key] or {}).get(part) for report in (own, same, theirs))
        cells = ["" if ms is None else f"{ms:,.1f}" for ms in (own_ms, same_ms, their_ms)]
        cells += [f"**{their_ms / ms:.1f} ×**" if ms and their_ms else "" for ms in (own_ms, same_ms)]
        yield f"| {name} | {' | '.join(cells)} |"
    rows = [
        ("tokens prefilled a key, p50 / p95", lambda report: spread(report["tokens_prefilled"])),
        ("tokens decoded a key, p50 / p95", lambda report: spread(report["tokens_decoded"])),
        ("keys without a decode step", lambda report: share(report["zero_decode_share"])),
        ("keys foreseen by what was shown", lambda report: share(report["foreseen_share"])),
        ("of these, without a decode step", lambda report: share(report["zero_decode_foreseen_share"])),
        ("keys saved, at golf", lambda report: share(report["keystrokes_saved_share"])),
        ("peak memory, MB", lambda report: f"{report['rss_mb']:,.0f}"),
        ("CPU, seconds", lambda report: f"{report['cpu_s']:,.1f}"),
        ("CPU when idle", lambda report: share(report["idle_cpu_share"])),
    ]
    for name, cell in rows:
        yield f"| {name} | {' | '.join(cell(report) for report in replay.values())} | | |"


def spread(tokens):
    return f"{tokens['p50']:.0f} / {tokens['p95']:.0f}" if tokens else ""


def share(figure):
    return "" if figure is None else f"{100 * figure:.1f}%"


def machine():
    names = [line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {len(os.sched_getaffinity(0))} cores"


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--infill", required=True, type=lambda path: Path(path).resolve())
    arguments.add_argument("--llama", required=True, type=Path, help="the folder of llama.cpp's programs")
    arguments.add_argument("--models", required=True, type=Path)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--settings", default="--threads {threads} --window {window}", help="more flags for `infill lsp`")
    arguments.add_argument("--keystrokes", type=int, default=240)
    arguments.add_argument("--pace", type=int, help="milliseconds between keys; without it, the next follows the answer")
    arguments.add_argument("--quick", action="store_true")
    arguments.add_argument("--only", choices=["engine", "typing"])
    arguments.add_argument("--json", type=Path, help="also write all figures here")
    arguments.add_argument("files", nargs="*", default=[ROOT / file for file in FILES])
    arguments = arguments.parse_args()
    results = {"machine": machine(), "threads": arguments.threads, "date": time.strftime("%Y-%m-%d")}
    results |= {"engine": [], "typing": {}}
    try:
        for is_busy in (False, True) if arguments.only != "typing" else ():
            say(f"engines, {'a busy core' if is_busy else 'quiet'}")
            results["engine"] += engines(arguments, is_busy)
        for is_busy in (False, True) if arguments.only != "engine" else ():
            say(f"typing, {'a busy core' if is_busy else 'quiet'}")
            results["typing"]["busy" if is_busy else "quiet"] = typing(arguments, is_busy)
    finally:
        # What was measured before something failed is not lost.
        if arguments.json:
            arguments.json.write_text(json.dumps(results, indent=2) + "\n")
        print(markdown(results), end="")


if __name__ == "__main__":
    main()
