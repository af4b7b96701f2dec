"""Marks that a person gave to written answers: read from ``written.csv``, and applied.

A mark belongs to an answer, not only to a submission: when the answer changes, its mark is kept
and no longer applied. It never counts for anybody else, not even for the same words.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from peftcourse.grading.reports.text import FORMULA, guard_inside, number, unguard_inside
from peftcourse.grading.rows import AWAITS, MARKED, Result, Row
from peftlab.errors import PeftlabError

COLUMNS = (
    "submission",
    "exercise",
    "max_points",
    "points",
    "comment",
    "answer_digest",
    "answer",
)

# Submission, exercise, digest of the answer.
Key = tuple[str, str, str]


@dataclass(frozen=True)
class Mark:
    """A line of ``written.csv``.

    Attributes:
        points: what the person gave; None if nothing yet.
        comment: what the person wrote to the learner.
        max_points: what the answer could earn.
        answer: the answer as the file shows it.
    """

    points: float | None
    comment: str
    max_points: float
    answer: str = ""

    @property
    def empty(self) -> bool:
        return self.points is None and not self.comment


def answer_digest(answer: str) -> str:
    """What tells one answer from another; white space around it and kinds of line ends do not.

    Begins with a letter, so that no spreadsheet takes it for a number.
    """
    text = answer.replace("\r\n", "\n").replace("\r", "\n").strip()
    return "a" + hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:24]


# --- reading --------------------------------------------------------------------------------------


def read_marks(path: Path) -> dict[Key, Mark]:
    """The lines of ``written.csv``, as a text editor or a spreadsheet saved it.

    Commas, semicolons or tabs, any of the usual encodings, either kind of line end and decimal
    sign. Lines without points and comment are read too.

    Returns:
        Marks by submission, exercise and digest of the answer; empty if there is no such file.

    Raises:
        PeftlabError: a line cannot be used; the message names it and the value. Nothing was
            changed.
    """
    if not path.is_file():
        return {}
    text = _decode(path)
    first = next(iter(text.splitlines()), "")
    delimiter = max(",;\t", key=first.count)
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error as error:
        raise PeftlabError(f"{path.name} is not a CSV file ({error}); restore it.") from None
    head = [name.strip().lower() for name in lines[0]] if lines else []
    if missing := [name for name in COLUMNS if name not in head]:
        raise PeftlabError(
            f"{path.name} has no column {', '.join(missing)}; the first line must name "
            f"{', '.join(COLUMNS)}. Put it back, or move the file away to start an empty one."
        )
    marks: dict[Key, Mark] = {}
    for place, cells in enumerate(lines[1:], 2):
        if not any(cell.strip() for cell in cells):
            continue
        key, mark = _line(f"{path.name}, row {place}", head, cells)
        marks[key] = _merged(f"{path.name}, row {place}", key, marks.get(key), mark)
    return marks


def _decode(path: Path) -> str:
    data = path.read_bytes()
    try:
        if data.startswith((b"\xff\xfe", b"\xfe\xff")):
            return data.decode("utf-16")
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    try:
        # What Excel calls CSV without a further word.
        return data.decode("cp1252")
    except UnicodeDecodeError:
        raise PeftlabError(
            f"{path.name} is in an encoding that is not known; save it as CSV UTF-8."
        ) from None


def _line(where: str, head: list[str], cells: list[str]) -> tuple[Key, Mark]:
    named = dict(zip(head, cells, strict=False))
    strangers = [named[name] for name in named if name not in COLUMNS] + cells[len(head) :]
    if extra := next((value for value in strangers if value.strip()), None):
        raise PeftlabError(
            f'{where}: "{extra}" stands in none of the known columns and would be lost; move it '
            "into the comment, in quotes if it holds a comma."
        )
    values = {name: named.get(name, "") for name in COLUMNS}
    submission = _unguarded(values["submission"])
    exercise, digest = values["exercise"].strip(), values["answer_digest"].strip()
    where += f" ({submission}, {exercise})"
    if not re.fullmatch(r"a[0-9a-f]{24}", digest):
        raise PeftlabError(
            f'{where}: answer_digest "{digest}" is not one that peftlab wrote; without it nobody '
            "knows which answer was marked. Restore the cell."
        )
    most = _number(where, "max_points", values["max_points"])
    points = _number(where, "points", values["points"]) if values["points"].strip() else None
    if points is not None and not 0 <= points <= most:
        raise PeftlabError(
            f"{where}: points {values['points'].strip()} is outside 0 to {number(most)}; "
            "correct it there, or set max_points right."
        )
    comment = _unguarded(values["comment"].replace("\r\n", "\n").replace("\r", "\n"))
    return (submission, exercise, digest), Mark(points, comment, most, _unguarded(values["answer"]))


def _number(where: str, column: str, text: str) -> float:
    try:
        value = float(text.strip().lstrip("'").replace(",", "."))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise PeftlabError(
            f'{where}: {column} "{text.strip()}" is not a number; write one such as 2.5.'
        )
    return value


def _merged(where: str, key: Key, one: Mark | None, other: Mark) -> Mark:
    """Of two lines on the same answer the one that says something."""
    if one is None or one.empty or (one.points, one.comment) == (other.points, other.comment):
        return other
    if other.empty:
        return one
    raise PeftlabError(
        f"{where}: {key[0]}, {key[1]} is marked twice, and not alike; delete one of the two lines."
    )


def rename(marks: Mapping[Key, Mark], names: Mapping[str, str]) -> dict[Key, Mark]:
    """The marks of submissions that have another name now, under that name.

    A mark that is there under the new name already stays, unless it says nothing.
    """
    moved: dict[Key, Mark] = {}
    for (submission, exercise, digest), mark in marks.items():
        key = names.get(submission, submission), exercise, digest
        if key not in moved or moved[key].empty or (submission not in names and not mark.empty):
            moved[key] = mark
    return moved


def guarded(text: str) -> str:
    """With an apostrophe where a spreadsheet would take the text for a formula or a number."""
    text = guard_inside(text)
    return f"'{text}" if _needs_guard(text) else text


def _unguarded(text: str) -> str:
    text = text[1:] if text[:1] == "'" and _needs_guard(text[1:]) else text
    return unguard_inside(text)


def _needs_guard(text: str) -> bool:
    return text[:1].isdigit() or text.startswith(("'", *FORMULA))


# --- applying -------------------------------------------------------------------------------------


def answers(row: Row) -> list[Result]:
    """The written answers that a person has marked or will."""
    return [result for result in row.results if result.status in (AWAITS, MARKED)]


def apply_marks(rows: Iterable[Row], marks: Mapping[Key, Mark]) -> list[Row]:
    """The rows with the marks in them.

    Raises:
        PeftlabError: a mark is higher than the exercise is worth now.
    """
    return [
        replace(row, results=tuple(_applied(row, result, marks) for result in row.results))
        for row in rows
    ]


def _applied(row: Row, result: Result, marks: Mapping[Key, Mark]) -> Result:
    if result not in answers(row):
        return result
    mark = marks.get((row.submission, result.exercise, answer_digest(result.answer)))
    if mark is None or mark.points is None:
        return result
    if mark.points > result.max_points:
        raise PeftlabError(
            f"{row.submission}, {result.exercise}: {number(mark.points)} points in written.csv, "
            f"and the exercise is worth {number(result.max_points)} now; correct the mark."
        )
    return replace(
        result,
        status=MARKED,
        points=mark.points,
        comment=mark.comment,
        observed="",
        cause="",
        action="",
    )


@dataclass(frozen=True)
class Unused:
    """A mark that is kept and applied to nothing, and why."""

    submission: str
    exercise: str
    mark: Mark
    reason: str


def unused_marks(rows: Iterable[Row], marks: Mapping[Key, Mark]) -> list[Unused]:
    """The marks whose answer is not there any more, by submission and exercise."""
    current = {
        row.submission: {a.exercise: answer_digest(a.answer) for a in answers(row)} for row in rows
    }
    found = []
    for (submission, exercise, digest), mark in sorted(marks.items(), key=lambda item: item[0]):
        if mark.empty or current.get(submission, {}).get(exercise) == digest:
            continue
        if submission not in current:
            reason = "there is no such submission"
        elif exercise not in current[submission]:
            reason = "there is no such answer to mark"
        else:
            reason = "the answer has changed since"
        found.append(Unused(submission, exercise, mark, reason))
    return found
