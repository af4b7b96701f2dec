"""Labs: one Markdown source makes the student's notebook and the executed solution.

``solutions/NN_name.md`` is a MyST notebook with the answers between ``### BEGIN SOLUTION`` and
``### END SOLUTION``. From it come

- ``labs/NN_name.ipynb``: each answer replaced by a stub that raises, no outputs;
- ``solutions/NN_name.ipynb``: with answers, executed.

Three Markdown comments are filled in. ``<!-- setup -->`` becomes the first code cell.
``<!-- exercise: lora.delta -->`` becomes the banner of that exercise; the next cell with markers is
its answer, the next one that calls ``check`` its check. ``<!-- answer: lora.report -->``, alone in
a cell after the banner of an exercise that asks for words, becomes its model answer, and in the
student's notebook a line to replace. Answers and checks get nbgrader's metadata.

The answers to code go into the package as well, into ``MODEL_ANSWERS``: ``solution`` shows them.

Everything but the outputs depends on the source alone, so two builds write the same bytes. An
answer's cell id is the exercise's slug: correcting a typo elsewhere must not orphan submissions.
"""

from __future__ import annotations

import json
from pathlib import Path

from peftcourse.exercises import solutions
from peftcourse.labs.answers import model_answers
from peftcourse.labs.compare import differences, leaks
from peftcourse.labs.execute import (
    RUNS,
    code,
    digest,
    execute_solution,
    inputs_digest,
    is_executed,
    keep_outputs,
    read_runs,
)
from peftcourse.labs.files import read, shown, text, write
from peftcourse.labs.generate import generate
from peftlab.errors import PeftlabError

SOURCES, STUDENTS = "solutions", "labs"
# Where the package keeps the answers, for learners who ask for one.
MODEL_ANSWERS = f"src/peftcourse/{solutions.FILE}"


def sources(root: Path) -> list[Path]:
    """The sources of all labs below the repository's root, in order.

    Raises:
        PeftlabError: there are none.
    """
    patterns = ("[0-9][0-9]_*.md", "your_*.md")  # lessons, and what a learner does alone
    found = [path for pattern in patterns for path in sorted((root / SOURCES).glob(pattern))]
    if not found:
        raise PeftlabError(f"{root / SOURCES} holds no labs; run this in the course's repository.")
    return found


def build(root: str | Path, *, execute: bool = True) -> list[Path]:
    """Write the student's notebook and the solution of every lab.

    A solution is executed if its code, the package or the pinned versions have changed since it
    last was. What depends on none of them keeps its stored outputs.

    Args:
        root: the repository.
        execute: with False nothing runs, and only cells whose code is unchanged have outputs.

    Returns:
        The notebooks, in order. A file that would not change is not touched.

    Raises:
        PeftlabError: a source cannot be used, or a cell of a solution fails; names both.
    """
    root = Path(root)
    answers = model_answers(sources(root), root)
    if (root / MODEL_ANSWERS).parent.is_dir():
        write(root / MODEL_ANSWERS, solutions.as_json(answers))
    runs, inputs = read_runs(root), inputs_digest(root)
    written = []
    for source in sources(root):
        student, solution = generate(source, root)
        stored = read(source.with_suffix(".ipynb"))
        if stored is not None:
            keep_outputs(solution, stored)
        run = digest("\0".join([inputs, *code(solution)]).encode())
        if execute and not (runs.get(source.stem) == run and is_executed(solution)):
            execute_solution(solution, source)
            runs[source.stem] = run
        for path, notebook in (
            (root / STUDENTS / f"{source.stem}.ipynb", student),
            (source.with_suffix(".ipynb"), solution),
        ):
            write(path, text(notebook))
            written.append(path)
        write(root / RUNS, json.dumps(runs, indent=1) + "\n")
    return written


def check(root: str | Path) -> list[str]:
    """Compare the notebooks on disk with what their sources give.

    Returns:
        One line per difference, naming file and cell; empty if there is none. Outputs are not
        compared, but each code cell of a solution must have been executed.

    Raises:
        PeftlabError: a source cannot be used.
    """
    root = Path(root)
    found: list[str] = []
    for source in sources(root):
        student, solution = generate(source, root)
        student_path = root / STUDENTS / f"{source.stem}.ipynb"
        found += differences(student_path, student, root)
        found += leaks(student_path, source, root)
        found += differences(source.with_suffix(".ipynb"), solution, root, outputs=True)
    if (root / MODEL_ANSWERS).parent.is_dir():
        stored = (root / MODEL_ANSWERS).read_text(encoding="utf-8")
        if stored != solutions.as_json(model_answers(sources(root), root)):
            found.append(f"{MODEL_ANSWERS}: is not what {SOURCES}/ gives; run `peftlab labs build`")
    stems = {source.stem for source in sources(root)}
    for folder in (STUDENTS, SOURCES):
        for path in sorted((root / folder).glob("*.ipynb")):
            if path.stem not in stems:
                found.append(f"{shown(path, root)}: has no source in {SOURCES}/; delete it")
    return found
