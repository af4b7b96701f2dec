"""A made-up class is what it says: the same for a seed, of plausible learners, with one loop."""

import hashlib
import json
from collections import Counter

import nbformat
import pytest

from benchmarks import classroom
from peftcourse.exercises import LESSONS
from peftlab.errors import PeftlabError

LESSON = LESSONS["03_lora"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("class") / "class"
    return folder, classroom.generate(folder, size=40, seed=3)


def digests(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_seed_decides_everything(tmp_path):
    first, again, other = (tmp_path / name for name in ("first", "again", "other"))
    learners = classroom.generate(first, size=4, seed=1)
    assert classroom.generate(again, size=4, seed=1) == learners
    assert digests(first) == digests(again)
    assert classroom.generate(other, size=4, seed=2) != learners


def test_each_notebook_is_the_lab_with_the_learners_answers(made):
    folder, learners = made
    lab = nbformat.read(classroom.ROOT / "labs/03_lora.ipynb", as_version=4)
    slugs = {part.slug: part.id for part in LESSON.parts}
    assert {learner.origin for learner in learners} == {
        path for path in digests(folder) if path.endswith(".ipynb")
    }
    for learner in learners:
        notebook = nbformat.read(folder / learner.origin, as_version=4)
        nbformat.validate(notebook)
        for cell, given in zip(notebook.cells, lab.cells, strict=True):
            assert (cell.id, cell.metadata) == (given.id, given.metadata)
            answer = learner.answers.get(slugs.get(cell.id))
            assert cell.source == (given.source if answer is None else answer.source)
    ran = [
        any(c.get("outputs") for c in nbformat.read(folder / x.origin, 4).cells) for x in learners
    ]
    assert 0 < sum(ran) < len(learners)


def test_exactly_one_answer_never_ends(made):
    kinds = Counter(answer.kind for learner in made[1] for answer in learner.answers.values())
    assert kinds[classroom.ENDLESS] == 1
    assert sum(learner.endless for learner in made[1]) == 1


def test_learners_are_plausible():
    """Most answers are right, hard exercises less often; who is good at one is good at others."""
    learners = classroom.draw(size=3000, seed=0, lesson=LESSON.name)
    kinds = Counter(answer.kind for learner in learners for answer in learner.answers.values())
    total = kinds.total()
    assert 0.6 < kinds[classroom.RIGHT] / total < 0.8
    assert kinds[classroom.WRONG] > kinds[classroom.STUB] > kinds[classroom.RAISES]
    assert kinds[classroom.RAISES] > kinds[classroom.NOT_PYTHON] > 0.005 * total

    def solved(learner, exercise):
        return learner.answers[exercise.id].kind == classroom.RIGHT

    exercises = sorted(LESSON.exercises, key=lambda exercise: exercise.difficulty)
    easiest, hardest = exercises[0], exercises[-1]
    good = [learner for learner in learners if solved(learner, easiest)]
    weak = [learner for learner in learners if not solved(learner, easiest)]
    assert len(good) > sum(solved(learner, hardest) for learner in learners)
    share = [sum(solved(x, hardest) for x in group) / len(group) for group in (good, weak)]
    assert share[0] > share[1] + 0.1
    mutants = Counter(learner.answers[easiest.id].mutant for learner in learners)
    assert all(mutants[mutant.id] for mutant in easiest.mutants)


def test_points_are_those_of_right_answers(made):
    for learner in made[1]:
        for exercise in LESSON.exercises:
            answer = learner.answers[exercise.id]
            right = answer.kind == classroom.RIGHT
            assert answer.points == (exercise.points if right else 0)
            assert (answer.mutant is not None) == (answer.kind == classroom.WRONG)
        for written in LESSON.written:
            assert learner.answers[written.id].points == 0


def test_progress_beside_a_notebook_is_what_the_lab_writes(made, monkeypatch, tmp_path):
    folder, learners = made
    found = list(folder.rglob("progress.json"))
    assert 0 < len(found) < len(learners)
    by_folder = {(folder / learner.origin).parent: learner for learner in learners}
    for path in found:
        monkeypatch.setenv("PEFTLAB_PROGRESS", str(path))
        entries, note = classroom.record.read()
        assert not note and entries == json.loads(path.read_text("utf-8"))["exercises"]
        for exercise, answer in by_folder[path.parent].answers.items():
            solved = bool(entries.get(exercise, {}).get("solved"))
            assert solved == (answer.kind == classroom.RIGHT and exercise not in written_ids())


def written_ids():
    return {written.id for written in LESSON.written}


def test_a_folder_in_use_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("kept", "utf-8")
    with pytest.raises(PeftlabError, match="not empty"):
        classroom.generate(tmp_path, size=2)
    with pytest.raises(PeftlabError, match="size of 1"):
        classroom.draw(size=0, seed=0, lesson=LESSON.name)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
