"""Unsolved labs lose nothing but time where they run on a small model and without asserts."""

import ast
import re
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from tests.notebooks.quick_labs import LAYERS, save_narrow_base, without_asserts

ROOT = Path(__file__).resolve().parents[2]
LABS = sorted((ROOT / "labs").glob("[0-9]*.ipynb"))  # those with exercises


def test_asserts_are_left_out_and_lines_keep_their_numbers():
    source = "a = 1\nassert (\n    a == 2\n), 'no'\nfor b in (a,):\n    assert b == 2\nc = a / 0"
    left = without_asserts(source)
    assert left == "a = 1\npass\n\n\nfor b in (a,):\n    pass\nc = a / 0"
    assert without_asserts("%pip install x\nassert 1 == 2") == "%pip install x\nassert 1 == 2"


def code_cells(lab: Path) -> list[NotebookNode]:
    return [cell for cell in nbformat.read(lab, 4).cells if cell.cell_type == "code"]


@pytest.mark.parametrize("lab", LABS, ids=[lab.stem for lab in LABS])
def test_no_assert_of_a_lab_asks_for_an_answer(lab):
    """One that did would fail for a learner who has not solved the exercise yet."""
    answers = [
        cell for cell in code_cells(lab) if cell.metadata.get("nbgrader", {}).get("solution")
    ]
    definitions = (ast.FunctionDef, ast.ClassDef)
    names = {
        node.name
        for cell in answers
        for node in ast.parse(cell.source).body
        if isinstance(node, definitions)
    }
    assert names
    for cell in code_cells(lab):
        if "assert" in cell.source and cell not in answers:
            asserts = [n for n in ast.walk(ast.parse(cell.source)) if isinstance(n, ast.Assert)]
            used = {n.id for a in asserts for n in ast.walk(a) if isinstance(n, ast.Name)}
            assert not used & names, cell.source


def test_the_narrow_base_has_the_layers_that_labs_name(tmp_path):
    from peftcourse.experiments import models

    save_narrow_base(tmp_path)
    narrow, bundled = models.info(tmp_path), models.info("tiny")
    assert narrow["parameters"] < bundled["parameters"] / 8
    for same in ("vocabulary", "context", "architecture"):
        assert narrow[same] == bundled[same]
    code = "\n".join(cell.source for lab in LABS for cell in code_cells(lab))
    named = [int(number) for number in re.findall(r"\blayers(?:\.|\[)(\d+)", code)]
    assert max(named) < narrow["layers"] == LAYERS < bundled["layers"]
