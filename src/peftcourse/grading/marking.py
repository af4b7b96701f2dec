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
from peftcourse.exercises.observe import Case, Observation
from peftcourse.exercises.registry import Lesson
from peftcourse.grading import wire
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
)
from peftcourse.grading.sandbox import LOST, Limits, Ran, Sandbox
from peftcourse.grading.submissions import LabOutline, Submission
from peftcourse.grading.written import Words

# A submission, and the ids of its exercises to mark (None: all).
Task = tuple[Submission, Collection[str] | None]

# Longer sources are no answers; they would only keep the parser busy.
MAX_CODE = 100_000  # characters of one cell
MAX_OTHERS = 300_000  # characters of all other cells together
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
_INNER_QUOTES = str.maketrans("“”", '""')
# Signals that a limit sends (signal(7)).
_SIGNALS = {9: "it was killed", 11: "a crash (segmentation fault)", 24: "out of CPU time"}


class References:
    """The references of a lesson for one seed, for any number of threads.

    Judging draws random numbers for the known wrong answers from torch's one generator, so that
    only one thread may judge at a time. It takes a small part of the time that answers take.
    """

    def __init__(self, lesson: Lesson, seed: int) -> None:
        self._lock = threading.Lock()
        self._references = {e.id: Reference(e, seed) for e in lesson.exercises}

    def cases(self, exercise: Exercise) -> list[Case]:
        return self._references[exercise.id].cases

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
        notes = list(submission.notes)
        if submission.problem is not None:
            results = tuple(unread(part, submission.state, submission.problem) for part in wanted)
            notes.append(submission.problem)
        else:
            results = tuple(
                _with_code(self._mark(part, submission, notes), submission) for part in wanted
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
            reading=len(submission.notes),
        )

    def _mark(self, part: Exercise | Written, submission: Submission, notes: list[str]) -> Result:
        if isinstance(part, Written):
            return _written(part, submission.words.get(part.id))
        answer = submission.answers.get(part.id)
        if answer is None:
            return Result(part.id, 0, part.points, MISSING, *_MISSING)
        if answer.strip() in ("", self._outline.stubs[part.id].strip()):
            return _from_report(part, feedback.not_attempted(part))
        if len(answer) > MAX_CODE:
            return Result(
                part.id,
                0,
                part.points,
                STOPPED,
                f"the cell has {len(answer):,} characters",
                f"no answer is longer than {MAX_CODE:,} characters",
                "Keep the answer alone in its cell",
            )
        ran = self._run(part, submission, answer)
        observed = read_observations(ran, self._references.cases(part))
        if observed is None:
            return _stopped(part, ran, self._limits)
        observations, said = observed
        notes += [f"{part.id}, in the words of its cell: {_quoted(note)}" for note in said]
        return self._references.judge(part, observations)

    def _run(self, exercise: Exercise, submission: Submission, answer: str) -> Ran:
        request = wire.encode(
            {
                "code": answer,
                "target": self._outline.targets[exercise.id],
                "helpers": self._helpers(exercise, submission),
                "probe": [probe_name(exercise), exercise.probe.__name__],
                "cases": self._references.cases(exercise),
            }
        )
        ran = self._sandbox.run(request)
        # A server that is gone was not necessarily ended by this answer.
        return self._sandbox.run(request) if ran.end == LOST else ran

    def _helpers(self, exercise: Exercise, submission: Submission) -> list[str]:
        """Where names that the answer does not define are looked up, the most trusted first."""
        others = [
            text
            for part in self._lesson.exercises
            if part.id != exercise.id and (text := submission.answers.get(part.id))
        ]
        room, theirs = MAX_OTHERS, []
        for text in (*others, *submission.others):
            if len(text) <= min(room, MAX_CODE):
                theirs.append(text)
                room -= len(text)
        return [self._outline.setup, *self._outline.provided, *theirs]


def probe_name(exercise: Exercise) -> str:
    """What an exercise's probe module is called in the sandbox: ``probes_lora``."""
    return f"{probe_file(exercise).stem}_{exercise.id.split('.')[0]}"


def probe_file(exercise: Exercise) -> Path:
    """The source of an exercise's probe."""
    return Path(exercise.probe.__code__.co_filename)


# --- what comes out of the sandbox ----------------------------------------------------------------


def read_observations(
    ran: Ran, cases: Sequence[Case]
) -> tuple[list[Observation], list[str]] | None:
    """The observations and notes that a child wrote, or None if they are not of that kind.

    Whatever the answer did to the code around it in the sandbox, nothing but numbers, dense
    tensors and short texts gets past this function.
    """
    try:
        said = wire.decode(ran.data) if ran.end == "done" else None
        if not isinstance(said, dict) or len(said["observations"]) != len(cases):
            return None
        observations = [
            _observation(theirs, case)
            for theirs, case in zip(said["observations"], cases, strict=True)
        ]
        return observations, [_text(note) for note in said["notes"][:10]]
    except (wire.WireError, KeyError, TypeError, AttributeError):
        return None


def _observation(theirs: dict[str, Any], case: Case) -> Observation:
    error = theirs["error"]
    if error is not None:
        line = error["line"]
        error = {
            "type": _text(error["type"]),
            "message": _text(error["message"]),
            "line": line if type(line) is int else None,
            "code": _text(error["code"]) if error["code"] is not None else None,
            "nearest": _text(error["nearest"]) if error.get("nearest") is not None else None,
            "left_over": error.get("left_over") is True,
        }
    return {
        "outcome": {_text(name): _value(value) for name, value in theirs["outcome"].items()},
        "changed": [name for name in case if name in theirs["changed"]],
        "error": error,
    }


def _value(value: Any) -> torch.Tensor | int | float | str:
    if type(value) in (torch.Tensor, int, float):
        return value
    return _text(value) if isinstance(value, str) else type(value).__name__


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    # Half characters (JSON can name them), control characters and marks that turn the direction of
    # writing have no place in a report.
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in value[:1000])


def _quoted(text: str) -> str:
    """On one line and in quotes that the text cannot end: what follows is the grader's again."""
    return f"“{' '.join(text.split()).translate(_INNER_QUOTES)}”"


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


def _stopped(exercise: Exercise, ran: Ran, limits: Limits) -> Result:
    advice = "Run the cell and its check in the notebook; then hand in again"
    if ran.end == "time":
        seen = f"no result after {math.ceil(limits.seconds)} s"
        cause = "a loop that does not end, or something that waits for ever"
        advice = "Look at the condition of each `while`, and try it on small inputs"
    elif ran.end == "too much":
        seen, cause = "more than 16 MiB of results", "a result far larger than the inputs call for"
    elif ran.status < 0:
        how = _SIGNALS.get(-ran.status, f"signal {-ran.status}")
        seen = f"its process ended before there was a result: {how}"
        cause = "memory or recursion without end, or code that leaves Python"
    else:
        seen = "its process ended before there was a result"
        cause = "a call such as `exit()` or `os._exit()`, or a result that is not plain data"
    return Result(exercise.id, 0, exercise.points, STOPPED, seen, cause, advice)
