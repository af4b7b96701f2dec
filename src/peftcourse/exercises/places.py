"""Where an answer is wrong, and what is special there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from peftcourse.exercises.observe import Case


def special_places(cases: Sequence[Case], masks: Sequence[Tensor | None]) -> str:
    """What all wrong places, and no others, have in common; empty if nothing simple.

    Args:
        cases: those that an answer got wrong.
        masks: for each, a boolean tensor that is true where its result is wrong, or None.
    """
    if not masks or any(mask is None or mask.dim() == 0 or mask.all() for mask in masks):
        return ""
    common: dict[str, None] | None = None
    for case, mask in zip(cases, masks, strict=True):
        here = dict.fromkeys(_descriptions(case, mask))
        common = here if common is None else {text: None for text in common if text in here}
    return next(iter(common or {}), "")


def _descriptions(case: Case, mask: Tensor) -> Iterator[str]:
    for key, value in case.items():
        if isinstance(value, Tensor) and value.numel():
            for text, true in _properties(value):
                if _equal_spread(true, mask):
                    yield f"`{key}` is {text}"
    for axis, size in enumerate(mask.shape):
        if size < 2:
            continue
        index = torch.arange(size)
        for text, where in (
            ("the first index", index == 0),
            ("the last index", index == size - 1),
            ("every index but the first", index > 0),
            ("every index but the last", index < size - 1),
        ):
            shape = [1] * mask.dim()
            shape[axis] = size
            if torch.equal(where.view(shape).expand_as(mask), mask):
                yield f"it is {text} of axis {axis}"
    if mask.dim() >= 2:
        every = torch.ones(mask.shape[-2:], dtype=torch.bool)
        for text, where in (
            ("on the diagonal", torch.eye(*every.shape, dtype=torch.bool)),
            ("above the diagonal", every.triu(1)),
            ("below the diagonal", every.tril(-1)),
            ("off the diagonal", ~torch.eye(*every.shape, dtype=torch.bool)),
        ):
            if torch.equal(where.expand_as(mask), mask):
                yield f"it is {text}"


def _properties(value: Tensor) -> Iterator[tuple[str, Tensor]]:
    if value.dtype == torch.bool:
        yield "true", value
        yield "false", ~value
        return
    if value.dtype.is_complex:
        return
    yield "-100", value == -100
    yield "not -100", value != -100
    yield "zero", value == 0
    yield "not zero", value != 0
    yield "negative", value < 0
    yield "positive", value > 0
    yield "largest", value == value.max()
    yield "smallest", value == value.min()
    if value.is_floating_point():
        yield "exactly between two whole numbers", (value - value.floor()) == 0.5


def _equal_spread(true: Tensor, mask: Tensor) -> bool:
    """Whether a property of an input is the mask, along its first or its last axes."""
    if true.all() or not true.any() or true.dim() > mask.dim():
        return False
    if true.shape == mask.shape[mask.dim() - true.dim() :]:
        return torch.equal(true.expand_as(mask), mask)
    if true.shape == mask.shape[: true.dim()]:
        spread = true.view(*true.shape, *[1] * (mask.dim() - true.dim()))
        return torch.equal(spread.expand_as(mask), mask)
    return False


def special_cases(cases: Sequence[Case], abouts: Sequence[str], failed: Sequence[int]) -> str:
    """What the cases that failed, and no others, have in common; empty if nothing simple."""
    if not 0 < len(failed) < len(cases):
        return ""
    passed = [i for i in range(len(cases)) if i not in failed]
    about = {abouts[i] for i in failed}
    if "" not in about and not about & {abouts[i] for i in passed}:
        return " or ".join(sorted(about))
    for key in cases[0]:
        bad = {_kind(cases[i].get(key)) for i in failed}
        if len(bad) == 1 and bad != {None} and not bad & {_kind(cases[i].get(key)) for i in passed}:
            return f"`{key}` is {bad.pop()}"
    return ""


def _kind(value: Any) -> str | None:
    """What kind of input this is, for inputs that come in a few kinds."""
    if value is None or isinstance(value, (bool, str)):
        return str(value)
    if isinstance(value, Tensor):
        return str(value.dtype).removeprefix("torch.")
    return None
