"""Maps `infill translate` over the nodes of a Ray cluster: each shard a task, done anew elsewhere when its node dies.

Takes a command that translates; runs it as `--shard 1/N` to `--shard N/N` over one folder of results, on a disk that all
nodes share, then once without `--shard`, which does nothing twice and writes the reports that were asked for. Gives the
exit code that one run would have given: 0 all units got as far as was asked for; 1 a shard failed; 2 the command line is
wrong; 3 some units got less far; 4 a budget was used up or somebody stopped the job. README.md says how to submit it.

    python ray_translate.py --shards N -- infill translate ARGUMENTS
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import uuid
from collections import deque
from pathlib import Path

# Ray would hold lines back that look alike, such as those of shards that are equally far. It reads this once.
os.environ.setdefault("RAY_DEDUP_LOGS", "0")

import ray  # noqa: E402
from ray.exceptions import RayError  # noqa: E402

FAILED, WRONG, SHORT, STOPPED = 1, 2, 3, 4
# Which exit code speaks for all: the first of these that any part of the job ended with.
GRAVEST = (WRONG, FAILED, STOPPED, SHORT, 0)

# Of the last run only: a shard knows its own units and no others.
REPORTS = ("--junit", "--sarif", "--summary", "--report")

# Becomes the command, which the system kills when its parent, the worker of this task, is gone: its node may be dead for
# Ray and run on. Ray's workers have threads, so this is a program and no function that runs between fork and exec.
BOUND = """
import ctypes, os, signal, sys
PR_SET_PDEATHSIG = 1
if ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
    sys.exit("prctl fails: the command would outlive its worker")
if os.getppid() != int(sys.argv[1]):
    sys.exit("the worker is gone")
try:
    os.execvp(sys.argv[2], sys.argv[2:])
except OSError as error:
    sys.exit(f"cannot run {sys.argv[2]}: {error.strerror}")
"""


class Killed(Exception):
    """Somebody on its node ended a command; another node may fare better."""


def run(name: str, command: list[str], folder: str, mark: str) -> tuple[int, str]:
    """Runs a command in a folder, on whatever node this is; gives its exit code and what it said in the end.

    Its progress goes to the job's output line by line. Raises `Killed` if it was ended from outside.
    """
    node = socket.gethostname()
    if not Path(folder, mark).is_file():
        return FAILED, f"{node} does not see {Path(folder, mark).parent.parent}: --out must be on a disk that all nodes share"
    bound = [sys.executable, "-c", BOUND, str(os.getpid()), *command]
    last = deque(maxlen=20)
    with tempfile.TemporaryFile("w+") as said:
        child = subprocess.Popen(
            bound, cwd=folder, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.PIPE, text=True, errors="replace"
        )
        for line in child.stderr:
            last.append(line)
            print(f"{name}: {line}", end="", flush=True)
        code = child.wait()
        said.seek(0)
        # The job may be over before its output has the last lines of a command that failed, so they come along.
        end = (said.read() or "".join(last)).strip()
    # A node that shuts down in good order tells its processes to end, and `infill` does, with the code of a stop.
    if code < 0 or (code == STOPPED and "--budget" not in command):
        raise Killed(f"ended from outside on {node}: {end or f'signal {-code}'}")
    return code if code in GRAVEST else FAILED, end


class Command:
    """An `infill translate` command, taken apart into what shards are given and what the last run is."""

    def __init__(self, words: list[str]):
        if len(words) < 2 or words[1] != "translate":
            raise ValueError("after -- comes the command, such as `infill translate --from python --to rust src`")
        self.start, self.out = words[:2], "translated"
        self.common, self.budgets, self.reports = [], [], []
        rest = iter(words[2:])
        for word in rest:
            if word == "--":
                self.common += [word, *rest]
                break
            flag, has_value, value = word.partition("=")
            if flag == "--shard":
                raise ValueError("--shard is given to each shard by this script; leave it out")
            if flag not in (*REPORTS, "--budget", "--out", "--jsonl"):
                self.common.append(word)
                continue
            value = value if has_value else next(rest, None)
            if value is None:
                raise ValueError(f"{flag} needs a value")
            if flag == "--jsonl" and value == "-":
                raise ValueError("--jsonl - is the standard input of one process; give a file that all nodes see")
            if flag == "--out":
                self.out = value
            whose = self.reports if flag in REPORTS else self.budgets if flag == "--budget" else self.common
            whose += [flag, value]

    def of_shard(self, index: int, count: int) -> list[str]:
        return [*self.start, "--shard", f"{index}/{count}", *self.budgets, *self.common]

    def of_the_last_run(self, is_all_done: bool) -> list[str]:
        """Reports on everything; what shards have left undone stays so, since one node alone would have to do it."""
        budget = [] if is_all_done else ["--budget", "minutes=0.000000001"]
        return [*self.start, *budget, *self.reports, *self.common]


def job(arguments: argparse.Namespace, command: Command, mark: str) -> int:
    """Runs all shards and the last run; gives the exit code that speaks for all."""
    task = ray.remote(
        num_cpus=arguments.cpus,
        num_gpus=arguments.gpus,
        max_retries=arguments.retries,
        retry_exceptions=[Killed],
        scheduling_strategy="SPREAD",
    )(run)

    def start(name: str, words: list[str]) -> ray.ObjectRef:
        return task.options(name=name).remote(name, words, arguments.folder, mark)

    def end(name: str, ref: ray.ObjectRef) -> int:
        try:
            code, said = ray.get(ref)
        except RayError as error:
            code, said = FAILED, f"given up after {arguments.retries} retries: {getattr(error, 'cause', None) or error}"
        print(f"{name}: {said}" + (f" (exit code {code})" if code else ""), flush=True)
        return code

    count = arguments.shards
    names = {f"shard {index}/{count}": command.of_shard(index, count) for index in range(1, count + 1)}
    running = {start(name, words): name for name, words in names.items()}
    codes = []
    while running:
        [ref], _ = ray.wait(list(running), num_returns=1)
        codes.append(end(running.pop(ref), ref))
        print(f"{len(codes)} of {count} shards are over", flush=True)
        if codes[-1] == WRONG:
            # All others would say the same.
            for other in running:
                ray.cancel(other, force=True)
            return WRONG
    is_all_done = all(code in (0, SHORT) for code in codes)
    codes.append(end("all", start("all", command.of_the_last_run(is_all_done))))
    return next(code for code in GRAVEST if code in codes)


def read_arguments(words: list[str]) -> tuple[argparse.Namespace, Command]:
    own, command = words, []
    if "--" in words:
        place = words.index("--")
        own, command = words[:place], words[place + 1 :]
    parser = argparse.ArgumentParser(
        description="Maps `infill translate` over the nodes of a Ray cluster.",
        usage="ray_translate.py --shards N [options] -- infill translate ARGUMENTS",
    )
    parser.add_argument("--shards", type=int, required=True, metavar="N", help="shares of the work; several a node")
    parser.add_argument("--cpus", type=float, default=1, metavar="N", help="processors of its node that a shard takes (1)")
    parser.add_argument("--gpus", type=float, default=0, metavar="N", help="GPUs of its node that a shard takes (0)")
    parser.add_argument("--retries", type=int, default=3, metavar="N", help="times that a shard may lose its node (3); -1: any")
    parser.add_argument("--folder", default=os.getcwd(), metavar="DIR", help="where commands run, on all nodes (here)")
    arguments = parser.parse_args(own)
    if arguments.shards < 1:
        parser.error(f"--shards {arguments.shards} is no number from 1")
    if arguments.cpus < 0 or arguments.gpus < 0 or arguments.retries < -1:
        parser.error("--cpus, --gpus and --retries are no negative numbers, but for --retries -1")
    arguments.folder = os.path.abspath(arguments.folder)
    try:
        return arguments, Command(command)
    except ValueError as error:
        parser.error(str(error))


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def main() -> int:
    arguments, command = read_arguments(sys.argv[1:])
    # A node that does not see this file would put results where nobody finds them.
    mark = os.path.join(command.out, ".infill", f"ray-{uuid.uuid4().hex}")
    path = Path(arguments.folder, mark)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        print(f"ray_translate: cannot write {path}: {error.strerror}", file=sys.stderr)
        return FAILED
    try:
        ray.init()
        # As Ray stops a job; after `init`, which has a handler of its own.
        signal.signal(signal.SIGTERM, interrupt)
        return job(arguments, command, mark)
    except KeyboardInterrupt:
        print("ray_translate: stopped; the same command goes on where this one was", file=sys.stderr)
        return STOPPED
    finally:
        path.unlink(missing_ok=True)
        ray.shutdown()


if __name__ == "__main__":
    sys.exit(main())
