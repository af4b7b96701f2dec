"""A mutant's source text, alone in a cell after the lab's imports, is still that mutant."""

import pytest

from benchmarks import classroom
from peftcourse.exercises import EXERCISES, LESSONS
from peftcourse.exercises.explain import Reference
from peftcourse.exercises.feedback import CORRECT, NOT_ATTEMPTED, RAISED, assess_on

IMPORTS = """
import contextlib
import math
import torch
import torch.nn.functional as F
from torch import Tensor, nn
"""
LESSON = "03_lora"


@pytest.fixture(scope="module")
def known():
    return classroom.known_answers(LESSON)


def defined(source: str):
    """What a cell leaves under the last name that it defines."""
    space = {}
    exec(IMPORTS, space)
    before = set(space)
    exec(source, space)
    return space[[name for name in space if name not in before][-1]]


@pytest.mark.parametrize("exercise", LESSONS[LESSON].exercises, ids=lambda e: e.id)
def test_each_answer_gets_the_report_it_is_made_for(exercise, known):
    answers, reference = known[exercise.id], Reference(exercise, 1)
    for answer in answers[classroom.WRONG]:
        report = assess_on(reference, defined(answer.source))
        assert report.mutant == answer.mutant, answer.source
    for kind, status in (
        (classroom.RIGHT, CORRECT),
        (classroom.STUB, NOT_ATTEMPTED),
        (classroom.RAISES, RAISED),
    ):
        (answer,) = answers[kind]
        assert assess_on(reference, defined(answer.source)).status == status


def test_every_mutant_is_there_under_the_name_that_the_lab_asks_for(known):
    for exercise in LESSONS[LESSON].exercises:
        answers = known[exercise.id]
        (right,) = answers[classroom.RIGHT]
        assert right.points == exercise.points
        assert [a.mutant for a in answers[classroom.WRONG]] == [m.id for m in exercise.mutants]
        names = {defined(a.source).__name__ for a in (right, *answers[classroom.WRONG])}
        assert len(names) == 1
    assert sum(len(exercise.mutants) for exercise in EXERCISES.values()) > 50


def test_the_other_answers_are_what_they_are_called(known):
    for exercise in LESSONS[LESSON].exercises:
        answers = known[exercise.id]
        (broken,), (endless,) = answers[classroom.NOT_PYTHON], answers[classroom.ENDLESS]
        with pytest.raises(SyntaxError):
            compile(broken.source, "answer", "exec")
        compile(endless.source, "answer", "exec")
        assert "while True: pass" in endless.source
        assert not any("SOLUTION" in a.source for kind in answers.values() for a in kind)
