"""Lesson 04, a budget of ranks: what wrong parts of an outcome show."""

from __future__ import annotations

from torch import Tensor

from peftcourse.exercises.compare import agree
from peftcourse.exercises.core import Symptom
from peftcourse.exercises.practice.budget import FORMULA, TOGETHER


def _budget_right(case, expected, observed) -> bool:
    return agree(expected["budget"], observed["budget"])


def _of_the_layers(case, observed) -> bool:
    ranks = observed["ranks"]
    return isinstance(ranks, Tensor) and ranks.shape == (len(case["importance"]),)


def _another_sum(case, expected, observed) -> bool:
    right = _budget_right(case, expected, observed) and _of_the_layers(case, observed)
    return right and int(observed["ranks"].sum()) != observed["budget"]


def _another_choice(case, expected, observed) -> bool:
    right = _budget_right(case, expected, observed) and _of_the_layers(case, observed)
    return right and int(observed["ranks"].sum()) == observed["budget"]


def _not_of_the_layers(case, expected, observed) -> bool:
    return not _of_the_layers(case, observed)


def _too_large(case, expected, observed) -> bool:
    budget = observed["budget"]
    return isinstance(budget, (int, float)) and budget > expected["budget"]


def _too_small(case, expected, observed) -> bool:
    budget = observed["budget"]
    return isinstance(budget, (int, float)) and budget < expected["budget"]


ALLOCATE_SYMPTOMS = (
    Symptom(
        "ranks",
        "the ranks are not one number for each layer: count the kept directions of each layer, "
        "also of those that keep nothing",
        "torch.bincount(kept, minlength=number of layers)",
        _not_of_the_layers,
    ),
    Symptom(
        "ranks",
        "the budget is right, but the ranks do not add up to it: more or fewer directions are kept",
        TOGETHER,
        _another_sum,
    ),
    Symptom(
        "ranks",
        "the budget is right and shared out, but not to the most important directions of all "
        "layers, which compete for it",
        TOGETHER,
        _another_choice,
    ),
    Symptom(
        "budget",
        "the budget is too large: it does not fall with the cube of "
        "what is left of the way from warmup to total − final",
        FORMULA,
        _too_large,
    ),
    Symptom(
        "budget",
        "the budget is too small: it does not fall with the cube of "
        "what is left of the way from warmup to total − final",
        FORMULA,
        _too_small,
    ),
)
