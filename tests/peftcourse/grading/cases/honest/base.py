"""One honest submission, with the outcome that each exercise must have."""

from __future__ import annotations

from dataclasses import dataclass

from grading.cases.notebooks import EXERCISES, Notebook

from peftcourse.exercises.feedback import CORRECT

Outcome = tuple[str, str | None]  # status and, if the mistake is a known one, its id


@dataclass(frozen=True)
class Honest:
    """One submission.

    Attributes:
        name: what is special about it.
        file: its path in the class's folder.
        content: the bytes of that file.
        origin: what the row has to say of where it was found.
        expected: the outcome of every exercise.
    """

    name: str
    file: str
    content: bytes
    origin: str
    expected: dict[str, Outcome]


def case(
    name: str,
    notebook: Notebook | bytes,
    *,
    file: str | None = None,
    origin: str | None = None,
    rest: str = CORRECT,
    **outcomes: str | Outcome,
) -> Honest:
    """A submission.

    Args:
        name: a few words; the file's name as well, unless ``file`` says otherwise.
        notebook: what is handed in.
        file: its path in the class.
        origin: what the row calls it, if that is not the path.
        rest: status of the exercises that are not named.
        outcomes: by exercise without its ``lora.``: a status, or a status and a mutant's id.
    """
    expected: dict[str, Outcome] = dict.fromkeys(EXERCISES, (rest, None))
    for exercise, outcome in outcomes.items():
        assert f"lora.{exercise}" in expected
        expected[f"lora.{exercise}"] = (outcome, None) if isinstance(outcome, str) else outcome
    content = notebook if isinstance(notebook, bytes) else notebook.bytes()
    file = file or f"{name.replace(' ', '-')}.ipynb"
    return Honest(name, file, content, origin or file, expected)
