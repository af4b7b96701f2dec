"""Intervals and ranks for a handful of seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from peftlab.errors import PeftlabError

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean and the confidence interval around it.

    Attributes:
        mean: arithmetic mean.
        low, high: ends of the interval; equal to the mean for a single value, which says nothing
            about the spread.
        count: how many values.
    """

    mean: float
    low: float
    high: float
    count: int

    @property
    def half_width(self) -> float:
        """What follows the ± sign."""
        return self.high - self.mean


def t_interval(values: Sequence[float], level: float = LEVEL) -> Interval:
    """Student's confidence interval of a mean: x̄ ± t s / √n (Student 1908).

    Args:
        values: one number per seed.
        level: confidence level, between 0 and 1.

    Raises:
        PeftlabError: there are no values.
    """
    if not values:
        raise PeftlabError("an interval needs at least one value; run the method with some seed.")
    mean, count = statistics.fmean(values), len(values)
    if count == 1:
        return Interval(mean, mean, mean, 1)
    half = t_quantile(count - 1, level) * statistics.stdev(values) / math.sqrt(count)
    return Interval(mean, mean - half, mean + half, count)


def t_quantile(freedom: int, level: float = LEVEL) -> float:
    """The t with P(-t < T < t) = level for Student's distribution.

    With t = √ν tan θ the density becomes cosᵛ⁻¹ θ, which is integrated numerically.

    Args:
        freedom: ν, degrees of freedom, at least 1.
        level: the probability, between 0 and 1.
    """

    def density(angle: float) -> float:
        return math.cos(angle) ** (freedom - 1)

    whole = _simpson(density, 0.0, math.pi / 2)
    angle = _solve(lambda x: _simpson(density, 0.0, x) / whole - level, 0.0, math.pi / 2)
    return math.sqrt(freedom) * math.tan(angle)


def critical_difference(methods: int, blocks: int, level: float = LEVEL) -> float:
    """How far two mean ranks must lie apart: Nemenyi's test (Demšar 2006, §3.2.2, equation 3.5).

    CD = q √(k (k + 1) / (6 N)), where q is the quantile of the range of k standard normal numbers,
    divided by √2.

    Args:
        methods: k, how many methods are ranked.
        blocks: N, how many times they are ranked.
        level: confidence level, between 0 and 1.
    """
    if methods < 2 or blocks < 1:
        raise PeftlabError(
            f"ranks of {methods} methods in {blocks} blocks cannot be compared; take 2 or more "
            "methods."
        )
    normal = statistics.NormalDist()

    def range_below(width: float) -> float:
        """P(range < width) of k standard normal numbers: the integral over the smallest."""
        return methods * _simpson(
            lambda x: normal.pdf(x) * (normal.cdf(x + width) - normal.cdf(x)) ** (methods - 1),
            -8.0,
            8.0,
        )

    quantile = _solve(lambda width: range_below(width) - level, 0.0, 12.0) / math.sqrt(2)
    return quantile * math.sqrt(methods * (methods + 1) / (6 * blocks))


def ranks(values: Mapping[str, float], *, higher_is_better: bool) -> dict[str, float]:
    """Rank 1 for the best; equal values share the mean of their ranks."""
    order = sorted(values, key=lambda name: values[name], reverse=higher_is_better)
    return {
        name: statistics.fmean(
            place for place, other in enumerate(order, 1) if values[other] == values[name]
        )
        for name in order
    }


def pareto(points: Mapping[str, tuple[float, float]]) -> list[str]:
    """The points that no other beats: none is as cheap and as good, and better in one of both.

    Args:
        points: name → (cost, quality); less cost and more quality are better.

    Returns:
        The names on the front, the cheapest first.
    """

    def beaten(name: str) -> bool:
        cost, quality = points[name]
        return any(
            other != (cost, quality) and other[0] <= cost and other[1] >= quality
            for other in points.values()
        )

    return sorted((name for name in points if not beaten(name)), key=lambda name: points[name])


def _simpson(
    function: Callable[[float], float], low: float, high: float, parts: int = 400
) -> float:
    """The integral of a smooth function by Simpson's rule."""
    step = (high - low) / parts
    inner = sum((4 if i % 2 else 2) * function(low + i * step) for i in range(1, parts))
    return (function(low) + inner + function(high)) * step / 3


def _solve(function: Callable[[float], float], low: float, high: float) -> float:
    """The zero of an increasing function, by halving the interval."""
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) < 0 else (low, middle)
    return (low + high) / 2
