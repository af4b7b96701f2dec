"""Lesson 02, subspaces: how far two agree, and weights driven by a few numbers; right and wrong."""

from __future__ import annotations

import torch
from torch import Tensor

from peftcourse.exercises.core import Mutant

# --- rank.similarity ------------------------------------------------------------------------------


def similarity(first: Tensor, second: Tensor, i: int, j: int) -> float:
    return _overlap(_leading(first, i), _leading(second, j)).item() / min(i, j)


def _leading(matrix: Tensor, count: int) -> Tensor:
    """The first right singular vectors as rows."""
    return torch.linalg.svd(matrix, full_matrices=False).Vh[:count]


def _overlap(one: Tensor, other: Tensor) -> Tensor:
    return (one @ other.T).square().sum()


def _similarity_by(divisor) -> object:
    """An answer with another divisor than the smaller number of directions."""

    def answer(first, second, i, j):
        return similarity(first, second, i, j) * min(i, j) / divisor(i, j)

    return answer


def _similarity_root(first, second, i, j):
    return _overlap(_leading(first, i), _leading(second, j)).sqrt().item() / min(i, j)


def _similarity_rows(first, second, i, j):
    one, other = (matrix / matrix.norm(dim=1, keepdim=True) for matrix in (first, second))
    return _overlap(one[:i], other[:j]).item() / min(i, j)


def _similarity_all_of_second(first, second, i, j):
    return _overlap(_leading(first, i), _leading(second, len(second))).item() / min(i, j)


def _similarity_unsliced(first, second, i, j):
    one, other = (torch.linalg.svd(m, full_matrices=False).Vh for m in (first, second))
    return _overlap(one[-i:], other[-j:]).item() / min(i, j)


SIMILARITY = (
    Mutant(
        "not-squared",
        _similarity_root,
        "the norm is not squared",
        "Sum the squares of the products, without a root",
    ),
    Mutant(
        "larger-number",
        _similarity_by(max),
        "divided by the larger number of directions: φ could not reach 1 if they differ",
        "Divide by min(i, j)",
    ),
    Mutant(
        "product-of-the-numbers",
        _similarity_by(lambda i, j: i * j),
        "divided by i · j, the mean of the entries: equal subspaces would not have φ = 1",
        "Divide by min(i, j)",
    ),
    Mutant(
        "rows-of-the-matrix",
        _similarity_rows,
        "the first rows of the matrices are compared, not their leading directions",
        "Take the first rows of Vh",
    ),
    Mutant(
        "all-directions",
        _similarity_all_of_second,
        "all directions of the second matrix are used, whatever j is",
        "Keep the first j rows of its Vh",
    ),
    Mutant(
        "smallest-directions",
        _similarity_unsliced,
        "the directions with the smallest singular values are compared",
        "Keep the first rows of Vh: torch sorts from large to small",
    ),
)

# --- rank.project ---------------------------------------------------------------------------------


def project(z: Tensor, coordinate: Tensor, sign: Tensor) -> Tensor:
    counts = torch.bincount(coordinate, minlength=len(z))
    return sign * (z / counts.to(z.dtype).sqrt())[coordinate]


def _counts(z: Tensor, coordinate: Tensor) -> Tensor:
    return torch.bincount(coordinate, minlength=len(z)).to(z.dtype)


PROJECT = (
    Mutant(
        "sign-forgotten",
        lambda z, coordinate, sign: (z / _counts(z, coordinate).sqrt())[coordinate],
        "the signs are not used: all weights of a coordinate would move the same way",
        "Multiply each weight's share by its sign",
    ),
    Mutant(
        "not-normalised",
        lambda z, coordinate, sign: sign * z[coordinate],
        "P's columns have length √n instead of 1: what drives many weights counts more",
        "Divide z by the root of how many weights it drives",
    ),
    Mutant(
        "root-forgotten",
        lambda z, coordinate, sign: sign * (z / _counts(z, coordinate))[coordinate],
        "divided by n and not by √n: P's columns have length 1/√n",
        "Take the root of the number of weights",
    ),
    Mutant(
        "one-scale-for-all",
        lambda z, coordinate, sign: sign * z[coordinate] * (len(z) / len(sign)) ** 0.5,
        "one factor for all coordinates: they do not drive equally many weights",
        "Count with torch.bincount how many weights each coordinate drives",
    ),
    Mutant(
        "number-of-weights",
        lambda z, coordinate, sign: sign * z[coordinate] / len(sign) ** 0.5,
        "divided by the root of the number of all weights, not of those of the coordinate",
        "Count with torch.bincount how many weights each coordinate drives",
    ),
)
