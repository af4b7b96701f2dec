"""The control: a plain grader, of the kind that is written in an afternoon.

It unpacks what is packed, runs the cells of each notebook in its own process, lets the lab's check
cells compare every answer with the answer key by ``torch.allclose``, and prints the marks at the
end. The answer key lies in a file that the environment names. It marks honest submissions well;
the tests show what each hostile one does to it.

Run it only through ``bubble.py``: what it runs may do anything.
"""

from __future__ import annotations

import contextlib
import copy
import json
import math
import os
import sys
import tempfile
import zipfile
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from peftcourse.exercises import find

SEED = 5
# Every cell of the lab imports from here; torch and the library are at hand, as in a notebook.
LAB_IMPORTS = {
    "contextlib": contextlib,
    "math": math,
    "tempfile": tempfile,
    "Path": Path,
    "torch": torch,
    "F": F,
    "Tensor": Tensor,
    "nn": nn,
    "hint": lambda exercise: None,
}


def same(student: object, right: object) -> bool:
    """Whether a part of an answer's outcome is what it should be."""
    if isinstance(right, Tensor):
        return torch.allclose(student, right)
    return not abs(student - right) > 1e-6


def taken_down(value: object) -> object:
    """A copy that the answer cannot change any more."""
    return value.detach().clone() if isinstance(value, Tensor) else copy.deepcopy(value)


def run_notebook(path: Path, handed_out: set[str]) -> tuple[int, str]:
    """The marks of one notebook, and a remark."""
    marks = [("lora.start", 0)]

    def check(name: str, answer: object) -> None:
        import answer_key

        exercise = find(name)
        for case in exercise.make_cases(SEED):
            torch.manual_seed(case["noise"])
            outcome = exercise.probe(answer, case)
            student = {part: taken_down(value) for part, value in outcome.items()}
            torch.manual_seed(case["noise"])
            right = exercise.probe(getattr(answer_key, name.replace(".", "_")), case)
            if not all(same(student[part], right[part]) for part in right):
                return
        marks.append((name, exercise.points))

    space = {**LAB_IMPORTS, "check": check}
    remarks = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        # The lab's own experiments take a minute; what the learner wrote and the checks count.
        if cell["cell_type"] != "code" or source in handed_out:
            continue
        try:
            code = compile(source, path.name, "exec")
        except SyntaxError as problem:
            remarks.append(str(problem))
            continue
        try:
            exec(code, space)
        except Exception as problem:
            remarks.append(str(problem))
    return sum(points for _, points in marks), "; ".join(remarks)


def grade(folder: Path, lab: Path) -> None:
    """Print a line ``name,marks,remark`` for each notebook of a folder."""
    sys.path.insert(0, str(Path(os.environ["GRADER_KEY"]).parent))
    cells = json.loads(lab.read_text(encoding="utf-8"))["cells"]
    handed_out = {"".join(cell["source"]) for cell in cells if "nbgrader" not in cell["metadata"]}
    for path in sorted(folder.rglob("*.zip")):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                (path.parent / name).write_bytes(archive.read(name))
    lines = []
    with open(Path(tempfile.gettempdir()) / "log.txt", "w", buffering=1) as log:
        for path in sorted(folder.rglob("*.ipynb")):
            marks, remark = run_notebook(path, handed_out)
            log.write(f"{path}: {marks} {remark}\n")
            lines.append(f"{path.relative_to(folder)},{marks},{remark[:200]}")
    print("\n".join(lines))
