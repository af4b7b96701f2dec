"""Numbers in prose, and what holds them: no measurement of this book is typed in.

A number that somebody measured or counted can be wrong tomorrow. In a page's text each of them is
*held* in one of these ways, or `loose` reports it:

- **asserted beside it**: a cell under the same heading, or the page's first, has an ``assert`` in
  which the number stands, as a number (``round(share, 2) == 0.29``, ``gap < 0.001``) or in a text
  (``f"{share:.0%}" == "29%"``). Summaries, quizzes and the like repeat what other sections found,
  so for them the assertions of the whole page count;
- **set beside it**: it is a constant of such a cell, like a learning rate. That holds decimals,
  percentages and counts, and labels in code, but in prose no unit of `RESULTS`;
- **computed**: it is not typed at all, but glued in or part of an f-string;
- **quoted**: its sentence cites a source, ``{cite}`` or a link. A list or table may lean on the
  sentence that introduces it;
- **computed again by a test**: it is in words that a test looks for beside a computation, see
  `said_by_tests`;
- **said by others**: it stands in quotation marks, as the claim that the page looks into, or in a
  question or a wrong choice, which state nothing;
- **given**: it stands in ``book/given_numbers.toml`` with the reason why nobody has to compute it.

What counts as a measurement: decimals, percentages, numbers with a comma, powers of ten, and any
number before one of the `UNITS` or after "factor of", also spelled out. Other whole numbers (ranks,
layers, steps) are settings and names; fractions in words ("a third") are not looked at.
"""

from __future__ import annotations

import ast
import math
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from book.execution import BOOK, ROOT
from book.prose import REPEATING, sections

GIVEN = BOOK / "given_numbers.toml"
TESTS = ROOT / "tests" / "book"

# A constant of the code does not hold a number with one of these: only an assertion does.
RESULTS = (
    "times", "points?", "nats?", "standard errors?", "bytes?",
    "[kKMGT]i?B", "µs", "ms", "s", "seconds?", "minutes?",
)  # fmt: skip
UNITS = (*RESULTS, "%", "per cent", "percent", "million", "billion")
SPELT = (
    "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen twenty"
)
TENS = "thirty forty fifty sixty seventy eighty ninety"
WORDS = {word: float(value) for value, word in enumerate(SPELT.split(), start=2)}
WORDS |= {word: 10.0 * value for value, word in enumerate(TENS.split(), start=3)}


@dataclass(frozen=True)
class Number:
    """A number that says something was measured, counted or computed.

    Attributes:
        text: as written, ``4.6`` or ``fifteen``.
        unit: ``%``, ``times``, …; empty if there is none.
    """

    text: str
    unit: str = ""

    @property
    def value(self) -> float:
        """What it says, before its unit."""
        word = WORDS.get(self.text.lower())
        return float(self.text.replace(",", "")) if word is None else word

    @property
    def is_result(self) -> bool:
        """Whether its unit is one of `RESULTS`."""
        return any(re.fullmatch(unit, self.unit) for unit in RESULTS)

    def __str__(self) -> str:
        return f"{self.text} {self.unit}".strip()


@dataclass(frozen=True)
class Loose:
    """A number that nothing holds, and where it stands."""

    page: str
    line: int
    number: Number
    sentence: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {self.number} in “{self.sentence}”"


# --- numbers in a sentence -----------------------------------------------------------------------

_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?)"
_ANY = rf"(?:{_DIGITS}|\b(?:{'|'.join(WORDS)})\b)"
_JOIN = r"\s*(?:,|,?\s(?:and|or|to)\b|–|-|±|…)\s*[+−-]?"
# A list of numbers before a unit: each of them has it.
_QUANTITY = re.compile(
    rf"(?<![\w.,^])({_ANY}(?:{_JOIN}{_ANY})*)"
    rf"(?:\\?\s(?=\w)|\\?\s?(?=%))({'|'.join(UNITS)})(?![\w-])",
    re.IGNORECASE,
)
_FACTOR = re.compile(rf"\bfactor of (?:(?:about|almost|more than) )?({_ANY})", re.IGNORECASE)
_BARE = re.compile(rf"(?<![\w.,^])({_DIGITS})(?!\w|[.,]\d)")
_POWER = re.compile(r"10\^\{?([-−]\d+)\}?")
_QUOTED = re.compile(r"“[^”]*”|\"[^\"]*\"")
_NAME = re.compile(
    r"[a-z-]+:\s?[\d.]+(?:%|px|r?em)|"  # a style sheet's
    r"§+\s?[\d.]+|arXiv:?\s?[\d.]+|\b\d+(?:\.\d+){2,}|\b\d+(?:\.\d+)?[BM]\b"
    r"|\b(?:version|Python|PyTorch|PEFT|CUDA|Llama|GPT|Qwen)[ -]?\d[\d.]*",
    re.IGNORECASE,
)


def numbers(text: str) -> list[Number]:
    """The measurements that a sentence states, in the order of their kinds."""
    text = _QUOTED.sub(" ", text)
    text = _NAME.sub(" ", text.replace("{,}", ",").replace(r"\,", " ").replace(r"\%", "%"))
    found = []
    for match in _QUANTITY.finditer(text):
        found += [Number(part, match[2]) for part in re.findall(_ANY, match[1], re.I)]
    found += [Number(match[1], "times") for match in _FACTOR.finditer(text)]
    rest = _FACTOR.sub(" ", _QUANTITY.sub(" ", text))
    found += [Number(f"1e{m[1].replace('−', '-')}") for m in _POWER.finditer(rest)]
    for match in _BARE.finditer(_POWER.sub(" ", rest)):
        if "." in match[1] or "," in match[1]:
            found.append(Number(match[1]))
    return found


# --- what holds them -----------------------------------------------------------------------------


@dataclass
class Holders:
    """The constants of some code: those in assertions, decimals and large ones, and all."""

    asserted: set[float] = field(default_factory=set)
    words: list[str] = field(default_factory=list)
    constants: set[float] = field(default_factory=set)
    all: set[float] = field(default_factory=set)

    @classmethod
    def of(cls, cells: list[str]) -> Holders:
        """Collect them from the code of cells."""
        found = cls()
        for code in cells:
            tree = ast.parse(code)
            checks = [node for node in ast.walk(tree) if isinstance(node, ast.Assert)]
            for check in checks:
                for node in ast.walk(check):
                    if isinstance(node, ast.Constant) and isinstance(node.value, str):
                        found.words.append(node.value)
                    elif _is_number(node):
                        found.asserted.add(float(node.value))
            constants = [node.value for node in ast.walk(tree) if _is_number(node)]
            found.all |= {float(value) for value in constants}
            # Small whole numbers are everywhere in code; one of them holds nothing in prose.
            found.constants |= {
                float(value) for value in constants if isinstance(value, float) or value >= 1000
            }
        return found

    def hold(self, number: Number, *, is_code: bool = False) -> bool:
        """Whether a number is asserted or, unless it is a result, set; in a label, either."""
        if any(number.text in re.findall(_ANY, text) for text in self.words):
            return True
        held = self.all if is_code else self.asserted
        if not number.is_result:
            held = held | self.constants
        return any(_says(constant, number) for constant in held)


def _says(constant: float, number: Number) -> bool:
    """Whether a constant is what a text states: 0.29 or 1.29 is 29 %, 6738415616 is 6.7 billion."""
    if number.unit in ("%", "per cent", "percent", "point", "points"):
        shares = constant, constant - 1, 1 - constant
        if any(math.isclose(100 * share, number.value) for share in shares):
            return True
    if size := {"million": 1e6, "billion": 1e9}.get(number.unit):
        digits = len(number.text.partition(".")[2])
        if round(constant / size, digits) == number.value:
            return True
    return math.isclose(constant, number.value)


def _is_number(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) in (int, float)


def said_by_tests(page: str, folder: Path = TESTS) -> list[re.Pattern[str]]:
    """The words of a page that tests look for beside a computation.

    These are the words of ``says("10_choose", "…")``; of ``says("…")`` in a module that has
    ``PAGE = "10_choose"``; and the last words of the keys of its ``TYPED``. What an f-string
    computes may be any number.
    """
    found = []
    for file in sorted(folder.glob("test_*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        names = {
            target.id: node.value
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        own = names["PAGE"].value if "PAGE" in names else None
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        for call in calls:
            if getattr(call.func, "id", "") == "says":
                *named, phrase = call.args
                if page == (named[0].value if named else own):
                    found.append(_pattern(phrase))
        if page == own and "TYPED" in names:
            found += [_pattern(key.elts[-1]) for key in names["TYPED"].keys]
    return found


# What an f-string may put into a sentence: a number, or some of them with words between.
_COMPUTED = r"[+−-]?\d[\d.,]*(?<![.,])(?:\s?%)?(?: (?:and|to) \d[\d.,]*(?<![.,])(?:\s?%)?)*"


def _pattern(phrase: ast.expr) -> re.Pattern[str]:
    parts = phrase.values if isinstance(phrase, ast.JoinedStr) else [phrase]
    texts = [
        re.escape(part.value) if isinstance(part, ast.Constant) else _COMPUTED for part in parts
    ]
    return re.compile("".join(texts).replace(r"\ ", r"\s+"))


@dataclass(frozen=True)
class Given:
    """Words of a page that need no computation.

    Attributes:
        page: the page's name, without its ending; ``*`` for all pages.
        words: a regular expression of what stands in its source; a blank is any white space.
        reason: why.
    """

    page: str
    words: str
    reason: str

    @property
    def pattern(self) -> re.Pattern[str]:
        """What finds the words, also where a line breaks within them."""
        return re.compile(self.words.replace(" ", r"\s+"))


def given(file: Path = GIVEN) -> list[Given]:
    """The entries of ``given_numbers.toml``."""
    return [Given(**entry) for entry in tomllib.loads(file.read_text(encoding="utf-8"))["given"]]


def tied(page: str) -> list[re.Pattern[str]]:
    """The words of a page that are held by a test, or given."""
    entries = [entry.pattern for entry in given() if entry.page in ("*", page)]
    return said_by_tests(page) + entries


# --- the check -----------------------------------------------------------------------------------


_CELL = re.compile(r"^```\{code-cell\}.*?^```$", re.DOTALL | re.MULTILINE)


def without(text: str, patterns: Sequence[re.Pattern[str]]) -> str:
    """A page's source without some of its words; its cells and its lines stay in place."""
    kept = list(text)
    cells = [range(*found.span()) for found in _CELL.finditer(text)]
    for pattern in patterns:
        for found in pattern.finditer(text):
            if not any(found.start() in cell for cell in cells):
                for place in range(*found.span()):
                    kept[place] = "\n" if text[place] == "\n" else "…"
    return "".join(kept)


def loose(page: str, text: str, tied: Sequence[re.Pattern[str]] = ()) -> Iterator[Loose]:
    """The numbers of a page that nothing holds, in order.

    Args:
        page: its name, for the report.
        text: its MyST source.
        tied: words that something else than the page's own cells holds.
    """
    found = sections(without(text, tied))
    quoted = {words.strip('“"”') for words in _QUOTED.findall(_CELL.sub("", text))}
    everything = Holders.of([code for section in found for code in section.code])
    opening = [code for section in found[:2] for code in section.code]
    for section in found:
        beside = Holders.of([*opening, *section.code])
        for sentence in section.sentences:
            holders = everything if sentence.inside in REPEATING else beside
            # A wrong choice is wrong on purpose, and a question states nothing.
            if sentence.cited or sentence.text.startswith("[ ]") or sentence.text.endswith("?"):
                continue
            for number in numbers(sentence.text):
                if not holders.hold(number):
                    yield Loose(page, sentence.line, number, sentence.text)
        for code in section.code:
            for line, words in strings(ast.parse(code)):
                for number in () if words in quoted else numbers(without(words, tied)):
                    if not beside.hold(number, is_code=True):
                        yield Loose(page, line, number, f"a string of a cell: {words}")


def loose_in_code(path: Path) -> Iterator[Loose]:
    """The numbers in the texts of a Python file that its functions do not compute.

    A function's constants hold what its texts say of them, such as a threshold.
    """
    patterns = [entry.pattern for entry in given() if entry.page == "*"]
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        code = ast.unparse(node)
        holders = Holders.of([code])
        for line, words in strings(node):
            for number in numbers(without(words, patterns)):
                if not holders.hold(number, is_code=True):
                    yield Loose(path.stem, line, number, words)


def strings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The texts in code that a reader may see: no docstring, no key, nothing in an assertion."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(tree, ast.Subscript) and child is tree.slice:
            continue
        is_docstring = isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
        if isinstance(child, ast.Constant) and isinstance(child.value, str):
            yield child.lineno, child.value
        elif not isinstance(child, ast.Assert | ast.FormattedValue) and not is_docstring:
            yield from strings(child)
