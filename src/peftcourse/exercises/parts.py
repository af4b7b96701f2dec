"""Two mistakes in one answer that show in different parts of its outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

from peftcourse.exercises.changes import changes
from peftcourse.exercises.compare import agree
from peftcourse.exercises.explanation import Explanation
from peftcourse.exercises.observe import Case, Outcome


def by_parts(
    cases: Sequence[Case],
    expected: Sequence[Outcome],
    known: Sequence[tuple[Explanation, Sequence[Outcome]]],
    outcomes: Sequence[Outcome],
    symbols: Mapping[str, str],
) -> list[tuple[Explanation, Explanation]]:
    """Pairs of explanations, each of other wrong parts, that together explain all of them.

    Args:
        cases: the inputs.
        expected: the right outcomes.
        known: what known mistakes are called, and their outcomes.
        outcomes: what an answer did.
        symbols: how numbers of a case are called.
    """
    wrong = different_parts(expected, outcomes)
    if len(wrong) < 2:
        return []
    found = []
    for explanation, theirs in known:
        parts = different_parts(expected, theirs)
        if parts < wrong and not parts & different_parts(theirs, outcomes):
            found.append((explanation, parts))
    for part in sorted(wrong):
        right, seen = (
            [{part: outcome[part]} if part in outcome else {} for outcome in all_]
            for all_ in (expected, outcomes)
        )
        found += [(change, {part}) for change in changes(cases, right, seen, symbols)]
    return [
        (one, other)
        for (one, ones), (other, others) in combinations(found, 2)
        if not ones & others and ones | others == wrong
    ]


def different_places(
    one: Sequence[Outcome], other: Sequence[Outcome]
) -> frozenset[tuple[int, str]]:
    """Where two lists of outcomes differ: number of the case, and name of the part."""
    return frozenset(
        (i, name)
        for i, (right, seen) in enumerate(zip(one, other, strict=True))
        for name, value in right.items()
        if not agree(value, seen.get(name, "nothing"))
    )


def different_parts(one: Sequence[Outcome], other: Sequence[Outcome]) -> set[str]:
    """The names of the parts that differ in some case."""
    return {name for _, name in different_places(one, other)}
