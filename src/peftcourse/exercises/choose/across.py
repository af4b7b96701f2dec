"""Lesson 10, ranks over tasks: the reference solution and typical wrong answers."""

from __future__ import annotations

import torch
from torch import Tensor

from peftcourse.exercises.core import Mutant, slip


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
        "worst-over-tasks",
        "places.mean(1)",
        "places.amax(1)",
        "the worst rank over the tasks is returned, and the mean is asked for",
        "Take the mean over the tasks",
    ),
    slip(
        ranks,
        "not-averaged",
        "places.mean(1)",
        "places",
        "the ranks of all tasks are returned, and their mean for each method is asked for",
        "Take the mean over the tasks",
    ),
    Mutant(
        "all-scores-ranked-together",
        lambda scores: ranks(scores.reshape(-1, 1)).view(scores.shape).mean(1),
        "the scores of all tasks are ranked together, not within each task",
        "Compare along dim 0, methods, task by task",
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
