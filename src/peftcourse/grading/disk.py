"""All files below a folder that was handed in: no link is followed, no device opened."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from peftcourse.grading.members import (
    LINK,
    MAX_DEPTH,
    SPECIAL,
    TOO_DEEP,
    Member,
    Unreadable,
    is_hidden,
    is_notebook,
    is_zip,
    limit_of,
    printable,
    up_to,
)
from peftcourse.grading.zips import read_zip
from peftlab.errors import PeftlabError


def walk(source: Path) -> Iterator[Member]:
    """All visible files and folders of a folder or zip, or one notebook and its progress file.

    The source itself may be a link, since the instructor named it; nothing below may.

    Raises:
        PeftlabError: there is no such file or folder, or it is of another kind.
    """
    if source.is_dir():
        yield from _folder(source, ())
    elif source.is_file() and is_zip(source.name):
        yield from _zip_on_disk(source.resolve(), (), printable(source.name))
    elif source.is_file() and is_notebook(source.name):
        yield _file(source.resolve(), (source.name,))
        if (beside := source.with_name("progress.json")).is_file():
            yield _file(beside, (beside.name,))
    elif source.exists():
        raise PeftlabError(f"{source} is not a notebook, a folder or a zip of notebooks.")
    else:
        raise PeftlabError(f"{source} does not exist: give a notebook, a folder or a zip.")


def _folder(folder: Path, path: tuple[str, ...]) -> Iterator[Member]:
    origin = _origin(path)
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as problem:
        if not path:
            raise PeftlabError(f"{folder} cannot be read: {problem.strerror}.") from None
        yield Member(path, origin, problem=f"the folder cannot be read ({problem.strerror})")
        return
    if path:
        yield Member(path, origin, folder=True)
    for entry in entries:
        below = (*path, entry.name)
        if is_hidden(entry.name):
            continue
        if entry.is_dir(follow_symlinks=False):
            if len(below) > MAX_DEPTH:
                yield Member(below, _origin(below), problem=TOO_DEEP)
            else:
                yield from _folder(Path(entry.path), below)
        elif is_zip(entry.name) and entry.is_file(follow_symlinks=False):
            yield from _zip_on_disk(Path(entry.path), below, _origin(below))
        else:
            yield _file(Path(entry.path), below)


def _file(file: Path, path: tuple[str, ...]) -> Member:
    name, origin = path[-1], _origin(path)
    try:
        mode = file.lstat().st_mode
        if stat.S_ISLNK(mode):
            raise Unreadable(LINK)
        if not stat.S_ISREG(mode):
            raise Unreadable(SPECIAL)
        if not (limit := limit_of(name)):
            return Member(path, origin)
        with _open(file) as stream:
            return Member(path, origin, data=up_to(stream, limit))
    except Unreadable as problem:
        return Member(path, origin, problem=str(problem))
    except OSError as problem:
        return Member(path, origin, problem=f"it cannot be read ({problem.strerror})")


def _open(file: Path) -> IO[bytes]:
    """Open a regular file. Were it exchanged meanwhile, a link fails and a pipe does not block."""
    # Windows has neither flag, nor pipes among its files.
    flags = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    return open(file, "rb", buffering=0, opener=lambda name, mode: os.open(name, mode | flags))


def _zip_on_disk(file: Path, path: tuple[str, ...], origin: str) -> Iterator[Member]:
    try:
        with _open(file) as stream:
            yield from read_zip(stream, file.stat().st_size, path, origin)
    except OSError as problem:
        reason = f"the zip cannot be read ({problem.strerror})"
        yield Member(path or (file.name,), origin, problem=reason)


def _origin(path: tuple[str, ...]) -> str:
    return printable("/".join(path))
