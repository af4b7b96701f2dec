"""Lesson 10, an interval from a few seeds: the reference solution and typical wrong answers."""

from __future__ import annotations

import math

from torch import Tensor

from peftcourse.exercises.core import Mutant, slip


def interval(scores: Tensor, t: dict[int, float]) -> tuple[float, float]:
    n = len(scores)
    middle = scores.mean()
    half = t[n - 1] * scores.std() / math.sqrt(n)
    return (middle - half).item(), (middle + half).item()


_DEGREES = "Use t[n - 1]"
_DEVIATION = "Use scores.std() as it is, which divides by n − 1 (numpy's std needs ddof=1)"
_ERROR = "Divide the standard deviation by the square root of n"

INTERVAL = (
    slip(
        interval,
        "population-deviation",
        "scores.std()",
        "scores.std(correction=0)",
        "the deviations are divided by n; around a mean that was estimated itself it is n − 1",
        _DEVIATION,
    ),
    slip(
        interval,
        "normal-quantile",
        "t[n - 1]",
        "1.96",
        "1.96 belongs to a known spread; from a few seeds it is only estimated",
        "Replace 1.96 by t[n - 1]",
    ),
    slip(
        interval,
        "n-degrees",
        "t[n - 1]",
        "t[n]",
        "t is taken at n degrees of freedom; one was spent on the mean",
        _DEGREES,
    ),
    slip(
        interval,
        "spread",
        " / math.sqrt(n)",
        "",
        "this is how far single runs scatter, not how well their mean is known",
        _ERROR,
    ),
    slip(
        interval,
        "divided-by-n",
        "math.sqrt(n)",
        "n",
        "the deviation is divided by n, and by the root of n it should be",
        _ERROR,
    ),
    slip(
        interval,
        "variance",
        "scores.std()",
        "scores.var()",
        "the variance stands where the standard deviation belongs, which is its root",
        _DEVIATION,
    ),
    slip(
        interval,
        "mean-and-half-width",
        "(middle - half).item(), (middle + half).item()",
        "middle.item(), half.item()",
        "mean and half width are returned, and the two ends are asked for",
        "Return the mean minus and the mean plus the half width",
    ),
    slip(
        interval,
        "upper-end-first",
        "(middle - half).item(), (middle + half).item()",
        "(middle + half).item(), (middle - half).item()",
        "the upper end is returned first: the two ends are swapped",
        "Return the lower end first",
    ),
    slip(
        interval,
        "standard-error",
        "t[n - 1] * ",
        "",
        "mean ± one standard error; that covers far less than 95 %",
        "Multiply the standard error by t[n - 1]",
    ),
    slip(
        interval,
        "whole-width",
        "t[n - 1] * ",
        "2 * t[n - 1] * ",
        "the interval is twice as wide: t standard errors are the half width already",
        "Take the mean minus and plus t[n - 1] standard errors",
    ),
    slip(
        interval,
        "half-of-the-half",
        "t[n - 1] * ",
        "t[n - 1] / 2 * ",
        "the interval is half as wide: t standard errors are the half width already",
        "Take the mean minus and plus t[n - 1] standard errors",
    ),
    slip(
        interval,
        "corrected-twice",
        "math.sqrt(n)",
        "math.sqrt(n - 1)",
        "the deviation is divided by the root of n − 1, but it has been corrected already",
        _ERROR,
    ),
    slip(
        interval,
        "too-few-degrees",
        "t[n - 1]",
        "t[n - 2]",
        "t is taken at n − 2 degrees of freedom; only one was spent, on the mean",
        _DEGREES,
    ),
    slip(
        interval,
        "too-many-degrees",
        "t[n - 1]",
        "t[n + 1]",
        "t is taken at n + 1 degrees of freedom; there are n − 1, one was spent on the mean",
        _DEGREES,
    ),
    slip(
        interval,
        "last-of-t",
        "t[n - 1]",
        "t[max(t)]",
        "the last t of the table is taken, whatever the number of scores is",
        _DEGREES,
    ),
    slip(
        interval,
        "t-of-five",
        "t[n - 1]",
        "t[4]",
        "2.776 = t[4] is for five scores, whatever their number is",
        "Use t[n - 1], whatever n is",
    ),
    slip(
        interval,
        "root-of-five",
        "math.sqrt(n)",
        "math.sqrt(5)",
        "the root of 5 is taken, whatever the number of scores is",
        "Take the number of scores from len(scores)",
    ),
    slip(
        interval,
        "median",
        "scores.mean()",
        "scores.median()",
        "the interval lies around the median, and the mean is asked for",
        "Use scores.mean()",
    ),
    Mutant(
        "smallest-and-largest",
        lambda scores, t: (scores.min().item(), scores.max().item()),
        "the smallest and the largest score are returned: how far runs scatter, not how well their "
        "mean is known",
        "Take the mean ± t[n - 1] standard errors",
    ),
)
