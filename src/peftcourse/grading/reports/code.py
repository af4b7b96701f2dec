"""A learner's code for a page: escaped, coloured, with numbers before its lines."""

from __future__ import annotations

import itertools
import operator

from markupsafe import Markup
from pygments.lexers.python import PythonLexer
from pygments.token import Comment, Keyword, Name, Number, Operator, String, _TokenType

MAX_COLOURED = 20_000  # characters; a longer text is shown without colours

# A few kinds are enough to read by, and each has a colour in both themes.
_CLASSES = (
    (Keyword, "k"),
    (Operator.Word, "k"),
    (String, "s"),
    (Comment, "c"),
    (Number, "m"),
    (Name.Function, "f"),
    (Name.Class, "f"),
    (Name.Decorator, "f"),
)


def highlighted(code: str) -> Markup:
    """Escaped HTML of a code cell; nothing in it but text and ``span`` with one of five classes."""
    if len(code) > MAX_COLOURED:
        return Markup.escape(code)
    lexer = PythonLexer(stripnl=False, ensurenl=False)
    pieces = ((_name(kind), text) for kind, text in lexer.get_tokens(code))
    return Markup("").join(
        _span(name, "".join(text for _, text in same))
        for name, same in itertools.groupby(pieces, key=operator.itemgetter(0))
    )


def line_numbers(code: str) -> str:
    """``1`` and so on, one for each line."""
    return "\n".join(str(i) for i in range(1, code.count("\n") + 2))


def _name(kind: _TokenType) -> str:
    return next((name for group, name in _CLASSES if kind in group), "")


def _span(name: str, text: str) -> Markup:
    if not name:
        return Markup.escape(text)
    return Markup('<span class="{}">{}</span>').format(name, text)
