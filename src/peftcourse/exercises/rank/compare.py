"""Lesson 02, how far two subspaces agree, rightly and wrongly."""

from __future__ import annotations

import torch
from torch import Tensor

from peftcourse.exercises.core import Mutant, Symptom, slip
from peftcourse.exercises.observe import Case, Outcome


def similarity(first: Tensor, second: Tensor, i: int, j: int) -> float:
    one = torch.linalg.svd(first, full_matrices=False).Vh[:i]
    other = torch.linalg.svd(second, full_matrices=False).Vh[:j]
    products = one @ other.T
    return products.square().sum().item() / min(i, j)


def _overlap(one: Tensor, other: Tensor, i: int, j: int) -> float:
    """φ of the spans of the rows, which have length 1."""
    return (one[:i] @ other[:j].T).square().sum().item() / min(i, j)


def _similarity_rows(first, second, i, j):
    one, other = (matrix / matrix.norm(dim=1, keepdim=True) for matrix in (first, second))
    return _overlap(one, other, i, j)


def _similarity_span_of_rows(first, second, i, j):
    one, other = (torch.linalg.qr(m.T).Q.T for m in (first[:i], second[:j]))
    return _overlap(one, other, i, j)


def _similarity_ascending(first, second, i, j):
    one, other = (torch.linalg.eigh(m.T @ m).eigenvectors.T for m in (first, second))
    return _overlap(one, other, i, j)


def _similarity_weighted(first, second, i, j):
    """Also divided by the weights, so that φ is 1 at most."""
    (S1, V1), (S2, V2) = (torch.linalg.svd(m, full_matrices=False)[1:] for m in (first, second))
    one, other = S1[:i, None] * V1[:i], S2[:j, None] * V2[:j]
    both = S1[:i].square().sum() * S2[:j].square().sum()
    return ((one @ other.T).square().sum() / both).item()


_DIVISION = "Divide by min(i, j)"
_LEADING = "Take the first rows of Vh"
_SMALLEST = (
    "the directions with the smallest singular values are compared",
    "Keep the first rows of Vh: torch sorts from large to small, and eigh from small to large",
)

SIMILARITY = (
    slip(
        similarity,
        "not-squared",
        ".square().sum()",
        ".square().sum().sqrt()",
        "the norm is not squared",
        "Sum the squares of the products, without a root",
    ),
    slip(
        similarity,
        "larger-number",
        "min(i, j)",
        "max(i, j)",
        "divided by the larger number of directions: φ could not reach 1 if they differ",
        _DIVISION,
    ),
    slip(
        similarity,
        "absolute-values",
        ".square()",
        ".abs()",
        "the absolute values of the inner products are added; they have to be squared",
        "Square them",
    ),
    slip(
        similarity,
        "with-their-signs",
        ".square()",
        "",
        "the inner products are added with their signs, and cancel: they have to be squared",
        "Square them",
    ),
    slip(
        similarity,
        "exchanged",
        "svd(first, full_matrices=False).Vh[:i]",
        "svd(first, full_matrices=False).Vh[:j]",
        "i and j are exchanged: i belongs to the first matrix, j to the second",
        "Cut the first Vh at i, and the second at j",
        ("svd(second, full_matrices=False).Vh[:j]", "svd(second, full_matrices=False).Vh[:i]"),
    ),
    slip(
        similarity,
        "not-divided",
        " / min(i, j)",
        "",
        "the sum is not divided: min(i, j) is missing, and φ can be more than 1",
        _DIVISION,
    ),
    slip(
        similarity,
        "divided-by-i",
        "min(i, j)",
        "i",
        "divided by i, which is not always the smaller of the two",
        _DIVISION,
    ),
    slip(
        similarity,
        "divided-by-j",
        "min(i, j)",
        "j",
        "divided by j, which is not always the smaller of the two",
        _DIVISION,
    ),
    slip(
        similarity,
        "product-of-the-numbers",
        "min(i, j)",
        "(i * j)",
        "divided by i · j, the mean of the entries: equal subspaces would not have φ = 1",
        _DIVISION,
    ),
    slip(
        similarity,
        "geometric-mean",
        "min(i, j)",
        "(i * j) ** 0.5",
        "divided by the root of i · j, not by the smaller of the two",
        _DIVISION,
    ),
    slip(
        similarity,
        "one-direction-more",
        "Vh[:i]",
        "Vh[: i + 1]",
        "one direction too many of each matrix: i + 1 and j + 1",
        "Slice with [:i] and [:j], which end before",
        ("Vh[:j]", "Vh[: j + 1]"),
    ),
    slip(
        similarity,
        "same-number-of-both",
        "Vh[:i]",
        "Vh[: min(i, j)]",
        "both are cut to the same number, min(i, j): each has its own number of directions",
        "Keep the first i of one and the first j of the other; min(i, j) only divides",
        ("Vh[:j]", "Vh[: min(i, j)]"),
    ),
    slip(
        similarity,
        "pairs-only",
        ".square().sum()",
        ".diagonal().square().sum()",
        "direction 1 is compared with 1, 2 with 2: each one of them counts with every other",
        "Take all inner products: one @ other.T",
    ),
    slip(
        similarity,
        "spectral-norm",
        "products.square().sum()",
        "torch.linalg.matrix_norm(products, ord=2).square()",
        "the spectral norm, which is the largest singular value, stands for the Frobenius norm",
        "Sum the squares of all products",
    ),
    slip(
        similarity,
        "with-itself",
        "torch.linalg.svd(second",
        "torch.linalg.svd(first",
        "one matrix is compared with itself, and the other is not used: φ is always 1",
        "Decompose both",
    ),
    slip(
        similarity,
        "all-directions",
        "Vh[:j]",
        "Vh",
        "all directions of the second matrix are used, whatever j is",
        "Keep the first j rows of its Vh",
    ),
    slip(
        similarity,
        "all-directions-of-the-first",
        "Vh[:i]",
        "Vh",
        "all directions of the first matrix are used, whatever i is",
        "Keep the first i rows of its Vh",
    ),
    slip(
        similarity,
        "smallest-directions",
        "Vh[:i]",
        "Vh[-i:]",
        *_SMALLEST,
        ("Vh[:j]", "Vh[-j:]"),
    ),
    Mutant("ascending", _similarity_ascending, *_SMALLEST),
    Mutant(
        "rows-of-the-matrix",
        _similarity_rows,
        "the first rows of the matrices are compared, not their leading directions",
        _LEADING,
    ),
    Mutant(
        "span-of-the-rows",
        _similarity_span_of_rows,
        "the span of the first rows is compared, as QR gives it, not the leading singular vectors",
        _LEADING,
    ),
    Mutant(
        "weighted",
        _similarity_weighted,
        "the directions are weighted by their singular values: all of them have length 1",
        "Leave σ out",
    ),
)


def _too_large(case: Case, expected: Outcome, observed: Outcome) -> bool:
    result = observed.get("result")
    return isinstance(result, (int, float)) and result > 1 + 1e-4


ABOVE_ONE = Symptom(
    "result",
    "φ is above 1, which it cannot be: the vectors compared are not of length 1 and at right "
    "angles, or the sum is not divided by min(i, j)",
    "Check that one @ one.T is the identity",
    when=_too_large,
)
