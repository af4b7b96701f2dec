"""Lesson 09, the factor of one layer: what wrong factors show, whatever the code is."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator

from peftcourse.exercises.core import Symptom
from peftcourse.exercises.observe import Case, Outcome

When = Callable[[Case, Outcome, Outcome], bool]

_Used = tuple[str | None, str | None, bool]


def _rules(case: Case) -> Iterator[tuple[_Used, float]]:
    """Each factor that some choice of keys gives: the keys of rank and alpha, whether with √."""
    ranks = {None: case["r"], **case["rank_pattern"]}
    alphas = {None: case["lora_alpha"], **case["alpha_pattern"]}
    for rank_key, rank in ranks.items():
        for alpha_key, alpha in alphas.items():
            yield (rank_key, alpha_key, False), alpha / rank
            yield (rank_key, alpha_key, True), alpha / math.sqrt(rank)


def _used(case: Case, factor: float) -> list[_Used]:
    return [used for used, value in _rules(case) if math.isclose(value, factor, rel_tol=1e-5)]


def _differences(
    case: Case, expected: Outcome, observed: Outcome
) -> list[tuple[str, str | None, str | None]] | None:
    """(layer, right key, key that was used) for each look-up that went wrong; None if that does
    not explain it."""
    found: list[tuple[str, str | None, str | None]] = []
    rows = zip(
        case["paths"], expected["factors"].tolist(), observed["factors"].tolist(), strict=True
    )
    for path, right, seen in rows:
        if math.isclose(right, seen, rel_tol=1e-5):
            continue
        meant, used = _used(case, right), _used(case, seen)
        if len(meant) != 1 or len(used) != 1 or meant[0][2] != used[0][2]:
            return None
        pairs = zip(meant[0][:2], used[0][:2], strict=True)
        found += [(path, one, other) for one, other in pairs if one != other]
    return found


def _keys(test: Callable[[str, str | None, str | None], bool]) -> When:
    """What holds for all look-ups that went wrong."""

    def when(case: Case, expected: Outcome, observed: Outcome) -> bool:
        differences = _differences(case, expected, observed)
        return bool(differences) and all(test(*one) for one in differences)

    return when


def _root(case: Case, expected: Outcome, observed: Outcome) -> bool:
    """Only the root is where it should not be, or the other way round."""
    turned = [
        any(used[2] != case["use_rslora"] for used in _used(case, seen))
        for right, seen in zip(
            expected["factors"].tolist(), observed["factors"].tolist(), strict=True
        )
        if not math.isclose(right, seen, rel_tol=1e-5)
    ]
    return all(turned)


def _is_plain(key: str) -> bool:
    return re.fullmatch(r"[\w.]+", key) is not None


_MATCH = "Match with re.fullmatch(rf'(.*\\.)?({key})', path)"

SYMPTOMS = (
    Symptom(
        "factors",
        "a key that is the whole name of a layer is not found: no dot is needed in front",
        _MATCH,
        _keys(lambda path, right, used: used is None and right is not None and _is_whole(right)),
        decides=True,
    ),
    Symptom(
        "factors",
        "a key with signs of regular expressions is not found for a layer whose name, or its end "
        "from a dot on, it matches",
        _MATCH,
        _keys(
            lambda path, right, used: used is None and right is not None and not _is_plain(right)
        ),
        decides=True,
    ),
    Symptom(
        "factors",
        "a key is not found for a layer whose name, or its end from a dot on, it matches",
        _MATCH,
        _keys(lambda path, right, used: used is None and right is not None),
        decides=True,
    ),
    Symptom(
        "factors",
        "a key is taken for a layer that has it at the end of a longer word: it has to begin after "
        "a dot",
        _MATCH,
        _keys(
            lambda path, right, used: (
                used is not None and re.search(rf"\w({used})$", path) is not None
            )
        ),
        decides=True,
    ),
    Symptom(
        "factors",
        "a key is taken for a layer whose name goes on after it: it has to reach the end",
        _MATCH,
        _keys(
            lambda path, right, used: (
                used is not None
                and re.search(rf"({used})$", path) is None
                and re.search(used, path) is not None
            )
        ),
        decides=True,
    ),
    Symptom(
        "factors",
        "where two keys match a layer, another than the first is used",
        "Go through the pattern in its order, and return at the first match",
        _keys(lambda path, right, used: used is not None and right is not None),
        decides=True,
    ),
    Symptom(
        "factors",
        "a key is taken for a layer that it does not match",
        _MATCH,
        _keys(lambda path, right, used: used is not None),
        decides=True,
    ),
    Symptom(
        "factors",
        "the root of the rank is taken where use_rslora is not set, or not taken where it is",
        "Divide by the square root of the rank if use_rslora is set, and only then",
        _root,
    ),
)


def _is_whole(key: str) -> bool:
    return key == "lm_head" or key.startswith("model")
