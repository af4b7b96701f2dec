"""Labs: one Markdown source makes the student's notebook and the executed solution.

``solutions/NN_name.md`` is a MyST notebook with the answers between ``### BEGIN SOLUTION`` and
``### END SOLUTION``. From it come

- ``labs/NN_name.ipynb``: each answer replaced by a stub that raises, no outputs;
- ``solutions/NN_name.ipynb``: with answers, executed.

Two Markdown comments are filled in: ``<!-- setup -->`` becomes the first code cell, and
``<!-- exercise: lora.delta -->`` the banner of that exercise. The next cell with markers is its
answer, the next one that calls ``check`` its check; both get nbgrader's metadata.

Everything but the outputs depends on the source alone, so two builds write the same bytes. An
answer's cell id is the exercise's slug: correcting a typo elsewhere must not orphan submissions.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peftlab.errors import PeftlabError
from peftlab.exercises import find
from peftlab.exercises.core import Exercise

if TYPE_CHECKING:
    from nbformat import NotebookNode

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
SOURCES, STUDENTS = "solutions", "labs"

# For kernels that run a lab unattended: no file beside the notebook, no progress bars in outputs.
ENVIRONMENT = {"PEFTLAB_PROGRESS": "off", "TQDM_DISABLE": "1"}
# What a solution's outputs depend on besides its own code, and where it is noted with which of
# them each solution ran last.
INPUTS = ("src", "requirements.txt")
RUNS = "_build/labs.json"

_BANNER = re.compile(r"<!-- exercise: ([\w.]+) -->")
_SETUP = "<!-- setup -->"
_CHECK = re.compile(r"^check\(\s*[\"']([\w.]+)[\"']", re.MULTILINE)
_SOLUTION = re.compile(
    rf"^([ \t]*){re.escape(BEGIN)}[ \t]*\n(.*?)^[ \t]*{re.escape(END)}[ \t]*$", re.M | re.S
)
# Lines of an answer that may well stand in other cells too.
_COMMON_LINE = re.compile(r"\W*|(try|else|finally|pass|yield|return|break|continue)\W*")
_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def sources(root: Path) -> list[Path]:
    """The sources of all labs below the repository's root, in order.

    Raises:
        PeftlabError: there are none.
    """
    found = sorted((root / SOURCES).glob("[0-9][0-9]_*.md"))
    if not found:
        raise PeftlabError(f"{root / SOURCES} holds no labs; run this in the course's repository.")
    return found


def build(root: str | Path, *, execute: bool = True) -> list[Path]:
    """Write the student's notebook and the solution of every lab.

    A solution is executed if its code, the package or the pinned versions have changed since it
    last was. What depends on none of them keeps its stored outputs.

    Args:
        root: the repository.
        execute: with False nothing runs, and only cells whose code is unchanged have outputs.

    Returns:
        The notebooks, in order. A file that would not change is not touched.

    Raises:
        PeftlabError: a source cannot be used, or a cell of a solution fails; names both.
    """
    root = Path(root)
    runs, inputs = _read_runs(root), _inputs_digest(root)
    written = []
    for source in sources(root):
        student, solution = generate(source, root)
        stored = _read(source.with_suffix(".ipynb"))
        if stored is not None:
            _keep_outputs(solution, stored)
        run = _digest("\0".join([inputs, *_code(solution)]).encode())
        if execute and not (runs.get(source.stem) == run and _is_executed(solution)):
            _execute(solution, source)
            runs[source.stem] = run
        for path, notebook in (
            (root / STUDENTS / f"{source.stem}.ipynb", student),
            (source.with_suffix(".ipynb"), solution),
        ):
            _write(path, _text(notebook))
            written.append(path)
        _write(root / RUNS, json.dumps(runs, indent=1) + "\n")
    return written


def check(root: str | Path) -> list[str]:
    """Compare the notebooks on disk with what their sources give.

    Returns:
        One line per difference, naming file and cell; empty if there is none. Outputs are not
        compared, but each code cell of a solution must have been executed.

    Raises:
        PeftlabError: a source cannot be used.
    """
    root = Path(root)
    differences = []
    for source in sources(root):
        student, solution = generate(source, root)
        student_path = root / STUDENTS / f"{source.stem}.ipynb"
        differences += _differences(student_path, student, root)
        differences += _leaks(student_path, source, root)
        differences += _differences(source.with_suffix(".ipynb"), solution, root, outputs=True)
    stems = {source.stem for source in sources(root)}
    for folder in (STUDENTS, SOURCES):
        for path in sorted((root / folder).glob("*.ipynb")):
            if path.stem not in stems:
                differences.append(f"{_name(path, root)}: has no source in {SOURCES}/; delete it")
    return differences


# --- from a source to two notebooks -------------------------------------------------------------


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
    notebooks = []
    for number, chosen in enumerate((students, cells)):
        notebook = new_notebook(cells=chosen, metadata=copy.deepcopy(_METADATA))
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

    exercise: Exercise | None = None  # whose banner came last
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
        # A stable id: where the cell is and what is in it, and nothing else.
        identity = f"{number - 1}:{cell.cell_type}:{cell.source}"
        cell["id"] = hashlib.sha1(identity.encode()).hexdigest()[:12]
        if cell.cell_type == "code":
            if BEGIN in cell.source or END in cell.source:
                if wanted != "answer":
                    raise PeftlabError(f"{where}: this answer follows no exercise banner.")
                _check_markers(cell.source, where)
                cell["id"] = exercise.slug
                cell.metadata["nbgrader"] = _nbgrader(exercise.slug, solution=True)
                wanted = "check"
            elif match := _CHECK.search(cell.source):
                if wanted != "check" or match[1] != exercise.id:
                    raise PeftlabError(f"{where}: check({match[1]!r}) follows another answer.")
                grade = _nbgrader(f"{exercise.slug}-check", points=exercise.points)
                cell.metadata["nbgrader"] = grade
                # Compared even where the rest is not, as under --nbval-lax on a GPU.
                cell.metadata["tags"] = [*cell.metadata.get("tags", []), "nbval-check-output"]
                wanted = ""
        yield cell
    if wanted:
        raise PeftlabError(f"{source.name}: {exercise.id} has no {wanted} cell.")


def _find(name: str, where: str) -> Exercise:
    try:
        return find(name)
    except PeftlabError as problem:
        raise PeftlabError(f"{where}: {problem}") from None


def _nbgrader(
    grade_id: str, *, solution: bool = False, points: int | None = None
) -> dict[str, Any]:
    """nbgrader's cell metadata, schema version 3: an answer, or a check that earns points."""
    graded = {} if points is None else {"points": points}
    return {
        "schema_version": 3,
        "grade_id": grade_id,
        "solution": solution,
        "grade": points is not None,
        "locked": not solution,
        "task": False,
        "cell_type": "code",
        **graded,
    }


def _check_markers(text: str, where: str) -> None:
    found = len(_SOLUTION.findall(text))
    if not found or not text.count(BEGIN) == text.count(END) == found:
        raise PeftlabError(f'{where}: "{BEGIN}" and "{END}" must come in pairs, on own lines.')


def _without_answer(cell: NotebookNode, source: Path, number: int) -> str:
    """The cell with a stub in place of each answer; still valid Python."""
    exercise = cell.metadata["nbgrader"]["grade_id"]
    stub = r'\1raise NotImplementedError("your code here")'
    text = _SOLUTION.sub(stub, cell.source)
    try:
        compile(text, exercise, "exec")
    except SyntaxError as problem:
        raise PeftlabError(
            f"{source.name}, cell {number} ({exercise}): without its answer this is not Python: "
            f"{problem.msg}."
        ) from None
    return text


def _setup_cell(root: Path) -> str:
    """The first code cell: installs the package on Colab, and does nothing elsewhere."""
    url = _repository_url(root)
    if url:
        comment = "# Colab installs the course here; anywhere else this cell does nothing."
        install = [f'    %pip install --quiet "peftlab @ git+{url}"']
    else:
        comment = (
            "# On Colab, upload the course's wheel when asked (`pip wheel --no-deps .` makes it);\n"
            "# anywhere else this cell does nothing."
        )
        install = [
            "    from google.colab import files",
            "",
            "    wheel = next(iter(files.upload()))",
            "    %pip install --quiet {wheel}",
        ]
    condition = 'if "google.colab" in sys.modules and not importlib.util.find_spec("peftlab"):'
    return "\n".join([comment, "import importlib.util", "import sys", "", condition, *install])


def _repository_url(root: Path) -> str:
    """``repository.url`` of ``_config.yml``, empty until the project has a public address."""
    import yaml

    path = root / "_config.yml"
    config = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return (config.get("repository") or {}).get("url") or ""


# --- executing ----------------------------------------------------------------------------------


def _execute(notebook: NotebookNode, source: Path) -> None:
    """Run a notebook in a fresh kernel and an empty folder, and keep its outputs."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError

    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            timeout=600,
            kernel_name="python3",
            resources={"metadata": {"path": folder}},
            record_timing=False,
        )
        try:
            client.execute(env={**os.environ, **ENVIRONMENT})
        except (CellExecutionError, CellTimeoutError) as problem:
            failed = next(
                (n for n, cell in enumerate(notebook.cells, 1) if _has_error(cell)),
                sum(cell.get("execution_count") is not None for cell in notebook.cells),
            )
            message = str(problem).strip().splitlines()[-1]
            raise PeftlabError(f"{source.name}, cell {failed} fails: {message}") from None
    notebook.metadata = copy.deepcopy(_METADATA)  # without the versions of this machine


def _has_error(cell: NotebookNode) -> bool:
    return any(output.output_type == "error" for output in cell.get("outputs", ()))


def _code(notebook: NotebookNode) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def _is_executed(notebook: NotebookNode) -> bool:
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    return None not in counts


def _keep_outputs(notebook: NotebookNode, stored: NotebookNode) -> None:
    """Take over the outputs of cells whose code has not changed."""
    known = {cell.source: cell for cell in stored.cells if cell.cell_type == "code"}
    for cell in notebook.cells:
        if cell.cell_type == "code" and cell.source in known:
            cell.outputs = known[cell.source].outputs
            cell.execution_count = known[cell.source].execution_count


def _read_runs(root: Path) -> dict[str, str]:
    """With which inputs each solution was executed last on this machine."""
    try:
        return dict(json.loads((root / RUNS).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def _inputs_digest(root: Path) -> str:
    """A hash of the package and the pinned versions, independent of Python's own caches."""
    digest = hashlib.sha256()
    for name in INPUTS:
        top = root / name
        files = [top] if top.is_file() else sorted(path for path in top.rglob("*"))
        for path in files:
            generated = {"__pycache__"} & set(path.parts) or ".egg-info" in str(path)
            if path.is_file() and not generated:
                digest.update(f"{_name(path, root)}\0{_digest(path.read_bytes())}\n".encode())
    return digest.hexdigest()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# --- comparing with what is on disk -------------------------------------------------------------


def _differences(
    path: Path, expected: NotebookNode, root: Path, *, outputs: bool = False
) -> Iterator[str]:
    """How a notebook differs from what was generated; ``outputs`` says that it has some."""
    name = _name(path, root)
    stored = _read(path)
    if stored is None:
        yield f"{name}: is missing or is not a notebook; run `peftlab labs build`"
        return
    if len(stored.cells) != len(expected.cells):
        yield f"{name}: has {len(stored.cells)} cells, its source gives {len(expected.cells)}"
    found = False
    for number, (cell, wanted) in enumerate(zip(stored.cells, expected.cells, strict=False), 1):
        for part in ("cell_type", "id", "source", "metadata"):
            if cell.get(part) != wanted.get(part):
                found = True
                yield f"{name}, cell {number}: {part} differs from the source's"
        if cell.cell_type == "code" and outputs and cell.execution_count is None:
            found = True
            yield f"{name}, cell {number}: was not executed; run `peftlab labs build`"
    if not found and not outputs and path.read_text(encoding="utf-8") != _text(expected):
        yield f"{name}: metadata, outputs or formatting differ from what the source gives"
    elif not found and stored.metadata != expected.metadata:
        yield f"{name}: the notebook's metadata differ from what the source gives"


def _leaks(path: Path, source: Path, root: Path) -> Iterator[str]:
    """Lines of an answer that stand in a student's notebook, wherever they come from."""
    text = source.read_text(encoding="utf-8")
    answers = {
        stripped
        for _, block in _SOLUTION.findall(text)
        for line in block.splitlines()
        if not _COMMON_LINE.fullmatch(stripped := line.strip())
    }
    stored = _read(path)
    for number, cell in enumerate(stored.cells if stored else (), 1):
        shown = cell.source + "\n" + "\n".join(str(output) for output in cell.get("outputs", ()))
        for line in shown.splitlines():
            if line.strip() in answers or BEGIN in line:
                name = _name(path, root)
                yield f"{name}, cell {number}: shows a line of an answer: {line.strip()}"


# --- files --------------------------------------------------------------------------------------


def _name(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def _read(path: Path) -> NotebookNode | None:
    """A notebook, or None if there is none that can be read."""
    import nbformat

    try:
        return nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)
    except (OSError, UnicodeDecodeError, nbformat.reader.NotJSONError, nbformat.ValidationError):
        return None


def _text(notebook: NotebookNode) -> str:
    import nbformat

    return nbformat.writes(notebook) + "\n"


def _write(path: Path, text: str) -> None:
    """Replace a file in one step; leave it alone if nothing changes."""
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
