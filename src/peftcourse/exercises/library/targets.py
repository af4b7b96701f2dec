"""Lesson 09, which layers target_modules means: solution, typical wrong answers, symptoms."""

from __future__ import annotations

import re
from collections.abc import Callable

import torch
from torch import Tensor

from peftcourse.exercises.core import Mutant, Symptom, slip
from peftcourse.exercises.observe import Case, Outcome


def targets(wanted: str | list[str], linear: list[str], head: str) -> list[str]:
    if wanted == "all-linear":
        return [name for name in linear if name != head]
    if isinstance(wanted, str):
        return [name for name in linear if re.fullmatch(wanted, name)]
    return [
        name
        for name in linear
        if any(name == ending or name.endswith(f".{ending}") for ending in wanted)
    ]


def _targets_by_entry(wanted, linear, head):
    if isinstance(wanted, str):
        return targets(wanted, linear, head)
    return [name for entry in wanted for name in targets([entry], linear, head)]


def _targets_without_head(wanted, linear, head):
    return [name for name in targets(wanted, linear, head) if name != head]


def _targets_as_set(wanted, linear, head):
    return set(targets(wanted, linear, head))


_STRING = "re.fullmatch(wanted, name)"
_ENTRY = 'name == ending or name.endswith(f".{ending}")'
_FULL = "Use re.fullmatch"
_DOT = "Put the dot before the entry: name.endswith('.' + entry), or equal"
_ORDER = "Go through the layers in their order, and ask of each whether any entry means it"

TARGETS = (
    slip(
        targets,
        "substring",
        _ENTRY,
        "ending in name",
        "an entry of the list matches anywhere in a name: q_proj takes mlp.q_proj_up too",
        "Ask whether the name is the entry, or ends in a dot and the entry",
    ),
    slip(
        targets,
        "suffix-without-dot",
        _ENTRY,
        "name.endswith(ending)",
        "an entry of the list matches the end of a longer word: q_proj takes cross_q_proj too",
        _DOT,
    ),
    slip(
        targets,
        "search-not-fullmatch",
        _STRING,
        "re.search(wanted, name)",
        "the expression may match anywhere in a name; PEFT wants it to match the whole name",
        _FULL,
    ),
    slip(
        targets,
        "match-not-fullmatch",
        _STRING,
        "re.match(wanted, name)",
        "the expression may end before the name does; PEFT wants it to match the whole name",
        _FULL,
    ),
    slip(
        targets,
        "head-included",
        " if name != head",
        "",
        "all-linear takes the output head too",
        "Leave the head out where the shorthand is used",
    ),
    slip(
        targets,
        "shorthand-forgotten",
        'wanted == "all-linear"',
        "False",
        "all-linear is taken for an expression: the shorthand is a string too",
        "Ask for the shorthand before you ask for a string",
    ),
    slip(
        targets,
        "list-of-expressions",
        _ENTRY,
        'name.endswith(f".{ending}") or re.fullmatch(ending, name)',
        "an entry of a list is taken as a regular expression; PEFT compares it letter by letter",
        "Use regular expressions for a string only, never for the entries of a list",
    ),
    slip(
        targets,
        "list-of-ends-as-expressions",
        _ENTRY,
        're.fullmatch(rf"(.*\\.)?({ending})", name)',
        "the end that an entry of a list means is taken as a regular expression; PEFT compares it "
        "letter by letter",
        "Use regular expressions for a string only, never for the entries of a list",
    ),
    slip(
        targets,
        "last-part-only",
        _ENTRY,
        'name.split(".")[-1] == ending',
        "an entry is compared with the last part of a name only; it may hold several parts",
        _DOT,
    ),
    slip(
        targets,
        "whole-names-missed",
        _ENTRY,
        'name.endswith(f".{ending}")',
        "an entry that is the whole name is missed: there is no dot in front of it",
        "Ask for equality, too: name == entry or name.endswith('.' + entry)",
    ),
    slip(
        targets,
        "whole-names-only",
        _ENTRY,
        "name == ending",
        "an entry has to be the whole name; the end of one, after a dot, is enough",
        _DOT,
    ),
    slip(
        targets,
        "anchors",
        _STRING,
        're.search(f"^{wanted}$", name)',
        "^ and $ around an expression with | hold for one side of it each: without brackets, the "
        "whole name need not match",
        _FULL,
    ),
    slip(
        targets,
        "end-anchor",
        _STRING,
        're.match(f"{wanted}$", name)',
        "$ behind an expression with | holds for its last side only: without brackets, the whole "
        "name need not match",
        _FULL,
    ),
    slip(
        targets,
        "string-as-suffix",
        _STRING,
        'name == wanted or name.endswith(f".{wanted}") or re.fullmatch(wanted, name)',
        "a single string matches the end of a name; in PEFT it is an expression for all of it",
        "Use re.fullmatch for a string, and endings for a list only",
    ),
    slip(
        targets,
        "string-as-end",
        _STRING,
        're.fullmatch(rf"(.*\\.)?({wanted})", name)',
        "the expression is matched with the end of a name, from a dot on, not with the whole name",
        _FULL,
    ),
    slip(
        targets,
        "string-as-entry",
        _STRING,
        'name == wanted or name.endswith(f".{wanted}")',
        "a string is compared letter by letter, like an entry of a list; it is an expression",
        _FULL,
    ),
    slip(
        targets,
        "string-in-name",
        _STRING,
        "wanted in name",
        "a string is looked for in the name letter by letter; it is a regular expression",
        _FULL,
    ),
    slip(
        targets,
        "head-by-part",
        "name != head",
        "head not in name",
        "all-linear leaves out every layer with the head's name inside its own",
        "Leave out the head alone: name != head",
    ),
    slip(
        targets,
        "last-left-out",
        "[name for name in linear if name != head]",
        "linear[:-1]",
        "all-linear leaves out the last layer, wherever the head stands",
        "Leave out the head by its name: name != head",
    ),
    Mutant(
        "head-never",
        _targets_without_head,
        "the head is left out always; only all-linear leaves it out",
        "Leave the head out where the shorthand is used, and only there",
    ),
    Mutant(
        "by-entry",
        _targets_by_entry,
        "the layers come in the order of the list's entries, and twice if two entries mean them",
        _ORDER,
    ),
    Mutant(
        "by-entry-once",
        lambda wanted, linear, head: list(dict.fromkeys(_targets_by_entry(wanted, linear, head))),
        "the layers come in the order of the list's entries, not in their own",
        _ORDER,
    ),
    Mutant(
        "a-set",
        _targets_as_set,
        "a set comes back, which has no order; a list in the order of the layers is asked for",
        "Build a list, in the order of the layers",
    ),
)

# --- what wrong parts show ------------------------------------------------------------------------

When = Callable[[Case, Outcome, Outcome], bool]


_LAYERS, _HOW_MANY, _IN_ORDER = "layers, 1 if chosen", "names in the result", "their order"


def _mask(outcome: Outcome) -> Tensor | None:
    value = outcome.get(_LAYERS)
    return value if isinstance(value, Tensor) else None


def _asked(kind: str) -> Callable[[Case], bool]:
    """Whether all-linear, another string or a list is asked for."""

    def asked(case: Case) -> bool:
        wanted = case["targets"]
        is_list = isinstance(wanted, list)
        return kind == ("list" if is_list else "all" if wanted == "all-linear" else "string")

    return asked


def _too(many: bool, kind: str) -> When:
    """Layers are chosen that should not be, and none is missing; or the other way round."""

    def when(case: Case, expected: Outcome, observed: Outcome) -> bool:
        mask, right = _mask(observed), _mask(expected)
        if mask is None or right is None or not _asked(kind)(case):
            return False
        more, fewer = bool((mask > right).any()), bool((mask < right).any())
        return (more and not fewer) if many else (fewer and not more)

    return when


def _wrong(kind: str) -> When:
    return lambda case, expected, observed: _mask(observed) is not None and _asked(kind)(case)


def _head(chosen: int) -> When:
    """Only the head is wrong: it is chosen, or it is not."""

    def when(case: Case, expected: Outcome, observed: Outcome) -> bool:
        mask, right = _mask(observed), _mask(expected)
        if mask is None or right is None:
            return False
        place = case["linear"].index(case["head"])
        return (mask != right).nonzero().flatten().tolist() == [place] and mask[place] == chosen

    return when


def _only_order(case: Case, expected: Outcome, observed: Outcome) -> bool:
    mask, right = _mask(observed), _mask(expected)
    return mask is not None and right is not None and torch.equal(mask, right)


def _twice(case: Case, expected: Outcome, observed: Outcome) -> bool:
    return _only_order(case, expected, observed) and observed[_HOW_MANY] > expected[_HOW_MANY]


_END_OF_NAME = (
    "An entry is the name, or the end of one after a dot: equal, or name.endswith('.' + entry)"
)
_FULLMATCH = "Use re.fullmatch for a string"

SYMPTOMS = (
    Symptom(
        _IN_ORDER,
        "a set comes back, which has no order; a list in the order of the layers is asked for",
        "Build a list, in the order of the layers",
        lambda case, expected, observed: observed[_IN_ORDER] in ("set", "frozenset"),
        decides=True,
    ),
    Symptom(
        _LAYERS,
        "the output head is chosen where it is not meant",
        "With all-linear, leave out the head",
        _head(1),
        decides=True,
    ),
    Symptom(
        _LAYERS,
        "the output head is left out although it is named; only all-linear leaves it out",
        "Leave the head out where the shorthand is used, and only there",
        _head(0),
        decides=True,
    ),
    Symptom(
        _HOW_MANY,
        "the right layers, but some of them more than once: two entries mean them",
        "Go through the layers, and ask of each whether any entry means it",
        _twice,
        decides=True,
    ),
    Symptom(
        _IN_ORDER,
        "the right layers, in another order than the model's",
        "Go through the layers in their order",
        _only_order,
        decides=True,
    ),
    Symptom(
        _LAYERS,
        "an entry of a list takes layers that do not have it as their name, or as its end after a "
        "dot, letter by letter",
        _END_OF_NAME,
        _too(True, "list"),
        decides=True,
    ),
    Symptom(
        _LAYERS,
        "layers are missing that an entry of a list names, or whose end after a dot it is",
        _END_OF_NAME,
        _too(False, "list"),
        decides=True,
    ),
    Symptom(
        _LAYERS,
        "a string takes layers whose whole name it does not match as a regular expression",
        _FULLMATCH,
        _too(True, "string"),
        decides=True,
    ),
    Symptom(
        _LAYERS,
        "layers are missing whose whole name a string matches as a regular expression",
        _FULLMATCH,
        _too(False, "string"),
        decides=True,
    ),
    Symptom(
        _LAYERS,
        "all-linear does not mean all linear layers but the head",
        "Ask for the shorthand first, and leave out the head alone",
        _wrong("all"),
        decides=True,
    ),
    Symptom(
        _LAYERS,
        "a string is not taken as a regular expression for the whole name",
        _FULLMATCH,
        _wrong("string"),
        decides=True,
    ),
    Symptom(
        _LAYERS,
        "the entries of a list are not taken as names, or ends of names after a dot",
        _END_OF_NAME,
        _wrong("list"),
        decides=True,
    ),
)
