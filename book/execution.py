"""Chapters as notebooks, and the cache that lets the tests and the book share one execution.

A chapter is a MyST notebook, ``book/NN_name.md``. The tests convert it to an ``.ipynb`` and run it
once; the build looks for those outputs in a jupyter-cache before it would run the chapter itself.
jupyter-cache knows a notebook by its code alone, so the cache's folder is named after everything
else that the outputs depend on: the package, the recorded results and the pinned versions.

    python -m book.execution      # run the chapters whose outputs are not in the cache

Further arguments go to pytest.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jupyter_cache.cache.main import JupyterCacheBase
    from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[1]
BOOK = ROOT / "book"
BUILD = ROOT / "_build"
NOTEBOOKS = BUILD / "notebooks"
CACHES = BUILD / ".jupyter_cache"

# What the outputs of a chapter depend on, besides its own code.
INPUTS = ("src", "results", "requirements.txt")
# Pages outside the lessons that compute what they say, in reading order.
APPENDICES = ("myths", "interview")
# Left behind by Python and setuptools; they change without the source changing.
IGNORED = {"__pycache__", ".ipynb_checkpoints"}


def chapters() -> list[Path]:
    """The chapters in reading order: every ``book/NN_name.md``, then the `APPENDICES`."""
    lessons = sorted(BOOK.glob("[0-9][0-9]_*.md"))
    return lessons + [BOOK / f"{name}.md" for name in APPENDICES]


@cache
def digest_of(names: tuple[str, ...], root: Path = ROOT) -> str:
    """A hash of files and of everything in folders.

    Args:
        names: Files and folders; those that are missing count as empty.
        root: The folder that holds them.

    Returns:
        16 hexadecimal digits. Equal digests mean equal paths and equal contents.
    """
    digest = hashlib.sha256()
    for name in names:
        top = root / name
        files = [top] if top.is_file() else sorted(p for p in top.rglob("*") if p.is_file())
        for file in files:
            parts = file.relative_to(root).parts
            if IGNORED & set(parts) or any(part.endswith(".egg-info") for part in parts):
                continue
            digest.update("/".join(parts).encode() + b"\0")
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]


def cache_path() -> Path:
    """The folder of the jupyter-cache that belongs to the present `INPUTS`."""
    return CACHES / digest_of(INPUTS)


def drop_old_caches() -> None:
    """Delete the caches of earlier versions of `INPUTS`; nothing will read them again."""
    for folder in CACHES.glob("*"):
        if folder != cache_path():
            shutil.rmtree(folder, ignore_errors=True)


def convert(chapter: Path) -> Path:
    """Write a chapter as an unexecuted notebook with the same cell ids each time.

    Args:
        chapter: A MyST notebook.

    Returns:
        The notebook's path, ``_build/notebooks/NN_name.ipynb``. A file that would not change is
        not touched.
    """
    import jupytext
    import nbformat

    notebook = jupytext.read(chapter, fmt="md:myst")
    for index, cell in enumerate(notebook.cells):
        # jupytext draws random ids; these depend on nothing but the chapter.
        identity = f"{index}:{cell.cell_type}:{cell.source}"
        cell["id"] = hashlib.sha1(identity.encode()).hexdigest()[:12]
    text = nbformat.writes(notebook) + "\n"
    path = NOTEBOOKS / f"{chapter.stem}.ipynb"
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return path


def convert_all() -> list[Path]:
    """Convert every chapter, and delete notebooks whose chapter is gone."""
    paths = [convert(chapter) for chapter in chapters()]
    for stale in set(NOTEBOOKS.glob("*.ipynb")) - set(paths):
        stale.unlink()
    return paths


def read(chapter: Path) -> NotebookNode:
    """Read a chapter exactly as the build does, so that the cache recognises it."""
    from myst_nb.core.read import read_myst_markdown_notebook
    from myst_parser.config.main import MdParserConfig

    text = chapter.read_text(encoding="utf-8")
    return read_myst_markdown_notebook(text, config=MdParserConfig(), path=chapter)


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """The cells of a notebook that run."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def open_cache() -> JupyterCacheBase:
    """The jupyter-cache at `cache_path`, made if it is missing."""
    from jupyter_cache import get_cache

    return get_cache(str(cache_path()))


def is_cached(chapter: Path) -> bool:
    """Whether the build will find this chapter's outputs and not execute it."""
    try:
        open_cache().match_cache_notebook(read(chapter))
    except KeyError:
        return False
    return True


def store(
    chapter: Path, executed: NotebookNode, outputs: Sequence[list[NotebookNode]], seconds: float
) -> None:
    """Put the outputs of an executed chapter where the build looks for them.

    Args:
        chapter: The MyST notebook.
        executed: The notebook that it was converted to and that ran.
        outputs: For each code cell of `executed`, in order, the outputs of that cell.
        seconds: How long the cells ran, for the page on the execution status.

    Raises:
        ValueError: The chapter has other code than the notebook, because it changed while that
            ran: its outputs would be wrong.
    """
    from jupyter_cache.base import CacheBundleIn

    notebook = read(chapter)
    cells = code_cells(notebook)
    if [cell.source for cell in cells] != [cell.source for cell in code_cells(executed)]:
        raise ValueError(f"{chapter.name} changed while it ran: run it again")
    for count, (cell, cell_outputs) in enumerate(zip(cells, outputs, strict=True), start=1):
        cell.execution_count = count
        cell.outputs = cell_outputs
        for output in cell_outputs:
            # The format of an execute_result repeats its cell's count.
            if output.output_type == "execute_result":
                output.execution_count = count
    # What the kernel says of itself; without it the build has no lexer to colour the code with.
    notebook.metadata["language_info"] = {"name": "python", "pygments_lexer": "ipython3"}
    # The key under which myst-nb, too, notes how long a page took.
    bundle = CacheBundleIn(notebook, str(chapter), data={"execution_seconds": seconds})
    open_cache().cache_notebook_bundle(bundle, overwrite=True)


def run(arguments: Sequence[str] = ()) -> int:
    """Run the chapters whose outputs are not in the cache, and keep the outputs of those that pass.

    Args:
        arguments: for pytest, such as ``["-n", "2"]``.

    Returns:
        pytest's exit status; 0 if there is nothing to do.
    """
    waiting = [chapter.stem for chapter in chapters() if not is_cached(chapter)]
    print(f"   {len(waiting)} of {len(chapters())} have changed since they ran last.", flush=True)
    if not waiting:
        return 0
    command = [sys.executable, "-m", "pytest", "-p", "book.nbval_cache", "--nbval-lax", *arguments]
    command += [str(NOTEBOOKS.relative_to(ROOT) / f"{name}.ipynb") for name in waiting]
    # One thread each: several chapters run at a time.
    return subprocess.call(command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"})


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
