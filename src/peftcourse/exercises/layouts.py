"""The right numbers in another place or order, or a simple function of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from itertools import combinations
from typing import Any

from torch import Tensor

from peftcourse.exercises.compare import agree
from peftcourse.exercises.explanation import Explanation, Values


def _fits(change: Callable[[Any], Any], before: Values, after: Values) -> bool:
    try:
        return all(agree(change(b), a) for b, a in zip(before, after, strict=True))
    except (ValueError, ArithmeticError, RuntimeError, IndexError, TypeError, AttributeError):
        return False


# --- the same numbers elsewhere -------------------------------------------------------------------


def layouts(before: Values, after: Values) -> Iterator[Explanation]:
    if not all(isinstance(value, Tensor) and not value.is_complex() for value in (*before, *after)):
        return
    if before[0].numel() == after[0].numel() and not agree(_sorted(before[0]), _sorted(after[0])):
        return  # as many numbers, but others
    for id, cause, action, change in _layout_changes(max(b.dim() for b in before)):
        if _fits(change, before, after):
            yield Explanation(id, cause, action)
            return
    if all(b.shape != a.shape for b, a in zip(before, after, strict=True)) and _fits(
        Tensor.flatten, before, [a.flatten() for a in after]
    ):
        axes = any(b.dim() != a.dim() for b, a in zip(before, after, strict=True))
        yield Explanation(
            "reshaped",
            "the values are right and in order, but in another shape"
            + (": an axis too many or too few" if axes else ""),
            "Compare the shape with the docstring; `flatten`, `squeeze`, `unsqueeze` or "
            "`keepdim=` give it",
        )
        return
    everywhere = not any(agree(b, a) for b, a in zip(before, after, strict=True))
    if everywhere and _fits(_sorted, before, [_sorted(a) for a in after]):
        yield Explanation(
            "reordered",
            "the values are right, but in another order",
            "Look at how the values are laid out: an axis may have been read for another",
        )


def _sorted(tensor: Tensor) -> Tensor:
    return tensor.flatten().sort().values


def _layout_changes(dims: int) -> Iterator[tuple[str, str, str, Callable[[Tensor], Tensor]]]:
    if dims >= 2:
        yield (
            "transposed",
            "the values are right, but transposed: the last two axes are exchanged",
            "Turn the product round, or transpose the result",
            lambda t: t.transpose(-1, -2),
        )
    for one, other in combinations(range(dims), 2):
        yield (
            f"exchanged-{one}-{other}",
            f"the values are right, but axes {one} and {other} are exchanged, so their order is "
            "another",
            "Compare the order of the axes with the docstring, and transpose these two",
            lambda t, axes=(one, other): t.transpose(*axes),
        )
    for axis in range(dims):
        yield (
            f"flipped-{axis}",
            f"the values are right, but in the reverse order along axis {axis}",
            "Look at which end you start from",
            partial(_flip, axis),
        )
        for steps in (1, -1):
            yield (
                f"rolled-{axis}-{steps}",
                f"the values are right, but one place too far {'on' if steps > 0 else 'back'} "
                f"along axis {axis}: off by one",
                "Look at the index that starts your loop or slice",
                partial(_roll, axis, steps),
            )
        yield (
            f"without-first-{axis}",
            f"the first entry along axis {axis} is missing; the others are right",
            "Look at where your loop or slice starts",
            partial(_slice, axis, 1, None),
        )
        yield (
            f"without-last-{axis}",
            f"the last entry along axis {axis} is missing; the others are right",
            "Look at where your loop or slice ends",
            partial(_slice, axis, None, -1),
        )
        yield (
            f"selected-{axis}",
            f"axis {axis} is missing: there is only what belongs to its first entry",
            "Compare the shape with the docstring: keep that axis, loop over it, or expand to it",
            partial(_select, axis),
        )
        for word in ("mean", "sum", "amax"):
            yield (
                f"{word}-{axis}",
                f"this is the {word.removeprefix('a')} over axis {axis} of what is asked for",
                "Leave that axis as it is, or keep it with `keepdim=True` where you divide by it",
                partial(_reduce, word, axis),
            )


def _flip(axis: int, tensor: Tensor) -> Tensor:
    return tensor.flip(axis)


def _roll(axis: int, steps: int, tensor: Tensor) -> Tensor:
    return tensor.roll(steps, axis)


def _slice(axis: int, start: int | None, stop: int | None, tensor: Tensor) -> Tensor:
    return tensor.transpose(0, axis)[start:stop].transpose(0, axis)


def _select(axis: int, tensor: Tensor) -> Tensor:
    return tensor.select(axis, 0)


def _reduce(word: str, axis: int, tensor: Tensor) -> Tensor:
    return getattr(tensor, word)(axis)


# --- a function of the right result ---------------------------------------------------------------


def functions(before: Values, after: Values) -> Iterator[Explanation]:
    if _fits(lambda _: after[0], before, after):  # one value whatever is right: no function of it
        return
    for id, cause, action, change in _FUNCTIONS:
        # Zero is what a small number rounds to, and what is left where something is missing.
        if id in ("floor", "truncated", "ceil", "rounded") and all(
            _is_zero(value) for value in after
        ):
            continue
        if _may_be(change, before[0], after[0]) and _fits(partial(_each, change), before, after):
            yield Explanation(id, cause, action)
            return


def _may_be(change: Callable[[float], float], before: Any, after: Any) -> bool:
    """Whether a change fits the first entry; it saves all others where it does not."""
    if not (isinstance(before, Tensor) and isinstance(after, Tensor)):
        return True
    if before.shape != after.shape or not before.numel() or after.is_complex():
        return True
    one, other = float(before.flatten()[0]), float(after.flatten()[0])
    try:
        return not abs(change(one) - other) > 1e-4 * max(1.0, float(after.double().abs().max()))
    except (ValueError, ArithmeticError):
        return True


def _is_zero(value: Any) -> bool:
    """Whether it is zero up to rounding, everywhere."""
    if isinstance(value, Tensor):
        return not value.is_complex() and bool((value.double().abs() < 1e-9).all())
    return isinstance(value, (int, float)) and abs(value) < 1e-9


def _each(change: Callable[[float], float], value: Any) -> Any:
    if not isinstance(value, Tensor):
        return float(change(float(value)))
    changed = [float(change(number)) for number in value.double().flatten().tolist()]
    return value.double().new_tensor(changed).view(value.shape)


_FUNCTIONS: tuple[tuple[str, str, str, Callable[[float], float]], ...] = (
    (
        "floor",
        "the right value, rounded down to a whole number: `//` or `int` where nothing is rounded",
        "Divide with `/` and do not round",
        math.floor,
    ),
    (
        "truncated",
        "the right value, cut off to a whole number: `int` or `//` where nothing is rounded",
        "Divide with `/` and do not round",
        math.trunc,
    ),
    (
        "ceil",
        "the right value, rounded up to a whole number",
        "Do not round up",
        math.ceil,
    ),
    ("rounded", "the right value, rounded to a whole number", "Do not round", round),
    *(
        (
            f"rounded-{digits}",
            f"the right value, rounded to {digits} decimal{'s' if digits > 1 else ''}",
            "Do not round",
            partial(round, ndigits=digits),
        )
        for digits in (1, 2, 3, 4)
    ),
    (
        "root",
        "the root of the right value: a square root too many, or a square missing",
        "Look at whether the docstring asks for the value or its square",
        math.sqrt,
    ),
    (
        "square",
        "the square of the right value: the square root is missing, or a square too many",
        "Take the square root",
        lambda x: x * x,
    ),
    (
        "inverse",
        "one over the right value: the fraction is upside down",
        "Exchange numerator and denominator",
        lambda x: 1 / x,
    ),
    (
        "complement",
        "one minus the right value: the opposite share is returned",
        "Return the other share",
        lambda x: 1 - x,
    ),
    (
        "absolute",
        "the right value without its sign: an absolute value too many",
        "Keep the sign",
        abs,
    ),
    (
        "logarithm",
        "the logarithm of the right value",
        "Return the value itself, not its logarithm",
        math.log,
    ),
    (
        "exponential",
        "the exponential of the right value",
        "Return the value itself, without exp",
        math.exp,
    ),
)
