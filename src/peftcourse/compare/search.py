"""The search for a learning rate: the same budget for every method.

Five rates, half a decade apart, around a method's usual one, each trained once with the tuning
seed. Where the lowest validation loss lies at an edge, the grid grows by half a decade on that
side, until the best rate is inside or nine were tried.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

FIRST_RATES, MOST_RATES = 5, 9
HALF_DECADE = math.sqrt(10)
SEARCH = "search"

Row = Mapping[str, Any]


def grid(middle: float, tried: Mapping[float, float]) -> list[float]:
    """The rates that a search needs, given the losses of those that were tried.

    Args:
        middle: the rate in the middle of the first five.
        tried: rate → validation loss; infinite for a run that diverged.

    Returns:
        Rates in increasing order; no more than were tried if the search is over.
    """
    reach = FIRST_RATES // 2
    low, high = -reach, reach
    while True:
        rates = [rate_at(middle, step) for step in range(low, high + 1)]
        if not set(rates) <= tried.keys() or len(rates) >= MOST_RATES:
            return rates
        losses = [tried[rate] for rate in rates]
        place = losses.index(min(losses))
        if place == 0:
            low -= 1
        elif place == len(rates) - 1:
            high += 1
        else:
            return rates


def rate_at(middle: float, step: int) -> float:
    """The rate ``step`` half decades above the middle, to three digits: the same everywhere."""
    return float(f"{middle * HALF_DECADE**step:.3g}")


def best(tried: Mapping[float, float]) -> float:
    """The rate with the lowest loss; the lower one of two equal ones."""
    return min(sorted(tried), key=lambda rate: tried[rate])


def searched(rows: Iterable[Row]) -> dict[tuple[str, str, str], dict[float, float]]:
    """(model, task, method) → rate → validation loss; infinite where a run gave none."""
    found: dict[tuple[str, str, str], dict[float, float]] = {}
    for row in rows:
        if row["purpose"] == SEARCH:
            losses = found.setdefault((row["model"], row["task"], row["method"]), {})
            loss = row.get("loss")
            losses[row["learning_rate"]] = math.inf if loss is None else loss
    return found


def outcomes(middles: Mapping[str, float], rows: Iterable[Row]) -> list[dict[str, Any]]:
    """The outcome of each finished search.

    Args:
        middles: method → the rate in the middle of its first five.
        rows: of the finished runs.
    """
    found = []
    for (model, task, method), losses in searched(rows).items():
        rates = sorted(losses)
        if not losses.keys() >= set(grid(middles[method], losses)):
            continue
        rate = best(losses)
        found.append(
            {
                "model": model,
                "task": task,
                "method": method,
                "learning_rate": rate,
                "loss": losses[rate] if math.isfinite(losses[rate]) else None,
                "rates": rates,
                "interior": rates[0] < rate < rates[-1],
            }
        )
    return found
