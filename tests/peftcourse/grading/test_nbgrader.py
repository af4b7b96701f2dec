"""The labs in nbgrader itself: handed out, validated, graded, returned, in a folder of their own.

The base model has a single layer, by the course's own setting, so that the lab's training takes
seconds. What is checked and graded is the same.
"""

import csv
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from small_models import save_one_layer

from peftcourse.exercises import LESSONS, find

ROOT = Path(__file__).resolve().parents[3]
LESSON = LESSONS["03_lora"]
CHECKED = {f"{exercise.slug}-check": exercise.points for exercise in LESSON.exercises}
WRITTEN = {written.slug: written.points for written in LESSON.written}

# Prints what the gradebook holds of every submission, or first enters a mark for words.
GRADEBOOK = """
import json, sys
from nbgrader.api import Gradebook

lab, student, *marks = sys.argv[1:]
with Gradebook("sqlite:///gradebook.db") as book:
    for mark in marks:
        name, points = mark.split("=")
        grade = book.find_grade(name, lab, lab, student)
        grade.manual_score, grade.needs_manual_grade = float(points), False
        book.db.commit()
    [notebook] = book.find_submission(lab, student).notebooks
    print(json.dumps({
        grade.name: [grade.score, grade.max_score, grade.needs_manual_grade]
        for grade in notebook.grades
    }))
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("nbgrader") is None,
        reason="nbgrader is not installed; pip install 'peftlab[nbgrader]' adds it",
    ),
]


def solution() -> Path:
    return ROOT / "solutions" / f"{LESSON.name}.ipynb"


def lab() -> Path:
    return ROOT / "labs" / f"{LESSON.name}.ipynb"


class Course:
    """A folder with nbgrader's own layout, apart from the settings of whoever runs the tests."""

    def __init__(self, folder: Path, base: Path) -> None:
        self.folder = folder
        bin_folder = Path(sys.executable).parent  # nbgrader calls alembic by its name
        private = ("HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
        self.environment = os.environ | {
            **{name: str(folder / "private") for name in (*private, "IPYTHONDIR")},
            "PATH": f"{bin_folder}{os.pathsep}{os.environ.get('PATH', '')}",
            "PEFTLAB_MODEL": str(base),
        }
        shutil.copy(ROOT / "labs" / "nbgrader_config.py", folder)

    def put(self, notebook: Path, place: str) -> None:
        target = self.folder / place / LESSON.name / f"{LESSON.name}.ipynb"
        target.parent.mkdir(parents=True)
        shutil.copy(notebook, target)

    def get(self, place: str, suffix: str = ".ipynb") -> str:
        path = self.folder / place / LESSON.name / f"{LESSON.name}{suffix}"
        return path.read_text(encoding="utf-8")

    def run(self, *command: str) -> str:
        done = subprocess.run(
            [sys.executable, *command],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            encoding="utf-8",
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def nbgrader(self, *command: str) -> str:
        return self.run("-m", "nbgrader", *command)

    def grades(self, student: str, *marks: str) -> dict[str, list]:
        """Score, most points, and whether a person has to mark it, by cell."""
        return json.loads(self.run("-c", GRADEBOOK, LESSON.name, student, *marks))


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """The bundled model cut down to its first layer."""
    return save_one_layer(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def course(tmp_path_factory, base) -> Course:
    """A course in which one learner has handed in the solution and one the lab as it was."""
    course = Course(tmp_path_factory.mktemp("course"), base)
    course.put(solution(), "source")
    course.nbgrader("generate_assignment", LESSON.name)
    course.put(solution(), "submitted/solved")
    course.put(lab(), "submitted/unsolved")
    course.nbgrader("autograde", LESSON.name)
    return course


def test_what_nbgrader_hands_out_is_the_lab(course):
    """Cell by cell; nbgrader adds checksums to the metadata."""
    released, ours = (nbformat.reads(t, 4) for t in (course.get("release"), lab().read_text()))
    assert [(cell.id, cell.source) for cell in released.cells] == [
        (cell.id, cell.source) for cell in ours.cells
    ]
    for cell, own in zip(released.cells, ours.cells, strict=True):
        theirs = dict(cell.metadata.get("nbgrader", {}))
        theirs.pop("checksum", None)
        assert theirs == own.metadata.get("nbgrader", {})


def test_the_solution_has_full_marks_and_words_wait_for_a_person(course):
    grades = course.grades("solved")
    assert grades.keys() == CHECKED.keys() | WRITTEN.keys()
    assert {name: grades[name] for name in CHECKED} == {
        name: [points, points, False] for name, points in CHECKED.items()
    }
    assert {name: grades[name][1:] for name in WRITTEN} == {
        name: [points, True] for name, points in WRITTEN.items()
    }


def test_the_unsolved_lab_has_none_and_there_is_nothing_to_mark(course):
    assert course.grades("unsolved") == {
        name: [0, points, False] for name, points in (CHECKED | WRITTEN).items()
    }


def test_nothing_but_the_checks_of_what_is_missing_fails(course):
    for student, failing in (("solved", set()), ("unsolved", {e.id for e in LESSON.exercises})):
        notebook = nbformat.reads(course.get(f"autograded/{student}"), 4)
        cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
        assert all(cell.execution_count for cell in cells)
        failed = [c for c in cells if any(out.output_type == "error" for out in c.outputs)]
        assert {cell.source.split('"')[1] for cell in failed} == failing
        assert all(cell.source.startswith("check(") for cell in failed)


def test_marks_for_words_are_added_and_feedback_is_returned(course):
    marks = [f"{slug}={points}" for slug, points in WRITTEN.items()]
    assert not any(waits for _, _, waits in course.grades("solved", *marks).values())
    course.nbgrader("generate_feedback", LESSON.name)
    for student, status in (("solved", "correct"), ("unsolved", "not attempted")):
        page = course.get(f"feedback/{student}", ".html")
        assert all(f"{status} · {exercise.id}" in page for exercise in LESSON.exercises)
    course.nbgrader("export")
    with (course.folder / "grades.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["student_id"]: row for row in csv.DictReader(file)}
    assert {name: (float(row["score"]), float(row["max_score"])) for name, row in rows.items()} == {
        "solved": (LESSON.points, LESSON.points),
        "unsolved": (0, LESSON.points),
    }


def test_validate_tells_a_wrong_answer_from_a_right_one(course, tmp_path):
    """What a learner may run before handing in; here on the lab's first exercise."""
    delta = find("lora.delta")
    notebook = nbformat.read(solution(), 4)
    last = next(i for i, cell in enumerate(notebook.cells) if cell.id == delta.slug) + 1
    notebook.cells = notebook.cells[: last + 1]
    nbformat.write(notebook, tmp_path / "right.ipynb")
    assert "Success!" in course.nbgrader("validate", str(tmp_path / "right.ipynb"))

    answer = notebook.cells[last - 1]
    answer.source = answer.source.replace("alpha / rank", "alpha")
    nbformat.write(notebook, tmp_path / "wrong.ipynb")
    told = course.nbgrader("validate", str(tmp_path / "wrong.ipynb"))
    assert "VALIDATION FAILED ON 1 CELL" in told and "α instead of α/r?" in told
