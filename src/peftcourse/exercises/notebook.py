"""What a learner calls in a notebook: ``check``, ``hint``, ``case``, ``solution``, ``progress``.

They show plain lines, or the same words as HTML where a notebook can. Nothing a learner can write
makes them raise, except under nbgrader, where an assertion error is how a cell earns no points.
"""

from __future__ import annotations

import contextlib
import copy
import os
import secrets
import sys
from dataclasses import replace
from typing import Any

from torch import Tensor

from peftcourse.exercises import feedback, record, session, solutions
from peftcourse.exercises.core import Exercise, Written, in_points
from peftcourse.exercises.explain import Reference
from peftcourse.exercises.limit import OutOfTime, limited
from peftcourse.exercises.observe import Case, Observation, describe_error
from peftcourse.exercises.registry import LESSONS, PARTS, find
from peftcourse.exercises.shown import Shown, show
from peftlab.errors import PeftlabError

# Seconds that an answer has on all cases of a check together, where a limit can be kept: not on
# Windows, and not outside of the thread that cells run in.
TIME_LIMIT = 20.0
# Answers that have to be checked before the model answer is shown.
ATTEMPTS = 3
STOPPED = "stopped; nothing was recorded"


def check(exercise: Any = None, answer: Any = None, *, seed: int | None = None) -> None:
    """Try an answer on fresh random inputs and say four lines about it.

    Of an exercise that asks for words, it prints what the person who marks it looks for. An answer
    that runs for more than 20 seconds is stopped, on Linux and macOS.

    Args:
        exercise: the id, such as ``"lora.delta"``.
        answer: your function or class; nothing for words.
        seed: repeats the inputs of an earlier check; else ``PEFTLAB_SEED``, else new ones.

    Raises:
        AssertionError: the answer is not correct, and this runs under nbgrader.
    """
    if isinstance(answer, str) and not isinstance(exercise, str):
        exercise, answer = answer, exercise
    try:
        if not isinstance(exercise, str):
            raise PeftlabError(_what_to_write(exercise, answer))
        found = find(exercise)
    except PeftlabError as problem:
        print(problem)
        _fail_under_nbgrader(str(problem), correct=False)
        return
    if isinstance(found, Written):
        print(_marked_by_a_person(found))
        return
    try:
        _check(found, answer, seed)
    except KeyboardInterrupt:
        print(STOPPED)
        _fail_under_nbgrader(STOPPED, correct=False)


def _check(exercise: Exercise, answer: Any, seed: int | None) -> None:
    more: list[tuple[str, str]] = []
    tried = None
    if answer is None or answer is ...:
        report = feedback.not_attempted(exercise)
        if answer is None:
            told = f"write {_call(exercise.id)}, with the name of your function or class"
            report = replace(report, observed="no answer was given", action=told)
    elif not callable(answer):
        _wrong_kind(exercise, answer)
        return
    else:
        reference = Reference(exercise, _seed(seed))
        # On stderr, a warning would cost the answer its points under nbgrader.
        with contextlib.redirect_stderr(sys.stdout):
            tried, report = _try(reference, answer)
    attempted = report.status != feedback.NOT_ATTEMPTED
    note = record.note_attempt(exercise.id, report.status, report.correct, attempted=attempted)
    if tried and attempted:
        session.note(tried, report.correct)
    if note:
        more.append(("note", note))
    lesson = next(name for name, lesson in LESSONS.items() if exercise in lesson.parts)
    shown = Shown(report, more, (lesson, exercise.section))
    show(shown)
    _fail_under_nbgrader(repr(shown), report.correct)


def _try(reference: Reference, answer: Any) -> tuple[session.Try, feedback.Report]:
    """Run an answer on all cases, for as long as the limit allows, and say what came of it."""
    seen: list[Observation] = []
    try:
        with limited(TIME_LIMIT):
            session.run(reference, answer, seen)
    except OutOfTime as problem:
        number = min(len(seen), len(reference.cases) - 1)
        error = describe_error(problem)
        report = feedback.not_finished(reference, number, TIME_LIMIT, error)
    else:
        report = feedback.diagnose(reference, seen)
    return session.Try(answer, reference, seen), report


def case(exercise: str, seed: int | None = None) -> Case | None:
    """One input of an exercise, to try by hand: what an answer gets, and nothing of what is right.

    It is the first case in which your last check went wrong. With a seed, it is the first in which
    that answer goes wrong among the inputs of ``check(..., seed=…)``. Without an answer known to
    fail, it is the first case of all.

    Args:
        exercise: the id, such as ``"lora.delta"``.
        seed: of the inputs, as a check shows it.

    Returns:
        The inputs by name; None, and a line that says why, if the exercise has none.
    """
    try:
        found = find(exercise)
    except PeftlabError as problem:
        print(problem)
        return None
    if isinstance(found, Written):
        print(f"{found.id} asks for words; it has no inputs.")
        return None
    tried = session.failed.get(found.id)
    if tried and seed not in (None, tried.reference.seed):
        try:
            with contextlib.redirect_stdout(None):
                tried, _ = _try(Reference(found, seed), tried.answer)
        except KeyboardInterrupt:
            print("stopped")
            return None
    reference = tried.reference if tried else Reference(found, _seed(seed))
    wrong = tried.first_wrong() if tried else None
    number = wrong or 0
    which = "no answer is known to fail: the first" if wrong is None else "the first that failed"
    inputs = {k: v for k, v in copy.deepcopy(reference.cases[number]).items() if k != "noise"}
    print(
        f"case {number + 1} of {len(reference.cases)} of {found.id}, seed={reference.seed} "
        f"({which}): {', '.join(f'{key} {_kind(value)}' for key, value in inputs.items())}"
    )
    return inputs


def hint(exercise: str, number: int | None = None) -> None:
    """Print the next of an exercise's three hints, or one of them again.

    Args:
        exercise: the id.
        number: which hint, from 1; the next one if left out. One that is not open yet opens, and
            those before it with it.
    """
    try:
        found = find(exercise)
    except PeftlabError as problem:
        print(problem)
        return
    total, opened = len(found.hints), record.hints(found.id)
    if number is None:
        number = min(opened + 1, total)
    elif not (isinstance(number, int) and 1 <= number <= total):
        print(f'{found.id} has {total} hints; write hint("{found.id}", 1), for example.')
        return
    for shown in range(min(opened + 1, number), number + 1):
        print(f"hint {shown} of {total}   {found.hints[shown - 1]}")
    if number > opened + 1:
        before = " and ".join(str(n) for n in range(opened + 1, number))
        print(_note(f"hint {number} was not open yet, so {before} came with it"))
    if note := record.note_hint(found.id, number):
        print(_note(note))


def solution(exercise: str) -> None:
    """Show the model answer with its explanation, after three attempts or once yours is right.

    The record then says that it was seen. Of an exercise that asks for words, the model answer is
    shown once its three hints are open.
    """
    try:
        found = find(exercise)
    except PeftlabError as problem:
        print(problem)
        return
    if _is_graded():
        print(
            f"{found.id}: this package belongs to a graded course, which leaves model answers out; "
            f'hint("{found.id}") helps you on.'
        )
        return
    missing = _missing(found)
    if missing:
        print(f"{found.id}: {missing}")
        return
    if isinstance(found, Written):
        print(f"one answer to {found.id} that earns all points\n\n{found.model_answer}\n")
        print(_marked_by_a_person(found))
    else:
        print(f"a model answer to {found.id}; others are as right\n")
        print(solutions.source(found.id))
        print(f"\n{'it means':<13} {found.meaning}")
        print(f"{'how':<13} {found.hints[-1]}")
    print(f"{'chapter':<13} “{found.section}”")
    if note := record.note_seen(found.id):
        print(_note(note))


def progress(lesson: str | None = None) -> None:
    """Print which exercises are done, and of which the model answer was seen.

    Args:
        lesson: a lesson such as ``"03_lora"``; all of them if left out.
    """
    if lesson is not None and lesson not in LESSONS:
        print(f'no lesson is called "{lesson}"; there are {", ".join(LESSONS)}.')
        return
    entries, note = record.read()
    for shown in LESSONS.values() if lesson is None else [LESSONS[lesson]]:
        solved = [e for e in shown.exercises if entries.get(e.id, {}).get("solved")]
        points, total = (sum(e.points for e in chosen) for chosen in (solved, shown.exercises))
        print(
            f"{shown.title}: {len(solved)} of {len(shown.exercises)} exercises, "
            f"{points} of {total} points"
        )
        width = max(16, *(len(part.id) for part in shown.parts))
        for exercise in shown.exercises:
            mark = "✓" if exercise in solved else "·"
            seen = " (model answer seen)" if entries.get(exercise.id, {}).get("seen") else ""
            print(f"  {mark} {exercise.id:<{width}} {exercise.points:>2}  {exercise.title}{seen}")
        for written in shown.written:
            what = f"{written.title} (marked by your instructor)"
            print(f"    {written.id:<{width}} {written.points:>2}  {what}")
    if note:
        print(_note(note))


def _call(exercise: str) -> str:
    return f'check("{exercise}", {solutions.name(exercise)})'


def _what_to_write(exercise: Any, answer: Any) -> str:
    """What to write in place of a call of ``check`` that names no exercise."""
    given = exercise if answer is None else answer
    alike = solutions.called(getattr(given, "__name__", ""))
    calls = " or ".join(_call(one) for one in alike[:3]) or 'check("lora.delta", lora_delta)'
    return f"check needs an exercise's id and your answer to it; write {calls}" + (
        "." if alike else ", for example; the id is in the heading above your answer."
    )


def _wrong_kind(exercise: Exercise, answer: Any) -> None:
    """Say what to write in place of a result, which is not what can be tried."""
    told = (
        f"{exercise.id}: give check the function or class itself, without brackets, and not "
        f"what it returned ({_kind(answer)}): {_call(exercise.id)}"
    )
    print(told)
    _fail_under_nbgrader(told, correct=False)


def _is_graded() -> bool:
    return all(solutions.source(part.id) is None for part in PARTS.values())


def _missing(found: Exercise | Written) -> str:
    """What has to happen before the model answer is shown; "" if nothing."""
    if isinstance(found, Written):
        closed = len(found.hints) - record.hints(found.id)
        many = "1 hint is" if closed == 1 else f"{closed} hints are"
        return f"the model answer is shown once all hints are open; {many} not." * (closed > 0)
    left = ATTEMPTS - record.attempts(found.id)
    if left <= 0 or record.solved(found.id):
        return ""
    many = "1 attempt is" if left == 1 else f"{left} attempts are"
    return f"the model answer is shown after {ATTEMPTS} attempts; {many} missing."


def _kind(value: Any) -> str:
    """A value in a few words: a tensor's shape and dtype, a number itself."""
    if isinstance(value, Tensor):
        return f"{tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}"
    if isinstance(value, bool | int | float | str):
        return f"= {value!r}"
    if isinstance(value, list | tuple | dict):
        return f"of {len(value)} ({type(value).__name__})"
    return type(value).__name__


def _marked_by_a_person(written: Written) -> str:
    lines = [f"{'status':<13} marked by a person, not by this check · {written.id}"]
    for criterion in written.rubric:
        lines.append(f"{in_points(criterion.points):<13} {criterion.text}")
    return "\n".join(lines)


def _seed(chosen: int | None) -> int:
    if chosen is not None:
        return chosen
    fixed = os.environ.get("PEFTLAB_SEED", "")
    return int(fixed) if fixed.isdecimal() else secrets.randbelow(1_000_000)


def _note(note: str) -> str:
    return f"{'note':<13} {note}" if note else ""


def _fail_under_nbgrader(text: str, correct: bool) -> None:
    if not correct and os.environ.get("NBGRADER_EXECUTION"):
        raise AssertionError(text)
