"""The course's own Sphinx extension: questions for the reader, cards, folded assertions, alt texts.

| Directive | Renders |
|---|---|
| ``{predict}`` | a question that must be answered before its answer shows |
| ``{quiz}`` | questions with feedback for each choice |
| ``{exercise-list}`` | the banners of a lesson's exercises |
| ``{coverage}`` | every exercise of every lesson, and what guards it |
| ``{compatibility}`` | every method on every architecture, and why not |
| ``{lab}`` | how to open a lesson's lab |
| ``{calculator}`` | the memory calculator |
| ``{execution-status}`` | when each page ran, and which records it shows |
| ``{objectives}``, ``{misconception}``, ``{summary}`` | boxes with a fixed look and title |

Content that cannot be rendered is a warning with file and line, and so fails the build.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from peftlab_book import (
    alt_text,
    assertions,
    boxes,
    calculator,
    compatibility,
    coverage,
    exercises,
    html,
    questions,
    status,
)

STATIC = Path(__file__).parent / "static"


def _add_static_path(app: Sphinx) -> None:
    app.config.html_static_path.append(str(STATIC))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register everything with Sphinx."""
    html.setup(app)
    questions.setup(app)
    boxes.setup(app)
    exercises.setup(app)
    coverage.setup(app)
    compatibility.setup(app)
    calculator.setup(app)
    status.setup(app)
    alt_text.setup(app)
    assertions.setup(app)
    app.connect("builder-inited", _add_static_path)
    app.add_config_value("peftlab_assets", "", "html", str)  # see book/build.py
    app.add_css_file("peftlab_book.css")
    app.add_js_file("peftlab_book.js", loading_method="defer")
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
