"""Text for reports: what a submission wrote made safe to show, and the templates that show it."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from peftcourse.exercises.feedback import CORRECT, NOT_ATTEMPTED
from peftcourse.grading.reports.code import highlighted, line_numbers
from peftcourse.grading.rows import AWAITS, MARKED, MISSING, STOPPED, UNJUDGED, Result

# What a page shows at most, in characters.
LINE = 500
ANSWER = 110_000  # more than marking keeps of an answer
# What a cell of a table holds: spreadsheets take 32,767.
CELL = 20_000

# A spreadsheet takes a cell that begins with one of these for a formula (OWASP, "CSV Injection").
FORMULA = "=+-@\t\r\n＝＋－＠"
_SIGNS = FORMULA.replace("\t\r\n", "")
# What separates cells depends on the country and on what is chosen when a file is opened, and
# quotes are quotes only where a cell begins. So a cell may begin after any of these within a text
# (not after a comma: there our own quotes hold), and then blanks or quotes may come first.
_SEPARATORS = ";\t\n\r"
_BEFORE_CELL = re.compile(r"[;\s\"]+")


def _visible_table() -> dict[int, str]:
    table = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\t\n"}
    table[0x7F] = "␡"
    table |= dict.fromkeys([*range(0x80, 0xA0), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF], "\ufffd")
    # Marks, embeddings, overrides and isolates of the bidirectional algorithm: they change the
    # order of the letters around them. The last three are invisible, or break lines.
    bidi = [0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
    table |= {code: f"⟨U+{code:04X}⟩" for code in [*bidi, 0x2028, 0x2029, 0xFEFF]}
    return table


_VISIBLE = _visible_table()


def visible(text: str) -> str:
    """The text with a symbol for every character that could garble a page or a file.

    Control characters, overrides of the reading direction, and halves of surrogate pairs (which
    JSON can hold and UTF-8 cannot) are replaced; tabs and line ends stay, these as ``\\n``.
    """
    return text.replace("\r\n", "\n").replace("\r", "\n").translate(_VISIBLE)


def shorten(text: str, limit: int = LINE) -> str:
    """At most ``limit`` characters of a text, and how many are left out."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]} … ({len(text) - limit:,} more characters)"


def number(value: float) -> str:
    """At most two decimals, and none that are zero: ``3``, ``2.5``."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def cell(text: str) -> str:
    """A text for a CSV file that no spreadsheet takes for a formula, nor any part of it."""
    text = guard_inside(visible(text))
    return f"'{text}" if text.startswith(tuple(FORMULA)) else text


def guard_inside(text: str) -> str:
    """With an apostrophe before each formula that would begin a cell if the text were split."""

    def guard(match: re.Match[str]) -> str:
        before, following = match[0], text[match.end() : match.end() + 1]
        begins = match.start() == 0 or any(char in _SEPARATORS for char in before)
        return f"{before}'" if begins and following and following in _SIGNS else before

    return _BEFORE_CELL.sub(guard, text)


def _blank(char: str) -> bool:
    return char not in _SEPARATORS and (char == '"' or char.isspace())


def unguard_inside(text: str) -> str:
    """What ``guard_inside`` was given."""
    pieces, done = [], 0
    for match in re.finditer(rf"(?<=[;\s\"])'(?=[{re.escape(_SIGNS)}])", text):
        place = match.start()
        while place and _blank(text[place - 1]):
            place -= 1
        if place == 0 or text[place - 1] in _SEPARATORS:
            pieces.append(text[done : match.start()])
            done = match.end()
    return "".join([*pieces, text[done:]])


def prose(text: str) -> Markup:
    """Escaped HTML of a line in which `` `code` `` and ``**bold**`` are marked as in Markdown."""
    parts = re.split(r"`([^`\n]+)`|\*\*([^*\n]+)\*\*", visible(text))
    html = Markup("")
    for i in range(0, len(parts), 3):
        html += Markup.escape(parts[i])
        if i + 1 < len(parts):
            code, bold = parts[i + 1 : i + 3]
            html += Markup("<code>{}</code>").format(code) if code else ""
            html += Markup("<strong>{}</strong>").format(bold) if bold else ""
    return html


def paragraphs(text: str) -> Markup:
    """Escaped HTML of trusted Markdown: paragraphs, and each item of a list on its own line."""
    blocks = []
    for block in re.split(r"\n\s*\n", text.strip()):
        items = re.split(r"\n(?=(?:[-*]|\d+\.) )", block)
        lines = [prose(re.sub(r"\s*\n\s*", " ", item)) for item in items]
        blocks.append(Markup("<p>{}</p>").format(Markup("<br>").join(lines)))
    return Markup("\n").join(blocks)


def symbol(result: Result) -> str:
    """A sign for a status, beside its words."""
    return {
        "right": "✓",
        "partly": "◐",
        "wrong": "✗",
        "empty": "○",
        "open": "…",
        "person": "!",
    }[kind(result)]


def kind(result: Result) -> str:
    """The class of a status, which decides its sign and its colour."""
    if result.status == MARKED and 0 < result.points < result.max_points:
        return "partly"
    if result.status == CORRECT or (result.status == MARKED and result.points):
        return "right"
    return {
        NOT_ATTEMPTED: "empty",
        MISSING: "empty",
        AWAITS: "open",
        UNJUDGED: "person",
        STOPPED: "wrong",
    }.get(result.status, "wrong")


def _finalize(value: Any) -> Any:
    """Every text that a template shows passes through here: no template can forget it."""
    return value if isinstance(value, Markup) or not isinstance(value, str) else visible(value)


@cache
def environment() -> Environment:
    """The templates: all texts escaped, an undefined name is an error."""
    env = Environment(
        loader=PackageLoader("peftcourse.grading.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    env.filters |= {
        "highlighted": highlighted,
        "kind": kind,
        "line_numbers": line_numbers,
        "number": number,
        "paragraphs": paragraphs,
        "prose": prose,
        "shorten": shorten,
        "symbol": symbol,
        "visible": visible,
    }
    env.globals |= {"ANSWER": ANSWER}
    return env


def render(template: str, **context: Any) -> str:
    """One page."""
    return environment().get_template(template).render(**context)
