"""What a check says, as a notebook shows it: coloured, with an icon and a link to the chapter.

The words are those of the plain text, which is what everything else gets: terminals, graders,
stored outputs, and whoever reads a notebook without its HTML.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from html import escape
from importlib.metadata import PackageNotFoundError, metadata

from peftcourse.exercises import feedback

# White text on these has a contrast of 5 and more; the rest of the text has the theme's colour.
_GREEN, _RED, _ORANGE, _GREY = "#1a7f37", "#b42318", "#9a4a00", "#57606a"
_LOOKS = {
    feedback.CORRECT: ("✓", _GREEN),
    feedback.NOT_ATTEMPTED: ("○", _GREY),
    feedback.NOT_FINISHED: ("◷", _ORANGE),
    feedback.RAISED: ("!", _RED),
}
_WRONG = ("✗", _RED)
# Against what notebooks do to tables: the text is as dark or light as the theme's.
_INHERIT = "color:inherit;background:none;font-size:inherit"
PLAIN = "plain"


class Shown:
    """A report on an answer, with what else is to be said; as text and as HTML.

    Args:
        report: what was found.
        more: further lines, as label and text.
        page: the chapter's page in the book and the title of the section in it.
    """

    def __init__(
        self,
        report: feedback.Report,
        more: Sequence[tuple[str, str]] = (),
        page: tuple[str, str] = ("", ""),
    ) -> None:
        self.report = report
        self.rows = [*report.rows, *more]
        self.page = page

    def __repr__(self) -> str:
        return feedback.lines(self.rows)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._repr_html_()}

    def _repr_html_(self) -> str:
        icon, colour = _LOOKS.get(self.report.status, _WRONG)
        badge = (
            f'<span style="background:{colour};color:#fff;border-radius:3px;padding:0 .5em;'
            f'font-weight:bold">{icon} {escape(self.report.status)}</span>'
        )
        (_, status), *rest = self.rows
        after = escape(status.removeprefix(self.report.status))
        rows = "".join(
            f'<tr style="{_INHERIT}">'
            f"{_cell('th', escape(label))}{_cell('td', self._linked(escape(text)))}</tr>"
            for label, text in rest
        )
        return (
            f'<div style="border-left:4px solid {colour};padding:.2em 0 .2em .8em;margin:.2em 0">'
            f"<div>{badge}{after}</div>"
            f'<table style="border:none;margin:.3em 0 0;{_INHERIT}">{rows}</table></div>'
        )

    def _linked(self, text: str) -> str:
        """The escaped text, with the name of the chapter's section as a link if the book is known.

        The name stands there in brackets: (chapter: “The layer”).
        """
        name, section = self.page
        address = book()
        if not (address and section):
            return text
        quoted = f"“{escape(section)}”"
        link = escape(f"{address}/{name}.html#{anchor(section)}", quote=True)
        attributes = (
            'target="_blank" rel="noopener" style="color:inherit;text-decoration:underline"'
        )
        return text.replace(quoted, f'<a href="{link}" {attributes}>{quoted}</a>')


def _cell(tag: str, content: str) -> str:
    style = f"text-align:left;vertical-align:top;padding:0 1em 0 0;{_INHERIT}"
    width = ";white-space:nowrap" if tag == "th" else ";white-space:normal"
    scope = ' scope="row"' if tag == "th" else ""
    return f'<{tag}{scope} style="{style}{width}">{content}</{tag}>'


def show(shown: Shown) -> None:
    """Display it in a notebook; print it anywhere else."""
    if in_notebook():
        from IPython.display import display

        display(shown)
    else:
        print(shown)


def in_notebook() -> bool:
    """Whether a notebook's kernel runs this that may show HTML.

    ``PEFTLAB_VERDICTS=plain`` says that it may not: solutions are stored so, and nbgrader's runs
    are read by machines.
    """
    if os.environ.get("PEFTLAB_VERDICTS") == PLAIN or os.environ.get("NBGRADER_EXECUTION"):
        return False
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython

    return hasattr(get_ipython(), "kernel")


def book() -> str:
    """Where the book is: ``PEFTLAB_BOOK``, else the package's address of its documentation.

    Returns:
        The address of the folder with the chapters' pages, or "" while there is none. The second
        is ``Documentation`` among ``project.urls`` in ``pyproject.toml``.
    """
    chosen = os.environ.get("PEFTLAB_BOOK", "")
    if not chosen:
        try:
            listed = metadata("peftlab").get_all("Project-URL") or []
        except PackageNotFoundError:
            listed = []
        found = dict(line.split(", ", 1) for line in listed if ", " in line)
        chosen = found.get("Documentation", "")
    # An address, and no script.
    return chosen.rstrip("/") if re.match(r"(https?|file)://", chosen) else ""


def anchor(section: str) -> str:
    """The id that Sphinx gives the heading of a section."""
    from unicodedata import normalize

    plain = normalize("NFKD", section).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-").lstrip("0123456789-")
