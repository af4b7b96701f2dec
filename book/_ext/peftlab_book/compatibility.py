"""``{compatibility}``: every method on every architecture, from `peftlab parity --families`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

from peftlab_book.coverage import row, table
from peftlab_book.html import BookDirective, element, tag, text

RECORD = "parity_families.json"
MARKS = {"works": "✓", "refused": "–", "wrong": "✗"}


class Compatibility(BookDirective):
    """The matrix, then the reasons of what is not a check mark, then what could not be checked."""

    has_content = False

    def render(self) -> list[nodes.Node]:
        file = Path(__file__).resolve().parents[3] / "results" / RECORD
        self.env.note_dependency(str(file))
        cells = json.loads(file.read_text(encoding="utf-8"))["numbers"]["cells"]
        return [matrix(cells), *reasons(cells), *notes(cells)]


def matrix(cells: list[dict[str, Any]]) -> element:
    """A row for each architecture, a column for each method."""
    methods = list(dict.fromkeys(cell["method"] for cell in cells))
    rows: dict[str, dict[str, str]] = {}
    for cell in cells:
        rows.setdefault(cell["architecture"], {})[cell["method"]] = MARKS[cell["verdict"]]
    counts = {verdict: sum(cell["verdict"] == verdict for cell in cells) for verdict in MARKS}
    caption = text(
        f"{len(cells)} pairs: {counts['works']} work (✓), {counts['refused']} are refused with a "
        f"reason (–), {counts['wrong']} are known to be missing (✗)"
    )
    body = [row("td", name, *(marks[method] for method in methods)) for name, marks in rows.items()]
    worked = [
        f"{sum(marks[method] == MARKS['works'] for marks in rows.values())} of {len(rows)}"
        for method in methods
    ]
    return table(caption, ("Architecture", *methods), body, row("td", "work", *worked))


def reasons(cells: list[dict[str, Any]]) -> list[nodes.Node]:
    """Why a pair is refused or missing, in the words of the error, each with its pairs."""
    found: dict[tuple[str, str], list[str]] = {}
    for cell in cells:
        if cell["verdict"] != "works":
            pair = f"{cell['method']} on {cell['architecture']}"
            found.setdefault((cell["verdict"], cell["reason"]), []).append(pair)
    lines = [
        tag("li", text(f"{MARKS[verdict]} {', '.join(pairs)}: {reason}"))
        for (verdict, reason), pairs in found.items()
    ]
    return [tag("details", tag("summary", text("The reasons")), tag("ul", *lines))]


def notes(cells: list[dict[str, Any]]) -> list[nodes.Node]:
    """What could not be checked of pairs that work, and why."""
    found: dict[str, list[str]] = {}
    for cell in cells:
        for check, seen in cell["checks"].items():
            if cell["verdict"] == "works" and seen != "ok":
                pair = f"{cell['method']} on {cell['architecture']}"
                found.setdefault(f"{check}: {seen}", []).append(pair)
    lines = [
        tag("li", text(f"{what} ({len(pairs)} pairs, such as {pairs[0]})"))
        for what, pairs in sorted(found.items())
    ]
    return [tag("details", tag("summary", text("What does not apply")), tag("ul", *lines))]


def setup(app: Sphinx) -> None:
    """Register the directive."""
    app.add_directive("compatibility", Compatibility)
