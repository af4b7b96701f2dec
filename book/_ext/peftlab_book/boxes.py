"""Boxes with a fixed title and look, and the card that opens a lab."""

from __future__ import annotations

from typing import Any, ClassVar

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from peftlab_book.html import BookDirective, tag, text

TITLES = {
    "objectives": "What you will be able to do",
    "misconception": "What people get wrong",
    "summary": "Summary",
}


class Box(BookDirective):
    """An admonition titled by its kind, or by the directive's argument."""

    optional_arguments = 1
    final_argument_whitespace = True

    def render(self) -> list[nodes.Node]:
        self.assert_has_content()
        title = self.arguments[0] if self.arguments else TITLES[self.name]
        inline, messages = self.state.inline_text(title, self.lineno)
        box = nodes.admonition("", nodes.title(title, "", *inline), *messages)
        box["classes"] += ["pl-box", f"pl-{self.name}"]
        box += self.parse(0, len(self.content)).children
        return [box]


class Lab(SphinxDirective):
    """``{lab} 03_lora``: the file, the command that opens it and, if public, Colab.

    Colab opens notebooks of a public repository only, so its link needs ``repository.url``.
    """

    required_arguments = 1
    has_content = False
    option_spec: ClassVar[dict[str, Any]] = {}

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        path = f"labs/{name}.ipynb"
        download = addnodes.download_reference(
            "",
            "",
            nodes.literal("", path),
            refdoc=self.env.docname,
            reftarget=f"../{path}",
            reftype="download",
        )
        self.set_source_info(download)
        line = nodes.paragraph("", "", text("Open "), download, text(" in Jupyter: "))
        line += nodes.literal("", f"jupyter lab {path}")
        card = tag("section", classes="pl-card pl-lab", aria_label="Lab")
        card += tag("p", text("Lab"), classes="pl-label")
        card += line
        repository = self.config.peftlab_repository
        if repository["url"]:
            address = repository["url"].rstrip("/").removeprefix("https://github.com/")
            colab = f"https://colab.research.google.com/github/{address}"
            link = nodes.reference(
                "", "Open it in Colab", refuri=f"{colab}/blob/{repository['branch']}/{path}"
            )
            card += nodes.paragraph("", "", link)
        return [card]


def setup(app: Sphinx) -> None:
    """Register the directives and the setting that the build fills from ``repository``."""
    app.add_config_value("peftlab_repository", {"url": "", "branch": "main"}, "env", dict)
    for name in TITLES:
        app.add_directive(name, Box)
    app.add_directive("lab", Lab)
