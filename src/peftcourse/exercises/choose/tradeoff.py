"""Lesson 10, quality against cost: reference solutions and typical wrong answers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from peftcourse.exercises.core import Mutant, slip

# --- choose.pareto --------------------------------------------------------------------------------


def pareto(costs: Tensor, quality: Tensor) -> Tensor:
    # Row i, column j: what method j is compared with method i.
    no_dearer = (costs[None] <= costs[:, None]).all(-1)
    cheaper = (costs[None] < costs[:, None]).any(-1)
    no_worse, better = quality[None] >= quality[:, None], quality[None] > quality[:, None]
    dominated = no_dearer & no_worse & (cheaper | better)
    return ~dominated.any(1)


def _pareto_strict(costs, quality):
    cheaper = (costs[None] < costs[:, None]).all(-1)
    return ~(cheaper & (quality[None] > quality[:, None])).any(1)


def _pareto_first_of_twins(costs, quality):
    points = [(*row, -value) for row, value in zip(costs.tolist(), quality.tolist(), strict=True)]
    first = [points.index(point) == place for place, point in enumerate(points)]
    return pareto(costs, quality) & torch.tensor(first)


def _pareto_running_best(costs, quality):
    order = sorted(range(len(quality)), key=lambda i: (costs[i, 0].item(), -quality[i].item()))
    best = quality[order].cummax(0).values
    front = quality[order] > torch.cat([best[:1] - 1, best[:-1]])
    return torch.zeros_like(front).scatter(0, torch.tensor(order), front)


def _pareto_extremes(costs, quality):
    return (quality == quality.max()) | (costs == costs.amin(0)).any(1)


_BEATEN = "Beaten is: no worse in anything, and better in at least one thing"
_ALL_COSTS = "The other must cost no more in every column: .all(-1) over the costs"

PARETO = (
    Mutant(
        "dear-is-good",
        lambda costs, quality: pareto(-costs, quality),
        "a high cost counts as good",
        "A method is beaten by one that costs no more, not by one that costs no less",
    ),
    Mutant(
        "bad-is-good",
        lambda costs, quality: pareto(costs, -quality),
        "a low quality counts as good; more quality is better",
        "A method is beaten by one whose quality is no lower",
    ),
    Mutant(
        "strictly-everywhere",
        _pareto_strict,
        "a method is only removed by one that is strictly better in everything; equal in some "
        "things and better in one is enough",
        _BEATEN,
    ),
    slip(
        pareto,
        "twins-lost",
        "(cheaper | better)",
        "~torch.eye(len(quality), dtype=torch.bool)",
        "two methods that are equal in everything remove each other from the front",
        "Ask for at least one thing in which the other is strictly better",
    ),
    Mutant(
        "first-of-twins",
        _pareto_first_of_twins,
        "of two methods that are equal in everything only one stays; neither dominates the other",
        "Ask for at least one thing in which the other is strictly better",
    ),
    slip(
        pareto,
        "beaten-by-itself",
        " & (cheaper | better)",
        "",
        "every method is as good as itself and so removes itself: nothing asks for a strict "
        "difference",
        _BEATEN,
    ),
    slip(
        pareto,
        "better-only",
        "(cheaper | better)",
        "better",
        "a method stays although another is as good and cheaper: only a better quality removes",
        _BEATEN,
    ),
    slip(
        pareto,
        "cheaper-only",
        "(cheaper | better)",
        "cheaper",
        "a method stays although another costs the same and is better: only a lower cost removes",
        _BEATEN,
    ),
    slip(
        pareto,
        "quality-ignored",
        "no_dearer & no_worse & (cheaper | better)",
        "no_dearer & cheaper",
        "quality plays no part: a method is removed by any that is cheaper, good or bad",
        _BEATEN,
    ),
    Mutant(
        "best-only",
        lambda costs, quality: quality == quality.max(),
        "only the methods with the best quality stay, and costs play no part",
        _BEATEN,
    ),
    Mutant(
        "cheapest-only",
        lambda costs, quality: (costs == costs.amin(0)).any(1),
        "only the cheapest methods stay, and quality plays no part",
        _BEATEN,
    ),
    slip(
        pareto,
        "cheaper-everywhere",
        "costs[:, None]).any(-1)",
        "costs[:, None]).all(-1)",
        "cheaper has to be every cost; to be cheaper in one of the costs is enough",
        "Use .any(-1) for what is strictly cheaper",
    ),
    Mutant(
        "first-cost-only",
        lambda costs, quality: pareto(costs[:, :1], quality),
        "only the first cost is looked at",
        "Compare all columns: .all(-1) over the costs",
    ),
    Mutant(
        "last-cost-only",
        lambda costs, quality: pareto(costs[:, -1:], quality),
        "only the last cost is looked at",
        "Compare all columns: .all(-1) over the costs",
    ),
    Mutant(
        "first-cost-strictly",
        lambda costs, quality: _pareto_strict(costs[:, :1], quality),
        "two things at once: only the first cost is looked at; and only a method that is strictly "
        "better in it and in quality removes another",
        _ALL_COSTS,
    ),
    Mutant(
        "sum-of-costs",
        lambda costs, quality: pareto(costs.sum(1, keepdim=True), quality),
        "the costs are added up; costs of different units have no sum, and each is to be compared",
        _ALL_COSTS,
    ),
    slip(
        pareto,
        "one-cost-is-enough",
        "costs[:, None]).all(-1)",
        "costs[:, None]).any(-1)",
        "a method is removed by one that is cheaper in one cost and dearer in another",
        _ALL_COSTS,
    ),
    slip(
        pareto,
        "the-dominated",
        "~dominated.any(1)",
        "dominated.any(1)",
        "the dominated methods are marked, not those on the front: just the opposite",
        "Put ~ in front of the result",
    ),
    slip(
        pareto,
        "dominating-none",
        "dominated.any(1)",
        "dominated.any(0)",
        "the axis is the wrong one: what stays are methods that dominate no other",
        "Reduce over the axis of the other method, the one that does the dominating",
    ),
    slip(
        pareto,
        "dominated-by-all",
        "dominated.any(1)",
        "dominated.all(1)",
        "a method is only removed if all others dominate it; one is enough",
        "Use .any over the other methods",
    ),
    slip(
        pareto,
        "places",
        "~dominated.any(1)",
        "(~dominated.any(1)).nonzero().flatten()",
        "the places of the methods on the front are returned; a boolean for each method is asked "
        "for",
        "Return the mask itself, without nonzero",
    ),
    Mutant(
        "running-best",
        _pareto_running_best,
        "the methods are sorted by the first cost, and the other costs are not compared",
        _ALL_COSTS,
    ),
    Mutant(
        "extremes",
        _pareto_extremes,
        "only the best and the cheapest in each cost stay; a compromise between them that nothing "
        "dominates belongs to the front as well",
        _BEATEN,
    ),
)

# --- choose.decide --------------------------------------------------------------------------------

Row = dict[str, Any]


def decide(rows: list[Row], memory: float, must_merge: bool, margin: float) -> str:
    possible = [
        row for row in rows if row["memory"] <= memory and (row["mergeable"] or not must_merge)
    ]
    best = max(row["quality"] for row in possible)
    close = [row for row in possible if row["quality"] >= best - margin]
    return min(close, key=lambda row: row["trainable"])["name"]


_SMALLEST = "Among those left, take the fewest trainable parameters"
_FIRST = "Leave out what does not fit or cannot merge before you look for the best"
_MERGE = "Keep a row if it can merge, or if it need not: row['mergeable'] or not must_merge"
_MARGIN = "Keep every method whose quality is at least the best one's minus the margin"

DECIDE = (
    slip(
        decide,
        "highest-quality",
        ">= best - margin",
        ">= best",
        "the highest number wins, though others cannot be told apart from it",
        _MARGIN,
    ),
    slip(
        decide,
        "smallest-that-fits",
        ' if row["quality"] >= best - margin',
        "",
        "the smallest method that fits is taken, however bad it is: the margin is not used",
        "First keep what is within the margin of the best that fits",
    ),
    slip(
        decide,
        "margin-from-the-unreachable",
        'max(row["quality"] for row in possible)',
        'max(row["quality"] for row in rows)',
        "the margin is counted from a method that cannot be used here",
        _FIRST,
    ),
    slip(
        decide,
        "margin-from-what-fits",
        'max(row["quality"] for row in possible)',
        'max(row["quality"] for row in rows if row["memory"] <= memory)',
        "the margin is counted from a method that fits but cannot be merged, where it has to be",
        _FIRST,
    ),
    slip(
        decide,
        "margin-from-what-merges",
        'max(row["quality"] for row in possible)',
        'max(row["quality"] for row in rows if row["mergeable"] or not must_merge)',
        "the margin is counted from a method that does not fit the memory",
        _FIRST,
    ),
    slip(
        decide,
        "memory-ignored",
        'row["memory"] <= memory and ',
        "",
        "a method is taken that does not fit the memory",
        "Keep rows with row['memory'] <= memory",
    ),
    slip(
        decide,
        "memory-turned-round",
        'row["memory"] <= memory',
        'row["memory"] >= memory',
        "the memory limit is read the wrong way round: methods that do not fit are kept",
        "Keep rows with row['memory'] <= memory",
    ),
    slip(
        decide,
        "twice-the-margin",
        "best - margin",
        "best - 2 * margin",
        "twice the margin is allowed: the quality is more than the margin below the best",
        _MARGIN,
    ),
    slip(
        decide,
        "half-the-margin",
        "best - margin",
        "best - margin / 2",
        "half the margin is allowed, and methods within the margin are left out",
        _MARGIN,
    ),
    slip(
        decide,
        "exactly-full",
        'row["memory"] <= memory',
        'row["memory"] < memory',
        "a method that needs exactly the memory there is was left out",
        "Use <=, not <",
    ),
    slip(
        decide,
        "margin-without-its-end",
        ">= best - margin",
        "> best - margin",
        "a method that is exactly the margin below the best was left out",
        "Use >=, not >",
    ),
    slip(
        decide,
        "relative-margin",
        "best - margin",
        "best * (1 - margin)",
        "the margin is taken as a share of the best quality; it is a difference of qualities",
        _MARGIN,
    ),
    slip(
        decide,
        "merge-turned-round",
        "or not must_merge",
        "or must_merge",
        "must_merge is read the wrong way round",
        _MERGE,
    ),
    slip(
        decide,
        "merge-forbidden",
        '(row["mergeable"] or not must_merge)',
        'not (row["mergeable"] and must_merge)',
        "methods that merge are left out where merging is a must",
        _MERGE,
    ),
    slip(
        decide,
        "merge-ignored",
        ' and (row["mergeable"] or not must_merge)',
        "",
        "a method is taken that cannot be merged, where it has to be",
        _MERGE,
    ),
    slip(
        decide,
        "merge-always",
        '(row["mergeable"] or not must_merge)',
        'row["mergeable"]',
        "methods that cannot be merged are left out although merging is not asked for",
        _MERGE,
    ),
    slip(
        decide,
        "merge-equal",
        '(row["mergeable"] or not must_merge)',
        'row["mergeable"] == must_merge',
        "where merging is not asked for, only methods that cannot be merged are kept; both are "
        "possible then",
        _MERGE,
    ),
    slip(
        decide,
        "least-memory",
        'row["trainable"]',
        'row["memory"]',
        "the method with the least memory is taken; every one left fits already",
        _SMALLEST,
    ),
    slip(
        decide,
        "most-trainable",
        "min(close",
        "max(close",
        "the method with the most trainable parameters is taken, and the fewest are asked for",
        _SMALLEST,
    ),
    slip(
        decide,
        "first-that-is-close",
        'min(close, key=lambda row: row["trainable"])',
        "close[0]",
        "the first method within the margin is taken, and the one with the fewest trainable "
        "parameters is asked for",
        _SMALLEST,
    ),
    slip(
        decide,
        "row-returned",
        '["name"]',
        "",
        "the whole row is returned, and its name is asked for",
        "Return row['name']",
    ),
)
