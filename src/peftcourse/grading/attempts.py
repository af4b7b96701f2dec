"""Which of several notebooks of one learner counts: one rule, and so one row in every output.

A readable notebook of this lab goes before any other; then one that carries the lab's name, as it
was or as a copy of it; then the one with the higher number, which Canvas raises with each upload;
then the lab's very name; then the last by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Attempt:
    """One notebook of a learner.

    Attributes:
        name: the file's, without ``.ipynb`` and without what a system put before it.
        path: where it lies.
        number: the system's number of the file, 0 if it gives none.
        usable: whether it can be read and is this lab's.
    """

    name: str
    path: tuple[str, ...]
    number: int
    usable: bool


class Names:
    """What a notebook of a lab is called."""

    def __init__(self, lab: str) -> None:
        self.lab = lab
        # What browsers and Jupyter make of a name that is taken: "03_lora (1)", "03_lora-Copy1".
        # Nothing is given back (+): a name of 30,000 blanks would take half a minute otherwise.
        self._copy = re.compile(rf"{re.escape(lab)}[-_ ]*+(copy)?+ *+\(?+\d*+\)?", re.IGNORECASE)

    def exact(self, name: str) -> bool:
        return name.lower() == self.lab.lower()

    def copy(self, name: str) -> bool:
        """Whether it is the lab's name, or what becomes of it where that name is taken."""
        return self._copy.fullmatch(name) is not None


def counting(attempts: Iterable[Attempt], names: Names) -> Attempt:
    """The one that counts."""
    return max(
        attempts,
        key=lambda one: (
            one.usable,
            names.copy(one.name),
            one.number,
            names.exact(one.name),
            one.path,
        ),
    )
