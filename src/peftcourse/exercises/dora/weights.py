"""Lesson 05, looking at weights: reference solutions and typical wrong answers.

A wrong answer is the solution with one idea changed. It runs and returns the right shapes, as the
mistakes that cost people an evening do.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from peftcourse.exercises.core import Mutant

# --- dora.decompose -------------------------------------------------------------------------------


def decompose(W: Tensor) -> tuple[Tensor, Tensor]:
    magnitude = W.norm(dim=1)
    return magnitude, W / magnitude[:, None]


def _decompose_columns(W):
    norm = W.norm(dim=0, keepdim=True)
    return norm[0], W / norm


def _decompose_whole(W):
    norm = W.norm()
    return norm.repeat(W.shape[0]), W / norm


def _decompose_squared(W):
    magnitude = W.square().sum(dim=1)
    return magnitude, W / magnitude[:, None]


def _decompose_mean_square(W):
    magnitude = W.square().mean(dim=1).sqrt()
    return magnitude, W / magnitude[:, None]


def _decompose_absolute(W):
    magnitude = W.abs().sum(dim=1)
    return magnitude, W / magnitude[:, None]


DECOMPOSE = (
    Mutant(
        "wrong-axis",
        _decompose_columns,
        "one norm for each input feature: the sum runs over the outputs",
        "nn.Linear.weight is (d_out, d_in): take the norm over dim=1",
    ),
    Mutant(
        "one-norm",
        _decompose_whole,
        "one norm of the whole matrix, where each output feature has its own",
        "Take the norm over dim=1 alone",
    ),
    Mutant(
        "squared",
        _decompose_squared,
        "the sum of squares: the root is missing",
        "Use W.norm(dim=1), or take the root of your sum",
    ),
    Mutant(
        "mean-square",
        _decompose_mean_square,
        "the root of the mean square: too small by the root of d_in",
        "A norm is the root of the sum of squares, not of their mean",
    ),
    Mutant(
        "absolute-values",
        _decompose_absolute,
        "the sum of absolute values, which is another norm",
        "DoRA takes the Euclidean norm: squares, sum, root",
    ),
)

# --- dora.change ----------------------------------------------------------------------------------


def change(before: Tensor, after: Tensor) -> tuple[float, float]:
    magnitude = (after.norm(dim=1) - before.norm(dim=1)).abs().mean()
    direction = (1 - F.cosine_similarity(after, before, dim=1)).mean()
    return magnitude.item(), direction.item()


def _change_signed(before, after):
    return (after.norm(dim=1) - before.norm(dim=1)).mean(), change(before, after)[1]


def _change_of_difference(before, after):
    return (after - before).norm(dim=1).mean(), change(before, after)[1]


def _change_cosine(before, after):
    magnitude, direction = change(before, after)
    return magnitude, 1 - direction


def _change_columns(before, after):
    return change(before.T, after.T)


def _change_whole(before, after):
    return change(before.flatten()[None], after.flatten()[None])


def _change_summed(before, after):
    magnitude, direction = change(before, after)
    return magnitude * len(before), direction * len(before)


def _change_update_direction(before, after):
    direction = (1 - F.cosine_similarity(after - before, before, dim=1)).mean()
    return change(before, after)[0], direction


CHANGE = (
    Mutant(
        "signs-cancel",
        _change_signed,
        "a mean of signed changes: rows that grow and rows that shrink cancel",
        "Take the absolute value of each row's change before the mean",
    ),
    Mutant(
        "norm-of-difference",
        _change_of_difference,
        "ΔM is the norm of the difference, which grows when a row only turns",
        "Take the difference of the norms: how much longer a row is, not how far it went",
    ),
    Mutant(
        "cosine",
        _change_cosine,
        "ΔD is the cosine itself: 1 where nothing has turned",
        "Take 1 - cos, so that no change is 0",
    ),
    Mutant(
        "wrong-axis",
        _change_columns,
        "one vector for each input feature, where DoRA has one for each output",
        "Norms and cosines run over dim=1 of (d_out, d_in)",
    ),
    Mutant(
        "whole-matrix",
        _change_whole,
        "one vector for the whole matrix: what differs between its rows is lost",
        "A norm and a cosine for each row, then the mean",
    ),
    Mutant(
        "summed",
        _change_summed,
        "sums over the rows: a layer with more outputs seems to change more",
        "Take the mean over the rows",
    ),
    Mutant(
        "direction-of-update",
        _change_update_direction,
        "the cosine between the update and the old row, not between the new row and the old",
        "Compare after with before",
    ),
)

# --- dora.correlation -----------------------------------------------------------------------------


def correlation(x: Tensor, y: Tensor) -> tuple[float, float, float]:
    r = torch.corrcoef(torch.stack([x, y]))[0, 1].item()
    return r, *_interval(r, 1.96 / math.sqrt(len(x) - 3))


def _interval(r: float, half: float) -> tuple[float, float]:
    center = math.atanh(r)
    return math.tanh(center - half), math.tanh(center + half)


def _correlation_without_fisher(x, y):
    r = correlation(x, y)[0]
    half = 1.96 / math.sqrt(len(x) - 3)
    return r, r - half, r + half


def _correlation_one_error(x, y):
    r = correlation(x, y)[0]
    return r, *_interval(r, 1 / math.sqrt(len(x) - 3))


def _correlation_all_pairs(x, y):
    r = correlation(x, y)[0]
    return r, *_interval(r, 1.96 / math.sqrt(len(x)))


def _correlation_ranks(x, y):
    return correlation(x.argsort().argsort().double(), y.argsort().argsort().double())


def _correlation_slope(x, y):
    r, low, high = correlation(x, y)
    slope = r * y.std() / x.std()
    return slope, low, high


def _correlation_not_centred(x, y):
    r = F.cosine_similarity(x, y, dim=0).item()
    return r, *_interval(r, 1.96 / math.sqrt(len(x) - 3))


CORRELATION = (
    Mutant(
        "without-fisher",
        _correlation_without_fisher,
        "r plus and minus the error of atanh(r): the interval is not taken back, and can pass 1",
        "Add and subtract on the scale of atanh(r), then take tanh of both ends",
    ),
    Mutant(
        "one-standard-error",
        _correlation_one_error,
        "one standard error to each side, which holds 68 % and not 95 %",
        "Multiply the standard error by 1.96",
    ),
    Mutant(
        "n-for-n-minus-3",
        _correlation_all_pairs,
        "the standard error is 1/√n, a little too small",
        "The standard error of atanh(r) is 1/√(n - 3)",
    ),
    Mutant(
        "ranks",
        _correlation_ranks,
        "the correlation of the ranks (Spearman's), not of the values",
        "Use the values themselves, as torch.corrcoef does",
    ),
    Mutant(
        "slope",
        _correlation_slope,
        "the slope of the regression line in place of r: it depends on the units",
        "Divide the covariance by both standard deviations",
    ),
    Mutant(
        "not-centred",
        _correlation_not_centred,
        "the cosine of the two lists: their means were not subtracted",
        "Subtract each mean first, or use torch.corrcoef",
    ),
)
