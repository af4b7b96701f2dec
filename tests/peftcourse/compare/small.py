"""A comparison that takes seconds, and engines that train nothing."""

from __future__ import annotations

import math
import os
import sys
import time
from pathlib import Path

from peftcourse.compare import run as running
from peftcourse.compare.plan import COST, Pair, Plan, Run
from peftcourse.compare.search import SEARCH

PAIR = Pair(
    "tiny",
    "voice",
    steps=2,
    batch_size=2,
    max_length=16,
    examples=(8, 4, 4),
    new_tokens=2,
    temperature=0.8,
    scored=2,
    stories=2,
    points=1,
    cost_rounds=1,
)
METHODS = ("full", "lora-8", "prompt")


def small_plan(*, search: bool = False, methods=METHODS, seeds=(0, 1), pairs=(PAIR,)) -> Plan:
    return Plan("full" if search else "quick", pairs, methods, seeds, search)


def invented(run: Run, plan: Plan, device: str = "cpu") -> dict:
    """A row as a run would make it, with numbers that follow from the run alone."""
    row = run.as_row()
    if run.purpose == COST:
        costs = {"step_seconds": 0.1, "step_ratio": 1.0, "peak_bytes": 1, "file_bytes": 1}
        costs |= {"overhead_unmerged": 1.0, "overhead_merged": None, "cannot_merge": None}
        return row | {"costs": [{"model": run.model, "method": m, **costs} for m in plan.methods]}
    if run.purpose == SEARCH:
        # The best rate lies half a decade above 0.001.
        return row | {"loss": abs(math.log10(run.learning_rate) + 2.5), "trainable": 1}
    return row | {
        "score": 0.5 + run.seed / 100,
        "loss": 1.0,
        "forgetting": 0.1,
        "trainable": 1,
        "calibration": {"ece": 0.05},
    }


class InProcess:
    """An engine without processes; the order in which rows come back is not that of submission."""

    def __init__(self, plan: Plan, do=invented, pause: float = 0.0) -> None:
        self.plan, self.do, self.pause = plan, do, pause
        self.queue: list[Run] = []
        self.done: list[Run] = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def submit(self, run: Run) -> None:
        self.queue.append(run)

    def next(self) -> dict:
        time.sleep(self.pause)
        run = self.queue.pop()
        self.done.append(run)
        return self.do(run, self.plan, "cpu")


def die(run: Run, plan: Plan, device: str) -> dict:
    """What a process does that the system kills when LoRA runs out of memory."""
    if run.method == "lora-8":
        os._exit(9)
    return invented(run, plan)


def slowly(folder: str) -> None:
    """Run a comparison that takes a second; the test kills this process meanwhile."""
    plan = small_plan(search=True)
    running._engine = lambda *_: InProcess(plan, pause=0.02)
    running.compare(plan, Path(folder), progress=False)


if __name__ == "__main__":
    slowly(sys.argv[1])
