"""Which simple change turns the right results into the ones that an answer gave.

A change explains an answer if it does so on every case: a size that is too large by exactly the
rank in three cases of three different ranks was not divided by the rank. Cases are drawn so that
sizes differ, which is what makes a coincidence unlikely.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from peftcourse.exercises.compare import agree
from peftcourse.exercises.explanation import Explanation, Values
from peftcourse.exercises.factors import factors, inputs, offsets
from peftcourse.exercises.layouts import functions, layouts
from peftcourse.exercises.observe import Case, Outcome


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
        lambda: layouts(before, after),
        lambda: inputs(cases, before, after),
        lambda: factors(cases, before, after, symbols),
        lambda: offsets(cases, before, after, symbols),
        lambda: functions(before, after),
    ):
        found = list(kind())
        if found:
            return found
    return []


def _are_flags(values: Values) -> bool:
    """Whether these are counts of something that is there once or not at all."""
    return all(isinstance(value, int) and value in (0, 1) for value in values)
