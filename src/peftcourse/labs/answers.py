"""The answers of all labs, as ``peftcourse.solution`` shows them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from peftcourse.labs.generate import ANSWER, generate

_CHECK = re.compile(r"""^check\(\s*["']([\w.]+)["']\s*,\s*(\w+)""", re.MULTILINE)


def model_answers(sources: Sequence[Path], root: Path) -> dict[str, dict[str, str]]:
    """By the exercise's id: what the answer is called, and its source without the markers.

    Raises:
        PeftlabError: a source cannot be used.
    """
    found: dict[str, dict[str, str]] = {}
    for source in sources:
        _, solution = generate(source, root)
        answer = ""
        for cell in solution.cells:
            if cell.cell_type == "code" and ANSWER.search(cell.source):
                answer = ANSWER.sub(lambda match: match[2].rstrip("\n"), cell.source)
            elif cell.cell_type == "code" and (match := _CHECK.search(cell.source)):
                found[match[1]] = {"name": match[2], "source": answer}
    return found
