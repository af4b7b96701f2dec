"""The user's own file as a task of a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from peftcourse.experiments import jsonl, own_data
from peftcourse.experiments.own_data import OwnData

METRICS = {
    jsonl.PAIRS: "exact match of the answer",
    jsonl.CHAT: "share of the assistant's tokens that are predicted right, those before given",
    jsonl.TEXT: "share of the tokens that are predicted right, those before given",
}


@dataclass(frozen=True)
class Files:
    """Where own data are, and what tells whether they are still the same.

    Attributes:
        path, validation, test: absolute paths, see ``own_data.read_jsonl``.
        ignore: fields that are not trained on.
        kind: of the examples, see ``jsonl``.
        sizes: training, validation and test examples.
        sha256: of the contents of all files.
    """

    path: str
    validation: str | None
    test: str | None
    ignore: tuple[str, ...]
    kind: str
    sizes: tuple[int, int, int]
    sha256: str

    @property
    def name(self) -> str:
        """What the task is called: with its ending, no task of the course has such a name."""
        return Path(self.path).name

    @property
    def metric(self) -> str:
        """The score in words."""
        return METRICS[self.kind]

    def as_json(self) -> dict[str, Any]:
        """What a record tells of them; whose folders they are in is nobody's concern."""
        names = {"data": self.path, "validation": self.validation, "test": self.test}
        names = {key: Path(path).name for key, path in names.items() if path}
        return names | {"kind": self.kind, "sha256": self.sha256, "ignore": list(self.ignore)}

    def read(self) -> OwnData:
        """The data; read once in each process."""
        return _read(self)


def files(
    path: str | Path,
    validation: str | Path | None = None,
    test: str | Path | None = None,
    ignore: Sequence[str] = (),
) -> Files:
    """Own data as a task; all of it is read and checked.

    Raises:
        PeftlabError: as ``own_data.read_jsonl``.
    """
    data = own_data.read_jsonl(path, validation=validation, test=test, ignore=ignore)
    paths = [None if file is None else Path(file).resolve() for file in (path, validation, test)]
    return Files(
        *(file and str(file) for file in paths),
        ignore=tuple(ignore),
        kind=data.kind,
        sizes=tuple(len(lines) for lines in data.lines.values()),
        sha256=own_data.digest(*paths),
    )


@cache
def _read(files: Files) -> OwnData:
    return own_data.read_jsonl(
        files.path, validation=files.validation, test=files.test, ignore=files.ignore
    )
