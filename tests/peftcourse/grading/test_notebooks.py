"""Notebooks in any format and encoding are read; anything else is refused without a crash."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peftcourse.grading import notebooks
from peftcourse.grading.members import Unreadable
from peftcourse.grading.notebooks import Cell, parse

SOURCE = "# größer: α\nx = 1\n"
CELL = {"cell_type": "code", "source": SOURCE}
CONTENT = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [CELL]}


def text(content: object = CONTENT) -> str:
    return json.dumps(content, ensure_ascii=False)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_encodings_with_a_mark(encoding):
    read = parse(text().encode(encoding))
    assert read.cells[0].source == SOURCE and not read.notes


def test_encodings_without_one():
    read = parse(text().replace("α", "a").encode("cp1252"))
    assert "größer" in read.cells[0].source and "Windows-1252" in read.notes[0]
    read = parse(text().encode().replace(b"x = 1", b"x = \xff"))
    assert "größer: α" in read.cells[0].source and "1 characters" in read.notes[0]
    read = parse(text().replace("x = 1", "x = \ud800").encode("utf-16", "surrogatepass"))
    assert "1 characters" in read.notes[0] and "größer: α" in read.cells[0].source


@pytest.mark.parametrize(
    "content",
    [
        CONTENT,
        {"cells": [{"cell_type": "code", "source": SOURCE.splitlines(keepends=True)}]},
        {"cells": [{**CELL, "source": SOURCE.replace("\n", "\r\n")}, 3, None]},
        {"nbformat": 3, "worksheets": [{"cells": [{"cell_type": "code", "input": SOURCE}]}, []]},
        {"nbformat": 2, "worksheets": [{"cells": [{"cell_type": "code", "input": [SOURCE]}]}]},
        {"cells": [{**CELL, "metadata": [], "id": 7, "outputs": "none"}], "metadata": "?"},
        {"cells": [{**CELL, "source": [SOURCE, 1, None]}], "metadata": {"kernelspec": 1}},
    ],
)
def test_formats(content):
    assert parse(text(content).encode()).cells[0] == Cell("code", SOURCE)


def test_ids_and_another_kernel():
    cells = [
        {**CELL, "id": "a", "metadata": {"nbgrader": {"grade_id": "b"}}},
        {**CELL, "metadata": {"id": "colab"}},
        {**CELL, "id": [], "metadata": {"nbgrader": []}},
    ]
    read = parse(text({"cells": cells, "metadata": {"kernelspec": {"language": "R\n"}}}).encode())
    assert [(cell.id, cell.grade_id) for cell in read.cells] == [
        ("a", "b"),
        ("colab", ""),
        ("", ""),
    ]
    assert "for R\ufffd" in read.notes[0]


def test_json_that_is_odd_but_harmless():
    odd = '{"cells": [{"cell_type": "code", "source": "%s", "source": "a\\ud800\\ud83d\\ude00"}], '
    odd += '"x": NaN, "y": -Infinity, "z": ' + "9" * 100_000 + "}"
    (cell,) = parse(odd.encode()).cells
    assert cell.source == "a\ufffd😀"


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b" \n", "empty"),
        (b"[" * 1_000_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b"[[]," * 2_000_000, "too many parts"),
        (b"[]", "no notebook"),
        (b'{"cells": {}}', "no notebook"),
        (b"print(1)", "not a notebook"),
        (bytes(range(256)), "not a notebook"),
        (text({"cells": [CELL] * 10_001}).encode(), "more than 10,000 cells"),
        (text({"cells": [{**CELL, "source": "x" * 2**20 + "x"}]}).encode(), "characters"),
    ],
)
def test_what_is_refused(data, problem):
    with pytest.raises(Unreadable, match=problem):
        parse(data)


def test_pictures_pasted_into_a_text_do_not_count():
    picture = f"see ![p](data:image/png;base64,{'A' * 2**21}) here"
    hostile = "(data:image/" * 200_000  # quadratic for a careless pattern
    cells = [{"cell_type": "markdown", "source": picture}]
    assert parse(text({"cells": cells}).encode()).cells[0].source == "see ![p](picture 1) here"
    with pytest.raises(Unreadable, match="characters"):
        parse(text({"cells": [{"cell_type": "markdown", "source": hostile}]}).encode())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["cells", "worksheets", "source", "metadata", "nbgrader", "id"]), inner
        )
    ),
    max_leaves=12,
)


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_arbitrary_bytes_are_read_or_refused(data):
    try:
        read = parse(data)
    except Unreadable as problem:
        assert str(problem).isprintable()
    else:
        for cell in read.cells:
            cell.source.encode()


@given(JSON, st.lists(JSON, max_size=3))
def test_arbitrary_cells_are_read_or_refused(metadata, cells):
    data = json.dumps({"cells": cells, "metadata": metadata}).encode()
    assert len(parse(data).cells) == sum(isinstance(cell, dict) for cell in cells)


def test_bounds_are_those_of_honest_notebooks():
    honest = {"cells": [CELL] * 300, "outputs": [[0.5] * 1000] * 1000}
    assert len(parse(text(honest).encode()).cells) == 300
    assert 300 * len(SOURCE) < notebooks.MAX_SOURCE
