"""Put answers through the checks and count what came of them.

python -m tests.peftcourse.exercises.learners.measure --seeds 101 102 --only lora. --all
"""

from __future__ import annotations

import argparse
import collections
import importlib
import json
import pkgutil
import re
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

import torch

from peftcourse.exercises import EXERCISES
from peftcourse.exercises.feedback import Reference, Report, assess_on
from tests.peftcourse.exercises import learners
from tests.peftcourse.exercises.learners.answers import Answer

LIMIT = 20  # seconds for one answer on one seed
ACCEPTED, REJECTED, CRASHED = "ACCEPTED", "REJECTED", "CRASHED"
NAMED, HINTED, UNNAMED, FALSE = "named", "hinted", "unnamed", "other cause"
# The worst comes first: an answer's grade is its worst on any seed.
GRADES = (CRASHED, ACCEPTED, REJECTED, FALSE, UNNAMED, HINTED, NAMED, "open", "ok")
# Files beside this one that hold no answers.
_TOOLS = ("answers", "measure")


def all_answers() -> list[Answer]:
    """Every answer of every lesson."""
    found: list[Answer] = []
    for module in pkgutil.iter_modules(learners.__path__):
        if module.name not in _TOOLS:
            exercises = importlib.import_module(f"{learners.__name__}.{module.name}").EXERCISES
            found += [answer for exercise in exercises for answer in exercise.answers]
    return found


@dataclass(frozen=True)
class Result:
    """What the check said of one answer on one seed."""

    answer: Answer
    seed: int
    grade: str
    report: Report | None
    seconds: float
    problem: str = ""


def measure(answer: Answer, seed: int) -> Result:
    """Check one answer on the inputs of one seed."""
    reference = _reference(answer.exercise, seed)
    begun = time.perf_counter()
    try:
        with _limit(LIMIT):
            report = assess_on(reference, answer.define())
    except Exception as problem:  # a check must not raise, whatever it is given
        passed = time.perf_counter() - begun
        return Result(answer, seed, CRASHED, None, passed, f"{type(problem).__name__}: {problem}")
    return Result(answer, seed, grade(answer, report), report, time.perf_counter() - begun)


@lru_cache(maxsize=128)
def _reference(exercise: str, seed: int) -> Reference:
    return Reference(EXERCISES[exercise], seed)


def grade(answer: Answer, report: Report) -> str:
    """One of ``GRADES``."""
    if answer.right is None:
        return "open"
    if answer.right:
        return "ok" if report.correct else REJECTED
    if report.correct:
        return ACCEPTED
    if re.search(answer.pattern, report.cause, re.IGNORECASE):
        return NAMED
    if re.search(answer.pattern, f"{report.observed} {report.action}", re.IGNORECASE):
        return HINTED
    return FALSE if report.explained else UNNAMED


@contextmanager
def _limit(seconds: int) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TimeoutError(f"no answer within {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def worst(results: Sequence[Result]) -> Result:
    """The result that counts for an answer."""
    return min(results, key=lambda result: GRADES.index(result.grade))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="*", default=[101])
    parser.add_argument("--only", default="", help="exercises whose id starts with this")
    parser.add_argument("--label", help="one answer")
    parser.add_argument("--all", action="store_true", help="print those that are fine, too")
    parser.add_argument("--json", help="write every worst result into this file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = []
    for answer in all_answers():
        if answer.exercise.startswith(options.only) and options.label in (None, answer.label):
            result = worst([measure(answer, seed) for seed in options.seeds])
            found.append(result)
            if options.all or options.label or result.grade not in ("ok", NAMED, "open"):
                print(f"\n{result.grade:11} {answer.exercise}: {answer.label}, seed {result.seed}")
                print(f"  {'a tutor':13} {answer.cause}   /{answer.pattern}/")
                print("  " + str(result.report or result.problem).replace("\n", "\n  "), flush=True)
    print()
    by_lesson = collections.defaultdict(collections.Counter)
    for result in found:
        by_lesson[result.answer.exercise.partition(".")[0]][result.grade] += 1
    for lesson, counts in by_lesson.items():
        print(f"{lesson:13}", ", ".join(f"{g} {counts[g]}" for g in GRADES if counts[g]))
    if options.json:
        rows = [
            {
                "exercise": result.answer.exercise,
                "label": result.answer.label,
                "grade": result.grade,
                "seed": result.seed,
                "seconds": round(result.seconds, 3),
                "report": str(result.report or result.problem),
            }
            for result in found
        ]
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=1, ensure_ascii=False)


if __name__ == "__main__":
    sys.exit(main())
