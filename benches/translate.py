#!/usr/bin/env python3
"""What `infill translate` costs besides the model: a batch against one unit at a time, the driver's own share of the
processor's time, and memory over many units. Prints Markdown.

    benches/translate.py --infill target/release/infill --model MODEL [--threads N] [batch] [driver] [memory]

MODEL is any model that translates; one of random weights serves as well as another for speed
(`benches/random_model.py FOLDER`, then `infill model quantize`), since every answer is cut at a fixed length. Units are
functions of this repository's own Python programs, each with a number of its own so that no two prompts are the same.

The driver's share is the processor time of all threads but the engine's, as the system counts it for each thread, over
that of all threads. There are no checks but the grammar's, which count as the driver's here.
"""

import argparse
import ast
import json
import statistics
import subprocess
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# The threads that run the model, by the names that the engine and its pool give them.
OF_MODEL = ("engine", "glm-")


def functions():
    """The text of every short function in this repository's Python files, in order of path."""
    for path in [*sorted(ROOT.glob("benches/*.py")), *sorted(ROOT.glob("server/**/*.py"))]:
        source = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef):
                text = ast.get_source_segment(source, node)
                if text and 4 <= text.count("\n") <= 20:
                    yield text


def write_units(path, count):
    with path.open("w", encoding="utf-8") as file:
        for number, text in enumerate(islice(cycle(list(functions())), count)):
            file.write(json.dumps({"id": str(number), "code": f"# unit {number}\n{text}\n"}) + "\n")


def seconds_of_threads(process):
    """Processor seconds of each thread so far, by its number, with its name."""
    seconds = {}
    for task in Path(f"/proc/{process}/task").iterdir():
        try:
            name, _, rest = (task / "stat").read_text().partition("(")[2].rpartition(")")
            fields = rest.split()
            seconds[task.name] = (name, (int(fields[11]) + int(fields[12])) / 100)
        except (FileNotFoundError, ProcessLookupError):
            pass
    return seconds


def resident_mib(process):
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def translate(arguments, units, at_once, max_tokens):
    """Runs it; gives the report, processor seconds by thread, and (units done, MiB) while it ran."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [arguments.infill, "translate", "--from", "python", "--to", "rust", "--jsonl", str(units)]
        command += ["--out", f"{folder}/out", "--report", str(report), "--repair", "0", "--model", arguments.model]
        command += ["--threads", str(arguments.threads), "--at-once", str(at_once)]
        command += ["--max-tokens", str(max_tokens)]
        with open(f"{folder}/said", "w+", encoding="utf-8") as said:
            process = subprocess.Popen(command, stdout=said, stderr=said)
            threads, memory, looked = {}, [], 0.0
            while process.poll() is None:
                try:
                    threads.update(seconds_of_threads(process.pid))
                    if time.monotonic() - looked > 1:
                        looked = time.monotonic()
                        said.flush()
                        done = Path(said.name).read_text(encoding="utf-8").count("\n")
                        memory.append((done, resident_mib(process.pid)))
                except FileNotFoundError:
                    break
                time.sleep(0.05)
            code = process.wait()
            if code not in (0, 3):
                raise SystemExit(f"{' '.join(command)} ended with {code}:\n{Path(said.name).read_text()}")
        return json.loads(report.read_text()), threads, memory


def speed(report):
    """Tokens written a second, loading of the model included."""
    return report["counts"]["written"] / report["seconds"]


def batch(arguments, folder):
    """A batch against one unit at a time, in turn."""
    units = folder / "units.jsonl"
    write_units(units, arguments.units)
    speeds = {1: [], arguments.units: []}
    for _ in range(arguments.rounds):
        for at_once, seen in speeds.items():
            report, _, _ = translate(arguments, units, at_once, arguments.tokens)
            seen.append(speed(report))
    counts = report["counts"]
    read, written = counts["read"] / arguments.units, counts["written"] / arguments.units
    print(f"{arguments.units} units of {read:.0f} tokens read and {written:.0f} written, {arguments.rounds} rounds\n")
    print("| at once | tokens written a second, median | lowest | highest |\n|---|---|---|---|")
    for at_once, seen in speeds.items():
        print(f"| {at_once} | {statistics.median(seen):.0f} | {min(seen):.0f} | {max(seen):.0f} |")
    ratios = [many / one for one, many in zip(*speeds.values())]
    print(f"\nratio of neighbours: median {statistics.median(ratios):.2f}", end="")
    print(f", {min(ratios):.2f} to {max(ratios):.2f}\n")


def driver(arguments, folder):
    """Processor time that is not the model's."""
    units = folder / "units.jsonl"
    write_units(units, arguments.units)
    _, threads, _ = translate(arguments, units, arguments.units, arguments.tokens)
    by_name = {}
    for name, seconds in threads.values():
        by_name[name] = by_name.get(name, 0.0) + seconds
    of_model = sum(seconds for name, seconds in by_name.items() if name.startswith(OF_MODEL))
    total = sum(by_name.values())
    print("| threads | processor seconds | share |\n|---|---|---|")
    for name, seconds in sorted(by_name.items(), key=lambda item: -item[1]):
        print(f"| {name} | {seconds:.2f} | {100 * seconds / total:.2f}% |")
    print(f"\nall but the model: {100 * (total - of_model) / total:.2f}%\n")


def memory(arguments, folder):
    """Resident memory over many units that write little."""
    units = folder / "many.jsonl"
    write_units(units, arguments.many)
    _, _, seen = translate(arguments, units, 64, 4)
    print(f"{arguments.many} units of 4 tokens written\n\n| units done | resident MiB |\n|---|---|")
    for wanted in range(1, 11):
        done, mib = min(seen, key=lambda point: abs(point[0] - wanted * arguments.many / 10))
        print(f"| {done} | {mib:.0f} |")
    print()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--infill", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--units", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=128, help="most tokens of an answer")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--many", type=int, default=10_000, help="units of the memory figures")
    parser.add_argument("what", nargs="*", choices=["batch", "driver", "memory", []], default=[])
    arguments = parser.parse_args()
    parts = {"batch": batch, "driver": driver, "memory": memory}
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.what or parts:
            parts[name](arguments, Path(folder))


if __name__ == "__main__":
    main()
