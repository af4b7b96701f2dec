"""Results in Gradescope's format (Gradescope Autograder Documentation, "Specs", output format)."""

from __future__ import annotations

import json
from typing import Any

from peftcourse.exercises.core import Exercise, Written
from peftcourse.exercises.registry import Lesson
from peftcourse.grading.reports.text import ANSWER, LINE, kind, number, shorten, visible
from peftcourse.grading.rows import AWAITS, GRADED, STATES, UNJUDGED, Result, Row


def results_json(row: Row, lesson: Lesson) -> str:
    """The ``results.json`` of one submission.

    Written answers are ``after_published``, marked or not. ``visible`` would show learners zero
    points for an answer that nobody has read, and marks before the instructor publishes the
    grades; ``hidden`` would never show the mark, so that the points on the page would not add up.
    """
    parts = {part.id: part for part in lesson.parts}
    data = {
        "score": row.points,
        "output": visible(_overall(row)),
        "output_format": "text",
        "tests": [
            _test(i, result, parts[result.exercise]) for i, result in enumerate(row.results, 1)
        ],
    }
    return json.dumps(data, ensure_ascii=False, indent=2) + "\n"


def _overall(row: Row) -> str:
    lines = [f"{number(row.points)} of {number(row.max_points)} points"]
    if row.state != GRADED:
        lines = [STATES[row.state]]
    waits = sum(result.status in (AWAITS, UNJUDGED) for result in row.results)
    if waits:
        lines.append(f"Not final: {waits} answer{'s' * (waits > 1)} not marked yet.")
    return "\n".join([*lines, *(_indented(shorten(note)) for note in row.notes)])


def _test(place: int, result: Result, part: Exercise | Written) -> dict[str, Any]:
    written = isinstance(part, Written)
    test = {
        "name": f"{part.id}: {part.title}",
        "number": str(place),
        "score": result.points,
        "max_score": result.max_points,
        "output": visible(_output(result)),
        # Gradescope's other formats would interpret what a submission wrote.
        "output_format": "text",
        "visibility": "after_published" if written else "visible",
    }
    # Without a status Gradescope compares the score with the maximum; an answer that waits for a
    # person has neither passed nor failed.
    if result.status not in (AWAITS, UNJUDGED):
        test["status"] = "passed" if kind(result) == "right" else "failed"
    return test


def _output(result: Result) -> str:
    meaning = "it means" if kind(result) == "right" else "likely cause"
    lines = (
        ("status", result.status, LINE),
        ("observed", result.observed, LINE),
        (meaning, result.cause, LINE),
        ("next", result.action, LINE),
        ("comment", result.comment, ANSWER),
        ("your answer", result.answer, ANSWER),
    )
    shown = ((name, shorten(text, limit)) for name, text, limit in lines if text)
    return "\n".join(f"{name}: {_indented(text)}" for name, text in shown)


def _indented(text: str) -> str:
    """Every line but the first moved in, so that none looks like one of the grader's own."""
    return visible(text).replace("\n", "\n    ")
