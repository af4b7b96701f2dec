"""Known wrong answers as the source text that a learner would have handed in.

A mutant of an exercise is a Python object: a function, a lambda, or a class that derives from the
reference solution. Here it becomes the text of an answer cell, which defines the name that the lab
asks for and, before it, whatever the mutant is made of.
"""

from __future__ import annotations

import ast
import inspect
import symtable
import sys
from collections.abc import Sequence
from types import FunctionType

from peftcourse.exercises.slips import Edit, changed

Definition = ast.FunctionDef | ast.ClassDef


def source(answer: FunctionType | type, name: str, edits: Sequence[Edit] = ()) -> str:
    """The text of a cell that defines ``name`` as this wrong answer.

    Args:
        answer: a mutant's function, lambda or class, defined at the top of a module. It may use
            other definitions of that module, and names that the lab imports. For a slip, the
            reference solution that it was made from.
        name: what the lab calls the answer. The mutant takes this name; the reference solution,
            if it has the same and the mutant builds on it, becomes ``first_`` and the name.
        edits: the words of the solution that a slip changes.
    """
    text = inspect.getsource(sys.modules[answer.__module__])
    text = text.replace(inspect.getsource(answer), changed(answer, edits)) if edits else text
    tree = ast.parse(text)
    definitions = {node.name: node for node in tree.body if isinstance(node, Definition)}
    wanted = answer.__name__
    if wanted == "<lambda>":
        wanted = "wrong_answer"
        definitions[wanted] = _as_function(wanted, _find_lambda(tree, answer))
    for node in definitions.values():
        _drop_annotations(node)

    renamed = {name: f"first_{name}", wanted: name}
    texts = []
    for needed in _in_order(wanted, definitions):
        node, names = definitions[needed], _global_names(definitions[needed])
        changes = {old: new for old, new in renamed.items() if old in names}
        node = _Rename(changes).visit(node)
        node.name = renamed.get(node.name, node.name)
        texts.append(ast.unparse(node))
    return "\n\n\n".join(texts)


def _find_lambda(tree: ast.Module, answer: FunctionType) -> ast.Lambda:
    """The lambda that starts on the line where the function was defined."""
    line = answer.__code__.co_firstlineno
    (found,) = (n for n in ast.walk(tree) if isinstance(n, ast.Lambda) and n.lineno == line)
    return found


def _as_function(name: str, node: ast.Lambda) -> ast.FunctionDef:
    arguments, value = ast.unparse(node.args), ast.unparse(node.body)
    return ast.parse(f"def {name}({arguments}):\n    return {value}").body[0]


def _drop_annotations(node: Definition) -> None:
    """Remove what only a type checker reads; it would need imports that the lab does not have."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.arg):
            inner.annotation = None
        elif isinstance(inner, ast.FunctionDef):
            inner.returns = None


def _in_order(wanted: str, definitions: dict[str, Definition]) -> list[str]:
    """The definition and all that it needs, each after those that it needs itself."""
    ordered: list[str] = []

    def visit(name: str) -> None:
        for needed in sorted(_global_names(definitions[name]) & definitions.keys() - {name}):
            if needed not in ordered:
                visit(needed)
        ordered.append(name)

    visit(wanted)
    return ordered


def _global_names(node: Definition) -> set[str]:
    """What the definition takes from the module; a local variable of the same name is not it."""
    table = symtable.symtable(ast.unparse(node), node.name, "exec")
    names = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_referenced()}
    tables = table.get_children()
    while tables:
        table = tables.pop()
        tables += table.get_children()
        names |= {s.get_name() for s in table.get_symbols() if s.is_global() and s.is_referenced()}
    return names


class _Rename(ast.NodeTransformer):
    def __init__(self, changes: dict[str, str]) -> None:
        self.changes = changes

    def visit_Name(self, node: ast.Name) -> ast.Name:
        node.id = self.changes.get(node.id, node.id)
        return node
