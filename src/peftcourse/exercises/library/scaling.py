"""Lesson 09, the factor of one layer: the reference solution and typical wrong answers."""

from __future__ import annotations

import math
import re

from peftcourse.exercises.core import Mutant, slip


def scaling(
    path: str,
    r: int,
    lora_alpha: float,
    rank_pattern: dict[str, int],
    alpha_pattern: dict[str, float],
    use_rslora: bool,
) -> float:
    def look_up(pattern, default):
        for key, value in pattern.items():
            if re.fullmatch(rf"(.*\.)?({key})", path):
                return value
        return default

    rank = look_up(rank_pattern, r)
    alpha = look_up(alpha_pattern, lora_alpha)
    return alpha / math.sqrt(rank) if use_rslora else alpha / rank


def _scaling_alpha_by_rank_key(path, r, lora_alpha, rank_pattern, alpha_pattern, use_rslora):
    rank, alpha = r, lora_alpha
    for key in rank_pattern:
        if re.fullmatch(rf"(.*\.)?({key})", path):
            rank, alpha = rank_pattern[key], alpha_pattern.get(key, lora_alpha)
            break
    return alpha / math.sqrt(rank) if use_rslora else alpha / rank


_KEY = 're.fullmatch(rf"(.*\\.)?({key})", path)'
_WALK = "for key, value in pattern.items():"
_MATCH = "Match with re.fullmatch(rf'(.*\\.)?({key})', path)"
_END = "Match the end of the name, from a dot on: re.fullmatch(rf'(.*\\.)?({key})', path)"
_GO = "Go through the pattern in its order, and return at the first match"
_ROOT = "Divide by the square root of the rank if use_rslora is set"

SCALING = (
    slip(
        scaling,
        "last-match-wins",
        _WALK,
        "for key, value in reversed(pattern.items()):",
        "where two keys match a layer, the last one is used; PEFT uses the first",
        _GO,
    ),
    slip(
        scaling,
        "matches-anywhere",
        _KEY,
        "re.search(key, path)",
        "a key matches in the middle of a name, so layers that nobody named get its value",
        _END,
    ),
    slip(
        scaling,
        "endings-only",
        _KEY,
        "path.endswith(key)",
        "a key is compared letter by letter; in a pattern it is a regular expression",
        _MATCH,
    ),
    slip(
        scaling,
        "rank-of-the-pattern-ignored",
        "look_up(rank_pattern, r)",
        "r",
        "every layer is divided by the general r, also where the pattern gives it another",
        "Look the rank up first, and divide by that",
    ),
    slip(
        scaling,
        "alpha-of-the-pattern-ignored",
        "look_up(alpha_pattern, lora_alpha)",
        "lora_alpha",
        "every layer has the general alpha, also where the pattern gives it another",
        "Look alpha up in its own pattern",
    ),
    slip(
        scaling,
        "rslora-ignored",
        "alpha / math.sqrt(rank) if use_rslora else alpha / rank",
        "alpha / rank",
        "use_rslora changes nothing: α is divided by r and not by √r",
        _ROOT,
    ),
    slip(
        scaling,
        "rslora-always",
        "alpha / math.sqrt(rank) if use_rslora else alpha / rank",
        "alpha / math.sqrt(rank)",
        "α is divided by √r always, also where use_rslora is not set",
        _ROOT,
    ),
    slip(
        scaling,
        "root-of-the-factor",
        "alpha / math.sqrt(rank)",
        "math.sqrt(alpha / rank)",
        "with use_rslora the root is taken of α/r, and not of r alone",
        "Divide alpha by the root of the rank: alpha / math.sqrt(rank)",
    ),
    slip(
        scaling,
        "rslora-of-the-general-rank",
        "math.sqrt(rank)",
        "math.sqrt(r)",
        "with use_rslora the root is that of the general r, not of the layer's own rank",
        "Take the root of the rank that was looked up",
    ),
    slip(
        scaling,
        "integer-division",
        "else alpha / rank",
        "else alpha // rank",
        "// cuts off what follows the point",
        "Divide with /",
    ),
    slip(
        scaling,
        "upside-down",
        "alpha / math.sqrt(rank) if use_rslora else alpha / rank",
        "math.sqrt(rank) / alpha if use_rslora else rank / alpha",
        "the fraction is upside down: r/α instead of α/r",
        "Divide alpha by the rank",
    ),
    slip(
        scaling,
        "patterns-ignored",
        "look_up(rank_pattern, r)",
        "r",
        "neither rank_pattern nor alpha_pattern makes a difference: the general values are used",
        "Look rank and alpha up, each in its own pattern",
        ("look_up(alpha_pattern, lora_alpha)", "lora_alpha"),
    ),
    slip(
        scaling,
        "keys-letter-by-letter",
        _KEY,
        'path == key or path.endswith("." + key)',
        "a key is compared letter by letter from a dot on; it is a regular expression",
        _MATCH,
    ),
    slip(
        scaling,
        "keys-as-whole-names",
        _KEY,
        "path == key",
        "a key is looked up as the whole name of a layer; it is an expression for the end of one",
        _MATCH,
    ),
    slip(
        scaling,
        "keys-as-last-parts",
        _KEY,
        'path.split(".")[-1] == key',
        "a key is compared with the last part of a name; it is an expression for any end of it",
        _MATCH,
    ),
    slip(
        scaling,
        "whole-name-matched",
        _KEY,
        "re.fullmatch(key, path)",
        "a key has to match the whole name; the end of one, from a dot on, is enough",
        _END,
    ),
    slip(
        scaling,
        "dot-needed",
        _KEY,
        're.fullmatch(rf".*\\.({key})", path)',
        "a key for all of a name is missed: it needs no dot in front",
        _END,
    ),
    slip(
        scaling,
        "end-not-needed",
        _KEY,
        're.match(rf"(.*\\.)?({key})", path)',
        "a key may end before the name does; it has to reach the end",
        _END,
    ),
    slip(
        scaling,
        "no-dot",
        _KEY,
        're.search(rf"({key})$", path)',
        "a key matches the end of a longer word: it has to begin after a dot",
        _END,
    ),
    slip(
        scaling,
        "no-brackets",
        _KEY,
        're.match(rf"(.*\\.)?{key}$", path)',
        "without brackets around the key, a | in it splits the whole expression",
        _END,
    ),
    slip(
        scaling,
        "no-brackets-in-fullmatch",
        _KEY,
        're.fullmatch(rf"(.*\\.)?{key}", path)',
        "without brackets around the key, a | in it splits the whole expression, and only "
        "its first side may begin after a dot",
        _END,
    ),
    slip(
        scaling,
        "longest-match-wins",
        _WALK,
        "for key, value in sorted(pattern.items(), key=lambda item: -len(item[0])):",
        "where two keys match a layer, the longest is used; PEFT uses the first in order",
        _GO,
    ),
    Mutant(
        "alpha-by-the-rank-key",
        _scaling_alpha_by_rank_key,
        "alpha is looked up with the key that gave the rank; alpha_pattern has keys of its own",
        "Look rank and alpha up apart from each other, each in its own pattern",
    ),
)
