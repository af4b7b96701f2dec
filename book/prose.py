"""A MyST page as its readers and its kernel see it: sentences and code, under their headings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

# Directives whose text belongs to the page. Those that repeat what its sections found come first.
REPEATING = {"quiz", "objectives", "misconception", "summary"}
READ = REPEATING | {"predict", "dropdown", "glossary", "note", "tip", "warning", "admonition"}
CITED = "⟦cited⟧"


@dataclass(frozen=True)
class Sentence:
    """A sentence, a row of a table or a formula.

    Attributes:
        line: of the page, from 1, where its paragraph begins.
        text: without markup; code and roles are left out, citations are `CITED`.
        inside: the directive around it, or "".
        cited: whether it, or what introduces it, cites a source.
    """

    line: int
    text: str
    inside: str = ""
    cited: bool = False


@dataclass
class Section:
    """What stands under one heading: its sentences, and the code of its cells."""

    sentences: list[Sentence] = field(default_factory=list)
    code: list[str] = field(default_factory=list)


@cache
def _parser() -> MarkdownIt:
    """The parser of the book's pages, with the extensions that they use."""
    from markdown_it.renderer import RendererHTML
    from myst_parser.config.main import MdParserConfig
    from myst_parser.parsers.mdit import create_md_parser

    extensions = {"amsmath", "colon_fence", "deflist", "dollarmath"}
    return create_md_parser(MdParserConfig(enable_extensions=extensions), RendererHTML)


def sections(text: str) -> list[Section]:
    """Take a MyST page apart: the sentences and the code under each heading."""
    found = [Section()]
    for token, line, inside in _tokens(text, 1, ""):
        if token.type == "heading_open" and not inside:
            found.append(Section())
        elif _directive(token) == "code-cell":
            found[-1].code.append(_without_options(token.content))
        elif token.type == "inline":
            previous = found[-1].sentences[-1] if found[-1].sentences else None
            found[-1].sentences += _sentences(token, line, inside, previous)
        elif token.type in ("math_block", "math_block_label", "amsmath"):
            found[-1].sentences.append(Sentence(line, token.content, inside))
    return found


def _tokens(text: str, first: int, inside: str) -> Iterator[tuple[Token, int, str]]:
    """The tokens of a text and of the directives in it, with their line and directive."""
    in_row, row = False, []
    for token in _parser().parse(text):
        line = first + (token.map[0] if token.map else 0)
        name = _directive(token)
        if name in READ:
            # `---` parts a question from its answer; Markdown would make a heading of it.
            for part, start in _split(token.content, line + 1):
                yield from _tokens(part, start, name if name in REPEATING else inside or name)
        elif token.type in ("tr_open", "tr_close"):
            in_row = token.type == "tr_open"
            if not in_row:
                yield _joined(row), row[0][1], inside
                row = []
        elif in_row:
            row += [(token, line)] * (token.type == "inline")
        else:
            yield token, line, inside


def _directive(token: Token) -> str:
    """The name of the directive that a fence is, or ""."""
    found = re.match(r"\{([\w:-]+)\}", token.info) if "fence" in token.type else None
    return found[1] if found else ""


def _split(text: str, first: int) -> Iterator[tuple[str, int]]:
    """The parts of a directive's content between lines of ``---``, and their first lines."""
    part: list[str] = []
    for number, line in enumerate([*text.split("\n"), "---"]):
        if line == "---":
            yield "\n".join(part), first + number - len(part)
            part = []
        else:
            part.append("" if re.match(r":\w+: ", line) else line)


def _joined(cells: list[tuple[Token, int]]) -> Token:
    """The cells of a row as one token."""
    whole = cells[0][0].copy()
    whole.meta = {"row": True}
    whole.children = [child for cell, _ in cells for child in (*cell.children, _bar(cell))]
    return whole


def _bar(cell: Token) -> Token:
    return cell.copy(type="text", content=" | ", children=[])


def _without_options(code: str) -> str:
    """A cell's code without ``:tags:`` and the like."""
    code = re.sub(r"\A---\n.*?\n---\n", "", code, flags=re.DOTALL)
    return re.sub(r"\A(?::\w+:.*\n)+", "", code)


def plain(token: Token) -> str:
    """The words of an inline token: no code, no roles, and a mark where a source is cited."""
    words = []
    for child in token.children or ():
        if child.type in ("text", "math_inline", "math_inline_double"):
            words.append(child.content)
        elif child.type in ("softbreak", "hardbreak"):
            words.append(" ")
        elif child.type == "myst_role":
            words.append(CITED if child.meta["name"].startswith("cite") else " … ")
        elif child.type == "code_inline":
            words.append(" … ")
        elif child.type == "link_open" and str(child.attrs.get("href", "")).startswith("http"):
            words.append(CITED)
    return "".join(words)


_END = re.compile(r"(?<=[.!?])[”\")]*(?P<gap>\s+)(?=[^a-zà-ý])")
_ABBREVIATION = re.compile(r"(?:\bal|e\.g|i\.e|vs|cf|[Ee]q|Fig)\.$")


def _sentences(
    token: Token, line: int, inside: str, previous: Sentence | None
) -> Iterator[Sentence]:
    """The sentences of a paragraph, list item or row."""
    text = plain(token)
    introduced = bool(previous and previous.cited and previous.text.rstrip().endswith((":", "|")))
    if token.meta.get("row"):
        yield Sentence(line, text.strip(), inside, introduced or CITED in text)
        return
    start = 0
    for end in [*_END.finditer(text), None]:
        piece = text[start : end.start("gap") if end else len(text)]
        if end and _ABBREVIATION.search(piece):
            continue
        yield Sentence(line, piece.strip(), inside, introduced or CITED in piece)
        start = end.end() if end else 0
