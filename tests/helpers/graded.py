"""Rows of a small made-up class, for the tests of what is written from them."""

from __future__ import annotations

from peftcourse.exercises import feedback
from peftcourse.exercises.core import Exercise
from peftcourse.exercises.registry import LESSONS
from peftcourse.grading.rows import AWAITS, GRADED, Result, Row

LESSON = LESSONS["03_lora"]
WRITTEN = LESSON.written[0]


def correct(exercise: Exercise) -> Result:
    points = exercise.points
    return Result(exercise.id, points, points, feedback.CORRECT, "right", exercise.meaning, "Go on")


def wrong(exercise: Exercise, mutant: int | None = 0, text: str = "3 of 4 differ") -> Result:
    """A wrong value that matches one of the known wrong answers, or none of them."""
    id = None if mutant is None else exercise.mutants[mutant].id
    status = feedback.WRONG_VALUE
    return Result(exercise.id, 0, exercise.points, status, text, text, "Look again", id)


def row(name: str, solved: int = 10, answer: str = "Rank 1 is enough.", **fields) -> Row:
    """A submission that solved the first ``solved`` exercises and answered in words."""
    results = [
        correct(exercise) if place < solved else wrong(exercise)
        for place, exercise in enumerate(LESSON.exercises)
    ]
    results.append(Result(WRITTEN.id, 0, WRITTEN.points, AWAITS, answer=answer))
    fields = {"origin": f"{name}.ipynb", "digest": f"digest of {name}", "state": GRADED} | fields
    return Row(name, results=fields.pop("results", tuple(results)), **fields)
