"""An answer is found wherever the learner has put it, and a copied stub never displaces it."""

import copy
import json
from pathlib import Path

import pytest

from peftcourse.exercises.registry import LESSONS
from peftcourse.grading.matching import match
from peftcourse.grading.notebooks import parse
from peftcourse.grading.outline import LabOutline
from peftlab.errors import PeftlabError

ROOT = Path(__file__).resolve().parents[3]
LESSON = LESSONS["03_lora"]
LAB = LabOutline.read(ROOT, "03_lora")
HANDED_OUT = json.loads((ROOT / "labs" / "03_lora.ipynb").read_text(encoding="utf-8"))
DELTA = "def lora_delta(A, B, alpha):\n    return alpha / A.shape[0] * B @ A"
STUB = LAB.stubs["lora.delta"]


class Lab:
    """The lab's cells, to be spoilt."""

    def __init__(self) -> None:
        self.cells = copy.deepcopy(HANDED_OUT["cells"])

    def place(self, cell_id: str) -> int:
        return next(i for i, cell in enumerate(self.cells) if cell.get("id") == cell_id)

    def cell(self, cell_id: str = "lora-delta") -> dict:
        return self.cells[self.place(cell_id)]

    def code(self, source: str, at: int | None = None, **more: object) -> None:
        cell = {"cell_type": "code", "metadata": {}, "source": source, **more}
        self.cells.insert(len(self.cells) if at is None else at, cell)

    def match(self):
        return match(parse(json.dumps({"cells": self.cells}).encode()).cells, LESSON, LAB)

    def delta(self) -> tuple[str | None, str]:
        found = self.match()
        assert all(note.startswith("answer to lora.delta: ") for note in found.notes)
        return found.by_exercise.get("lora.delta"), " ".join(found.notes)


@pytest.fixture
def lab():
    return Lab()


def test_outline_of_the_lab():
    assert list(LAB.targets) == [exercise.id for exercise in LESSON.exercises]
    assert LAB.targets["lora.forward"] == "LoRALinear"
    assert "raise NotImplementedError" in STUB
    setup = "\n".join(LAB.own.values())
    imports = {"import math", "import contextlib", "from torch import Tensor, nn"}
    assert imports <= set(setup.split("\n"))
    assert "import peftlab" not in setup and "def gradients(" in setup and "guess = None" in setup
    assert {"model", "history", "peftlab"} <= LAB.absent
    assert not LAB.absent & {"math", "gradients", "guess", "parameter"}
    with pytest.raises(PeftlabError, match="no lab is called"):
        LabOutline.read(ROOT, "99_nothing")
    with pytest.raises(PeftlabError, match="grade in a clone"):
        LabOutline.read(ROOT / "src", "03_lora")


def test_an_untouched_lab(lab):
    found = lab.match()
    assert found.by_exercise == {
        exercise.id: LAB.stubs[exercise.id] for exercise in LESSON.exercises
    }
    assert found.notes == []


def test_an_answer_in_its_place_and_the_cells_around_it(lab):
    lab.cell()["source"] = DELTA
    lab.code("helper = 1")
    lab.cell("lora-delta")["metadata"]["collapsed"] = True
    found = lab.match()
    assert found.by_exercise["lora.delta"] == DELTA
    assert found.notes == []


def test_grade_id_without_cell_id_and_the_other_way_round(lab):
    lab.cell()["source"] = DELTA
    for cell in lab.cells:
        cell["id"] = "x"
    assert lab.delta() == (DELTA, "")
    other = Lab()
    other.cell()["source"] = DELTA
    other.cell()["metadata"] = {}
    assert other.delta() == (DELTA, "")


def test_a_deleted_or_renamed_cell_is_found_by_name(lab):
    lab.cells.pop(lab.place("lora-delta"))
    assert lab.delta() == (None, "")
    lab.code("x = 1\n" + DELTA)
    answer, notes = lab.delta()
    assert answer == "x = 1\n" + DELTA and "found by its name, lora_delta" in notes


@pytest.mark.parametrize("stub_last", [True, False])
def test_of_copies_the_last_one_filled_in_counts(lab, stub_last):
    place = lab.place("lora-delta")
    metadata = lab.cell()["metadata"]
    for source in ("def lora_delta(): pass", DELTA + "\n") + (STUB,) * stub_last:
        place += 1
        lab.code(source, place, metadata=metadata)
    answer, notes = lab.delta()
    assert answer == DELTA + "\n" and "the last one filled in counts" in notes


def test_a_cell_that_no_longer_defines_the_answer_gives_way(lab):
    lab.cell()["source"] = "import math"
    lab.code(DELTA)
    assert lab.delta()[0] == DELTA
    alone = Lab()
    alone.cell()["source"] = DELTA.replace("lora_delta", "my_delta")
    assert "my_delta" in alone.delta()[0]
    by_value = Lab()
    by_value.cell()["source"] = "lora_delta = lambda A, B, alpha: alpha / len(A) * B @ A"
    by_value.code("def lora_delta(): 'a trial'")
    assert "lambda" in by_value.delta()[0]


def test_the_code_that_is_shown_is_the_last_that_gives_the_name_a_value(lab):
    assert lab.match().code["lora.delta"] == STUB
    lab.code("lora_delta = lambda A, B, alpha: alpha / len(A) * B @ A")
    assert lab.match().code["lora.delta"].startswith("lora_delta = lambda")
    lab.code("print(lora_delta)\nlora_delta_2 = 1")
    assert lab.match().code["lora.delta"].startswith("lora_delta = lambda")
    lab.cell()["source"] = DELTA
    assert lab.match().code["lora.delta"].startswith("lora_delta = lambda")
    lab.cells.pop()
    lab.cells.pop()
    assert lab.match().code["lora.delta"] == DELTA


def test_an_answer_written_below_the_untouched_stub(lab):
    lab.code(DELTA)
    lab.code("    def lora_delta(): pass\nlora_delta_2 = 1\ndef lora_delta2(): pass")
    answer, notes = lab.delta()
    assert answer == DELTA and "outside its answer cell" in notes


@pytest.mark.parametrize("kind", ["markdown", "raw", "unknown", None])
def test_code_in_a_cell_of_another_kind_is_no_answer(lab, kind):
    lab.cell().update(cell_type=kind, source=DELTA)
    answer, notes = lab.delta()
    assert answer is None and "not a code cell" in notes
    lab.code(DELTA)
    assert lab.delta()[0] == DELTA


def test_an_emptied_cell_is_no_answer(lab):
    lab.cell()["source"] = " \n"
    assert lab.delta()[0] is None


def test_checks_tell_nothing(lab):
    for cell in lab.cells:
        if str(cell.get("id")) and "check(" in "".join(cell["source"]):
            cell["source"] = "print('full marks')"


def test_source_that_would_crash_a_compiler_is_only_text(lab):
    bomb = "(" * 200_000 + "\0"
    lab.cell()["source"] = bomb
    assert lab.delta()[0] == bomb


@pytest.mark.parametrize("written", LESSON.written, ids=lambda written: written.id)
def test_written_answers(written, lab):
    cell = lab.cell(written.slug)
    assert written.id not in lab.match().by_exercise
    cell["source"] = ["Rank 8 ", "beats rank 1."]
    assert lab.match().by_exercise[written.id] == "Rank 8 beats rank 1."
    cell["source"] = "\n"
    assert written.id not in lab.match().by_exercise


@pytest.mark.parametrize("placeholder", [True, False])
@pytest.mark.parametrize("written", LESSON.written, ids=lambda written: written.id)
def test_a_written_answer_below_its_place(written, placeholder, lab):
    place = lab.place(written.slug)
    for text in ("second", "first"):
        lab.code(text, place + 1, cell_type="markdown")
    if not placeholder:
        lab.cells.pop(place)
    found = lab.match()
    assert found.by_exercise[written.id] == "first\n\nsecond"
    assert f"answer to {written.id}: found below" in found.notes[0]
