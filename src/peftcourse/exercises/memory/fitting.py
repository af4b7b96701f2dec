"""Lesson 01, fitting: bytes on disk and sequences on a card, rightly and wrongly."""

from __future__ import annotations

from math import ceil

from peftcourse.exercises.core import Mutant

# --- memory.storage -------------------------------------------------------------------------------


def storage(base: int, adapter: int, tasks: int) -> tuple[int, int]:
    return tasks * base, base + tasks * adapter


STORAGE = (
    Mutant(
        "base-per-task",
        lambda base, adapter, tasks: (tasks * base, tasks * (base + adapter)),
        "every adapter comes with a base of its own: they share one",
        "Count the base once, and one adapter per task",
    ),
    Mutant(
        "base-forgotten",
        lambda base, adapter, tasks: (tasks * base, tasks * adapter),
        "the adapters alone: they are worth nothing without the base they were trained on",
        "Add the base once",
    ),
    Mutant(
        "original-kept",
        lambda base, adapter, tasks: ((tasks + 1) * base, base + tasks * adapter),
        "one copy too many: a fully fine-tuned model stands alone, without the original",
        "Count one whole model per task",
    ),
    Mutant(
        "one-adapter",
        lambda base, adapter, tasks: (tasks * base, base + adapter),
        "one adapter: there is one for each task",
        "Multiply the adapter by the number of tasks",
    ),
)

# --- memory.batch ---------------------------------------------------------------------------------


def batch(fixed: int, per_sequence: int, card: int, reserve: float) -> int:
    free = (card - reserve) * 2**30 - fixed
    return max(0, int(free // per_sequence))


def _free(fixed, card, reserve, *, unit=2**30):
    return (card - reserve) * unit - fixed


BATCH = (
    Mutant(
        "decimal-gigabytes",
        lambda fixed, per_sequence, card, reserve: max(
            0, int(_free(fixed, card, reserve, unit=10**9) // per_sequence)
        ),
        "10⁹ bytes for a GiB: a card of {card} GiB has 7 % more",
        "Multiply GiB by 2**30",
    ),
    Mutant(
        "reserve-ignored",
        lambda fixed, per_sequence, card, reserve: batch(fixed, per_sequence, card, 0),
        "the reserve is used up: the CUDA context and fragments of free memory need it",
        "Take the reserve off the card first",
    ),
    Mutant(
        "reserve-added",
        lambda fixed, per_sequence, card, reserve: batch(fixed, per_sequence, card, -reserve),
        "the reserve was added to the card: it is what others take of it",
        "Take the reserve off the card",
    ),
    Mutant(
        "rounded-up",
        lambda fixed, per_sequence, card, reserve: max(
            0, ceil(_free(fixed, card, reserve) / per_sequence)
        ),
        "one sequence too many: the last one fits only in part",
        "Round down",
    ),
    Mutant(
        "below-zero",
        lambda fixed, per_sequence, card, reserve: int(_free(fixed, card, reserve) // per_sequence),
        "a negative batch where the fixed part is too large already",
        "Return 0 if not a single sequence fits",
    ),
    Mutant(
        "fixed-per-sequence",
        lambda fixed, per_sequence, card, reserve: max(
            0, int(_free(0, card, reserve) // (fixed + per_sequence))
        ),
        "the fixed part is paid once per sequence: weights are there once, whatever the batch",
        "Take the fixed part off first, then divide by per_sequence",
    ),
)
