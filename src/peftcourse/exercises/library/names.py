"""Lesson 09, what goes by names: reference solutions and typical wrong answers."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from torch import Tensor

from peftcourse.exercises.core import Mutant

# --- library.targets ------------------------------------------------------------------------------


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


def _of_a_list(match: Callable[[str, str], object]) -> Callable:
    """The solution, with another rule for the entries of a list."""

    def answer(wanted, linear, head):
        if isinstance(wanted, str):
            return targets(wanted, linear, head)
        return [name for name in linear if any(match(entry, name) for entry in wanted)]

    return answer


def _of_a_string(match: Callable[[str, str], object]) -> Callable:
    """The solution, with another rule for a string."""

    def answer(wanted, linear, head):
        if wanted == "all-linear" or not isinstance(wanted, str):
            return targets(wanted, linear, head)
        return [name for name in linear if match(wanted, name)]

    return answer


def _targets_with_head(wanted, linear, head):
    return list(linear) if wanted == "all-linear" else targets(wanted, linear, head)


TARGETS = (
    Mutant(
        "substring",
        _of_a_list(lambda entry, name: entry in name),
        "an entry of the list matches anywhere in a name: q_proj takes mlp.q_proj_up too",
        "Ask whether the name is the entry, or ends in a dot and the entry",
    ),
    Mutant(
        "suffix-without-dot",
        _of_a_list(lambda entry, name: name.endswith(entry)),
        "an entry of the list matches the end of a longer word: q_proj takes cross_q_proj too",
        "Put the dot before the entry: name.endswith('.' + entry), or equal",
    ),
    Mutant(
        "list-of-expressions",
        _of_a_list(
            lambda entry, name: name.endswith(f".{entry}") or re.fullmatch(entry, name) is not None
        ),
        "an entry of a list is taken as a regular expression; PEFT compares it letter by letter",
        "Use regular expressions for a string only, never for the entries of a list",
    ),
    Mutant(
        "string-as-suffix",
        _of_a_string(
            lambda wanted, name: targets([wanted], [name], "") or re.fullmatch(wanted, name)
        ),
        "a single string matches the end of a name; in PEFT it is an expression for all of it",
        "Use re.fullmatch for a string, and endings for a list only",
    ),
    Mutant(
        "search-not-fullmatch",
        _of_a_string(lambda wanted, name: re.search(wanted, name)),
        "the expression may match anywhere in a name; PEFT wants it to match the whole name",
        "Use re.fullmatch",
    ),
    Mutant(
        "match-not-fullmatch",
        _of_a_string(lambda wanted, name: re.match(wanted, name)),
        "the expression may end before the name does; PEFT wants it to match the whole name",
        "Use re.fullmatch",
    ),
    Mutant(
        "head-included",
        _targets_with_head,
        "all-linear takes the output head too",
        "Leave the head out where the shorthand is used",
    ),
)

# --- library.scaling ------------------------------------------------------------------------------


def scaling(
    path: str,
    r: int,
    lora_alpha: float,
    rank_pattern: dict[str, int],
    alpha_pattern: dict[str, float],
    use_rslora: bool,
) -> float:
    rank = lookup(rank_pattern, path, r)
    alpha = lookup(alpha_pattern, path, lora_alpha)
    return alpha / math.sqrt(rank) if use_rslora else alpha / rank


def lookup(pattern: dict, path: str, default: float) -> float:
    """The value of the first key that is the path, or matches its end from a dot on."""
    for key, value in pattern.items():
        if re.fullmatch(rf"(.*\.)?({key})", path):
            return value
    return default


def _scaling_with(find: Callable) -> Callable:
    """The solution, with another way to look a pattern up."""

    def answer(path, r, lora_alpha, rank_pattern, alpha_pattern, use_rslora):
        rank, alpha = find(rank_pattern, path, r), find(alpha_pattern, path, lora_alpha)
        return alpha / math.sqrt(rank) if use_rslora else alpha / rank

    return answer


def _scaling_last(pattern, path, default):
    return lookup(dict(reversed(pattern.items())), path, default)


def _scaling_search(pattern, path, default):
    return next((value for key, value in pattern.items() if re.search(key, path)), default)


def _scaling_endings(pattern, path, default):
    return next((value for key, value in pattern.items() if path.endswith(key)), default)


def _scaling_root_of_factor(path, r, lora_alpha, rank_pattern, alpha_pattern, use_rslora):
    factor = scaling(path, r, lora_alpha, rank_pattern, alpha_pattern, False)
    return math.sqrt(factor) if use_rslora else factor


SCALING = (
    Mutant(
        "last-match-wins",
        _scaling_with(_scaling_last),
        "where two keys match a layer, the last one is used; PEFT uses the first",
        "Go through the pattern in its order, and return at the first match",
    ),
    Mutant(
        "matches-anywhere",
        _scaling_with(_scaling_search),
        "a key matches in the middle of a name, so layers that nobody named get its value",
        "Match the end of the name, from a dot on: re.fullmatch(rf'(.*\\.)?({{key}})', path)",
    ),
    Mutant(
        "endings-only",
        _scaling_with(_scaling_endings),
        "a key is compared letter by letter; in a pattern it is a regular expression",
        "Match with re.fullmatch(rf'(.*\\.)?({{key}})', path)",
    ),
    Mutant(
        "rank-of-the-pattern-ignored",
        lambda path, r, alpha, ranks, alphas, rs: scaling(path, r, alpha, {}, alphas, rs),
        "every layer is divided by the general r, also where the pattern gives it another",
        "Look the rank up first, and divide by that",
    ),
    Mutant(
        "alpha-of-the-pattern-ignored",
        lambda path, r, alpha, ranks, alphas, rs: scaling(path, r, alpha, ranks, {}, rs),
        "every layer has the general alpha, also where the pattern gives it another",
        "Look alpha up in its own pattern",
    ),
    Mutant(
        "rslora-ignored",
        lambda path, r, alpha, ranks, alphas, rs: scaling(path, r, alpha, ranks, alphas, False),
        "use_rslora changes nothing: α is divided by r and not by √r",
        "Divide by the square root of the rank if use_rslora is set",
    ),
    Mutant(
        "root-of-the-factor",
        _scaling_root_of_factor,
        "with use_rslora the root is taken of α/r, and not of r alone",
        "Divide alpha by the root of the rank: alpha / math.sqrt(rank)",
    ),
)

# --- library.names --------------------------------------------------------------------------------


def names(tensors: dict[str, Tensor], adapter: str | None = None) -> dict[str, Tensor]:
    middle = "" if adapter is None else f".{adapter}"
    renamed = {}
    for name, tensor in tensors.items():
        path, letter = name.rsplit(".", 1)
        renamed[f"base_model.model.{path}.lora_{letter}{middle}.weight"] = tensor
    return renamed


def _names_edited(edit: Callable[[str, str | None], str]) -> Callable:
    """The solution, with each name edited."""

    def answer(tensors, adapter=None):
        return {edit(name, adapter): value for name, value in names(tensors, adapter).items()}

    return answer


NAMES = (
    Mutant(
        "one-prefix",
        _names_edited(lambda name, _: name.removeprefix("base_model.")),
        "the names begin with model.: PEFT's wrapper and its tuner each add a level",
        "Begin every name with base_model.model.",
    ),
    Mutant(
        "adapter-in-the-file",
        lambda tensors, adapter=None: names(tensors, adapter or "default"),
        "names in the file hold an adapter's name; the file of one adapter has none",
        "Leave the adapter's name out if it is None",
    ),
    Mutant(
        "adapter-at-the-end",
        _names_edited(
            lambda name, adapter: (
                name
                if adapter is None
                else name.replace(f".{adapter}.weight", f".weight.{adapter}")
            )
        ),
        "the adapter's name comes after .weight; it is a module that holds the weight",
        "Put the adapter's name between lora_A and weight",
    ),
    Mutant(
        "adapter-ignored",
        lambda tensors, adapter=None: names(tensors),
        "names in the model lack the adapter's name, so none of them exists there",
        "Put the adapter's name between lora_A and weight if it is given",
    ),
    Mutant(
        "weight-left-out",
        _names_edited(lambda name, _: name.removesuffix(".weight")),
        "the names end in lora_A or lora_B; these are layers, and the tensor is their weight",
        "End every name with .weight",
    ),
    Mutant(
        "factors-swapped",
        lambda tensors, adapter=None: names(
            {name[:-1] + "BA"["AB".index(name[-1])]: value for name, value in tensors.items()},
            adapter,
        ),
        "A and B have changed names: the first factor is lora_A",
        "Keep the letters: A is lora_A, which reads the input, and B is lora_B",
    ),
    Mutant(
        "every-A-replaced",
        lambda tensors, adapter=None: names(
            {name.replace(".A.", ".lora_A."): value for name, value in tensors.items()}, adapter
        ),
        "a module that is called A has been renamed too: the letter was replaced everywhere",
        "Split off the last part of the name only: name.rsplit('.', 1)",
    ),
)

# --- library.verify -------------------------------------------------------------------------------


def verify(model: dict[str, Tensor], file: dict[str, Tensor]) -> tuple[int, int, int, int]:
    expected = {name for name in model if ".lora_" in name}
    missing = len(expected - file.keys())
    unexpected = len(file.keys() - expected)
    misfits = sum(model[name].shape != file[name].shape for name in expected & file.keys())
    dead = sum(not tensor.any() for name, tensor in file.items() if ".lora_B." in name)
    return missing, unexpected, misfits, dead


def _verify_base_missing(model, file):
    _, unexpected, misfits, dead = verify(model, file)
    return len(model.keys() - file.keys()), unexpected, misfits, dead


def _verify_swapped(model, file):
    missing, unexpected, misfits, dead = verify(model, file)
    return unexpected, missing, misfits, dead


def _verify_misfits_missing(model, file):
    missing, unexpected, misfits, dead = verify(model, file)
    return missing + misfits, unexpected, misfits, dead


def _verify_dead_of_model(model, file):
    return *verify(model, file)[:3], verify(model, model)[3]


def _verify_dead_rows(model, file):
    rows = sum(not tensor.any(dim=1).all() for name, tensor in file.items() if ".lora_B." in name)
    return *verify(model, file)[:3], rows


def _verify_dead_sum(model, file):
    sums = sum(
        bool(abs(tensor.sum()) < 1e-9) for name, tensor in file.items() if ".lora_B." in name
    )
    return *verify(model, file)[:3], sums


VERIFY = (
    Mutant(
        "base-weights-missing",
        _verify_base_missing,
        "the frozen weights of the base are counted as missing; an adapter's file never has them",
        "Compare with the model's names that contain .lora_ only",
    ),
    Mutant(
        "missing-and-unexpected-swapped",
        _verify_swapped,
        "missing and unexpected are swapped",
        "Missing is what the model expects and the file lacks",
    ),
    Mutant(
        "misfits-counted-twice",
        _verify_misfits_missing,
        "a tensor of the wrong shape is counted as missing as well",
        "Count as missing only names that the file does not have",
    ),
    Mutant(
        "dead-in-the-model",
        _verify_dead_of_model,
        "the model's own lora_B are looked at: they are zero before anything is loaded",
        "Look for zeros in the file",
    ),
    Mutant(
        "a-row-of-zeros",
        _verify_dead_rows,
        "one row of zeros is taken for a dead factor",
        "Count a lora_B only if all of it is zero: not tensor.any()",
    ),
    Mutant(
        "sum-of-zero",
        _verify_dead_sum,
        "values that cancel are taken for zeros: the sum is zero, the values are not",
        "Ask whether any value differs from zero: not tensor.any()",
    ),
)
