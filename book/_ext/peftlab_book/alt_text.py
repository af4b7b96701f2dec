"""No figure without words: every image on every page needs alternative text.

Sphinx writes an image's path as its alt text where the author gave none, and so do outputs of
code cells; a path tells a blind reader nothing and counts as missing.
"""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp")


def is_missing(alt: str | None) -> bool:
    """Whether an alt text is absent, blank, or a file's path."""
    words = (alt or "").strip()
    return not words or (" " not in words and words.lower().endswith(IMAGE_SUFFIXES))


class Finder(HTMLParser):
    """Collects what is wrong with the images and figures of one page."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[str] = []
        self._captions: list[str | None] = []  # one per open <figure>: its caption's text
        self._in_caption = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag == "img" and is_missing(attributes.get("alt")):
            source = attributes.get("src") or "an inline image"
            source = "an inline image" if source.startswith("data:") else source
            self.faults.append(
                f"{source} has no alt text; write `:alt:` or return a peftlab Figure"
            )
        elif attributes.get("role") == "img" and is_missing(attributes.get("aria-label")):
            self.faults.append(f"a <{tag} role=img> has no aria-label")
        if tag == "figure":
            self._captions.append(None)
        elif tag == "figcaption":
            self._in_caption = True

    def handle_data(self, data: str) -> None:
        if self._in_caption and self._captions:
            self._captions[-1] = (self._captions[-1] or "") + data.strip()

    def handle_endtag(self, tag: str) -> None:
        if tag == "figcaption":
            self._in_caption = False
        elif tag == "figure" and self._captions and not self._captions.pop():
            self.faults.append("a figure has no caption; state its finding below it")


def check_page(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Warn for every image without alt text and every figure without a caption on a page."""
    finder = Finder()
    finder.feed(context.get("body") or "")
    for fault in finder.faults:
        logger.warning(fault, location=pagename)


def setup(app: Sphinx) -> None:
    """Check each page as it is written."""
    app.connect("html-page-context", check_page)
