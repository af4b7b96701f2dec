"""What comes out of the sandbox: numbers, dense tensors and short texts, or nothing.

Whatever a submission did to the code around it there, nothing else gets past this module.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from peftcourse.exercises.observe import Case, Observation
from peftcourse.grading import wire
from peftcourse.grading.rows import StoppedCell
from peftcourse.grading.sandbox import Ran
from peftcourse.grading.sealing import Sealed

MAX_NOTES = 20  # of one submission
MAX_STOPPED = 100
_INNER_QUOTES = str.maketrans("“”", '""')
# Signals that a limit sends (signal(7)).
TIMES_UP = (-14, -24)  # by the clock, and of the CPU
SIGNALS = {9: "it was killed", 11: "a crash (segmentation fault)"}


@dataclass(frozen=True)
class Found:
    """What became of one exercise.

    Attributes:
        observations: what its answer did on each case.
        status: how the process ended in which it, or its cell, ran; negative for a signal. None if
            the process came to its end.
        missing: whether no cell defines it.
        untouched: whether its cell is as it was handed out.
    """

    observations: Sequence[Observation] = ()
    status: int | None = None
    missing: bool = False
    untouched: bool = False


@dataclass(frozen=True)
class Work:
    """What became of a submission.

    Attributes:
        ran: how it ended.
        found: by exercise, as far as it came.
        notes: what its cells said that did not run to their end.
        begun: the exercise that was observed last.
        stopped: the cells that were cut off, and how they ended.
    """

    ran: Ran
    found: Mapping[str, Found] = field(default_factory=dict)
    notes: Sequence[str] = ()
    begun: str = ""
    stopped: Sequence[StoppedCell] = ()


def read_work(ran: Ran, cases: Mapping[str, Sequence[Sealed]]) -> Work:
    """All that can be believed of what the processes of a submission wrote.

    Args:
        ran: what they wrote, which may be anything.
        cases: of each exercise, the inputs that it got.
    """
    found: dict[str, Found] = {}
    begun = ""
    stopped: dict[int, StoppedCell] = {}
    notes: dict[Any, str] = {}  # the first of each cell and kind
    for said in _messages(ran.data):
        try:
            if said.get("begun") in cases:
                begun = said["begun"]
            elif "cell" in said:
                number = _whole(said["cell"])
                if "status" in said and len(stopped) < MAX_STOPPED:
                    why = how_it_ended(_whole(said["status"]))
                    stopped.setdefault(number, StoppedCell(number, why))
                if len(notes) < MAX_NOTES:
                    notes.setdefault((number, said.get("whole") is True), _note(said))
            elif (exercise := said.get("exercise")) in cases:
                found[exercise] = _found(said, cases[exercise])
                if isinstance(note := said.get("note"), str) and note:
                    notes[exercise] = f"answer to {exercise}: {quoted(_text(note))}"
        except Exception:  # whatever is wrong with one message must not cost the others
            continue
    return Work(ran, found, list(notes.values()), begun, list(stopped.values()))


def _messages(data: bytes) -> Iterator[dict[str, Any]]:
    """The well-formed messages among the frames; what lies between them is passed over."""
    view, at = memoryview(data), data.find(wire.MARK)
    while at >= 0:
        start = at + len(wire.MARK) + 8
        end = start + int.from_bytes(view[start - 8 : start], "big")
        said = None
        if end <= len(view):
            with contextlib.suppress(wire.WireError):
                said = wire.decode(view[start:end])
        if isinstance(said, dict):
            yield said
        at = data.find(wire.MARK, at + 1 if said is None else end)


def _found(said: dict[str, Any], cases: Sequence[Sealed]) -> Found:
    if "status" in said:
        return Found(status=_whole(said["status"]))
    if "untouched" in said:
        return Found(untouched=True)
    if "error" in said:
        error = {"outcome": {}, "changed": [], "error": said["error"]}
        return Found([_observation(error, one.case) for one in cases])
    if "observations" not in said:
        return Found(missing=True)
    pairs = zip(said["observations"], cases, strict=True)
    return Found([one.opened(_observation(theirs, one.case)) for theirs, one in pairs])


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
            "unwritten": _text(error["unwritten"]) if error.get("unwritten") is not None else None,
        }
    return {
        "outcome": {_text(name): _value(value) for name, value in theirs["outcome"].items()},
        "changed": [name for name in case if name in theirs["changed"]],
        "error": error,
    }


def _note(said: dict[str, Any]) -> str:
    """What became of a cell, in one line."""
    number = _whole(said["cell"])
    if "status" in said:
        return f"cell {number} was not run: {how_it_ended(_whole(said['status']))}"
    line = f", line {_whole(said['line'])}" if said.get("line") is not None else ""
    what = "ended" if said["whole"] is True else "left out"
    return f"cell {number}{line} ({what}), in its own words: {quoted(_text(said['said']))}"


def how_it_ended(status: int) -> str:
    if status in TIMES_UP:
        return "it ran out of time"
    if status < 0:
        return SIGNALS.get(-status, f"it was ended by signal {-status}")
    return "it ended its process"


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError("not a whole number")
    return value


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


def quoted(text: str) -> str:
    """On one line and in quotes that the text cannot end: what follows is the grader's again."""
    return f"“{' '.join(text.split()).translate(_INNER_QUOTES)}”"
