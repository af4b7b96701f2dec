"""How long models take, compared so that a busy machine does little harm.

A time measured alone says as much about the machine at that moment as about the model. Here the
contestants take turns: each round times all of them, and a ratio is taken within its round. What
slows a whole round down cancels; the median over the rounds passes over what hits a single turn.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from peftlab.errors import PeftlabError


@dataclass(frozen=True)
class Ratio:
    """How many times as long as the baseline: the median over rounds, and the quartiles."""

    median: float
    low: float
    high: float


def interleaved(
    runs: Mapping[str, Callable[[], Any]], rounds: int, *, warmup: int = 2
) -> dict[str, list[float]]:
    """Time each run once per round, in seconds.

    Each round starts with another run, so that none is always the first. Before and after each the
    clock waits for the GPU, if there is one: kernels only start when a call returns.

    Args:
        runs: What to time, by name.
        rounds: How many times.
        warmup: Rounds before these, which are not timed: first calls allocate and compile.

    Raises:
        PeftlabError: There is nothing to time, or no round.
    """
    if not runs or rounds < 1:
        raise PeftlabError(f"there is nothing to time: {len(runs)} runs and {rounds} rounds.")
    names = list(runs)
    times: dict[str, list[float]] = {name: [] for name in names}
    for number in range(-warmup, rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            _wait()
            started = time.perf_counter()
            runs[name]()
            _wait()
            if number >= 0:
                times[name].append(time.perf_counter() - started)
    return times


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def ratio(times: Sequence[float], baseline: Sequence[float]) -> Ratio:
    """Compare two lists of times, round by round.

    Raises:
        PeftlabError: They are not of the same rounds, or fewer than two.
    """
    if len(times) != len(baseline) or len(times) < 2:
        raise PeftlabError(
            f"ratios need the same rounds, two at least: {len(times)} and {len(baseline)} times."
        )
    found = [one / other for one, other in zip(times, baseline, strict=True)]
    low, median, high = statistics.quantiles(found, n=4, method="inclusive")
    return Ratio(median, low, high)
