"""From observations to four lines: status, observed, likely cause, next.

A cause is named where it explains everything that was seen: a known wrong answer that does, on the
very same inputs, what the learner's code did; a simple change of the right result; two of them at
once. Several that do are all named. Where none does, the report says what was seen and where, and
claims no more. No expected value is ever part of a report.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from peftcourse.exercises import insensitive, raised
from peftcourse.exercises.core import Exercise, Verdict
from peftcourse.exercises.explain import (
    Reference,
    explain,
    explanation_of,
    holding_symptoms,
    raise_alike,
    symptom_causes,
)
from peftcourse.exercises.explanation import Explanation
from peftcourse.exercises.observe import Case, Observation, Outcome, observe
from peftcourse.exercises.places import special_cases, special_places

NOT_ATTEMPTED = "not attempted"
RAISED = "your code raised"
NOT_FINISHED = "not finished"
WRONG_SHAPE = "wrong shape"
WRONG_VALUE = "wrong value"
CORRECT = "correct"

# How the numbers of a case are called in a report.
_SYMBOLS = {"rank": "r", "alpha": "α", "dropout": "dropout", "max_norm": "max_norm"}


@dataclass(frozen=True)
class Report:
    """What a learner is told about one answer.

    Attributes:
        exercise: the exercise's id.
        status: one of the six constants above.
        observed: what the answer did.
        cause: the likely cause; for a correct answer, what it means.
        action: what to do next.
        mutant: id of the known wrong answer that it matches, if any.
        seed: repeats the inputs of a wrong answer: ``check(..., seed=…)``.
        explained: whether the cause explains all that was seen; otherwise it says what was seen.
    """

    exercise: str
    status: str
    observed: str
    cause: str
    action: str
    mutant: str | None = None
    seed: int | None = None
    explained: bool = False

    @property
    def correct(self) -> bool:
        return self.status == CORRECT

    @property
    def rows(self) -> list[tuple[str, str]]:
        """The four lines, as label and text."""
        label = "it means" if self.correct else "likely cause"
        seed = "" if self.seed is None else f" · seed={self.seed} repeats it"
        return [
            ("status", f"{self.status} · {self.exercise}{seed}"),
            ("observed", self.observed),
            (label, self.cause),
            ("next", self.action),
        ]

    def __str__(self) -> str:
        return lines(self.rows)


def lines(rows: Sequence[tuple[str, str]]) -> str:
    """Labels and texts as a table without borders."""
    return "\n".join(f"{label:<13} {text}" for label, text in rows)


def assess(exercise: Exercise, answer: Any, seed: int) -> Report:
    """Run an answer on the cases of one seed, here and now, and say what came of it."""
    return assess_on(Reference(exercise, seed), answer)


def assess_on(reference: Reference, answer: Any) -> Report:
    """Run an answer on the cases of a reference, here and now, and say what came of it."""
    probe = reference.exercise.probe
    return diagnose(reference, [observe(probe, answer, case) for case in reference.cases])


def diagnose(reference: Reference, observations: Sequence[Observation]) -> Report:
    """Judge what an answer did on each case, and find the likely cause of what is wrong."""
    report = _diagnose(reference, observations)
    # The text about a right answer or an empty one is the same each time, whatever the seed.
    same = report.status in (CORRECT, NOT_ATTEMPTED)
    return report if same else replace(report, seed=reference.seed)


def _diagnose(reference: Reference, observations: Sequence[Observation]) -> Report:
    exercise, cases = reference.exercise, reference.cases
    broken = [i for i, observation in enumerate(observations) if observation["error"]]
    if broken:
        where = special_cases(cases, reference.abouts, broken)
        report = _raised(exercise, cases[broken[0]], observations[broken[0]]["error"], where)
        return _known_to_raise(reference, observations, report, cases[broken[0]])
    for case, observation in zip(cases, observations, strict=True):
        if observation["changed"]:
            return _changed(exercise, case, observation["changed"])
    outcomes = [observation["outcome"] for observation in observations]
    verdicts = reference.judge(outcomes)
    failed = [i for i, verdict in enumerate(verdicts) if not verdict.correct]
    if not failed:
        observed = f"right on all {len(cases)} random cases"
        after = f"Go on (chapter: “{exercise.section}”)"
        return Report(exercise.id, CORRECT, observed, exercise.meaning, after)
    case, verdict = cases[failed[0]], verdicts[failed[0]]
    observed = f"{verdict.observed}{_numbers(case)}"
    if len(failed) < len(cases):
        observed += f"; {len(failed)} of {len(cases)} cases wrong"
    where = special_cases(cases, reference.abouts, failed)
    if where:
        observed += f": where {where}"
    decided = any(one.decides for one in holding_symptoms(reference, outcomes, failed, verdicts))
    known, found = explain(reference, outcomes, decided=decided)
    if found:
        report = _report(exercise, verdict.status, observed, *_named(found, case, verdict), known)
        return replace(report, explained=True)
    if found := _shown(reference, outcomes, failed, verdicts):
        cause, action = _seen(found, case, verdict)
        cause += f"; only where {where}" if where else ""
        return _report(exercise, verdict.status, observed, cause, action)
    cause = verdict.guess
    if place := special_places([cases[i] for i in failed], [verdicts[i].mask for i in failed]):
        cause = f"wrong exactly where {place}"
    if where:
        cause = f"only right as long as it is not so that {where}; {cause}"
    action = "Compare with the docstring on inputs small enough to work out by hand"
    return _report(exercise, verdict.status, observed, cause, action)


def _known_to_raise(
    reference: Reference, observations: Sequence[Observation], report: Report, case: Case
) -> Report:
    """The report on an error, with its cause if one known mistake raises in the same cases."""
    same = [
        mutant for mutant, runs in reference.raising if all(map(raise_alike, runs, observations))
    ]
    if len(same) != 1 or report.status != RAISED:
        return report
    named = _named([explanation_of(same[0])], case, Verdict(RAISED, ""))
    known = _report(reference.exercise, RAISED, report.observed, *named, same[0].id)
    return replace(known, explained=True)


def _named(found: Sequence[Explanation], case: Case, verdict: Verdict) -> tuple[str, str]:
    """The text of one explanation, or of several that fit alike, and what to do."""
    causes = [_filled(one.cause, case, verdict) for one in found]
    if len(found) == 1:
        return causes[0], found[0].action
    return f"one of these, which look the same from outside: {'; or '.join(causes)}", (
        "Look for each of them in your code"
    )


def _shown(
    reference: Reference,
    outcomes: Sequence[Outcome],
    failed: Sequence[int],
    verdicts: Sequence[Verdict],
) -> list[Explanation]:
    """What can be said of an answer that nothing known explains, the most telling first."""
    symptoms = symptom_causes(reference, outcomes, failed, verdicts)
    if reference.exercise.special_judge is not None:
        return symptoms
    expected = reference.expected
    if constant := insensitive.constant(expected, outcomes):
        return symptoms + constant
    unused = insensitive.unused(reference.cases, expected, outcomes)
    decided = any(one.decides for one in holding_symptoms(reference, outcomes, failed, verdicts))
    return symptoms + unused if decided else unused + symptoms


def _seen(found: Sequence[Explanation], case: Case, verdict: Verdict) -> tuple[str, str]:
    """The first two symptoms, and what to do about the first."""
    causes = [_filled(one.cause, case, verdict) for one in found[:2]]
    return "; and ".join(causes), found[0].action


def _filled(text: str, case: Case, verdict: Verdict) -> str:
    numbers = {key: value for key, value in case.items() if not isinstance(value, Tensor)}
    return text.format(**numbers, ratio=verdict.ratio or 0.0)


def _report(
    exercise: Exercise,
    status: str,
    observed: str,
    cause: str,
    action: str,
    mutant: str | None = None,
) -> Report:
    action = f"{action} (chapter: “{exercise.section}”)"
    return Report(exercise.id, status, observed, cause, action, mutant)


def _raised(exercise: Exercise, case: Case, error: dict[str, Any], where: str) -> Report:
    no_forward = 'missing the required "forward"' in error["message"]
    if error["type"] == "NotImplementedError" and not no_forward:
        if error.get("left_over"):
            return _left_over(exercise, error)
        if error.get("unwritten"):
            return _unwritten(exercise, error["unwritten"])
        return not_attempted(exercise)
    what = f"{error['type']}: {error['message']}" if error["message"] else error["type"]
    what += _numbers(case) + (f"; where {where}" if where else "")
    known = raised.explain(error)
    if error["line"] is None:
        cause = "no line of your code: it takes or returns something other than the docstring says"
        action = "Compare the arguments and the `return` with the docstring"
        if "NoneType" in error["message"]:
            cause = "your code returned None: is the `return` missing?"
        elif known:
            cause, action = known
    else:
        place = f"line {error['line']} of your code: {error['code']}"
        cause, action = place, "Print the shapes and dtypes just above that line, and check again"
        if known:
            only = f", only where {where}" if where else ""
            cause, action = f"{known[0]}{only} ({place})", known[1]
    return _report(exercise, RAISED, what, cause, action)


def _left_over(exercise: Exercise, error: dict[str, Any]) -> Report:
    return _report(
        exercise,
        RAISED,
        "`raise NotImplementedError` came, although code stands around it",
        f"line {error['line']}, `raise NotImplementedError`, is left over from the empty exercise",
        "Delete that line, and see that your code returns its result",
    )


def _unwritten(exercise: Exercise, method: str) -> Report:
    return _report(
        exercise,
        RAISED,
        "one method ran, and another is still `raise NotImplementedError`",
        f"`{method}` is still empty: nothing but `raise NotImplementedError`",
        f"Write `{method}`, too",
    )


def not_attempted(exercise: Exercise) -> Report:
    """The report on an answer that is still the empty stub."""
    return _report(
        exercise,
        NOT_ATTEMPTED,
        "the body is still `raise NotImplementedError`",
        "nothing written yet; the rest of the lab does not need it",
        f'Write it and run both cells; hint("{exercise.id}") helps you start',
    )


def not_finished(
    reference: Reference, number: int, seconds: float, error: dict[str, Any]
) -> Report:
    """The report on an answer that was stopped.

    Args:
        reference: the cases that it was tried on.
        number: the case that it was at, from 0.
        seconds: how long all cases together might have taken.
        error: where it was then, as ``observe.describe_error`` says it.
    """
    exercise, case = reference.exercise, reference.cases[number]
    observed = f"stopped after {seconds:g} s, in case {number + 1} of {len(reference.cases)}"
    cause = "a loop that may never end, or far more work than the exercise needs"
    if error["line"] is not None:
        code = f": {error['code']}" if error["code"] else ""
        cause += f"; it was at line {error['line']} of your code{code}"
    action = f'Look for what ends the loop; case("{exercise.id}") gives you the same inputs'
    report = _report(exercise, NOT_FINISHED, f"{observed}{_numbers(case)}", cause, action)
    return replace(report, seed=reference.seed)


def _changed(exercise: Exercise, case: Case, names: list[str]) -> Report:
    inputs = " and ".join(f"`{name}`" for name in names)
    return _report(
        exercise,
        WRONG_VALUE,
        f"the input {inputs} has changed after the call{_numbers(case)}",
        "an input is changed in place, by an operation such as `+=`, `mul_` or `x[...] =`",
        "Work on a new tensor (`x * 2`, `x.clone()`) and leave the caller's alone",
    )


def _numbers(case: Case) -> str:
    known = [f"{symbol} = {case[key]:g}" for key, symbol in _SYMBOLS.items() if key in case]
    return f" ({', '.join(known)})" if known else ""
