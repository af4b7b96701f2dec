"""Lesson 10, quality against cost: reference solutions and typical wrong answers."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from peftcourse.exercises.core import Mutant

# --- choose.pareto --------------------------------------------------------------------------------


def pareto(costs: Tensor, quality: Tensor) -> Tensor:
    # Row i, column j: what method j is compared with method i.
    no_dearer = (costs[None] <= costs[:, None]).all(-1)
    cheaper = (costs[None] < costs[:, None]).any(-1)
    no_worse, better = quality[None] >= quality[:, None], quality[None] > quality[:, None]
    return ~(no_dearer & no_worse & (cheaper | better)).any(1)


def _pareto_strict(costs, quality):
    cheaper = (costs[None] < costs[:, None]).all(-1)
    return ~(cheaper & (quality[None] > quality[:, None])).any(1)


def _pareto_without_twins(costs, quality):
    beaten = (costs[None] <= costs[:, None]).all(-1) & (quality[None] >= quality[:, None])
    return ~(beaten.fill_diagonal_(False)).any(1)


def _pareto_any_cost(costs, quality):
    cheaper = (costs[None] < costs[:, None]).any(-1)
    return ~(cheaper & (quality[None] >= quality[:, None])).any(1)


PARETO = (
    Mutant(
        "dear-is-good",
        lambda costs, quality: pareto(-costs, quality),
        "a high cost counts as good",
        "A method is beaten by one that costs no more, not by one that costs no less",
    ),
    Mutant(
        "strictly-everywhere",
        _pareto_strict,
        "a method stays although another has the same cost and better quality",
        "Beaten is: no worse in anything, and better in at least one thing",
    ),
    Mutant(
        "twins-lost",
        _pareto_without_twins,
        "two equal methods remove each other from the front",
        "Ask for at least one thing in which the other is strictly better",
    ),
    Mutant(
        "first-cost-only",
        lambda costs, quality: pareto(costs[:, :1], quality),
        "only the first cost is looked at",
        "Compare all columns: .all(-1) over the costs",
    ),
    Mutant(
        "one-cost-is-enough",
        _pareto_any_cost,
        "a method is removed by one that is cheaper in one cost and dearer in another",
        "The other must cost no more in every column",
    ),
)

# --- choose.decide --------------------------------------------------------------------------------

Row = dict[str, Any]


def decide(rows: list[Row], memory: float, must_merge: bool, margin: float) -> str:
    possible = [row for row in rows if _possible(row, memory, must_merge)]
    return _smallest(possible, _highest(possible) - margin)


def _possible(row: Row, memory: float, must_merge: bool) -> bool:
    return row["memory"] <= memory and (row["mergeable"] or not must_merge)


def _highest(rows: list[Row]) -> float:
    return max(row["quality"] for row in rows)


def _smallest(rows: list[Row], quality: float, by: str = "trainable") -> str:
    """The name of the row with the lowest ``by`` among those of at least this quality."""
    return min((row for row in rows if row["quality"] >= quality), key=lambda row: row[by])["name"]


def _decide_strictly(rows, memory, must_merge, margin):
    return decide([row for row in rows if row["memory"] < memory], memory, must_merge, margin)


def _decide_from_the_top(rows, memory, must_merge, margin):
    possible = [row for row in rows if _possible(row, memory, must_merge)]
    return _smallest(possible, _highest(rows) - margin)


def _decide_merge_ignored(rows, memory, must_merge, margin):
    return decide(rows, memory, not must_merge, margin)


def _decide_least_memory(rows, memory, must_merge, margin):
    possible = [row for row in rows if _possible(row, memory, must_merge)]
    return _smallest(possible, _highest(possible) - margin, by="memory")


DECIDE = (
    Mutant(
        "highest-quality",
        lambda rows, memory, must_merge, margin: decide(rows, memory, must_merge, 0.0),
        "the highest number wins, though others cannot be told apart from it",
        "Keep every method whose quality is at least the best one's minus the margin",
    ),
    Mutant(
        "smallest-that-fits",
        lambda rows, memory, must_merge, margin: decide(rows, memory, must_merge, float("inf")),
        "the smallest method that fits is taken, however bad it is",
        "First keep what is within the margin of the best that fits",
    ),
    Mutant(
        "margin-from-the-unreachable",
        _decide_from_the_top,
        "the margin is counted from a method that cannot be used here",
        "Leave out what does not fit or cannot merge before you look for the best",
    ),
    Mutant(
        "memory-ignored",
        lambda rows, memory, must_merge, margin: decide(rows, float("inf"), must_merge, margin),
        "a method is taken that does not fit the memory",
        "Keep rows with row['memory'] <= memory",
    ),
    Mutant(
        "exactly-full",
        _decide_strictly,
        "a method that needs exactly the memory there is was left out",
        "Use <=, not <",
    ),
    Mutant(
        "merge-turned-round",
        _decide_merge_ignored,
        "must_merge is read the wrong way round",
        "Keep a row if it can merge, or if it need not: row['mergeable'] or not must_merge",
    ),
    Mutant(
        "least-memory",
        _decide_least_memory,
        "the method with the least memory is taken; every one left fits already",
        "Among those left, take the fewest trainable parameters",
    ),
)
