"""A pytest plugin that says how far a run is: a bar on a terminal, a line now and then in a log.

    python -m pytest -q -p tools.progress PATH ...

It takes the place of pytest's dots, and names a test that fails at once. What pytest says at the
end, with every failure in full, stays as it is.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tqdm import tqdm

LINE_EVERY = 60.0  # seconds between two lines of a log, if no notebook is finished earlier
BAR = "   {bar:20} {n_fmt} of {total_fmt} {unit}, {elapsed}, {remaining} left  {desc}"


def minutes(seconds: float) -> str:
    """A time as a reader wants it: 41 s, 2 min 5 s."""
    whole, rest = divmod(round(seconds), 60)
    return f"{whole} min {rest} s" if whole else f"{rest} s"


class Progress:
    """Counts what is done in a run, whether in this process or in those of pytest-xdist."""

    def __init__(self) -> None:
        self.left: Counter[str] = Counter()  # by file: tests or cells that have not run yet
        self.seconds: Counter[str] = Counter()  # by file
        self.running: dict[str, str] = {}  # by process: the file that it is at
        self.total = self.failed = 0
        self.over = False
        self.started = self.said = time.monotonic()
        self.bar: tqdm | None = None

    # --- how many there are -----------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Before workers start, of which pytest-xdist would tell in lines of its own."""
        session.config.pluginmanager.unregister(name="terminaldistreporter")
        if workers := session.config.pluginmanager.getplugin("dsession"):
            workers.terminal = None

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.begin([item.nodeid for item in session.items])

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: Sequence[str]) -> None:
        self.begin(ids)

    def begin(self, ids: Sequence[str]) -> None:
        """Called by each process of pytest-xdist, with the same ids."""
        if self.total:
            return
        self.total = len(ids)
        self.left = Counter(_file(name) for name in ids)
        self.cells = all(name.endswith(".ipynb") for name in self.left)
        self.files = len(self.left)
        self.unit = "cells" if self.cells else "tests"
        if sys.stdout.isatty():
            self.bar = tqdm(
                total=self.total,
                unit=self.unit,
                bar_format=BAR,
                file=sys.stdout,
                leave=False,
                dynamic_ncols=True,
                disable=False,  # the tests themselves switch bars off through the environment
            )

    # --- what is done -----------------------------------------------------------------------------

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        file = _file(report.nodeid)
        node = getattr(report, "node", None)
        self.running[node.gateway.id if node else ""] = file
        self.seconds[file] += report.duration
        if report.failed:
            self.failed += 1
            self.say(f"FAILED {report.nodeid}")
        if report.when == "teardown":
            self.left[file] -= 1
            if self.bar is not None:
                self.bar.set_description_str(
                    " + ".join(sorted({Path(name).stem for name in self.running.values()})),
                    refresh=False,
                )
                self.bar.update()
            elif self.cells and not self.left[file]:
                done = sum(1 for count in self.left.values() if not count)
                took = minutes(self.seconds[file])
                name = "/".join(Path(file).with_suffix("").parts[-2:])
                self.say(f"{name}, {took} ({done} of {self.files})")
            elif not self.cells and time.monotonic() - self.said > LINE_EVERY:
                done = self.total - sum(self.left.values())
                passed = minutes(time.monotonic() - self.started)
                self.say(f"{done:,} of {self.total:,} tests, {passed}")

    def say(self, text: str) -> None:
        """A line of its own; a bar stays below it."""
        self.said = time.monotonic()
        if self.bar is not None:
            self.bar.write(f"   {text}", file=sys.stdout)
        else:
            print(f"   {text}", flush=True)

    # --- instead of pytest's own dots -------------------------------------------------------------

    @pytest.hookimpl(wrapper=True)
    def pytest_report_teststatus(
        self,
    ) -> Generator[None, tuple[str, str, Any], tuple[str, str, Any]]:
        category, letter, word = yield
        return (category, letter, word) if self.over else (category, "", "")

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Before pytest's closing words, which do need the names of outcomes."""
        self.over = True
        if self.bar is not None:
            self.bar.close()


def _file(name: str) -> str:
    """Of a test's id, the file: ``tests/test_wheel.py``."""
    return name.split("::")[0]


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # the main process alone has a terminal
        config.pluginmanager.register(Progress(), "peftlab-progress")
