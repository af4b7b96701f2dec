"""Lesson 02, approximation: truncation, energy, factors for LoRA; rightly and wrongly."""

from __future__ import annotations

import torch
from torch import Tensor

from peftcourse.exercises.core import Mutant

# --- rank.truncate --------------------------------------------------------------------------------


def truncate(matrix: Tensor, rank: int) -> Tensor:
    U, S, Vh = torch.linalg.svd(matrix, full_matrices=False)
    return (U[:, :rank] * S[:rank]) @ Vh[:rank]


def _truncate_smallest(matrix, rank):
    U, S, Vh = torch.linalg.svd(matrix, full_matrices=False)
    return (U[:, -rank:] * S[-rank:]) @ Vh[-rank:]


def _truncate_unscaled(matrix, rank):
    U, _, Vh = torch.linalg.svd(matrix, full_matrices=False)
    return U[:, :rank] @ Vh[:rank]


def _truncate_rows(matrix, rank):
    kept = matrix.clone()
    kept[rank:] = 0
    return kept


TRUNCATE = (
    Mutant(
        "smallest-terms",
        _truncate_smallest,
        "the last terms are kept, which have the smallest singular values",
        "torch sorts σ from large to small: keep [:rank]",
    ),
    Mutant(
        "sigma-forgotten",
        _truncate_unscaled,
        "the singular values are missing: every term has the same weight",
        "Multiply the columns of U by σ before the product",
    ),
    Mutant(
        "first-rows",
        _truncate_rows,
        "the first rows of the matrix are kept; that has the right rank and is a poor copy",
        "Keep the first terms of the singular value decomposition",
    ),
    Mutant(
        "one-term-more",
        lambda matrix, rank: truncate(matrix, rank + 1),
        "one term too many: the result has rank {rank} plus 1",
        "Slice with [:rank], which ends before rank",
    ),
    Mutant(
        "one-term-less",
        lambda matrix, rank: truncate(matrix, rank - 1),
        "one term too few: the result has rank {rank} less 1",
        "Slice with [:rank]; indices start at 0",
    ),
    Mutant(
        "what-is-left",
        lambda matrix, rank: matrix - truncate(matrix, rank),
        "this is the error of the approximation and not the approximation",
        "Return the sum of the first terms itself",
    ),
)

# --- rank.energy ----------------------------------------------------------------------------------


def energy(sigma: Tensor, share: float) -> int:
    kept = sigma.square().cumsum(0)
    # The tail is the exact complement: a share of 1 needs every σ that is not zero.
    return int((kept < share * kept[-1]).sum()) + 1


def _energy_of_sigma(sigma, share):
    kept = sigma.cumsum(0)
    return int((kept < share * kept[-1]).sum()) + 1


def _energy_one_short(sigma, share):
    return energy(sigma, share) - 1


def _energy_above(sigma, share):
    kept = sigma.square().cumsum(0)
    return min(int((kept <= share * kept[-1]).sum()) + 1, len(sigma))


def _energy_from_below(sigma, share):
    return energy(sigma.flip(0), share)


def _energy_of_largest(sigma, share):
    return int((sigma >= (1 - share) * sigma[0]).sum())


ENERGY = (
    Mutant(
        "not-squared",
        _energy_of_sigma,
        "σ is summed and not σ²: energy is the square of the norm",
        "Square the singular values first",
    ),
    Mutant(
        "one-short",
        _energy_one_short,
        "one too few: at that rank the share is not reached yet",
        "If n partial sums are below the share, the answer is n + 1",
    ),
    Mutant(
        "above-the-share",
        _energy_above,
        "a rank that reaches the share exactly is passed over",
        "Count the partial sums that are strictly below the share",
    ),
    Mutant(
        "smallest-first",
        _energy_from_below,
        "the smallest singular values are summed first",
        "Sum from the largest on: σ comes in that order",
    ),
    Mutant(
        "compared-with-the-largest",
        _energy_of_largest,
        "each σ is compared with the largest; energy is about their sum",
        "Sum σ² up to each rank, and compare with the sum of all",
    ),
)

# --- rank.factors ---------------------------------------------------------------------------------


def factors(delta: Tensor, rank: int, alpha: float) -> tuple[Tensor, Tensor]:
    U, S, Vh = torch.linalg.svd(delta, full_matrices=False)
    root = (S[:rank] * rank / alpha).sqrt()
    return U[:, :rank] * root, root.unsqueeze(1) * Vh[:rank]


def _rescaled(delta: Tensor, rank: int, alpha: float, scale: float) -> tuple[Tensor, Tensor]:
    """Factors of ``scale`` times the right product."""
    B, A = factors(delta, rank, alpha)
    return B * scale**0.5, A * scale**0.5


def _factors_lopsided(delta, rank, alpha):
    U, S, Vh = torch.linalg.svd(delta, full_matrices=False)
    return U[:, :rank] * S[:rank] * rank / alpha, Vh[:rank]


def _factors_sigma_in_both(delta, rank, alpha):
    U, S, Vh = torch.linalg.svd(delta, full_matrices=False)
    scale = (rank / alpha) ** 0.5
    return scale * U[:, :rank] * S[:rank], scale * S[:rank].unsqueeze(1) * Vh[:rank]


def _factors_without_sigma(delta, rank, alpha):
    U, _, Vh = torch.linalg.svd(delta, full_matrices=False)
    scale = (rank / alpha) ** 0.5
    return scale * U[:, :rank], scale * Vh[:rank]


FACTORS = (
    Mutant(
        "scale-forgotten",
        lambda delta, rank, alpha: _rescaled(delta, rank, alpha, alpha / rank),
        "B·A is ΔW itself, and the layer will multiply it by α/r again",
        "Divide σ by α/r before you take the root",
    ),
    Mutant(
        "scale-the-wrong-way",
        lambda delta, rank, alpha: _rescaled(delta, rank, alpha, (alpha / rank) ** 2),
        "the scale is multiplied in; it has to be taken out, for the layer applies it",
        "Use σ · r/α in place of σ · α/r",
    ),
    Mutant(
        "scale-taken-twice",
        lambda delta, rank, alpha: _rescaled(delta, rank, alpha, rank / alpha),
        "both factors were divided by α/r, so their product is too small by that factor",
        "Each factor takes the root of r/α",
    ),
    Mutant(
        "all-in-one",
        _factors_lopsided,
        "the product is right, but B has all of σ and A none: they should be equally large",
        "Give each factor the root of σ",
    ),
    Mutant(
        "sigma-in-both",
        _factors_sigma_in_both,
        "σ is in both factors, so their product has σ²",
        "Give each factor the root of σ",
    ),
    Mutant(
        "sigma-forgotten",
        _factors_without_sigma,
        "the singular values are missing from both factors",
        "Multiply the columns of B and the rows of A by the root of σ",
    ),
)
