"""Which cell of a submitted notebook answers which exercise.

By nbgrader's grade_id, else by the cell's id, else by the name that the lab's check takes. Learners
copy cells, delete them, write the answer somewhere else: no point is lost for that as long as the
answer can be found, and a note says where it was.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from peftcourse.exercises.core import Exercise
from peftcourse.exercises.registry import Lesson
from peftcourse.grading import written
from peftcourse.grading.notebooks import Cell
from peftcourse.grading.outline import LabOutline, plain
from peftcourse.grading.pictures import Album
from peftcourse.grading.written import Words

_SEVERAL = "there are {} answer cells; the last one filled in counts"


@dataclass
class Answers:
    """What a notebook answers.

    Attributes:
        by_exercise: exercise id → source of its answer cell; none where there is none.
        notes: where an answer was found, if not in its place.
        words: exercise id → what was written in answer to it, for those that ask for words.
        code: exercise id → source of the last cell that gives its name a value, to be shown.
    """

    by_exercise: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    words: dict[str, Words] = field(default_factory=dict)
    code: dict[str, str] = field(default_factory=dict)


def match(
    cells: tuple[Cell, ...], lesson: Lesson, lab: LabOutline, album: Album | None = None
) -> Answers:
    """Find the answer to each exercise of a lesson; pictures in answers go to the album."""
    return _Matching(cells, lesson, lab, album or Album(None)).answers()


class _Matching:
    def __init__(
        self, cells: tuple[Cell, ...], lesson: Lesson, lab: LabOutline, album: Album
    ) -> None:
        self.album = album
        self.cells = cells
        self.lesson = lesson
        self.lab = lab
        self.found = Answers()
        slugs = {part.slug for part in lesson.parts}
        checks = {f"{exercise.slug}-check" for exercise in lesson.exercises}
        known = slugs | checks
        # What each cell says it is; "" if nothing.
        self.keys = [
            cell.grade_id if cell.grade_id in known else cell.id if cell.id in known else ""
            for cell in cells
        ]

    def answers(self) -> Answers:
        for exercise in self.lesson.exercises:
            place = self._code(exercise)
            if place is not None:
                self.found.by_exercise[exercise.id] = self.cells[place].source
        self.found.code = {exercise.id: self._shown(exercise) for exercise in self.lesson.exercises}
        for exercise_id, words in written.answers(
            self.cells, self.keys, self.lesson, self.lab, self.album
        ).items():
            if words.text:
                self.found.by_exercise[exercise_id] = words.text
            self.found.words[exercise_id] = words
            self.found.notes += words.notes
        return self.found

    def _shown(self, exercise: Exercise) -> str:
        """The cell that counts when the notebook runs from top to bottom, as far as one can see."""
        target, stub = self.lab.targets[exercise.id], plain(self.lab.stubs[exercise.id])
        giving = [
            cell.source
            for cell in self.cells
            if cell.kind == "code"
            and target in cell.source
            and plain(cell.source) != stub
            and _defines(cell.source, target, by_value=True)
            and not self._is_labs(cell)
        ]
        return next(iter(giving[-1:]), self.found.by_exercise.get(exercise.id, ""))

    def _code(self, exercise: Exercise) -> int | None:
        """The place of the cell that answers an exercise."""
        target, stub = self.lab.targets[exercise.id], plain(self.lab.stubs[exercise.id])
        placed = [i for i, key in enumerate(self.keys) if key == exercise.slug]
        owned = [i for i in placed if self.cells[i].kind == "code" and self.cells[i].source.strip()]
        edited = [i for i in owned if plain(self.cells[i].source) != stub]
        defining = [i for i in edited if _defines(self.cells[i].source, target, by_value=True)]
        if not defining and (elsewhere := self._defined_elsewhere(target, owned)):
            self._note(exercise, f"found by its name, {target}, outside its answer cell")
            return elsewhere[-1]
        if len(owned) > 1:
            self._note(exercise, _SEVERAL.format(len(owned)))
        elif placed and not owned:
            self._note(exercise, "its answer cell is empty, or not a code cell")
        return next(iter((defining or edited or owned)[-1:]), None)

    def _defined_elsewhere(self, target: str, owned: list[int]) -> list[int]:
        return [
            i
            for i, cell in enumerate(self.cells)
            if cell.kind == "code"
            and i not in owned
            and _defines(cell.source, target)
            and not self._is_labs(cell)
        ]

    def _is_labs(self, cell: Cell) -> bool:
        return plain(cell.source) in self.lab.sources

    def _note(self, part: Exercise, text: str) -> None:
        self.found.notes.append(f"answer to {part.id}: {text}")


def _defines(source: str, name: str, by_value: bool = False) -> bool:
    """Whether a line begins the definition of a function or class, or gives the name a value."""
    if re.search(rf"^(?:async[ \t]+)?(?:def|class)[ \t]+{name}\b", source, re.MULTILINE):
        return True
    return by_value and bool(re.search(rf"^{name}[ \t]*[:=]", source, re.MULTILINE))
