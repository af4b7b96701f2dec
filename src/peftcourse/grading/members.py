"""One file or folder that was handed in, which of them matter, and how much of them is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

MIB = 2**20
MAX_NOTEBOOK = 128 * MIB  # honest notebooks hold pictures, and outputs that nobody reads
MAX_PROGRESS = 1 * MIB
MAX_DEPTH = 12  # of folders
MAX_ORIGIN = 200  # characters

TOO_DEEP = f"its folders are nested more than {MAX_DEPTH} deep"
SPECIAL = "it is a device or a pipe, not a file"
LINK = "it is a link, and links are not followed: hand in the file itself"

_CHUNK = MIB


class Unreadable(Exception):
    """Why a submission cannot be read: one sentence for its author and for the instructor."""


@dataclass(frozen=True)
class Member:
    """A file or a folder, on disk or in a zip.

    Attributes:
        path: the names that lead to it; a zip counts as a folder. Never contains ``..``.
        origin: the same for people, printable.
        data: the bytes of notebooks and progress files, else None.
        problem: why it cannot be read, or "".
        folder: whether it is a folder or a readable zip.
    """

    path: tuple[str, ...]
    origin: str
    data: bytes | None = None
    problem: str = ""
    folder: bool = False


def is_notebook(name: str) -> bool:
    """Whether a file's name is a notebook's; browsers like to append ``.txt`` or ``.json``."""
    return name.lower().endswith((".ipynb", ".ipynb.txt", ".ipynb.json"))


def is_zip(name: str) -> bool:
    return name.lower().endswith(".zip")


def is_progress(name: str) -> bool:
    """Whether this is the learner's progress file; an LMS may have put something before it."""
    return f"_{name.lower()}".endswith("_progress.json")


def limit_of(name: str) -> int:
    """How many bytes of such a file are read; 0 if its content does not matter."""
    if is_notebook(name):
        return MAX_NOTEBOOK
    return MAX_PROGRESS if is_progress(name) else 0


def up_to(
    stream: IO[bytes], limit: int, spend: Callable[[int], None] = lambda count: None
) -> bytes:
    """All bytes of a stream that has at most ``limit``."""
    chunks, total = [], 0
    while chunk := stream.read(_CHUNK):
        chunks.append(chunk)
        total += len(chunk)
        spend(len(chunk))
        if total > limit:
            raise Unreadable(f"it is larger than {limit // MIB} MiB: clear the outputs")
    return b"".join(chunks)


def is_hidden(name: str) -> bool:
    """Whether no person put it there: checkpoints of Jupyter, attributes of macOS."""
    return name.startswith(".") or name in ("__MACOSX", "__pycache__")


def printable(text: str) -> str:
    """For messages: on one line, without control characters, and not endless."""
    text = "".join(char if char.isprintable() else "\ufffd" for char in text)
    return text if len(text) <= MAX_ORIGIN else text[:MAX_ORIGIN] + "…"
