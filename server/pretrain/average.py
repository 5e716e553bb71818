"""Averages the weights of several ends of one run: one model that is better than each of them.

Takes folders of train.py that began as copies of one another; gives a folder with the checkpoint of the last, whose
weights are the mean of all. What differs in them is mostly the noise of their last steps, and that the mean is rid of
("stochastic weight averaging", Izmailov et al., "Averaging weights leads to wider optima and better generalization", 2018).

    python average.py MINUTE290 MINUTE310 MINUTE370 --out MEAN
"""

import argparse
from pathlib import Path

import torch


def average(runs: list[Path]) -> dict:
    """The checkpoint of the last run with the mean of the weights of all; it has no losses yet."""
    checkpoints = [torch.load(run / "checkpoint.pt", map_location="cpu", weights_only=True) for run in runs]
    last = checkpoints[-1]
    for run, checkpoint in zip(runs, checkpoints, strict=True):
        if checkpoint["shape"] != last["shape"]:
            raise SystemExit(f"{run} is a model of another shape than {runs[-1]}: their weights have no mean")
    models = [checkpoint["model"] for checkpoint in checkpoints]
    mean = {name: torch.stack([model[name] for model in models]).mean(0) for name in last["model"]}
    return last | {"model": mean, "valid": {}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of train.py")
    parser.add_argument("--out", type=Path, required=True, help="folder of the new checkpoint")
    options = parser.parse_args()
    checkpoint = average(options.runs)
    options.out.mkdir(parents=True, exist_ok=True)
    torch.save(checkpoint, options.out / "checkpoint.pt")


if __name__ == "__main__":
    main()
