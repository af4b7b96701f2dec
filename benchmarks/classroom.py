"""A made-up class: a folder of submissions to a lab, to try the grader on.

    python -m benchmarks.classroom FOLDER --size 30
    peftlab grade FOLDER --lab 03_lora --out GRADES

Each learner has a folder, ``group-1/learner-001/``, with the lab filled in. A learner has one
ability, so good answers come together; hard exercises are solved less often. What is not right is
one of the exercise's known wrong answers, mostly the first ones of its list, or the untouched stub,
or code that raises or is not Python. Exactly one answer of the class never ends. Some notebooks
carry outputs, and some learners hand in their ``progress.json``. No person or real submission is
behind any of it. The same seed makes the same files.
"""

from __future__ import annotations

import argparse
import ast
import json
import math
import random
import re
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from benchmarks.wrong_answers import source as source_of
from peftcourse.exercises import LESSONS, record
from peftcourse.exercises.core import Exercise, Mutant, Written
from peftcourse.labs import files
from peftcourse.labs.generate import BEGIN, END
from peftlab.errors import PeftlabError

if TYPE_CHECKING:
    from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[1]

RIGHT, WRONG, STUB, RAISES, NOT_PYTHON, ENDLESS = (
    "right",
    "known wrong answer",
    "stub",
    "raises",
    "not Python",
    "endless",
)
# Of a hundred answers that are not right, how many are what.
MISTAKES = {WRONG: 60, STUB: 25, RAISES: 10, NOT_PYTHON: 5}

# In logits, as a Rasch model has it: an average learner solves an exercise of difficulty 1 in 85 %
# of cases, and one of difficulty 4 in 55 %.
ABILITY, SPREAD, PER_DIFFICULTY = 2.2, 1.2, 0.5

WITH_OUTPUTS, WITH_PROGRESS = 0.5, 0.4  # shares of the learners
GROUP = 30  # learners in a folder
TERM = datetime(2025, 3, 3, 9, tzinfo=UTC)  # when the first learner starts


@dataclass(frozen=True)
class Answer:
    """What one answer cell holds, and what is true of it.

    Attributes:
        kind: ``RIGHT`` or another of this module's kinds.
        source: the cell's text.
        points: what it has to earn. A written answer earns nothing until a person marks it.
        mutant: of a known wrong answer, the id.
    """

    kind: str
    source: str
    points: int = 0
    mutant: str | None = None


@dataclass(frozen=True)
class Learner:
    """One submission.

    Attributes:
        origin: the notebook's path in the class's folder, with slashes.
        ability: in logits; the average is ``ABILITY``.
        answers: by exercise id.
    """

    origin: str
    ability: float
    answers: dict[str, Answer]

    @property
    def endless(self) -> bool:
        """Whether one of the answers never ends."""
        return any(answer.kind == ENDLESS for answer in self.answers.values())


def generate(
    folder: str | Path, *, size: int = 300, seed: int = 0, lesson: str = "03_lora"
) -> list[Learner]:
    """Write a class of submissions.

    Args:
        folder: where to; it must be empty or not exist.
        size: number of learners.
        seed: the same seed makes the same files.
        lesson: the lab's name, as in ``labs/``.

    Returns:
        What is true of each submission.

    Raises:
        PeftlabError: the folder is not empty, or there is no learner.
    """
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()):
        raise PeftlabError(f"{folder} is not empty; choose a new folder.")
    learners = draw(size=size, seed=seed, lesson=lesson)
    lab, solution = (files.read(ROOT / kind / f"{lesson}.ipynb") for kind in ("labs", "solutions"))
    rng = random.Random(seed)
    for learner in tqdm(learners, desc="submissions written"):
        ran = solution if rng.random() < WITH_OUTPUTS else None
        files.write(folder / learner.origin, files.text(_filled_in(lab, learner, ran)))
        if rng.random() < WITH_PROGRESS:
            content = json.dumps(_progress(lesson, learner, rng), indent=1)
            files.write((folder / learner.origin).with_name("progress.json"), content)
    return learners


def draw(*, size: int, seed: int, lesson: str) -> list[Learner]:
    """The learners of a class and what they answer, without writing anything.

    Raises:
        PeftlabError: there is no learner.
    """
    if size < 1:
        raise PeftlabError(f"a class of {size} has no learner; choose a size of 1 or more.")
    rng = random.Random(seed)
    known = known_answers(lesson)
    learners = []
    for number in range(size):
        origin = f"group-{number // GROUP + 1}/learner-{number + 1:03}/{lesson}.ipynb"
        ability = rng.gauss(ABILITY, SPREAD)
        answers = {
            part.id: _choose(known[part.id], part.difficulty, ability, rng)
            for part in LESSONS[lesson].parts
        }
        learners.append(Learner(origin, ability, answers))
    exercise = rng.choice(LESSONS[lesson].exercises).id
    (rng.choice(learners).answers[exercise],) = known[exercise][ENDLESS]
    return learners


def known_answers(lesson: str) -> dict[str, dict[str, list[Answer]]]:
    """Every answer that a learner of this class may give: by exercise id, then by kind."""
    stubs, solutions = (
        {cell.id: cell.source for cell in files.read(ROOT / kind / f"{lesson}.ipynb").cells}
        for kind in ("labs", "solutions")
    )
    return {
        part.id: _words(part, stubs[part.slug])
        if isinstance(part, Written)
        else _code(part, stubs[part.slug], solutions[part.slug])
        for part in LESSONS[lesson].parts
    }


def _code(exercise: Exercise, stub: str, solution: str) -> dict[str, list[Answer]]:
    right = _without_markers(solution)
    name = ast.parse(right).body[-1].name
    return {
        RIGHT: [Answer(RIGHT, right, exercise.points)],
        WRONG: [
            Answer(WRONG, _source(exercise, mutant, name), mutant=mutant.id)
            for mutant in exercise.mutants
        ],
        STUB: [Answer(STUB, stub)],
        RAISES: [Answer(RAISES, _with_first_line("print(so_far)", solution))],
        NOT_PYTHON: [Answer(NOT_PYTHON, right.replace(":\n", "\n", 1))],
        ENDLESS: [Answer(ENDLESS, _with_first_line("while True: pass", solution))],
    }


def _source(exercise: Exercise, mutant: Mutant, name: str) -> str:
    if mutant.edits:
        return source_of(exercise.solution, name, mutant.edits)
    return source_of(mutant.answer, name)


def _words(written: Written, stub: str) -> dict[str, list[Answer]]:
    opening = written.model_answer.split(". ")[0] + "."
    return {
        RIGHT: [Answer(RIGHT, written.model_answer)],
        WRONG: [Answer(WRONG, opening)],
        STUB: [Answer(STUB, stub)],
    }


def _with_first_line(line: str, solution: str) -> str:
    """The solution with this line before the first line that the learner had to write."""
    marker = rf"^([ \t]*){re.escape(BEGIN)}"
    text = re.sub(marker, rf"\g<0>\n\g<1>{line}", solution, count=1, flags=re.MULTILINE)
    return _without_markers(text)


def _without_markers(text: str) -> str:
    return "\n".join(line for line in text.split("\n") if line.strip() not in (BEGIN, END))


def _choose(
    known: dict[str, list[Answer]], difficulty: int, ability: float, rng: random.Random
) -> Answer:
    solves = 1 / (1 + math.exp(PER_DIFFICULTY * difficulty - ability))
    kind = RIGHT
    if rng.random() >= solves:
        possible = [kind for kind in MISTAKES if kind in known]
        (kind,) = rng.choices(possible, [MISTAKES[kind] for kind in possible])
    # The commonest mistake stands first; the second is half as common, and so on.
    weights = [1 / place for place in range(1, len(known[kind]) + 1)]
    return rng.choices(known[kind], weights)[0]


def _filled_in(lab: NotebookNode, learner: Learner, ran: NotebookNode | None) -> NotebookNode:
    """The lab with the learner's answers and, if it was run, the outputs of the other cells."""
    import nbformat

    slugs = {part.slug: part.id for lesson in LESSONS.values() for part in lesson.parts}
    outputs = {} if ran is None else {cell.id: cell for cell in ran.cells}
    notebook = nbformat.from_dict(lab)  # a copy
    for cell in notebook.cells:
        if cell.id in slugs:
            cell.source = learner.answers[slugs[cell.id]].source
        elif cell.id in outputs and cell.cell_type == "code" and "nbgrader" not in cell.metadata:
            cell.outputs = outputs[cell.id].outputs
            cell.execution_count = outputs[cell.id].execution_count
    return notebook


def _progress(lesson: str, learner: Learner, rng: random.Random) -> dict:
    """What ``peftcourse.exercises.record`` keeps beside the notebook."""
    entries = {}
    now = TERM + timedelta(minutes=rng.uniform(0, 10_000))
    for exercise in LESSONS[lesson].exercises:
        answer = learner.answers[exercise.id]
        if answer.kind == STUB:
            continue
        minutes = exercise.minutes * rng.lognormvariate(0.1 * (ABILITY - learner.ability), 0.4)
        first, now = now, now + timedelta(minutes=minutes)
        solved = now.isoformat(timespec="seconds") if answer.kind == RIGHT else None
        entries[exercise.id] = {
            "status": "correct" if solved else "wrong value",
            "attempts": rng.randint(1, 6),
            "first": first.isoformat(timespec="seconds"),
            "solved": solved,
        }
    return {"version": record.VERSION, "exercises": entries}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="a new folder for the submissions")
    parser.add_argument("--size", type=int, default=300, help="number of learners (default 300)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    try:
        learners = generate(arguments.folder, size=arguments.size, seed=arguments.seed)
    except PeftlabError as problem:
        parser.error(str(problem))
    kinds = Counter(answer.kind for learner in learners for answer in learner.answers.values())
    print(f"{len(learners)} submissions in {arguments.folder}. Their answers:")
    for kind, count in kinds.most_common():
        print(f"  {count:5}  {kind}")


if __name__ == "__main__":
    main()
