"""Which simple change turns the right results into the ones that an answer gave.

A change explains an answer if it does so on every case: a size that is too large by exactly the
rank in three cases of three different ranks was not divided by the rank. Cases are drawn so that
sizes differ, which is what makes a coincidence unlikely.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from peftcourse.exercises.compare import agree, constant_ratio
from peftcourse.exercises.observe import Case, Outcome
from peftcourse.exercises.tolerance import SINGLE, relative

Values = Sequence[Any]


@dataclass(frozen=True)
class Explanation:
    """Something that gives exactly what an answer gave, on every case.

    Attributes:
        id: a short name; that of the known mistake, if it is one.
        cause: what its author got wrong, in one line.
        action: the one thing to do about it.
    """

    id: str
    cause: str
    action: str


# Factors that come from units, from halves and doubles, and from logarithms.
_CONSTANTS = {
    "2": 2,
    "√2": math.sqrt(2),
    "4": 4,
    "8 (bits in a byte?)": 8,
    "16": 16,
    "32": 32,
    "100 (a share or per cent?)": 100,
    "1,000 (a unit?)": 1000,
    "1,024 (a unit?)": 1024,
    "10⁶ (a unit?)": 10**6,
    "2²⁰ (a unit?)": 2**20,
    "10⁹ (a unit?)": 10**9,
    "2³⁰ (a unit?)": 2**30,
    "2³⁰/10⁹ (GiB or GB?)": 2**30 / 10**9,
    "2²⁰/10⁶ (MiB or MB?)": 2**20 / 10**6,
    "ln 2 (another base of the logarithm?)": 1 / math.log(2),
    "ln 10 (another base of the logarithm?)": math.log(10),
}


def changes(
    cases: Sequence[Case],
    before: Sequence[Outcome],
    after: Sequence[Outcome],
    symbols: Mapping[str, str] | None = None,
) -> list[Explanation]:
    """The changes that turn each ``before`` into its ``after``; the simplest kind that does.

    Args:
        cases: the inputs, whose numbers and sizes may be factors.
        before: the right outcomes, or those of a known mistake.
        after: what an answer did.
        symbols: how numbers of a case are called, such as ``{"A.shape[0]": "r"}``.
    """
    if any(one.keys() ^ other.keys() for one, other in zip(before, after, strict=True)):
        return []
    # Parts may have other names from case to case.
    found: dict[str, Explanation] | None = None
    parts = {name: None for outcome in before for name in outcome}
    wrong = []
    for name in parts:
        here = [i for i, outcome in enumerate(before) if name in outcome]
        if not all(agree(before[i][name], after[i][name]) for i in here):
            wrong.append((name, here))
    # A gradient follows from what it is the gradient of: where that is wrong, it needs no cause.
    wrong = [one for one in wrong if not one[0].startswith("gradient")] or wrong
    if len(wrong) == 2 and _swapped([name for name, _ in wrong], before, after):
        (first, _), (second, _) = wrong
        return [
            Explanation(
                "swapped",
                f"“{first}” and “{second}” are swapped, out of order: each is what the other "
                "should be",
                "Return them in the order that the docstring gives",
            )
        ]
    for name, here in wrong:
        these = _of_one_part(
            [cases[i] for i in here],
            [before[i][name] for i in here],
            [after[i][name] for i in here],
            symbols or {},
        )
        by_id = {explanation.id: explanation for explanation in these}
        found = by_id if found is None else {k: v for k, v in found.items() if k in by_id}
        if not found:
            return []
    return list((found or {}).values())


def _swapped(names: Sequence[str], before: Sequence[Outcome], after: Sequence[Outcome]) -> bool:
    one, other = names
    return all(
        one in b and other in b and agree(b[one], a[other]) and agree(b[other], a[one])
        for b, a in zip(before, after, strict=True)
    )


def _of_one_part(
    cases: Sequence[Case], before: Values, after: Values, symbols: Mapping[str, str]
) -> list[Explanation]:
    """The simplest kind of change that fits comes first, and alone."""
    if _are_flags((*before, *after)):  # of yes and no, anything is a function of anything
        return []
    if any(isinstance(value, str) for value in (*before, *after)):  # the name of a type
        return []
    for kind in (
        lambda: _layouts(before, after),
        lambda: _inputs(cases, before, after),
        lambda: _factors(cases, before, after, symbols),
        lambda: _offsets(cases, before, after, symbols),
        lambda: _functions(before, after),
    ):
        found = list(kind())
        if found:
            return found
    return []


def _are_flags(values: Values) -> bool:
    """Whether these are counts of something that is there once or not at all."""
    return all(isinstance(value, int) and value in (0, 1) for value in values)


def _fits(change: Callable[[Any], Any], before: Values, after: Values) -> bool:
    try:
        return all(agree(change(b), a) for b, a in zip(before, after, strict=True))
    except (ValueError, ArithmeticError, RuntimeError, IndexError, TypeError, AttributeError):
        return False


# --- the same numbers elsewhere -------------------------------------------------------------------


def _layouts(before: Values, after: Values) -> Iterator[Explanation]:
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


# --- an input missing, or once too often ----------------------------------------------------------


def _inputs(cases: Sequence[Case], before: Values, after: Values) -> Iterator[Explanation]:
    if not all(isinstance(value, Tensor) and value.is_floating_point() for value in before):
        return
    if not all(_alike(b, a) for b, a in zip(before, after, strict=True)):
        return
    for key, value in cases[0].items():
        if not isinstance(value, Tensor) or not value.is_floating_point():
            continue
        given = [case.get(key) for case in cases]
        for id, text, change in (
            ("without", "is missing: the result is right but for it", lambda b, t: b - t),
            ("twice", "is added once too often", lambda b, t: b + t),
            ("not-times", "is not multiplied by", lambda b, t: b / t),
            ("times-twice", "is multiplied by once too often", lambda b, t: b * t),
        ):
            if _fits_with(change, before, given, after):
                yield Explanation(f"{id}-{key}", f"`{key}` {text}", f"Look where `{key}` goes in")
                return


def _fits_with(
    change: Callable[[Tensor, Tensor], Tensor], before: Values, given: Values, after: Values
) -> bool:
    try:
        return all(
            isinstance(t, Tensor) and agree(change(b, t), a)
            for b, t, a in zip(before, given, after, strict=True)
        )
    except RuntimeError:  # shapes that do not go together
        return False


def _alike(one: Any, other: Any) -> bool:
    return isinstance(one, Tensor) and isinstance(other, Tensor) and one.shape == other.shape


# --- factors and offsets --------------------------------------------------------------------------


def quantities(cases: Sequence[Case], symbols: Mapping[str, str]) -> dict[str, tuple[float, ...]]:
    """The numbers of the cases by name: scalars, sizes of tensors, lengths; each value once."""
    named: dict[str, tuple[float, ...]] = {}
    tables = [_numbers_of(case) for case in cases]
    for key in sorted(tables[0], key=lambda key: (key not in symbols, "[" in key or "(" in key)):
        values = tuple(table.get(key, math.nan) for table in tables)
        useful = all(math.isfinite(v) and v > 0 for v in values) and set(values) != {1}
        if useful and values not in named.values():
            named[symbols.get(key, f"`{key}`")] = values
    return named


def _numbers_of(case: Case) -> dict[str, float]:
    numbers: dict[str, float] = {}
    for key, value in case.items():
        if key == "noise" or isinstance(value, bool):
            continue
        if isinstance(value, (int, float)):
            numbers[key] = float(value)
        elif isinstance(value, Tensor):
            numbers |= {f"{key}.shape[{i}]": float(size) for i, size in enumerate(value.shape)}
        elif isinstance(value, (list, tuple, dict)):
            numbers[f"len({key})"] = float(len(value))
            if isinstance(value, dict):
                named = {f"{key}[{name}]": number for name, number in value.items()}
                numbers |= {name: float(n) for name, n in named.items() if type(n) in (int, float)}
    return numbers


def _factors(
    cases: Sequence[Case], before: Values, after: Values, symbols: Mapping[str, str]
) -> Iterator[Explanation]:
    ratios = [_ratio(b, a) for b, a in zip(before, after, strict=True)]
    if any(ratio is None or not math.isfinite(ratio) or ratio == 0 for ratio in ratios):
        return
    slack = [_slack(b, a) for b, a in zip(before, after, strict=True)]

    def are(values: Iterable[float]) -> bool:
        return all(map(_close, ratios, values, slack))

    if are([-1] * len(cases)):
        yield Explanation(
            "negated",
            "the sign is wrong: a difference the wrong way round, or a minus too many",
            "Turn the difference round",
        )
        return
    if any(ratio < 0 for ratio in ratios):
        return
    named = quantities(cases, symbols)
    constants = {text: (float(value),) * len(cases) for text, value in _CONSTANTS.items()}
    powers = ((1, ""), (0.5, "the root of "), (2, "the square of "))
    found = []
    for name, values in {**named, **constants}.items():
        for power, how in powers if name in named else powers[:1]:
            for sign in (1, -1):
                if are(v ** (sign * power) for v in values):
                    found.append(_factor(f"{how}{name}", sign))
    if not found:
        for (one, ones), (other, others) in combinations(named.items(), 2):
            for text, values in (
                (f"{one} × {other}", [a * b for a, b in zip(ones, others, strict=True)]),
                (f"{one} / {other}", [a / b for a, b in zip(ones, others, strict=True)]),
            ):
                for sign in (1, -1):
                    if are(v**sign for v in values):
                        found.append(_factor(text, sign))
    yield from found


def _ratio(before: Any, after: Any) -> float | None:
    if isinstance(before, Tensor):
        if not isinstance(after, Tensor) or not before.is_floating_point():
            return None
        return constant_ratio(before, after)
    if not isinstance(after, (int, float)) or not before:
        return None
    try:
        return after / before
    except OverflowError:
        return None


def _factor(name: str, sign: int) -> Explanation:
    large = "large" if sign > 0 else "small"
    why = (
        "a division by it is missing, or it is multiplied with once too often"
        if sign > 0
        else "a factor of it is missing, or it is divided by once too often"
    )
    return Explanation(
        f"factor {name} {sign}",
        f"too {large} by exactly the factor {name}: {why}",
        f"Write down where {name} belongs in the formula, and count how often it is there",
    )


def _offsets(
    cases: Sequence[Case], before: Values, after: Values, symbols: Mapping[str, str]
) -> Iterator[Explanation]:
    offsets = [_offset(b, a) for b, a in zip(before, after, strict=True)]
    if any(offset is None or offset == 0 for offset in offsets):
        return
    for step in (1, 2):
        for sign in (1, -1):
            if all(_close(offset, sign * step) for offset in offsets):
                if isinstance(before[0], Tensor) and before[0].is_floating_point():
                    much, done = ("large", "added") if sign > 0 else ("small", "taken off")
                    yield Explanation(
                        f"offset {sign * step}",
                        f"every value is {step} too {much}: {step} is {done}, or the sum does not "
                        "start at 0",
                        "Look at what your result starts from, such as `ones` for `zeros`",
                    )
                    return
                many = "many" if sign > 0 else "few"
                yield Explanation(
                    f"offset {sign * step}",
                    f"{step} too {many}, in every case: off by {'one' if step == 1 else 'two'}",
                    "Look at both ends of what you count, and at < and ≤",
                )
                return
    named = quantities(cases, symbols)
    terms = list(named.items())
    terms += [
        (f"{one} × {other}", tuple(a * b for a, b in zip(ones, others, strict=True)))
        for (one, ones), (other, others) in combinations(named.items(), 2)
    ]
    for name, values in terms:
        for sign in (1, -1):
            if all(_close(d, sign * v) for d, v in zip(offsets, values, strict=True)):
                large, why = (
                    ("large", "it is counted although it should not be, or twice")
                    if sign > 0
                    else ("small", "it is left out, or taken away")
                )
                yield Explanation(
                    f"offset {name} {sign}",
                    f"too {large} by exactly {name}: {why}",
                    f"Look at what {name} numbers are of, and whether they belong to the sum",
                )


def _offset(before: Any, after: Any) -> float | None:
    if isinstance(before, Tensor):
        if not _alike(before, after) or not before.numel():
            return None
        if before.is_complex() or after.is_complex():
            return None
        difference = (after.double() - before.double()).flatten()
        first = difference[0].item()
        scale = max(1.0, before.double().abs().max().item())
        return first if (difference - first).abs().max() <= 1e-5 * scale else None
    if not isinstance(after, (int, float)):
        return None
    try:
        return float(after - before)
    except OverflowError:
        return None


def _slack(before: Any, after: Any) -> float:
    """How far from a factor the ratio of two values may be."""
    dtypes = [value.dtype for value in (before, after) if isinstance(value, Tensor)]
    return 2e-5 if relative(*dtypes, torch.float32) <= SINGLE else 5e-3


def _close(one: float, other: float, slack: float = 2e-5) -> bool:
    return math.isclose(one, other, rel_tol=slack)


# --- a function of the right result ---------------------------------------------------------------


def _functions(before: Values, after: Values) -> Iterator[Explanation]:
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
