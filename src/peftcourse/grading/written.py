"""What a learner wrote in answer to a question, wherever in the notebook it stands.

A text that nobody reads is worse than one too many: in doubt it is shown to whoever marks. What
stands between a question and the lab's next cell belongs to the question, in cells of any kind; so
does what a learner wrote into the question's own cell, or into that next one. If nothing is there,
the texts above the question are taken, and else all that stand elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from peftcourse.exercises.core import Written
from peftcourse.exercises.registry import Lesson
from peftcourse.grading.notebooks import Cell
from peftcourse.grading.outline import LabOutline, plain
from peftcourse.grading.pictures import Album
from peftcourse.grading.provenance import Whose, asked, whose

_PICTURE = re.compile(r"\bpicture (\d{1,2})\b")
_THREE_QUOTES = re.compile(r"[a-zA-Z]?(\"\"\"|''')")
_STRING = re.compile(r"[\"'(].*[\"')]")
_TEXT_MAGIC = re.compile(r"%%(markdown|html|latex)\b")


@dataclass(frozen=True)
class Words:
    """A written answer.

    Attributes:
        text: all of it, in the order of the notebook; "" if there is none.
        beside: other texts of the learner's, which belong to no question.
        pictures: file names of the pictures that the text shows, in the album.
        notes: where it was found, if not in its place.
    """

    text: str
    beside: str = ""
    pictures: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def answers(
    cells: Sequence[Cell], keys: Sequence[str], lesson: Lesson, lab: LabOutline, album: Album
) -> dict[str, Words]:
    """The answer to each question of a lesson that asks for words.

    Args:
        cells: the notebook's.
        keys: for each cell the slug of the exercise that it answers or checks, or "".
        lesson: what is asked.
        lab: how it was handed out.
        album: where pictures are kept.
    """
    reading = _Reading(cells, keys, lesson, lab)
    places = {part.id: reading.places(part) for part in lesson.written}
    taken = {i for found in places.values() for i in found.all}
    rest = [i for i in range(len(cells)) if i not in taken and reading.is_text(i)]
    said = {}
    for part in lesson.written:
        found = places[part.id]
        chosen, notes = found.all, found.notes(part)
        beside = rest
        if not chosen and rest:
            chosen, beside = rest, []
            notes = (f"answer to {part.id}: nothing at its place; other texts of the notebook",)
        shown = _Shown(album)
        text = "\n\n".join(shown.text(reading, i) for i in chosen)
        others = "\n\n".join(reading.text(i) for i in beside)
        said[part.id] = Words(text, others, tuple(shown.names), notes)
    return said


@dataclass(frozen=True)
class _Places:
    """Where the parts of an answer stand, by place in the notebook."""

    inside: tuple[int, ...]  # cells between the question and the lab's next cell
    own: tuple[int, ...]  # those of them that are the place for the answer
    above: tuple[int, ...]

    @property
    def all(self) -> list[int]:
        return list(self.inside or self.above)

    def notes(self, part: Written) -> tuple[str, ...]:
        if not self.inside and self.above:
            where = "found above the question"
        elif self.inside and not self.own:
            where = "found below the place for its answer"
        elif len(self.inside) > 1:
            where = f"it stands in {len(self.inside)} cells; all of them count"
        else:
            return ()
        return (f"answer to {part.id}: {where}",)


class _Reading:
    def __init__(
        self, cells: Sequence[Cell], keys: Sequence[str], lesson: Lesson, lab: LabOutline
    ) -> None:
        self.cells = cells
        self.keys = keys
        self.lab = lab
        self.whose = [whose(cell, lab) for cell in cells]
        self.lines = {line for source in lab.sources for line in source.split("\n")}
        self.slugs = {part.slug for part in lesson.written}

    def places(self, part: Written) -> _Places:
        own = [i for i, key in enumerate(self.keys) if key == part.slug]
        questions = [i for i, cell in enumerate(self.cells) if asked(cell) == part.id]
        inside = set(own)
        for start in (*questions, *own):
            inside.add(start)
            inside.update(self._until_the_labs_next(start, part))
        written = sorted(i for i in inside if self.text(i))
        above = []
        for i in range(min(questions or own, default=0) - 1, -1, -1):
            if not self._is_learners(i):
                break
            if self.is_text(i):
                above.insert(0, i)
        answering = tuple(i for i in written if i in own)
        return _Places(tuple(written), answering, tuple(above))

    def _until_the_labs_next(self, start: int, part: Written) -> Iterator[int]:
        for i in range(start + 1, len(self.cells)):
            if self.keys[i] == part.slug:
                continue
            if not self._is_learners(i):
                # What was typed into the lab's next cell of text follows the question as well.
                if self.whose[i] is Whose.BOTH and not self.keys[i] and not asked(self.cells[i]):
                    yield i
                return
            yield i

    def _is_learners(self, i: int) -> bool:
        return not self.keys[i] and self.whose[i] is Whose.LEARNER and not asked(self.cells[i])

    def is_text(self, i: int) -> bool:
        """Whether a learner's words stand in a cell that belongs to no exercise."""
        if self.keys[i] or self.whose[i] is Whose.LAB or not self.text(i):
            return False
        return self.cells[i].kind != "code" or _only_words(self.cells[i].source)

    def text(self, i: int) -> str:
        """What a learner wrote into a cell, without what the lab had there; "" if nothing."""
        source = self.cells[i].source.strip("\n")
        if self.keys[i] in self.slugs:
            untouched = {plain(stub) for stub in self.lab.stubs.values()}
            return "" if plain(source) in untouched else source if source.strip() else ""
        if self.whose[i] is Whose.LAB:
            return ""
        if self.whose[i] is Whose.BOTH or asked(self.cells[i]):
            added = [line for line in source.split("\n") if line.rstrip() not in self.lines]
            source = "\n".join(added).strip("\n")
        return source if source.strip() else ""


class _Shown:
    """Texts with the names of their pictures in place of their numbers."""

    def __init__(self, album: Album) -> None:
        self.album = album
        self.names: list[str] = []

    def text(self, reading: _Reading, i: int) -> str:
        pictures = reading.cells[i].pictures

        def name(found: re.Match[str]) -> str:
            place = int(found[1])
            if not 1 <= place <= len(pictures):
                return found[0]
            kept, why = self.album.keep(pictures[place - 1])
            if not kept:
                return f"a picture that is not shown ({why}): open the notebook"
            if kept not in self.names:
                self.names.append(kept)
            return f"picture {kept}"

        return _PICTURE.sub(name, reading.text(i)) if pictures else reading.text(i)


def _only_words(code: str) -> bool:
    """Whether a cell of code holds comments and texts alone."""
    if _TEXT_MAGIC.match(code):
        return True
    end = ""  # the quotes that will close a text of several lines
    for line in (line.strip().rstrip("; ") for line in code.split("\n")):
        if not end and (opened := _THREE_QUOTES.match(line)):
            end, line = opened[1], line[opened.end() :]
        elif not end:
            if line and line[0] != "#" and not _STRING.fullmatch(line):
                return False
            continue
        if end in line:
            if not line.endswith(end):
                return False
            end = ""
    return True
