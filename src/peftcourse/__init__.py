"""peftcourse: the course made with peftlab: exercises, labs, grading, experiments and figures.

>>> from peftcourse import check, hint, progress

``check`` an answer, ask for a ``hint``, see your ``progress``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from peftcourse.exercises.notebook import check, hint, progress

__all__ = ["check", "hint", "progress"]


def __getattr__(name: str) -> Any:
    # Imported when first used: `peftlab --help` waits for neither torch nor the exercises.
    if name in __all__:
        value = getattr(import_module("peftcourse.exercises.notebook"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
