"""One honest submission, with the outcome that each exercise must have."""

from __future__ import annotations

from dataclasses import dataclass

from grading.cases.notebooks import EXERCISES, RIGHT, STUBS, Notebook, text

from peftcourse.exercises.feedback import CORRECT, NOT_ATTEMPTED

Outcome = tuple[str, str | None]  # status and, if the mistake is a known one, its id
# Answers that stand for all that a peculiar one beside them must not harm.
OTHERS = ("lora.delta", "lora.loss", "lora.save")


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
    whole: bool = True,
    **outcomes: str | Outcome,
) -> Honest:
    """A submission.

    Args:
        name: a few words; the file's name as well, unless ``file`` says otherwise.
        notebook: what is handed in.
        file: its path in the class.
        origin: what the row calls it, if that is not the path.
        rest: status of the exercises that are not named.
        whole: with every right answer; else those that are as in the solution are left out, except
            for `OTHERS`.
        outcomes: by exercise without its ``lora.``: a status, or a status and a mutant's id.
    """
    expected: dict[str, Outcome] = dict.fromkeys(EXERCISES, (rest, None))
    for exercise, outcome in outcomes.items():
        assert f"lora.{exercise}" in expected
        expected[f"lora.{exercise}"] = (outcome, None) if isinstance(outcome, str) else outcome
    if not whole:
        for exercise in set(EXERCISES) - set(OTHERS):
            if text(notebook.cell(exercise)) == RIGHT[exercise]:
                notebook.answer(exercise, STUBS[exercise])
                expected[exercise] = (NOT_ATTEMPTED, None)
    content = notebook if isinstance(notebook, bytes) else notebook.bytes()
    file = file or f"{name.replace(' ', '-')}.ipynb"
    return Honest(name, file, content, origin or file, expected)
