"""What this kernel remembers: the last try at each exercise, and the answers that are right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from peftcourse.exercises.explain import Reference
from peftcourse.exercises.observe import Observation, observe


@dataclass(frozen=True)
class Try:
    """One answer, and what it did on the cases that it was tried on.

    Attributes:
        answer: the function or class.
        reference: the cases and what is right on them.
        observations: what the answer did on each of them; fewer if it did not come back.
    """

    answer: Any
    reference: Reference
    observations: Sequence[Observation]

    def first_wrong(self) -> int | None:
        """The number of the first case that went wrong, from 0; None if all went well."""
        for number, seen in enumerate(self.observations):
            if seen["error"] or seen["changed"]:
                return number
            verdict = self.reference.exercise.judge(
                self.reference.cases[number], seen["outcome"], self.reference.expected[number]
            )
            if not verdict.correct:
                return number
        stopped = len(self.observations) < len(self.reference.cases)
        return len(self.observations) if stopped else None


# The last try at each exercise that went wrong, and each answer whose last check was right.
failed: dict[str, Try] = {}
passed: dict[str, Any] = {}


def note(tried: Try, correct: bool) -> None:
    """Remember a check."""
    exercise = tried.reference.exercise.id
    failed.pop(exercise, None)
    passed.pop(exercise, None)
    if correct:
        passed[exercise] = tried.answer
    else:
        failed[exercise] = tried


def run(reference: Reference, answer: Any, seen: list[Observation]) -> None:
    """Try an answer on all cases; ``seen`` gets what it did, case by case, should it be stopped."""
    for case in reference.cases:
        seen.append(observe(reference.exercise.probe, answer, case))
