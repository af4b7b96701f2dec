"""peftcourse: the course made with peftlab: exercises, labs, grading, experiments and figures.

>>> from peftcourse import check, hint, case, solution, progress, yours

``check`` an answer, ask for a ``hint``, try a failing ``case`` by hand, look at a ``solution``, see
your ``progress``, and let ``yours`` run in the lab.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from peftcourse.exercises import case, check, hint, progress, solution, yours

__all__ = ["case", "check", "hint", "progress", "solution", "yours"]


def __getattr__(name: str) -> Any:
    # Imported when first used: `peftlab --help` waits for neither torch nor the exercises.
    if name in __all__:
        value = getattr(import_module("peftcourse.exercises"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
