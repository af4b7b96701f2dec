"""Lesson 09, one adapter from several: what wrong factors show, whatever the code is."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from peftcourse.exercises.core import Symptom
from peftcourse.exercises.observe import Case, Outcome

When = Callable[[Case, Outcome, Outcome], bool]


def _right(part: str) -> When:
    """The part is right, up to rounding."""

    def when(case: Case, expected: Outcome, observed: Outcome) -> bool:
        right, seen = expected.get(part), observed.get(part)
        return (
            isinstance(right, Tensor)
            and isinstance(seen, Tensor)
            and right.shape == seen.shape
            and torch.allclose(right.double(), seen.double(), rtol=1e-4, atol=1e-5)
        )

    return when


def _shape(part: str, same: bool) -> When:
    def when(case: Case, expected: Outcome, observed: Outcome) -> bool:
        right, seen = expected.get(part), observed.get(part)
        return isinstance(seen, Tensor) and (right.shape == seen.shape) == same

    return when


def _same_product(how: str) -> When:
    """A and B are not both right, but their product is."""

    def when(case: Case, expected: Outcome, observed: Outcome) -> bool:
        parts = [one.get(f"{how}: {letter}") for one in (expected, observed) for letter in "AB"]
        if not all(isinstance(part, Tensor) and part.dim() == 2 for part in parts):
            return False
        A, B, own_A, own_B = (part.double() for part in parts)
        fits = own_B.shape[1] == own_A.shape[0]
        outer = (own_B.shape[0], own_A.shape[1]) == (B.shape[0], A.shape[1])
        return fits and outer and torch.allclose(B @ A, own_B @ own_A, rtol=1e-4, atol=1e-5)

    return when


SYMPTOMS = (
    Symptom(
        "cat: A",
        "with cat, the product is right, but the factor w·s is not where it belongs, with A",
        "Scale the rows of A only, and leave B as it is",
        _same_product("cat"),
        decides=True,
    ),
    Symptom(
        "cat: rank",
        "with cat, the ranks do not add up: the A are not put above one another",
        "Put the A above one another (dim 0) and the B side by side (dim 1)",
    ),
    Symptom(
        "cat: columns of B",
        "with cat, the B are not put side by side: B has another number of columns than ranks",
        "Put the A above one another (dim 0) and the B side by side (dim 1)",
    ),
    *(
        Symptom(
            f"cat: {letter}",
            "with cat, the product is not the sum of w·s·B A",
            "Scale the rows of each A by weight * scaling, and leave B as it is",
        )
        for letter in "AB"
    ),
    Symptom(
        "linear: A",
        "with linear, the product is right, but the sign does not go with A",
        "Put the sign of the factor in front of the root in A, and only there",
        _same_product("linear"),
        decides=True,
    ),
    Symptom(
        "linear: rank",
        "with linear, the rank does not stay as it is",
        "For linear, sum the A, and sum the B",
    ),
    Symptom(
        "linear: A",
        "with linear, B is right and A is not: the A have the root of |w·s| and the sign",
        "Give A the square root of the factor, with its sign",
        _right("linear: B"),
    ),
    Symptom(
        "linear: B",
        "with linear, A is right and B is not: a sum of B, each with the root of |w·s|, no sign",
        "Give B the square root of the factor's absolute value",
        _right("linear: A"),
    ),
    Symptom(
        "linear: A",
        "with linear, neither A nor B is the sum with roots of the factors",
        "Give A and B the square root of the factor each, A with the sign",
    ),
    Symptom(
        "svd: rank",
        "with svd, the rank is not the largest of the adapters' ranks",
        "Keep the first max(r) singular vectors",
    ),
    Symptom(
        "svd: B @ B.T",
        "with svd, the product is right, but the singular values are not in B, or not only there",
        "Multiply the columns of U by S, and leave Vh as it is",
        _right("svd: B @ A"),
        decides=True,
    ),
    Symptom(
        "svd: B @ A",
        "with svd, B is right, and the rows of A are not the right singular vectors",
        "Take the first rows of Vh as they are",
        _right("svd: B @ B.T"),
    ),
    Symptom(
        "svd: B @ A",
        "with svd, the product is not the best one of its rank to the sum of w·s·B A",
        "Keep the largest singular values of the exact sum",
    ),
)
