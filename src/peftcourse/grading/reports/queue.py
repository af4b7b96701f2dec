"""The queue of written answers: a file to fill in, and a page to read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from peftcourse.exercises.core import Written
from peftcourse.exercises.registry import Lesson
from peftcourse.grading.reports import copies
from peftcourse.grading.reports.marks import COLUMNS, Key, Mark, answer_digest, answers, guarded
from peftcourse.grading.reports.marks import unused_marks as unused
from peftcourse.grading.reports.tables import to_csv
from peftcourse.grading.reports.text import CELL, number, render, shorten, visible
from peftcourse.grading.rows import MARKED, Result, Row


def written_csv(rows: Sequence[Row], lesson: Lesson, marks: Mapping[Key, Mark]) -> str:
    """``written.csv``: a line per written answer, and every mark or comment that ever was there.

    Equal answers stand beside each other, each with a line of its own. Begins with a byte order
    mark: without it Excel would read the UTF-8 as something else, and save it so.
    """
    lines: dict[Key, Mark] = {key: mark for key, mark in marks.items() if not mark.empty}
    for row in rows:
        for result in answers(row):
            key = row.submission, result.exercise, answer_digest(result.answer)
            old = marks.get(key)
            lines[key] = Mark(
                old.points if old else None,
                old.comment if old else "",
                result.max_points,
                shorten(visible(result.answer), CELL),
            )
    places = {part.id: place for place, part in enumerate(lesson.parts)}

    def order(key: Key) -> tuple[int, str, str, str]:
        submission, exercise, digest = key
        return places.get(exercise, len(places)), exercise, digest, submission

    table = [COLUMNS]
    for key in sorted(lines, key=order):
        submission, exercise, digest = key
        mark = lines[key]
        points = "" if mark.points is None else number(mark.points)
        most = number(mark.max_points)
        cells = (guarded(submission), exercise, most, points, guarded(mark.comment), digest)
        table.append((*cells, guarded(mark.answer)))
    return "\ufeff" + to_csv(table)


@dataclass(frozen=True)
class Answer:
    """One text, however many handed it in.

    Attributes:
        code: names it on the page; the digest in ``written.csv`` begins with it.
        text: the answer.
        count: how many submissions hold it.
        marks: the points that it got; more than one if they do not agree.
        comment: of the mark.
        beside: other texts of these notebooks, which belong to no question.
        pictures: names of the files in ``pictures/`` that the text shows.
        alike: code of another answer, or "" for the model answer, and the share of equal words.
    """

    code: str
    text: str
    count: int
    marks: tuple[float, ...]
    comment: str
    beside: tuple[str, ...] = ()
    pictures: tuple[str, ...] = ()
    alike: tuple[tuple[str, float], ...] = ()

    @property
    def anchor(self) -> str:
        return f"answer-{self.code}"


def queue(rows: Sequence[Row], part: Written) -> list[Answer]:
    """The different answers to one exercise, in an order that says nothing about their authors."""
    groups: defaultdict[str, list[Result]] = defaultdict(list)
    codes = {copies.MODEL: ""}
    holder: dict[str, str] = {}
    for row in rows:
        for result in answers(row):
            if result.exercise == part.id:
                digest = answer_digest(result.answer)
                groups[digest].append(result)
                codes[row.submission] = digest[:8]
                holder[digest] = row.submission
    likes = copies.alike(rows, part)
    found = []
    for digest in sorted(groups):
        same = groups[digest]
        marked = [result for result in same if result.status == MARKED]
        points = tuple(sorted({result.points for result in marked}))
        comment = marked[0].comment if marked else ""
        others = {
            (codes[one.submission], one.share)
            for one in likes.get(holder[digest], ())
            if codes[one.submission] != digest[:8]
        }
        found.append(
            Answer(
                digest[:8],
                same[0].answer,
                len(same),
                points,
                comment,
                tuple(dict.fromkeys(one.beside for one in same if one.beside)),
                same[0].pictures,
                tuple(sorted(others, key=lambda one: (-one[1], one[0]))),
            )
        )
    return found


def written_html(rows: Sequence[Row], lesson: Lesson, marks: Mapping[Key, Mark]) -> str:
    """``written.html``: the answers without names, beside question, model answer and rubric.

    Args:
        rows: With the marks applied.
        lesson: What was graded.
        marks: What ``written.csv`` holds.
    """
    groups = [(part, queue(rows, part)) for part in lesson.written]
    return render(
        "written.html", lesson=lesson, groups=groups, unused=unused(rows, marks), MOST_ALIKE=5
    )
