"""Lesson 04, judgement: which cell of a grid of runs; reference solution, typical wrong answers."""

from __future__ import annotations

import math

import torch

from peftcourse.exercises.core import Mutant, Symptom, slip


def choose(losses: torch.Tensor) -> tuple[int, int, bool]:
    means = losses.nan_to_num(nan=math.inf).mean(dim=2)
    best = divmod(int(means.argmin()), means.shape[1])
    error = losses[best].std() / math.sqrt(losses.shape[2])
    within = means.min(dim=1).values <= means[best] + error
    rank = int(within.nonzero()[0])
    rate = int(means[rank].argmin())
    return rank, rate, rate in (0, means.shape[1] - 1)


MEANS = "losses.nan_to_num(nan=math.inf).mean(dim=2)"
ERROR = "losses[best].std() / math.sqrt(losses.shape[2])"
WITHIN = "means.min(dim=1).values <= means[best] + error"
RATE = "int(means[rank].argmin())"
EDGE = "rate in (0, means.shape[1] - 1)"
STANDARD_ERROR = "Divide torch's std of the best cell by the root of the number of seeds"
SMALLEST = "Take the smallest rank whose best mean is at most the lowest mean plus its error"
INFINITE = "Count NaN as infinitely bad: nan_to_num(nan=math.inf)"
OWN_ROW = "Take the lowest mean in the row of the rank that you chose"
BOTH_ENDS = "The edges are the first and the last column, 0 and rates − 1, for the chosen rate"


CHOOSE: tuple[Mutant, ...] = (
    slip(
        choose,
        "lucky-seed",
        ".mean(dim=2)",
        ".amin(dim=2)",
        "the lowest single run is taken, and with it its luck; a mean over the seeds decides",
        "Average over the seeds before you compare",
        (" + error", ""),
    ),
    slip(
        choose,
        "lowest-mean",
        " + error",
        "",
        "the lowest mean is taken, although a smaller rank is within one standard error of it",
        SMALLEST,
    ),
    slip(
        choose,
        "standard-deviation",
        " / math.sqrt(losses.shape[2])",
        "",
        "one standard deviation of single runs is allowed; the mean is known better than that, by "
        "the root √ of the number of seeds",
        STANDARD_ERROR,
    ),
    slip(
        choose,
        "failed-runs-left-out",
        MEANS,
        "losses.nanmean(dim=2)",
        "a run that diverged (NaN) is left out of its mean, as if it had not happened",
        INFINITE,
        ("losses[best].std()", "losses[best][~losses[best].isnan()].std()"),
    ),
    slip(
        choose,
        "rate-of-another-rank",
        RATE,
        "best[1]",
        "the rank is right, but the rate is the one that is best at another rank, not in its own "
        "row",
        OWN_ROW,
    ),
    slip(
        choose,
        "one-edge",
        EDGE,
        "rate == means.shape[1] - 1",
        "only the highest rate counts as an edge; below the lowest one, in the first column, "
        "nobody looked either",
        BOTH_ENDS,
    ),
    slip(
        choose,
        "largest-rank",
        "nonzero()[0]",
        "nonzero()[-1]",
        "the largest rank within one standard error is taken, where the smallest is asked for",
        SMALLEST,
    ),
    slip(
        choose,
        "population",
        ".std()",
        ".std(correction=0)",
        "the standard error is too small: the deviation is that of a population, divided by the "
        "number of seeds, where torch's std divides by seeds − 1",
        "Use torch's std, or ddof=1 in NumPy",
    ),
    slip(
        choose,
        "root-of-one-seed-less",
        "math.sqrt(losses.shape[2])",
        "math.sqrt(losses.shape[2] - 1)",
        "the standard error is too large: std is divided by √(seeds − 1), where √seeds is asked "
        "for (torch's std has its seeds − 1 already)",
        STANDARD_ERROR,
    ),
    slip(
        choose,
        "root-of-the-rates",
        "math.sqrt(losses.shape[2])",
        "math.sqrt(losses.shape[1])",
        "the standard error is divided by the root of the number of rates, not of seeds",
        STANDARD_ERROR,
    ),
    slip(
        choose,
        "root-of-the-ranks",
        "math.sqrt(losses.shape[2])",
        "math.sqrt(losses.shape[0])",
        "the standard error is divided by the root of the number of ranks, not of seeds",
        STANDARD_ERROR,
    ),
    slip(
        choose,
        "no-root",
        "math.sqrt(losses.shape[2])",
        "losses.shape[2]",
        "the standard error is divided by the number of seeds, not by its root √",
        STANDARD_ERROR,
    ),
    slip(
        choose,
        "strictly-within",
        "<= means",
        "< means",
        "means are compared with <, where ≤ is needed: with a standard error of zero nothing is "
        "strictly below the lowest mean",
        SMALLEST,
        ("int(within.nonzero()[0])", "int(within.int().argmax())"),
    ),
    slip(
        choose,
        "two-errors",
        "+ error",
        "+ 2 * error",
        "two standard errors are allowed, where one is asked for",
        SMALLEST,
    ),
    slip(
        choose,
        "own-error",
        "means[best] + error",
        "means[best] + losses[torch.arange(len(losses)), means.argmin(dim=1)].std(dim=1)"
        " / math.sqrt(losses.shape[2])",
        "each rank is allowed its own standard error: the one of the cell with the lowest mean "
        "holds for all ranks",
        STANDARD_ERROR,
    ),
    slip(
        choose,
        "mean-error",
        ERROR,
        "losses.std(dim=2).nanmean() / math.sqrt(losses.shape[2])",
        "the standard error is a mean over all cells: that of the cell with the lowest mean is "
        "asked for",
        STANDARD_ERROR,
    ),
    slip(
        choose,
        "spread-of-all",
        "losses[best].std()",
        "losses[~losses.isnan()].std()",
        "the spread of all losses (or of all cells) is taken: the standard error is that of the "
        "cell with the lowest mean, over its seeds",
        STANDARD_ERROR,
    ),
    slip(
        choose,
        "nan-as-zero",
        "nan=math.inf",
        "nan=0.0",
        "a run that diverged (NaN) counts as a loss of 0, the best of all",
        INFINITE,
    ),
    slip(
        choose,
        "nan-as-the-worst",
        "nan=math.inf",
        "nan=float(losses[~losses.isnan()].max())",
        "a run that diverged (NaN) counts as the worst finite loss, which may still give its cell "
        "the lowest mean",
        INFINITE,
    ),
    slip(
        choose,
        "ranks-with-nan-out",
        WITHIN,
        "(means.min(dim=1).values <= means[best] + error) & ~losses.isnan().flatten(1).any(dim=1)",
        "a rank is ruled out as a whole where one of its runs diverged (NaN): that rules out the "
        "cell, not the rank",
        INFINITE,
    ),
    slip(
        choose,
        "rates-with-nan-out",
        MEANS,
        "losses.nan_to_num(nan=math.inf).mean(dim=2)"
        ".masked_fill(losses.isnan().any(dim=2).any(dim=0), math.inf)",
        "a rate is ruled out for all ranks where one run diverged (NaN): that rules out one cell",
        INFINITE,
    ),
    slip(
        choose,
        "median",
        ".mean(dim=2)",
        ".median(dim=2).values",
        "medians of the seeds are compared, where their mean is asked for",
        "Average over the seeds: mean(dim=2)",
    ),
    slip(
        choose,
        "worst-seed",
        ".mean(dim=2)",
        ".amax(dim=2)",
        "the worst seed of each cell is compared (max); a mean over the seeds decides",
        "Average over the seeds: mean(dim=2)",
    ),
    slip(
        choose,
        "first-rate-within",
        RATE,
        "int((means[rank] <= means[best] + error).nonzero()[0])",
        "the rate is the first one within the standard error, not the best in the row of its rank",
        OWN_ROW,
    ),
    slip(
        choose,
        "rate-of-a-lucky-seed",
        RATE,
        "int(losses[rank].nan_to_num(nan=math.inf).amin(dim=1).argmin())",
        "the rate is that of the lowest single run in its row, not of its lowest mean",
        OWN_ROW,
    ),
    slip(
        choose,
        "edge-of-the-best",
        EDGE,
        "best[1] in (0, means.shape[1] - 1)",
        "the edge is that of the cell with the lowest mean: it is asked for the chosen rank's rate",
        BOTH_ENDS,
    ),
    slip(
        choose,
        "edge-too-far",
        EDGE,
        "rate in (0, means.shape[1])",
        "the highest rate never counts as an edge: only the first column does, or the last index "
        "is off by one (it is rates − 1, not rates)",
        BOTH_ENDS,
    ),
    slip(
        choose,
        "edge-of-the-ranks",
        EDGE,
        EDGE + " or rank in (0, len(means) - 1)",
        "the edges of the ranks count, too: only the rate is asked whether it is at an edge",
        BOTH_ENDS,
    ),
    slip(
        choose,
        "edge-of-the-rank",
        EDGE,
        "rank in (0, len(means) - 1)",
        "the rank is asked whether it is at an edge of the grid: the rate is meant",
        BOTH_ENDS,
    ),
    slip(
        choose,
        "edge-by-the-ranks",
        EDGE,
        "rate in (0, len(means) - 1)",
        "the last edge is taken from the number of ranks: the rate's last column is rates − 1",
        BOTH_ENDS,
    ),
    slip(
        choose,
        "no-edge",
        EDGE,
        "False",
        "nothing is ever at an edge: the first and the last column are edges",
        BOTH_ENDS,
    ),
    slip(
        choose,
        "not-at-an-edge",
        EDGE,
        "rate not in (0, means.shape[1] - 1)",
        "the edge is the wrong way round: True means that the rate is at an edge",
        BOTH_ENDS,
    ),
    slip(
        choose,
        "near-an-edge",
        EDGE,
        "rate <= 1 or rate >= means.shape[1] - 2",
        "the columns beside the edges count as edges, too (off by one)",
        BOTH_ENDS,
    ),
)


def _same_rank(case, expected, observed) -> bool:
    return observed["rank"] == expected["rank"]


def _same_cell(case, expected, observed) -> bool:
    return _same_rank(case, expected, observed) and observed["rate"] == expected["rate"]


def _larger(case, expected, observed) -> bool:
    return isinstance(observed["rank"], int) and observed["rank"] > expected["rank"]


def _smaller(case, expected, observed) -> bool:
    return isinstance(observed["rank"], int) and observed["rank"] < expected["rank"]


CHOOSE_SYMPTOMS = (
    Symptom(
        "rank",
        "the rank is larger than need be: a smaller one is within one standard error of the lowest "
        "mean, so too little is allowed, or its cell was ruled out",
        SMALLEST,
        _larger,
    ),
    Symptom(
        "rank",
        "the rank is too small: its best mean is not within one standard error of the lowest mean, "
        "so too much is allowed, or a cell looks better than it is (a diverged run, a lucky seed)",
        SMALLEST,
        _smaller,
    ),
    Symptom(
        "rank",
        "the rank is not the smallest whose best mean lies within one standard error of the lowest "
        "mean",
        SMALLEST,
    ),
    Symptom(
        "rate",
        "the rank is right, and the rate is not the one with the lowest mean in its row",
        OWN_ROW,
        _same_rank,
    ),
    Symptom(
        "edge",
        "rank and rate are right, and whether the rate is at an edge of the grid is not: edges are "
        "its first and its last column",
        BOTH_ENDS,
        _same_cell,
    ),
)
