"""What of an exercise enters the sandbox: inputs, and nothing that says what is right.

The class's seed stays outside. Each exercise has a seed of its own, from which nobody can compute
the class's or another exercise's: torch's generator takes 32 bits of a seed, so that whoever sees
its numbers can find these bits by trying all of them.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from peftcourse.exercises.core import Exercise
from peftcourse.exercises.observe import Case, Observation, Outcome

_shuffle = random.SystemRandom().shuffle


def exercise_seed(seed: int, exercise: str) -> int:
    """The seed of an exercise's inputs, from the class's secret one."""
    digest = hashlib.sha256(f"{seed} {exercise}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


@dataclass(frozen=True)
class Sealed:
    """A case as the sandbox gets it.

    Attributes:
        case: the inputs.
        labels: what stands in ``case`` and in an outcome → what it is called outside.
    """

    case: Case
    labels: Mapping[str, str]

    @classmethod
    def of(cls, exercise: Exercise, case: Case) -> Sealed:
        """Without what the exercise calls secret, and with numbers for telling labels."""
        sealed = {name: value for name, value in case.items() if name not in exercise.secret}
        labels: dict[str, str] = {}
        for name in exercise.unlabelled:
            entries = list(case[name].items())
            _shuffle(entries)
            sealed[name] = {f"part {i}": value for i, (_, value) in enumerate(entries)}
            labels |= {f"part {i}": label for i, (label, _) in enumerate(entries)}
        return cls(sealed, labels)

    def opened(self, observation: Observation) -> Observation:
        """An observation with the names that it has outside."""
        if not self.labels:
            return observation
        outcome: Outcome = {}
        for name, value in observation["outcome"].items():
            label, colon, rest = name.partition(":")
            outcome[f"{self.labels.get(label, label)}{colon}{rest}"] = value
        return {**observation, "outcome": outcome}


def sealed(exercise: Exercise, cases: Sequence[Case]) -> list[Sealed]:
    return [Sealed.of(exercise, case) for case in cases]
