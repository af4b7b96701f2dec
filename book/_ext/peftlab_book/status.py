"""``{execution-status}``: when each page last ran, for how long, and which records it shows.

What ran comes from the build itself: myst-nb notes for each page when its outputs were computed,
in how many seconds and whether without an error, also where they come from the cache. What was
recorded comes from the source: a page that names a file of ``results/`` shows its numbers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from myst_nb.ext.execution_tables import METADATA_KEY
from myst_nb.sphinx_ import NbMetadataCollector
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective

RESULTS = Path(__file__).resolve().parents[3] / "results"
CODE_CELL = re.compile(r"^`{3,}\{code-cell\}", re.MULTILINE)
QUOTED = re.compile(r"""["'](\w+)["']""")


@dataclass(frozen=True)
class Page:
    """What is known of one page.

    Attributes:
        name: its path without suffix.
        cells: how many code cells it has.
        records: stems of the files of ``results/`` that its code names, sorted.
        ran: what myst-nb noted of its execution; empty for a page without code.
    """

    name: str
    cells: int
    records: tuple[str, ...]
    ran: dict[str, Any]


def names_in(source: str, known: Iterable[str]) -> tuple[str, ...]:
    """The recorded results whose names stand in quotes in a page's source, sorted."""
    return tuple(sorted(set(QUOTED.findall(source)) & set(known)))


def records(folder: Path = RESULTS) -> dict[str, dict[str, Any]]:
    """Every recorded result by its name."""
    return {
        file.stem: json.loads(file.read_text(encoding="utf-8")) for file in folder.glob("*.json")
    }


def pages(env: BuildEnvironment, known: Iterable[str]) -> list[Page]:
    """Every page of the book in reading order."""
    ran = NbMetadataCollector.get_doc_data(env)
    found = []
    for name in reading_order(env):
        source = Path(env.doc2path(name)).read_text(encoding="utf-8")
        cells = len(CODE_CELL.findall(source))
        data = ran.get(name, {}).get("exec_data") or {}
        found.append(Page(name, cells, names_in(source, known) if cells else (), data))
    return found


def reading_order(env: BuildEnvironment) -> list[str]:
    """The pages as the table of contents has them, then any that it lacks."""
    order: list[str] = []

    def visit(name: str) -> None:
        if name not in order and name in env.found_docs:
            order.append(name)
            for child in env.toctree_includes.get(name, []):
                visit(child)

    visit(env.config.root_doc)
    return order + sorted(set(env.found_docs) - set(order))


class StatusPlace(nodes.General, nodes.Element):
    """Where the tables will stand, when every page has been read."""


class Status(SphinxDirective):
    """Two tables: what was executed, and what was recorded."""

    has_content = False
    option_spec: ClassVar[dict[str, Any]] = {}

    def run(self) -> list[nodes.Node]:
        # myst-nb writes pages that bear this mark again whenever another page was executed.
        NbMetadataCollector.set_doc_data(self.env, self.env.docname, METADATA_KEY, True)
        for file in sorted(RESULTS.glob("*.json")):
            self.env.note_dependency(str(file))
        return [StatusPlace()]


class FillStatus(SphinxPostTransform):
    """Put the tables in their place, before references are resolved."""

    default_priority = 8

    def run(self, **kwargs: Any) -> None:
        for place in list(self.document.findall(StatusPlace)):
            known = records()
            found = pages(self.env, known)
            place.replace_self([self.executed(found), self.recorded(found, known)])

    def executed(self, found: Sequence[Page]) -> nodes.Node:
        """One row for each page that has code, and the others in a sentence."""
        rows, total, cells = [], 0.0, 0
        for page in found:
            if not page.cells:
                continue
            seconds, when = page.ran.get("runtime"), page.ran.get("mtime")
            total, cells = total + (seconds or 0), cells + page.cells
            rows.append(
                [
                    self.link(page.name),
                    nodes.Text(str(page.cells)),
                    nodes.Text(f"{seconds:.0f}" if seconds is not None else "not noted"),
                    unbroken(minute(when) if when else "never"),
                    nodes.Text(outcome(page.ran)),
                    nodes.Text(", ".join(page.records) or "all live"),
                ]
            )
        rest = [page for page in found if not page.cells]
        words = f"{len(rows)} pages with {cells} code cells ran in {total:.0f} seconds together. "
        words += f"{len(rest)} pages are text and have nothing to run."
        heads = [
            "page",
            "code cells",
            "seconds",
            "run at (UTC)",
            "result",
            "recorded numbers",
        ]
        return nodes.container("", table(heads, rows), nodes.paragraph("", words))

    def recorded(self, found: Sequence[Page], known: dict[str, dict[str, Any]]) -> nodes.Node:
        """One row for each recorded result that a page shows."""
        rows = []
        for name in sorted({name for page in found for name in page.records}):
            users = [page for page in found if name in page.records]
            cell: list[nodes.Node] = []
            for page in users:
                cell += [nodes.Text(", "), self.link(page.name)] if cell else [self.link(page.name)]
            record = known[name]
            rows.append(
                [
                    nodes.literal("", f"results/{name}.json"),
                    nodes.Text(machines(record.get("hardware", "not noted"))),
                    unbroken(record.get("date", "not noted")),
                    nodes.inline("", "", *cell),
                    nodes.literal("", record.get("command", "not noted")),
                ]
            )
        return table(["file", "measured on", "date", "shown in", "command"], rows)

    def link(self, name: str) -> nodes.Node:
        """A link to a page by its title."""
        link = addnodes.pending_xref(
            "",
            nodes.inline("", self.env.titles[name].astext()),
            refdoc=self.env.docname,
            reftarget=f"/{name}",
            reftype="doc",
            refdomain="std",
            refexplicit=True,
            refwarn=True,
        )
        return link


def machines(hardware: str) -> str:
    """The hardware of a record; a row of equal devices becomes their number and their name."""
    names = hardware.split(", ")
    return f"{len(names)} x {names[0]}" if len(names) > len(set(names)) == 1 else hardware


def minute(timestamp: float) -> str:
    """A time of day in UTC."""
    return f"{datetime.fromtimestamp(timestamp, UTC):%Y-%m-%d %H:%M}"


def unbroken(text: str) -> nodes.inline:
    """A text that stays on one line."""
    return nodes.inline("", text, classes=["pl-unbroken"])


def outcome(ran: dict[str, Any]) -> str:
    """How the last execution of a page ended, in a word or two."""
    if not ran:
        return "not run"
    return "passed" if ran["succeeded"] else f"failed: {ran['error']}"


def table(heads: Sequence[str], rows: Iterable[Sequence[nodes.Node]]) -> nodes.table:
    """A table of inline nodes."""
    group = nodes.tgroup(cols=len(heads))
    group += [nodes.colspec(colwidth=1) for _ in heads]
    group += nodes.thead("", row([nodes.Text(head) for head in heads]))
    group += nodes.tbody("", *(row(cells) for cells in rows))
    return nodes.table("", group, classes=["colwidths-auto", "pl-status-table"])


def row(cells: Sequence[nodes.Node]) -> nodes.row:
    """One row of a table."""
    return nodes.row("", *(nodes.entry("", nodes.paragraph("", "", cell)) for cell in cells))


def setup(app: Sphinx) -> None:
    """Register the directive; the placeholder never reaches a page."""
    app.add_node(StatusPlace)
    app.add_directive("execution-status", Status)
    app.add_post_transform(FillStatus)
