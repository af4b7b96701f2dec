"""Exercises: ``check`` an answer, ask for a ``hint``, a ``case`` or the ``solution``, see your
``progress``, and let ``yours`` run in a lab."""

from peftcourse.exercises.notebook import case, check, hint, progress, solution
from peftcourse.exercises.registry import EXERCISES, LESSONS, find
from peftcourse.exercises.running import yours

__all__ = [
    "EXERCISES",
    "LESSONS",
    "case",
    "check",
    "find",
    "hint",
    "progress",
    "solution",
    "yours",
]
