"""Exercises: ``check`` an answer, ask for a ``hint``, see your ``progress``."""

from peftcourse.exercises.notebook import check, hint, progress
from peftcourse.exercises.registry import EXERCISES, LESSONS, find

__all__ = ["EXERCISES", "LESSONS", "check", "find", "hint", "progress"]
