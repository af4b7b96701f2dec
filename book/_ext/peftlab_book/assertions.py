"""Code cells fold their assertions away: they hold what the prose says, and would tell it early.

An ``assert`` beside a question is the answer in Python. So a page shows a cell's code without its
assertions, and each run of them behind a line that opens them where they stand. Those inside a
function stay, since they belong to what the function does. Cells that are folded as a whole (tag
``hide-input``) are left alone.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from docutils import nodes
from myst_nb.sphinx_ import HideInputCells
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

from peftlab_book.html import element, tag, text

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
BLOCKS = ("body", "orelse", "finalbody", "handlers")


def parts(statement: ast.stmt) -> list[ast.stmt]:
    """The statements inside a loop, a branch or a ``with``; none inside a function."""
    if isinstance(statement, FUNCTIONS):
        return []
    return [inner for name in BLOCKS for inner in getattr(statement, name, [])]


def is_check(statement: ast.stmt) -> bool:
    """Whether a statement does nothing but assert: an assertion, or a loop over some."""
    inside = parts(statement)
    return isinstance(statement, ast.Assert) or (bool(inside) and all(map(is_check, inside)))


def checks(statements: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The outermost statements that do nothing but assert, in the order of their lines."""
    for statement in statements:
        if is_check(statement):
            yield statement
        else:
            yield from checks(parts(statement))


def split(code: str) -> list[tuple[str, int]]:
    """Cut code into what shows and what is folded.

    Args:
        code: The source of a cell.

    Returns:
        Pieces in order, each with the number of assertions in it; 0 is code that shows. Empty
        lines between two pieces are dropped.
    """
    lines = code.split("\n")
    belongs = [0] * len(lines)  # 0 shows; otherwise the run of assertions that the line is in
    run, end = 0, -1
    count: dict[int, int] = {}
    for found in checks(ast.parse(code).body):
        # Only empty lines and comments in between: the same run.
        between = lines[end : found.lineno - 1]
        if end < 0 or any(line.strip() and not line.strip().startswith("#") for line in between):
            run, end = run + 1, found.lineno - 1
        belongs[end : found.end_lineno] = [run] * (found.end_lineno - end)
        asserted = sum(isinstance(node, ast.Assert) for node in ast.walk(found))
        count[run] = count.get(run, 0) + asserted
        end = found.end_lineno
    pieces: list[tuple[int, list[str]]] = []
    for line, mark in zip(lines, belongs, strict=True):
        if not pieces or pieces[-1][0] != mark:
            pieces.append((mark, []))
        pieces[-1][1].append(line)
    texts = [("\n".join(part).strip("\n"), count.get(mark, 0)) for mark, part in pieces]
    return [(piece, number) for piece, number in texts if piece.strip()]


def folded(block: nodes.literal_block, number: int) -> element:
    """Assertions behind a line that opens them."""
    words = f"Checked: {number} assertion{'s' if number > 1 else ''}"
    return tag("details", tag("summary", text(words)), block, classes="pl-assertions")


class FoldAssertions(SphinxPostTransform):
    """Put the assertions of every visible code cell behind a click."""

    default_priority = HideInputCells.default_priority - 1
    formats = ("html",)

    def run(self, **kwargs: object) -> None:
        for cell in list(self.document.findall(nodes.container)):
            if cell.get("nb_element") != "cell_code_source" or cell.parent.get("hide_mode"):
                continue
            for block in list(cell.findall(nodes.literal_block)):
                pieces = split(block.astext())
                if any(number for _, number in pieces):
                    block.parent.replace(block, [self.shown(block, *piece) for piece in pieces])

    @staticmethod
    def shown(block: nodes.literal_block, code: str, number: int) -> nodes.Node:
        """One piece as a block of code like the whole, folded if it holds assertions."""
        piece = nodes.literal_block(code, code, **block.attributes)
        return folded(piece, number) if number else piece


def setup(app: Sphinx) -> None:
    """Register the transform."""
    app.add_post_transform(FoldAssertions)
