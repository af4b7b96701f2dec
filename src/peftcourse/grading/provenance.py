"""Which cells of a notebook are the lab's own, and which lab it is, in whatever release.

The lab's generator gives each cell an id that is a hash of its place and its text. So a cell that
nobody has changed proves itself, though the lab has other words by now.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from enum import Enum

from peftcourse.exercises.registry import LESSONS, Lesson
from peftcourse.grading.notebooks import Cell
from peftcourse.grading.outline import LabOutline, plain
from peftcourse.labs.generate import cell_id

MAX_PLACES = 100  # cells of a lab, at most
MAX_TEXT = 20_000  # characters of one of them

_GENERATED = re.compile(r"[0-9a-f]{12}")
_HEADING = re.compile(r"### Exercise `([a-z_]+\.[a-z_0-9]+)`")
_SLUGS = {part.slug: name for name, lesson in LESSONS.items() for part in lesson.parts}
_IDS = {part.id: name for name, lesson in LESSONS.items() for part in lesson.parts}


class Whose(Enum):
    """Who wrote what stands in a cell."""

    LAB = "the lab"
    BOTH = "the lab, and then the learner changed it"
    LEARNER = "the learner"


def whose(cell: Cell, lab: LabOutline) -> Whose:
    """Who wrote what stands in a cell that is no answer cell."""
    if plain(cell.source) in lab.sources or _unchanged(cell.kind, cell.source, cell.id):
        return Whose.LAB
    return Whose.BOTH if _GENERATED.fullmatch(cell.id) else Whose.LEARNER


@functools.lru_cache(maxsize=512)  # asked twice of each cell of a notebook
def _unchanged(kind: str, source: str, id: str) -> bool:
    """Whether a cell is as some release of some lab had it."""
    if not _GENERATED.fullmatch(id) or len(source) > MAX_TEXT:
        return False
    return any(cell_id(place, kind, source) == id for place in range(MAX_PLACES))


def asked(cell: Cell) -> str:
    """The id of the exercise whose question a cell holds, or ""."""
    heading = _HEADING.match(cell.source)
    return heading[1] if heading and cell.kind != "code" else ""


def another_lab(cells: Sequence[Cell], lesson: Lesson) -> str:
    """The name of the lab that a notebook belongs to, if that is not this lesson's; else ""."""
    labs = Counter(_labs(cells))
    return "" if labs[lesson.name] or not labs else labs.most_common(1)[0][0]


def _labs(cells: Sequence[Cell]) -> Iterator[str]:
    for cell in cells:
        for key in (cell.grade_id, cell.id):
            if (slug := key.removesuffix("-check")) in _SLUGS:
                yield _SLUGS[slug]
        if (exercise := asked(cell)) in _IDS:
            yield _IDS[exercise]


def notes(cells: Sequence[Cell], lesson: Lesson, lab: LabOutline) -> list[str]:
    """What to say of a notebook that is of another release of the lab, or not a lab's at all."""
    labs = set(_labs(cells))
    if lesson.name not in labs:
        return [f"none of the places for answers of {lesson.name} is in this notebook"]
    other = sum(
        plain(cell.source) not in lab.sources and _unchanged(cell.kind, cell.source, cell.id)
        for cell in cells
    )
    if not other:
        return []
    there = {cell.grade_id or cell.id for cell in cells}
    there |= {asked(cell) for cell in cells}
    missing = [part.id for part in lesson.parts if not {part.id, part.slug} & there]
    said = f"the notebook is of another release of the lab: {other} of the lab's cells differ"
    return [said + (f", and it does not ask {', '.join(missing)}" if missing else "")]
