"""Put answers through the checks and count what came of them.

python -m tests.peftcourse.exercises.learners.measure --seeds 101 102 --only lora. --all
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import pkgutil
import re
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import torch

from peftcourse.exercises import EXERCISES, LESSONS
from peftcourse.exercises.explain import Reference
from peftcourse.exercises.feedback import Report, assess, assess_on
from peftcourse.exercises.observe import observe
from peftcourse.experiments import results as results_file
from tests.peftcourse.exercises import learners
from tests.peftcourse.exercises.learners.answers import Answer

RECORD = Path(__file__).resolve().parents[4] / "results" / "learner_answers.json"
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


@lru_cache(maxsize=4)
def _reference(exercise: str, seed: int) -> Reference:
    return Reference(EXERCISES[exercise], seed)


def measure_verdict(answer: Answer, seed: int) -> str | None:
    """CRASHED, ACCEPTED or REJECTED where a check is wrong; no cause is sought, which is faster."""
    reference = _reference(answer.exercise, seed)
    probe = reference.exercise.probe
    try:
        with _limit(LIMIT):
            written = answer.define()
            seen = [observe(probe, written, case) for case in reference.cases]
            passed = not any(each["error"] or each["changed"] for each in seen) and all(
                verdict.correct for verdict in reference.judge([each["outcome"] for each in seen])
            )
    except Exception:  # a cell that does not even run
        passed = False
    if answer.right is None or passed == answer.right:
        return None
    return REJECTED if answer.right else ACCEPTED


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


def measure_exercise(
    name: str, seeds: Sequence[int], label: str | None = None, verdicts: Sequence[int] = ()
) -> list[Result]:
    """The worst result of each answer to one exercise, over all seeds.

    Args:
        name: the exercise's id.
        seeds: on these the whole report is looked at.
        label: one answer alone.
        verdicts: on these it is only looked at whether a wrong answer passes or a right one fails.
    """
    torch.set_num_threads(1)
    chosen = [a for a in all_answers() if a.exercise == name and label in (None, a.label)]
    by_answer: list[list[Result]] = [[] for _ in chosen]
    for seed in (*seeds, *verdicts):  # outside, so that one reference after the other is enough
        for results, answer in zip(by_answer, chosen, strict=True):
            if seed in seeds or measure_verdict(answer, seed):
                results.append(measure(answer, seed))
    return [worst(results) for results in by_answer]


def slowest_check(found: Sequence[Result]) -> dict[str, float]:
    """CPU seconds of one whole check by exercise: cases drawn, reference and mistakes run.

    The answer is a wrong one, and if there is one, one whose cause is not known, which takes the
    longest search. What the first check in a process loads is not counted.
    """
    seconds = {}
    for name in EXERCISES:
        here = [r for r in found if r.answer.exercise == name and r.answer.right is False]
        hard = [r for r in here if r.report and not r.report.explained] or here
        for result in hard[:1]:
            answer = result.answer.define()
            assess(EXERCISES[name], answer, result.seed)
            begun = time.process_time()
            assess(EXERCISES[name], answer, result.seed)
            seconds[name] = round(time.process_time() - begun, 3)
    return seconds


def summary(found: Sequence[Result]) -> dict[str, dict[str, int]]:
    """How many answers got which grade, by lesson."""
    lessons = {exercise.id: lesson.name for lesson in LESSONS.values() for exercise in lesson.parts}
    table: dict[str, dict[str, int]] = {}
    for result in found:
        row = table.setdefault(lessons[result.answer.exercise], dict.fromkeys(GRADES, 0))
        row[result.grade] += 1
    return dict(sorted(table.items()))


def _with_the_others(
    lessons: dict[str, dict[str, int]], seconds: dict[str, float], partly: bool
) -> dict[str, dict]:
    """The numbers to record; those of the lessons that were not measured stay as they are."""
    before = json.loads(RECORD.read_text(encoding="utf-8"))["numbers"] if partly else {}
    return {
        "lessons": dict(sorted({**before.get("lessons", {}), **lessons}.items())),
        "seconds": {**before.get("seconds", {}), **seconds},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="*", default=[101])
    parser.add_argument("--only", default="", help="exercises whose id starts with this")
    parser.add_argument("--label", help="one answer")
    parser.add_argument("--all", action="store_true", help="print those that are fine, too")
    parser.add_argument("--json", help="write every worst result into this file")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument(
        "--record",
        action="store_true",
        help="verdicts on 100 seeds, causes on ten of them, into results/learner_answers.json; "
        "with --only LESSON. this lesson's rows are replaced",
    )
    options = parser.parse_args()
    seeds = list(range(10)) if options.record else options.seeds
    verdicts = list(range(10, 100)) if options.record else []
    names = [name for name in EXERCISES if name.startswith(options.only)]
    found: list[Result] = []
    with ProcessPoolExecutor(options.jobs, mp_context=multiprocessing.get_context("fork")) as pool:
        run = partial(measure_exercise, seeds=seeds, label=options.label, verdicts=verdicts)
        for results in pool.map(run, names):
            found += results
            for result in results:
                if options.all or options.label or result.grade not in ("ok", NAMED, "open"):
                    answer = result.answer
                    print(
                        f"\n{result.grade:11} {answer.exercise}: {answer.label}, seed {result.seed}"
                    )
                    print(f"  {'a tutor':13} {answer.cause}   /{answer.pattern}/")
                    print(
                        "  " + str(result.report or result.problem).replace("\n", "\n  "),
                        flush=True,
                    )
    print()
    table = summary(found)
    for lesson, counts in table.items():
        print(f"{lesson:16}", ", ".join(f"{g} {n}" for g, n in counts.items() if n))
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
    if options.record:
        results_file.write(
            RECORD,
            what="answers of learners by lesson, by what the check made of the worst of 100 seeds "
            "(of ten, for the cause); CPU seconds of one check of a wrong answer",
            command="python -m tests.peftcourse.exercises.learners.measure --record",
            seeds=[*seeds, *verdicts],
            numbers=_with_the_others(table, slowest_check(found), bool(options.only)),
        )


if __name__ == "__main__":
    sys.exit(main())
