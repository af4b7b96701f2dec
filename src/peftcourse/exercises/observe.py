"""Run an answer and write down what it did: plain data, and no opinion on whether it is right.

This file and the probes of a lesson are all that has to be where an answer runs. Both import the
standard library and torch only, so that a grader can hand them to a sandboxed worker as they are.
"""

from __future__ import annotations

import ast
import builtins
import copy
import difflib
import inspect
import linecache
import sysconfig
import textwrap
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from traceback import extract_tb, walk_tb
from types import FrameType
from typing import Any

import torch

Case = dict[str, Any]
Outcome = dict[str, Any]  # name → Tensor, int or float; the name of its type for anything else
Observation = dict[str, Any]  # outcome, changed, error

_HERE = Path(__file__).resolve().parent
# The answer's own lines are in none of these: our files, the standard library, torch and what is
# installed beside it.
_NOT_THE_ANSWER = tuple(
    {
        str(_HERE),
        str(Path(torch.__file__).parents[1]),
        *(sysconfig.get_paths()[key] for key in ("stdlib", "purelib", "platlib")),
    }
)


def observe(probe: Callable[[Any, Case], Outcome], answer: Any, case: Case) -> Observation:
    """Run one answer on one case.

    The answer gets copies, so that it cannot change the case; random numbers drawn from torch's
    CPU generator start from ``case["noise"]``, and the generator's state is put back afterwards.

    Args:
        probe: calls the answer and returns what it did.
        answer: the function or class under test.
        case: the inputs, and ``noise``, which tells nothing of the seed that they were drawn with.

    Returns:
        ``outcome``: what the probe returned, as detached CPU tensors and numbers; empty after an
        error. ``changed``: names of the inputs that the answer changed in place. ``error``: None,
        or the exception as strings (see ``describe_error``).
    """
    inputs = _copied(case, {})
    state = torch.get_rng_state()
    torch.default_generator.manual_seed(case["noise"])
    try:
        with torch.enable_grad(), torch.device("cpu"):
            outcome = probe(answer, inputs)
        cleaned = {name: plain(value) for name, value in outcome.items()}
        error = None
    except (Exception, SystemExit) as problem:
        cleaned, error = {}, describe_error(problem)
    finally:
        torch.set_rng_state(state)
    changed = [name for name in case if not same(case[name], inputs[name])]
    return {"outcome": cleaned, "changed": changed, "error": error}


def _copied(value: Any, memo: dict[int, Any]) -> Any:
    """A deep copy that does not look at each number of a long list; what is shared stays shared."""
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return value
    if id(value) not in memo:
        if kind in (list, tuple):
            memo[id(value)] = kind([_copied(item, memo) for item in value])
        elif kind is dict:
            memo[id(value)] = {key: _copied(item, memo) for key, item in value.items()}
        else:
            memo[id(value)] = copy.deepcopy(value, memo)
    return memo[id(value)]


def plain(value: Any) -> torch.Tensor | int | float | str:
    """The value as a detached CPU tensor or a number; anything else becomes its type's name."""
    if isinstance(value, torch.Tensor):
        return value.detach().to_dense().as_subclass(torch.Tensor).cpu().clone()
    if isinstance(value, (int, float)):
        return float(value) if isinstance(value, float) else int(value)
    return type(value).__name__


def same(before: Any, after: Any) -> bool:
    """Whether nothing in a nested input has changed; NaN equals NaN."""
    if before is after:  # numbers and text are not copied
        return True
    if isinstance(before, torch.Tensor):
        return (
            isinstance(after, torch.Tensor)
            and before.shape == after.shape
            and before.dtype == after.dtype
            and torch.allclose(before, after, rtol=0, atol=0, equal_nan=True)
        )
    if isinstance(before, Mapping):
        return before.keys() == after.keys() and all(same(before[k], after[k]) for k in before)
    if isinstance(before, (list, tuple)):
        return len(before) == len(after) and all(map(same, before, after))
    return bool(before == after)


def describe_error(problem: BaseException) -> dict[str, Any]:
    """An exception without its traceback.

    Returns:
        ``type`` and ``message``, and the last line of the answer that was running: its number
        ``line`` and its text ``code``. Both are None if no line of the answer was, as when it
        takes other arguments than it was given. ``nearest`` is the name that was meant, if one
        like the missing one exists; ``left_over`` says that a ``raise NotImplementedError`` has
        code around it; ``unwritten`` is the method that still has no other line, in a class that
        has written ones.
    """
    entries = [
        (entry, frame)
        for entry, (frame, _) in zip(
            extract_tb(problem.__traceback__), walk_tb(problem.__traceback__), strict=True
        )
        if not entry.filename.startswith((*_NOT_THE_ANSWER, "<frozen"))
    ]
    last, frame = entries[-1] if entries else (None, None)
    return {
        "type": type(problem).__name__,
        "message": str(problem).strip().split("\n")[0],
        "line": last.lineno if last else None,
        "code": linecache.getline(last.filename, last.lineno).strip() if last else None,
        "nearest": _nearest(problem, frame) if frame else None,
        "left_over": isinstance(problem, NotImplementedError) and _has_more_code(frame),
        "unwritten": _unwritten(frame) if isinstance(problem, NotImplementedError) else None,
    }


def _nearest(problem: BaseException, frame: FrameType) -> str | None:
    """The name most like the one that does not exist."""
    missing = getattr(problem, "name", None)
    known: Iterable[Any] = ()
    if isinstance(problem, NameError):
        known = {**vars(builtins), **frame.f_globals, **frame.f_locals}
    elif isinstance(problem, AttributeError):
        known = dir(problem.obj)
    elif isinstance(problem, KeyError) and problem.args:
        missing = problem.args[0]
        dictionaries = [value for value in frame.f_locals.values() if isinstance(value, Mapping)]
        known = (key for value in dictionaries for key in value)
    if not isinstance(missing, str):
        return None
    names = [name for name in known if isinstance(name, str)]
    same = [name for name in names if name != missing and name.lower() == missing.lower()]
    close = same or difflib.get_close_matches(missing, names, n=1, cutoff=0.6)
    return close[0] if close else None


def _has_more_code(frame: FrameType | None) -> bool:
    """Whether the function that the frame is in does more than raise and have a docstring."""
    if frame is None:
        return False
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(frame.f_code)))
    except (OSError, SyntaxError, TypeError):
        return False
    return any(not _says_nothing(statement) for statement in getattr(tree.body[0], "body", []))


def _unwritten(frame: FrameType | None) -> str | None:
    """The method that the frame is in, if others of its class are written."""
    if frame is None:
        return None
    try:
        tree = ast.parse("".join(linecache.getlines(frame.f_code.co_filename)))
    except SyntaxError:
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.lineno <= frame.f_lineno <= node.end_lineno:
            methods = [m for m in node.body if isinstance(m, ast.FunctionDef)]
            if any(not all(map(_says_nothing, method.body)) for method in methods):
                return frame.f_code.co_name
    return None


def _says_nothing(statement: ast.stmt) -> bool:
    """A docstring, ``...``, ``pass``, the call that a subclass of nn.Module starts with, or the
    line that stands for what is to be written."""
    if isinstance(statement, ast.Pass):
        return True
    if isinstance(statement, ast.Raise):
        return statement.exc is not None and "NotImplementedError" in ast.unparse(statement.exc)
    if not isinstance(statement, ast.Expr):
        return False
    value = statement.value
    return isinstance(value, ast.Constant) or ast.unparse(value) == "super().__init__()"
