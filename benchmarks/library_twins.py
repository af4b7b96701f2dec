"""Each method here and in Hugging Face PEFT: do both take the same steps, and end equally well?

    OMP_NUM_THREADS=2 python -m benchmarks.library_twins steps
    python -m benchmarks.library_twins quality --workers 14

``steps`` trains both from the same starting values on the same batches in float32, 20 steps, one
seed, and keeps every loss. Beside it stand the same in float64, and how far our own code gets from
itself if every starting value is moved by one rounding. It takes four minutes on a CPU.

``quality`` trains each from starting values of its own, 100 steps, five seeds, two tasks, and
measures the loss on the validation split. A seed decides the starting values and the order of the
texts. Learning rates are those of ``parity.training.methods`` for both libraries and are not tuned.
PEFT's prefix is trained twice: as PEFT starts it, and with our smaller start. On a GPU several
processes train at once, since a single one would wait for kernel launches most of the time.

``--small`` is what a CPU can do of it in some minutes: two methods, one task, 24 steps on short
texts.
"""

from __future__ import annotations

import argparse
import copy
import multiprocessing
import time
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import nn

from peftcourse.experiments import evaluate, models, results, tasks
from peftcourse.experiments.train import TrainConfig
from peftcourse.parity import training

COMMAND = "python -m benchmarks.library_twins"
SEEDS = (0, 1, 2, 3, 4)
TASKS = {"voice": {"voice": "pirate"}, "slots": {}}
LENGTHS = {"voice": 64, "slots": 128}  # tokens; a prompt of slots alone can have more than 64
OUR_START = "prefix, small start"  # PEFT's prefix with the standard deviation of ours
SMALL = ("LoRA", "prefix", OUR_START)


@dataclass(frozen=True)
class Run:
    """One training run of one library."""

    library: str
    method: str
    task: str
    seed: int
    steps: int = 100
    length: int = 64
    model: str = "tiny"
    device: str = "cpu"


@cache
def _loaded(model: str, device: str, task: str, length: int) -> tuple[nn.Module, dict[str, Any]]:
    """A base model in float32 and a task's texts, once for each process."""
    torch.set_num_threads(1)
    base, tokenizer = models.load(model, device=device, dtype=torch.float32)
    data = tasks.load(task, **TASKS[task])
    return base, {
        split: tasks.encode(getattr(data, split), tokenizer, length)
        for split in ("train", "validation")
    }


def quality(run: Run) -> dict[str, Any]:
    """Train one adapter from its library's own start, and measure it."""
    base, data = _loaded(run.model, run.device, run.task, run.length)
    chosen = training.methods(run.steps)["prefix" if run.method == OUR_START else run.method]
    torch.manual_seed(run.seed)
    if run.library == "peftlab":
        model = training.ours(base, chosen.method)
    else:
        model = training.own_start(base, chosen.method)
    if run.method == OUR_START:
        nn.init.normal_(model.model.prompt_encoder["default"].embedding.weight, std=0.02)
    config = TrainConfig(run.steps, learning_rate=chosen.rate, seed=run.seed)
    given = training.batches(data["train"], config, run.device)
    losses = training.fit(model, chosen.method, given, config)
    held_out = data["validation"][:96]
    return {**asdict(run), "first": losses[0], "loss": evaluate.loss(model, held_out)}


def steps(run: Run) -> dict[str, Any]:
    """The losses of both libraries from the same start, and what rounding has to do with them."""
    base, data = _loaded(run.model, run.device, run.task, run.length)
    same = {"steps": run.steps, "seed": run.seed}
    mine, theirs = training.twin_losses(base, run.method, data["train"], **same)
    in_64_bit = training.twin_losses(
        copy.deepcopy(base).double(), run.method, data["train"], **same
    )
    return {
        "method": run.method,
        "gap": _gap(mine, theirs),
        "gap_64_bit": _gap(*in_64_bit),
        "rounding": training.rounding_gap(base, run.method, data["train"], **same),
        "peftlab": mine,
        "peft": theirs,
    }


def _gap(mine: list[float], theirs: list[float]) -> float:
    """The largest difference of a step."""
    return max(abs(a - b) for a, b in zip(mine, theirs, strict=True))


def quality_runs() -> list[Run]:
    """Both libraries, every method, both tasks, five seeds."""
    names = list(training.methods(100))
    pairs = [(library, name) for name in names for library in ("peftlab", "peft")]
    pairs.append(("peft", OUR_START))
    return [
        Run(*pair, task, seed, length=LENGTHS[task])
        for pair in pairs
        for task in TASKS
        for seed in SEEDS
    ]


def main(arguments: list[str] | None = None) -> None:
    """Run one part and write its result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=("steps", "quality"))
    parser.add_argument("--model", default="tiny", help="as for peftcourse.experiments.models.load")
    parser.add_argument("--out", help="the file to write; results/library_….json by default")
    parser.add_argument("--workers", type=int, default=1, help="processes that train at once")
    parser.add_argument("--small", action="store_true", help="a part of it, for a CPU")
    options = parser.parse_args(arguments)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if options.part == "steps":
        runs = [Run("both", name, "voice", 0, 20, 48) for name in training.methods(20)]
        measure, what = steps, (
            "Training loss (nats per token) of the first 20 steps in float32, here and in PEFT, "
            "from the same starting values on the same batches of 8 texts; gap is the largest "
            "difference of a step, gap_64_bit the same in float64, rounding that of our own code "
            "from a start moved by one rounding"
        )  # fmt: skip
    else:
        runs, measure, what = quality_runs(), quality, (
            "Validation loss (nats per token) after some steps of 8 texts in float32, here and in "
            "PEFT, each from starting values of its own; untuned rates, the same for both"
        )  # fmt: skip
    runs = [replace(run, device=device, model=options.model) for run in runs]
    if options.small:
        kept = [run for run in runs if run.method in SMALL and run.task == "voice"]
        runs = [replace(run, steps=min(run.steps, 24), length=32) for run in kept]
    started, records = time.perf_counter(), []
    with multiprocessing.get_context("spawn").Pool(options.workers) as pool:
        for record in pool.imap(measure, runs):
            records.append(record)
            print(f"{len(records)}/{len(runs)} after {time.perf_counter() - started:.0f} s")
    name = {"steps": "library_twins", "quality": "library_quality"}[options.part]
    results.write(
        options.out or f"results/{name}.json",
        what=what,
        command=f"{COMMAND} {options.part}{' --small' if options.small else ''}",
        seeds=sorted({run.seed for run in runs}),
        numbers={"model": options.model, "runs": records},
    )


if __name__ == "__main__":
    main()
