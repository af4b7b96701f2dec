"""From a lab's source to the cells of two notebooks."""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peftcourse.exercises import find
from peftcourse.exercises.core import Exercise, Written
from peftlab.errors import PeftlabError

if TYPE_CHECKING:
    from nbformat import NotebookNode

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
# An answer with its markers; the groups are the indentation and the answer.
ANSWER = re.compile(
    rf"^([ \t]*){re.escape(BEGIN)}[ \t]*\n(.*?)^[ \t]*{re.escape(END)}[ \t]*$", re.M | re.S
)
WRITTEN = re.compile(r"<!-- answer: ([\w.]+) -->")
# What stands in a lab where the answer is written in words.
PLACEHOLDER = "*Write your answer here, in place of this line.*"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}

_BANNER = re.compile(r"<!-- exercise: ([\w.]+) -->")
_SETUP = "<!-- setup -->"
_CHECK = re.compile(r"^check\(\s*[\"']([\w.]+)[\"']", re.MULTILINE)


def generate(source: Path, root: Path) -> tuple[NotebookNode, NotebookNode]:
    """The student's notebook and the solution, both without outputs."""
    import jupytext
    import nbformat
    from nbformat.v4 import new_notebook

    parsed = jupytext.reads(source.read_text(encoding="utf-8"), fmt="md:myst")
    cells = list(_prepare(parsed.cells, source, root))
    students = copy.deepcopy(cells)
    for number, cell in enumerate(students, 1):
        if BEGIN in cell.source:
            cell.source = _without_answer(cell, source, number)
        elif cell.cell_type == "markdown" and "nbgrader" in cell.metadata:
            cell.source = PLACEHOLDER
    notebooks = []
    for number, chosen in enumerate((students, cells)):
        notebook = new_notebook(cells=chosen, metadata=copy.deepcopy(METADATA))
        try:
            nbformat.validate(notebook)
        except nbformat.ValidationError as problem:
            kind = ("student", "solution")[number]
            message = str(problem).splitlines()[0]
            raise PeftlabError(
                f"{source.name}: the {kind} notebook is not valid: {message}"
            ) from None
        notebooks.append(notebook)
    return notebooks[0], notebooks[1]


def _prepare(cells: list[NotebookNode], source: Path, root: Path) -> Iterator[NotebookNode]:
    """Fill in banners and the setup cell, set ids and nbgrader metadata."""
    from nbformat.v4 import new_code_cell

    exercise: Exercise | Written | None = None  # whose banner came last
    wanted = ""  # what has to follow it: its "answer", then its "check"
    seen: set[str] = set()
    for number, cell in enumerate(cells, 1):
        where = f"{source.name}, cell {number}"
        if cell.source.strip() == _SETUP:
            cell = new_code_cell(_setup_cell(root))
        if (match := _BANNER.search(cell.source)) and cell.cell_type == "markdown":
            if wanted:
                raise PeftlabError(f"{where}: {exercise.id} has no {wanted} cell before the next.")
            exercise = _find(match[1], where)
            if exercise.id in seen:
                raise PeftlabError(f"{where}: {exercise.id} is in this lab already.")
            seen.add(exercise.id)
            cell.source = cell.source.replace(match[0], exercise.banner())
            wanted = "answer"
        cell["id"] = cell_id(number - 1, cell.cell_type, cell.source)
        if cell.cell_type == "code":
            if BEGIN in cell.source or END in cell.source:
                if wanted != "answer" or exercise.kind != "code":
                    raise PeftlabError(f"{where}: no banner before this answer asks for code.")
                _check_markers(cell.source, where)
                cell["id"] = exercise.slug
                cell.metadata["nbgrader"] = _nbgrader(cell, exercise.slug, solution=True)
                wanted = "check"
            elif match := _CHECK.search(cell.source):
                if wanted != "check" or match[1] != exercise.id:
                    raise PeftlabError(f"{where}: check({match[1]!r}) follows another answer.")
                grade = _nbgrader(cell, f"{exercise.slug}-check", points=exercise.points)
                cell.metadata["nbgrader"] = grade
                # Compared even where the rest is not, as under --nbval-lax on a GPU.
                cell.metadata["tags"] = [*cell.metadata.get("tags", []), "nbval-check-output"]
                wanted = ""
        elif match := WRITTEN.fullmatch(cell.source.strip()):
            if wanted != "answer" or match[1] != exercise.id or exercise.kind != "written":
                raise PeftlabError(f"{where}: no banner before it asks for words on {match[1]}.")
            cell.source, cell["id"] = exercise.model_answer, exercise.slug
            grade = _nbgrader(cell, exercise.slug, solution=True, points=exercise.points)
            cell.metadata["nbgrader"] = grade
            wanted = ""
        yield cell
    if wanted:
        raise PeftlabError(f"{source.name}: {exercise.id} has no {wanted} cell.")


def cell_id(place: int, kind: str, source: str) -> str:
    """A stable id: where the cell is and what is in it, and nothing else."""
    return hashlib.sha1(f"{place}:{kind}:{source}".encode()).hexdigest()[:12]


def _find(name: str, where: str) -> Exercise | Written:
    try:
        return find(name)
    except PeftlabError as problem:
        raise PeftlabError(f"{where}: {problem}") from None


def _nbgrader(
    cell: NotebookNode, grade_id: str, *, solution: bool = False, points: int | None = None
) -> dict[str, Any]:
    """nbgrader's cell metadata, schema version 3.

    Code is an answer without points and a check with them; words are one cell that is both, which
    is how nbgrader knows that a person marks it.
    """
    graded = {} if points is None else {"points": points}
    return {
        "schema_version": 3,
        "grade_id": grade_id,
        "solution": solution,
        "grade": points is not None,
        "locked": not solution,
        "task": False,
        "cell_type": cell.cell_type,
        **graded,
    }


def _check_markers(text: str, where: str) -> None:
    found = len(ANSWER.findall(text))
    if not found or not text.count(BEGIN) == text.count(END) == found:
        raise PeftlabError(f'{where}: "{BEGIN}" and "{END}" must come in pairs, on own lines.')


def _without_answer(cell: NotebookNode, source: Path, number: int) -> str:
    """The cell with a stub in place of each answer; still valid Python."""
    exercise = cell.metadata["nbgrader"]["grade_id"]
    stub = r'\1raise NotImplementedError("your code here")'
    text = ANSWER.sub(stub, cell.source)
    try:
        compile(text, exercise, "exec")
    except SyntaxError as problem:
        raise PeftlabError(
            f"{source.name}, cell {number} ({exercise}): without its answer this is not Python: "
            f"{problem.msg}."
        ) from None
    return text


_SETUP_LINES = """\
import importlib.util
import sys

if "google.colab" in sys.modules and not importlib.util.find_spec("peftlab"):
"""
_FROM_ADDRESS = """\
# Colab installs the course here; anywhere else this cell does nothing.
{lines}\
    %pip install --quiet "peftlab[labs] @ git+{url}"
"""
_FROM_WHEEL = """\
# On Colab, upload the course's wheel when asked (`pip wheel --no-deps .` makes it);
# anywhere else this cell does nothing.
{lines}\
    from google.colab import files

    for name, content in files.upload().items():  # none if the upload is cancelled
        # Uploaded twice, a file is called "name (1).whl", which pip does not take.
        wheel = name.split(" (")[0].removesuffix(".whl") + ".whl"
        with open(wheel, "wb") as file:
            file.write(content)
        %pip install --quiet "./{{wheel}}[labs]"
    importlib.invalidate_caches()
    if not importlib.util.find_spec("peftlab"):
        print("Nothing is installed. Run this cell again, and choose the file peftlab-….whl.")
"""


def _setup_cell(root: Path) -> str:
    """The first code cell: installs what the labs import on Colab, and does nothing elsewhere."""
    url = _repository_url(root)
    text = _FROM_ADDRESS if url else _FROM_WHEEL
    return text.format(lines=_SETUP_LINES, url=url).rstrip()


def _repository_url(root: Path) -> str:
    """``repository.url`` of ``_config.yml``, empty until the project has a public address."""
    import yaml

    path = root / "_config.yml"
    config = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return (config.get("repository") or {}).get("url") or ""
