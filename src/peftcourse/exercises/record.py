"""What a learner has done so far, kept in a small JSON file beside the notebook."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

VERSION = 1
OFF = "off"

# Used when no file is: PEFTLAB_PROGRESS=off, or a folder that cannot be written.
_memory: dict[str, dict[str, Any]] = {}


def location() -> Path | None:
    """The file: ``PEFTLAB_PROGRESS``, else ``progress.json`` in the working folder.

    Returns:
        None if ``PEFTLAB_PROGRESS`` is ``off``; progress then lasts as long as the kernel.
    """
    chosen = os.environ.get("PEFTLAB_PROGRESS", "progress.json")
    return None if chosen == OFF else Path(chosen)


def read() -> tuple[dict[str, dict[str, Any]], str]:
    """All entries by exercise id, and a note for the learner if the file was damaged.

    A damaged file is renamed, never overwritten: what it holds can still be rescued by hand.
    """
    path = location()
    if path is None:
        return _memory, ""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        entries = stored["exercises"]
        if not all(isinstance(entry, dict) for entry in entries.values()):
            raise TypeError("an entry is not an object")
    except FileNotFoundError:
        return dict(_memory), ""
    except OSError as problem:
        return dict(_memory), f"{path} could not be read ({problem.strerror})"
    except (ValueError, KeyError, TypeError, AttributeError):
        return dict(_memory), _set_aside(path)
    return {**_memory, **entries}, ""


def update(exercise: str, **changes: Any) -> str:
    """Change one exercise's entry; ``changes`` may be functions of the old value.

    Returns:
        A note for the learner if the file was damaged or could not be written, else "".
    """
    entries, note = read()
    entry = dict(entries.get(exercise, {}))
    for key, value in changes.items():
        entry[key] = value(entry.get(key)) if callable(value) else value
    entries[exercise] = entry
    path = location()
    if path is None:
        return note
    try:
        _write(path, {"version": VERSION, "exercises": entries})
    except OSError as problem:
        _memory[exercise] = entry
        return f"progress is not saved: {path} cannot be written ({problem.strerror})"
    return note


def note_attempt(exercise: str, status: str, correct: bool, *, attempted: bool = True) -> str:
    """Record one check. What was solved once stays solved; an empty answer is no attempt."""
    now = _now()
    return update(
        exercise,
        status=status,
        attempts=lambda n: _count(n) + attempted,
        first=lambda when: when or now,
        solved=lambda when: when or (now if correct else None),
    )


def attempts(exercise: str) -> int:
    """How many answers were checked."""
    return _count(read()[0].get(exercise, {}).get("attempts"))


def hints(exercise: str) -> int:
    """How many hints were opened."""
    return _count(read()[0].get(exercise, {}).get("hints"))


def solved(exercise: str) -> bool:
    """Whether an answer of the learner's own was right once."""
    return bool(read()[0].get(exercise, {}).get("solved"))


def note_hint(exercise: str, number: int) -> str:
    """Record that the hints up to this one were opened."""
    return update(exercise, hints=lambda n: max(_count(n), number))


def note_seen(exercise: str) -> str:
    """Record that the model answer was shown, unless the exercise was solved before."""
    if solved(exercise):
        return ""
    now = _now()
    return update(exercise, seen=lambda when: when or now)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _count(value: Any) -> int:
    """A stored count; 0 if it is missing or someone edited it into something else."""
    return value if isinstance(value, int) else 0


def _write(path: Path, content: dict[str, Any]) -> None:
    """Write in one step: a reader sees the old file or the new one, whatever happens between."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1, ensure_ascii=False)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def _set_aside(path: Path) -> str:
    """Rename a damaged file to a name that is free."""
    number = 1
    while (kept := path.with_suffix(f".damaged-{number}{path.suffix}")).exists():
        number += 1
    try:
        path.rename(kept)
    except OSError as problem:
        return f"{path} is damaged and cannot be renamed ({problem.strerror})"
    return f"{path.name} could not be understood; it is kept as {kept.name}"
