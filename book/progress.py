"""A Sphinx extension that says which page is read or written, and counts them.

On a terminal the line changes in place; in a log there is one at the end of each part.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from sphinx.application import Sphinx

CLEAR_LINE = "\r\x1b[K"


class Pages:
    """Counts the pages of one build."""

    def __init__(self) -> None:
        self.changed = self.read = self.written = 0

    def before_reading(self, app: Sphinx, env: Any, names: Sequence[str]) -> None:
        self.changed = len(names)

    def reading(self, app: Sphinx, name: str, source: list[str]) -> None:
        self.read += 1
        self.show(f"reading {self.read} of {self.changed}: {name}")

    def writing(self, app: Sphinx, name: str, *_: Any) -> None:
        self.written += 1
        self.show(f"writing {self.written}: {name}")

    def finished(self, app: Sphinx, exception: Exception | None) -> None:
        if sys.stdout.isatty():
            print(CLEAR_LINE, end="")
        print(f"   {self.read} pages read, {self.written} written", flush=True)

    def show(self, text: str) -> None:
        if sys.stdout.isatty():
            print(f"{CLEAR_LINE}   {text}", end="", flush=True)


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    pages = Pages()
    app.connect("env-before-read-docs", pages.before_reading)
    app.connect("source-read", pages.reading)
    app.connect("html-page-context", pages.writing)
    app.connect("build-finished", pages.finished)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
