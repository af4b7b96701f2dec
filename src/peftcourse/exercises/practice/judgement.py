"""Lesson 04, judgement: which cell of a grid, and which rank for which layer."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from peftcourse.exercises.core import Mutant

# --- practice.choose ------------------------------------------------------------------------------


def choose(losses: Tensor) -> tuple[int, int, bool]:
    means = losses.nan_to_num(nan=math.inf).mean(dim=2)
    best = divmod(int(means.argmin()), means.shape[1])
    error = losses[best].std() / math.sqrt(losses.shape[2])
    within = means.min(dim=1).values <= means[best] + error
    rank = int(within.nonzero()[0])
    rate = int(means[rank].argmin())
    return rank, rate, rate in (0, means.shape[1] - 1)


def _pick(means: Tensor, allowance: Tensor | float) -> tuple[int, int, bool]:
    within = means.min(dim=1).values <= means.min() + allowance
    rank = int(within.nonzero()[0])
    rate = int(means[rank].argmin())
    return rank, rate, rate in (0, means.shape[1] - 1)


def _means(losses: Tensor) -> Tensor:
    return losses.nan_to_num(nan=math.inf).mean(dim=2)


def _best_spread(losses: Tensor) -> Tensor:
    means = _means(losses)
    return losses[divmod(int(means.argmin()), means.shape[1])].std()


def _standard_error(losses: Tensor) -> Tensor:
    return _best_spread(losses) / math.sqrt(losses.shape[2])


def _rate_of_the_best(losses):
    rank, _, _ = choose(losses)
    rate = int(_means(losses).argmin()) % losses.shape[1]
    return rank, rate, rate in (0, losses.shape[1] - 1)


def _one_edge(losses):
    rank, rate, _ = choose(losses)
    return rank, rate, rate == losses.shape[1] - 1


CHOOSE = (
    Mutant(
        "lucky-seed",
        lambda losses: _pick(losses.nan_to_num(nan=math.inf).amin(dim=2), 0.0),
        "the lowest single run is taken, and with it its luck; a mean over the seeds decides",
        "Average over the seeds before you compare",
    ),
    Mutant(
        "lowest-mean",
        lambda losses: _pick(_means(losses), 0.0),
        "the lowest mean is taken, although a smaller rank is within one standard error of it",
        "Take the smallest rank whose best mean is at most the lowest mean plus its standard error",
    ),
    Mutant(
        "standard-deviation",
        lambda losses: _pick(_means(losses), _best_spread(losses)),
        "one standard deviation of single runs is allowed; the mean is known better than that",
        "Divide the standard deviation by the root of the number of seeds",
    ),
    Mutant(
        "failed-runs-left-out",
        lambda losses: _pick(losses.nanmean(dim=2), _standard_error(losses)),
        "a run that diverged is left out of its mean, as if it had not happened",
        "Count NaN as infinitely bad: nan_to_num(nan=math.inf)",
    ),
    Mutant(
        "rate-of-another-rank",
        _rate_of_the_best,
        "the rank is right, but the rate is the one that is best at another rank",
        "Take the best rate in the row of the rank that you chose",
    ),
    Mutant(
        "one-edge",
        _one_edge,
        "only the highest rate counts as an edge; below the lowest one nobody looked either",
        "Both the first and the last column are edges",
    ),
)

# --- practice.allocate ----------------------------------------------------------------------------


def allocate(
    importance: Tensor, step: int, total: int, warmup: int, final: int, goal: int
) -> tuple[int, Tensor]:
    start, last = importance.numel(), total - final
    left = 1 - (step - warmup) / (last - warmup)
    budget = int(goal + (start - goal) * left**3)
    kept = importance.flatten().topk(budget).indices // importance.shape[1]
    return budget, torch.bincount(kept, minlength=len(importance))


def _with_budget(importance: Tensor, budget: int) -> tuple[int, Tensor]:
    kept = importance.flatten().topk(budget).indices // importance.shape[1]
    return budget, torch.bincount(kept, minlength=len(importance))


def _linear(importance, step, total, warmup, final, goal):
    left = 1 - (step - warmup) / (total - final - warmup)
    return _with_budget(importance, int(goal + (importance.numel() - goal) * left))


def _no_final(importance, step, total, warmup, final, goal):
    return allocate(importance, step, total, warmup, 0, goal)


def _least_important(importance, *schedule):
    return allocate(-importance, *schedule)


def _same_everywhere(importance, *schedule):
    budget, _ = allocate(importance, *schedule)
    layers = len(importance)
    return budget, torch.tensor([(budget + i) // layers for i in range(layers)])


def _removed(importance, *schedule):
    budget, ranks = allocate(importance, *schedule)
    return budget, importance.shape[1] - ranks


ALLOCATE = (
    Mutant(
        "linear",
        _linear,
        "the budget falls along a straight line; AdaLoRA's falls fast first and slowly later",
        "Raise what is left of the way to the third power",
    ),
    Mutant(
        "no-final-phase",
        _no_final,
        "the budget falls until the last step; the final phase with fixed ranks is missing",
        "The way down ends at total - final",
    ),
    Mutant(
        "least-important",
        _least_important,
        "the least important directions are kept",
        "Keep those with the largest importance: topk",
    ),
    Mutant(
        "same-for-all",
        _same_everywhere,
        "every layer gets the same share of the budget, whatever its directions are worth",
        "Rank the directions of all layers together: importance.flatten()",
    ),
    Mutant(
        "removed",
        _removed,
        "these are the directions that each layer loses, not those it keeps",
        "Count the kept ones: torch.bincount of their layers",
    ),
)
