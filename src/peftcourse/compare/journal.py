"""What a comparison has done so far: one line of JSON for each finished run.

A line is on disk before the next run of that worker begins. A line that a kill cut off is ignored.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from peftcourse.compare.plan import Key, key_of
from peftlab.errors import PeftlabError

SETTINGS, RUNS, LOCK = "settings.json", "runs.jsonl", ".lock"

Row = dict[str, Any]


@contextlib.contextmanager
def opened(folder: Path, settings: dict[str, Any]) -> Iterator[tuple[list[Row], Callable]]:
    """Open a journal, or begin one; no other comparison may write to it meanwhile.

    Args:
        folder: where it is; made if it does not exist.
        settings: what decides the results; a journal belongs to one set of them.

    Yields:
        The rows of the finished runs, and a function that adds one and returns when it is on disk.

    Raises:
        PeftlabError: another comparison is writing to it, or it was made with other settings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        _settle(folder / SETTINGS, settings)
        path = folder / RUNS
        rows = read(path)
        torn = path.is_file() and path.stat().st_size and not path.read_bytes().endswith(b"\n")
        with open(path, "a", encoding="utf-8") as file:
            if torn:
                file.write("\n")

            def add(row: Row) -> None:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
                file.flush()
                os.fsync(file.fileno())

            yield rows, add


def read(path: Path) -> list[Row]:
    """The finished runs; of several rows of one run the last counts.

    A run that broke for another reason than its own divergence, such as a full memory, is not
    finished: it is tried again.
    """
    rows: dict[Key, Row] = {}
    with contextlib.suppress(FileNotFoundError):
        for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
            with contextlib.suppress(ValueError, TypeError, KeyError):
                row = json.loads(line)
                rows[key_of(row)] = row
    return [row for row in rows.values() if not row.get("again")]


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    import fcntl

    with open(folder / LOCK, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise PeftlabError(
                f"another peftlab compare is writing to {folder}; wait for it, or choose another "
                "--journal."
            ) from None
        yield


def _settle(path: Path, settings: dict[str, Any]) -> None:
    """Check that the settings are those of the runs that are there, and note what is new."""
    found: dict[str, Any] = {}
    with contextlib.suppress(FileNotFoundError):
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            raise PeftlabError(
                f"{path} is damaged; delete the folder, or choose another --journal."
            ) from None
    for key in settings.keys() & found.keys():
        if found[key] != settings[key]:
            raise PeftlabError(
                f"{path.parent} holds runs with other settings "
                f"({_difference(key, found[key], settings[key])}); choose another --journal, or "
                "delete the folder."
            )
    new = path.with_name(f".{path.name}.new")
    new.write_text(json.dumps(found | settings, indent=1) + "\n", encoding="utf-8")
    os.replace(new, path)


def _difference(key: str, old: Any, new: Any) -> str:
    """``tiny, voice: steps 40, not 60``: the first thing in which two settings differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        inner = next(name for name in {**new, **old} if old.get(name) != new.get(name))
        return f"{key}: {_difference(inner, old.get(inner), new.get(inner))}"
    return f"{key} {str(old)[:40]}, not {str(new)[:40]}"
