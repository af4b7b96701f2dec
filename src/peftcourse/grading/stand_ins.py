"""What a notebook has at hand in Jupyter and has not got where it is graded.

Runs in the sandbox's children. The course's package, IPython's helpers and the variables of a lab's
experiments are needed by many cells and by no answer, so something stands there in their place:
functions that do nothing, and values that say so when they are used.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any


class NotRun(Exception):
    """A cell needs something that is not there while grading, such as an experiment's model."""


class Absent:
    """Stands for a value that is not there: it can be passed around, and not used."""

    def __init__(self, name: str) -> None:
        object.__setattr__(self, "_absent", name)

    def __repr__(self) -> str:
        return f"<{object.__getattribute__(self, '_absent')}: not there while grading>"

    def __or__(self, other: Any) -> Absent:  # in type hints, ``PreTrainedModel | None``
        return self

    __ror__ = __or__

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), _: Any = None) -> Any:
        _refuse(next((a for a in args if isinstance(a, cls)), cls("an argument")))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # how Python asks what kind of object something is
            raise AttributeError(name)
        _refuse(self)


def _refuse(absent: Absent, *_: Any, **__: Any) -> Any:
    name = object.__getattribute__(absent, "_absent")
    raise NotRun(f"`{name}` is not there: experiments and other packages do not run in grading")


for _name in (
    "call getitem setitem delitem iter len bool contains enter exit setattr mro_entries "
    "add radd sub rsub mul rmul truediv rtruediv floordiv rfloordiv mod rmod pow rpow matmul "
    "format round reversed fspath divmod trunc floor rmatmul neg abs lt le gt ge int float index "
    "and rand array"
).split():
    setattr(Absent, f"__{_name}__", _refuse)


class _Lines(list):
    """What ``files = !ls`` gives: IPython's list of the lines, here without any."""

    n = s = nlstr = spstr = ""
    l = property(lambda self: self)  # noqa: E741, its name in IPython


# Magics whose line or cell is Python, which a kernel runs in the notebook's namespace.
_RUN_LINE = ("time", "prun")
_RUN_CELL = ("time", "capture", "prun")


class Shell:
    """What ``get_ipython()`` returns: magics and commands do nothing, ``%time`` runs its code.

    Args:
        run: runs a source in the notebook's namespace and returns the value of its last line.
        space: that namespace.
    """

    def __init__(self, run: Callable[[str], Any], space: dict[str, Any]) -> None:
        self._run = run
        self.user_ns = space

    def run_line_magic(self, name: str, line: str, *_: Any, **__: Any) -> Any:
        return self._run(line) if name in _RUN_LINE else None

    def run_cell_magic(self, name: str, line: str, cell: str) -> None:
        if name in _RUN_CELL:
            self._run(cell)

    def magic(self, text: str) -> Any:
        name, _, line = text.partition(" ")
        return self.run_line_magic(name, line)

    def getoutput(self, *_: Any, **__: Any) -> _Lines:
        return _Lines()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _nothing


def _nothing(*_: Any, **__: Any) -> None:
    return None


def _module(name: str, other: Callable[[str], Any], **contents: Any) -> types.ModuleType:
    """A module with these contents; ``other`` makes what else is imported from it."""

    def find(missing: str) -> Any:
        if missing.startswith("__"):
            raise AttributeError(missing)
        return other(missing)

    module = types.ModuleType(name)
    vars(module).update(contents, __getattr__=find)
    module.__path__ = []
    sys.modules[name] = module
    return module


def install(shell: Shell, checked: dict[str, Any]) -> dict[str, Any]:
    """Put stand-ins for the course's package and for IPython where a cell imports them from.

    Args:
        shell: of this notebook.
        checked: gets the last object that a cell gave to ``check``, by exercise.

    Returns:
        The names that a notebook has without importing them, and those that its first cell imports.
    """

    def check(exercise: Any = None, answer: Any = None, **_: Any) -> None:
        if isinstance(answer, str) and not isinstance(exercise, str):
            exercise, answer = answer, exercise
        if isinstance(exercise, str) and callable(answer):
            checked[exercise] = answer

    def yours(exercise: str, otherwise: Any = None) -> Any:
        otherwise = Absent(f"yours({exercise!r})") if otherwise is None else otherwise
        return checked.get(exercise, otherwise)

    def case(exercise: str, seed: int | None = None) -> Absent:
        return Absent(f"case({exercise!r})")

    course = dict.fromkeys(("hint", "solution", "progress"), _nothing)
    course |= {"check": check, "yours": yours, "case": case}

    _module("peftcourse", Absent, **course)
    _module("peftcourse.exercises", Absent, **course)
    shown = dict.fromkeys(("display", "clear_output", "set_matplotlib_formats"), _nothing)
    display = _module("IPython.display", lambda name: _Shown, **shown)
    _module("IPython", Absent, display=display, get_ipython=lambda: shell)
    names = {"get_ipython": lambda: shell, "display": _nothing}
    return names | course


class _Shown:
    """``Markdown``, ``HTML`` and the like: made to be displayed, and for nothing else."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _nothing
