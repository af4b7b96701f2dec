"""A notebook's bytes without the outputs: often a thousand times the rest, and nobody reads them.

Dropped before the JSON is parsed, so that 50 MB of pictures cost no more memory than the file.
"""

from __future__ import annotations

import re

from peftcourse.grading.members import MIB, Unreadable

MAX_PARTS = 5_000_000  # strings and brackets that are looked at; a second for some three million
MAX_BETWEEN = 32 * MIB  # bytes outside of strings, outputs aside: numbers take up to 30 times that

# A string of JSON, or what is left of one at the end of a damaged file: an expression that fails
# there would be tried again at each quote. Nothing is given back (+), so all of it is linear.
_STRING = rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)'
_STRINGS = re.compile(_STRING, re.DOTALL)
_OUTPUTS = re.compile(rb'"outputs"\s*+:\s*+\[')
_PARTS = re.compile(rb'[^"\[{\]}]*+(?:' + _STRING + rb"|([\[{])|([\]}])|\Z)", re.DOTALL)


def without_outputs(data: bytes) -> bytes:
    """JSON in UTF-8, or in an encoding that agrees with it in ASCII, with every ``outputs`` empty.

    Damaged JSON comes back damaged.

    Raises:
        Unreadable: it has so many parts that reading them takes too long.
    """
    pieces, done, place, parts, between = [], 0, 0, 0, len(data)
    while string := _STRINGS.search(data, place):
        place = string.end()
        parts += 1
        between -= place - string.start()
        # A key and not a text that quotes one: this is where a string begins.
        if data.startswith(b'"outputs"', string.start()) and (
            key := _OUTPUTS.match(data, string.start())
        ):
            pieces.append(data[done : key.end()])
            done, parts = _end_of_list(data, key.end(), parts)
            between -= done - place
            place = done
        _check(parts)
    if between > MAX_BETWEEN:
        raise Unreadable("it holds too many numbers for a notebook")
    return b"".join([*pieces, data[done:]])


def _end_of_list(data: bytes, start: int, parts: int) -> tuple[int, int]:
    """Where a list ends of which the bracket has been read, and how many parts were looked at."""
    depth = 1
    for part in _PARTS.finditer(data, start):
        parts += 1
        _check(parts)
        depth += bool(part[1]) - bool(part[2])
        if depth == 0:
            return part.start(2), parts
    return len(data), parts


def _check(parts: int) -> None:
    if parts > MAX_PARTS:
        raise Unreadable("it has too many parts: clear the outputs and hand it in again")
