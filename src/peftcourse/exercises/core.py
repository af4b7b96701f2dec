"""What an exercise is.

An exercise that asks for code is data plus three functions. ``cases`` makes seeded inputs,
``probe`` runs an answer on them and returns what it did, ``judge`` compares that with what the
reference solution does. The same definition serves the learner's notebook, the book and a grader:
the probe goes where the answer runs, everything else stays where it can be trusted.

An exercise that asks for a judgement in words has a model answer and a rubric instead, and a person
marks it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch

from peftcourse.exercises import slips
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
        edits: the words of the solution that were changed to make the answer, if it was made so;
            two mistakes made so are tried together, too.
    """

    id: str
    answer: Any
    diagnosis: str
    action: str
    edits: tuple[slips.Edit, ...] = ()


def slip(
    solution: Any, id: str, old: str, new: str, diagnosis: str, action: str, *more: slips.Edit
) -> Mutant:
    """A wrong answer that differs from the solution in a few words.

    Args:
        solution: the reference, a function or class.
        id: a short name, used in class reports.
        old: words of the solution's source that stand there once.
        new: what stands there instead.
        diagnosis: what its author got wrong, in one line.
        action: the one thing to do about it.
        more: further words that have to change with them.
    """
    edits = ((old, new), *more)
    return Mutant(id, slips.edited(solution, edits), diagnosis, action, edits)


@dataclass(frozen=True)
class Symptom:
    """What it shows when one part of an outcome is wrong, whatever the answer's code is.

    It states what was seen, so that it is true of every answer that it is said of.

    Attributes:
        part: the name of the part in the probe's outcome.
        cause: what it shows, in one line. May use the numbers of the case, as a diagnosis does.
        action: the one thing to do about it.
        when: narrows it down: ``when(case, expected, observed)`` looks at whole outcomes.
        decides: whether no simple change of the result is sought where it holds: the part is a
            measurement, such as a count of calls, and "one too few" would say less.
    """

    part: str
    cause: str
    action: str
    when: Callable[[Case, Outcome, Outcome], bool] | None = None
    decides: bool = False


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
        symptoms: what wrong parts of an outcome show where no known mistake explains them all.
        symbols: how the numbers of a case are called, such as ``{"A.shape[0]": "r"}``.
        keeps_dtype: whether the text asks for tensors of a certain dtype, mostly the inputs'.
        secret: inputs that the judge alone needs, since they say what is right; where answers are
            graded, neither the probe nor the answer gets them.
        unlabelled: inputs that are dictionaries whose keys say what is right. Where answers are
            graded, they have other keys and another order, and an outcome's part "key" or
            "key: what" is translated back.
        most_pairs: two known mistakes at once are tried for so many pairs, those that are listed
            first; fewer where a probe takes long.
    """

    kind: ClassVar[str] = "code"

    meaning: str
    cases: Callable[[torch.Generator], list[Case]] = field(repr=False)
    probe: Callable[[Any, Case], Outcome] = field(repr=False)
    solution: Any = field(repr=False)
    mutants: tuple[Mutant, ...] = field(repr=False)
    special_judge: Callable[[Case, Outcome], Verdict] | None = field(default=None, repr=False)
    allows: tuple[str, ...] = ("torch", "numpy", "math")
    symptoms: tuple[Symptom, ...] = field(default=(), repr=False)
    symbols: Mapping[str, str] = field(default_factory=dict, repr=False)
    keeps_dtype: bool = True
    secret: tuple[str, ...] = ()
    unlabelled: tuple[str, ...] = ()
    most_pairs: int = 120

    def make_cases(self, seed: int) -> list[Case]:
        """The inputs for one seed, as an answer gets them.

        Each carries ``noise``, which its own random numbers start from. It tells nothing of the
        seed, with which the cases of every exercise could be drawn.
        """
        return [case for case, _ in self.described_cases(seed)]

    def described_cases(self, seed: int) -> list[tuple[Case, str]]:
        """The inputs for one seed, and what is special about each, which no answer gets to see.

        A case says so itself, as ``about``: "two scores are equal".
        """
        rng = torch.Generator().manual_seed(seed)
        drawn = self.cases(rng)
        noise = torch.randint(0, 2**31, (len(drawn),), generator=rng).tolist()
        return [
            ({k: v for k, v in case.items() if k != "about"} | {"noise": n}, case.get("about", ""))
            for case, n in zip(drawn, noise, strict=True)
        ]

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
        return compare(expected, observed, keeps_dtype=self.keeps_dtype)


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
