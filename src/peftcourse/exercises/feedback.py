"""From observations to four lines: status, observed, likely cause, next.

The likely cause comes from running the known wrong answers on the very same random inputs: when
one of them does what the learner's code did, on every case, it is named. No expected value is ever
part of a report.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from torch import Tensor

from peftcourse.exercises.core import Exercise, Mutant, Verdict, compare
from peftcourse.exercises.observe import Case, Observation, Outcome, observe

NOT_ATTEMPTED = "not attempted"
RAISED = "your code raised"
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
        status: one of the five constants above.
        observed: what the answer did.
        cause: the likely cause; for a correct answer, what it means.
        action: what to do next.
        mutant: id of the known wrong answer that it matches, if any.
        seed: repeats the inputs of a wrong answer: ``check(..., seed=…)``.
    """

    exercise: str
    status: str
    observed: str
    cause: str
    action: str
    mutant: str | None = None
    seed: int | None = None

    @property
    def correct(self) -> bool:
        return self.status == CORRECT

    def __str__(self) -> str:
        label = "it means" if self.correct else "likely cause"
        seed = "" if self.seed is None else f" · seed={self.seed} repeats it"
        return "\n".join(
            f"{name:<13} {text}"
            for name, text in (
                ("status", f"{self.status} · {self.exercise}{seed}"),
                ("observed", self.observed),
                (label, self.cause),
                ("next", self.action),
            )
        )


class Reference:
    """What is right on the cases of one seed, and what each known wrong answer does there.

    Computed once, when first needed, however many answers are compared with it.
    """

    def __init__(self, exercise: Exercise, seed: int) -> None:
        self.exercise = exercise
        self.seed = seed
        self.cases = exercise.make_cases(seed)

    @cached_property
    def expected(self) -> list[Outcome]:
        """The reference solution's outcome for each case."""
        return self._outcomes(self.exercise.solution) or []

    @cached_property
    def mistakes(self) -> list[tuple[Mutant, list[Outcome], list[Verdict]]]:
        """The known wrong answers that run, with their outcomes and what a judge says of them."""
        found = []
        for mutant in self.exercise.mutants:
            outcomes = self._outcomes(mutant.answer)
            if outcomes is not None:
                found.append((mutant, outcomes, self.judge(outcomes)))
        return found

    def judge(self, outcomes: Sequence[Outcome]) -> list[Verdict]:
        """A verdict for each case."""
        return [
            self.exercise.judge(case, outcome, expected)
            for case, outcome, expected in zip(self.cases, outcomes, self.expected, strict=True)
        ]

    def _outcomes(self, answer: Any) -> list[Outcome] | None:
        runs = [observe(self.exercise.probe, answer, case) for case in self.cases]
        return None if any(run["error"] for run in runs) else [run["outcome"] for run in runs]


def assess(exercise: Exercise, answer: Any, seed: int) -> Report:
    """Run an answer on the cases of one seed, here and now, and say what came of it."""
    reference = Reference(exercise, seed)
    observations = [observe(exercise.probe, answer, case) for case in reference.cases]
    return diagnose(reference, observations)


def diagnose(reference: Reference, observations: Sequence[Observation]) -> Report:
    """Judge what an answer did on each case, and find the likely cause of what is wrong."""
    report = _diagnose(reference, observations)
    # The text about a right answer or an empty one is the same each time, whatever the seed.
    same = report.status in (CORRECT, NOT_ATTEMPTED)
    return report if same else replace(report, seed=reference.seed)


def _diagnose(reference: Reference, observations: Sequence[Observation]) -> Report:
    exercise, cases = reference.exercise, reference.cases
    for case, observation in zip(cases, observations, strict=True):
        if observation["error"]:
            return _raised(exercise, case, observation["error"])
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
    if 0 < len(failed) < len(cases):
        observed += f"; {len(failed)} of {len(cases)} cases wrong"
    mutant, sure = match(reference, outcomes, verdicts)
    if mutant is None:
        action = "Compare with the docstring on inputs small enough to work out by hand"
        return _report(exercise, verdict.status, observed, verdict.guess, action)
    numbers = {key: value for key, value in case.items() if not isinstance(value, Tensor)}
    cause = mutant.diagnosis.format(**numbers, ratio=verdict.ratio or 0.0)
    return _report(
        exercise,
        verdict.status,
        observed,
        cause if sure else f"perhaps: {cause}",
        mutant.action,
        mutant.id,
    )


def match(
    reference: Reference, outcomes: Sequence[Outcome], verdicts: Sequence[Verdict]
) -> tuple[Mutant | None, bool]:
    """The known wrong answer that does the same on every case.

    Returns:
        The mutant and whether the match is exact. Without an exact match, the only mutant whose
        mistakes show in the same places is a guess; ``(None, False)`` if there is none.
    """
    for mutant, theirs, _ in reference.mistakes:
        if all(map(_equal, theirs, outcomes)):
            return mutant, True
    similar = [
        mutant for mutant, _, judged in reference.mistakes if all(map(_alike, judged, verdicts))
    ]
    return (similar[0], False) if len(similar) == 1 else (None, False)


def _equal(one: Outcome, other: Outcome) -> bool:
    return compare(one, other).correct


def _alike(one: Verdict, other: Verdict) -> bool:
    """Whether two outcomes are wrong in the same places, or show the same kind of fault."""
    return (one.correct, one.status, one.fault, one.wrong, one.ratio is None) == (
        other.correct,
        other.status,
        other.fault,
        other.wrong,
        other.ratio is None,
    )


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


def _raised(exercise: Exercise, case: Case, error: dict[str, Any]) -> Report:
    if error["type"] == "NotImplementedError":
        return not_attempted(exercise)
    what = f"{error['type']}: {error['message']}" if error["message"] else error["type"]
    if error["line"] is None:
        cause = "no line of your code: it takes or returns something other than the docstring says"
        if "NoneType" in error["message"]:
            cause = "your code returned None: is the `return` missing?"
        action = "Compare the arguments and the `return` with the docstring"
    else:
        cause = f"line {error['line']} of your code: {error['code']}"
        action = "Print the shapes and dtypes just above that line, and run the check again"
        if "cannot be multiplied" in error["message"]:
            action = (
                "A product needs equal inner sizes: is it the wrong way round, or a .T missing?"
            )
    return _report(exercise, RAISED, what + _numbers(case), cause, action)


def not_attempted(exercise: Exercise) -> Report:
    """The report on an answer that is still the empty stub."""
    return _report(
        exercise,
        NOT_ATTEMPTED,
        "the body is still `raise NotImplementedError`",
        "nothing written yet; the rest of the lab does not need it",
        f'Write it and run both cells; hint("{exercise.id}") helps you start',
    )


def _changed(exercise: Exercise, case: Case, names: list[str]) -> Report:
    inputs = " and ".join(f"`{name}`" for name in names)
    return _report(
        exercise,
        WRONG_VALUE,
        f"the input {inputs} has changed after the call{_numbers(case)}",
        "an in-place operation, such as `+=`, `mul_` or `x[...] =`, on an input",
        "Work on a new tensor (`x * 2`, `x.clone()`) and leave the caller's alone",
    )


def _numbers(case: Case) -> str:
    known = [f"{symbol} = {case[key]:g}" for key, symbol in _SYMBOLS.items() if key in case]
    return f" ({', '.join(known)})" if known else ""
