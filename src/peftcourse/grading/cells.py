"""Which cells of a submission are run in grading, and as what."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from peftcourse.exercises.registry import Lesson
from peftcourse.grading.notebooks import Cell
from peftcourse.grading.outline import LabOutline, plain
from peftcourse.grading.provenance import Whose, whose

# Longer sources are no answers; they would only keep the parser busy.
MAX_CODE = 100_000  # characters of one cell

OWN, EDITED, LAB, TOO_LONG = "own", "edited", "lab", "too long"


@dataclass(frozen=True)
class CodeCell:
    """A code cell to run.

    Attributes:
        number: which of the notebook's cells it is, from 1.
        kind: ``OWN`` for what the learner wrote, ``EDITED`` for a cell of the lab that the learner
            has changed, ``LAB`` for one as it was handed out, of which the trusted source says what
            to run, and ``TOO_LONG`` for one that is not.
        source: what to run.
        exercise: the exercise whose answer cell it is, or "".
        target: of an answer cell as it was handed out, the name that it defines: it is run only
            where nothing has defined that name yet, as its author ran the cell above it instead.
        handed_in: the cell's own text.
    """

    number: int
    kind: str
    source: str
    exercise: str = ""
    target: str = ""
    handed_in: str = ""

    def as_data(self) -> dict[str, Any]:
        """What the sandbox gets of it."""
        return {key: value for key, value in asdict(self).items() if key != "handed_in"}


def to_run(cells: Sequence[Cell], lesson: Lesson, lab: LabOutline) -> Iterator[CodeCell]:
    """The code cells of a notebook, from top to bottom."""
    exercises = {exercise.slug: exercise.id for exercise in lesson.exercises}
    stubs = {plain(lab.stubs[exercise.id]): exercise.id for exercise in lesson.exercises}
    for number, cell in enumerate(cells, 1):
        source = plain(cell.source)
        if cell.kind != "code" or not source:
            continue
        exercise = exercises.get(cell.grade_id) or exercises.get(cell.id, "")
        if len(source) > MAX_CODE:
            yield CodeCell(number, TOO_LONG, "", exercise)
        elif source in stubs:
            target = lab.targets[stubs[source]]
            yield CodeCell(number, LAB, source, stubs[source], target, source)
        elif source in lab.own:
            yield CodeCell(number, LAB, lab.own[source], handed_in=cell.source)
        else:
            # A cell of another release of the lab is the lab's, though its words are not today's.
            theirs = cell.id in lab.ids or whose(cell, lab) is not Whose.LEARNER
            kind = EDITED if theirs and not exercise else OWN
            yield CodeCell(number, kind, cell.source, exercise, handed_in=cell.source)
