"""The model answers of the exercises that ask for code: those of the labs' solutions.

``peftlab labs build`` writes them into the package, from ``solutions/*.md``. The wheel of a graded
release holds no answers, only what they are called.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files

FILE = "data/model_answers.json"


@cache
def _stored() -> dict[str, dict[str, str]]:
    return json.loads(files("peftcourse").joinpath(FILE).read_text(encoding="utf-8"))


def name(exercise: str) -> str:
    """What the function or class is called that the lab asks for."""
    return _stored().get(exercise, {}).get("name", "your_answer")


def called(answer: str) -> list[str]:
    """The exercises whose answer has this name."""
    return [exercise for exercise, entry in _stored().items() if entry["name"] == answer]


def source(exercise: str) -> str | None:
    """The model answer as Python; None in the package of a graded course."""
    return _stored().get(exercise, {}).get("source")


def without_sources(text: str) -> str:
    """The stored file without the answers, for a graded release."""
    stored = json.loads(text)
    return as_json({exercise: {"name": entry["name"]} for exercise, entry in stored.items()})


def as_json(answers: dict[str, dict[str, str]]) -> str:
    """The text of the file."""
    return json.dumps(answers, indent=1, ensure_ascii=False) + "\n"
