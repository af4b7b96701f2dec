"""Lesson 10, many tasks and many comparisons: reference solutions and typical wrong answers."""

from __future__ import annotations

import torch
from torch import Tensor

from peftcourse.exercises.core import Mutant

# --- choose.ranks ---------------------------------------------------------------------------------


def ranks(scores: Tensor) -> Tensor:
    other, own = scores[None], scores[:, None]  # (1, M, T) and (M, 1, T)
    better, equal = (other > own).sum(1), (other == own).sum(1)
    return (better + (equal + 1) / 2).mean(1)


def _ranks_competition(scores):
    return ((scores[None] > scores[:, None]).sum(1) + 1.0).mean(1)


def _ranks_by_order(scores):
    order = scores.argsort(dim=0, descending=True, stable=True)
    return (order.argsort(0) + 1.0).mean(1)


def _ranks_wrong_axis(scores):
    other, own = scores[:, None], scores[:, :, None]
    better, equal = (other > own).sum(2), (other == own).sum(2)
    return (better + (equal + 1) / 2).mean(1)


RANKS = (
    Mutant(
        "lowest-best",
        lambda scores: ranks(-scores),
        "the lowest score gets rank 1, as if scores were losses",
        "Count how many scores are higher",
    ),
    Mutant(
        "ties-get-the-best",
        _ranks_competition,
        "methods that tie all get the best of their ranks, so ranks no longer add up",
        "Give each of them the mean of the ranks that they take together: better + (equal + 1) / 2",
    ),
    Mutant(
        "ties-by-order",
        _ranks_by_order,
        "methods that tie get different ranks: the one that stands first in the table wins",
        "Give each of them the mean of the ranks that they take together",
    ),
    Mutant(
        "wrong-axis",
        _ranks_wrong_axis,
        "tasks are ranked within a method; every method gets the same",
        "Compare along dim 0, methods, and average along dim 1, tasks",
    ),
    Mutant(
        "scores-averaged-first",
        lambda scores: ranks(scores.mean(1, keepdim=True)),
        "scores of different tasks are averaged before ranking: the task with the widest scale "
        "decides alone",
        "Rank within each task, then average the ranks",
    ),
    Mutant(
        "from-zero",
        lambda scores: ranks(scores) - 1,
        "the best method has rank 0",
        "Count from 1",
    ),
)

# --- choose.holm ----------------------------------------------------------------------------------


def holm(p: Tensor) -> Tensor:
    order = p.argsort()
    factors = torch.arange(len(p), 0, -1, dtype=p.dtype)
    adjusted = (p[order] * factors).cummax(0).values.clamp(max=1)
    return torch.empty_like(p).scatter(0, order, adjusted)


def _holm_steps(p):
    """Sorted p-values times m, m − 1, …, and their order."""
    order = p.argsort()
    return order, p[order] * torch.arange(len(p), 0, -1, dtype=p.dtype)


def _holm_not_monotone(p):
    order, products = _holm_steps(p)
    return torch.empty_like(p).scatter(0, order, products.clamp(max=1))


def _holm_not_capped(p):
    order, products = _holm_steps(p)
    return torch.empty_like(p).scatter(0, order, products.cummax(0).values)


def _holm_false_discovery(p):
    order = p.argsort(descending=True)
    factors = len(p) / torch.arange(len(p), 0, -1, dtype=p.dtype)
    adjusted = (p[order] * factors).cummin(0).values.clamp(max=1)
    return torch.empty_like(p).scatter(0, order, adjusted)


HOLM = (
    Mutant(
        "bonferroni",
        lambda p: (len(p) * p).clamp(max=1),
        "every value is multiplied by m: that is Bonferroni, which rejects less than it may",
        "Multiply the smallest by m, the next by m − 1, and so on",
    ),
    Mutant(
        "not-monotone",
        _holm_not_monotone,
        "a larger p-value can end below a smaller one",
        "Take the running maximum over the sorted values: cummax",
    ),
    Mutant(
        "not-capped",
        _holm_not_capped,
        "some are above 1, which no probability can be",
        "Add clamp(max=1)",
    ),
    Mutant(
        "left-sorted",
        lambda p: holm(p.sort().values),
        "the result is sorted, so values stand beside comparisons that they do not belong to",
        "Put each value back where its p-value was: result[order] = adjusted",
    ),
    Mutant(
        "false-discovery",
        _holm_false_discovery,
        "this is Benjamini and Hochberg's method, which bounds a share of false findings, not the "
        "chance of any",
        "Multiply the k-th smallest by m − k + 1 and take the running maximum",
    ),
)
