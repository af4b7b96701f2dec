"""Grading a class: resumed, repeated in part, refused, and the same by every way of running it."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest

from peftcourse.exercises import LESSONS
from peftcourse.grading import journal, run, sandbox
from peftcourse.grading.rows import AWAITS, STOPPED
from peftlab.errors import PeftlabError

ROOT = Path(__file__).resolve().parents[3]
LAB = "03_lora"
SEED = 7

pytestmark = pytest.mark.slow
walled = pytest.mark.skipif(
    sandbox.why_no_bubblewrap() is not None,
    reason=f"bubblewrap {sandbox.why_no_bubblewrap()}",
)


def notebook(**answers):
    """The unsolved lab with some answers; an answer's name is its slug with underscores."""
    lab = nbformat.read(ROOT / "labs" / f"{LAB}.ipynb", as_version=4)
    for cell in lab.cells:
        cell.source = answers.get(cell.id.replace("-", "_"), cell.source)
    return lab


DELTA = "def lora_delta(A, B, alpha):\n    return {} * (B @ A)"
RIGHT = {"lora_delta": DELTA.format("alpha / A.shape[0]")}
WRONG = {"lora_delta": DELTA.format("alpha")}


@pytest.fixture
def classroom(tmp_path):
    """Eight submissions: right, wrong, right with a stop in between, a text, and so on."""
    folder = tmp_path / "class"
    for number in range(8):
        answers = (RIGHT, WRONG, {**RIGHT, "lora_merge": "while True: pass"})[number % 3]
        path = folder / f"learner {number}" / f"{LAB}.ipynb"
        path.parent.mkdir(parents=True)
        nbformat.write(notebook(**answers), path)
    return folder


def grade(source, out, **options):
    defaults = {"root": ROOT, "seed": SEED, "jobs": 1, "timeout": 1.0, "say": lambda text: None}
    options = defaults | options
    return run.grade(source, LAB, out, **options)


def points(rows, exercise="lora.delta"):
    return {
        row.submission: result.points
        for row in rows
        for result in row.results
        if result.exercise == exercise
    }


@walled
def test_a_killed_run_goes_on_where_it_stopped(classroom, tmp_path):
    """kill -9 in the middle, then the same command: the grades of an undisturbed run."""
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    rows = grade(classroom, undisturbed, jobs=2)
    assert points(rows) == {f"learner {n}": 0 if n % 3 == 1 else 2 for n in range(8)}
    stopped = [r for row in rows for r in row.results if r.status == STOPPED]
    assert [r.exercise for r in stopped] == ["lora.merge"] * 2

    command = [sys.executable, "-m", "peftcourse.cli", "grade", str(classroom), "--lab", LAB]
    command += ["--out", str(killed), "--seed", str(SEED), "--timeout", "1", "--jobs", "1"]
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    lines = killed / journal.ROWS
    deadline = time.monotonic() + 120
    while not (lines.is_file() and lines.read_bytes().count(b"\n") >= 3):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = lines.read_bytes().count(b"\n")
    assert done < 8
    with open(lines, "ab") as file:  # a line that the kill cut off
        file.write(b'{"submission": "learner 7", "or')

    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    for name in ("grades.csv", "lms.csv"):
        assert (killed / name).read_bytes() == (undisturbed / name).read_bytes()
    names = []
    for line in lines.read_text(encoding="utf-8").splitlines():
        try:
            names.append(json.loads(line)["submission"])
        except ValueError:
            continue
    assert sorted(names) == sorted(set(names)) and len(names) == 8


@walled
def test_only_what_changed_is_graded_again(classroom, tmp_path):
    out = tmp_path / "out"
    first = grade(classroom, out)
    lines = (out / journal.ROWS).read_text(encoding="utf-8").splitlines()
    assert len(lines) == 8
    said = []
    nbformat.write(notebook(**RIGHT), classroom / "learner 1" / f"{LAB}.ipynb")
    second = grade(classroom, out, say=said.append)
    assert len((out / journal.ROWS).read_text(encoding="utf-8").splitlines()) == 9
    assert said == ["7 of 8 submissions are graded already and have not changed."]
    assert points(second) == {**points(first), "learner 1": 2}
    # A row goes with its file, and so does all that was written from it.
    shutil.rmtree(classroom / "learner 0")
    said.clear()
    left = {name: value for name, value in points(second).items() if name != "learner 0"}
    assert points(grade(classroom, out, say=said.append)) == left
    assert "1 row goes, its file is not among the submissions any more: learner 0" in said[0]
    assert not (out / "feedback" / "learner 0.html").exists()
    assert points(grade(classroom, out)) == left


@walled
def test_a_regrade_of_one_exercise_keeps_the_rest(classroom, tmp_path):
    out = tmp_path / "out"
    before = grade(classroom, out)
    # As if another exercise had been marked by a grader with other rules.
    path = out / journal.ROWS
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for row in rows:
        for result in row["results"]:
            if result["exercise"] in ("lora.delta", "lora.count"):
                result["points"] = 1
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    after = grade(classroom, out, regrade=["lora.delta"], only=["learner 3", "learner 4"])
    expected = dict.fromkeys(points(before), 1)
    assert points(after) == {**expected, "learner 3": 2, "learner 4": 0}
    assert points(after, "lora.count") == expected
    order = [part.id for part in LESSONS[LAB].parts]
    assert all([result.exercise for result in row.results] == order for row in after)


@walled
def test_written_answers_wait_for_a_person_and_their_marks_are_merged(tmp_path):
    source, out = tmp_path / "class" / "ada.ipynb", tmp_path / "out"
    source.parent.mkdir()
    [written] = LESSONS[LAB].written
    nbformat.write(notebook(**{written.slug.replace("-", "_"): "It = depends, and =1+1"}), source)
    [row] = grade(source.parent, out)
    result = row.results[-1]
    assert (result.status, result.points, result.answer) == (AWAITS, 0, "It = depends, and =1+1")

    queue = out / "written.csv"
    with open(queue, encoding="utf-8-sig", newline="") as file:
        [line] = csv.DictReader(file)
    line |= {"points": "2", "comment": "Which numbers?"}
    with open(queue, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(line))
        writer.writeheader()
        writer.writerow(line)
    [row] = grade(source.parent, out)
    assert (row.results[-1].points, row.results[-1].comment) == (2, "Which numbers?")
    assert "Which numbers?" in (out / "feedback" / "ada.html").read_text(encoding="utf-8")

    # Under another name the file keeps its row, which is not graded again, and its mark.
    source.rename(source.with_name("ada l.ipynb"))
    said = []
    [moved] = grade(source.parent, out, say=said.append)
    assert moved == replace(row, submission="ada l", origin="ada l.ipynb")
    assert said[0] == 'note: "ada" is called "ada l" now.' and "1 of 1 submissions" in said[1]
    assert [page.name for page in (out / "feedback").iterdir()] == ["ada l.html"]
    assert "ada,lora" not in queue.read_text(encoding="utf-8-sig")


@walled
@pytest.mark.parametrize("way", ["no namespaces inside", "unsafe"])
def test_weaker_machines_give_the_same_rows(classroom, tmp_path, monkeypatch, way):
    """Where no child can make namespaces, each submission gets its own sandbox; and --unsafe."""
    for number in range(3, 8):
        shutil.rmtree(classroom / f"learner {number}")
    options = {"timeout": 3.0}
    expected = grade(classroom, tmp_path / "expected", **options)
    if way == "unsafe":
        options["unsafe"] = True
    else:
        wall = sandbox._wall
        monkeypatch.setattr(sandbox, "_wall", lambda python: [*wall(python), "--disable-userns"])
    grade(classroom, tmp_path / "out", **options)
    assert points(expected)
    for name in ("grades.csv", "lms.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "expected" / name).read_bytes()


@walled
def test_ray_gives_the_same_rows(classroom, tmp_path):
    pytest.importorskip("ray", reason="Ray is an optional extra: pip install 'peftlab[ray]'")
    grade(classroom, tmp_path / "local")
    grade(classroom, tmp_path / "ray", engine="ray")
    assert (tmp_path / "ray" / "grades.csv").read_bytes() == (
        tmp_path / "local" / "grades.csv"
    ).read_bytes()


def test_where_ubuntu_forbids_the_sandbox_it_says_how_to_allow_it(tmp_path, monkeypatch):
    program = tmp_path / "bwrap"
    program.write_text("#!/bin/sh\necho 'setting up uid map: Permission denied' >&2; exit 1\n")
    program.chmod(0o755)
    setting = tmp_path / "restrict"
    setting.write_text("1\n")
    monkeypatch.setattr(sandbox.sys, "platform", "linux")
    monkeypatch.setattr(sandbox.shutil, "which", lambda name: str(program))
    monkeypatch.setattr(sandbox, "USERNS", setting)
    ask = sandbox.why_no_bubblewrap.__wrapped__  # the answer is remembered otherwise
    why = ask()
    assert "Permission denied" in why and f"`{sandbox.ALLOW_USERNS}` allows it" in why
    setting.write_text("0\n")
    assert ask().endswith("(setting up uid map: Permission denied)")


def test_without_bubblewrap_it_says_so_and_asks_for_unsafe(classroom, tmp_path, monkeypatch):
    monkeypatch.setattr(sandbox, "why_no_bubblewrap", lambda: "is not installed")
    with pytest.raises(PeftlabError, match=r"bubblewrap.* is not installed.*--unsafe"):
        grade(classroom, tmp_path / "out")
    [row] = grade(classroom / "learner 0", tmp_path / "out", unsafe=True)
    assert row.points == 2


def test_what_cannot_be_used_is_refused_before_anything_is_graded(classroom, tmp_path):
    out = tmp_path / "out"
    for options, message in (
        ({"jobs": 0}, "0 jobs"),
        ({"timeout": 0}, "0 s is of no use"),
        ({"engine": "slurm"}, '"slurm"'),
        ({"regrade": ["lora.nothing"]}, '"lora.nothing".*lora.delta'),
        ({"only": ["learner9"]}, '"learner9".*did you mean "learner'),
        ({"lms": "ilias"}, "ilias"),
    ):
        with pytest.raises(PeftlabError, match=message):
            grade(classroom, out, **options)
    with pytest.raises(PeftlabError, match="lies in the folder of submissions"):
        grade(classroom, classroom / "out")
    with pytest.raises(PeftlabError, match="no lab is called"):
        run.grade(classroom, "99_nothing", out, root=ROOT)
    assert not (out / journal.ROWS).exists() or not (out / journal.ROWS).read_text()


def test_a_folder_belongs_to_one_lab_and_one_seed(tmp_path):
    lesson = LESSONS[LAB]
    with journal.Journal(tmp_path) as first:
        assert first.settle(lesson, None) == []
        seed = first.settings["seed"]
        assert 0 <= seed < 2**63
        with pytest.raises(PeftlabError, match="another peftlab grade"), journal.Journal(tmp_path):
            pass
    with journal.Journal(tmp_path) as again:
        assert again.settle(lesson, None) == []
        assert again.settings["seed"] == seed
        with pytest.raises(PeftlabError, match="another seed"):
            again.settle(lesson, seed + 1)
        stored = json.loads((tmp_path / journal.RUN).read_text())
        (tmp_path / journal.RUN).write_text(json.dumps({**stored, "exercises": "older"}))
        assert "exercises have changed" in again.settle(lesson, seed)[0]
        (tmp_path / journal.RUN).write_text(json.dumps({**stored, "lab": "04_practice"}))
        with pytest.raises(PeftlabError, match="grades of 04_practice"):
            again.settle(lesson, seed)
        (tmp_path / journal.RUN).write_text("{")
        with pytest.raises(PeftlabError, match="damaged"):
            again.settle(lesson, seed)
