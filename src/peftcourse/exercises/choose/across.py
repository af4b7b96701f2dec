"""Lesson 10, many tasks and many comparisons: reference solutions and typical wrong answers."""

from __future__ import annotations

import torch
from torch import Tensor

from peftcourse.exercises.core import Mutant, slip

# --- choose.ranks ---------------------------------------------------------------------------------


def ranks(scores: Tensor) -> Tensor:
    other, own = scores[None], scores[:, None]  # (1, M, T) and (M, 1, T)
    better, equal = (other > own).sum(1), (other == own).sum(1)
    places = better + (equal + 1) / 2
    return places.mean(1)


def _ranks_by_order(scores):
    order = scores.argsort(dim=0, descending=True, stable=True)
    return (order.argsort(0) + 1.0).mean(1)


def _ranks_dense(scores):
    columns = [torch.unique(-column, return_inverse=True)[1] + 1.0 for column in scores.T]
    return torch.stack(columns, 1).mean(1)


def _ranks_only_first_shared(scores):
    places = (scores[None] > scores[:, None]).sum(1) + 1.0
    best = scores == scores.max(0).values
    return torch.where(best, (best.sum(0) + 1) / 2, places).mean(1)


def _ranks_wrong_axis(scores):
    other, own = scores[:, None], scores[:, :, None]
    better, equal = (other > own).sum(2), (other == own).sum(2)
    return (better + (equal + 1) / 2).mean(1)


_SHARED = "Give each of them the mean of the ranks that they take together"
_TIES = f"{_SHARED}: better + (equal + 1) / 2"

RANKS = (
    slip(
        ranks,
        "lowest-best",
        "other > own",
        "other < own",
        "the lowest score gets rank 1, as if scores were losses",
        "Count how many scores are higher",
    ),
    slip(
        ranks,
        "ties-get-the-best",
        "(equal + 1) / 2",
        "1.0",
        "methods that tie all get the best of their ranks, so ranks no longer add up",
        _TIES,
    ),
    slip(
        ranks,
        "ties-get-the-worst",
        "(equal + 1) / 2",
        "equal * 1.0",
        "methods that tie all get the worst of their ranks, so ranks no longer add up",
        _TIES,
    ),
    Mutant(
        "ties-by-order",
        _ranks_by_order,
        "methods that tie get different ranks: the one that stands first in the table wins",
        _SHARED,
    ),
    Mutant(
        "ties-by-order-lowest-best",
        lambda scores: (scores.argsort(0).argsort(0) + 1.0).mean(1),
        "two things at once: the lowest score gets rank 1, as if scores were losses; and methods "
        "that tie get different ranks",
        f"Count how many scores are higher. {_SHARED}",
    ),
    Mutant(
        "dense",
        _ranks_dense,
        "after a tie the next rank follows at once (1, 1, 2): these are dense ranks",
        _TIES,
    ),
    Mutant(
        "ties-for-first-only",
        _ranks_only_first_shared,
        "methods that tie share their ranks only where they tie for the first place",
        _TIES,
    ),
    Mutant(
        "argsort-once",
        lambda scores: (scores.argsort(0, descending=True) + 1.0).mean(1),
        "argsort gives the method at each place, not the place of each method, and a tie nothing "
        "to share",
        "Count the scores that are higher: (scores[None] > scores[:, None]).sum(1)",
    ),
    slip(
        ranks,
        "half-too-high",
        "(equal + 1) / 2",
        "equal / 2",
        "half a place too high: a method is as good as itself, which counts as a tie of one",
        _TIES,
    ),
    slip(
        ranks,
        "whole-ranks",
        "(equal + 1) / 2",
        "((equal + 1) // 2).double()",
        "the half place of a tie is cut off: // where / belongs",
        "Divide with /, so that two that tie for the first place get one and a half each",
    ),
    Mutant(
        "wrong-axis",
        _ranks_wrong_axis,
        "tasks are ranked within a method; every method gets the same",
        "Compare along dim 0, methods, and average along dim 1, tasks",
    ),
    slip(
        ranks,
        "mean-over-methods",
        "places.mean(1)",
        "places.mean(0)",
        "the mean is taken over the methods: one value for each task comes out, always the same",
        "Average along dim 1, over the tasks",
    ),
    Mutant(
        "tasks-summed",
        lambda scores: (
            (scores[None] > scores[:, None]).sum((1, 2))
            + ((scores[None] == scores[:, None]).sum((1, 2)) + 1) / 2
        ),
        "the counts run over all tasks together: a sum where each task has ranks of its own",
        "Count along dim 1 only, the methods, then average over the tasks",
    ),
    Mutant(
        "scores-averaged-first",
        lambda scores: ranks(scores.mean(1, keepdim=True)),
        "scores of different tasks are averaged before ranking: the task with the widest scale "
        "decides alone",
        "Rank within each task, then average the ranks",
    ),
    slip(
        ranks,
        "sum-over-tasks",
        "places.mean(1)",
        "places.sum(1)",
        "the ranks are summed over the tasks: a sum where the mean is asked for",
        "Take the mean over the tasks",
    ),
    slip(
        ranks,
        "median-over-tasks",
        "places.mean(1)",
        "places.median(1).values",
        "the median rank is returned, and the mean is asked for",
        "Take the mean over the tasks",
    ),
    slip(
        ranks,
        "best-over-tasks",
        "places.mean(1)",
        "places.amin(1)",
        "the best rank over the tasks is returned, and the mean is asked for",
        "Take the mean over the tasks",
    ),
    slip(
        ranks,
        "from-zero",
        "(equal + 1) / 2",
        "(equal - 1) / 2",
        "the best method has rank 0",
        "Count from 1",
    ),
    slip(
        ranks,
        "nearly-equal",
        "scores[None], scores[:, None]",
        "scores[None].mul(100).round(), scores[:, None].mul(100).round()",
        "scores that are nearly equal count as a tie; they have to be equal",
        "Compare the scores as they are, without rounding",
    ),
)

# --- choose.holm ----------------------------------------------------------------------------------


def holm(p: Tensor) -> Tensor:
    order = p.argsort()
    factors = torch.arange(len(p), 0, -1)
    products = p[order] * factors
    adjusted = products.cummax(0).values
    adjusted = adjusted.clamp(max=1)
    return torch.empty_like(p).scatter(0, order, adjusted)


def _holm_false_discovery(p):
    order = p.argsort(descending=True)
    factors = len(p) / torch.arange(len(p), 0, -1, dtype=p.dtype)
    adjusted = (p[order] * factors).cummin(0).values.clamp(max=1)
    return torch.empty_like(p).scatter(0, order, adjusted)


def _holm_maximum_in_given_order(p):
    rank = p.argsort().argsort()
    return (p * (len(p) - rank)).cummax(0).values.clamp(max=1)


_FACTORS = "Multiply the smallest by m, the next by m − 1, and so on, the largest by 1"
_MAXIMUM = "Take the running maximum over the sorted values: cummax"
_BACK = "Put each value back where its p-value was: result[order] = adjusted"

HOLM = (
    Mutant(
        "bonferroni",
        lambda p: (len(p) * p).clamp(max=1),
        "every value is multiplied by m: that is Bonferroni, which rejects less than it may",
        _FACTORS,
    ),
    slip(
        holm,
        "not-monotone",
        "products.cummax(0).values",
        "products",
        "a larger p-value can end below a smaller one: there is no running maximum",
        _MAXIMUM,
    ),
    slip(
        holm,
        "not-capped",
        "adjusted.clamp(max=1)",
        "adjusted",
        "some are above 1, which no probability can be",
        "Add clamp(max=1)",
    ),
    slip(
        holm,
        "left-sorted",
        "torch.empty_like(p).scatter(0, order, adjusted)",
        "adjusted",
        "the result is sorted, so values stand beside comparisons that they do not belong to",
        _BACK,
    ),
    slip(
        holm,
        "permuted-twice",
        "torch.empty_like(p).scatter(0, order, adjusted)",
        "adjusted[order]",
        "the sorted values are permuted once more, not put back in the places they came from",
        _BACK,
    ),
    slip(
        holm,
        "factors-upside-down",
        "torch.arange(len(p), 0, -1)",
        "torch.arange(1, len(p) + 1)",
        "the smallest is multiplied by 1 and the largest by m: the factors are the wrong way round",
        _FACTORS,
    ),
    slip(
        holm,
        "largest-first",
        "p.argsort()",
        "p.argsort(descending=True)",
        "the p-values are sorted the wrong way: the largest comes first, and is multiplied by m",
        _FACTORS,
    ),
    slip(
        holm,
        "factors-from-m-1",
        "torch.arange(len(p), 0, -1)",
        "torch.arange(len(p) - 1, -1, -1)",
        "off by one: the smallest is multiplied by m − 1, and the largest by 0",
        _FACTORS,
    ),
    slip(
        holm,
        "factors-from-m+1",
        "torch.arange(len(p), 0, -1)",
        "torch.arange(len(p) + 1, 1, -1)",
        "off by one: the smallest is multiplied by m + 1, and the largest by 2",
        _FACTORS,
    ),
    slip(
        holm,
        "only-the-one-before",
        "products.cummax(0).values",
        "torch.maximum(products, torch.cat([products[:1], products[:-1]]))",
        "each value is compared only with the product just before it, which is not the largest of "
        "all before",
        _MAXIMUM,
    ),
    slip(
        holm,
        "running-minimum",
        "products.cummax(0).values",
        "products.cummin(0).values",
        "a running minimum where the running maximum belongs: no value may be below the one before",
        _MAXIMUM,
    ),
    slip(
        holm,
        "hochberg",
        "products.cummax(0).values",
        "products.flip(0).cummin(0).values.flip(0)",
        "the running minimum from the largest down is Hochberg's procedure, not Holm's maximum",
        _MAXIMUM,
    ),
    slip(
        holm,
        "clamped-from-below",
        "clamp(max=1)",
        "clamp(1)",
        "clamp(1) raises every value to at least 1; none may be above 1",
        "Write clamp(max=1)",
    ),
    slip(
        holm,
        "sidak",
        "p[order] * factors",
        "1 - (1 - p[order]) ** factors",
        "1 − (1 − p)ᵏ is Šidák's correction, which has powers; Holm multiplies",
        _FACTORS,
    ),
    Mutant(
        "maximum-in-given-order",
        _holm_maximum_in_given_order,
        "the running maximum goes along the order in which the p-values came, not the sorted one",
        _MAXIMUM,
    ),
    Mutant(
        "not-sorted",
        lambda p: (p * torch.arange(len(p), 0, -1)).cummax(0).values.clamp(max=1),
        "the p-values are not sorted before they get their factors",
        _FACTORS,
    ),
    Mutant(
        "not-sorted-not-monotone",
        lambda p: (p * torch.arange(len(p), 0, -1)).clamp(max=1),
        "the p-values are not sorted before they get their factors, and there is no running "
        "maximum",
        f"{_FACTORS}. {_MAXIMUM}",
    ),
    Mutant(
        "false-discovery",
        _holm_false_discovery,
        "this is Benjamini and Hochberg's method, which bounds a share of false findings, not the "
        "chance of any",
        "Multiply the k-th smallest by m − k + 1 and take the running maximum",
    ),
)
