"""Lesson 10, from runs to what they show: reference solutions and typical wrong answers."""

from __future__ import annotations

import math
from statistics import fmean, stdev

from torch import Tensor

from peftcourse.exercises.core import Mutant

Runs = list[dict[str, float]]

# --- choose.rate ----------------------------------------------------------------------------------


def rate(runs: Runs, tuning_seed: int) -> tuple[float, bool]:
    tuning = [run for run in runs if run["seed"] == tuning_seed]
    return _best(tuning, runs, "validation")


def _best(candidates: Runs, tried: Runs, key: str) -> tuple[float, bool]:
    finished = [run for run in candidates if not math.isnan(run[key])]
    best = max(finished, key=lambda run: run[key])["rate"]
    rates = [run["rate"] for run in tried]
    return best, best in (min(rates), max(rates))


def _rate_by_test(runs, tuning_seed):
    tuning = [run for run in runs if run["seed"] == tuning_seed]
    return _best(tuning, runs, "test")


def _rate_lowest(runs, tuning_seed):
    tuning = [run for run in runs if run["seed"] == tuning_seed]
    turned = [run | {"validation": -run["validation"]} for run in tuning]
    return _best(turned, runs, "validation")


def _rate_diverged(runs, tuning_seed):
    tuning = [run for run in runs if run["seed"] == tuning_seed]
    best = max(tuning, key=lambda run: run["validation"])["rate"]
    rates = [run["rate"] for run in runs]
    return best, best in (min(rates), max(rates))


def _rate_edge_of_finished(runs, tuning_seed):
    finished = [run for run in runs if not math.isnan(run["validation"])]
    return rate(finished, tuning_seed)


RATE = (
    Mutant(
        "by-test",
        _rate_by_test,
        "the rate is chosen by the test score, which is then no longer a test",
        "Compare run['validation'] and leave run['test'] alone",
    ),
    Mutant(
        "all-seeds",
        lambda runs, tuning_seed: _best(runs, runs, "validation"),
        "the best run of all seeds decides: the seeds that will be reported have chosen the rate",
        "Keep the runs with run['seed'] == tuning_seed first",
    ),
    Mutant(
        "lowest",
        _rate_lowest,
        "the rate with the lowest score is chosen, as if the score were a loss",
        "Take the largest validation score: this one is an accuracy",
    ),
    Mutant(
        "diverged",
        _rate_diverged,
        "a run that diverged wins: every comparison with NaN is False, so max() keeps a NaN that "
        "comes first",
        "Drop the runs whose score is NaN before you compare: math.isnan",
    ),
    Mutant(
        "edge-of-finished",
        _rate_edge_of_finished,
        "the edge is that of the runs that finished; a higher rate was tried, and diverged",
        "Compare the best rate with the lowest and the highest of all rates that were tried",
    ),
)

# --- choose.interval ------------------------------------------------------------------------------


def interval(scores: Tensor, t: dict[int, float]) -> tuple[float, float]:
    n = len(scores)
    return _around(scores, t[n - 1] * scores.std() / math.sqrt(n))


def _around(scores: Tensor, half: Tensor) -> tuple[float, float]:
    return (scores.mean() - half).item(), (scores.mean() + half).item()


def _interval_population(scores, t):
    n = len(scores)
    return _around(scores, t[n - 1] * scores.std(correction=0) / math.sqrt(n))


INTERVAL = (
    Mutant(
        "population-deviation",
        _interval_population,
        "the deviations are divided by n; around a mean that was estimated itself it is n − 1",
        "Use scores.std() as it is, which divides by n − 1 (numpy's std needs ddof=1)",
    ),
    Mutant(
        "normal-quantile",
        lambda scores, t: _around(scores, 1.96 * scores.std() / math.sqrt(len(scores))),
        "1.96 belongs to a known spread; from a few seeds it is only estimated",
        "Replace 1.96 by t[n - 1]",
    ),
    Mutant(
        "spread",
        lambda scores, t: _around(scores, t[len(scores) - 1] * scores.std()),
        "this is how far single runs scatter, not how well their mean is known",
        "Divide the standard deviation by the square root of n",
    ),
    Mutant(
        "n-degrees",
        lambda scores, t: _around(scores, t[len(scores)] * scores.std() / math.sqrt(len(scores))),
        "t is taken at n degrees of freedom; one was spent on the mean",
        "Use t[n - 1]",
    ),
    Mutant(
        "standard-error",
        lambda scores, t: _around(scores, scores.std() / math.sqrt(len(scores))),
        "mean ± one standard error; that covers far less than 95 %",
        "Multiply the standard error by t[n - 1]",
    ),
)

# --- choose.paired --------------------------------------------------------------------------------

Scores = dict[int, float]


def paired(first: Scores, second: Scores, t: dict[int, float]) -> tuple[float, float]:
    differences = [first[seed] - second[seed] for seed in first if seed in second]
    return _mean_and_half(differences, t[len(differences) - 1])


def _mean_and_half(differences: list[float], quantile: float) -> tuple[float, float]:
    return fmean(differences), quantile * stdev(differences) / math.sqrt(len(differences))


def _paired_unpaired(first, second, t):
    common = first.keys() & second.keys()
    one, other = [first[seed] for seed in common], [second[seed] for seed in common]
    n = len(common)
    error = math.sqrt((stdev(one) ** 2 + stdev(other) ** 2) / n)
    return fmean(one) - fmean(other), t[2 * n - 2] * error


def _paired_by_place(first, second, t):
    differences = [a - b for a, b in zip(first.values(), second.values(), strict=True)]
    return _mean_and_half(differences, t[len(differences) - 1])


def _paired_reversed(first, second, t):
    mean, half = paired(first, second, t)
    return -mean, half


def _paired_all_seeds(first, second, t):
    return fmean(first.values()) - fmean(second.values()), paired(first, second, t)[1]


def _paired_normal(first, second, t):
    return paired(first, second, dict.fromkeys(t, 1.96))


PAIRED = (
    Mutant(
        "unpaired",
        _paired_unpaired,
        "the spreads of both methods are added, as if the seeds had nothing to do with each other",
        "Take the difference for each seed first, then the spread of these differences",
    ),
    Mutant(
        "by-place",
        _paired_by_place,
        "the first value is paired with the first and so on; the seeds are in different orders",
        "Look each seed up in both dictionaries",
    ),
    Mutant(
        "reversed",
        _paired_reversed,
        "second − first: the sign says the opposite",
        "Subtract the second method's score from the first's",
    ),
    Mutant(
        "all-seeds",
        _paired_all_seeds,
        "the means are over different seeds: each method has one that the other has not",
        "Keep the seeds that are in both dictionaries",
    ),
    Mutant(
        "normal-quantile",
        _paired_normal,
        "1.96 instead of Student's t: too narrow for a few seeds",
        "Use t[n - 1], where n counts the differences",
    ),
)

# --- choose.gain ----------------------------------------------------------------------------------


def gain(scores: Tensor, full: Tensor, base: float) -> float:
    return (100 * (scores.mean() - base) / (full.mean() - base)).item()


GAIN = (
    Mutant(
        "raw-ratio",
        lambda scores, full, base: (100 * scores.mean() / full.mean()).item(),
        "a ratio of raw scores: the untrained model would get a high mark on it too",
        "Subtract the base model's score from both",
    ),
    Mutant(
        "base-above-only",
        lambda scores, full, base: (100 * (scores.mean() - base) / full.mean()).item(),
        "the base is subtracted above the line only, so full fine-tuning itself gets less than 100",
        "Subtract it from full fine-tuning's score too",
    ),
    Mutant(
        "mean-of-ratios",
        lambda scores, full, base: (100 * (scores - base) / (full - base)).mean().item(),
        "the ratio is taken for each seed and then averaged: a seed with a small denominator rules",
        "Average the scores first, then divide",
    ),
    Mutant(
        "fraction",
        lambda scores, full, base: gain(scores, full, base) / 100,
        "a fraction where percent are asked for",
        "Multiply by 100",
    ),
    Mutant(
        "difference",
        lambda scores, full, base: (100 * (1 - full.mean() + scores.mean())).item(),
        "100 % minus the difference in points: that has the scale of the metric, not of the gain",
        "Divide the gain by full fine-tuning's gain",
    ),
)
