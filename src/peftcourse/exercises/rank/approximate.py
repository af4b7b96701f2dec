"""Lesson 02, approximation: truncation and energy, rightly and wrongly."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from peftcourse.exercises.core import Mutant, Symptom, slip
from peftcourse.exercises.observe import Case, Outcome

# --- rank.truncate --------------------------------------------------------------------------------


def truncate(matrix: Tensor, rank: int) -> Tensor:
    U, S, Vh = torch.linalg.svd(matrix, full_matrices=False)
    U, S, Vh = U[:, :rank], S[:rank], Vh[:rank]
    return (U * S) @ Vh


def _kept(mask):
    """An answer that keeps entries of the matrix and sets the others to zero."""

    def answer(matrix, rank):
        return torch.where(mask(matrix, rank), matrix, torch.zeros_like(matrix))

    return answer


def _places(matrix):
    rows, columns = matrix.shape
    return torch.arange(rows).unsqueeze(1), torch.arange(columns)


def _block(matrix, rank):
    rows, columns = _places(matrix)
    return (rows < rank) & (columns < rank)


def _longest_rows(matrix, rank):
    lengths = matrix.norm(dim=1, keepdim=True)
    return lengths >= lengths.flatten().topk(rank).values[-1]


def _largest_entries(matrix, rank):
    return matrix.abs() >= matrix.abs().flatten().topk(rank).values[-1]


def _truncate_qr(matrix, rank):
    Q, R = torch.linalg.qr(matrix)
    return Q[:, :rank] @ R[:rank]


def _truncate_centred(matrix, rank):
    mean = matrix.mean(dim=0, keepdim=True)
    return truncate(matrix - mean, rank) + mean


_COLUMNS_OF_VH = (
    "Vh[:rank]",
    "Vh[:, :rank].T",
    "columns of Vh are used: the right singular vectors are its rows, for svd returns Vᵀ already",
    "Take Vh[:rank]",
)
_ENTRIES = "Keep the first terms of the singular value decomposition"

TRUNCATE = (
    slip(
        truncate,
        "sigma-forgotten",
        "U * S",
        "U",
        "the singular values are missing: every term has the same weight",
        "Multiply the columns of U by σ before the product",
    ),
    slip(
        truncate,
        "one-term-more",
        "U[:, :rank]",
        "U[:, : rank + 1]",
        "one term too many: the result has rank {rank} plus 1",
        "Slice with [:rank], which ends before rank",
        ("S[:rank]", "S[: rank + 1]"),
        ("Vh[:rank]", "Vh[: rank + 1]"),
    ),
    slip(
        truncate,
        "one-term-less",
        "U[:, :rank]",
        "U[:, : rank - 1]",
        "one term too few: the result has rank {rank} less 1",
        "Slice with [:rank]; indices start at 0",
        ("S[:rank]", "S[: rank - 1]"),
        ("Vh[:rank]", "Vh[: rank - 1]"),
    ),
    slip(
        truncate,
        "smallest-terms",
        "U[:, :rank]",
        "U[:, -rank:]",
        "the last terms are kept, which have the smallest singular values",
        "torch sorts σ from large to small: keep [:rank]",
        ("S[:rank]", "S[-rank:]"),
        ("Vh[:rank]", "Vh[-rank:]"),
    ),
    slip(
        truncate,
        "root-of-sigma",
        "U * S",
        "U * S.sqrt()",
        "the terms are weighted by the root of σ: one factor took √σ, and the other nothing",
        "Multiply by σ itself, or both factors by its root",
    ),
    slip(
        truncate,
        "sigma-twice",
        "U * S",
        "U * S.square()",
        "the terms are weighted by σ²: both factors were multiplied by σ",
        "Multiply one of the two factors by σ",
    ),
    slip(truncate, "columns-of-vh", *_COLUMNS_OF_VH),
    slip(
        truncate,
        "what-is-left",
        "return (",
        "return matrix - (",
        "this is the error of the approximation and not the approximation",
        "Return the sum of the first terms itself",
    ),
    slip(
        truncate,
        "one-term-only",
        "U[:, :rank]",
        "U[:, rank - 1 : rank]",
        "one single term, number {rank}: the sum of all terms up to it is asked for",
        "Slice with [:rank], or add up the terms in the loop",
        ("S[:rank]", "S[rank - 1 : rank]"),
        ("Vh[:rank]", "Vh[rank - 1 : rank]"),
    ),
    Mutant(
        "first-rows",
        _kept(lambda matrix, rank: _places(matrix)[0] < rank),
        "the first rows of the matrix are kept; that has the right rank and is a poor copy",
        _ENTRIES,
    ),
    Mutant(
        "first-columns",
        _kept(lambda matrix, rank: (_places(matrix)[1] < rank).expand_as(matrix)),
        "the first columns of the matrix are kept; that has the right rank and is a poor copy",
        _ENTRIES,
    ),
    Mutant(
        "corner",
        _kept(_block),
        "a block of entries in the corner is kept, not terms of the decomposition",
        _ENTRIES,
    ),
    Mutant(
        "longest-rows",
        _kept(_longest_rows),
        "whole rows are kept, those of the largest norm: the rank is right, and others are nearer",
        _ENTRIES,
    ),
    Mutant(
        "largest-entries",
        _kept(_largest_entries),
        "the largest entries are kept: that is a sparse matrix, not one of low rank",
        _ENTRIES,
    ),
    Mutant(
        "qr",
        _truncate_qr,
        "a QR decomposition is cut: its columns come in the order of the matrix, not by size as "
        "the terms of the SVD",
        "Start from torch.linalg.svd",
    ),
    Mutant(
        "centred",
        _truncate_centred,
        "the means of the columns are taken off first and put back: that is principal components "
        "analysis",
        "Decompose the matrix as it is",
    ),
)


def rank_of(matrix: Tensor) -> int:
    """The rank of what an answer returned, for a look at it."""
    return int(torch.linalg.matrix_rank(matrix.double(), rtol=1e-4)) if matrix.numel() else 0


def _of_that_rank(case: Case, expected: Outcome, observed: Outcome) -> bool:
    result = observed.get("result")
    return (
        isinstance(result, Tensor)
        and result.shape == expected["result"].shape
        and bool(result.isfinite().all())
        and rank_of(result) == case["rank"]
    )


NOT_BEST = Symptom(
    "result",
    "a matrix of the right rank, but not the best one: the first terms of the exact SVD are nearer",
    "Cut torch.linalg.svd(matrix), which is exact, after `rank` terms",
    when=_of_that_rank,
)

# --- rank.energy ----------------------------------------------------------------------------------


def energy(sigma: Tensor, share: float) -> int:
    kept = sigma.square().cumsum(0)
    # The tail is the exact complement: a share of 1 needs every σ that is not zero.
    return int((kept < share * kept[-1]).sum()) + 1


def _energy_above(sigma, share):
    kept = sigma.square().cumsum(0)
    return min(int((kept <= share * kept[-1]).sum()) + 1, len(sigma))


_ABOVE = (
    "a rank that reaches the share exactly is passed over",
    "Count the partial sums that are strictly below the share",
)
_WITH_THE_LARGEST = (
    "each σ is compared with the largest, one by one; energy is about their sum",
    "Sum σ² up to each rank, and compare with the sum of all",
)
_OF_THE_COUNT = (
    "a share of the number of singular values, whatever their sizes are",
    "Sum σ² up to each rank, and compare with the sum of all",
)

ENERGY = (
    slip(
        energy,
        "not-squared",
        ".square()",
        "",
        "σ is summed and not σ²: energy is the square of the norm",
        "Square the singular values first",
    ),
    slip(
        energy,
        "one-short",
        ".sum()) + 1",
        ".sum())",
        "one too few: at that rank the share is not reached yet",
        "If n partial sums are below the share, the answer is n + 1",
    ),
    slip(energy, "above-the-share", "kept < share", "kept <= share", *_ABOVE),
    Mutant("above-the-share-at-most-all", _energy_above, *_ABOVE),
    slip(
        energy,
        "one-long",
        ".sum()) + 1",
        ".sum()) + 2",
        "one too many: the 1 is added twice, or the loop counts on after the share is reached",
        "If n partial sums are below the share, the answer is n + 1",
    ),
    slip(
        energy,
        "smallest-first",
        "sigma.square",
        "sigma.flip(0).square",
        "the smallest singular values are summed first",
        "Sum from the largest on: σ comes in that order",
    ),
    slip(
        energy,
        "total-forgotten",
        " * kept[-1]",
        "",
        "energy itself is compared with a share of it: the total is missing",
        "Compare with share times the total, or divide by the total",
    ),
    slip(
        energy,
        "share-of-the-norm",
        "cumsum(0)",
        "cumsum(0).sqrt()",
        "a root is taken: a share of the norm ‖W‖, not of its square",
        "Leave the sums of σ² as they are",
    ),
    slip(
        energy,
        "square-of-the-sum",
        "sigma.square().cumsum(0)",
        "sigma.cumsum(0).square()",
        "the sums are squared: σ has to be squared before it is summed",
        "Square first, then sum",
    ),
    slip(
        energy,
        "share-lost",
        "share * kept",
        "(1 - share) * kept",
        "the share is taken for what may be lost; it is what has to be kept",
        "Compare with share, not with 1 − share",
    ),
    slip(
        energy,
        "number-that-reaches",
        "kept < share * kept[-1]).sum()) + 1",
        "kept >= share * kept[-1]).sum())",
        "all ranks that reach the share are counted; the first of them is asked for",
        "Count those that fall short, and add 1",
    ),
    Mutant(
        "compared-with-the-largest",
        lambda sigma, share: int((sigma >= (1 - share) * sigma[0]).sum()),
        *_WITH_THE_LARGEST,
    ),
    Mutant(
        "above-a-share-of-the-largest",
        lambda sigma, share: int((sigma >= share * sigma[0]).sum()),
        *_WITH_THE_LARGEST,
    ),
    Mutant(
        "above-a-share-of-the-largest-square",
        lambda sigma, share: int((sigma.square() >= share * sigma[0].square()).sum()),
        *_WITH_THE_LARGEST,
    ),
    Mutant("of-the-count", lambda sigma, share: math.ceil(share * len(sigma)), *_OF_THE_COUNT),
    Mutant("of-the-count-down", lambda sigma, share: int(share * len(sigma)), *_OF_THE_COUNT),
)


def _a_share(case: Case, expected: Outcome, observed: Outcome) -> bool:
    result = observed.get("result")
    return isinstance(result, float) and result <= 1


NO_RANK = Symptom(
    "result",
    "a share is returned, a number up to 1, and not the rank that reaches it",
    "Return how many terms it takes, a whole number",
    when=_a_share,
)
