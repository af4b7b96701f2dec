"""What ``check`` says of a notebook in IPython itself: the measure of the grader.

``python -m peftcourse.grading.in_kernel`` reads cells and exercises from standard input, runs the
cells in IPython's shell with the whole course at hand, experiments included, and writes which
exercises ``check`` calls correct. A learner's own machine does the same; here bubblewrap shows the
file system read-only and no network. Nothing here earns points: the grader alone gives them.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from peftcourse.exercises.registry import Lesson
from peftcourse.grading.outline import LabOutline
from peftcourse.grading.rows import Row
from peftcourse.grading.sandbox import NO_BUBBLEWRAP, SandboxError, why_no_bubblewrap
from peftcourse.grading.submissions import Submission

SECONDS = 900  # for one notebook


def correct_in_kernel(
    submissions: Sequence[Submission], lab: LabOutline, *, experiments: bool = True
) -> Iterator[set[str] | None]:
    """The exercises that ``check`` calls correct after IPython ran each notebook, in turn.

    Args:
        submissions: what was handed in.
        lab: the lab as it was handed out.
        experiments: whether to run the lab's own cells as they are; else their definitions alone.

    Yields:
        Their ids; None where IPython did not come to the notebook's end.

    Raises:
        SandboxError: there is no bubblewrap.
    """
    if why := why_no_bubblewrap():
        raise SandboxError(NO_BUBBLEWRAP.format(why=why))
    wall = "--unshare-all --die-with-parent --ro-bind / / --dev /dev --proc /proc --tmpfs /tmp"
    # Python and the course may themselves lie in /tmp, which is empty there.
    needed = {path for path in (sys.prefix, sys.base_prefix, *sys.path) if path.startswith("/tmp/")}
    shown = [part for path in sorted(needed) for part in ("--ro-bind-try", path, path)]
    environment = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        ["bwrap", *wall.split(), *shown, "--chdir", "/tmp", sys.executable, "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **environment},
    ) as process:
        for submission in submissions:
            cells = [
                {"source": cell.handed_in if experiments else cell.source, "target": cell.target}
                for cell in submission.cells
            ]
            asked = {"setup": [*lab.own.values()], "cells": cells, "targets": dict(lab.targets)}
            process.stdin.write(json.dumps(asked) + "\n")
            process.stdin.flush()
            correct = json.loads(process.stdout.readline() or "null")
            yield None if correct is None else set(correct)
        process.stdin.close()


def differences(
    rows: Mapping[str, Row],
    submissions: list[Submission],
    lesson: Lesson,
    lab: LabOutline,
    *,
    experiments: bool = True,
) -> Iterator[str]:
    """A line for each exercise that the grader and a kernel judge differently."""
    readable = [submission for submission in submissions if submission.problem is None]
    ran = correct_in_kernel(readable, lab, experiments=experiments)
    for submission, correct in zip(readable, ran, strict=True):
        if correct is None:
            yield f"{submission.name}: IPython did not run it to its end"
            continue
        results = {result.exercise: result for result in rows[submission.name].results}
        for exercise in lesson.exercises:
            theirs = exercise.points if exercise.id in correct else 0
            result = results[exercise.id]
            if result.points != theirs:
                yield (
                    f"{submission.name}: {exercise.id} earns {result.points:g} here "
                    f"({result.status}), and {theirs} by `check` in IPython"
                )


# --- inside ---------------------------------------------------------------------------------------


def main() -> None:
    """Run each line of standard input, a notebook, in a child; write what is correct in it."""
    import torch._dynamo  # noqa: F401, once for all children
    from IPython.core.interactiveshell import InteractiveShell  # noqa: F401

    import peftcourse  # noqa: F401

    answers = os.dup(1)
    for fd in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), fd)
    for line in sys.stdin:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            signal.alarm(SECONDS)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # the next notebook is no cell's input
            os.write(writer, json.dumps(sorted(_run(json.loads(line)))).encode())
            os._exit(0)  # no thread of the notebook's is waited for
        os.close(writer)
        with os.fdopen(reader, "rb") as told:
            correct = told.read() or b"null"
        os.waitpid(child, 0)
        os.write(answers, correct + b"\n")


def _run(asked: dict[str, Any]) -> set[str]:
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    from peftcourse.exercises import check, session

    class Shell(InteractiveShell):
        def enable_gui(self, gui: str | None = None) -> None:
            """A kernel has no event loop of its own for figures, either."""

    config = Config()
    config.HistoryManager.enabled = False
    shell = Shell.instance(config=config)
    # As its author did, who imported the course's functions before anything else.
    shell.run_cell("from peftcourse import check, hint, case, solution, progress, yours, figures")
    for source in asked["setup"]:
        shell.run_cell(source)
    for cell in asked["cells"]:
        # A stub below an answer was not run by the answer's author.
        if not cell["target"] or cell["target"] not in shell.user_ns:
            shell.run_cell(cell["source"])
    for exercise, target in asked["targets"].items():
        if target in shell.user_ns:
            check(exercise, shell.user_ns[target])
    return set(session.passed)


if __name__ == "__main__":
    main()
