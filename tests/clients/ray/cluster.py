"""Runs a job on two local Ray nodes of one processor each, and kills one of them while commands run on both.

Takes the job's folder of results, how many of its units are done when nothing goes on until a file is there, that file
and the job's command. Waits for those units, kills the second node as a power cut would, waits until no process of its
command is left, makes the file, and waits for the job. Prints what the job prints, then `job: ` and its exit code; fails
if anything is otherwise.

    python cluster.py --out DIR --done N --gate FILE -- python ray_translate.py ARGUMENTS
"""

import argparse
import atexit
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

# Ray reads these when it is imported. Other work on the machine is no reason to kill a task, and nobody is told of tests.
os.environ |= {"RAY_memory_monitor_refresh_ms": "0", "RAY_USAGE_STATS_ENABLED": "0"}

from ray.cluster_utils import Cluster  # noqa: E402

# Longest wait for one thing, in seconds; for a busy machine.
PATIENCE = 300


def wait_for(what: str, is_so: Callable[[], bool], job: subprocess.Popen) -> None:
    end = time.monotonic() + PATIENCE
    while not is_so():
        if job.poll() is not None:
            sys.exit(f"cluster: the job ended with {job.returncode} before {what}")
        if time.monotonic() > end:
            sys.exit(f"cluster: {what}: not in {PATIENCE} s")
        time.sleep(0.05)


def count_done(out: Path) -> int:
    done = 0
    for journal in out.glob(".infill/journal/*.jsonl"):
        entries = [json.loads(line) for line in journal.read_text().splitlines(keepends=True) if line.endswith("\n")]
        done += sum("key" in entry and "outcome" in entry for entry in entries)
    return done


def parents() -> dict[int, int]:
    """The parent of each process that has not ended."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # After the name, which may hold anything: state, parent.
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if state not in "ZX":
            found[int(stat.parent.name)] = int(parent)
    return found


def below(roots: set[int]) -> set[int]:
    """Processes and all that they have started."""
    found, parent_of = set(roots), parents()
    while more := {process for process, parent in parent_of.items() if parent in found} - found:
        found |= more
    return found


def is_translating(process: int) -> bool:
    try:
        return b"translate" in Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")[1:2]
    except OSError:
        return False


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--done", type=int, required=True)
    parser.add_argument("--gate", type=Path, required=True)
    parser.add_argument("job", nargs="+")
    arguments = parser.parse_args()

    # Paths of sockets are short, so not below whatever TMPDIR is.
    os.environ["RAY_TMPDIR"] = folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    node = {"num_cpus": 1, "object_store_memory": 80 << 20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    job = None
    try:
        doomed = cluster.add_node(**node)
        job = subprocess.Popen(arguments.job, env=os.environ | {"RAY_ADDRESS": cluster.address})
        wait_for("what may be done is done", lambda: count_done(arguments.out) == arguments.done, job)
        [raylet] = doomed.all_processes["raylet"]
        commands = {process for process in below({raylet.process.pid}) if is_translating(process)}
        if len(commands) != 1:
            sys.exit(f"cluster: {len(commands)} commands on the node that is to be killed")
        orphans = below(commands)
        # Workers first: one that sees its node die kills what it has started, which no power cut and no worker that is
        # out of memory waits for.
        parent_of = parents()
        for worker in {parent_of[command] for command in commands}:
            os.kill(worker, signal.SIGKILL)
        cluster.remove_node(doomed, allow_graceful=False)
        wait_for("the dead node's command is gone", lambda: not orphans & parents().keys(), job)
        print(f"cluster: killed a node with {len(orphans)} processes of its command", flush=True)
        arguments.gate.touch()
        print(f"job: {job.wait(PATIENCE)}", flush=True)
    finally:
        # First what waits for the gate, so that nothing stays behind.
        arguments.gate.touch()
        if job and job.poll() is None:
            job.terminate()
            job.wait(PATIENCE)
        cluster.shutdown()


if __name__ == "__main__":
    main()
