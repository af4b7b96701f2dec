"""Notebooks in the making: the lab as it is handed out, filled in and spoilt in many ways."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[4]
LAB = "03_lora"

# The exercises of the lab that code answers, with the names that the lab gives to the answers.
NAMES = {
    "lora.delta": "lora_delta",
    "lora.init": "lora_init",
    "lora.forward": "LoRALinear",
    "lora.inject": "inject",
    "lora.count": "lora_parameters",
    "lora.loss": "next_token_loss",
    "lora.train_step": "train_step",
    "lora.save": "adapter_state",
    "lora.load": "load_adapter_state",
    "lora.merge": "merged",
}
EXERCISES = tuple(NAMES)

Cell = dict[str, Any]


def slug(exercise: str) -> str:
    return exercise.replace(".", "-").replace("_", "-")


def _read(folder: str) -> dict[str, Any]:
    return json.loads((ROOT / folder / f"{LAB}.ipynb").read_text(encoding="utf-8"))


def text(cell: Cell) -> str:
    return "".join(cell["source"])


_HANDED_OUT = _read("labs")
_SLUGS = {slug(exercise): exercise for exercise in EXERCISES}

STUBS = {_SLUGS[cell["id"]]: text(cell) for cell in _HANDED_OUT["cells"] if cell["id"] in _SLUGS}
RIGHT = {
    _SLUGS[cell["id"]]: re.sub(r"^ *### (BEGIN|END) SOLUTION\n?", "", text(cell), flags=re.M)
    for cell in _read("solutions")["cells"]
    if cell["id"] in _SLUGS
}


class Notebook:
    """A lab that somebody works on; every method returns the notebook, so that calls chain.

    Args:
        answers: what stands in the answer cells, by exercise; the lab's stubs in the others.
    """

    def __init__(self, answers: dict[str, str] | None = None) -> None:
        self.content = copy.deepcopy(_HANDED_OUT)
        for exercise, source in (answers or {}).items():
            self.answer(exercise, source)

    @property
    def cells(self) -> list[Cell]:
        return self.content["cells"]

    def cell(self, exercise: str) -> Cell:
        return next(cell for cell in self.cells if cell.get("id") == slug(exercise))

    def answer(self, exercise: str, source: str) -> Notebook:
        self.cell(exercise)["source"] = source
        return self

    def prepend(self, exercise: str, lines: str) -> Notebook:
        return self.answer(exercise, f"{lines}\n{text(self.cell(exercise))}")

    def append(self, exercise: str, lines: str) -> Notebook:
        return self.answer(exercise, f"{text(self.cell(exercise))}\n{lines}")

    def delete(self, *exercises: str) -> Notebook:
        gone = {slug(exercise) for exercise in exercises}
        self.content["cells"] = [cell for cell in self.cells if cell.get("id") not in gone]
        return self

    def extra(self, source: str, before: str = "lora.delta") -> Notebook:
        """A new code cell, as Jupyter makes it: an id of its own and no metadata."""
        new = code_cell(source, f"e{len(self.cells):07x}")
        self.cells.insert(self.cells.index(self.cell(before)), new)
        return self

    def text(self, **options: Any) -> str:
        return json.dumps(self.content, ensure_ascii=False, indent=1, **options) + "\n"

    def bytes(self, encoding: str = "utf-8") -> bytes:
        return self.text().encode(encoding)


def code_cell(source: str, name: str) -> Cell:
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": name,
        "metadata": {},
        "outputs": [],
        "source": source,
    }


def solved(**changes: str) -> Notebook:
    """All right, except for changes by exercise, such as ``delta=…``."""
    return Notebook(RIGHT | {f"lora.{name}": source for name, source in changes.items()})
