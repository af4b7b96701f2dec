"""The cells of a notebook that nobody vouches for.

Only a bounded JSON parser and simple regular expressions ever touch its text. It is not compiled
here, not even to a syntax tree: hostile source can crash the interpreter that does so.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from peftcourse.grading.members import Unreadable, printable
from peftcourse.grading.outputs import without_outputs
from peftcourse.grading.pictures import Picture

MAX_CONTAINERS = 3_000_000  # lists and objects; each takes 30 times its two bytes in memory
MAX_CELLS = 10_000
MAX_SOURCE = 2**20  # characters of all cells together

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
# Colab stores a pasted picture in the text of the cell, Jupyter beside it as an attachment.
_PASTED = re.compile(r"data:image/[^()\s\"'<>]*+")
MAX_PICTURES = 20  # of one cell


@dataclass(frozen=True)
class Cell:
    """One cell; ``kind`` is code, markdown, raw or what else the file says.

    Where its text shows a picture there stands ``picture 1``, which is the first of ``pictures``.
    """

    kind: str
    source: str
    id: str = ""
    grade_id: str = ""
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True)
class Notebook:
    """The cells of a notebook in order, and what was odd about reading them."""

    cells: tuple[Cell, ...]
    notes: tuple[str, ...] = ()


def parse(data: bytes) -> Notebook:
    """Read a notebook of format 2, 3 or 4, in any usual encoding, as far as it makes sense.

    Outputs are dropped unread, however large they are.

    Raises:
        Unreadable: these bytes are no notebook, or too large a one.
    """
    if not data.strip():
        raise Unreadable("the file is empty: save the notebook and hand it in again")
    if any(data.startswith(mark) and encoding != "utf-8-sig" for mark, encoding in _BOMS):
        text, notes = _decode(data)
        text = without_outputs(text.encode("utf-8", "replace")).decode("utf-8")
    else:
        text, notes = _decode(without_outputs(data))
    content = load_json(text)
    cells = tuple(_cells(content))
    if sum(len(cell.source) for cell in cells) > MAX_SOURCE:
        raise Unreadable(f"its cells hold more than {MAX_SOURCE:,} characters: shorten them")
    language = _dict(_dict(_dict(content).get("metadata")).get("kernelspec")).get("language")
    if isinstance(language, str) and language.lower() != "python":
        notes.append(f"the notebook's kernel is for {printable(language)}; it is read as Python")
    return Notebook(cells, tuple(notes))


def load_json(text: str) -> Any:
    """JSON without the numbers: integers beyond 15 digits become 0, since nothing needs them.

    Raises:
        Unreadable: it is malformed, or so large or so deep that it would take too much memory.
    """
    if text.count("[") + text.count("{") > MAX_CONTAINERS:
        raise Unreadable("it has too many parts: clear the outputs and hand it in again")
    try:
        return json.loads(text, parse_int=lambda digits: int(digits) if len(digits) < 16 else 0)
    except RecursionError:
        raise Unreadable("its JSON is nested too deeply for a notebook") from None
    except ValueError as problem:
        reason = printable(str(problem))
        raise Unreadable(f"it is not a notebook, or a damaged one ({reason})") from None


def _decode(data: bytes) -> tuple[str, list[str]]:
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            text = data.decode(encoding, "replace")
            damaged = text.count("\ufffd")
            return text, [f"{damaged} characters could not be decoded"] if damaged else []
    try:
        return data.decode("utf-8"), []
    except UnicodeDecodeError:
        text = data.decode("utf-8", "replace")
    damaged = text.count("\ufffd")
    beyond_ascii = len(text) - len(text.encode("ascii", "ignore"))
    if beyond_ascii > 2 * damaged:  # UTF-8 with a few bad bytes
        return text, [f"{damaged} characters could not be decoded as UTF-8"]
    text = data.decode("cp1252", "replace")
    return text, ["the file is not UTF-8; it was read as Windows-1252"]


def _cells(content: Any) -> Iterator[Cell]:
    content = _dict(content)
    found = content.get("cells")
    if not isinstance(found, list):  # formats 2 and 3 have worksheets
        sheets = content.get("worksheets")
        if not isinstance(sheets, list):
            raise Unreadable("it is JSON, but no notebook: it has no cells")
        lists = [_dict(sheet).get("cells") for sheet in sheets]
        found = [cell for cells in lists if isinstance(cells, list) for cell in cells]
    if len(found) > MAX_CELLS:
        raise Unreadable(f"it has more than {MAX_CELLS:,} cells")
    for cell in found:
        if isinstance(cell, dict):
            yield _cell(cell)


def _cell(cell: dict[str, Any]) -> Cell:
    metadata = _dict(cell.get("metadata"))
    kind = _text(cell.get("cell_type"))
    # A code cell's source was called input in format 3.
    source = _text(cell.get("source", cell.get("input")))
    source = source.replace("\r\n", "\n").replace("\r", "\n")
    source, pictures = _pictures(source, cell) if kind != "code" else (source, ())
    return Cell(
        kind,
        source,
        # Colab keeps the id in the metadata.
        id=_text(cell.get("id")) or _text(metadata.get("id")),
        grade_id=_text(_dict(metadata.get("nbgrader")).get("grade_id")),
        pictures=pictures,
    )


def _pictures(source: str, cell: dict[str, Any]) -> tuple[str, tuple[Picture, ...]]:
    """A text with ``picture 1`` and so on for its pictures, and these."""
    found: list[Picture] = []

    def number(data: str) -> str:
        if len(found) >= MAX_PICTURES:
            return "picture"
        found.append(Picture(data))
        return f"picture {len(found)}"

    source = _PASTED.sub(lambda pasted: number(pasted[0].partition(",")[2]), source)
    for name, kinds in _dict(cell.get("attachments")).items():
        data = next((_text(data) for kind, data in _dict(kinds).items() if "image" in kind), "")
        if data and len(found) < MAX_PICTURES:
            shown = number(data)
            reference = f"attachment:{name}"
            source = (
                source.replace(reference, shown)
                if reference in source
                else (f"{source}\n({shown})")
            )
    return source, tuple(found)


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    """A string, or a list of strings joined; anything that cannot be encoded is replaced."""
    if isinstance(value, list):
        value = "".join(part for part in value if isinstance(part, str))
    return _LONE_SURROGATE.sub("\ufffd", value) if isinstance(value, str) else ""
