"""Outputs are dropped before anything is parsed, however large they are; nothing else changes."""

import json

import pytest
from grading.cases.notebooks import LAB, ROOT, Notebook, solved
from hypothesis import given
from hypothesis import strategies as st

from peftcourse.exercises.registry import LESSONS
from peftcourse.grading import outputs, provenance
from peftcourse.grading.members import Unreadable
from peftcourse.grading.notebooks import parse
from peftcourse.grading.outline import LabOutline
from peftcourse.grading.outputs import without_outputs

TRAPS = ["outputs", '"outputs": [', "\\", '"', "]", "[", "é", '\\"outputs\\": [']
KEYS = st.sampled_from(["outputs", "source", "x", '"outputs"'])
JSON = st.recursive(
    st.none() | st.integers() | st.sampled_from(TRAPS) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


def emptied(value):
    if isinstance(value, list):
        return [emptied(one) for one in value]
    if isinstance(value, dict):
        return {
            key: [] if key == "outputs" and isinstance(one, list) else emptied(one)
            for key, one in value.items()
        }
    return value


@given(JSON, st.sampled_from([None, 1]), st.booleans())
def test_exactly_the_outputs_are_emptied(value, indent, ascii_only):
    data = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode()
    assert json.loads(without_outputs(data)) == emptied(value)


@given(st.binary())
def test_damaged_bytes_do_no_harm(data):
    without_outputs(data)
    without_outputs(b'{"outputs": [' + data)


OUTPUTS = {  # written here as JSON, which takes a moment for so much of it
    "a picture": lambda: b'{"data": {"image/png": "' + b"A" * 50_000_000 + b'"}}',
    "numbers": lambda: b"[" + b"0.123456789, " * 4_000_000 + b"0]",
    "a log": lambda: b"[" + b'"step 1: loss 0.123, and so on for a while\\n", ' * 1_100_000 + b"1]",
}


def _large(kind: str) -> bytes:
    notebook = solved()
    if kind == "an attachment":
        notebook.cells[0]["attachments"] = {"a.png": {"image/png": "A" * 50_000_000}}
        return notebook.bytes()
    cell = next(cell for cell in notebook.cells if cell["cell_type"] == "code")
    cell["outputs"] = ["@"]
    return notebook.bytes().replace(b'"@"', OUTPUTS[kind]())


@pytest.mark.parametrize("kind", ["a picture", "numbers", "a log", "an attachment"])
def test_a_notebook_of_50_mb_is_read(kind):
    data = _large(kind)
    assert len(data) > 45_000_000
    cells = parse(data).cells
    expected = [cell.source for cell in parse(solved().bytes()).cells]
    if kind == "an attachment":
        expected[0] += "\n(picture 1)"
    assert [cell.source for cell in cells] == expected


@pytest.mark.parametrize(
    "data",
    [
        b'{"outputs":[' + b"[" * 300_000,
        b'{"cells":[' + b'"",' * 300_000,
        b'{"cells":[],"x":[' + b"1," * 300_000,
    ],
)
def test_what_would_take_too_long_is_refused(data, monkeypatch):
    monkeypatch.setattr(outputs, "MAX_PARTS", 100_000)
    monkeypatch.setattr(outputs, "MAX_BETWEEN", 100_000)
    with pytest.raises(Unreadable, match="too many"):
        without_outputs(data)


def test_quotes_without_end_are_read_in_one_go():
    data = b'{"x": "' + b'\\"' * 2_000_000
    assert without_outputs(data) == data


# --- which lab, and which release -----------------------------------------------------------------


@pytest.mark.parametrize("name", LESSONS)
def test_a_lab_knows_its_own_cells_and_its_own_name(name):
    lab = LabOutline.read(ROOT, name)
    cells = parse((ROOT / "labs" / f"{name}.ipynb").read_bytes()).cells
    assert all(provenance.whose(cell, lab) is provenance.Whose.LAB for cell in cells)
    assert provenance.notes(cells, LESSONS[name], lab) == []
    assert len(cells) < provenance.MAX_PLACES
    other = LESSONS["01_memory" if name != "01_memory" else "02_rank"]
    assert provenance.another_lab(cells, other) == name
    assert provenance.another_lab(cells, LESSONS[name]) == ""


def test_a_notebook_of_another_release_is_named():
    """As the same lab looks to a grader whose lab has other words, and one exercise more."""
    lab, lesson = LabOutline.read(ROOT, LAB), LESSONS[LAB]
    notebook = Notebook()
    notebook.content["cells"] = [
        cell
        for cell in notebook.cells
        if "lora.merge" not in "".join(cell["source"]) and cell["id"] != "lora-merge"
    ]
    cells = parse(notebook.bytes()).cells
    first = next(cell for cell in cells if cell.kind == "markdown")
    newer = LabOutline(**{**vars(lab), "sources": lab.sources - {first.source.strip()}})
    [note] = provenance.notes(cells, lesson, newer)
    assert "another release of the lab: 1 of the lab's cells differ" in note
    assert note.endswith("it does not ask lora.merge")
