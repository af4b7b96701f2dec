"""Lesson 10, quality against cost: what wrong parts of an outcome show, whatever the code is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from peftcourse.exercises.core import Symptom
from peftcourse.exercises.observe import Case, Outcome

When = Callable[[Case, Outcome, Outcome], bool]

# --- choose.pareto --------------------------------------------------------------------------------


def _mask(expected: Outcome, observed: Outcome) -> Tensor | None:
    """What was returned as a mask of the right shape, or None."""
    value = observed["result"]
    fits = isinstance(value, Tensor) and value.shape == expected["result"].shape
    return value.bool() if fits and not value.is_complex() else None


def _kept(of_beater: Callable[[Tensor, Tensor, Any, Any], bool]) -> When:
    """Only methods stay that should not, and all that would remove one of them are of a kind."""

    def when(case: Case, expected: Outcome, observed: Outcome) -> bool:
        mask = _mask(expected, observed)
        if mask is None or (expected["result"] & ~mask).any():
            return False
        costs, quality = case["costs"], case["quality"]
        return all(
            of_beater(costs[j], costs[i], quality[j], quality[i])
            for i in (mask & ~expected["result"]).nonzero().flatten().tolist()
            for j in range(len(quality))
            if _beats(costs[j], costs[i], quality[j], quality[i])
        )

    return when


def _beats(cost: Tensor, own_cost: Tensor, quality: Tensor, own_quality: Tensor) -> bool:
    no_worse = bool((cost <= own_cost).all() and quality >= own_quality)
    return no_worse and bool((cost < own_cost).any() or quality > own_quality)


def _removed(of_lost: Callable[[Tensor, Tensor, int], bool]) -> When:
    """Only methods are gone that should stay, and all of these are of a kind."""

    def when(case: Case, expected: Outcome, observed: Outcome) -> bool:
        mask = _mask(expected, observed)
        if mask is None or (mask & ~expected["result"]).any():
            return False
        lost = (expected["result"] & ~mask).nonzero().flatten().tolist()
        return all(of_lost(case["costs"], case["quality"], i) for i in lost)

    return when


def _has_a_twin(costs: Tensor, quality: Tensor, i: int) -> bool:
    return int(((costs == costs[i]).all(1) & (quality == quality[i])).sum()) > 1


def _is_extreme(costs: Tensor, quality: Tensor, i: int) -> bool:
    return bool((costs[i] == costs.amin(0)).any() or quality[i] == quality.max())


def _none_left(case: Case, expected: Outcome, observed: Outcome) -> bool:
    mask = _mask(expected, observed)
    return mask is not None and not mask.any()


def _all_left(case: Case, expected: Outcome, observed: Outcome) -> bool:
    mask = _mask(expected, observed)
    return mask is not None and bool(mask.all())


def _both_kinds(case: Case, expected: Outcome, observed: Outcome) -> bool:
    mask = _mask(expected, observed)
    right = expected["result"]
    return mask is not None and bool((mask & ~right).any() and (right & ~mask).any())


_STRICT = "Beaten is: no worse in anything, and better in at least one thing"

PARETO = (
    Symptom(
        "result",
        "numbers or places come back, and a boolean for each method is asked for",
        "Return a tensor of True and False, one for each method",
        lambda case, expected, observed: (
            isinstance(observed["result"], Tensor) and observed["result"].dtype != torch.bool
        ),
    ),
    Symptom(
        "result",
        "nothing is left on the front: every method is removed, by itself or by its equal",
        "Ask for at least one thing in which the other is strictly better",
        _none_left,
    ),
    Symptom(
        "result",
        "nothing is removed: every method is on the front",
        _STRICT,
        _all_left,
    ),
    Symptom(
        "result",
        "a method stays although another has the same quality and is cheaper",
        _STRICT,
        _kept(lambda cost, own_cost, quality, own_quality: bool(quality == own_quality)),
    ),
    Symptom(
        "result",
        "a method stays although another costs the same and has a better quality",
        _STRICT,
        _kept(lambda cost, own_cost, quality, own_quality: bool((cost == own_cost).all())),
    ),
    Symptom(
        "result",
        "a method stays although another is better in one thing, and equal in the rest: being "
        "strictly better in one thing is enough",
        _STRICT,
        _kept(
            lambda cost, own_cost, quality, own_quality: bool(
                (cost == own_cost).any() or quality == own_quality
            )
        ),
    ),
    Symptom(
        "result",
        "a method stays although another is no worse in anything and better in something",
        _STRICT,
        _kept(lambda *_: True),
    ),
    Symptom(
        "result",
        "of methods that are equal in everything not all stay; neither dominates the other",
        "Ask for at least one thing in which the other is strictly better",
        _removed(_has_a_twin),
    ),
    Symptom(
        "result",
        "a method between the cheapest and the best is removed, though no other dominates it",
        _STRICT,
        _removed(lambda costs, quality, i: not _is_extreme(costs, quality, i)),
    ),
    Symptom(
        "result",
        "a method is removed that no other dominates: each other one is dearer in some cost, or "
        "worse in quality",
        "The other must cost no more in every column, and be no worse",
        _removed(lambda *_: True),
    ),
    Symptom(
        "result",
        "methods stay that another dominates, and methods are gone that none does",
        "Compare each method with every other, in all costs: less is better; in quality: more is",
        _both_kinds,
    ),
)


# --- choose.decide --------------------------------------------------------------------------------

_PART = "number of the row"


def _row(case: Case, number: Any) -> dict | None:
    fits = isinstance(number, int) and 0 <= number < len(case["rows"])
    return case["rows"][number] if fits else None


def _chosen(test: Callable[[Case, dict, dict], bool]) -> When:
    """What holds for the row that was chosen and the one that is right."""

    def when(case: Case, expected: Outcome, observed: Outcome) -> bool:
        row = _row(case, observed[_PART])
        return row is not None and test(case, row, _row(case, expected[_PART]))

    return when


def _best_possible(case: Case) -> float:
    return max(row["quality"] for row in case["rows"] if _possible(case, row))


def _possible(case: Case, row: dict) -> bool:
    return row["memory"] <= case["memory"] and (row["mergeable"] or not case["must_merge"])


def _close(case: Case, row: dict) -> bool:
    return row["quality"] >= _best_possible(case) - case["margin"]


def _larger(case: Case, row: dict, right: dict) -> bool:
    """Whether the chosen row may be chosen, and only is not the smallest."""
    return _possible(case, row) and _close(case, row)


# The number of a row is a name: one too many or half of it says nothing.
DECIDE = (
    Symptom(
        _PART,
        "the whole row is returned, and its name is asked for",
        "Return row['name']",
        lambda case, expected, observed: observed[_PART] == "dict",
        decides=True,
    ),
    Symptom(
        _PART,
        "a list is returned, and one name is asked for",
        "Return the name of the smallest",
        lambda case, expected, observed: observed[_PART] in ("list", "tuple", "set"),
        decides=True,
    ),
    Symptom(
        _PART,
        "a number is returned, and the name of the method is asked for",
        "Return row['name']",
        lambda case, expected, observed: observed[_PART] == -2,
        decides=True,
    ),
    Symptom(
        _PART,
        "what is returned is the name of no row",
        "Return row['name']",
        lambda case, expected, observed: observed[_PART] == -1,
        decides=True,
    ),
    Symptom(
        _PART,
        "the method that is chosen does not fit the memory",
        "Keep rows with row['memory'] <= memory",
        _chosen(lambda case, row, right: row["memory"] > case["memory"]),
        decides=True,
    ),
    Symptom(
        _PART,
        "the method that is chosen cannot be merged, where it has to be",
        "Keep a row if it can merge, or if it need not: row['mergeable'] or not must_merge",
        _chosen(lambda case, row, right: case["must_merge"] and not row["mergeable"]),
        decides=True,
    ),
    Symptom(
        _PART,
        "the method that is chosen is possible, but its quality is more than the margin below the "
        "best possible one's",
        "Keep every method whose quality is at least the best one's minus the margin",
        _chosen(lambda case, row, right: _possible(case, row) and not _close(case, row)),
        decides=True,
    ),
    Symptom(
        _PART,
        "a method that needs exactly the memory there is was left out, and a larger one chosen",
        "Use <=, not <",
        _chosen(
            lambda case, row, right: (
                _larger(case, row, right)
                and row["memory"] < case["memory"] == right["memory"]
                and right["quality"] > _best_possible(case) - case["margin"]
            )
        ),
        decides=True,
    ),
    Symptom(
        _PART,
        "a method that is exactly the margin below the best possible one was left out",
        "Use >=, not >",
        _chosen(
            lambda case, row, right: (
                _larger(case, row, right)
                and right["quality"] == _best_possible(case) - case["margin"]
            )
        ),
        decides=True,
    ),
    Symptom(
        _PART,
        "a method that cannot be merged was left out, where merging is not asked for",
        "Keep a row if it can merge, or if it need not: row['mergeable'] or not must_merge",
        _chosen(
            lambda case, row, right: (
                _larger(case, row, right) and row["mergeable"] and not right["mergeable"]
            )
        ),
        decides=True,
    ),
    Symptom(
        _PART,
        "the method with the highest quality is chosen, and a smaller one cannot be told apart "
        "from it: it is within the margin",
        "Among those within the margin, take the fewest trainable parameters",
        _chosen(
            lambda case, row, right: (
                _larger(case, row, right) and row["quality"] == _best_possible(case)
            )
        ),
        decides=True,
    ),
    Symptom(
        _PART,
        "the method that is chosen is possible and good enough, but another such one has fewer "
        "trainable parameters",
        "Among those left, take the fewest trainable parameters",
        _chosen(_larger),
        decides=True,
    ),
)
