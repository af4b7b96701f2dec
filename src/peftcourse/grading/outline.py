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
        own: source of each of its other code cells, ``plain`` → what of it is run in grading: its
            imports of the standard library and of what all exercises allow, its functions and
            classes, and the names to which it gives a literal. The rest is experiments.
        absent: names that only the rest of these cells gives a value.
        ids: cell ids of its other code cells.
        sources: the sources of all its cells, ``plain``.
    """

    lesson: str
    targets: Mapping[str, str]
    stubs: Mapping[str, str]
    own: Mapping[str, str]
    absent: frozenset[str]
    ids: frozenset[str]
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
        slugs = {part.slug for part in lesson.parts}
        trees = [_tree(cell.source) for cell in cells if cell.kind == "code"]
        targets = dict(_checked(trees))
        others = [c for c in cells if c.kind == "code" and c.grade_id not in slugs]
        own = {plain(c.source): _definitions(_tree(c.source), _allowed(lesson)) for c in others}
        given = {name for source in own.values() for name in _names(ast.parse(source))}
        named = {name for c in others for name in _names(_tree(c.source))}
        complete = targets.keys() >= {exercise.id for exercise in lesson.exercises}
        if not complete or not answers.keys() >= slugs:
            raise PeftlabError(f"{path} lacks an exercise of the lesson: run `make labs`.")
        return cls(
            lesson=lesson_name,
            targets={exercise.id: targets[exercise.id] for exercise in lesson.exercises},
            stubs={part.id: answers[part.slug] for part in lesson.parts},
            own=own,
            absent=frozenset(named - given - {"_"}),
            ids=frozenset(c.id for c in others if c.id),
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


def _definitions(tree: ast.Module, allowed: frozenset[str]) -> str:
    """What of a cell of the lab's own is run in grading."""
    return "\n".join(map(ast.unparse, _defining(tree.body, allowed)))


def _defining(body: list[ast.stmt], allowed: frozenset[str]) -> Iterator[ast.stmt]:
    for node in body:
        match node:
            case ast.Import(names):
                if kept := [name for name in names if name.name.partition(".")[0] in allowed]:
                    yield ast.Import(kept)
            case ast.ImportFrom(module):
                if module.partition(".")[0] in allowed:
                    yield node
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node
            case ast.Assign(value=value) if _is_literal(value):
                yield node


def _is_literal(value: ast.expr) -> bool:
    try:
        ast.literal_eval(value)
    except ValueError:
        return False
    return True


def _names(tree: ast.Module) -> Iterator[str]:
    """The names that a cell gives a value outside of its functions and classes."""
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        match node:
            case (
                ast.FunctionDef(name=name)
                | ast.AsyncFunctionDef(name=name)
                | ast.ClassDef(name=name)
            ):
                yield name
                continue
            case ast.alias(name=name, asname=other):
                yield other or name.partition(".")[0]
            case ast.Name(id=name, ctx=ast.Store()):
                yield name
        waiting += ast.iter_child_nodes(node)
