"""How a notebook is saved and handed in: versions, encodings, folders, archives."""

from __future__ import annotations

import io
import json
import zipfile

from grading.cases.honest.base import case
from grading.cases.mistakes import wrong
from grading.cases.notebooks import LAB, RIGHT, Notebook, code_cell, solved, text

from peftcourse.exercises.feedback import WRONG_VALUE
from peftcourse.grading.rows import MISSING
from peftcourse.labs.generate import cell_id


def _version_3() -> bytes:
    cells = []
    for cell in solved().cells:
        if cell["cell_type"] == "code":
            cells.append(
                {
                    "cell_type": "code",
                    "collapsed": False,
                    "input": "".join(cell["source"]),
                    "language": "python",
                    "metadata": cell["metadata"],
                    "outputs": [],
                    "prompt_number": 3,
                }
            )
        else:
            cells.append({k: cell[k] for k in ("cell_type", "metadata", "source")})
    sheet = {"cells": cells, "metadata": {}}
    content = {"metadata": {"name": ""}, "nbformat": 3, "nbformat_minor": 0, "worksheets": [sheet]}
    return json.dumps(content).encode()


def _version_4_0() -> Notebook:
    notebook = solved()
    notebook.content |= {"nbformat_minor": 0, "metadata": {}}
    for cell in notebook.cells:
        del cell["id"]
        cell["source"] = "".join(cell["source"]).splitlines(keepends=True)
    return notebook


def _with_pictures() -> Notebook:
    notebook = solved()
    picture = {"image/png": "iVBORw0KGgo" + "A" * 1_000_000, "text/plain": ["<Figure>"]}
    cells = [cell for cell in notebook.cells if cell["cell_type"] == "code"]
    for count, cell in enumerate(cells, 1):
        cell["execution_count"] = count
        cell["outputs"] = [{"name": "stderr", "output_type": "stream", "text": ["warned\n"]}]
    for cell in cells[-5:]:
        cell["outputs"] = [{"output_type": "display_data", "metadata": {}, "data": picture}]
    error = {"output_type": "error", "ename": "NameError", "evalue": "x", "traceback": ["\x1b[31m"]}
    cells[3]["outputs"].append(error)
    return notebook


def _zip(**notebooks: Notebook) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, notebook in notebooks.items():
            archive.writestr(f"{name}/{LAB}.ipynb", notebook.bytes())
    return buffer.getvalue()


def _with_outputs_of_50_mb() -> Notebook:
    notebook = solved()
    lines = ["step 1: loss 2.345, and so on for a long while\n"] * 400_000
    cell = next(cell for cell in notebook.cells if cell["cell_type"] == "code")
    cell["outputs"] = [
        {"output_type": "stream", "name": "stdout", "text": lines},
        {"output_type": "display_data", "data": {"image/png": "A" * 30_000_000}},
    ]
    return notebook


def _with_pictures_in_the_text() -> Notebook:
    notebook = solved()
    picture = {"image.png": {"image/png": "iVBORw0KGgo" + "A" * 3_000_000}}
    words = {"cell_type": "markdown", "id": "w1", "metadata": {}, "attachments": picture}
    notebook.cells.append({**words, "source": "My curves: ![curves](attachment:image.png)"})
    return notebook


def _of_another_release(*left_out: str) -> Notebook:
    """As the lab's generator would have made it from other words, and without some exercises."""
    notebook = solved()
    for place, cell in enumerate(notebook.cells):
        source = text(cell)
        if cell["cell_type"] == "markdown" and "### Exercise" not in source:
            cell["source"] = source.replace(" the ", " this ")
            cell["id"] = cell_id(place, "markdown", cell["source"])
    kept = [c for c in notebook.cells if not any(f"`{e}`" in text(c) for e in left_out)]
    notebook.content["cells"] = kept
    return notebook.delete(*left_out)


CASES = [
    case("nbformat 3", _version_3()),
    case("nbformat 4.0", _version_4_0()),
    case("UTF-16", solved().bytes("utf-16")),
    case("byte order mark", solved().bytes("utf-8-sig")),
    case("CRLF", solved().bytes().replace(b"\n", b"\r\n")),
    case("CRLF in the cells", solved(delta=RIGHT["lora.delta"].replace("\n", "\r\n"))),
    case(
        "Latin-1",
        solved().prepend("lora.delta", "# größer, été").text().encode("latin-1", errors="ignore"),
    ),
    case("pictures", _with_pictures()),
    case("50 MB of outputs", _with_outputs_of_50_mb(), whole=False),
    case("pictures in the text", _with_pictures_in_the_text(), whole=False),
    case("another release", _of_another_release(), whole=False),
    case("an older release", _of_another_release("lora.merge"), merge=MISSING),
    case("one line", json.dumps(solved().content).encode()),
    case("in folders", solved(), file=f"group 1/Zoë O'Hara/attempt-2/{LAB}.ipynb", whole=False),
    case(
        "accents and apostrophes",
        solved(),
        file="José «Pepe» d'Ávila (résumé) 李.ipynb",
        whole=False,
    ),
    case("a leading dash", solved(), file="-rf $HOME; #.ipynb", whole=False),
    case(
        "zipped",
        _zip(mia=solved(count=wrong("lora.count", "layers-forgotten"))),
        file="class-b.zip",
        origin=f"class-b.zip › mia/{LAB}.ipynb",
        count=(WRONG_VALUE, "layers-forgotten"),
    ),
    case(
        "a cell before the lab",
        (lambda n: (n.cells.insert(0, code_cell("name = 'Ada'", "me")), n)[1])(solved()),
        whole=False,
    ),
]
