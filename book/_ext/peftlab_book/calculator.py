"""``{calculator}``: the memory calculator, complete in its page.

Its markup, style and scripts are ``book/_calculator/``; what can be chosen and the table of
formulas come from `peftlab.memory` when the page is written. All of it stands in the page itself:
no other page loads it, and it works from a disk, where browsers let a page fetch nothing.
"""

from __future__ import annotations

import json
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx

from peftlab_book.html import BookDirective

SOURCE = Path(__file__).resolve().parents[2] / "_calculator"


def page() -> str:
    """The calculator's HTML, with everything that it needs."""
    from peftcourse.calculator import page

    # The one sequence that would end the element early.
    data = json.dumps(page.data(), separators=(",", ":")).replace("</", "<\\/")
    style, form, estimate, script = (
        (SOURCE / name).read_text(encoding="utf-8")
        for name in ("calculator.css", "form.html", "estimate.js", "page.js")
    )
    return (
        f"<style>\n{style}</style>\n{form}"
        f'<script type="application/json" id="calculator-data">{data}</script>\n'
        f"<script>\n{estimate}</script>\n<script>\n{script}</script>\n"
    )


class Calculator(BookDirective):
    """The calculator; has neither arguments nor content."""

    has_content = False

    def render(self) -> list[nodes.Node]:
        import peftlab.memory

        package = Path(peftlab.memory.__file__).parent
        for source in (*SOURCE.iterdir(), *package.glob("*.py")):
            self.env.note_dependency(str(source))
        return [nodes.raw("", page(), format="html")]


def setup(app: Sphinx) -> None:
    """Register the directive."""
    app.add_directive("calculator", Calculator)
