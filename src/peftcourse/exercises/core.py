"""What an exercise is.

An exercise that asks for code is data plus three functions. ``cases`` makes seeded inputs,
``probe`` runs an answer on them and returns what it did, ``judge`` compares that with what the
reference solution does. The same definition serves the learner's notebook, the book and a grader:
the probe goes where the answer runs, everything else stays where it can be trusted.

An exercise that asks for a judgement in words has a model answer and a rubric instead, and a person
marks it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch

from peftcourse.exercises.compare import Verdict, compare
from peftcourse.exercises.observe import Case, Outcome, observe
from peftlab.errors import PeftlabError


@dataclass(frozen=True)
class Mutant:
    """A typical wrong answer: it runs, has the right shape, and differs in one idea.

    Attributes:
        id: a short name, used in class reports.
        answer: the wrong answer itself.
        diagnosis: what its author got wrong, in one line. May use ``{ratio}`` (the constant factor
            by which it is wrong) and the numbers of the case, such as ``{rank}``.
        action: the one thing to do about it.
    """

    id: str
    answer: Any
    diagnosis: str
    action: str


@dataclass(frozen=True)
class Part:
    """What every exercise tells its learner, in the lab and in the book.

    Attributes:
        id: ``lesson.name``, such as ``lora.delta``.
        title: what is written, in a few words.
        objective: what the learner can do afterwards.
        points: what it is worth in a graded course.
        difficulty: 1 (one line) to 5 (an afternoon).
        minutes: what it takes someone who has read the chapter.
        section: where the chapter explains it.
        hints: three, from a nudge to nearly the answer.
    """

    id: str
    title: str
    objective: str
    points: int
    difficulty: int
    minutes: int
    section: str
    hints: tuple[str, str, str]

    @property
    def slug(self) -> str:
        """The id as a cell id and an nbgrader grade_id: ``lora-delta``."""
        return self.id.replace(".", "-").replace("_", "-")

    def banner(self) -> str:
        """The exercise's heading in a lab, as Markdown."""
        level = "●" * self.difficulty + "○" * (5 - self.difficulty)
        return (
            f"### Exercise `{self.id}`: {self.title}\n\n"
            f"**You will be able to** {self.objective}\n\n"
            f"{in_points(self.points)} · difficulty {level} · about {self.minutes} minutes · "
            f'chapter: *{self.section}* · stuck? run `hint("{self.id}")`, up to three times'
        )


@dataclass(frozen=True)
class Exercise(Part):
    """Code to write, with everything needed to check and grade it.

    Attributes:
        meaning: one sentence that a correct answer earns.
        cases: makes the inputs from a seeded generator; each case has a different size.
        probe: ``probe(answer, case)`` returns what the answer did, as tensors and numbers by name.
            It imports torch only and never says whether a value is right.
        solution: the reference answer.
        mutants: at least three known wrong answers.
        special_judge: replaces the comparison with the reference where randomness is inherent.
        allows: top-level modules that an answer may import.
    """

    kind: ClassVar[str] = "code"

    meaning: str
    cases: Callable[[torch.Generator], list[Case]] = field(repr=False)
    probe: Callable[[Any, Case], Outcome] = field(repr=False)
    solution: Any = field(repr=False)
    mutants: tuple[Mutant, ...] = field(repr=False)
    special_judge: Callable[[Case, Outcome], Verdict] | None = field(default=None, repr=False)
    allows: tuple[str, ...] = ("torch", "numpy", "math")

    def make_cases(self, seed: int) -> list[Case]:
        """The inputs for one seed; each carries the seed of its own random numbers."""
        rng = torch.Generator().manual_seed(seed)
        return [{**case, "seed": seed + i} for i, case in enumerate(self.cases(rng))]

    def judge(self, case: Case, observed: Outcome, expected: Outcome | None = None) -> Verdict:
        """Compare an observed outcome with the reference solution's on the same case.

        Args:
            case: the inputs.
            observed: what an answer did with them.
            expected: what the reference does with them, if that is known already.
        """
        if self.special_judge is not None:
            return self.special_judge(case, observed)
        if expected is None:
            expected = observe(self.probe, self.solution, case)["outcome"]
        return compare(expected, observed)


@dataclass(frozen=True)
class Criterion:
    """One line of a rubric.

    Attributes:
        points: what an answer earns that meets it; there are no fractions.
        text: what has to be there, and what is not enough, as plain text. The learner sees it too.
    """

    points: int
    text: str


@dataclass(frozen=True)
class Written(Part):
    """A judgement to write in words, which a person marks.

    Attributes:
        prompt: the question, as Markdown.
        model_answer: one answer that earns all points, as Markdown.
        rubric: what earns points; adds up to ``points``.

    Raises:
        PeftlabError: the rubric does not add up.
    """

    kind: ClassVar[str] = "written"

    prompt: str
    model_answer: str = field(repr=False)
    rubric: tuple[Criterion, ...]

    def __post_init__(self) -> None:
        total = sum(criterion.points for criterion in self.rubric)
        if total != self.points:
            raise PeftlabError(
                f"{self.id} is worth {in_points(self.points)}, but its rubric adds up to {total}; "
                "make them equal."
            )

    def banner(self) -> str:
        """The exercise's heading in a lab, the question and what earns points, as Markdown."""
        rubric = "\n".join(f"- {in_points(line.points)}: {line.text}" for line in self.rubric)
        return f"{super().banner()}\n\n{self.prompt}\n\nA person marks it:\n\n{rubric}"


def in_points(points: int) -> str:
    """``1 point``, ``3 points``."""
    return "1 point" if points == 1 else f"{points} points"
