"""An input missing or once too often; factors and offsets that are numbers of the case."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from peftcourse.exercises.compare import agree, constant_ratio
from peftcourse.exercises.explanation import Explanation, Values
from peftcourse.exercises.observe import Case
from peftcourse.exercises.tolerance import SINGLE, relative

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


# --- an input missing, or once too often ----------------------------------------------------------


def inputs(cases: Sequence[Case], before: Values, after: Values) -> Iterator[Explanation]:
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


def factors(
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


def offsets(
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
