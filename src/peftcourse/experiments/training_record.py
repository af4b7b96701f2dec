"""What an adapter was trained on: a file beside it, for whoever generates, measures or ships."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from peftlab.errors import PeftlabError

FILE = "training.json"


@dataclass(frozen=True)
class TrainingRecord:
    """How ``peftlab train`` made an adapter.

    Attributes:
        model: the base model, as ``models.load`` takes it.
        task: the course's task, or None.
        files: own data, as given on the command line: ``data`` and perhaps ``validation``,
            ``test``.
        kind: of own data, see ``jsonl``; None for a task.
        sha256: of the contents of the files.
        ignore: fields of own data that were not trained on.
        split_seed: of the split of own data.
        max_length: at which longer examples lost their end; None if nothing was cut off.
        learning_rate, batch_size, seed: of the training.
        steps, kept: how many steps were taken, and which one's parameters were kept.
        validation: (step, loss) pairs.
        peftlab: the version.
    """

    model: str
    task: str | None = None
    files: dict[str, str] = field(default_factory=dict)
    kind: str | None = None
    sha256: str | None = None
    ignore: tuple[str, ...] = ()
    split_seed: int = 0
    max_length: int | None = None
    learning_rate: float = 0.0
    batch_size: int = 0
    seed: int = 0
    steps: int = 0
    kept: int | None = None
    validation: tuple[tuple[int, float], ...] = ()
    peftlab: str = ""

    def write(self, folder: Path) -> Path:
        """Put the record beside an adapter."""
        file = folder / FILE
        file.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
        return file


def read(folder: str | Path) -> TrainingRecord | None:
    """The record beside an adapter; None if it was made elsewhere.

    Raises:
        PeftlabError: there is a file of that name that is no such record.
    """
    file = Path(folder) / FILE
    if not file.is_file():
        return None
    try:
        fields: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        record = TrainingRecord(**fields)
        if not all(isinstance(text, str) for text in (record.model, *record.files.values())):
            raise ValueError("the model and the files must be texts")
        return record
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise PeftlabError(
            f"{file} is damaged ({error}); delete it, and say --model and --data yourself."
        ) from None
