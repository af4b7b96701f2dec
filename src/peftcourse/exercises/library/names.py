"""Lesson 09, the names in a file: the reference solution, typical wrong answers, symptoms."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from peftcourse.exercises.core import Symptom, slip
from peftcourse.exercises.observe import Case, Outcome


def names(tensors: dict[str, Tensor], adapter: str | None = None) -> dict[str, Tensor]:
    middle = "" if adapter is None else f".{adapter}"
    renamed = {}
    for name, tensor in tensors.items():
        path, letter = name.rsplit(".", 1)
        renamed[f"base_model.model.{path}.lora_{letter}{middle}.weight"] = tensor
    return renamed


_NEW = 'f"base_model.model.{path}.lora_{letter}{middle}.weight"'
_SPLIT = 'path, letter = name.rsplit(".", 1)'
_LAST = "Split off the last part of the name only: name.rsplit('.', 1)"
_PREFIX = "Begin every name with base_model.model."
_BETWEEN = "Put the adapter's name between lora_A and weight"

NAMES = (
    slip(
        names,
        "one-prefix",
        "base_model.model.{path}",
        "model.{path}",
        "the names begin with model.: PEFT's wrapper and its tuner each add a level",
        _PREFIX,
    ),
    slip(
        names,
        "one-level",
        "base_model.model.{path}",
        "base_model.{path}",
        "one level is missing: the names begin with base_model., and model. does not follow",
        _PREFIX,
    ),
    slip(
        names,
        "three-levels",
        "base_model.model.{path}",
        "base_model.model.model.{path}",
        "one level too many: base_model.model. is all that comes before the path",
        _PREFIX,
    ),
    slip(
        names,
        "no-prefix",
        "base_model.model.{path}",
        "{path}",
        "the levels of PEFT's two wrappers are missing at the beginning: base_model.model.",
        _PREFIX,
    ),
    slip(
        names,
        "weight-left-out",
        "{middle}.weight",
        "{middle}",
        "the names end in lora_A or lora_B; these are layers, and the tensor is their weight",
        "End every name with .weight",
    ),
    slip(
        names,
        "adapter-ignored",
        '"" if adapter is None else f".{adapter}"',
        '""',
        "names in the model lack the adapter's name, so none of them exists there",
        f"{_BETWEEN} if it is given",
    ),
    slip(
        names,
        "adapter-at-the-end",
        "{middle}.weight",
        ".weight{middle}",
        "the adapter's name comes after .weight; it is a module that holds the weight",
        _BETWEEN,
    ),
    slip(
        names,
        "adapter-before-lora",
        ".lora_{letter}{middle}",
        "{middle}.lora_{letter}",
        "the adapter's name comes before lora_A; it belongs between lora_A and weight",
        _BETWEEN,
    ),
    slip(
        names,
        "adapter-in-the-file",
        '"" if adapter is None else f".{adapter}"',
        "f\".{adapter or 'default'}\"",
        "names in the file hold an adapter's name; the file of one adapter has none",
        "Leave the adapter's name out if it is None",
    ),
    slip(
        names,
        "none-in-the-file",
        '"" if adapter is None else f".{adapter}"',
        'f".{adapter}"',
        "names in the file hold the word None; where adapter is None, its name is left out",
        "Leave the adapter's name out if it is None",
    ),
    slip(
        names,
        "lower-case",
        "{letter}{middle}",
        "{letter.lower()}{middle}",
        "lora_a and lora_b in lower case; PEFT writes lora_A and lora_B",
        "Keep the capital letters",
    ),
    slip(
        names,
        "factors-swapped",
        _SPLIT,
        f"{_SPLIT}; letter = 'BA'['AB'.index(letter)]",
        "A and B have changed names: the first factor is lora_A",
        "Keep the letters: A is lora_A, which reads the input, and B is lora_B",
    ),
    slip(
        names,
        "every-A-replaced",
        _SPLIT,
        f"{_SPLIT}; path = path.replace('.A', '.lora_A')",
        "a module that is called A has been renamed too: the letter was replaced everywhere",
        _LAST,
    ),
    slip(
        names,
        "replaced-everywhere",
        _NEW,
        '"base_model.model." + name.replace(".A", f".lora_A{middle}.weight").replace('
        '".B", f".lora_B{middle}.weight")',
        ".A and .B are replaced everywhere in a name, also inside the path",
        _LAST,
    ),
    slip(
        names,
        "letters-stripped",
        _SPLIT,
        "path, letter = name.rstrip('.AB'), name[-1]",
        "rstrip removes letters, not an ending: it eats the end of a path that ends in A or B",
        _LAST,
    ),
    slip(
        names,
        "letter-anywhere",
        _SPLIT,
        f"{_SPLIT}; letter = 'A' if 'A' in name else 'B'",
        "an A anywhere in the path makes the factor an A, and B is overwritten or lost",
        _LAST,
    ),
    slip(
        names,
        "transposed",
        "= tensor",
        "= tensor.T",
        "the tensors are transposed; only their names change",
        "Put the tensors in as they are",
    ),
    slip(
        names,
        "only-the-first",
        "= tensor\n",
        "= tensor\n        return renamed\n",
        "the return is inside the loop, which ends after the first tensor",
        "Move the return below the loop",
    ),
    slip(
        names,
        "caller-emptied",
        "renamed = {}\n    for name, tensor in tensors.items():",
        "renamed = {}\n    for name in list(tensors):\n        tensor = tensors.pop(name)",
        "the caller's dictionary is changed: its tensors are taken out with pop",
        "Fill a new dictionary, and leave the caller's alone",
    ),
    slip(
        names,
        "names-only",
        "return renamed",
        "return list(renamed)",
        "a list of names comes back, and a dictionary with the tensors is asked for",
        "Return the dictionary: new name to tensor",
    ),
)

# --- what wrong parts show ------------------------------------------------------------------------

When = Callable[[Case, Outcome, Outcome], bool]


def _count(where: str, what: str, *, more: bool | None = None) -> When:
    """Fewer names have a property than should, or more."""
    part = f"{where}: {what}"

    def when(case: Case, expected: Outcome, observed: Outcome) -> bool:
        right, seen = expected.get(part), observed.get(part)
        numbers = isinstance(right, int) and isinstance(seen, int)
        return numbers and (more is None or (seen > right) == more)

    return when


def _is_list(part: str) -> When:
    return lambda case, expected, observed: isinstance(observed.get(part), str)


def _transposed(case: Case, expected: Outcome, observed: Outcome) -> bool:
    rows = [observed.get(f"file: rows of lora_{letter}") for letter in "AB"]
    return rows == [case[letter].shape[0] * case[letter].shape[2] for letter in "AB"]


def _in_file_and_model(
    what: str, cause: str, action: str, *, more: bool | None = None
) -> tuple[Symptom, ...]:
    """For names of the file and, if those are right, of the model."""
    return tuple(
        Symptom(
            f"{where}: {what}",
            cause.format(where=f"in the {where}"),
            action,
            _count(where, what, more=more),
            decides=True,
        )
        for where in ("file", "model")
    )


SYMPTOMS = (
    Symptom(
        "file: tensors",
        "no dictionary comes back; one of new names and tensors is asked for",
        "Return the dictionary: new name to tensor",
        _is_list("file: tensors"),
        decides=True,
    ),
    Symptom(
        "file: tensors left to the caller",
        "the caller's dictionary has lost its tensors, or has others",
        "Fill a new dictionary, and leave the caller's alone",
        decides=True,
    ),
    Symptom(
        "file: rows of lora_A",
        "the tensors are transposed; only their names change",
        "Put the tensors in as they are",
        _transposed,
        decides=True,
    ),
    *_in_file_and_model(
        "names with None",
        "names {where} hold the word None; where adapter is None, its name is left out",
        "Leave the adapter's name out if it is None",
    ),
    *_in_file_and_model(
        "names with default",
        "names {where} hold the word default; where adapter is None, its name is left out",
        "Leave the adapter's name out if it is None",
    ),
    *_in_file_and_model(
        "tensors",
        "tensors are missing {where}: two have got the same name, or the loop ends early",
        "Give each tensor a name of its own, and return below the loop",
        more=False,
    ),
    *_in_file_and_model(
        "names that begin with base_model.",
        "not every name {where} begins with base_model.: levels of PEFT's two wrappers are missing",
        "Begin every name with base_model.model.",
    ),
    *_in_file_and_model(
        "names that begin with base_model.model.",
        "the names {where} begin with base_model., and model. does not follow: a level is missing",
        "Begin every name with base_model.model.",
    ),
    *_in_file_and_model(
        "names with a third level before the path",
        "there is a level too many before the path {where}: base_model.model. is all",
        "Begin every name with base_model.model.",
    ),
    *_in_file_and_model(
        "names with lora_A or lora_B",
        "not every name {where} has .lora_A or .lora_B, with the capital letter",
        "Write .lora_ and the letter as it is",
    ),
    *_in_file_and_model(
        "names that go on with the path of a layer",
        "after base_model.model. the path of a layer does not follow as it was: it is changed, or "
        "cut, {where}",
        "Split off the last part of the name only: name.rsplit('.', 1)",
        more=False,
    ),
    *_in_file_and_model(
        "names with the adapter's name",
        "the adapter's name is missing in names {where}",
        "Put the adapter's name between lora_A and weight",
        more=False,
    ),
    *_in_file_and_model(
        "names that end in .weight",
        "not every name {where} ends in .weight",
        "End every name with .weight",
    ),
    *_in_file_and_model(
        "names with all of the end",
        "the parts at the end of the names {where} are in another order, or there are others: "
        "lora_A, between it and weight the adapter's name if there is one, and weight",
        "Put the adapter's name between lora_A and weight",
    ),
    *(
        Symptom(
            f"{where}: rows of lora_A",
            "tensors A and B are mixed up: under lora_A there are others than the A",
            "Keep the letters: A is lora_A, and B is lora_B",
            decides=True,
        )
        for where in ("file", "model")
    ),
    *(
        Symptom(
            f"{where}: values of lora_{letter}",
            "the tensors have other values, or belong to other names",
            "Put each tensor in as it is",
            decides=True,
        )
        for where in ("file", "model")
        for letter in "AB"
    ),
)
