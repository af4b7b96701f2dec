"""Lesson 06: conditions under which a symptom is told, each on one part of an outcome."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from peftcourse.exercises.compare import agree

Condition = Callable[[dict[str, Any], dict[str, Any], dict[str, Any]], bool]


def values(part: str, test: Callable[[Tensor, Tensor], Any]) -> Condition:
    """Values are wrong, not the shape, and ``test(right, seen)`` holds of them in float64."""

    def holds(case: dict, expected: dict, observed: dict) -> bool:
        right, seen = expected[part], observed.get(part)
        alike = isinstance(seen, Tensor) and seen.shape == right.shape and not seen.is_complex()
        return alike and not agree(right, seen) and bool(test(right.double(), seen.double()))

    return holds


def wrong(part: str) -> Condition:
    """Values are wrong, not the shape, the dtype or the type alone."""
    return values(part, lambda right, seen: True)


def other_shape(part: str) -> Condition:
    """The part is a tensor of another shape."""

    def holds(case: dict, expected: dict, observed: dict) -> bool:
        seen = observed.get(part)
        return isinstance(seen, Tensor) and seen.shape != expected[part].shape

    return holds


def right(part: str) -> Condition:
    """The part has the right values, up to rounding."""
    return lambda case, expected, observed: agree(expected[part], observed.get(part))


def both(*conditions: Condition) -> Condition:
    """All of these hold."""

    def holds(case: dict, expected: dict, observed: dict) -> bool:
        return all(one(case, expected, observed) for one in conditions)

    return holds


def at_most_one_off(part: str) -> Condition:
    """Whole numbers that are right or next to the right ones."""
    return values(part, lambda right, seen: ((right - seen).abs() <= 1).all())


def near(right: Tensor, seen: Tensor) -> bool:
    """No value is off by more than what rounding to 16 bits explains."""
    return bool((right - seen).abs().max() <= 0.02 * right.abs().max())


def rounded(part: str) -> Condition:
    """The values are right but for a rounding to 16 bits."""
    return values(part, near)


def multiple(right: Tensor, seen: Tensor) -> bool:
    """Whether one is the other times a number, up to the rounding of 16 bits."""
    factor = (right * seen).sum() / right.square().sum()
    return bool((seen - factor * right).norm() <= 0.01 * seen.norm())
