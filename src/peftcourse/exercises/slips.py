"""Wrong answers made from a reference solution by changing a few words of it.

A slip is one idea got wrong. Two slips whose words are in different places make an answer with two
mistakes, so that a few slips explain many answers.
"""

from __future__ import annotations

import inspect
import sys
import textwrap
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from peftlab.errors import PeftlabError

Edit = tuple[str, str]  # the words as they stand in the solution, and what stands there instead


def edited(solution: Any, edits: Sequence[Edit]) -> Any:
    """The solution with these words changed, as a new function or class.

    Raises:
        PeftlabError: the words of an edit do not stand in the solution exactly once.
    """
    source = changed(solution, edits)
    space = dict(vars(sys.modules[solution.__module__]))
    name = f"<{solution.__name__} with {edits}>"
    # Annotations are left as text, as in the module that the source is from.
    exec(compile("from __future__ import annotations\n" + source, name, "exec"), space)
    return space[solution.__name__]


def changed(solution: Any, edits: Sequence[Edit]) -> str:
    """The source of the solution with these words changed.

    Raises:
        PeftlabError: the words of an edit do not stand in the solution exactly once.
    """
    source = _source(solution)
    for old, new in edits:
        if source.count(old) != 1:
            raise PeftlabError(
                f"{old!r} stands {source.count(old)} times in {solution.__name__}; "
                "a slip changes words that stand there once."
            )
        source = source.replace(old, new)
    return source


@lru_cache(maxsize=256)
def _source(solution: Any) -> str:
    return textwrap.dedent(inspect.getsource(solution))


def compatible(solution: Any, one: Sequence[Edit], other: Sequence[Edit]) -> bool:
    """Whether two slips change different words."""
    try:
        changed(solution, (*one, *other))
    except PeftlabError:
        return False
    return True


def combined(solution: Any, one: Sequence[Edit], other: Sequence[Edit]) -> Any | None:
    """The solution with both slips, or None where they change the same words."""
    try:
        return edited(solution, (*one, *other))
    except (PeftlabError, SyntaxError):
        return None
