"""What grading says about one submission: the data that every report is made of."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from peftcourse.grading.members import printable
from peftcourse.grading.people import Person

# States of a submission. Every submission has a row, whatever its state.
GRADED = "graded"
UNREADABLE = "unreadable"
ANOTHER_LAB = "another lab"
NO_NOTEBOOK = "no notebook"
# The same as sentences.
STATES = {
    UNREADABLE: "The notebook could not be read.",
    ANOTHER_LAB: "This is the notebook of another lab.",
    NO_NOTEBOOK: "There is no notebook.",
}

# States of an answer, besides the five of ``peftcourse.exercises.feedback``.
MISSING = "no answer cell"
STOPPED = "stopped"  # it ran out of time or memory, or ended its process
AWAITS = "awaits marking"  # a written answer that no person has marked yet
MARKED = "marked"
UNJUDGED = "could not be judged"  # a fault of the grader's own: an instructor has to look


@dataclass(frozen=True)
class Result:
    """One exercise of one submission.

    Attributes:
        exercise: the exercise's id.
        points: what the answer earned.
        max_points: what it could earn.
        status: one of ``feedback``'s five states, or one of this module's.
        observed: what the answer did. Parts of it may come from the submission: escape it.
        cause: the likely cause; for a correct answer, what it means.
        action: what to do next.
        mutant: id of the known wrong answer that it matches, if any.
        answer: the text of a written answer, whole.
        comment: what the person who marked a written answer wrote.
        code: the learner's own code that was judged, for the page that they receive.
        beside: the learner's texts that belong to no question, for whoever marks a written answer.
        pictures: names of the files in ``pictures/`` that a written answer shows.
    """

    exercise: str
    points: float
    max_points: float
    status: str
    observed: str = ""
    cause: str = ""
    action: str = ""
    mutant: str | None = None
    answer: str = ""
    comment: str = ""
    code: str = field(default="", repr=False)
    beside: str = ""
    pictures: tuple[str, ...] = ()


@dataclass(frozen=True)
class StoppedCell:
    """A learner's cell that was cut off, or that ended its process.

    Attributes:
        cell: its place in the notebook as it was handed in, from 1.
        why: one sentence in the grader's own words.
    """

    cell: int
    why: str


@dataclass(frozen=True)
class Row:
    """One submission.

    Attributes:
        submission: its name, unique in the class and safe as a file name.
        origin: where it was found, such as ``alice/03_lora.ipynb``.
        digest: SHA-256 of its bytes; a changed submission is graded again.
        state: ``GRADED``, or one of ``STATES``.
        results: one for each exercise of the lab, in the lab's order, whatever the state.
        notes: what the instructor and the learner should know about how it was read.
        times: minutes from the first attempt to the solution, by exercise, as far as the learner
            handed in the progress file. Not checked, never used for points.
        seconds: what grading it took.
        person: whose it is, if a learning management system says so.
        stopped: the cells that were cut off, whether or not an answer stands in them.
        reading: how many of the notes, from the first, say how it was found and read; the others
            say how it ran.
    """

    submission: str
    origin: str
    digest: str
    state: str
    results: tuple[Result, ...]
    notes: tuple[str, ...] = ()
    times: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    person: Person | None = None
    stopped: tuple[StoppedCell, ...] = ()
    reading: int = 0

    @property
    def learner(self) -> str:
        """Whom a heading names: as the learning management system has it, else as the file has."""
        return printable(self.person.name) if self.person else self.submission

    @property
    def points(self) -> float:
        return sum(result.points for result in self.results)

    @property
    def max_points(self) -> float:
        return sum(result.max_points for result in self.results)

    def as_json(self) -> dict[str, Any]:
        """Plain data, for one line of the journal."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Row:
        """The row that ``as_json`` wrote."""
        results = tuple(
            Result(**{**result, "pictures": tuple(result.get("pictures", ()))})
            for result in data["results"]
        )
        person = Person(**data["person"]) if data.get("person") else None
        stopped = tuple(StoppedCell(**cell) for cell in data.get("stopped", ()))
        plain = {"results": results, "notes": tuple(data["notes"]), "person": person}
        return cls(**{**data, **plain, "stopped": stopped})
