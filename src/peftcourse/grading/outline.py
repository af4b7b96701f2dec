"""What the grader knows of a lab: read from the trusted notebook in the repository."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from peftcourse.exercises.registry import LESSONS, Lesson
from peftcourse.grading.members import Unreadable
from peftcourse.grading.notebooks import parse
from peftlab.errors import PeftlabError

_IPYTHON = re.compile(r"^(\s*)[%!].*", re.MULTILINE)


@dataclass(frozen=True)
class LabOutline:
    """A lab as it is handed out.

    Attributes:
        lesson: its name, such as ``03_lora``.
        targets: exercise id → the name that its check takes, such as ``lora_delta``.
        stubs: exercise id → what stands in its answer cell; a placeholder for a written one.
        setup: the lab's imports of the standard library and of what all its exercises allow.
        provided: functions and classes that the lab itself defines, in order.
        sources: the sources of all its cells, ``plain``.
    """

    lesson: str
    targets: Mapping[str, str]
    stubs: Mapping[str, str]
    setup: str
    provided: tuple[str, ...]
    sources: frozenset[str]

    @classmethod
    def read(cls, root: Path, lesson_name: str) -> LabOutline:
        """The outline of ``labs/NAME.ipynb`` in a clone of the repository.

        Raises:
            PeftlabError: there is no such lab, or it lacks one of its exercises.
        """
        if lesson_name not in LESSONS:
            known = ", ".join(LESSONS)
            raise PeftlabError(f'no lab is called "{lesson_name}"; there are {known}.')
        lesson = LESSONS[lesson_name]
        path = root / "labs" / f"{lesson_name}.ipynb"
        try:
            cells = parse(path.read_bytes()).cells
        except OSError as problem:
            raise PeftlabError(
                f"{path} cannot be read ({problem.strerror}): grade in a clone of the repository."
            ) from None
        except Unreadable as problem:
            raise PeftlabError(f"{path}: {problem}.") from None
        answers = {cell.grade_id: cell.source for cell in cells if cell.grade_id}
        trees = [_tree(cell.source) for cell in cells if cell.kind == "code"]
        targets = dict(_checked(trees))
        own = [_tree(c.source) for c in cells if c.kind == "code" and not c.grade_id]
        complete = targets.keys() >= {exercise.id for exercise in lesson.exercises}
        if not complete or not answers.keys() >= {part.slug for part in lesson.parts}:
            raise PeftlabError(f"{path} lacks an exercise of the lesson: run `make labs`.")
        return cls(
            lesson=lesson_name,
            targets={exercise.id: targets[exercise.id] for exercise in lesson.exercises},
            stubs={part.id: answers[part.slug] for part in lesson.parts},
            setup="\n".join(_imports(own, _allowed(lesson))),
            provided=tuple(_definitions(own)),
            sources=frozenset(plain(cell.source) for cell in cells),
        )


def plain(source: str) -> str:
    """A source without what editors change on their own: blanks at the ends of lines."""
    return "\n".join(line.rstrip() for line in source.strip().split("\n"))


def _tree(source: str) -> ast.Module:
    """A cell of the lab; it may hold IPython's ``%pip``."""
    return ast.parse(_IPYTHON.sub(r"\1pass", source))


def _checked(trees: list[ast.Module]) -> Iterator[tuple[str, str]]:
    """Exercise id and name of each ``check("lora.delta", lora_delta)``."""
    for tree in trees:
        for node in tree.body:
            match node:
                case ast.Expr(
                    ast.Call(ast.Name("check"), [ast.Constant(str(exercise)), ast.Name(target)])
                ):
                    yield exercise, target


def _allowed(lesson: Lesson) -> frozenset[str]:
    """The standard library, and the modules that each exercise allows."""
    allowed = [frozenset(exercise.allows) for exercise in lesson.exercises]
    return sys.stdlib_module_names.union(*allowed[:1]).intersection(
        *(sys.stdlib_module_names | modules for modules in allowed)
    )


def _imports(trees: list[ast.Module], allowed: frozenset[str]) -> Iterator[str]:
    """The import statements at the top level of cells, as far as they import what is allowed."""
    for node in (node for tree in trees for node in tree.body):
        if isinstance(node, ast.Import):
            names = [name for name in node.names if name.name.partition(".")[0] in allowed]
            if names:
                yield ast.unparse(ast.Import(names))
        elif isinstance(node, ast.ImportFrom) and node.module.partition(".")[0] in allowed:
            yield ast.unparse(node)


def _definitions(trees: list[ast.Module]) -> Iterator[str]:
    for tree in trees:
        for node in tree.body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                yield ast.unparse(node)
