"""Attacks by what is handed in: links, archives, and files that are no notebooks."""

from __future__ import annotations

import io
import json
import zipfile

from grading.cases.hostile.base import BREAKS, GAINS, Hostile, Link
from grading.cases.notebooks import LAB, RIGHT, Notebook, code_cell

_FILE = f"{LAB}.ipynb"
_NONE: frozenset[str] = frozenset()


def _file(name: str, content: bytes | Link, effect: str = BREAKS, file: str = _FILE) -> Hostile:
    """One file that deserves nothing."""
    return Hostile(name, effect, {file: content}, {file: _NONE}, file)


def _archive(*members: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _bomb(size: int) -> bytes:
    """A member of zeros, written piece by piece."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open(_FILE, "w", force_zip64=True) as member,
    ):
        for _ in range(size // 10_000_000):
            member.write(bytes(10_000_000))
    return buffer.getvalue()


def _changed(**changes: object) -> bytes:
    return json.dumps(Notebook(RIGHT).content | changes).encode()


_UNTOUCHED = Notebook().bytes()
_DEEP = b'{"cells": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
_NUMBERS = [{**code_cell("", "lora-delta"), "source": [1, 2, {"a": None}]}]

CASES = [
    _file("no-json", b'{"cells": [{"cell_type": "code", "source"'),
    _file("empty-file", b""),
    _file("random-bytes", bytes(range(256)) * 40),
    _file("deeply-nested-json", _DEEP),
    _file("json-of-another-kind", b"[1, 2, 3]"),
    _file("cells-of-another-kind", _changed(cells={"a": 1})),
    _file("source-of-another-kind", _changed(cells=_NUMBERS)),
    _file("number-too-long-for-json", b'{"cells": ' + b"9" * 5000 + b"}"),
    _file("a-folder-for-a-notebook", _UNTOUCHED, file=f"{_FILE}/{_FILE}"),
    # The link of the cheat points to a notebook that is all right.
    _file("link-to-a-submission", Link(f"@CLASS@/zz-victim/{_FILE}"), GAINS),
    _file("link-to-the-solutions", Link(f"@ROOT@/solutions/{_FILE}"), GAINS),
    _file("link-to-nowhere", Link("@CLASS@/no/such/file")),
    _file("link-to-itself", Link(_FILE)),
    _file("link-to-a-device", Link("/dev/zero")),
    _file("zip-that-is-none", b"PK\x03\x04 nothing", file="class.zip"),
    _file("zip-bomb", _bomb(900_000_000), file="class.zip"),
    Hostile(
        "zip-slip",
        BREAKS,
        {"class.zip": _archive((f"../zz-victim/{_FILE}", _UNTOUCHED), ("fine.txt", b""))},
        {"class.zip": _NONE},
        "class.zip",
    ),
    Hostile(
        "zip-with-absolute-paths",
        BREAKS,
        {
            "class.zip": _archive(
                ("/etc/cron.d/slipped", b"x"),
                ("C:\\slipped.ipynb", _UNTOUCHED),
                ("..\\..\\slipped.ipynb", _UNTOUCHED),
            )
        },
        {"class.zip": _NONE},
        "class.zip",
    ),
]
