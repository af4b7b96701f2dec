"""Checks of settings that several methods have; a message names the value and what it must be."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from peftlab.errors import PeftlabError
from peftlab.targets import ALL_LINEAR


def whole_number(name: str, value: Any, least: int = 1) -> None:
    """Raise a PeftlabError unless this is an int of at least ``least``."""
    if not isinstance(value, int) or value < least:
        raise PeftlabError(f"{name} must be a whole number of at least {least}, not {value!r}.")


def positive(name: str, value: Any) -> None:
    """Raise a PeftlabError unless this is a finite number above zero."""
    if not (math.isfinite(value) and value > 0):
        raise PeftlabError(f"{name} must be a positive number, not {value!r}.")


def dropout(value: Any) -> None:
    """Raise a PeftlabError unless this is a probability with which something is left."""
    if not 0 <= value < 1:
        raise PeftlabError(f"dropout must be at least 0 and below 1, not {value!r}.")


def one_of(name: str, value: Any, known: Sequence[str]) -> None:
    """Raise a PeftlabError unless this is one of the known names."""
    if value not in known:
        raise PeftlabError(f"{name} must be one of {', '.join(known)}, not {value!r}.")


def regular_expression(pattern: str) -> None:
    """Raise a PeftlabError unless this is a regular expression."""
    try:
        re.compile(pattern)
    except re.error as error:
        raise PeftlabError(
            f"{pattern!r} is not a regular expression ({error}); write the end of a "
            "layer's name, such as 'q_proj'."
        ) from None


def patterns(name: str, value: str | Sequence[str], remedy: str) -> str | tuple[str, ...]:
    """One pattern as it is, several as a tuple, for a frozen configuration.

    Raises:
        PeftlabError: there is none; the message ends with the remedy.
    """
    if not value:
        raise PeftlabError(f"{name} is empty; {remedy}.")
    return value if isinstance(value, str) else tuple(value)


def linear_targets(value: str | Sequence[str]) -> str | tuple[str, ...]:
    """``targets`` of a method that adapts linear layers, see ``patterns``."""
    return patterns("targets", value, f'name a layer, or use "{ALL_LINEAR}"')


def from_pattern(pattern: Mapping[str, Any], path: str, default: Any) -> Any:
    """The value of the first key that matches a layer's name, or the end of it after a dot."""
    key = deciding_key(pattern, path)
    return default if key is None else pattern[key]


def deciding_key(pattern: Mapping[str, Any], path: str) -> str | None:
    """The first key that matches a layer's name, or the end of it after a dot.

    Keys are regular expressions, matched as in PEFT: ``q_proj`` and ``layers.0.*`` match
    ``model.layers.0.q_proj``, ``proj`` does not.
    """
    return next((key for key in pattern if re.match(rf"(.*\.)?({key})$", path)), None)


def used(pattern: Mapping[str, Any], paths: Iterable[str]) -> dict[str, Any]:
    """The part of a pattern that decides for some of these layers."""
    keys = {deciding_key(pattern, path) for path in paths}
    return {key: value for key, value in pattern.items() if key in keys}


def all_used(name: str, pattern: Mapping[str, Any], paths: Sequence[str]) -> None:
    """Raise a PeftlabError if a key decides for none of these layers, which it would not tell."""
    for key in pattern.keys() - used(pattern, paths).keys():
        behind = used({key: 0}, paths)
        reason = "only layers that a key before it matches" if behind else "none of the layers"
        raise PeftlabError(
            f"{name} {key!r} decides nothing: it matches {reason}; these are adapted: "
            f"{', '.join(paths[:2])}, … Name the end of one, the narrower key first."
        )
