"""From a submission's answers to its row: run them in the sandbox, judge them here."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import torch

from peftcourse.exercises import feedback
from peftcourse.exercises.core import Exercise, Written
from peftcourse.exercises.explain import Reference
from peftcourse.exercises.observe import Observation
from peftcourse.exercises.registry import Lesson
from peftcourse.grading import wire
from peftcourse.grading.cells import LAB, MAX_CODE, TOO_LONG
from peftcourse.grading.observed import TIMES_UP, Found, Work, how_it_ended, read_work
from peftcourse.grading.rows import (
    ANOTHER_LAB,
    AWAITS,
    MISSING,
    NO_NOTEBOOK,
    STATES,
    STOPPED,
    UNJUDGED,
    UNREADABLE,
    Result,
    Row,
    StoppedCell,
)
from peftcourse.grading.sandbox import DONE, LOST, TIME, Limits, Ran, Sandbox
from peftcourse.grading.sealing import Sealed, exercise_seed, sealed
from peftcourse.grading.submissions import LabOutline, Submission
from peftcourse.grading.written import Words

# A submission, and the ids of its exercises to mark (None: all).
Task = tuple[Submission, Collection[str] | None]

MAX_WRITTEN = 100_000  # characters of a written answer
MAX_SHOWN = 20_000  # characters of code on a page of feedback
MAX_BESIDE = 20_000  # characters of texts beside it

_MISSING = (
    "no cell of the notebook holds this answer",
    "the cell was emptied or deleted, or its id and the name it defines were both changed",
    "Copy the answer back into a cell that defines the name the lab asks for",
)
_UNWRITTEN = (
    "the placeholder is still there, or its cell is gone",
    "nothing written yet",
    "Write your answer in place of the placeholder; the rubric says what counts",
)
# Numbers beyond these overflow in a judge that divides by them, or takes their squares.
_LARGEST, _SMALLEST = 1e30, 1e-30
_EXTREME = (
    f": a number that is NaN, infinite, above {_LARGEST:g} or, but for zero, below {_SMALLEST:g}",
    "a division by nearly nothing, a power without end, or memory that was never filled",
    "Print the result for inputs small enough to work out by hand",
)
_UNCLEAR = (
    "what the answer returned could not be compared",
    "a fault of the grader: ",
    "Your instructor looks at this answer",
)
_TOO_LONG = (
    f"the cell has more than {MAX_CODE:,} characters",
    "no answer is that long",
    "Keep the answer alone in its cell",
)
NOTHING_RUN = Ran(DONE, 0, b"")


class References:
    """The references of a lesson for one seed, for any number of threads.

    Judging draws random numbers for the known wrong answers from torch's one generator, so that
    only one thread may judge at a time. It takes a small part of the time that answers take.
    """

    def __init__(self, lesson: Lesson, seed: int) -> None:
        self._lock = threading.Lock()
        self._references = {e.id: Reference(e, exercise_seed(seed, e.id)) for e in lesson.exercises}

    def sealed(self, exercise: Exercise) -> list[Sealed]:
        """The inputs as an answer gets them."""
        return sealed(exercise, self._references[exercise.id].cases)

    def judge(self, exercise: Exercise, observations: Sequence[Observation]) -> Result:
        """The result of an answer that ran; a judge's fault must not cost the class its marks."""
        try:
            with self._lock:
                report = feedback.diagnose(self._references[exercise.id], observations)
            return _from_report(exercise, report)
        except Exception as problem:
            what = f"{type(problem).__name__}: {problem}"
        if name := self._out_of_reach(exercise, observations):
            status, words = feedback.WRONG_VALUE, (name + _EXTREME[0], *_EXTREME[1:])
        else:
            status, words = UNJUDGED, (_UNCLEAR[0], f"{_UNCLEAR[1]}{what[:300]}", _UNCLEAR[2])
        return Result(exercise.id, 0, exercise.points, status, *words)

    def _out_of_reach(self, exercise: Exercise, observations: Sequence[Observation]) -> str:
        """Where an answer returned a number that no right answer comes near, or ""."""
        with self._lock:
            expected = self._references[exercise.id].expected
        for right, seen in zip(expected, observations, strict=True):
            for name, value in seen["outcome"].items():
                if _extreme(value) and not _extreme(right.get(name)):
                    return name
        return ""


class Marker:
    """Marks submissions, one after another, in a sandbox of its own; a context manager.

    Args:
        lesson: what is asked.
        outline: what is known of its lab.
        references: what is right.
        limits: what one answer may use.
        unsafe: see ``Sandbox``.
    """

    def __init__(
        self,
        lesson: Lesson,
        outline: LabOutline,
        references: References,
        *,
        limits: Limits | None = None,
        unsafe: bool = False,
    ) -> None:
        self._lesson = lesson
        self._outline = outline
        self._references = references
        self._limits = limits or Limits()
        probes = {probe_name(e): probe_file(e) for e in lesson.exercises}
        # torch and numpy are installed; the rest that lessons allow is the standard library.
        wanted = {name for e in lesson.exercises for name in e.allows} & {"torch", "numpy"}
        self._sandbox = Sandbox(probes, packages=sorted(wanted), limits=self._limits, unsafe=unsafe)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._sandbox.close()

    def mark(self, submission: Submission, parts: Collection[str] | None = None) -> Row:
        """Mark a submission.

        Args:
            submission: what was handed in.
            parts: ids of the exercises to mark; all if left out. The row holds these alone.
        """
        started = time.monotonic()
        wanted = [p for p in self._lesson.parts if parts is None or p.id in parts]
        notes, work = list(submission.notes), Work(NOTHING_RUN)
        if submission.problem is not None:
            results = tuple(unread(part, submission.state, submission.problem) for part in wanted)
            notes.append(submission.problem)
        else:
            exercises = [part for part in wanted if isinstance(part, Exercise)]
            work = self._run(submission, exercises)
            notes += work.notes
            results = tuple(
                _with_code(self._mark(part, submission, work), submission) for part in wanted
            )
        return Row(
            submission.name,
            submission.origin,
            submission.digest,
            submission.state,
            results,
            tuple(notes),
            dict(submission.times),
            round(time.monotonic() - started, 3),
            submission.person,
            stopped=tuple(work.stopped),
            reading=len(submission.notes),
        )

    def _run(self, submission: Submission, wanted: Sequence[Exercise]) -> Work:
        """Run the cells and observe the answers that they leave."""
        cells = [cell for cell in submission.cells if cell.source]
        if not wanted or all(cell.kind == LAB for cell in cells):
            return Work(NOTHING_RUN)
        notebook = {
            "cells": [cell.as_data() for cell in cells],
            "setup": "\n".join(self._outline.own.values()),
            "absent": sorted(self._outline.absent),
            "seconds": self._limits.seconds,
        }
        asked = frame(notebook)
        found: dict[str, Found] = {}
        notes: dict[str, None] = {}
        stopped: dict[int, StoppedCell] = {}
        deadline = time.monotonic() + self._limits.budget
        left = list(wanted)
        while True:
            seals = {exercise.id: self._references.sealed(exercise) for exercise in left}
            request = asked + b"".join(self._asked(e, seals[e.id]) for e in left)
            ran = self._sandbox.run(request, max(0.0, deadline - time.monotonic()))
            if ran.end == LOST:  # not necessarily by what this submission did
                ran = self._sandbox.run(request, max(0.0, deadline - time.monotonic()))
            work = read_work(ran, seals)
            found |= work.found
            notes |= dict.fromkeys(work.notes)
            stopped |= {cell.cell: cell for cell in work.stopped}
            # An answer that took everything down with it takes no other exercise's points.
            begun = [e.id for e in left].index(work.begun) if work.begun else -1
            left = left[begun + 1 :]
            if ran.end in (DONE, TIME) or begun < 0 or not left:
                return Work(ran, found, list(notes), stopped=tuple(stopped.values()))

    def _asked(self, exercise: Exercise, seals: Sequence[Sealed]) -> bytes:
        return frame(
            {
                "exercise": exercise.id,
                "target": self._outline.targets[exercise.id],
                "probe": [probe_name(exercise), exercise.probe.__name__],
                "cases": [seal.case for seal in seals],
            }
        )

    def _mark(self, part: Exercise | Written, submission: Submission, work: Work) -> Result:
        if isinstance(part, Written):
            return _written(part, submission.words.get(part.id))
        if any(cell.exercise == part.id and cell.kind == TOO_LONG for cell in submission.cells):
            return Result(part.id, 0, part.points, STOPPED, *_TOO_LONG)
        found = work.found.get(part.id)
        if found is None and work.ran is NOTHING_RUN:
            handed_out = any(cell.exercise == part.id for cell in submission.cells)
            found = Found(missing=not handed_out, untouched=handed_out)
        if found is None:
            return _stopped_whole(part, work.ran, self._limits)
        if found.untouched:
            return _from_report(part, feedback.not_attempted(part))
        if found.missing:
            return Result(part.id, 0, part.points, MISSING, *_MISSING)
        if found.status is not None:
            return _stopped(part, found.status, self._limits)
        return self._references.judge(part, found.observations)


def frame(value: dict[str, Any]) -> bytes:
    """One part of a request: a message after its length (8 bytes, big-endian)."""
    message = wire.encode(value)
    return len(message).to_bytes(8, "big") + message


def probe_name(exercise: Exercise) -> str:
    """What an exercise's probe module is called in the sandbox: ``probes_lora``."""
    return f"{probe_file(exercise).stem}_{exercise.id.split('.')[0]}"


def probe_file(exercise: Exercise) -> Path:
    """The source of an exercise's probe."""
    return Path(exercise.probe.__code__.co_filename)


# --- results --------------------------------------------------------------------------------------


_ADVICE = {
    UNREADABLE: "Open it in Jupyter, save it, and hand in the .ipynb file",
    ANOTHER_LAB: "Hand in the notebook of this lab",
    NO_NOTEBOOK: "Hand in the .ipynb file",
}


def unread(part: Exercise | Written, state: str, problem: str) -> Result:
    """The result of any exercise where there is no notebook to grade."""
    why = STATES[state].rstrip(".").lower()
    return Result(part.id, 0, part.points, MISSING, problem, why, _ADVICE[state])


def _with_code(result: Result, submission: Submission) -> Result:
    """A result with the code that it is about, for the page that the learner receives."""
    if result.answer or result.status in (feedback.NOT_ATTEMPTED, MISSING):
        return result
    return replace(result, code=_up_to(submission.code.get(result.exercise, ""), MAX_SHOWN))


def _written(part: Written, words: Words | None) -> Result:
    """A written answer, whole, for a person to mark."""
    if words is None or not words.text:
        return Result(part.id, 0, part.points, feedback.NOT_ATTEMPTED, *_UNWRITTEN)
    return Result(
        part.id,
        0,
        part.points,
        AWAITS,
        answer=_up_to(words.text, MAX_WRITTEN),
        beside=_up_to(words.beside, MAX_BESIDE),
        pictures=words.pictures,
    )


def _up_to(text: str, most: int) -> str:
    """A text, or its beginning and how much more there is."""
    if len(text) <= most:
        return text
    return f"{text[:most]}\n\n[{len(text) - most:,} more characters: open the notebook]"


def _from_report(exercise: Exercise, report: feedback.Report) -> Result:
    points = exercise.points if report.correct else 0
    return Result(
        exercise.id,
        points,
        exercise.points,
        report.status,
        report.observed,
        report.cause,
        report.action,
        report.mutant,
    )


def _extreme(value: Any) -> bool:
    """Whether a number is NaN, infinite, or so large or small that dividing by it overflows."""
    if isinstance(value, torch.Tensor):
        if not value.is_floating_point() and not value.is_complex():
            return False
        size = (torch.view_as_real(value) if value.is_complex() else value).double().abs()
        return not bool(((size == 0) | ((size >= _SMALLEST) & (size <= _LARGEST))).all())
    if isinstance(value, int | float):  # an integer of any length can be compared, not converted
        return not (value == 0 or _SMALLEST <= abs(value) <= _LARGEST)
    return False


def _stopped(exercise: Exercise, status: int, limits: Limits) -> Result:
    """The result of an answer whose process, or whose cell's, did not come to its end."""
    advice = "Run the cell and its check in the notebook; then hand in again"
    if status in TIMES_UP:
        seen = f"no result after {math.ceil(limits.seconds)} s"
        cause = "a loop that does not end, or something that waits for ever"
        advice = "Look at the condition of each `while`, and try it on small inputs"
    elif status < 0:
        seen = f"its process ended before there was a result: {how_it_ended(status)}"
        cause = "memory or recursion without end, or code that leaves Python"
    else:
        seen = "its process ended before there was a result"
        cause = "a call such as `exit()` or `os._exit()`, or a result that is not plain data"
    return Result(exercise.id, 0, exercise.points, STOPPED, seen, cause, advice)


def _stopped_whole(exercise: Exercise, ran: Ran, limits: Limits) -> Result:
    """The result of an exercise to which its submission did not come."""
    advice = "Run the whole notebook from top to bottom; then hand in again"
    if ran.end == "time":
        seen = f"its notebook had used up its {math.ceil(limits.budget)} s before"
        cause = "cells or answers that take long, or wait for ever"
    elif ran.end == "memory":
        seen = f"its notebook took more than {2 * limits.memory / 2**30:g} GiB of memory"
        cause = "cells that keep large tensors, or start many processes"
    elif ran.end == "too much":
        seen, cause = "more than 48 MiB of results", "results far larger than the inputs call for"
    else:
        seen = "its notebook's processes ended before there was a result"
        cause = "code that leaves Python, or that changes what runs it"
    return Result(exercise.id, 0, exercise.points, STOPPED, seen, cause, advice)
