"""Of several notebooks of one learner one counts, by one rule, in every output."""

import csv
import itertools

import pytest
from graded import row
from grading.cases.notebooks import LAB, ROOT, Notebook, solved

from peftcourse.exercises.registry import LESSONS
from peftcourse.grading.attempts import Attempt, Names, counting
from peftcourse.grading.outline import LabOutline
from peftcourse.grading.reports import write_all
from peftcourse.grading.rows import ANOTHER_LAB, NO_NOTEBOOK, UNREADABLE
from peftcourse.grading.submissions import collect

LESSON = LESSONS[LAB]
OUTLINE = LabOutline.read(ROOT, LAB)
RIGHT, EMPTY = solved().bytes(), Notebook().bytes()
OTHER_LAB = (ROOT / "labs" / "04_practice.ipynb").read_bytes()
MOODLE = "Ada Lovelace_7_assignsubmission_file_"


def handed_in(folder, files):
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return collect(folder, LESSON, OUTLINE)


CASES = {
    "Canvas's later upload": {
        "ada_7_1001_03_lora.ipynb": EMPTY,
        "ada_LATE_7_1002_03_lora-1.ipynb": RIGHT,
    },
    "the later of two copies": {
        "ada_7_998_03_lora-2.ipynb": EMPTY,
        "ada_7_1003_03_lora-1.ipynb": RIGHT,
    },
    "the lab's name before a later other one": {
        "ada_7_1001_03_lora.ipynb": RIGHT,
        "ada_7_1002_scratch.ipynb": EMPTY,
    },
    "one that can be read before a later one": {
        "ada_7_1001_03_lora.ipynb": RIGHT,
        "ada_7_1002_03_lora-1.ipynb": b"{",
    },
    "this lab's before another's": {
        "ada_7_1001_mine.ipynb": RIGHT,
        "ada_7_1002_03_lora.ipynb": OTHER_LAB,
    },
    "Moodle: the lab's very name": {
        f"{MOODLE}/03_lora.ipynb": RIGHT,
        f"{MOODLE}/03_lora-Copy1.ipynb": EMPTY,
    },
    "Moodle: the last by name": {f"{MOODLE}a.ipynb": EMPTY, f"{MOODLE}b.ipynb": RIGHT},
    "Moodle: in folders": {
        f"{MOODLE}/old/03_lora.ipynb": EMPTY,
        f"{MOODLE}/renamed/03_lora.ipynb": RIGHT,
    },
    "in two sections": {
        f"mon/{MOODLE}/03_lora (1).ipynb": EMPTY,
        f"tue/{MOODLE}/03_lora.ipynb": RIGHT,
        "tue/Ben_8_assignsubmission_file_/03_lora.ipynb": EMPTY,
    },
}


@pytest.mark.parametrize("files", CASES.values(), ids=CASES)
def test_one_notebook_of_a_learner_counts(files, tmp_path):
    found = handed_in(tmp_path / "class", files)
    [one] = [one for one in found if one.person.number == "7"]
    assert one.problem is None and one.answers["lora.delta"] != OUTLINE.stubs["lora.delta"]
    # And it is one in every file that is written.
    rows = [row(one.name, person=one.person, origin=one.origin, notes=one.notes)]
    write_all(rows, LESSON, tmp_path / "out")
    for name in ("grades.csv", "lms.csv", "written.csv"):
        with open(tmp_path / "out" / name, encoding="utf-8-sig", newline="") as file:
            assert len(list(csv.DictReader(file))) == 1
    assert len(list((tmp_path / "out" / "feedback").iterdir())) == 1


def test_the_row_says_what_was_not_looked_at(tmp_path):
    [one] = handed_in(tmp_path / "class", CASES["Canvas's later upload"])
    assert one.origin == "ada_LATE_7_1002_03_lora-1.ipynb"
    assert "of 2 notebooks this one counts; not looked at: “ada_7_1001_03_lora.ipynb”" in one.notes


def test_the_rule_does_not_depend_on_the_order():
    """Whatever order a file system gives."""
    names = Names(LAB)
    attempts = [
        Attempt(name, (name, str(number)), number, usable)
        for name in ("03_lora", "03_LoRA (2)", "x")
        for number in (0, 5)
        for usable in (True, False)
    ]
    best = counting(attempts, names)
    assert (best.name, best.number, best.usable) == (
        "03_LoRA (2)",
        5,
        True,
    ) or best.name == "03_lora"
    for few in itertools.permutations(attempts[:5]):
        assert counting(few, names) == counting(attempts[:5], names)


def test_what_is_not_this_labs_notebook_is_called_what_it_is(tmp_path):
    files = {
        "other.ipynb": OTHER_LAB,
        "broken.ipynb": b"{",
        "report.pdf": b"%PDF",
        f"{MOODLE}/readme.txt": b"sorry",
        "blank.ipynb": b'{"cells": [], "nbformat": 4, "metadata": {}}',
    }
    found = {one.name: one for one in handed_in(tmp_path / "class", files)}
    states = {name: one.state for name, one in found.items()}
    assert states["other"] == ANOTHER_LAB and states["broken"] == UNREADABLE
    assert states["report.pdf"] == states["Ada Lovelace_7"] == NO_NOTEBOOK
    assert found["other"].problem.startswith("it is the notebook of lab 04_practice: hand in")
    assert found["Ada Lovelace_7"].person.name == "Ada Lovelace"
    assert found["Ada Lovelace_7"].origin == MOODLE
    assert "none of the places for answers" in found["blank"].notes[0]


def test_an_answer_that_may_stand_in_another_file_waits_for_somebody_to_open_it(tmp_path):
    files = {
        f"{MOODLE}/03_lora.ipynb": RIGHT,
        f"{MOODLE}/my report.docx": b"PK",
        "Ben_8_assignsubmission_file_/03_lora.ipynb": RIGHT,
        "Ben_8_assignsubmission_file_/progress.json": b"{}",
    }
    ada, ben = handed_in(tmp_path / "class", files)
    [words] = ada.words.values()
    assert "“my report.docx”" in words.text and "nobody has read it" in words.text
    assert any("“my report.docx”" in note for note in ada.notes)
    assert [one.text for one in ben.words.values()] == [""] and ben.notes == ()
