"""The members of a zip that nobody vouches for, read in memory.

Nothing is ever extracted, so no name in a zip can lead anywhere. A member that cannot be read is
reported as such; those around it are not harmed.
"""

from __future__ import annotations

import io
import itertools
import re
import stat
import zipfile
from collections.abc import Iterator
from typing import IO

from peftcourse.grading.members import (
    LINK,
    MAX_DEPTH,
    MIB,
    SPECIAL,
    TOO_DEEP,
    Member,
    Unreadable,
    is_hidden,
    is_zip,
    limit_of,
    printable,
    up_to,
)

MAX_INNER = 128 * MIB  # a zip inside a zip is held in memory
MAX_DIRECTORY = 16 * MIB  # the table of contents
MAX_MEMBERS = 100_000
# All that one zip may unpack to: this much, and so many times its size. Notebooks shrink to about
# a tenth, a bomb to a thousandth.
MAX_UNPACKED = 256 * MIB
MAX_RATIO = 20

_ENCRYPTED, _UTF8 = 0x1, 0x800  # flags of a member
_LOCAL_HEADER = 30  # bytes, before the name


def read_zip(
    stream: IO[bytes], size: int, path: tuple[str, ...], origin: str, nested: bool = False
) -> Iterator[Member]:
    """A zip and its members; closes the stream.

    Args:
        stream: its bytes, seekable.
        size: how many there are.
        path: where it lies; empty if the zip is all that was handed in.
        origin: the same for people.
        nested: whether it lies in a zip itself; a third level is refused.
    """
    with _Bounded(stream) as bounded:
        yield from _opened(bounded, size, path, origin, nested)


def _opened(
    bounded: _Bounded, size: int, path: tuple[str, ...], origin: str, nested: bool
) -> Iterator[Member]:
    try:
        archive = zipfile.ZipFile(bounded)
        if len(archive.infolist()) > MAX_MEMBERS:
            raise zipfile.BadZipFile(f"it has more than {MAX_MEMBERS:,} members")
        opened = _Zip(archive, size, nested)
    # A forged file can make zipfile raise nearly anything; whatever it is, this zip is unusable.
    except Exception as problem:
        reason = f"it is no zip, or a damaged one ({printable(str(problem))}): zip it again"
        yield Member(path or (origin,), origin, problem=reason)
        return
    if path:
        yield Member(path, origin, folder=True)
    yield from opened.members(path, origin)


class _Bounded(io.BufferedReader):
    """A zip's bytes. zipfile reads the table of contents at once, however long it claims to be."""

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > MAX_DIRECTORY:
            raise zipfile.BadZipFile("the table of contents is too long")
        return super().read(size)


class _Zip:
    """A readable zip, and what may still be unpacked of it."""

    def __init__(self, archive: zipfile.ZipFile, size: int, nested: bool) -> None:
        self.archive = archive
        self.nested = nested
        self.budget = MAX_UNPACKED + MAX_RATIO * size
        self.overlapping = _overlapping(archive.infolist())

    def members(self, path: tuple[str, ...], origin: str) -> Iterator[Member]:
        for info in self.archive.infolist():
            name = _name(info)
            parts = [part for part in re.split(r"[/\\]", name) if part not in ("", ".")]
            safe = [part for part in parts if part != ".." and not part.endswith(":")]
            if any(map(is_hidden, safe)):
                # The folders that it lies in are there, even if nothing else lies in them.
                seen = list(itertools.takewhile(lambda part: not is_hidden(part), parts))
                if seen and safe == parts and len(seen) <= MAX_DEPTH:
                    where = f"{origin} › {printable('/'.join(seen))}"
                    yield Member((*path, *seen), where, folder=True)
                continue
            shown = f"{origin} › {printable('/'.join(parts))}"
            try:
                _check_name(name, parts)
            except Unreadable as problem:
                # Beside the other members, never among those that it wants to replace.
                yield Member((*path, "_".join(safe) or "member"), shown, problem=str(problem))
                continue
            below = (*path, *parts)
            try:
                yield from self._member(info, below, shown)
            except Unreadable as problem:
                yield Member(below, shown, problem=str(problem))
            # Whatever a forged member makes zipfile raise: the others can still be read.
            except Exception as problem:
                reason = f"this part of the zip is damaged ({printable(str(problem))})"
                yield Member(below, shown, problem=reason)

    def _member(self, info: zipfile.ZipInfo, path: tuple[str, ...], shown: str) -> Iterator[Member]:
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind == stat.S_IFLNK:
            raise Unreadable(LINK)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise Unreadable(SPECIAL)
        name = path[-1]
        if _name(info).endswith(("/", "\\")):
            yield Member(path, shown, folder=True)
        elif is_zip(name):
            if self.nested:
                raise Unreadable("it is a zip in a zip in a zip: unpack it first")
            data = self._read(info, MAX_INNER)
            yield from read_zip(io.BytesIO(data), len(data), path, shown, nested=True)
        elif limit := limit_of(name):
            yield Member(path, shown, data=self._read(info, limit))
        else:
            yield Member(path, shown)

    def _read(self, info: zipfile.ZipInfo, limit: int) -> bytes:
        if info.flag_bits & _ENCRYPTED:
            raise Unreadable("it is encrypted: hand it in without a password")
        # One chunk of the other methods can unpack to gigabytes.
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Unreadable("it is compressed in an unusual way: zip it with the usual settings")
        if info in self.overlapping:
            raise Unreadable("it shares its bytes with another member of the zip: zip it again")
        if self.budget <= 0:
            raise Unreadable("the zip unpacks to more than notebooks do: hand in notebooks only")
        with self.archive.open(info) as stream:
            return up_to(stream, limit, self._spend)

    def _spend(self, count: int) -> None:
        """Count what was really unpacked: sizes in headers are claims."""
        self.budget -= count


def _overlapping(members: list[zipfile.ZipInfo]) -> set[zipfile.ZipInfo]:
    """Members that reach into the next one, as those of a bomb that repeats itself do."""
    ordered = sorted(members, key=lambda info: info.header_offset)
    return {
        info
        for info, following in itertools.pairwise(ordered)
        if info.header_offset + _LOCAL_HEADER + info.compress_size > following.header_offset
    }


def _name(info: zipfile.ZipInfo) -> str:
    """The name as it was meant: many programs store UTF-8 without saying so."""
    name = info.orig_filename
    if info.flag_bits & _UTF8:
        return name
    try:
        return name.encode("cp437").decode("utf-8")
    except UnicodeError:
        return name


def _check_name(name: str, parts: list[str]) -> None:
    if name.startswith(("/", "\\")) or ".." in parts or re.match(r"[A-Za-z]:", name):
        raise Unreadable("its name leads out of the zip")
    if not parts:
        raise Unreadable("it has no name")
    if len(parts) > MAX_DEPTH:
        raise Unreadable(TOO_DEEP)
