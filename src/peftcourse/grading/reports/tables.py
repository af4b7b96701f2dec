"""Grades as CSV: a table of everything, and a file that a learning management system reads."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from peftcourse.exercises.registry import Lesson
from peftcourse.grading.members import printable
from peftcourse.grading.people import CANVAS, MOODLE
from peftcourse.grading.reports.text import cell, number
from peftcourse.grading.rows import AWAITS, GRADED, STATES, UNJUDGED, Row
from peftlab.errors import PeftlabError

LMS = (MOODLE, CANVAS)


def grades_csv(rows: Iterable[Row], lesson: Lesson) -> str:
    """A line per submission, by name: who, which file, points and status of every exercise.

    Holds no times or dates: the same rows give the same bytes.
    """
    ids = [part.id for part in lesson.parts]
    who = ["submission", "learner", "learner_id", "file", "state", "final"]
    lines = [[*who, "points", "max_points", *ids, *(f"{id} status" for id in ids), "notes"]]
    for row in _by_name(rows):
        results = {result.exercise: result for result in row.results}
        found = [results.get(id) for id in ids]
        lines.append(
            [
                cell(row.submission),
                cell(printable(row.person.name)) if row.person else "",
                row.person.number if row.person else "",
                cell(row.origin),
                row.state,
                "yes" if final(row) else "no",
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

    A learner has one line. Its grade stays empty as long as a person has to look at the submission,
    or two names carry one number: nobody should be shown a total that is not final.

    Args:
        rows: One for each submission.
        lesson: What was graded.
        lms: "moodle" or "canvas".

    Raises:
        PeftlabError: there is no such format.
    """
    if lms not in LMS:
        raise PeftlabError(f'no format is called "{lms}"; use {" or ".join(LMS)}.')
    return (_moodle if lms == MOODLE else _canvas)(_by_name(rows), lesson)


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
    for name, number_, theirs in _people(rows, MOODLE):
        lines.append(
            [
                f"Participant {number_}" if number_ else cell(_no_participant(name)),
                cell(name),
                _total(theirs),
                number(lesson.points),
                "",
                cell(_comments(theirs)),
            ]
        )
    return to_csv(lines)


def _no_participant(name: str) -> str:
    """A name that no system gave, and none if Moodle would take it for somebody's number."""
    return "" if name.casefold().startswith("participant") else name


def _canvas(rows: list[Row], lesson: Lesson) -> str:
    """Canvas's gradebook (Canvas Instructor Guide, "How do I import grades in the Gradebook?").

    Canvas finds a learner by ID, or else by name, and the assignment by its title.
    """
    blank = [""] * 3
    lines = [
        ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", cell(lesson.title)],
        ["    Points Possible", "", *blank, number(lesson.points)],
    ]
    for name, number_, theirs in _people(rows, CANVAS):
        lines.append([cell(name), number_, *blank, _total(theirs)])
    return to_csv(lines)


def _people(rows: Iterable[Row], system: str) -> Iterator[tuple[str, str, list[Row]]]:
    """Name, number and rows of each learner; without a number where the system gave none."""
    known: dict[str, list[Row]] = {}
    for row in rows:
        person = row.person if row.person and row.person.system == system else None
        known.setdefault(person.number if person else f"row {row.submission}", []).append(row)
    for theirs in known.values():
        person = theirs[0].person
        if person and person.system == system:
            yield printable(person.name), person.number, theirs
        else:
            yield theirs[0].submission, "", theirs


def _total(theirs: Sequence[Row]) -> str:
    """The points of the one submission; of two people with one number, a person has to choose."""
    return number(theirs[0].points) if len(theirs) == 1 and final(theirs[0]) else ""


def _comments(theirs: Sequence[Row]) -> str:
    if len(theirs) == 1:
        return _comment(theirs[0])
    return f"{len(theirs)} submissions under different names have this number: no grade yet."


def _comment(row: Row) -> str:
    """One line without a word of the submission's: Moodle shows this text as HTML."""
    if row.state != GRADED:
        return STATES[row.state]
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
