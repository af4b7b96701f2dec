"""Lesson 02, matrices as sums: outer products, numerical rank, savings; rightly and wrongly."""

from __future__ import annotations

import torch
from torch import Tensor

from peftcourse.exercises.core import Mutant, slip

# --- rank.outer -----------------------------------------------------------------------------------


def outer(weights: Tensor, columns: Tensor, rows: Tensor) -> Tensor:
    weighted = columns * weights  # column i times weight i
    return weighted @ rows.T


def _outer_of_rows(weights, columns, rows):
    return sum(weights[i] * torch.outer(columns[i], rows[i]) for i in range(len(weights)))


OUTER = (
    slip(
        outer,
        "weights-forgotten",
        "columns * weights",
        "columns",
        "every term counts once: the weights are not used",
        "Multiply term i by weights[i]",
    ),
    slip(
        outer,
        "weights-twice",
        "rows.T",
        "(rows * weights).T",
        "the weights are squared: both factors of each term were multiplied by them",
        "Multiply one of the two vectors by the weight, not both",
    ),
    slip(
        outer,
        "last-term-left-out",
        "weighted @ rows",
        "weighted[:, :-1] @ rows[:, :-1]",
        "the last term is missing: a range that ends one too early",
        "Sum over all columns: range(len(weights))",
    ),
    slip(
        outer,
        "first-term-left-out",
        "weighted @ rows",
        "weighted[:, 1:] @ rows[:, 1:]",
        "the first term is missing: a range that starts at 1",
        "Sum over all columns: range(len(weights)) starts at 0",
    ),
    slip(
        outer,
        "first-term-only",
        "weighted @ rows",
        "weighted[:, :1] @ rows[:, :1]",
        "one term and no sum: the result has rank 1",
        "Add up the terms; do not return inside the loop",
    ),
    slip(
        outer,
        "last-term-only",
        "weighted @ rows",
        "weighted[:, -1:] @ rows[:, -1:]",
        "only the last term is there: each one overwrites those before it",
        "Add up the terms: `total = total + …`",
    ),
    slip(
        outer,
        "mean-of-the-terms",
        "rows.T",
        "rows.T / len(weights)",
        "the mean of the terms instead of their sum",
        "Leave out the division by the number of terms",
    ),
    slip(
        outer,
        "absolute-weights",
        "columns * weights",
        "columns * weights.abs()",
        "the sign of the weights is lost: a negative term is added",
        "Use the weights as they are",
    ),
    slip(
        outer,
        "root-of-the-weights",
        "columns * weights",
        "columns * weights.sqrt()",
        "the root of the weights is taken, which a negative one does not have: NaN",
        "Multiply one of the two vectors by the weight itself",
        ("rows.T", "(rows * weights.sqrt()).T"),
    ),
    slip(
        outer,
        "weights-normalised",
        "columns * weights",
        "columns * (weights / weights.sum())",
        "the weights are normalised: divided by their sum before use",
        "Use the weights as they are",
    ),
    slip(
        outer,
        "weights-sorted",
        "columns * weights",
        "columns * weights.sort(descending=True).values",
        "the weights are sorted, and no longer belong to their columns",
        "Keep their order: weights[i] belongs to columns[:, i]",
    ),
    slip(
        outer,
        "vectors-normalised",
        "columns * weights",
        "columns / columns.norm(dim=0) * weights",
        "the vectors were scaled to length 1, which the task does not ask for",
        "Use the vectors as they are",
        ("rows.T", "(rows / rows.norm(dim=0)).T"),
    ),
    Mutant(
        "rows-for-columns",
        _outer_of_rows,
        "columns[i] takes a row of the matrix, and so does rows[i]: term i needs their columns i",
        "Take columns[:, i] and rows[:, i]",
    ),
)

# --- rank.numerical -------------------------------------------------------------------------------


def numerical(matrix: Tensor, tolerance: float) -> int:
    sigma = torch.linalg.svdvals(matrix)
    bound = tolerance * sigma[0]
    return int((sigma > bound).sum())


def _numerical_entries(matrix, tolerance):
    sizes = matrix.abs()
    return int((sizes > tolerance * sizes.max()).sum())


def _numerical_distinct_rows(matrix, tolerance):
    rows = (matrix / matrix.abs().max() / tolerance).round().unique(dim=0)
    return min(len(rows), matrix.shape[1])


def _numerical_gram(matrix, tolerance):
    sigma = torch.linalg.eigvalsh(matrix.T @ matrix).clamp(min=0).sqrt()
    return int((sigma > tolerance * sigma.max()).sum())


def _numerical_qr(matrix, tolerance):
    sizes = torch.linalg.qr(matrix).R.diagonal().abs()
    return int((sizes > tolerance * sizes.max()).sum())


_OTHERS = (
    "the small singular values are counted instead of the large ones",
    "Turn the comparison round: count what is above the bound",
)

NUMERICAL = (
    slip(
        numerical,
        "absolute-tolerance",
        "tolerance * sigma[0]",
        "tolerance",
        "the tolerance is taken as it is: a matrix times 1,000 would have another rank",
        "Compare with tolerance times the largest singular value",
    ),
    slip(
        numerical,
        "at-least",
        "sigma > bound",
        "sigma >= bound",
        "a singular value exactly at the bound counts too: “above” is > and not ≥",
        "Compare with >",
    ),
    slip(
        numerical,
        "not-zero",
        "tolerance * sigma[0]",
        "0",
        "every singular value above zero counts: the tolerance is not used, or it is multiplied by "
        "the smallest one; after rounding, hardly any is zero",
        "Count those above tolerance times the largest",
    ),
    slip(
        numerical,
        "of-the-sum",
        "sigma[0]",
        "sigma.sum()",
        "the tolerance is multiplied by the sum of the singular values, not by the largest",
        "Compare with tolerance times sigma[0]",
    ),
    slip(
        numerical,
        "of-the-norm",
        "sigma[0]",
        "matrix.norm()",
        "the tolerance is multiplied by the Frobenius norm, not by the largest singular value",
        "Compare with tolerance times sigma[0]",
    ),
    slip(
        numerical,
        "of-the-largest-entry",
        "sigma[0]",
        "matrix.abs().max()",
        "the tolerance is multiplied by the largest entry, not by the largest singular value",
        "Compare with tolerance times sigma[0]",
    ),
    slip(
        numerical,
        "of-the-mean",
        "sigma[0]",
        "sigma.mean()",
        "the tolerance is multiplied by the mean of the singular values, not by the largest",
        "Compare with tolerance times sigma[0]",
    ),
    slip(
        numerical,
        "squares",
        "svdvals(matrix)",
        "svdvals(matrix).square()",
        "squared singular values are compared, as for energy: medium ones fall below the bound",
        "Compare σ itself with tolerance · σ₁",
    ),
    slip(numerical, "the-others", "sigma > bound", "sigma < bound", *_OTHERS),
    slip(numerical, "the-others-and-equal", "sigma > bound", "sigma <= bound", *_OTHERS),
    slip(
        numerical,
        "one-less",
        ".sum())",
        ".sum()) - 1",
        "one too few: an index was returned where a number was asked for",
        "Count, or add 1 to the index of the last one",
    ),
    slip(
        numerical,
        "one-more",
        ".sum())",
        ".sum()) + 1",
        "one too many: a count needs no 1 added",
        "Return the count itself",
    ),
    Mutant(
        "own-tolerance",
        lambda matrix, tolerance: int(torch.linalg.matrix_rank(matrix)),
        "the tolerance is ignored: `matrix_rank` without `rtol` takes its own, which is tiny",
        "Pass it on, as rtol=tolerance",
    ),
    Mutant(
        "smaller-side",
        lambda matrix, tolerance: min(matrix.shape),
        "always full rank, the smaller side of the matrix, whatever its singular values are",
        "Count the singular values above tolerance times the largest",
    ),
    Mutant(
        "distinct-rows",
        _numerical_distinct_rows,
        "distinct rows are counted: rows that differ may still depend on each other",
        "Start from torch.linalg.svdvals(matrix)",
    ),
    Mutant(
        "entries",
        _numerical_entries,
        "entries of the matrix are counted, not singular values",
        "Start from torch.linalg.svdvals(matrix)",
    ),
    Mutant(
        "gram-matrix",
        _numerical_gram,
        "the singular values come from MᵀM: squaring a matrix loses half of the digits, and what "
        "rounding leaves then stands above a small tolerance",
        "Take them from the matrix itself: torch.linalg.svdvals",
    ),
    Mutant(
        "diagonal-of-r",
        _numerical_qr,
        "the diagonal of R in a QR decomposition is compared: those are no singular values",
        "Start from torch.linalg.svdvals(matrix)",
    ),
)
