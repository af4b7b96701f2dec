"""The parts that a hostile case is made of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from grading.cases.notebooks import EXERCISES, RIGHT, Notebook

# What a case does to the control: more points than earned, or no marks for the class.
GAINS, BREAKS = "gains points", "loses the class's marks"

# An attack that gets somewhere it should not says this word, in an exception or in what it writes.
BREACH = "BREACH"


@dataclass(frozen=True)
class Link:
    """A symbolic link in the place of a file."""

    target: str


@dataclass(frozen=True)
class Hostile:
    """One attack.

    Attributes:
        name: letters, digits and hyphens; a folder of the class.
        effect: what it does to the control.
        files: what lies in that folder, by path. ``@CLASS@``, ``@HOME@``, ``@ROOT@``,
            ``@REPOSITORY@`` and ``@PORT@`` in it stand for where the class, the grader's home
            folder, the course it grades, this repository and the accomplice's port are;
            ``@NAME@`` for the path of the notebook in the class.
        earned: by file, the exercises whose points are deserved. A file that cannot be read
            deserves none; one that is not named (such as a data file) is no submission.
        cheat: the file that should profit, if the effect is a gain.
    """

    name: str
    effect: str
    files: Mapping[str, bytes | Link]
    earned: Mapping[str, frozenset[str]]
    cheat: str = field(default="")

    def write(self, folder: Path, places: Mapping[str, str]) -> None:
        """Put the files into a folder of the class."""
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, Link):
                path.symlink_to(filled_in(content.target.encode(), places).decode())
            else:
                here = {**places, "NAME": f"{folder.name}/{name}"}
                path.write_bytes(filled_in(content, here))


def filled_in(content: bytes, places: Mapping[str, str]) -> bytes:
    for name, value in places.items():
        content = content.replace(f"@{name}@".encode(), value.encode())
    return content


def attack(
    name: str,
    effect: str,
    code: str,
    *,
    on: str = "lora.delta",
    earns_it: bool = False,
    others: dict[str, str] | None = None,
    file: str = "03_lora.ipynb",
) -> Hostile:
    """A notebook with hostile code in one answer cell.

    Args:
        name: of the case.
        effect: on the control.
        code: of the answer cell.
        on: the exercise whose answer it is.
        earns_it: whether that answer is right all the same.
        others: the other answers; if left out, two right ones if the control is to break, and
            none if it is to give points away.
        file: the notebook's name.
    """
    if others is None:
        others = {e: RIGHT[e] for e in ("lora.count", "lora.loss")} if effect == BREAKS else {}
    notebook = Notebook({**others, on: code.lstrip("\n")})
    earned = {exercise for exercise in EXERCISES if others.get(exercise) == RIGHT[exercise]}
    earned = earned | {on} if earns_it else earned - {on}
    return Hostile(
        name, effect, {file: json.dumps(notebook.content).encode()}, {file: frozenset(earned)}, file
    )
