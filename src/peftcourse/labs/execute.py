"""Run a solution in a kernel of its own, and know when that is not needed."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from peftcourse.labs.files import shown
from peftcourse.labs.generate import METADATA
from peftlab.errors import PeftlabError

if TYPE_CHECKING:
    from nbformat import NotebookNode

# For kernels that run a lab unattended: no file beside the notebook, verdicts as text, no bars,
# no advice to install ipywidgets for such bars. On a busy machine, threads that wait by spinning
# make training several times slower.
ENVIRONMENT = {
    "OMP_WAIT_POLICY": "PASSIVE",
    "PEFTLAB_PROGRESS": "off",
    "PEFTLAB_VERDICTS": "plain",
    "TQDM_DISABLE": "1",
    "PYTHONWARNINGS": "ignore:IProgress not found",
}
# What a solution's outputs depend on besides its own code, and where it is noted with which of
# them each solution ran last.
INPUTS = ("src", "requirements.txt")
RUNS = "_build/labs.json"
TIMEOUT = 600  # seconds for one cell


def execute_solution(notebook: NotebookNode, source: Path) -> None:
    """Run a notebook in a fresh kernel and an empty folder, and keep its outputs."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError

    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            timeout=TIMEOUT,
            kernel_name="python3",
            resources={"metadata": {"path": folder}},
            record_timing=False,
            coalesce_streams=True,
        )
        try:
            client.execute(env={**os.environ, **ENVIRONMENT})
        except CellExecutionError as problem:
            failed = next(n for n, cell in enumerate(notebook.cells, 1) if _has_error(cell))
            error = f"{problem.ename}: {problem.evalue}".splitlines()[0]
            raise PeftlabError(f"{source.name}, cell {failed} fails: {error}") from None
        except CellTimeoutError:
            raise PeftlabError(
                f"{source.name}: a cell ran for more than {TIMEOUT} s; make it shorter."
            ) from None
    notebook.metadata = copy.deepcopy(METADATA)  # without the versions of this machine
    for cell in notebook.cells:
        # What libraries warn of on stderr depends on the machine, too.
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]


def _has_error(cell: NotebookNode) -> bool:
    return any(output.output_type == "error" for output in cell.get("outputs", ()))


def code(notebook: NotebookNode) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def is_executed(notebook: NotebookNode) -> bool:
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    return None not in counts


def keep_outputs(notebook: NotebookNode, stored: NotebookNode) -> None:
    """Take over the outputs of cells whose code has not changed."""
    known = {cell.source: cell for cell in stored.cells if cell.cell_type == "code"}
    for cell in notebook.cells:
        if cell.cell_type == "code" and cell.source in known:
            cell.outputs = known[cell.source].outputs
            cell.execution_count = known[cell.source].execution_count


def read_runs(root: Path) -> dict[str, str]:
    """With which inputs each solution was executed last on this machine."""
    try:
        return dict(json.loads((root / RUNS).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def inputs_digest(root: Path) -> str:
    """A hash of the package and the pinned versions, independent of Python's own caches."""
    total = hashlib.sha256()
    for name in INPUTS:
        top = root / name
        files = [top] if top.is_file() else sorted(path for path in top.rglob("*"))
        for path in files:
            generated = {"__pycache__"} & set(path.parts) or ".egg-info" in str(path)
            if path.is_file() and not generated:
                total.update(f"{shown(path, root)}\0{digest(path.read_bytes())}\n".encode())
    return total.hexdigest()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
