"""Lesson 02, matrices as sums: outer products, numerical rank, savings; rightly and wrongly."""

from __future__ import annotations

import torch
from torch import Tensor

from peftcourse.exercises.core import Mutant

# --- rank.outer -----------------------------------------------------------------------------------


def outer(weights: Tensor, columns: Tensor, rows: Tensor) -> Tensor:
    return (columns * weights) @ rows.T


def _outer_last_left_out(weights, columns, rows):
    return outer(weights[:-1], columns[:, :-1], rows[:, :-1])


def _outer_unit(weights, columns, rows):
    return outer(weights, columns / columns.norm(dim=0), rows / rows.norm(dim=0))


OUTER = (
    Mutant(
        "weights-forgotten",
        lambda weights, columns, rows: columns @ rows.T,
        "every term counts once: the weights are not used",
        "Multiply term i by weights[i]",
    ),
    Mutant(
        "weights-twice",
        lambda weights, columns, rows: (columns * weights) @ (rows * weights).T,
        "the weights are squared: both factors of each term were multiplied by them",
        "Multiply one of the two vectors by the weight, not both",
    ),
    Mutant(
        "last-term-left-out",
        _outer_last_left_out,
        "the last term is missing: a range that ends one too early",
        "Sum over all columns: range(len(weights))",
    ),
    Mutant(
        "first-term-only",
        lambda weights, columns, rows: outer(weights[:1], columns[:, :1], rows[:, :1]),
        "one term and no sum: the result has rank 1",
        "Add up the terms; do not return inside the loop",
    ),
    Mutant(
        "mean-of-the-terms",
        lambda weights, columns, rows: outer(weights, columns, rows) / len(weights),
        "the mean of the terms instead of their sum",
        "Leave out the division by the number of terms",
    ),
    Mutant(
        "vectors-normalised",
        _outer_unit,
        "the vectors were scaled to length 1, which the task does not ask for",
        "Use the vectors as they are",
    ),
)

# --- rank.numerical -------------------------------------------------------------------------------


def numerical(matrix: Tensor, tolerance: float) -> int:
    sigma = torch.linalg.svdvals(matrix)
    return int((sigma > tolerance * sigma[0]).sum())


def _numerical_absolute(matrix, tolerance):
    return int((torch.linalg.svdvals(matrix) > tolerance).sum())


def _numerical_squares(matrix, tolerance):
    squares = torch.linalg.svdvals(matrix).square()
    return int((squares > tolerance * squares[0]).sum())


NUMERICAL = (
    Mutant(
        "absolute-tolerance",
        _numerical_absolute,
        "the tolerance is taken as it is: a matrix times 1,000 would have another rank",
        "Compare with tolerance times the largest singular value",
    ),
    Mutant(
        "not-zero",
        lambda matrix, tolerance: int((torch.linalg.svdvals(matrix) > 0).sum()),
        "every singular value above zero counts; after rounding, all of them are",
        "Count those above tolerance times the largest",
    ),
    Mutant(
        "squares",
        _numerical_squares,
        "squared singular values are compared, as for energy: medium ones fall below the bound",
        "Compare σ itself with tolerance · σ₁",
    ),
    Mutant(
        "the-others",
        lambda matrix, tolerance: min(matrix.shape) - numerical(matrix, tolerance),
        "the small singular values are counted instead of the large ones",
        "Turn the comparison round: count what is above the bound",
    ),
    Mutant(
        "one-less",
        lambda matrix, tolerance: numerical(matrix, tolerance) - 1,
        "one too few: an index was returned where a number was asked for",
        "Count, or add 1 to the index of the last one",
    ),
)

# --- rank.savings ---------------------------------------------------------------------------------


def savings(rows: int, columns: int, rank: int) -> tuple[float, int]:
    share = 1 - rank * (rows + columns) / (rows * columns)
    return share, -(-rows * columns // (rows + columns))


def _share(rows: int, columns: int, rank: int) -> float:
    return savings(rows, columns, rank)[0]


def _break_even(rows: int, columns: int) -> int:
    return savings(rows, columns, 1)[1]


SAVINGS = (
    Mutant(
        "share-that-is-left",
        lambda rows, columns, rank: (1 - _share(rows, columns, rank), _break_even(rows, columns)),
        "this is the share that is stored; the share saved is the rest",
        "Subtract it from 1",
    ),
    Mutant(
        "one-factor",
        lambda rows, columns, rank: (1 - rank / rows, _break_even(rows, columns)),
        "one of the two factors is missing from the count",
        "Count rank · rows and rank · columns",
    ),
    Mutant(
        "square",
        lambda rows, columns, rank: (1 - 2 * rank / columns, _break_even(rows, columns)),
        "2r/d holds for a square matrix; this one has two different sides",
        "Use r · (rows + columns) / (rows · columns)",
    ),
    Mutant(
        "rounded-down",
        lambda rows, columns, rank: (
            _share(rows, columns, rank),
            rows * columns // (rows + columns),
        ),
        "at this rank the factors still hold fewer numbers than the matrix",
        "Round rows · columns / (rows + columns) up",
    ),
    Mutant(
        "equal-still-saves",
        lambda rows, columns, rank: (
            _share(rows, columns, rank),
            rows * columns // (rows + columns) + 1,
        ),
        "where both hold equally many numbers nothing is saved any more, and that rank is skipped",
        "Take the first rank at which the factors hold as many numbers as the matrix, or more",
    ),
    Mutant(
        "half-a-side",
        lambda rows, columns, rank: (_share(rows, columns, rank), min(rows, columns) // 2),
        "half of the shorter side is the break-even rank of a square matrix only",
        "Solve r · (rows + columns) ≥ rows · columns for r",
    ),
)
