"""Grades as CSV: a table of everything, and a file that a learning management system reads."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence

from peftcourse.exercises.registry import Lesson
from peftcourse.grading.reports.text import cell, number
from peftcourse.grading.rows import AWAITS, GRADED, UNJUDGED, Row
from peftlab.errors import PeftlabError

LMS = ("moodle", "canvas")

# What Moodle calls the folder, or the file, of a submission: MoodleDocs, "Assignment grading",
# "Download all submissions".
_MOODLE = re.compile(r"(?P<name>.+)_(?P<id>\d+)_assignsubmission_file(_.*)?")
# What Canvas calls the file: Canvas Instructor Guide, "How do I download all student submissions
# for an assignment?". User, then submission; "LATE" between if it was.
_CANVAS = re.compile(r"(?P<name>[^_]+)_(LATE_)?(?P<id>\d+)_\d+_.+")


def grades_csv(rows: Iterable[Row], lesson: Lesson) -> str:
    """A line per submission, by name: points and status of every exercise.

    Holds no times or dates: the same rows give the same bytes.
    """
    ids = [part.id for part in lesson.parts]
    head = ["submission", "state", "points", "max_points", *ids, *(f"{id} status" for id in ids)]
    lines = [[*head, "notes"]]
    for row in _by_name(rows):
        results = {result.exercise: result for result in row.results}
        found = [results.get(id) for id in ids]
        lines.append(
            [
                cell(row.submission),
                row.state,
                number(row.points),
                number(row.max_points),
                *(number(result.points) if result else "" for result in found),
                *(cell(result.status) if result else "" for result in found),
                cell("; ".join(row.notes)),
            ]
        )
    return to_csv(lines)


def lms_csv(rows: Iterable[Row], lesson: Lesson, lms: str = "moodle") -> str:
    """The totals as a learning management system imports them.

    A grade stays empty as long as a person has to look at the submission: nobody should be shown a
    total that is not final.

    Args:
        rows: One for each submission.
        lesson: What was graded.
        lms: "moodle" or "canvas".

    Raises:
        PeftlabError: there is no such format.
    """
    if lms not in LMS:
        raise PeftlabError(f'no format is called "{lms}"; use {" or ".join(LMS)}.')
    return (_moodle if lms == "moodle" else _canvas)(_by_name(rows), lesson)


def final(row: Row) -> bool:
    """Whether nobody has to look at this submission before its points are a grade."""
    waits = any(result.status in (AWAITS, UNJUDGED) for result in row.results)
    return row.state == GRADED and not waits


def _moodle(rows: list[Row], lesson: Lesson) -> str:
    """The offline grading worksheet (MoodleDocs, "Offline grading worksheet").

    Moodle refuses a worksheet without the column "Last modified (grade)". It is empty, so to
    replace a grade that is there already, tick "Allow updating records that have been modified
    more recently in Moodle than in the spreadsheet" when you upload the file.
    """
    lines = [
        [
            "Identifier",
            "Full name",
            "Grade",
            "Maximum Grade",
            "Last modified (grade)",
            "Feedback comments",
        ]
    ]
    for row in rows:
        name, number_ = _person(row, _MOODLE)
        lines.append(
            [
                f"Participant {number_}" if number_ else cell(row.submission),
                cell(name),
                number(row.points) if final(row) else "",
                number(lesson.points),
                "",
                cell(_comment(row)),
            ]
        )
    return to_csv(lines)


def _canvas(rows: list[Row], lesson: Lesson) -> str:
    """Canvas's gradebook (Canvas Instructor Guide, "How do I import grades in the Gradebook?").

    Canvas finds a learner by ID, or else by name, and the assignment by its title.
    """
    blank = [""] * 3
    lines = [
        ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", cell(lesson.title)],
        ["    Points Possible", "", *blank, number(lesson.points)],
    ]
    for row in rows:
        name, number_ = _person(row, _CANVAS)
        lines.append([cell(name), number_, *blank, number(row.points) if final(row) else ""])
    return to_csv(lines)


def _person(row: Row, pattern: re.Pattern[str]) -> tuple[str, str]:
    """Name and number that the system put into the name of a folder or file, if it did."""
    for part in re.split(r"[/\\]| › ", row.origin):
        if match := pattern.fullmatch(part):
            return match["name"], match["id"]
    return row.submission, ""


def _comment(row: Row) -> str:
    """One line without a word of the submission's: Moodle shows this text as HTML."""
    if row.state != GRADED:
        return "The notebook could not be read."
    open_ = sum(result.status in (AWAITS, UNJUDGED) for result in row.results)
    score = f"{number(row.points)} of {number(row.max_points)} points"
    if open_:
        score += f" so far, {open_} answer{'s' * (open_ > 1)} not marked yet"
    missed = [
        f"{result.exercise}: {result.status} "
        f"({number(result.points)} of {number(result.max_points)})"
        for result in row.results
        if result.points < result.max_points
    ]
    return "; ".join([score, *missed])


def _by_name(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: row.submission)


def to_csv(lines: Iterable[Sequence[str]]) -> str:
    """Comma-separated values with ``\\n`` at the end of each line."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(lines)
    return buffer.getvalue()
