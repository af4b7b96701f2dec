"""All exercises, by lesson and by id."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from peftcourse.exercises import (
    adapters,
    choose,
    dora,
    evaluate,
    library,
    lora,
    memory,
    practice,
    prompts,
    quantization,
    rank,
)
from peftcourse.exercises.core import Exercise, Written
from peftlab.errors import PeftlabError


@dataclass(frozen=True)
class Lesson:
    """A lesson's exercises, of both kinds, in the order in which its lab asks them."""

    name: str
    title: str
    parts: tuple[Exercise | Written, ...]

    @property
    def exercises(self) -> tuple[Exercise, ...]:
        """Those that ask for code, which ``check`` judges."""
        return tuple(part for part in self.parts if isinstance(part, Exercise))

    @property
    def written(self) -> tuple[Written, ...]:
        """Those that ask for words, which a person marks."""
        return tuple(part for part in self.parts if isinstance(part, Written))

    @property
    def points(self) -> int:
        """What all of them are worth."""
        return sum(part.points for part in self.parts)


LESSONS = {
    lesson.name: lesson
    for lesson in (
        Lesson("01_memory", memory.TITLE, memory.PARTS),
        Lesson("02_rank", rank.TITLE, rank.PARTS),
        Lesson("03_lora", lora.TITLE, lora.PARTS),
        Lesson("04_practice", practice.TITLE, practice.PARTS),
        Lesson("05_dora", dora.TITLE, dora.PARTS),
        Lesson("06_quantization", quantization.TITLE, quantization.PARTS),
        Lesson("07_adapters", adapters.TITLE, adapters.PARTS),
        Lesson("08_prompts", prompts.TITLE, prompts.PARTS),
        Lesson("09_library", library.TITLE, library.PARTS),
        Lesson("10_choose", choose.TITLE, choose.PARTS),
        Lesson("11_evaluate", evaluate.TITLE, evaluate.PARTS),
    )
}

PARTS = {part.id: part for lesson in LESSONS.values() for part in lesson.parts}

# Those that code can judge.
EXERCISES = {exercise.id: exercise for lesson in LESSONS.values() for exercise in lesson.exercises}


def find(name: str) -> Exercise | Written:
    """The exercise with this id, of either kind.

    Raises:
        PeftlabError: there is none; the message names the closest one, or the ids of the lesson
            that was meant, and never all of them.
    """
    if name in PARTS:
        return PARTS[name]
    meant = str(name).strip().lower().replace("-", "_").replace(" ", "")
    lesson, _, rest = meant.partition(".")
    of_lesson = [part for part in PARTS if part.split(".")[0] == lesson]
    ends = [part for part in PARTS if part.split(".")[1] == (rest or lesson)]
    alike = {part.replace(".", "_"): part for part in of_lesson or PARTS}
    close = difflib.get_close_matches(meant.replace(".", "_"), alike, n=1, cutoff=0.7)
    if meant in PARTS:
        told = f'did you mean "{meant}"?'
    elif close:
        told = f'did you mean "{alike[close[0]]}"?'
    elif len(ends) == 1:
        told = f'did you mean "{ends[0]}"?'
    elif of_lesson:
        told = f"of {lesson} there are {', '.join(of_lesson)}."
    else:
        told = 'an id looks like "lora.delta"; progress() lists those of each lesson.'
    raise PeftlabError(f'no exercise is called "{name}"; {told}')
