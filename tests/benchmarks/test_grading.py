"""The benchmark of the grader notices a wrong grader, and the grader is right about a class."""

from dataclasses import replace

import pytest

from benchmarks import classroom, grading
from peftcourse.grading import rows, run, sandbox
from peftlab.errors import PeftlabError


@pytest.fixture(scope="module")
def learners():
    return classroom.draw(size=6, seed=4, lesson=grading.LAB)


@pytest.fixture
def right(learners):
    """The rows of a grader without a fault."""
    return [
        rows.Row(
            learner.origin.split("/")[1],
            learner.origin,
            "",
            rows.GRADED,
            tuple(
                rows.Result(exercise, answer.points, 4, "graded", mutant=answer.mutant)
                for exercise, answer in learner.answers.items()
            ),
        )
        for learner in learners
    ]


def with_first(row, **changes):
    return replace(row, results=(replace(row.results[0], **changes), *row.results[1:]))


def test_a_right_grader_is_counted(learners, right):
    wrong = [a for x in learners for a in x.answers.values() if a.kind == classroom.WRONG]
    mutants = sum(answer.mutant is not None for answer in wrong)
    counts = grading.compare(learners, right)
    total = sum(len(learner.answers) for learner in learners)
    assert counts == {"answers": total, "misconceptions": mutants, "named": mutants}
    assert mutants > 0


def test_a_wrong_grader_is_refused(learners, right):
    given = right[0].results[0].points
    with pytest.raises(PeftlabError, match=f"{given + 1} points"):
        grading.compare(learners, [with_first(right[0], points=given + 1), *right[1:]])
    with pytest.raises(PeftlabError, match=f"{right[2].origin} has no result"):
        grading.compare(learners, [*right[:2], *right[3:]])
    short = replace(right[0], results=right[0].results[1:])
    with pytest.raises(PeftlabError, match=f"no result for {right[0].results[0].exercise}"):
        grading.compare(learners, [short, *right[1:]])


def test_another_diagnosis_is_counted_but_not_refused(learners, right):
    anonymous = [
        replace(row, results=tuple(replace(result, mutant=None) for result in row.results))
        for row in right
    ]
    counts = grading.compare(learners, anonymous)
    assert counts["named"] == 0 < counts["misconceptions"]


def test_a_small_class_is_graded_as_it_was_made(tmp_path):
    learners = classroom.generate(tmp_path / "class", size=6, seed=4, lesson=grading.LAB)
    graded = run.grade(
        tmp_path / "class",
        grading.LAB,
        tmp_path / "out",
        root=classroom.ROOT,
        seed=0,
        timeout=5.0,
        unsafe=sandbox.why_no_bubblewrap() is not None,
        say=lambda note: None,
    )
    counts = grading.compare(learners, graded)
    assert counts["named"] == counts["misconceptions"] > 0
    stopped = [r for row in graded for r in row.results if r.status == rows.STOPPED]
    assert len(stopped) == 1
