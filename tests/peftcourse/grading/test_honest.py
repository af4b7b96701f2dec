"""No honest point is lost: a class in which everything is unusual that learners do."""

from __future__ import annotations

import os

import pytest
from grading.cases.honest import CASES, Honest
from grading.cases.notebooks import LAB, ROOT

from peftcourse.exercises import EXERCISES
from peftcourse.exercises.feedback import CORRECT
from peftcourse.grading.rows import GRADED, Row
from peftcourse.grading.run import grade

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def rows(tmp_path_factory, no_bubblewrap) -> dict[str, Row]:
    """The whole class graded at once, by origin."""
    folder = tmp_path_factory.mktemp("honest")
    for case in CASES:
        path = folder / "class" / case.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(case.content)
    # Without bubblewrap the limits alone have to do; these are friends.
    graded = grade(
        folder / "class", LAB, folder / "out", root=ROOT, seed=3, unsafe=bool(no_bubblewrap)
    )
    return {row.origin: row for row in graded}


def test_every_submission_has_one_row(rows):
    assert len(CASES) >= 60
    assert set(rows) == {case.origin for case in CASES}
    assert all(row.state == GRADED for row in rows.values())


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_an_honest_submission(rows, case: Honest):
    results = {result.exercise: result for result in rows[case.origin].results}
    found = {e: (results[e].status, results[e].mutant) for e in case.expected}
    assert found == case.expected, rows[case.origin]
    for exercise, (status, _) in case.expected.items():
        full = EXERCISES[exercise].points
        assert results[exercise].points == (full if status == CORRECT else 0)


def test_what_the_grader_itself_was_is_unchanged(rows):
    """Answers that set the default dtype, seeds or files do so for nobody but themselves."""
    import torch

    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()
    assert not os.path.exists("log.txt")
