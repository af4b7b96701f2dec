"""Lesson 10, the Pareto front: the reference solution and typical wrong answers."""

from __future__ import annotations

import torch
from torch import Tensor

from peftcourse.exercises.core import Mutant, slip


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
