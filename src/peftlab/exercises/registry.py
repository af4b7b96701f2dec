"""All exercises, by lesson and by id."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from peftlab.errors import PeftlabError
from peftlab.exercises import lora
from peftlab.exercises.core import Exercise


@dataclass(frozen=True)
class Lesson:
    """A lesson's exercises in the order in which its lab asks them."""

    name: str
    title: str
    exercises: tuple[Exercise, ...]

    @property
    def points(self) -> int:
        return sum(exercise.points for exercise in self.exercises)


LESSONS = {lesson.name: lesson for lesson in (Lesson("03_lora", lora.TITLE, lora.EXERCISES),)}

EXERCISES = {exercise.id: exercise for lesson in LESSONS.values() for exercise in lesson.exercises}


def find(name: str) -> Exercise:
    """The exercise with this id.

    Raises:
        PeftlabError: there is none; the message names the closest one.
    """
    if name in EXERCISES:
        return EXERCISES[name]
    close = difflib.get_close_matches(str(name), EXERCISES, n=1, cutoff=0.4)
    hint = f'did you mean "{close[0]}"?' if close else f"there are {', '.join(EXERCISES)}."
    raise PeftlabError(f'no exercise is called "{name}"; {hint}')
