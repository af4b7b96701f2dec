"""Whom a learning management system names in front of a file's name.

A system writes its own part first and the learner's after it, so only the beginning of a name is
believed: what looks like a system's part further on is text that the learner chose.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MOODLE, CANVAS = "moodle", "canvas"

# No expression here goes back over what it has read: file names can have 60,000 characters.
# Moodle: "Ada Lovelace_12345_assignsubmission_file_", as a folder or before the file's name. It
# turns underscores in a person's or a group's name into blanks (mod/assign/locallib.php,
# download_submissions), so the first number in this place is its own.
_MOODLE = re.compile(
    r"(?P<name>[^_]++)_(?P<number>[0-9]{1,18}+)_assignsubmission_[a-z]++_?(?P<rest>.*)", re.DOTALL
)
# Canvas: "lovelaceada_LATE_123_456_03_lora.ipynb": learner, whether late, number of the learner, of
# the file.
_CANVAS = re.compile(
    r"(?P<name>[^_]++)(?:_LATE)?_(?P<number>[0-9]{1,18}+)_(?P<file>[0-9]{3,18}+)_(?P<rest>.*)",
    re.DOTALL,
)


@dataclass(frozen=True)
class Person:
    """A learner as a learning management system has it.

    Attributes:
        system: ``MOODLE`` or ``CANVAS``.
        name: the learner's name, as far as the system tells it.
        number: the system's own number of the learner.
    """

    system: str
    name: str
    number: str

    @property
    def label(self) -> str:
        return f"{self.name}_{self.number}"


def split(name: str) -> tuple[Person | None, str]:
    """Whose a file or folder is, if a system has put that into its name, and its name without."""
    for system, pattern in ((MOODLE, _MOODLE), (CANVAS, _CANVAS)):
        if match := pattern.fullmatch(name):
            return Person(system, match["name"], match["number"]), match["rest"]
    return None, name


def number_of_file(name: str) -> int:
    """The number that Canvas gave a file, higher with each upload; 0 if there is none."""
    match = _MOODLE.fullmatch(name) is None and _CANVAS.fullmatch(name)
    return int(match["file"]) if match else 0
