"""Find what differs between the notebooks on disk and what their sources give."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from peftcourse.exercises import find
from peftcourse.labs.files import read, shown, text
from peftcourse.labs.generate import ANSWER, BEGIN, WRITTEN

if TYPE_CHECKING:
    from nbformat import NotebookNode

# Lines of an answer that may well stand in other cells too.
_COMMON_LINE = re.compile(
    r"\W*|(try|else|finally|pass|yield|return|break|continue|with torch\.no_grad\(\))\W*"
)
# A full stop within a number ends none; asterisks are bold type.
_SENTENCE_END = re.compile(r"(?<=[.:?!])\** ")


def differences(
    path: Path, expected: NotebookNode, root: Path, *, outputs: bool = False
) -> Iterator[str]:
    """How a notebook differs from what was generated; ``outputs`` says that it has some."""
    name = shown(path, root)
    stored = read(path)
    if stored is None:
        yield f"{name}: is missing or not a valid notebook; run `peftlab labs build`"
        return
    if len(stored.cells) != len(expected.cells):
        yield f"{name}: has {len(stored.cells)} cells, its source gives {len(expected.cells)}"
    found = False
    for number, (cell, wanted) in enumerate(zip(stored.cells, expected.cells, strict=False), 1):
        for part in ("cell_type", "id", "source", "metadata"):
            if cell.get(part) != wanted.get(part):
                found = True
                yield f"{name}, cell {number}: {part} differs from what solutions/ generates"
        if cell.cell_type == "code" and outputs and cell.execution_count is None:
            found = True
            yield f"{name}, cell {number}: was not executed; run `peftlab labs build`"
    if not found and not outputs and path.read_text(encoding="utf-8") != text(expected):
        yield f"{name}: metadata, outputs or formatting differ from what the source gives"
    elif not found and stored.metadata != expected.metadata:
        yield f"{name}: the notebook's metadata differ from what the source gives"


def leaks(path: Path, source: Path, root: Path) -> Iterator[str]:
    """Lines of an answer, or sentences of a model answer, that stand in a student's notebook."""
    markdown = source.read_text(encoding="utf-8")
    lines = {
        stripped
        for _, block in ANSWER.findall(markdown)
        for line in block.splitlines()
        if not _COMMON_LINE.fullmatch(stripped := line.strip())
    }
    sentences = [
        sentence
        for written in map(find, WRITTEN.findall(markdown))
        for sentence in _SENTENCE_END.split(_one_line(written.model_answer))
        if sentence.count(" ") >= 4 and sentence not in _one_line(written.banner())
    ]
    stored = read(path)
    for number, cell in enumerate(stored.cells if stored else (), 1):
        texts = [cell.source, *(text for out in cell.get("outputs", ()) for text in _texts(out))]
        shows = f"{shown(path, root)}, cell {number}: shows a"
        for line in "\n".join(texts).splitlines():
            if line.strip() in lines or BEGIN in line:
                yield f"{shows} line of an answer: {line.strip()}"
        text = _one_line("\n".join(texts))
        for sentence in sentences:
            if sentence in text:
                yield f"{shows} sentence of a model answer: {sentence}"


def _one_line(text: str) -> str:
    """The text without its line breaks, which may fall anywhere in prose."""
    return " ".join(text.split())


def _texts(output: NotebookNode) -> list[str]:
    """What an output shows as text."""
    values = [
        output.get("text", ""),
        *output.get("traceback", ()),
        *output.get("data", {}).values(),
    ]
    return [value for value in values if isinstance(value, str)]
