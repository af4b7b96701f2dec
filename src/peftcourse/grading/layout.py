"""Which of the files in a folder are submissions, and whose.

Instructors have what their learning management system gives them: a flat folder, one folder per
learner, folders in folders, zips of all that. A file too many is an extra row in the report; a
file overlooked is a learner without a mark. In doubt this module chooses the extra row.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from peftcourse.grading.attempts import Attempt, Names, counting
from peftcourse.grading.members import is_notebook, is_progress, is_zip, printable
from peftcourse.grading.people import Person, number_of_file, split

# Files that a learner may hand in instead of a notebook; others, such as a list of the class that
# lies in the same folder, are no submissions.
_HANDED_IN = tuple(".py .pdf .html .htm .doc .docx .odt .rtf .rar .7z .tar .gz .tgz".split())
# Files in which an answer in words may stand.
_DOCUMENTS = tuple(".pdf .html .htm .doc .docx .odt .rtf .txt .md".split())
# More submissions than this do not come out of one folder or zip among others: a learner who fills
# it must not flood the class.
MAX_OF_ONE = 100
# As many notebooks may come from one learner; a folder with more is a section of the class.
FEW = 4
# Folders that hold learners' folders, even if only one.
_CLASS = {"submitted", "submissions"}


@dataclass(frozen=True)
class File:
    """A file of the class.

    Attributes:
        name: its name, without what an LMS put before it.
        path: where it lies.
        origin: the same for people.
        content: what the caller made of a notebook or a progress file; None for other files.
        problem: why there is no content.
        number: what the learning management system gave the file, if it numbers files.
    """

    name: str
    path: tuple[str, ...]
    origin: str
    content: Any = None
    problem: str = ""
    number: int = 0

    @property
    def attempt(self) -> Attempt:
        return Attempt(self.label, self.path, self.number, not self.problem)

    @property
    def label(self) -> str:
        """The name without what every notebook's name ends in."""
        return re.sub(r"\.(ipynb(\.txt|\.json)?|zip)$", "", self.name, flags=re.IGNORECASE)

    @property
    def matters(self) -> bool:
        """Whether it would be a submission, readable or not, if it belongs to nobody's folder."""
        unreadable = bool(self.problem) and not is_progress(self.name)
        return is_notebook(self.name) or unreadable or self.name.lower().endswith(_HANDED_IN)


@dataclass
class Folder:
    """A folder or a zip; ``label`` says whose it may be, and does if an LMS names a ``person``."""

    label: str
    path: tuple[str, ...] = ()
    origin: str = ""
    folders: dict[str, Folder] = field(default_factory=dict)
    files: list[File] = field(default_factory=list)
    person: Person | None = None
    holds_notebook: bool = False  # here or below

    @property
    def notebooks(self) -> list[File]:
        return [file for file in self.files if is_notebook(file.name)]

    @property
    def progress(self) -> Any:
        """What the caller made of the progress file in it, if there is one."""
        return next((file.content for file in self.files if is_progress(file.name)), None)

    @property
    def holders(self) -> list[Folder]:
        """Folders in it that hold a notebook."""
        return [folder for folder in self.folders.values() if folder.holds_notebook]

    def enter(self, name: str, person: Person | None = None) -> Folder:
        """The folder of this name, or of this person's, in it; made if there is none."""
        if name not in self.folders:
            path = (*self.path, name)
            label = name[:-4] if is_zip(name) and not person else name
            self.folders[name] = Folder(label, path, printable("/".join(path)), person=person)
        return self.folders[name]

    def places(self) -> Iterator[tuple[File, Folder]]:
        """All files here and below, each with the folder that it lies in."""
        for file in self.files:
            yield file, self
        for folder in self.folders.values():
            yield from folder.places()

    def everything(self) -> Iterator[File]:
        """All files here and below."""
        return (file for file, _ in self.places())


@dataclass(frozen=True)
class Found:
    """One submission.

    Attributes:
        label: whose it is, as far as names tell.
        path: where it lies.
        origin: the same for people.
        content: what the caller made of the notebook, or None if there is none.
        progress: what the caller made of the progress file beside it.
        problem: why there is no notebook, or why it cannot be read.
        notes: how it was chosen.
        person: whose it is, if a learning management system says so.
        file: the notebook, or what was handed in instead; None if it is a folder.
        documents: names of other files of the learner's that may hold text.
    """

    label: str
    path: tuple[str, ...]
    origin: str
    content: Any = None
    progress: Any = None
    problem: str = ""
    notes: tuple[str, ...] = ()
    person: Person | None = None
    file: File | None = None
    documents: tuple[str, ...] = ()

    @property
    def is_notebook(self) -> bool:
        return self.file is not None and is_notebook(self.file.name)


class Layout:
    """The submissions for one lab among the files of a class."""

    def __init__(self, lab: str, label: str) -> None:
        """An empty class, for a lab's name and the name of the folder or zip that is searched."""
        self.lab = lab
        self.root = Folder(label)
        self._sectioned = False  # whether folders without a person are sections of the class
        self._names = Names(lab)

    def add_folder(self, path: tuple[str, ...], origin: str) -> None:
        """Add a folder or zip, which may turn out to be empty."""
        self._folder(path).origin = origin

    def add(self, path: tuple[str, ...], origin: str, content: Any, problem: str) -> None:
        """Add a file, and the folders that it lies in."""
        person, name = split(path[-1])
        folder = self._folder(path[:-1])
        if person:
            folder = folder.enter(person.label, person)
        number = number_of_file(path[-1])
        folder.files.append(File(name, path, origin, content, problem, number))
        if is_notebook(name):
            self._mark(folder.path)

    def submissions(self) -> list[Found]:
        """All of them, in the order of their places."""
        root = self.root
        while not any(file.matters for file in root.files) and len(root.folders) == 1:
            (only,) = root.folders.values()
            if not self._is_class(only):
                break
            root = only
        self._sectioned = all(one.person or _is_section(one) for one in root.holders)
        single = len(root.notebooks) == 1 and not root.holders
        if single and self._is_lab(root.notebooks[0].label):
            found = self._of_learner(root, root.label)
        else:
            found = self._of_class(root, "")
        return sorted(self._one_each(found), key=lambda one: one.path)

    def _folder(self, path: tuple[str, ...]) -> Folder:
        folder = self.root
        for name in path:
            person, rest = split(name)
            if person:
                folder = folder.enter(person.label, person)
            if rest:
                folder = folder.enter(rest)
        return folder

    def _mark(self, path: tuple[str, ...]) -> None:
        folder = self.root
        folder.holds_notebook = True
        for name in path:
            folder = folder.folders[name]
            folder.holds_notebook = True

    def _is_class(self, folder: Folder) -> bool:
        """Whether a folder that stands alone holds learners' work and not one learner's."""
        if folder.person:
            return False
        if folder.notebooks:
            return len(folder.notebooks) > 1 and not self._own(folder)
        if len(folder.folders) == 1:
            (only,) = folder.folders.values()
            return folder.label.lower() in _CLASS or self._is_class(only)
        return len(folder.folders) > 1 and not self._lab_folder(folder)

    def _own(self, folder: Folder) -> File | None:
        """The notebook that carries the lab's name, or the only copy of it."""
        exact = [file for file in folder.notebooks if self._is_lab(file.label)]
        if exact:  # a zip may hold a name twice: unpacked, the last one would stay
            return next((file for file in reversed(exact) if not file.problem), exact[-1])
        copies = [file for file in folder.notebooks if self._names.copy(file.label)]
        return copies[0] if len(copies) == 1 else None

    def _lab_folder(self, folder: Folder) -> Folder | None:
        """The folder in it that carries the lab's name, as nbgrader has it for each learner."""
        return next((below for below in folder.holders if self._is_lab(below.label)), None)

    def _is_lab(self, label: str) -> bool:
        return self._names.exact(label)

    def _one_each(self, found: Iterable[Found]) -> Iterator[Found]:
        """One for each learner whom a system names, though two folders hold their work.

        Another name with the same number may be somebody of another course: that is another row.
        """
        theirs: dict[Person, list[Found]] = {}
        for one in found:
            if one.person is None:
                yield one
            else:
                theirs.setdefault(one.person, []).append(one)
        for several in theirs.values():
            files = {one.file.path: one for one in several if one.is_notebook}
            if files:
                attempts = [one.file.attempt for one in files.values()]
                yield files[counting(attempts, self._names).path]
            else:
                yield several[0]

    def _of_class(self, folder: Folder, prefix: str) -> Iterator[Found]:
        """Each file and each folder is somebody's."""
        files = [file for file in folder.files if file.matters]
        for file in files:
            progress = folder.progress if len(files) == 1 and not folder.folders else None
            yield _found(prefix + file.label, file, progress)
        for below in folder.folders.values():
            for found in self._of_learner(below, prefix + below.label):
                # A system's folder is whose it says, whatever names the learner gave to files in
                # it. In a folder without a person they count in the sections of a class alone.
                person = found.person if self._sectioned else None
                yield replace(found, person=below.person or person)

    def _of_learner(self, folder: Folder, label: str) -> list[Found]:
        """One learner's folder, as far as one can tell."""
        found = list(self._counting(folder, label))
        texts = (file for file in folder.everything() if file.name.lower().endswith(_DOCUMENTS))
        names = tuple(printable(file.name) for file in itertools.islice(texts, FEW))
        return [replace(found[0], documents=names)] if len(found) == 1 else found

    def _counting(self, folder: Folder, label: str) -> Iterator[Found]:
        """What counts of a folder."""
        if folder.person and folder.holds_notebook:
            yield self._of_person(folder, label)
            return
        own = self._own(folder)
        lab = self._lab_folder(folder)
        if own:
            yield _found(label, own, folder.progress, _left_out(folder, [own]))
        elif lab:
            rest = _left_out(folder, lab.everything())
            for found in self._of_learner(lab, label):
                yield replace(found, notes=(*rest, *found.notes))
        elif not folder.holds_notebook:
            yield self._without_notebook(folder, label)
        elif len(folder.notebooks) == 1 and not folder.holders:
            yield _found(label, folder.notebooks[0], folder.progress)
        elif not folder.notebooks and len(folder.holders) == 1:
            (only,) = folder.holders
            yield from self._of_learner(only, f"{label}-{only.label}" if only.person else label)
        else:
            yield from self._of_several(folder, label)

    def _of_person(self, folder: Folder, label: str) -> Found:
        """What counts of all that lies in the folder of somebody whom a system names."""
        places = {file.path: (file, inside) for file, inside in folder.places()}
        attempts = [file.attempt for file, _ in places.values() if is_notebook(file.name)]
        file, inside = places[counting(attempts, self._names).path]
        others = [place for place in places if place != file.path and is_notebook(place[-1])]
        found = _found(label, file, inside.progress or folder.progress, _passed_over(others))
        return replace(found, person=folder.person)

    def _of_several(self, folder: Folder, label: str) -> Iterator[Found]:
        """A learner who handed in several notebooks, or a class among others."""
        several = list(self._of_class(folder, f"{label}-"))
        if len(several) > MAX_OF_ONE:
            problem = f"it holds {len(several):,} files: if it is a class, grade it on its own"
            yield Found(label, folder.path, folder.origin, problem=problem)
            return
        note = f"one of {len(several)} in {folder.origin}; none is called {self.lab}.ipynb"
        # More than a few are a section of the class, and nothing that a learner has to be told.
        notes = (note,) if len(several) <= FEW else ()
        for found in several:
            yield replace(found, notes=(*notes, *found.notes))

    def _without_notebook(self, folder: Folder, label: str) -> Found:
        problem = "the folder holds no notebook"
        there = [f"“{printable(file.name)}”" for file in itertools.islice(folder.everything(), 3)]
        problem += f", only {', '.join(there)}" if there else " and no other file"
        unreadable = (file for file in folder.everything() if file.problem)
        for file in itertools.islice(unreadable, 1):
            problem += f"; {file.origin}: {file.problem}"
        return Found(label, folder.path, folder.origin, problem=problem)


def _found(label: str, file: File, progress: Any, notes: Iterable[str] = ()) -> Found:
    problem = file.problem
    if not problem and not is_notebook(file.name):
        problem = "it is not a notebook: hand in the .ipynb file"
    return Found(
        label, file.path, file.origin, file.content, progress, problem, tuple(notes), file=file
    )


def _is_section(folder: Folder) -> bool:
    """Whether all in it is what a learning management system named, and so no learner's folder."""
    loose = any(file.matters for file in folder.files)
    return not loose and all(below.person for below in folder.holders)


def _notebooks(files: Iterable[File]) -> int:
    return sum(is_notebook(file.name) for file in files)


def _passed_over(others: Sequence[tuple[str, ...]]) -> list[str]:
    """A note on the other notebooks of a learner."""
    if not others:
        return []
    named = ", ".join(f"“{printable(path[-1])}”" for path in others[:FEW])
    more = f" and {len(others) - FEW} more" if len(others) > FEW else ""
    return [f"of {len(others) + 1} notebooks this one counts; not looked at: {named}{more}"]


def _left_out(folder: Folder, chosen: Iterable[File]) -> list[str]:
    """A note on the notebooks of a folder that are not among those chosen."""
    count = _notebooks(folder.everything()) - _notebooks(chosen)
    if count <= 0:
        return []
    plural = "other notebook was" if count == 1 else "other notebooks were"
    return [f"{count} {plural} not looked at"]
