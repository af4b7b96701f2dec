"""Lesson 10, two methods on the same seeds: the reference solution and typical wrong answers."""

from __future__ import annotations

import math
from statistics import fmean, pstdev, stdev  # noqa: F401 (pstdev is in a wrong answer)

from peftcourse.exercises.core import Mutant, slip

Scores = dict[int, float]


def paired(first: Scores, second: Scores, t: dict[int, float]) -> tuple[float, float]:
    differences = [first[seed] - second[seed] for seed in first if seed in second]
    n = len(differences)
    half = t[n - 1] * stdev(differences) / math.sqrt(n)
    return fmean(differences), half


def _paired_with(rule):
    """The solution, with another half width: ``rule`` gets the scores on common seeds and t."""

    def answer(first, second, t):
        seeds = [seed for seed in first if seed in second]
        one, other = [first[seed] for seed in seeds], [second[seed] for seed in seeds]
        return fmean(one) - fmean(other), rule(one, other, t)

    return answer


def _two_samples(one, other, t):
    error = math.sqrt((stdev(one) ** 2 + stdev(other) ** 2) / len(one))
    return t[2 * len(one) - 2] * error


def _two_samples_few_degrees(one, other, t):
    error = math.sqrt((stdev(one) ** 2 + stdev(other) ** 2) / len(one))
    return t[len(one) - 1] * error


def _two_samples_all_seeds(first, second, t):
    one, other = list(first.values()), list(second.values())
    error = math.sqrt(stdev(one) ** 2 / len(one) + stdev(other) ** 2 / len(other))
    return fmean(one) - fmean(other), t[len(one) + len(other) - 2] * error


_PAIRS = "differences = [first[seed] - second[seed] for seed in first if seed in second]"
_SPREAD = "Take the difference for each seed first, then the spread of these differences"
_COMMON = "Keep the seeds that are in both dictionaries"
_BY_SEED = "Look each seed up in both dictionaries"
_N = "Use t[n - 1], where n counts the differences"

PAIRED = (
    slip(
        paired,
        "by-place",
        _PAIRS,
        "differences = [a - b for a, b in zip(first.values(), second.values())]",
        "the first value is paired with the first and so on; the seeds are in different orders",
        _BY_SEED,
    ),
    slip(
        paired,
        "normal-quantile",
        "t[n - 1]",
        "1.96",
        "1.96 instead of Student's t: too narrow for a few seeds",
        _N,
    ),
    slip(
        paired,
        "reversed",
        "first[seed] - second[seed]",
        "second[seed] - first[seed]",
        "second − first: the sign says the opposite",
        "Subtract the second method's score from the first's",
    ),
    slip(
        paired,
        "population-deviation",
        "stdev(differences)",
        "pstdev(differences)",
        "the deviation is that of a population, divided by n; a sample divides by n − 1",
        "Use statistics.stdev, or std with ddof=1",
    ),
    slip(
        paired,
        "n-degrees",
        "t[n - 1]",
        "t[n]",
        "t is taken at n degrees of freedom; one was spent on the mean",
        _N,
    ),
    slip(
        paired,
        "spread",
        " / math.sqrt(n)",
        "",
        "this is how far single differences scatter: not divided by the root of n",
        "Divide the standard deviation by the square root of n",
    ),
    slip(
        paired,
        "absolute-differences",
        "first[seed] - second[seed]",
        "abs(first[seed] - second[seed])",
        "the differences have lost their signs: an absolute value too many",
        "Keep the sign of each difference",
    ),
    slip(
        paired,
        "two-samples-degrees",
        "t[n - 1]",
        "t[2 * n - 2]",
        "t is taken at 2n − 2 degrees of freedom, those of two samples; the differences are one",
        _N,
    ),
    slip(
        paired,
        "standard-error",
        "t[n - 1] * ",
        "",
        "this is the standard error alone, without Student's t",
        _N,
    ),
    slip(
        paired,
        "divided-by-n",
        "math.sqrt(n)",
        "n",
        "the deviation is divided by n, and by the root of n it should be",
        "Divide the standard deviation by the square root of n",
    ),
    slip(
        paired,
        "whole-width",
        "t[n - 1] * ",
        "2 * t[n - 1] * ",
        "the half width is twice what it should be: this is the whole width",
        "Return t[n - 1] standard errors, not twice as much",
    ),
    slip(
        paired,
        "seeds-of-the-first",
        " if seed in second",
        "",
        "all seeds of the first are taken, and the second lacks some of them",
        _COMMON,
    ),
    slip(
        paired,
        "both-ends",
        "return fmean(differences), half",
        "return fmean(differences) - half, fmean(differences) + half",
        "the two ends of the interval are returned; the mean and the half width are asked for",
        "Return the mean of the differences first, then the half width",
    ),
    slip(
        paired,
        "half-width-first",
        "return fmean(differences), half",
        "return half, fmean(differences)",
        "the half width is returned first: the two are swapped",
        "Return the mean difference first, then the half width",
    ),
    slip(
        paired,
        "variance",
        "stdev(differences)",
        "stdev(differences) ** 2",
        "the variance stands where the standard deviation belongs, which is its root",
        "Use statistics.stdev",
    ),
    slip(
        paired,
        "too-few-degrees",
        "t[n - 1]",
        "t[n - 2]",
        "t is taken at n − 2 degrees of freedom; only one was spent, on the mean",
        _N,
    ),
    slip(
        paired,
        "corrected-twice",
        "math.sqrt(n)",
        "math.sqrt(n - 1)",
        "the deviation is divided by the root of n − 1, but it has been corrected already",
        "Divide the standard deviation by the square root of n",
    ),
    slip(
        paired,
        "sum",
        "return fmean(differences)",
        "return sum(differences)",
        "the sum of the differences is returned, and their mean is asked for",
        "Take the mean of the differences",
    ),
    slip(
        paired,
        "relative",
        "first[seed] - second[seed]",
        "(first[seed] - second[seed]) / second[seed]",
        "the differences are divided by the second method's scores: relative ones",
        "Subtract, and do not divide",
    ),
    slip(
        paired,
        "missing-as-zero",
        "first[seed] - second[seed] for seed in first if seed in second",
        "first.get(seed, 0) - second.get(seed, 0) for seed in {**first, **second}",
        "a score that is missing counts as zero; a seed that only one has is to be left out",
        _COMMON,
    ),
    slip(
        paired,
        "sorted-values",
        _PAIRS,
        "differences = [a - b for a, b in zip(sorted(first.values()), sorted(second.values()))]",
        "the scores are sorted and then paired with each other by size, not by seed",
        _BY_SEED,
    ),
    slip(
        paired,
        "shifted-seeds",
        _PAIRS,
        "differences = [a[1] - b[1] for a, b in zip(sorted(first.items()), "
        "sorted(second.items()))]",
        "the seeds are sorted and paired by place, which shifts them where only one has a seed",
        _BY_SEED,
    ),
    slip(
        paired,
        "median",
        "return fmean(differences)",
        "return sorted(differences)[(len(differences) - 1) // 2]",
        "the median of the differences is returned, and their mean is asked for",
        "Take the mean of the differences",
    ),
    Mutant(
        "unpaired",
        _paired_with(_two_samples),
        "the spreads of both methods are added, as if the seeds had nothing to do with each other",
        _SPREAD,
    ),
    Mutant(
        "unpaired-few-degrees",
        _paired_with(_two_samples_few_degrees),
        "the variances of both methods are added, as if the two were independent of each other",
        _SPREAD,
    ),
    Mutant(
        "unpaired-all-seeds",
        _two_samples_all_seeds,
        "two separate samples of all seeds are compared, as if no seed were in both",
        _SPREAD,
    ),
    slip(
        paired,
        "all-seeds",
        "return fmean(differences)",
        "return fmean(first.values()) - fmean(second.values())",
        "the means are over different seeds: each method has one that the other has not",
        _COMMON,
    ),
    slip(
        paired,
        "number-of-all-seeds",
        "n = len(differences)",
        "n = len(first)",
        "n is the number of all seeds of the first, not of those that both have",
        _N,
    ),
)
