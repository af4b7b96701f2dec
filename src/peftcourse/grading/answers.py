"""Turn the text of an answer cell into the function or class it defines, and observe it.

Runs in the sandbox's child. Learners' cells hold more than the answer: calls to try it, magics of
IPython, the use of a helper from another cell. None of that costs points as long as the answer
itself can be built: statements run one by one, an error in one is noted and the next one runs, and
names that the answer uses and does not define are looked for elsewhere in the notebook.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import dis
import importlib
import linecache
import os
import re
import sys
import types
from typing import Any

import observe as watch
import wire

FILE = "<answer>"
# Lines that only IPython understands: magics and shell commands, also with their output assigned
# to a name, and question marks for help.
_IPYTHON = re.compile(r"^[ \t]*(?:[%!?].*|[\w, \t]+=[ \t]*[%!].*|.*\?\??[ \t]*)$", re.MULTILINE)
_CELL_MAGIC = re.compile(r"\A\s*%%.*")
MAX_TEXT = 1000  # characters of any message that goes out
MAX_NOTES = 5


class NoAnswer(Exception):
    """The cell defines nothing that could be the answer."""


def run(request: bytes) -> bytes:
    """Build the answer of one request, run its probe on each case, and encode what it did.

    A request holds ``code``, ``target``, ``helpers`` (sources, the most trusted first), ``probe``
    (a module and a function in it) and ``cases``. An empty one is a trial of the protections.

    Returns:
        A message with ``observations``, one per case, and ``notes``.
    """
    if not request:
        return b""
    asked = wire.decode(request)
    module, function = asked["probe"]
    probe = getattr(importlib.import_module(module), function)
    _hide_our_modules()
    notes: list[str] = []
    try:
        answer = build(asked["code"], asked["target"], asked["helpers"], notes)
    except (Exception, SystemExit, KeyboardInterrupt) as problem:
        failed = {"outcome": {}, "changed": [], "error": _error(problem)}
        return wire.encode({"observations": [failed] * len(asked["cases"]), "notes": notes})
    observations = []
    for case in asked["cases"]:
        observation = watch.observe(probe, answer, case)
        error = observation["error"]
        observations.append({**observation, "error": error and _short(error)})
        if error:  # the first error is the one that is reported
            break
    missing = len(asked["cases"]) - len(observations)
    return wire.encode({"observations": observations + observations[-1:] * missing, "notes": notes})


def _hide_our_modules() -> None:
    """Leave nothing of ours under a name that an answer could import and change."""
    here = os.path.dirname(__file__)
    for name, module in list(sys.modules.items()):
        if os.path.dirname(getattr(module, "__file__", None) or "") == here:
            del sys.modules[name]


def build(code: str, target: str, helpers: list[str], notes: list[str]) -> Any:
    """The object that the code calls ``target``.

    Raises:
        NoAnswer: there is none, and not exactly one other function or class either.
        NotImplementedError: the cell holds comments alone, or the lab's stub.
        Exception: the statement that should define it failed; or a syntax error.
    """
    tree, text = parse(code)
    if not tree.body:
        raise NotImplementedError
    lines = text.splitlines(keepends=True)
    linecache.cache[FILE] = (len(text), None, lines, FILE)
    # As in a notebook, the code is the main module; dataclasses look theirs up by its name.
    sys.modules["__main__"] = types.ModuleType("__main__")
    space = vars(sys.modules["__main__"])
    provide(tree, helpers, space)
    failed: dict[str, BaseException] = {}
    for statement in tree.body:
        try:
            exec(compile(ast.Module([statement], []), FILE, "exec"), space)
        except (Exception, SystemExit, KeyboardInterrupt) as problem:
            for name in _defined(statement) or [""]:
                failed[name] = problem
            if len(notes) < MAX_NOTES:
                notes.append(_clip(f"line {statement.lineno}: {_name_and_text(problem)}"))
    if target in space:
        return space[target]
    if target in failed:
        raise failed[target]
    others = [
        statement.name
        for statement in tree.body
        if isinstance(statement, (ast.FunctionDef, ast.ClassDef)) and statement.name in space
    ]
    if len(others) == 1:
        notes.append(_clip(f"`{target}` is called `{others[0]}` here"))
        return space[others[0]]
    if failed:
        raise next(iter(failed.values()))
    raise NoAnswer(f"the cell defines nothing called `{target}`")


def parse(code: str) -> tuple[ast.Module, str]:
    """The statements of a cell, and its text without what only IPython understands."""
    try:
        return ast.parse(code, FILE), code
    except SyntaxError as problem:
        text = _IPYTHON.sub("", _CELL_MAGIC.sub("", code, count=1))
        try:
            return ast.parse(text, FILE), text
        except SyntaxError:
            linecache.cache[FILE] = (len(code), None, code.splitlines(keepends=True), FILE)
            raise problem from None


def provide(tree: ast.Module, helpers: list[str], space: dict[str, Any]) -> None:
    """Run those definitions of other cells that the answer needs, and no other statement of them.

    Args:
        tree: the answer cell.
        helpers: the other cells' texts; the first one that defines a name counts.
        space: where the names go.
    """
    own = {name for statement in tree.body for name in _defined(statement)}
    needed = {name for s in tree.body for name in _global_names(s)} - own - set(dir(builtins))
    unread = iter(helpers)
    known: dict[str, ast.stmt] = {}
    done: set[int] = set()

    def find(name: str) -> ast.stmt | None:
        """The statement that defines a name; texts are parsed only as far as one is missing."""
        while name not in known and (text := next(unread, None)) is not None:
            for defined, statement in _definitions(text).items():
                known.setdefault(defined, statement)
        return known.get(name)

    def define(names: set[str]) -> None:
        for name in sorted(names):
            statement = find(name)
            if statement is None or id(statement) in done:
                continue
            done.add(id(statement))
            define(_global_names(statement) - set(dir(builtins)))
            # If one fails that the answer needs, the answer's own error will say so.
            with contextlib.suppress(Exception, SystemExit, KeyboardInterrupt):
                exec(compile(ast.Module([statement], []), "<helper>", "exec"), space)

    define(needed)


def _definitions(text: str) -> dict[str, ast.stmt]:
    """What the definitions, imports and assignments of a cell define; the last one counts."""
    try:
        statements = parse(text)[0].body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    return {
        name: statement
        for statement in statements
        if isinstance(statement, _DEFINITIONS)
        for name in _defined(statement)
    }


_FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_IMPORT = (ast.Import, ast.ImportFrom)
_DEFINITIONS = (*_FUNCTION, *_IMPORT, ast.Assign, ast.AnnAssign)
# Instructions that look a name up outside of functions; the last one is in class bodies.
_GLOBAL = {"LOAD_NAME", "LOAD_GLOBAL", "LOAD_FROM_DICT_OR_GLOBALS"}


def _global_names(statement: ast.stmt) -> set[str]:
    """Names that a statement does not bind itself; an answer's local variables are none."""
    names: set[str] = set()
    try:
        waiting = [compile(ast.Module([statement], []), FILE, "exec")]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return names
    while waiting:
        code = waiting.pop()
        names |= {step.argval for step in dis.get_instructions(code) if step.opname in _GLOBAL}
        waiting += [inner for inner in code.co_consts if isinstance(inner, types.CodeType)]
    return names


def _defined(statement: ast.stmt) -> list[str]:
    """Names that a statement at the top of a cell gives a value."""
    if isinstance(statement, _FUNCTION):
        return [statement.name]
    if isinstance(statement, _IMPORT):
        return [alias.asname or alias.name.split(".")[0] for alias in statement.names]
    return [
        node.id
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    ]


# --- what may go out ------------------------------------------------------------------------------


def _error(problem: BaseException) -> dict[str, Any]:
    if isinstance(problem, SyntaxError) and problem.filename == FILE:
        line = problem.lineno if type(problem.lineno) is int else None
        code = linecache.getline(FILE, line or 0).strip()
        described = {"type": "SyntaxError", "message": problem.msg, "line": line, "code": code}
        return _short(described)
    return _short(watch.describe_error(problem))


def _short(error: dict[str, Any]) -> dict[str, Any]:
    return {key: _clip(value) if isinstance(value, str) else value for key, value in error.items()}


def _clip(text: str) -> str:
    text = str(text).encode("utf-8", "replace").decode()
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + " …"


def _name_and_text(problem: BaseException) -> str:
    described = watch.describe_error(problem)
    return f"{described['type']}: {described['message']}"
