"""Lesson 11, the clinic: runs on each side of every border in the table, and exactly on it."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations
from typing import Any

from torch import Generator

from peftcourse.exercises.draw import integer, uniform
from peftcourse.exercises.observe import Case

Run = dict[str, float | None]  # None stands for NaN, which would not be equal to itself
Facts = dict[str, Any]
Change = Callable[[Generator, Facts], Facts]


def _facts(rng: Generator) -> Facts:
    """A healthy run, by what can be changed in it without changing the rest."""
    start, best, wanted = uniform(rng, 5, 7), uniform(rng, 0.6, 1.2), 7 * integer(rng, 4, 9)
    targets = integer(rng, 2000, 9000)
    return {
        "start": start,
        "first": start * uniform(rng, 0.992, 1.008),
        "last": best * uniform(rng, 0.9, 1.1),
        "best": best,
        "rise": uniform(rng, 0.01, 0.04),  # of the validation loss above its best
        "merge": uniform(rng, -0.02, 0.02),  # of the shipped model above the last validation loss
        "jump": uniform(rng, 0.05, 0.15),  # of the highest training loss above the first
        "counted": targets,
        "targets": targets,
        "adapted": wanted,
        "wanted": wanted,
        "update": uniform(rng, 5, 15),
    }


def _run(rng: Generator, *changes: Change) -> Run:
    """What `peftcourse.experiments.clinic.Chart.measurements` says of a run with these changes."""
    facts = _facts(rng)
    for change in changes:
        facts |= change(rng, facts)
    after = None if facts["rise"] is None else facts["best"] + facts["rise"]
    return {
        "start": facts["start"],
        "first": facts["first"],
        "last": facts["last"],
        "highest": facts["first"] + facts["jump"],
        "best_validation": facts["best"],
        "last_validation": after,
        "counted": facts["counted"],
        "targets": facts["targets"],
        "adapted": facts["adapted"],
        "wanted": facts["wanted"],
        "update": facts["update"],
        "shipped": None if after is None else after + facts["merge"],
    }


# One change for each row of the table, in its order: a yes that nobody can miss.
_ROWS: tuple[Change, ...] = (
    lambda rng, run: {"last": None},
    lambda rng, run: {"counted": run["targets"] + integer(rng, 500, 2000)},
    lambda rng, run: {"first": run["start"] * uniform(rng, 1.3, 1.7)},
    lambda rng, run: {"update": 0.0},
    lambda rng, run: {"adapted": integer(rng, 1, run["wanted"] // 4)},
    lambda rng, run: {"merge": uniform(rng, 1.5, 3.0)},
    lambda rng, run: {"jump": uniform(rng, 1.5, 5.0)},
    lambda rng, run: {"rise": uniform(rng, 0.6, 1.0)},
)


def _small(rng: Generator) -> float:
    """A loss to which 0.1 can be added without rounding, in double and in single precision."""
    return integer(rng, 8, 24) / 1024


def _dyadic(rng: Generator) -> Facts:
    """A first loss to which 0.5 can be added without rounding."""
    first = integer(rng, 320, 440) / 64
    return {"first": first, "start": first + integer(rng, -2, 2) / 64}


# Runs by what is special about them; each change makes one.
_KINDS: dict[str, tuple[Change, ...]] = {
    "nothing special": (
        lambda rng, run: {},
        lambda rng, run: {"rise": 0.0, "merge": 0.0},
    ),
    "`last` is NaN": (
        lambda rng, run: {"last": None},
        lambda rng, run: {"last": None, "rise": None},
    ),
    "`last` is infinite": (lambda rng, run: {"last": math.inf},),
    "`shipped` is infinite": (lambda rng, run: {"merge": math.inf},),
    "`counted` is above `targets`": (
        lambda rng, run: {"counted": run["targets"] + 1},
        lambda rng, run: {"counted": run["targets"] + integer(rng, 500, 2000)},
    ),
    "`counted` is below `targets`": (
        lambda rng, run: {"counted": run["targets"] - 1},
        lambda rng, run: {"counted": run["targets"] - integer(rng, 500, 1900)},
    ),
    "`first` is far above `start`": (
        lambda rng, run: {"first": run["start"] * uniform(rng, 1.3, 1.7)},
    ),
    "`first` is far below `start`": (
        lambda rng, run: {"first": run["start"] * uniform(rng, 0.4, 0.7)},
    ),
    "`first` is a few per cent off `start`": (
        lambda rng, run: {"first": run["start"] * uniform(rng, 1.03, 1.05)},
        lambda rng, run: {"first": run["start"] * uniform(rng, 0.95, 0.97)},
    ),
    "`first` is 1 to 1.9 % off `start`": (
        lambda rng, run: {"first": run["start"] * uniform(rng, 1.01, 1.019)},
        lambda rng, run: {"first": run["start"] * uniform(rng, 0.981, 0.99)},
    ),
    # Above, 2 % of `first` are more than 2 % of `start`; below, they are less.
    "`first` is just beside 2 % off `start`": (
        lambda rng, run: {"first": run["start"] * uniform(rng, 1.0201, 1.0203)},
        lambda rng, run: {"first": run["start"] * uniform(rng, 0.9801, 0.9803)},
    ),
    "`update` is zero": (lambda rng, run: {"update": 0.0},),
    "`update` is tiny": (
        lambda rng, run: {"update": uniform(rng, 0.001, 0.009)},
        lambda rng, run: {"update": uniform(rng, 2e-7, 9e-7)},
    ),
    "`adapted` is one below `wanted`": (lambda rng, run: {"adapted": run["wanted"] - 1},),
    "`adapted` is far below `wanted`": (
        lambda rng, run: {"adapted": integer(rng, 1, run["wanted"] // 4)},
    ),
    "`adapted` is zero": (lambda rng, run: {"adapted": 0},),
    "`adapted` is above `wanted`": (
        lambda rng, run: {"adapted": run["wanted"] + integer(rng, 1, 5)},
    ),
    "`shipped` is far above `last_validation`": (
        lambda rng, run: {"merge": uniform(rng, 0.6, 2.0)},
    ),
    "`shipped` is 0.12 to 0.3 above `last_validation`": (
        lambda rng, run: {"merge": uniform(rng, 0.12, 0.3), "best": uniform(rng, 3.2, 4.5)},
        lambda rng, run: {"merge": uniform(rng, 0.12, 0.3)},
    ),
    "`shipped` is exactly 0.1 above `last_validation`": (
        lambda rng, run: {"best": _small(rng), "rise": 0.0, "merge": 0.1},
    ),
    "`shipped` is less than 0.1 above `last_validation`": (
        lambda rng, run: {
            "best": uniform(rng, 0.2, 0.3),
            "rise": uniform(rng, 0.06, 0.09),
            "merge": uniform(rng, 0.06, 0.09),
        },
    ),
    "`shipped` is below `last_validation`": (lambda rng, run: {"merge": -uniform(rng, 0.2, 0.4)},),
    "`highest` is far above `first`": (
        lambda rng, run: {"jump": uniform(rng, 1.5, 5.0)},
        lambda rng, run: {"jump": uniform(rng, 1.5, 5.0), "best": uniform(rng, 3.2, 4.5)},
    ),
    "`highest` is 0.55 to 0.9 above `first`": (lambda rng, run: {"jump": uniform(rng, 0.55, 0.9)},),
    "`highest` is exactly 0.5 above `first`": (lambda rng, run: _dyadic(rng) | {"jump": 0.5},),
    "`highest` is 0.15 to 0.45 above `first`": (
        lambda rng, run: {"jump": uniform(rng, 0.15, 0.45)},
    ),
    # 0.5 lies between what it is above the one and above the other.
    "`highest` is near 0.5 above `first` or `start`": (
        lambda rng, run: {"first": run["start"] * 1.015, "jump": uniform(rng, 0.46, 0.48)},
        lambda rng, run: {"first": run["start"] * 0.985, "jump": uniform(rng, 0.52, 0.54)},
    ),
    "`last_validation` is far above `best_validation`": (
        lambda rng, run: {"rise": uniform(rng, 0.6, 1.0), "last": uniform(rng, 0.01, 0.2)},
    ),
    "`last_validation` is 0.12 to 0.3 above `best_validation`": (
        lambda rng, run: {"rise": uniform(rng, 0.12, 0.3), "best": uniform(rng, 3.2, 4.5)},
        lambda rng, run: {"rise": uniform(rng, 0.12, 0.3)},
    ),
    "`last_validation` is exactly 0.1 above `best_validation`": (
        lambda rng, run: {"best": _small(rng), "rise": 0.1, "merge": -0.01},
    ),
    "`last_validation` is less than 0.1 above `best_validation`": (
        lambda rng, run: {"rise": uniform(rng, 0.06, 0.09), "best": uniform(rng, 0.2, 0.3)},
        lambda rng, run: {"rise": uniform(rng, 0.06, 0.09), "merge": -0.01},
    ),
    # A gap without a rise, then a rise without a gap.
    "`last` is far from `last_validation`": (
        lambda rng, run: {"last": 0.3 * run["best"]},
        lambda rng, run: {"last": run["best"] + 2, "rise": uniform(rng, 0.3, 0.6)},
    ),
}


def diagnose(rng: Generator) -> list[Case]:
    """Runs of every kind, those with two bugs, and two at the border of 2 %."""
    return [
        {
            "runs": {
                kind: [_run(rng, change) for change in changes] for kind, changes in _KINDS.items()
            },
            "two": [_run(rng, *both) for both in combinations(_ROWS, 2)],
            "border": _border(rng),
        }
        for _ in range(3)
    ]


def _border(rng: Generator) -> list[Run]:
    """A run whose first loss is off by exactly 2 %, and one that is so but for rounding.

    ``first / start - 1`` is above 0.02 by rounding in both, and no other way to ask is in either,
    so that nobody has to know about rounding; but who takes equal for more answers differently.
    """
    exact, start = 25 * integer(rng, 13, 17) / 64, uniform(rng, 5, 7)
    while not _only_by_quotient(start):
        start = uniform(rng, 5, 7)
    return [
        _run(rng, lambda rng, run: {"start": exact, "first": exact + exact / 50}),
        _run(rng, lambda rng, run: {"start": start, "first": _below_border(start)}),
    ]


def _below_border(start: float) -> float:
    return math.nextafter(1.02 * start, 0)


def _only_by_quotient(start: float) -> bool:
    first = _below_border(start)
    return abs(first - start) < 0.02 * start and first / start - 1 > 0.02
