"""Grading a class: peftlab's time per submission, and that of nbgrader's autograde.

    python -m benchmarks.grading

A made-up class of 300 (see ``benchmarks.classroom``) hands in lab 03. It is graded twice, each time
from nothing: without the one submission that holds an endless loop, and with it. Both times include
the start of the sandboxes and all reports. Every point given must be the one that the class was
made with, or there is no result; how many known misconceptions were named is counted.

nbgrader, the usual grader of notebooks, then autogrades a few of the same submissions; its points
must be right too. It runs each notebook as a whole, with the lab's experiments, as it has to: its
checks are cells among the others. It grades one submission after the other.
"""

from __future__ import annotations

import argparse
import csv
import importlib.metadata
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import classroom
from peftcourse.experiments import results
from peftcourse.grading import run
from peftcourse.grading.rows import Row
from peftcourse.labs.execute import ENVIRONMENT
from peftlab.errors import PeftlabError

LAB, JOBS, TIMEOUT = "03_lora", 2, 10.0
CELL_TIMEOUT = 600  # seconds; nbgrader's 30 would cut experiments short on a busy machine


def graded(source: Path, out: Path, seed: int) -> tuple[float, list[Row]]:
    """Wall seconds to grade a folder, and the rows."""
    started = time.perf_counter()
    rows = run.grade(
        source,
        LAB,
        out,
        root=classroom.ROOT,
        seed=seed,
        jobs=JOBS,
        timeout=TIMEOUT,
        progress=True,
    )
    return time.perf_counter() - started, rows


def compare(learners: list[classroom.Learner], rows: list[Row]) -> dict[str, int]:
    """Compare what was given with what is true of the class.

    Returns:
        How many ``answers`` there are, how many ``misconceptions`` among them, and how many of
        those were ``named`` by their own diagnosis.

    Raises:
        PeftlabError: an answer has no result, or not the points that it is worth.
    """
    given = {(row.origin, result.exercise): result for row in rows for result in row.results}
    counts = {"answers": 0, "misconceptions": 0, "named": 0}
    faults = []
    for learner in learners:
        for exercise, answer in learner.answers.items():
            counts["answers"] += 1
            result = given.get((learner.origin, exercise))
            if result is None:
                faults.append(f"{learner.origin} has no result for {exercise}")
                continue
            if result.points != answer.points:
                faults.append(
                    f"{learner.origin}, {exercise}: {result.points} points ({result.status}: "
                    f'{result.observed}) for an answer of the kind "{answer.kind}", worth '
                    f"{answer.points}"
                )
            if answer.mutant:
                counts["misconceptions"] += 1
                counts["named"] += result.mutant == answer.mutant
    if faults:
        raise PeftlabError("the grader is wrong:\n" + "\n".join(faults[:20]))
    return counts


def measure(
    folder: Path, learners: list[classroom.Learner], source: Path, seed: int
) -> dict[str, Any]:
    """Grade a class without and with its endless submission."""
    (endless,) = (learner for learner in learners if learner.endless)
    others = [learner for learner in learners if learner is not endless]

    home, aside = (source / endless.origin).parent, folder / "aside"
    home.rename(aside)
    without, rows = graded(source, folder / "without", seed)
    compare(others, rows)
    aside.rename(home)
    with_it, rows = graded(source, folder / "with", seed)
    counts = compare(learners, rows)
    return {
        "submissions": len(learners),
        "jobs": JOBS,
        "timeout_seconds": TIMEOUT,
        "seconds_without_endless": without,
        "seconds_with_endless": with_it,
        "endless_costs_seconds": with_it - without,
        "seconds_per_submission": without / len(others),
        "seconds_per_submission_with_endless": with_it / len(learners),
        **counts,
    }


def autograde(course: Path, learners: list[classroom.Learner], source: Path) -> dict[str, Any]:
    """Hand submissions to nbgrader's autograde, in one call.

    Raises:
        PeftlabError: nbgrader fails, or gives other points.
    """
    lab = Path(LAB) / f"{LAB}.ipynb"
    worth = {}  # by student
    for learner in learners:
        student = Path(learner.origin).parent.name
        worth[student] = sum(answer.points for answer in learner.answers.values())
        _copy(source / learner.origin, course / "submitted" / student / lab)
    _copy(classroom.ROOT / "solutions" / lab.name, course / "source" / lab)

    def nbgrader(*arguments: str) -> float:
        """Run a command of nbgrader in the course; returns its wall seconds."""
        programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "nbgrader", *arguments, "--CourseDirectory.course_id=class"],
            cwd=course,
            env={**os.environ, **ENVIRONMENT, "PATH": programs},  # it calls other programs
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise PeftlabError(f"nbgrader {arguments[0]} fails:\n{done.stderr[-2000:]}")
        return time.perf_counter() - started

    nbgrader("generate_assignment", LAB)
    seconds = nbgrader("autograde", LAB, f"--ExecutePreprocessor.timeout={CELL_TIMEOUT}")
    nbgrader("export")
    with open(course / "grades.csv", encoding="utf-8", newline="") as file:
        given = {row["student_id"]: float(row["raw_score"]) for row in csv.DictReader(file)}
    if given != worth:
        raise PeftlabError(f"nbgrader gave {given} points for answers worth {worth}.")
    return {
        "version": importlib.metadata.version("nbgrader"),
        "submissions": len(learners),
        "seconds": seconds,
        "seconds_per_submission": seconds / len(learners),
    }


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True)
    shutil.copy(source, target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", type=int, default=300, help="submissions (default 300)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--nbgrader", type=int, default=3, help="submissions that nbgrader grades (default 3)"
    )
    parser.add_argument("--out", default="results/grading.json")
    arguments = parser.parse_args()
    if arguments.size < 2:
        parser.error("a class needs one submission that ends and one that does not: --size 2")

    with tempfile.TemporaryDirectory() as name:
        folder, source = Path(name), Path(name) / "class"
        learners = classroom.generate(source, size=arguments.size, seed=arguments.seed, lesson=LAB)
        numbers = measure(folder, learners, source, arguments.seed)
        ours = numbers["seconds_per_submission"]
        print(
            f"peftlab, {JOBS} jobs: {ours:.3f} s a submission. The endless one adds "
            f"{numbers['endless_costs_seconds']:.1f} s; its time limit is {TIMEOUT:g} s.\n"
            f"All {numbers['answers']} answers got the points that they are worth, and "
            f"{numbers['named']} of {numbers['misconceptions']} misconceptions their diagnosis."
        )
        if importlib.util.find_spec("nbgrader") is None:
            print("nbgrader is left out: pip install -e '.[nbgrader]' installs it.")
        elif arguments.nbgrader:
            print(f"nbgrader grades {arguments.nbgrader} submissions, about a minute each.")
            chosen = [learner for learner in learners if not learner.endless]
            chosen = chosen[: arguments.nbgrader]
            numbers["nbgrader"] = autograde(folder / "course", chosen, source)
            theirs = numbers["nbgrader"]["seconds_per_submission"]
            numbers["nbgrader_over_peftlab"] = theirs / ours
            print(f"nbgrader: {theirs:.1f} s a submission, {theirs / ours:.0f} times as long.")
    file = results.write(
        arguments.out,
        what="Wall seconds to grade a made-up class that hands in lab 03, start and reports "
        "included, without and with one submission that never ends; and for nbgrader's autograde "
        "of a few of the same submissions, start included",
        command=shlex.join(["python", "-m", "benchmarks.grading", *sys.argv[1:]]),
        seeds=[arguments.seed],
        numbers=numbers,
    )
    print(f"-> {file}")


if __name__ == "__main__":
    main()
