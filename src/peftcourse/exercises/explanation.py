"""What can be said of an answer that explains everything that was seen of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Values = Sequence[Any]


@dataclass(frozen=True)
class Explanation:
    """Something that gives exactly what an answer gave, on every case.

    Attributes:
        id: a short name; that of the known mistake, if it is one.
        cause: what its author got wrong, in one line.
        action: the one thing to do about it.
    """

    id: str
    cause: str
    action: str
