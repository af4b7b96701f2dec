"""What a grading run has done so far, so that a killed one goes on where it stopped.

A row is one line of JSON, on disk before the next submission is begun. A later line of the same
submission replaces an earlier one, or says that the row is gone; a line that was cut off by a kill
is ignored.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

from peftcourse.exercises.registry import Lesson
from peftcourse.grading.release import SEEDS
from peftcourse.grading.rows import Row
from peftlab import __version__
from peftlab.errors import PeftlabError

RUN, ROWS, LOCK = "run.json", "journal.jsonl", ".lock"
GONE = "gone"  # a line with this key holds the name of a row that is no more


class Journal:
    """The journal of one output folder; a context manager that keeps a second grader out.

    Args:
        out: the folder; made if it does not exist.

    Attributes:
        settings: what ``run.json`` says: the lab, its seed and the version it was graded with.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self.settings: dict[str, Any] = {}

    def __enter__(self) -> Self:
        import fcntl

        self.out.mkdir(parents=True, exist_ok=True)
        self._lock = open(self.out / LOCK, "w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise PeftlabError(
                f"another peftlab grade is writing to {self.out}; wait for it, or choose another "
                "--out."
            ) from None
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.close()

    def settle(self, lesson: Lesson, seed: int | None) -> list[str]:
        """Take over the settings of an earlier run in this folder, or note those of this one.

        Args:
            lesson: the lab.
            seed: the seed asked for; a new run that asks for none draws one.

        Returns:
            What the instructor should know.

        Raises:
            PeftlabError: the folder holds the grades of another lab, or of another seed.
        """
        path = self.out / RUN
        definition = _definition(lesson)
        try:
            self.settings = json.loads(path.read_text(encoding="utf-8"))
            lab, old_seed = self.settings["lab"], self.settings["seed"]
        except FileNotFoundError:
            if seed is None:
                seed = secrets.randbelow(SEEDS)
            self.settings = {
                "lab": lesson.name,
                "seed": seed,
                "exercises": definition,
                "peftlab": __version__,
            }
            _replace(path, json.dumps(self.settings, indent=1) + "\n")
            return []
        except (ValueError, KeyError, TypeError):
            raise PeftlabError(f"{path} is damaged; restore it, or choose another --out.") from None
        if lab != lesson.name:
            raise PeftlabError(
                f"{self.out} holds the grades of {lab}, not of {lesson.name}; choose another --out."
            )
        if seed not in (None, old_seed):
            raise PeftlabError(
                f"{self.out} was graded with another seed; leave --seed out to go on with it, or "
                "choose another --out."
            )
        if self.settings.get("exercises") == definition:
            return []
        return [
            "the exercises have changed since this folder was first graded; rows that are there "
            "are kept (--regrade all marks everything anew)"
        ]

    def read(self) -> dict[str, Row]:
        """The newest row of each submission, by name."""
        rows: dict[str, Row] = {}
        with contextlib.suppress(FileNotFoundError):
            for line in (self.out / ROWS).read_text(encoding="utf-8").split("\n"):
                with contextlib.suppress(ValueError, TypeError, KeyError):
                    data = json.loads(line)
                    if GONE in data:
                        rows.pop(data[GONE], None)
                        continue
                    row = Row.from_json(data)
                    rows[row.submission] = row
        return rows

    @contextlib.contextmanager
    def writing(self) -> Iterator[Callable[[Row | str], None]]:
        """Gives a function that adds a row, or the name of one that is gone, to the disk."""
        path = self.out / ROWS
        torn = path.is_file() and path.stat().st_size and not path.read_bytes().endswith(b"\n")
        with open(path, "a", encoding="utf-8") as file:

            def add(row: Row | str) -> None:
                data = {GONE: row} if isinstance(row, str) else row.as_json()
                file.write(json.dumps(data, ensure_ascii=False) + "\n")
                file.flush()
                os.fsync(file.fileno())

            if torn:
                file.write("\n")
            yield add


def _definition(lesson: Lesson) -> str:
    """A hash of the sources that decide about points."""
    folders = {Path(e.probe.__code__.co_filename).parent for e in lesson.exercises}
    total = hashlib.sha256()
    for path in sorted(path for folder in folders for path in folder.glob("*.py")):
        total.update(path.name.encode() + b"\0" + path.read_bytes())
    return total.hexdigest()[:16]


def _replace(path: Path, text: str) -> None:
    """Write a file in one step."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(text, encoding="utf-8")
    os.replace(new, path)
