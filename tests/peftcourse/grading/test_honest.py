"""No honest point is lost: a class in which everything is unusual that learners do."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from grading.cases.honest import CASES, Honest
from grading.cases.notebooks import LAB, ROOT

from peftcourse.exercises import EXERCISES
from peftcourse.exercises.feedback import CORRECT
from peftcourse.exercises.registry import LESSONS
from peftcourse.grading.in_kernel import differences
from peftcourse.grading.outline import LabOutline
from peftcourse.grading.rows import GRADED, Row
from peftcourse.grading.run import grade
from peftcourse.grading.submissions import collect

pytestmark = pytest.mark.slow


# Where the grader gives points that `check` in IPython does not, and never the other way round.
MORE = {
    # Nothing runs after the end of its process.
    "a-cell-that-ends-its-process: IPython did not run it to its end",
    # Names that only the grader, not the comparison, finds out.
    *(f"renamed-functions: lora.{name}" for name in ("delta", "forward", "loss")),
    "scratch-calls-that-need-the-notebook: lora.loss",
    # Tensors in 64 bit, since a cell has made that the default.
    "random-numbers-and-settings-for-all: lora.init",
}
# Without the lab's experiments IPython stops where one is needed.
MORE_WITHOUT = MORE | {"leans-on-an-experiment: lora.delta"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("honest")


@pytest.fixture(scope="module")
def rows(folder, no_bubblewrap) -> dict[str, Row]:
    """The whole class graded at once, by origin."""
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


@pytest.mark.parametrize("every", [6, pytest.param(1, marks=pytest.mark.full)])
def test_ipython_gives_no_point_that_the_grader_does_not(every, rows, folder, no_bubblewrap):
    """A sixth of the class without the lab's experiments, or all of it with them."""
    if no_bubblewrap:
        pytest.skip(no_bubblewrap)
    lesson, outline = LESSONS[LAB], LabOutline.read(ROOT, LAB)
    submissions = collect(folder / "class", lesson, outline)[::every]
    by_name = {row.submission: row for row in rows.values()}
    found = list(differences(by_name, submissions, lesson, outline, experiments=every == 1))
    for earned in (re.search(r" earns (\S+) here .* and (\S+) by `check`", line) for line in found):
        assert earned is None or float(earned[1]) > float(earned[2])
    assert {line.partition(" earns")[0] for line in found} <= (MORE if every == 1 else MORE_WITHOUT)
