"""Answers that do not react to an input, or to any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from peftcourse.exercises.compare import agree
from peftcourse.exercises.explanation import Explanation
from peftcourse.exercises.observe import Case, Outcome, same


def unused(
    cases: Sequence[Case], expected: Sequence[Outcome], outcomes: Sequence[Outcome]
) -> list[Explanation]:
    """A text for each input that makes no difference to an answer although it should."""
    return [
        Explanation(
            f"unused {name}",
            f"`{name}` is ignored: another one, with all else equal, gives the same result",
            f"Look where `{name}` goes in, and whether a fixed number stands in its place",
        )
        for name in _unused_inputs(cases, expected, outcomes)
    ]


def constant(expected: Sequence[Outcome], outcomes: Sequence[Outcome]) -> list[Explanation]:
    """A text for each number that is the same in every case although it should not be."""
    found = []
    for part in expected[0]:
        right, seen = ([one.get(part) for one in some] for some in (expected, outcomes))
        if any(not isinstance(value, (int, float)) for value in (*right, *seen)):
            continue
        if any(abs(value) > 1e300 for value in seen):  # more than a float can hold
            continue
        if len(seen) > 2 and len(set(seen)) == 1 and len(set(right)) > 2:
            of = "" if part == "result" else f" of “{part}”"
            found.append(
                Explanation(
                    f"constant {part}",
                    f"{seen[0]:g} is the result{of} in every case, whatever the inputs are",
                    "Look at what your code returns, and which inputs it should depend on",
                )
            )
    return found


def _unused_inputs(
    cases: Sequence[Case], expected: Sequence[Outcome], outcomes: Sequence[Outcome]
) -> list[str]:
    """Inputs that make no difference to an answer although they should.

    Known from two cases that differ in one input alone, where the right results differ.
    """
    used: dict[str, bool] = {}
    pairs: dict[str, int] = {}
    inputs = [_flat(case) for case in cases]
    for one, other in combinations(range(len(cases)), 2):
        different = _only_difference(inputs[one], inputs[other])
        if different is None:
            continue
        parts = [
            name
            for name, value in expected[one].items()
            if name in expected[other] and not agree(value, expected[other][name])
        ]
        seen = [(outcomes[one].get(name), outcomes[other].get(name)) for name in parts]
        if not parts or any(isinstance(value, str) for two in seen for value in two):
            continue  # the type of a result is all that is known
        # What is swapped with another part depends on the input there.
        moved = any(
            not agree(value, outcomes[other].get(name, "nothing"))
            for name, value in outcomes[one].items()
        )
        used[different] = used.get(different, False) or moved
        # Two small whole numbers are easily equal by chance: one such pair shows little.
        small = all(isinstance(value, int) and value < 1000 for two in seen for value in two)
        pairs[different] = pairs.get(different, 0) + (1 if small else 2)
    return [name for name, moved in used.items() if not moved and pairs[name] > 1]


def _flat(case: Case) -> dict[str, Any]:
    """The inputs by name, those within a dictionary by names such as ``config["size"]``."""
    found = {}
    for key, value in case.items():
        if isinstance(value, Mapping):
            found |= {f'{key}["{inner}"]': value[inner] for inner in value}
        elif key != "noise":
            found[key] = value
    return found


def _only_difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> str | None:
    if one.keys() != other.keys():
        return None
    different = [key for key in one if not same(one[key], other[key])]
    return different[0] if len(different) == 1 else None
