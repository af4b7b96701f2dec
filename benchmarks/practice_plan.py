"""What ``practice_grid`` trains: its parts, their cells, the learning rates that each may choose.

A cell is everything that is trained at one learning rate: a task, a variant of LoRA, a rank, a
number of examples. Its rate is chosen by the mean validation loss over the tuning seeds; with that
rate it is trained once for each of the test seeds, which choose nothing, and measured on the test
split.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from typing import Any

import peftlab
from peftlab.methods.adalora import AdaLoRAConfig

TUNING_SEEDS = (100, 101)
TEST_SEEDS = (0, 1, 2, 3, 4)
TASKS = ("voice", "facts", "slots")
RANKS = (1, 2, 4, 8, 16, 32, 64)
HEAT_RATES = (2.5e-4, 5e-4, 1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2)

# Choice of targets → the modules, and the rank that gives all choices about the same parameters.
TARGETS: dict[str, tuple[str | tuple[str, ...], int]] = {
    "q": (("q_proj",), 28),
    "q, v": (("q_proj", "v_proj"), 16),
    "attention": (("q_proj", "k_proj", "v_proj", "o_proj"), 8),
    "MLP": (("gate_proj", "up_proj", "down_proj"), 5),
    "attention + MLP": ("all-linear", 3),
}
SCALINGS = ("alpha/r", "alpha/√r")
SCALING_RANKS = (1, 2, 4, 8, 16, 32, 64, 128)
SCALING_ALPHA = 16
TUNED_SCALING_RANK = 8  # the rate found here is kept as the rank changes
RATIOS = (1, 2, 4, 8, 16)
CASE_RANKS = (1, 8, 64)
CASE_SIZES = {
    "translation": (100, 800, 6400),
    "style": (50, 200, 800),
    "instructions": (100, 800, 6400),
}


@dataclass(frozen=True)
class Recipe:
    """How long a task is trained, and on what; ``examples`` are train, validation, test."""

    steps: int
    batch_size: int
    max_length: int
    examples: tuple[int, int, int]


RECIPES = {
    "voice": Recipe(100, 16, 96, (480, 96, 128)),
    "facts": Recipe(200, 32, 48, (512, 128, 128)),
    "slots": Recipe(150, 16, 128, (800, 96, 160)),
    "translation": Recipe(200, 32, 64, (6400, 160, 160)),
    "style": Recipe(200, 16, 128, (800, 160, 160)),
    "instructions": Recipe(200, 32, 112, (6400, 160, 160)),
}


@dataclass(frozen=True)
class Cell:
    """What shares a learning rate; ``examples`` None means as many as the recipe has."""

    part: str
    task: str
    variant: str = "lora"
    rank: int = 8
    examples: int | None = None


@dataclass(frozen=True)
class Run:
    """One training run of a cell."""

    cell: Cell
    rate: float
    seed: int
    split: str


def cells(part: str) -> list[Cell]:
    """The cells of one part."""
    if part == "rank":
        found = [Cell(part, task, "lora", rank) for task, rank in product(TASKS, RANKS)]
        return found + [Cell(part, task, "full", 0) for task in TASKS]
    if part == "targets":
        return [Cell(part, t, name, TARGETS[name][1]) for t, name in product(TASKS, TARGETS)]
    if part == "scaling":
        return [Cell(part, "slots", s, rank) for s, rank in product(SCALINGS, SCALING_RANKS)]
    if part == "ratio":
        return [Cell(part, "slots", str(ratio)) for ratio in RATIOS]
    if part == "pissa":
        return [Cell(part, task, "pissa") for task in TASKS]
    if part == "adalora":
        return [Cell(part, task, "adalora", 8) for task in TASKS]
    return [
        Cell(part, case, "lora", rank, size)
        for case, sizes in CASE_SIZES.items()
        for size, rank in product(sizes, CASE_RANKS)
    ]


PARTS = ("rank", "adalora", "cases", "targets", "scaling", "ratio", "pissa")


def rates(cell: Cell) -> tuple[float, ...]:
    """The learning rates that a cell may choose from."""
    if cell.variant == "full":
        return (1e-4, 3e-4, 1e-3)
    return {
        "rank": HEAT_RATES,
        "targets": (1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2),
        "scaling": (5e-4, 1e-3, 2e-3, 4e-3, 8e-3),
        "ratio": (2.5e-4, 5e-4, 1e-3, 2e-3, 4e-3),
        "pissa": (1.25e-4, 2.5e-4, 5e-4, 1e-3, 2e-3, 4e-3),
        "adalora": (2e-3, 4e-3, 8e-3, 1.6e-2, 3.2e-2),
        "cases": (5e-4, 1.5e-3, 5e-3, 1.5e-2),
    }[cell.part]


def tuning_seeds(cell: Cell) -> tuple[int, ...]:
    """Two where they fill a heat map or are few, one elsewhere."""
    return TUNING_SEEDS[:1] if cell.part in ("targets", "cases") else TUNING_SEEDS


def tuned_by(cell: Cell) -> Cell:
    """The cell whose rate a cell uses: its own, or for ``scaling`` that of one rank."""
    if cell.part != "scaling":
        return cell
    return Cell(cell.part, cell.task, cell.variant, TUNED_SCALING_RANK, cell.examples)


def tuning_runs(parts: Iterable[str]) -> list[Run]:
    """What is trained to choose the rates."""
    return [
        Run(cell, rate, seed, "validation")
        for part in parts
        for cell in cells(part)
        if tuned_by(cell) == cell
        for rate, seed in product(rates(cell), tuning_seeds(cell))
    ]


def test_runs(parts: Iterable[str], tuned: list[tuple[Run, dict[str, Any]]]) -> list[Run]:
    """What is trained to be reported, at the rates with the lowest mean validation loss."""
    losses: dict[Cell, dict[float, list[float]]] = {}
    for run, record in tuned:
        loss = math.inf if record["loss"] is None else record["loss"]
        losses.setdefault(run.cell, {}).setdefault(run.rate, []).append(loss)
    best = {
        cell: min(by_rate, key=lambda rate: statistics.fmean(by_rate[rate]))
        for cell, by_rate in losses.items()
    }
    return [
        Run(cell, best[tuned_by(cell)], seed, "test")
        for part in parts
        for cell in cells(part)
        if tuned_by(cell) in best
        for seed in TEST_SEEDS
    ]


def method(cell: Cell, steps: int) -> Any:
    """The adapter that a cell trains; None trains the whole model."""
    if cell.variant == "full":
        return None
    if cell.part == "scaling":
        return peftlab.LoRAConfig(
            rank=cell.rank, alpha=SCALING_ALPHA, rank_stabilized=cell.variant == "alpha/√r"
        )
    if cell.part == "adalora":
        return AdaLoRAConfig(
            total_steps=steps,
            rank=cell.rank,
            target_rank=cell.rank // 2,
            alpha=2 * cell.rank,
            warmup_steps=steps // 10,
            final_steps=2 * steps // 5,
        )
    targets = TARGETS[cell.variant][0] if cell.part == "targets" else "all-linear"
    config = peftlab.PiSSAConfig if cell.part == "pissa" else peftlab.LoRAConfig
    return config(rank=cell.rank, alpha=2 * cell.rank, targets=targets)
