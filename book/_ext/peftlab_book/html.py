"""One docutils node that becomes one HTML element, and what every directive here shares."""

from __future__ import annotations

import hashlib
from typing import NoReturn

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.writers.html5 import HTML5Translator


class element(nodes.General, nodes.Element):
    """An HTML element; its tag and attributes are in ``node["tag"]`` and ``node["html"]``."""


def tag(kind: str, /, *children: nodes.Node, classes: str = "", **attributes: str) -> element:
    """Make an `element`.

    Args:
        kind: The HTML tag.
        *children: Nodes inside it.
        classes: CSS classes, separated by spaces.
        **attributes: HTML attributes. ``aria_label`` becomes ``aria-label``, a trailing
            underscore is dropped (``for_``).
    """
    html = {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items()}
    return element("", *children, tag=kind, html=html, classes=classes.split())


def text(content: str) -> nodes.Text:
    """Plain text as a child of a `tag`."""
    return nodes.Text(content)


def _visit(translator: HTML5Translator, node: element) -> None:
    translator.body.append(translator.starttag(node, node["tag"], "", **node["html"]))


def _depart(translator: HTML5Translator, node: element) -> None:
    if node["tag"] != "input":
        translator.body.append(f"</{node['tag']}>\n")


class ContentError(Exception):
    """What an author wrote in a directive cannot be rendered; the message says how to mend it."""


class BookDirective(SphinxDirective):
    """A directive whose `ContentError` becomes a warning at the directive's file and line."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        try:
            return self.render()
        except ContentError as error:
            message = f"{{{self.name}}}: {error}"
            return [self.state_machine.reporter.warning(message, line=self.lineno)]

    def render(self) -> list[nodes.Node]:
        """Turn the directive's content into nodes; raise `ContentError` if that is impossible."""
        raise NotImplementedError

    def fail(self, message: str) -> NoReturn:
        """Reject the content."""
        raise ContentError(message)

    def parse(self, first: int, last: int) -> nodes.Element:
        """Parse lines ``first`` to ``last`` (exclusive) of the content as MyST."""
        container = nodes.Element()
        container.document = self.state.document
        self.state.nested_parse(self.content[first:last], self.content_offset + first, container)
        return container

    def parts(self) -> list[tuple[int, int]]:
        """Split the content at lines of three or more dashes that are outside code fences.

        Returns:
            Pairs of a first and a last (exclusive) line; at least one.
        """
        bounds, first, fence = [], 0, ""
        for index, line in enumerate(self.content):
            stripped = line.strip()
            if fence:
                if stripped == fence:
                    fence = ""
            elif stripped.startswith(("```", "~~~", ":::")):
                length = len(stripped) - len(stripped.lstrip(stripped[0]))
                fence = stripped[0] * length
            elif len(line.rstrip()) >= 3 and set(line.rstrip()) == {"-"}:
                bounds.append((first, index))
                first = index + 1
        return [*bounds, (first, len(self.content))]

    def unique_id(self, prefix: str, question: nodes.Element) -> str:
        """An id made from the question's words: a rewritten question is a new one.

        Raises:
            ContentError: The page already has this question.
        """
        digest = hashlib.sha1(question.astext().encode()).hexdigest()[:8]
        identifier = f"{prefix}-{digest}"
        taken = self.env.temp_data.setdefault("peftlab_book_ids", set())
        if identifier in taken:
            self.fail("the same question stands twice on this page; reword one of them")
        taken.add(identifier)
        return identifier


def setup(app: Sphinx) -> None:
    """Register the node."""
    app.add_node(element, html=(_visit, _depart))
