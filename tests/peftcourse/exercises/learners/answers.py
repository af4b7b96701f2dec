"""How an answer is written down."""

from __future__ import annotations

import linecache
from dataclasses import dataclass, field
from typing import Any

# What every lab imports before its first exercise.
IMPORTS = """
import contextlib, dataclasses, itertools, math, statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
"""


@dataclass(frozen=True)
class Answer:
    """One answer to one exercise.

    Attributes:
        exercise: the exercise's id.
        label: what it is, in a few words; unique within the exercise.
        source: the cell as its author would hand it in.
        right: whether the text of the exercise accepts it; None where the text leaves it open.
        cause: what a good tutor would name, in words; empty for a right answer.
        pattern: a regular expression, without regard to case, that such a diagnosis matches.
        given: what the lab has defined before this cell, beyond ``IMPORTS``.
    """

    exercise: str
    label: str
    source: str
    right: bool | None
    cause: str = ""
    pattern: str = ""
    given: str = ""

    def define(self) -> Any:
        """Run the cell, as a notebook would, and return what it defines last.

        Raises:
            Exception: whatever the cell raises.
        """
        space: dict[str, Any] = {"__name__": "__main__"}
        exec(IMPORTS + self.given, space)
        known = set(space)
        name = f"<cell {self.exercise} {self.label}>"
        linecache.cache[name] = (len(self.source), None, self.source.splitlines(True), name)
        exec(compile(self.source, name, "exec"), space)
        return space[[key for key in space if key not in known][-1]]


@dataclass
class Exercise:
    """The answers to one exercise.

    ``head`` is the line that the lab gives, ``def f(x):`` or ``class C:``. A source that starts
    with a space or a newline is the body below it; any other is the whole cell.
    """

    id: str
    head: str
    given: str = ""
    answers: list[Answer] = field(default_factory=list)

    def wrong(self, label: str, cause: str, pattern: str, source: str) -> None:
        """Add an answer that must fail."""
        self._add(label, source, False, cause, pattern)

    def right(self, label: str, source: str) -> None:
        """Add an answer that must pass."""
        self._add(label, source, True)

    def open(self, label: str, cause: str, source: str) -> None:
        """Add an answer that may pass or fail: the text leaves it open."""
        self._add(label, source, None, cause)

    def _add(self, label: str, source: str, right: bool | None, *why: str) -> None:
        body = source.strip("\n") + "\n"
        if source[:1] in (" ", "\n") and not body.startswith(
            ("def ", "class ", "from ", "import ")
        ):
            body = f"{self.head}\n{body}"
        assert label not in {answer.label for answer in self.answers}, (self.id, label)
        self.answers.append(Answer(self.id, label, body, right, *why, given=self.given))
