"""Attacks of what runs cells: each has its row and what it deserves, and nobody else loses any."""

from __future__ import annotations

import pytest
from grading.cases.hostile import CASES as WITH_CONTROL
from grading.cases.hostile.kernel import CASES, Case
from grading.cases.notebooks import LAB, ROOT, solved

from peftcourse.exercises import EXERCISES
from peftcourse.grading.rows import GRADED, UNJUDGED, Row
from peftcourse.grading.run import grade

pytestmark = pytest.mark.slow
SEED = 8_675_309_867_530_986


@pytest.fixture(scope="module")
def graded(tmp_path_factory, bubblewrap) -> tuple[dict[str, Row], str]:
    """The rows by file, and all that the grader wrote for people."""
    folder = tmp_path_factory.mktemp("kernel")
    (folder / "class").mkdir()
    for number, case in enumerate(CASES):
        (folder / "class" / f"{number}.ipynb").write_bytes(case.notebook().bytes())
    (folder / "class" / "victim.ipynb").write_bytes(solved().bytes())
    options = {"seed": SEED, "timeout": 2.0, "budget": 20.0, "jobs": 2}
    rows = grade(folder / "class", LAB, folder / "out", root=ROOT, **options)
    written = [
        path.read_text(encoding="utf-8")
        for path in (folder / "out").rglob("*")
        if path.is_file() and path.name != "run.json"
    ]
    return {row.origin: row for row in rows}, "".join(written)


def test_there_are_enough_of_them():
    assert len(CASES) + len(WITH_CONTROL) >= 160
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_it_earns_what_it_deserves(graded, case: Case):
    row = graded[0][f"{CASES.index(case)}.ipynb"]
    assert row.state == GRADED
    points = {result.exercise for result in row.results if result.points}
    assert points - {"lora.count"} == case.earned - {"lora.count"}
    if "lora.count" in case.earned:
        assert "lora.count" in points, row
    assert UNJUDGED not in {result.status for result in row.results}


def test_the_others_keep_their_points(graded):
    assert graded[0]["victim.ipynb"].points == sum(
        EXERCISES[result.exercise].points
        for result in graded[0]["victim.ipynb"].results
        if result.exercise != "lora.report"
    )


def test_nothing_got_through_and_the_seed_is_nowhere(graded):
    # Each attack is quoted on its own page, so that its own text does not count.
    assert "RuntimeError: BREACH" not in graded[1]
    assert str(SEED) not in graded[1]
