"""Rows follow the files: one whose file went away goes, one whose file was renamed moves with it.

Without this a learner who hands in again under another name would have two rows, and a file that
the instructor took out would keep its grade.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, replace

from peftcourse.grading.people import Person
from peftcourse.grading.rows import Row
from peftcourse.grading.submissions import Submission


@dataclass(frozen=True)
class Moves:
    """What became of the rows of an earlier run.

    Attributes:
        rows: those that are still backed by a submission, by its name now.
        changed: those of them that are not as the journal has them.
        renamed: old name → new name, of rows that moved; no new name is an old name.
        gone: names of the rows that nothing backs any more.
    """

    rows: dict[str, Row]
    changed: tuple[Row, ...]
    renamed: dict[str, str]
    gone: tuple[str, ...]

    @property
    def dropped(self) -> tuple[str, ...]:
        """Names under which there is no row any more."""
        return (*self.renamed, *self.gone)

    def notes(self) -> list[str]:
        """What the instructor should know."""
        said = [f'"{old}" is called "{new}" now' for old, new in self.renamed.items()]
        if self.gone:
            named = ", ".join(self.gone[:5]) + (" and others" if len(self.gone) > 5 else "")
            files = "row goes, its file is" if len(self.gone) == 1 else "rows go, their files are"
            said.append(f"{len(self.gone)} {files} not among the submissions any more: {named}")
        return said


def follow(submissions: Iterable[Submission], rows: Mapping[str, Row]) -> Moves:
    """Match the rows of an earlier run with what is handed in now.

    By name; where there is no such name any more, by the learner that the learning management
    system names; else by the bytes of the file, if exactly one new file has them and no other
    learner is named. So whoever copies the file of somebody else never takes over that one's row.
    """
    now = {submission.name: submission for submission in submissions}
    stale = {name: row for name, row in rows.items() if name not in now}
    fresh = {name: one for name, one in now.items() if name not in rows}
    renamed: dict[str, str] = {}
    for key in (_learner, _file):
        for old, new in _pairs(stale, fresh, key):
            if _may_be_one(stale[old].person, fresh[new].person):
                renamed[old] = new
                del stale[old], fresh[new]
    kept = {renamed.get(name, name): row for name, row in rows.items() if name not in stale}
    updated = {name: _updated(row, now[name]) for name, row in kept.items()}
    changed = tuple(row for name, row in updated.items() if row != kept[name])
    return Moves(updated, changed, renamed, tuple(sorted(stale)))


def _learner(one: Row | Submission) -> Hashable:
    return one.person and (one.person.system, one.person.number)


def _file(one: Row | Submission) -> Hashable:
    return one.digest


def _pairs(
    stale: Mapping[str, Row],
    fresh: Mapping[str, Submission],
    key: Callable[[Row | Submission], Hashable],
) -> list[tuple[str, str]]:
    """An old and a new name for each key that exactly one of either carries."""
    names: defaultdict[Hashable, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for side, those in enumerate((stale, fresh)):
        for name, one in those.items():
            if key(one):
                names[key(one)][side].append(name)
    return [(old[0], new[0]) for old, new in names.values() if len(old) == len(new) == 1]


def _may_be_one(one: Person | None, other: Person | None) -> bool:
    known = one is not None and other is not None
    return not known or (one.system, one.number) == (other.system, other.number)


def _updated(row: Row, submission: Submission) -> Row:
    """A row under the name, at the place and with the company that its submission has now."""
    row = replace(
        row, submission=submission.name, origin=submission.origin, person=submission.person
    )
    if row.digest != submission.digest or submission.problem is not None:
        return row  # it is graded again anyway
    notes = tuple(dict.fromkeys((*submission.notes, *row.notes[row.reading :])))
    return replace(row, notes=notes, reading=len(submission.notes), times=dict(submission.times))
