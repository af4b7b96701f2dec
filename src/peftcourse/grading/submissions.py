"""What a class handed in: from a folder, zip or notebook to one ``Submission`` for each learner.

Nothing in a submission is trusted. Nothing is written, extracted, executed or compiled here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from peftcourse.exercises.registry import Lesson
from peftcourse.grading import names, notebooks
from peftcourse.grading.disk import walk
from peftcourse.grading.layout import Found, Layout
from peftcourse.grading.matching import match
from peftcourse.grading.members import Member, Unreadable, is_progress
from peftcourse.grading.outline import LabOutline
from peftcourse.grading.people import Person
from peftlab.errors import PeftlabError

MAX_MINUTES = 60 * 24 * 60  # sixty days


@dataclass(frozen=True)
class Submission:
    """What one learner handed in.

    Attributes:
        name: unique in the class, stable between runs, safe as a file name.
        origin: where it came from, such as ``alice/03_lora.ipynb`` or ``class.zip › bob.ipynb``.
        digest: SHA-256 of the notebook's bytes; "" if there are none.
        answers: exercise id → source of its answer cell, or text of a written answer.
        others: sources of the other code cells that are not the lab's own, in order: helpers that
            an answer may need.
        times: exercise id → minutes from the first attempt to the solution, as far as a progress
            file beside the notebook says. Not checked.
        problem: why nothing could be read, in one sentence; None if it could.
        notes: what the instructor and the learner should know about how it was read.
        person: whose it is, if a learning management system says so.
    """

    name: str
    origin: str
    digest: str = ""
    answers: Mapping[str, str] = field(default_factory=dict)
    others: tuple[str, ...] = ()
    times: Mapping[str, float] = field(default_factory=dict)
    problem: str | None = None
    notes: tuple[str, ...] = ()
    person: Person | None = None


@dataclass(frozen=True)
class _Read:
    """What is left of a notebook's bytes: far less, so that a large class fits into memory."""

    digest: str
    notebook: notebooks.Notebook | None


def collect(source: Path, lesson: Lesson, lab: LabOutline) -> list[Submission]:
    """All submissions to a lab, sorted by name.

    Args:
        source: one notebook, or a folder or zip that holds notebooks, folders of learners, or
            zips of these.
        lesson: whose exercises are answered.
        lab: the lab as it was handed out.

    Returns:
        One for each learner, readable or not; more than one where it is not clear which of several
        notebooks is meant.

    Raises:
        PeftlabError: there is nothing at this place, or no submission in it.
    """
    place = source.resolve()
    layout = Layout(lesson.name, place.name if place.is_dir() else place.stem)
    for member in walk(source):
        if member.folder:
            layout.add_folder(member.path, member.origin)
        else:
            content, problem = _content(member, lesson)
            layout.add(member.path, member.origin, content, problem)
    found = layout.submissions()
    if not found:
        raise PeftlabError(f"{source} holds no submissions: give a folder or zip of notebooks.")
    unique = names.unique([(one.label, "/".join(one.path)) for one in found])
    submissions = [
        _submission(name, one, lesson, lab) for name, one in zip(unique, found, strict=True)
    ]
    return sorted(submissions, key=lambda submission: submission.name)


def _content(member: Member, lesson: Lesson) -> tuple[Any, str]:
    """What is kept of a file, and why it cannot be read."""
    if member.data is None:
        return None, member.problem
    if is_progress(member.path[-1]):
        return _minutes(member.data, lesson), ""
    digest = hashlib.sha256(member.data).hexdigest()
    try:
        return _Read(digest, notebooks.parse(member.data)), ""
    except Unreadable as problem:
        return _Read(digest, None), str(problem)


def _submission(name: str, found: Found, lesson: Lesson, lab: LabOutline) -> Submission:
    read = found.content
    if found.problem:
        return Submission(
            name,
            found.origin,
            digest=read.digest if read else "",
            problem=f"{found.problem}.",
            notes=found.notes,
            person=found.person,
        )
    answers = match(read.notebook.cells, lesson, lab)
    return Submission(
        name,
        found.origin,
        read.digest,
        answers.by_exercise,
        answers.others,
        found.progress or {},
        notes=(*found.notes, *read.notebook.notes, *answers.notes),
        person=found.person,
    )


def _minutes(data: bytes, lesson: Lesson) -> dict[str, float]:
    """Minutes from the first attempt to the solution, of a progress file that may hold anything."""
    try:
        entries = notebooks.load_json(data.decode("utf-8"))["exercises"]
        known = {exercise.id: entries.get(exercise.id) for exercise in lesson.exercises}
    except (Unreadable, ValueError, TypeError, KeyError, AttributeError):
        return {}
    times = {exercise: _between(entry) for exercise, entry in known.items()}
    return {exercise: minutes for exercise, minutes in times.items() if minutes is not None}


def _between(entry: Any) -> float | None:
    try:
        first, solved = (datetime.fromisoformat(entry[key]) for key in ("first", "solved"))
        minutes = (solved - first).total_seconds() / 60
    except (ValueError, TypeError, KeyError, OverflowError):
        return None
    return minutes if 0 <= minutes < MAX_MINUTES else None
