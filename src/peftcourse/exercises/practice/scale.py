"""Lesson 04, the factor when the rank changes: reference solution, wrong answers, symptoms."""

from __future__ import annotations

import math

from peftcourse.exercises.core import Mutant, Symptom, slip


def scale(alpha: float, rank: int, new_rank: int, stabilized: bool) -> tuple[float, float]:
    def size(r: int) -> float:
        return math.sqrt(r) if stabilized else r

    return alpha / size(new_rank), alpha * size(new_rank) / size(rank)


SIZE = "math.sqrt(r) if stabilized else r"
BOTH = "alpha / size(new_rank), alpha * size(new_rank) / size(rank)"
KEPT = "alpha * size(new_rank) / size(rank)"
FACTOR = "alpha / size(new_rank)"
NEW = "Divide α by the new rank, or by its root"
KEEP = "Solve α_new / new_rank = α / rank for α_new, or the same with roots"
ROOT = "Divide by √r if stabilized is True, by r otherwise, in both numbers"

SCALE: tuple[Mutant, ...] = (
    slip(
        scale,
        "never-stabilized",
        SIZE,
        "r",
        "the factor is α/r in every case, also where it is rank-stabilized: there it is α/√r",
        ROOT,
    ),
    slip(
        scale,
        "always-stabilized",
        SIZE,
        "math.sqrt(r)",
        "the factor is α/√r in every case, also where it is not stabilized: there it is α/r",
        ROOT,
    ),
    slip(
        scale,
        "roots-swapped",
        SIZE,
        "r if stabilized else math.sqrt(r)",
        "√r is where r belongs, and r where √r does: stabilized is read the other way round",
        "α/√r is the rank-stabilized factor, α/r LoRA's own",
    ),
    slip(
        scale,
        "old-rank",
        FACTOR,
        "alpha / size(rank)",
        "the first number is the factor at the old rank, before the change; it is asked for at "
        "new_rank",
        NEW,
    ),
    slip(
        scale,
        "upside-down",
        KEPT,
        "alpha * size(rank) / size(new_rank)",
        "α moves the wrong way (upside down): it has to grow with the rank to keep the factor, by "
        "new_rank / rank",
        KEEP,
    ),
    slip(
        scale,
        "factor-for-alpha",
        KEPT,
        "alpha / size(rank)",
        "the second number is the factor that was to be kept, not the α that keeps it",
        "Multiply the kept factor by the new rank, or its root",
    ),
    slip(
        scale,
        "whole-numbers",
        BOTH,
        "alpha // size(new_rank), alpha * size(new_rank) // size(rank)",
        "both numbers are cut off to whole ones: // is an integer division",
        "Divide with /",
    ),
    slip(
        scale,
        "whole-without-root",
        BOTH,
        f"({BOTH}) if stabilized else (alpha // new_rank, alpha * new_rank // rank)",
        "where the factor is not stabilized both numbers are cut off to whole ones: // is an "
        "integer division",
        "Divide with /",
    ),
    slip(
        scale,
        "integer-root",
        SIZE,
        "math.isqrt(r) if stabilized else r",
        "the root is rounded down to a whole number (isqrt): right for square ranks only",
        "Use math.sqrt",
    ),
    slip(
        scale,
        "half-for-root",
        SIZE,
        "r / 2 if stabilized else r",
        "the root of r is taken as r / 2: `r ** 1/2` is (r ** 1) / 2, and `r ** 0.5` the root √r",
        "Use math.sqrt, or brackets: r ** (1 / 2)",
    ),
    slip(
        scale,
        "half-for-both-roots",
        BOTH,
        "(2 * alpha / new_rank, alpha * new_rank / rank / 2) if stabilized else "
        "(alpha / new_rank, alpha * new_rank / rank)",
        "the root is taken by `** 1/2`, which halves: precedence makes r ** 1/2 (r ** 1) / 2, and "
        "not √r",
        "Use math.sqrt, or brackets: r ** (1 / 2)",
    ),
    slip(
        scale,
        "half-for-each-root",
        BOTH,
        "(alpha / new_rank / 2, alpha * new_rank / rank / 2) if stabilized else "
        "(alpha / new_rank, alpha * new_rank / rank)",
        "the root is taken by `** 1/2`, which halves: precedence makes r ** 1/2 (r ** 1) / 2, and "
        "not √r",
        "Use math.sqrt, or brackets: r ** (1 / 2)",
    ),
    slip(
        scale,
        "root-in-the-factor-only",
        KEPT,
        "alpha * new_rank / rank",
        "the new α is worked out without roots, also where the factor is stabilized (α/√r)",
        ROOT,
    ),
    slip(
        scale,
        "root-in-alpha-only",
        FACTOR,
        "alpha / new_rank",
        "the factor is worked out without the root, also where it is stabilized (α/√r)",
        ROOT,
    ),
    slip(
        scale,
        "root-of-the-fraction",
        FACTOR,
        "math.sqrt(alpha / new_rank) if stabilized else alpha / new_rank",
        "√(α/r) where the stabilized factor is α/√r: only the rank is under the root",
        ROOT,
    ),
    slip(
        scale,
        "root-of-the-fraction-and-no-root",
        BOTH,
        "math.sqrt(alpha / new_rank) if stabilized else alpha / new_rank, alpha * new_rank / rank",
        "√(α/r) where the stabilized factor is α/√r: only the rank is under the root, and α_new "
        "has roots, too",
        ROOT,
    ),
    slip(
        scale,
        "twice-the-rank",
        KEPT,
        "2.0 * new_rank",
        "α is set to 2 · new_rank, a habit that keeps no factor: the second number depends on the "
        "α and the rank that were given",
        KEEP,
    ),
    slip(
        scale,
        "difference",
        KEPT,
        "alpha + size(new_rank) - size(rank)",
        "α is raised by the difference of the ranks (or roots); it has to be multiplied by their "
        "ratio",
        KEEP,
    ),
    slip(
        scale,
        "alpha-unchanged",
        KEPT,
        "alpha",
        "α stays as it is, so that the factor changes with the rank: the second number is the α "
        "that keeps the factor",
        KEEP,
    ),
    slip(
        scale,
        "the-new-rank-alone",
        KEPT,
        "alpha * size(new_rank)",
        "the new α is not divided by the old rank: to keep the factor, α is multiplied by the "
        "ratio of the ranks",
        KEEP,
    ),
    slip(
        scale,
        "ratio-alone",
        KEPT,
        "size(new_rank) / size(rank)",
        "the second number is the ratio of the ranks (or roots); α has to be multiplied by it",
        KEEP,
    ),
    slip(
        scale,
        "multiplied",
        FACTOR,
        "alpha * size(new_rank)",
        "the factor is α times the rank (or its root), where α is divided by it",
        NEW,
    ),
)

SCALE_SYMPTOMS = (
    Symptom(
        "factor",
        "the first number is not the factor at new_rank: α over new_rank, or over its root where "
        "stabilized is True",
        NEW,
    ),
    Symptom(
        "alpha",
        "the second number is no α that keeps the factor: divided by new_rank (or its root) it "
        "does not give what α gave at rank",
        KEEP,
    ),
)
