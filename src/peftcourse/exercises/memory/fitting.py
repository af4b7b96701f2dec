"""Lesson 01, fitting: bytes on disk and sequences on a card, rightly and wrongly."""

from __future__ import annotations

import math

from peftcourse.exercises.core import Mutant, slip

# --- memory.storage -------------------------------------------------------------------------------


def storage(base: int, adapter: int, tasks: int) -> tuple[int, int]:
    copies = tasks * base
    shared = base + tasks * adapter
    return copies, shared


_SHARED = "base + tasks * adapter"
_EACH_ADAPTER = "Multiply the adapter by the number of tasks"
_EACH_COPY = "Count one whole model per task"

STORAGE = (
    slip(
        storage,
        "base-per-task",
        _SHARED,
        "tasks * (base + adapter)",
        "every adapter comes with a base of its own: they share one",
        "Count the base once, and one adapter per task",
    ),
    slip(
        storage,
        "base-forgotten",
        _SHARED,
        "tasks * adapter",
        "the adapters alone: they are worth nothing without the base they were trained on",
        "Add the base once",
    ),
    slip(
        storage,
        "one-adapter",
        _SHARED,
        "base + adapter",
        "one adapter: there is one for each task",
        _EACH_ADAPTER,
    ),
    slip(
        storage,
        "adapter-missing",
        _SHARED,
        "base + (tasks - 1) * adapter",
        "one adapter is missing: every task has one, the first too",
        _EACH_ADAPTER,
    ),
    slip(
        storage,
        "bases-and-one-adapter",
        _SHARED,
        "tasks * base + adapter",
        "a base for each task and one adapter: it is the base that is there once",
        "Count the base once, and one adapter per task",
    ),
    slip(
        storage,
        "difference",
        "return copies, shared",
        "return copies, copies - shared",
        "the second number is the difference: what adapters save, not what they take",
        "Return base + tasks · adapter",
    ),
    slip(
        storage,
        "original-kept",
        "tasks * base",
        "(tasks + 1) * base",
        "one copy too many: a fully fine-tuned model stands alone, without the original",
        _EACH_COPY,
    ),
    slip(
        storage,
        "copy-missing",
        "tasks * base",
        "(tasks - 1) * base",
        "one full copy is missing: the original is not kept, so that every task needs a copy",
        _EACH_COPY,
    ),
    slip(
        storage,
        "one-copy",
        "tasks * base",
        "base",
        "one full copy alone: each task has a copy of its own",
        _EACH_COPY,
    ),
    slip(
        storage,
        "copies-with-adapters",
        "tasks * base",
        "tasks * (base + adapter)",
        "the full copies are counted with adapters: full fine-tuning has none",
        _EACH_COPY,
    ),
)

# --- memory.batch ---------------------------------------------------------------------------------


def batch(fixed: int, per_sequence: int, card: int, reserve: float) -> int:
    room = (card - reserve) * 2**30
    free = room - fixed
    return max(0, int(free // per_sequence))


def _power_of_two(fixed, per_sequence, card, reserve):
    largest = batch(fixed, per_sequence, card, reserve)
    return 2 ** int(math.log2(largest)) if largest else 0


def _one_too_many(fixed, per_sequence, card, reserve):
    largest = batch(fixed, per_sequence, card, reserve)
    return largest + (largest > 0)


_ROUNDED = "int(free // per_sequence)"
_RESERVE_OFF = "Take the reserve off the card first"
_ONE_TOO_MANY = (
    "one sequence too many: this is the first batch that does not fit",
    "Return the one before it",
)
_BELOW_ZERO = (
    "a negative batch where the fixed part is too large already",
    "Return 0 if not a single sequence fits",
)

BATCH = (
    slip(
        batch,
        "decimal-gigabytes",
        "2**30",
        "10**9",
        "10⁹ bytes for a GiB: a card of {card} GiB has 7 % more",
        "Multiply GiB by 2**30",
    ),
    slip(
        batch,
        "reserve-ignored",
        "(card - reserve)",
        "card",
        "the reserve is used up, or taken off as if it were bytes: the CUDA context and fragments "
        "of free memory need it",
        _RESERVE_OFF,
    ),
    slip(
        batch,
        "reserve-added",
        "(card - reserve)",
        "(card + reserve)",
        "the reserve was added to the card: it is what others take of it",
        "Take the reserve off the card",
    ),
    slip(
        batch,
        "rounded-up",
        _ROUNDED,
        "math.ceil(free / per_sequence)",
        "one sequence too many: the last one fits only in part",
        "Round down",
    ),
    slip(
        batch,
        "below-zero",
        f"max(0, {_ROUNDED})",
        _ROUNDED,
        *_BELOW_ZERO,
    ),
    slip(
        batch,
        "below-zero-towards-zero",
        f"max(0, {_ROUNDED})",
        "int(free / per_sequence)",
        *_BELOW_ZERO,
    ),
    slip(
        batch,
        "fixed-per-sequence",
        "free = room - fixed",
        "free = room",
        "the fixed part is paid once per sequence: weights are there once, whatever the batch",
        "Take the fixed part off first, then divide by per_sequence",
        ("// per_sequence", "// (fixed + per_sequence)"),
    ),
    slip(
        batch,
        "fixed-ignored",
        "room - fixed",
        "room",
        "the fixed part is not taken off: what does not grow with the batch needs room, too",
        "Take it off before you divide",
    ),
    slip(
        batch,
        "fixed-added",
        "room - fixed",
        "room + fixed",
        "the fixed part is added to the room instead of taken off it",
        "Take it off before you divide",
    ),
    slip(
        batch,
        "megabytes",
        "2**30",
        "2**20",
        "2**20 bytes for a GiB: that is a MiB",
        "Multiply GiB by 2**30",
    ),
    slip(
        batch,
        "not-in-bytes",
        "* 2**30",
        "* 1",
        "always 0: card and reserve are in GiB, and are compared with bytes without being turned "
        "into them by 2**30 (a power is **; 2 ^ 30 is 28)",
        "Multiply GiB by 2**30",
    ),
    slip(
        batch,
        "reserve-as-a-share",
        "(card - reserve)",
        "card * (1 - reserve)",
        "the reserve is taken for a share of the card: it is in GiB",
        "Take the reserve off the card",
    ),
    slip(
        batch,
        "a-tenth",
        "(card - reserve)",
        "0.9 * card",
        "a tenth of the card stays free, whatever the reserve is",
        _RESERVE_OFF,
    ),
    slip(
        batch,
        "whole-reserve",
        "(card - reserve)",
        "(card - int(reserve))",
        "the reserve is cut to whole GiB: it may have a fraction",
        "Leave the reserve as it is",
    ),
    slip(
        batch,
        "to-the-nearest",
        _ROUNDED,
        "round(free / per_sequence)",
        "rounded to the nearest whole number: a sequence that fits only in part does not fit",
        "Round down",
    ),
    slip(
        batch,
        "less-than-the-room",
        _ROUNDED,
        "math.ceil(free / per_sequence) - 1",
        "a batch that fills the room exactly is refused: it fits",
        "Compare with ≤, or round the quotient down",
    ),
    slip(
        batch,
        "at-least-one",
        "max(0,",
        "max(1,",
        "at least one sequence is promised: where not even one fits, it is 0",
        "Return 0 if not a single sequence fits",
    ),
    slip(
        batch,
        "absolute",
        "room - fixed",
        "abs(room - fixed)",
        "what is missing counts as free: abs turns an amount below 0 into room",
        "Return 0 if what is left is below 0",
    ),
    slip(batch, "one-too-many", _ROUNDED, f"{_ROUNDED} + 1", *_ONE_TOO_MANY),
    Mutant("one-too-many-or-none", _one_too_many, *_ONE_TOO_MANY),
    Mutant(
        "rounded-before-the-difference",
        lambda fixed, per_sequence, card, reserve: max(
            0, int((card - reserve) * 2**30) // per_sequence - fixed // per_sequence
        ),
        "the room and the fixed part are divided and rounded down each: their difference can be "
        "one too many",
        "Take the difference first, and round once",
    ),
    Mutant(
        "power-of-two",
        _power_of_two,
        "the largest power of two, and more sequences would fit: the largest number is asked for",
        "Return the number itself",
    ),
)
