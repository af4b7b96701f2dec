"""Your code runs the course: what passed its check drives the lab's experiments."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from peftcourse.exercises import session
from peftcourse.exercises.core import Written
from peftcourse.exercises.registry import find


def yours(exercise: str, otherwise: Any = None) -> Any:
    """Your answer to an exercise, if it passed its check in this kernel; else the library's.

    Prints which of the two it is. A function of yours that fails in the experiment says so in one
    line, and the library's takes its place.

    Args:
        exercise: the id, such as ``"lora.forward"``.
        otherwise: what the library has; the model answer if left out.

    Raises:
        PeftlabError: there is no such exercise.
    """
    found = find(exercise)
    if isinstance(found, Written):
        raise TypeError(f"{exercise} asks for words, which run nothing")
    other = found.solution if otherwise is None else otherwise
    own = session.passed.get(exercise)
    if own is None:
        print(f"{exercise}: the library's runs here, until yours has passed its check")
        return other
    print(f"{exercise}: your {_name(own)} runs here")
    return own if inspect.isclass(own) else _guarded(exercise, own, other)


def _guarded(exercise: str, own: Callable[..., Any], other: Callable[..., Any]) -> Any:
    """The learner's function until it fails, and from then on the library's."""
    failed = False

    def fails(problem: Exception) -> None:
        nonlocal failed
        failed = True
        what = f"{type(problem).__name__}: {problem}".splitlines()[0].removesuffix(": ")
        print(f"{exercise}: your {_name(own)} failed here ({what}); the library's goes on")

    @functools.wraps(own, updated=())
    def guarded(*args: Any, **kwargs: Any) -> Any:
        if failed:
            return other(*args, **kwargs)
        try:
            result = own(*args, **kwargs)
        except Exception as problem:
            fails(problem)
            return other(*args, **kwargs)
        if isinstance(result, AbstractContextManager):
            return _GuardedBlock(result, lambda: other(*args, **kwargs), fails)
        return result

    return guarded


class _GuardedBlock(AbstractContextManager):
    """The learner's context manager, or the library's if it fails before its block begins."""

    def __init__(
        self,
        own: AbstractContextManager,
        other: Callable[[], AbstractContextManager],
        fails: Callable[[Exception], None],
    ) -> None:
        self.block, self.other, self.fails = own, other, fails

    def __enter__(self) -> Any:
        try:
            return self.block.__enter__()
        except Exception as problem:
            self.fails(problem)
            self.block = self.other()
            return self.block.__enter__()

    def __exit__(self, *error: Any) -> Any:
        return self.block.__exit__(*error)


def _name(answer: Any) -> str:
    return getattr(answer, "__name__", type(answer).__name__)
