"""Lesson 03, counting what trains, rightly and wrongly."""

from __future__ import annotations

from functools import partial

from peftcourse.exercises.core import Mutant, slip


def count(shapes: list[tuple[int, int]], rank: int, layers: int) -> int:
    return layers * sum(rank * (d_out + d_in) for d_out, d_in in shapes)


_COUNT = partial(slip, count)
_EACH = "rank * (d_out + d_in)"

COUNT = (
    _COUNT(
        "full-matrices",
        _EACH,
        "d_out * d_in",
        "these are the frozen weights: d_out × d_in counts full fine-tuning, not A and B",
        "Count A, which is (r, d_in), and B, which is (d_out, r)",
    ),
    _COUNT(
        "square-assumed",
        _EACH,
        "2 * rank * d_in",
        "2·r·d_in is right for square matrices only",
        "Count d_in for A and d_out for B",
    ),
    _COUNT(
        "square-assumed-by-d-out",
        _EACH,
        "2 * rank * d_out",
        "2·r·d_out is right for square matrices only",
        "Count d_in for A and d_out for B",
    ),
    _COUNT(
        "only-one-factor",
        _EACH,
        "rank * d_in",
        "A alone: B trains too",
        "Add B's r × d_out",
    ),
    _COUNT(
        "only-b",
        _EACH,
        "rank * d_out",
        "B alone: A trains too",
        "Add A's r × d_in",
    ),
    _COUNT(
        "layers-forgotten",
        "layers * sum",
        "sum",
        "one layer's worth: the model has {layers} layers",
        "Multiply by the number of layers",
    ),
    _COUNT(
        "layers-added",
        "layers * sum",
        "layers + sum",
        "the number of layers is added: one layer's worth has to be multiplied by it",
        "Multiply by the number of layers",
    ),
    _COUNT(
        "base-included",
        _EACH,
        f"{_EACH} + d_out * d_in",
        "the frozen weights are counted too",
        "Count only A and B",
    ),
    _COUNT(
        "sides-multiplied",
        _EACH,
        "rank * d_out * d_in",
        "r·d_out·d_in: the sides are multiplied, where A and B make r·(d_out + d_in), a sum",
        "Add the sides: A has r·d_in numbers and B has d_out·r",
    ),
    _COUNT(
        "bracket-forgotten",
        _EACH,
        "rank * d_out + d_in",
        "only one side is multiplied by r: brackets are missing around the sum of both",
        "Write rank * (d_out + d_in)",
    ),
    _COUNT(
        "bracket-forgotten-d-in",
        _EACH,
        "rank * d_in + d_out",
        "only one side is multiplied by r: brackets are missing around the sum of both",
        "Write rank * (d_out + d_in)",
    ),
    _COUNT(
        "rank-forgotten",
        _EACH,
        "(d_out + d_in)",
        "r is missing: A has r·d_in numbers and B has d_out·r",
        "Multiply the sum of the sides by the rank",
    ),
    _COUNT(
        "product-of-a-and-b",
        _EACH,
        "rank * d_out * rank * d_in",
        "the sizes of A and B are multiplied, where they are two sets of numbers: a sum",
        "Add r·d_in and r·d_out",
    ),
    _COUNT(
        "rank-squared-added",
        _EACH,
        f"({_EACH} + rank * rank)",
        "an r × r matrix of r² numbers is counted too, which LoRA does not have: A and B are all",
        "Count A and B alone",
    ),
    _COUNT(
        "biases-counted",
        _EACH,
        f"({_EACH} + d_out)",
        "a bias of d_out numbers is counted for each matrix: the adapter holds A and B alone",
        "Count A and B alone",
    ),
    _COUNT(
        "first-matrix-only",
        "in shapes)",
        "in shapes[:1])",
        "only the first matrix is counted: a return inside the loop, or shapes[0]?",
        "Add up over all shapes, and return after the loop",
    ),
    _COUNT(
        "last-matrix-only",
        "in shapes)",
        "in shapes[-1:])",
        "only the last matrix is counted: the sum starts anew in each round of the loop",
        "Add up over all shapes",
    ),
    Mutant(
        "layers-times-the-last",
        lambda shapes, rank, layers: (
            count(shapes, rank, 1) + (layers - 1) * count(shapes[-1:], rank, 1)
        ),
        "only the last matrix is multiplied by the number of layers",
        "Multiply the whole sum by the number of layers",
    ),
    Mutant(
        "thirty-two-bits",
        lambda shapes, rank, layers: (count(shapes, rank, layers) + 2**31) % 2**32 - 2**31,
        "the number overflows 32-bit integers (int32), which end at 2³¹: it is too large for them",
        "Use Python's own integers, or 64 bits",
    ),
    _COUNT(
        "rank-capped",
        _EACH,
        "min(rank, d_out, d_in) * (d_out + d_in)",
        "the rank is capped at the smaller side (min): A has r rows even if r is larger",
        "Use the rank as it is",
    ),
    _COUNT(
        "larger-side-twice",
        _EACH,
        "2 * rank * max(d_out, d_in)",
        "2·r·max(d_out, d_in): the larger side is counted twice, in place of both sides",
        "Count d_in for A and d_out for B",
    ),
    _COUNT(
        "equal-shapes-once",
        "in shapes)",
        "in set(shapes))",
        "matrices of the same shape are counted once: each has its own A and B",
        "Walk over the list itself, not over a set or a dictionary of shapes",
    ),
)
