"""What a learner calls in a notebook: ``check``, ``hint`` and ``progress``.

They print plain lines and return nothing, so that a cell shows just these. Nothing a learner can
write makes them raise, except under nbgrader, where an assertion error is how a cell earns no
points.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from typing import Any

from peftcourse.exercises import feedback, record
from peftcourse.exercises.core import Written, in_points
from peftcourse.exercises.registry import LESSONS, find
from peftlab.errors import PeftlabError


def check(exercise: str, answer: Any = None, *, seed: int | None = None) -> None:
    """Try an answer on fresh random inputs and print four lines about it.

    Of an exercise that asks for words, it prints what the person who marks it looks for.

    Args:
        exercise: the id, such as ``"lora.delta"``.
        answer: your function or class; nothing for words.
        seed: repeats the inputs of an earlier check; else ``PEFTLAB_SEED``, else new ones.

    Raises:
        AssertionError: the answer is not correct, and this runs under nbgrader.
    """
    try:
        found = find(exercise)
    except PeftlabError as problem:
        _finish(str(problem), correct=False)
        return
    if isinstance(found, Written):
        print(_marked_by_a_person(found))
        return
    if answer is None or answer is ...:
        report = feedback.not_attempted(found)
    else:
        # On stderr, a warning would cost the answer its points under nbgrader.
        with contextlib.redirect_stderr(sys.stdout):
            report = feedback.assess(found, answer, _seed(seed))
    note = record.note_attempt(found.id, report.status, report.correct)
    _finish("\n".join(filter(None, (str(report), _note(note)))), report.correct)


def hint(exercise: str) -> None:
    """Print the next of an exercise's three hints."""
    try:
        found = find(exercise)
    except PeftlabError as problem:
        print(problem)
        return
    number, note = record.next_hint(found.id, len(found.hints))
    print(f"hint {number} of {len(found.hints)}   {found.hints[number - 1]}")
    if note:
        print(_note(note))


def progress(lesson: str | None = None) -> None:
    """Print which exercises are done.

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
            print(f"  {mark} {exercise.id:<{width}} {exercise.points:>2}  {exercise.title}")
        for written in shown.written:
            what = f"{written.title} (marked by your instructor)"
            print(f"    {written.id:<{width}} {written.points:>2}  {what}")
    if note:
        print(_note(note))


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


def _finish(text: str, correct: bool) -> None:
    print(text)
    if not correct and os.environ.get("NBGRADER_EXECUTION"):
        raise AssertionError(text)
