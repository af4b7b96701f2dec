"""A pytest plugin: keeps what nbval computed, so that the book need not compute it again.

    python -m pytest -p book.nbval_cache --nbval-lax _build/notebooks

It converts the chapters to ``_build/notebooks`` before pytest collects them. When every code cell
of a chapter has run without an error, it stores their outputs in the cache that the build reads.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest
from nbformat import NotebookNode, from_dict
from nbval.plugin import IPyNbCell

from book import execution

# What each chapter's cells put out: notebook's path → number of the code cell → outputs.
_collected: dict[Path, dict[int, list[NotebookNode]]] = {}
# How long each chapter has run, in seconds.
_seconds: dict[Path, float] = {}


def pytest_configure(config: pytest.Config) -> None:
    """Convert the chapters once, in the main process, and make the cache that workers share."""
    # Read now: a source that changes while a chapter runs must not pass for the one that ran.
    execution.cache_path()
    if not hasattr(config, "workerinput"):
        execution.convert_all()
        _ = execution.open_cache().db


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep the outputs of a cell that passed; store the chapter after its last one."""
    report = yield
    if (
        isinstance(item, IPyNbCell)
        and item.path.parent == execution.NOTEBOOKS
        and report.when == "call"
        and report.passed
    ):
        cells = _collected.setdefault(item.path, {})
        _seconds[item.path] = _seconds.get(item.path, 0.0) + call.duration
        cells[item.cell_num] = [from_dict(output) for output in item.test_outputs]
        notebook = item.parent.nb
        if len(cells) == len(execution.code_cells(notebook)):
            chapter = execution.BOOK / f"{item.path.stem}.md"
            outputs = [cells[number] for number in sorted(cells)]
            execution.store(chapter, notebook, outputs, _seconds.pop(item.path))
            del _collected[item.path]
    return report
