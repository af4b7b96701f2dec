"""What a class handed in: from a folder, zip or notebook to one ``Submission`` for each learner.

Nothing in a submission is trusted. Nothing is extracted, executed or compiled here, and nothing
written but pictures that stand in written answers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from peftcourse.exercises.registry import Lesson
from peftcourse.grading import names, notebooks, provenance
from peftcourse.grading.cells import CodeCell, to_run
from peftcourse.grading.disk import walk
from peftcourse.grading.layout import Found, Layout
from peftcourse.grading.matching import Answers, match
from peftcourse.grading.members import Member, Unreadable, is_progress
from peftcourse.grading.outline import LabOutline
from peftcourse.grading.people import Person
from peftcourse.grading.pictures import Album
from peftcourse.grading.rows import ANOTHER_LAB, GRADED, NO_NOTEBOOK, UNREADABLE
from peftcourse.grading.written import Words
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
        cells: the code cells to run, from top to bottom.
        times: exercise id → minutes from the first attempt to the solution, as far as a progress
            file beside the notebook says. Not checked.
        problem: why there is nothing to grade, in one sentence; None if there is.
        notes: what the instructor and the learner should know about how it was read.
        person: whose it is, if a learning management system says so.
        words: exercise id → what was written, for the exercises that ask for words.
        code: exercise id → source of the cell that counts, for the page of feedback.
        state: of its row: ``GRADED``, or the kind of problem.
    """

    name: str
    origin: str
    digest: str = ""
    answers: Mapping[str, str] = field(default_factory=dict)
    cells: tuple[CodeCell, ...] = ()
    times: Mapping[str, float] = field(default_factory=dict)
    problem: str | None = None
    notes: tuple[str, ...] = ()
    person: Person | None = None
    words: Mapping[str, Words] = field(default_factory=dict)
    code: Mapping[str, str] = field(default_factory=dict)
    state: str = GRADED


@dataclass(frozen=True)
class _Read:
    """What is left of a notebook's bytes: far less, so that a large class fits into memory."""

    digest: str
    answers: Answers | None = None
    notes: tuple[str, ...] = ()
    another_lab: bool = False
    cells: tuple[CodeCell, ...] = ()


def collect(
    source: Path, lesson: Lesson, lab: LabOutline, pictures: Path | None = None
) -> list[Submission]:
    """All submissions to a lab, sorted by name.

    Args:
        source: one notebook, or a folder or zip that holds notebooks, folders of learners, or
            zips of these.
        lesson: whose exercises are answered.
        lab: the lab as it was handed out.
        pictures: a folder for the pictures in written answers; without one they are only counted.

    Returns:
        One for each learner, readable or not; more than one where it is not clear which of several
        notebooks is meant.

    Raises:
        PeftlabError: there is nothing at this place, or no submission in it.
    """
    place = source.resolve()
    layout = Layout(lesson.name, place.name if place.is_dir() else place.stem)
    album = Album(pictures)
    for member in walk(source):
        if member.folder:
            layout.add_folder(member.path, member.origin)
        else:
            content, problem = _content(member, lesson, lab, album)
            layout.add(member.path, member.origin, content, problem)
    found = layout.submissions()
    if not found:
        raise PeftlabError(f"{source} holds no submissions: give a folder or zip of notebooks.")
    unique = names.unique([(one.label, "/".join(one.path)) for one in found])
    submissions = [_submission(name, one) for name, one in zip(unique, found, strict=True)]
    return sorted(submissions, key=lambda submission: submission.name)


def _content(member: Member, lesson: Lesson, lab: LabOutline, album: Album) -> tuple[Any, str]:
    """What is kept of a file, and why it cannot be graded."""
    if member.data is None:
        return None, member.problem
    if is_progress(member.path[-1]):
        return _minutes(member.data, lesson), ""
    digest = hashlib.sha256(member.data).hexdigest()
    try:
        notebook = notebooks.parse(member.data)
    except Unreadable as problem:
        return _Read(digest), str(problem)
    if other := provenance.another_lab(notebook.cells, lesson):
        reason = f"it is the notebook of lab {other}: hand in that of {lesson.name}"
        return _Read(digest, another_lab=True), reason
    answers = match(notebook.cells, lesson, lab, album)
    said = provenance.notes(notebook.cells, lesson, lab)
    notes = (*notebook.notes, *said, *answers.notes)
    return _Read(digest, answers, notes, cells=tuple(to_run(notebook.cells, lesson, lab))), ""


def _submission(name: str, found: Found) -> Submission:
    read = found.content
    if found.problem:
        return Submission(
            name,
            found.origin,
            digest=read.digest if read else "",
            problem=f"{found.problem}.",
            notes=found.notes,
            person=found.person,
            state=_kind_of_problem(found),
        )
    beside = _documents(found.documents)
    return Submission(
        name,
        found.origin,
        read.digest,
        read.answers.by_exercise,
        read.cells,
        found.progress or {},
        notes=(*found.notes, *([f"{beside} not looked at"] if beside else []), *read.notes),
        person=found.person,
        words=_with_documents(read.answers.words, beside),
        code=read.answers.code,
    )


def _documents(names: tuple[str, ...]) -> str:
    if not names:
        return ""
    files = (
        "a file beside the notebook was" if len(names) == 1 else "files beside the notebook were"
    )
    return f"{files} handed in ({', '.join(f'“{name}”' for name in names)}) and"


def _with_documents(words: Mapping[str, Words], beside: str) -> Mapping[str, Words]:
    """An answer that may stand in another file waits for somebody to open it."""
    if not beside:
        return words
    said = f"[Nothing in the notebook; {beside} nobody has read it yet.]"
    return {id: one if one.text else replace(one, text=said) for id, one in words.items()}


def _kind_of_problem(found: Found) -> str:
    if found.content is not None and found.content.another_lab:
        return ANOTHER_LAB
    return UNREADABLE if found.is_notebook else NO_NOTEBOOK


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
