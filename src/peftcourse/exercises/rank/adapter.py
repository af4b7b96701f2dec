"""Lesson 02, an update as LoRA's factors, rightly and wrongly."""

from __future__ import annotations

import torch
from torch import Tensor

from peftcourse.exercises.compare import agree
from peftcourse.exercises.core import Mutant, Symptom, slip
from peftcourse.exercises.observe import Case, Outcome
from peftcourse.exercises.rank.approximate import rank_of


def factors(delta: Tensor, rank: int, alpha: float) -> tuple[Tensor, Tensor]:
    U, S, Vh = torch.linalg.svd(delta, full_matrices=False)
    root = (S[:rank] * rank / alpha).sqrt()
    B = U[:, :rank] * root
    A = root.unsqueeze(1) * Vh[:rank]
    return B, A


def _balanced_as_a_whole(delta, rank, alpha):
    B, A = factors(delta, rank, alpha)
    sizes = A.norm(dim=1)
    B, A = B / sizes, sizes.unsqueeze(1) * A
    ratio = (A.norm() / B.norm()).sqrt()
    return B * ratio, A / ratio


_ROOT = "(S[:rank] * rank / alpha).sqrt()"
_B, _A = "U[:, :rank] * root", "root.unsqueeze(1) * Vh[:rank]"
_HALF_EACH = "Give each factor the root of σ · r/α: its columns and rows are then equally long"

FACTORS = (
    slip(
        factors,
        "scale-forgotten",
        " * rank / alpha",
        "",
        "B·A is ΔW itself, and the layer will multiply it by α/r again",
        "Divide σ by α/r before you take the root",
    ),
    slip(
        factors,
        "scale-the-wrong-way",
        "rank / alpha",
        "alpha / rank",
        "the scale is multiplied in; it has to be taken out, for the layer applies it",
        "Use σ · r/α in place of σ · α/r",
    ),
    slip(
        factors,
        "scale-taken-twice",
        _ROOT,
        "S[:rank].sqrt() * rank / alpha",
        "α/r is divided out of both factors, so that it counts twice: each may take its root alone",
        "Each factor takes the root of r/α",
    ),
    slip(
        factors,
        "all-in-one",
        _B,
        "U[:, :rank] * root.square()",
        "the product is right, but B has all of σ and A none: they should be equally large",
        _HALF_EACH,
        (_A, "Vh[:rank]"),
    ),
    slip(
        factors,
        "all-in-a",
        _A,
        "root.square().unsqueeze(1) * Vh[:rank]",
        "the product is right, but A has all of σ and B none: they should be equally large",
        _HALF_EACH,
        (_B, "U[:, :rank]"),
    ),
    slip(
        factors,
        "scale-in-b",
        _B,
        "U[:, :rank] * root * (rank / alpha) ** 0.5",
        "the product is right, but B takes all of r/α: its columns are not as long as A's rows",
        _HALF_EACH,
        (_A, "root.unsqueeze(1) * Vh[:rank] / (rank / alpha) ** 0.5"),
    ),
    slip(
        factors,
        "scale-in-a",
        _B,
        "U[:, :rank] * root / (rank / alpha) ** 0.5",
        "the product is right, but A takes all of r/α: its rows are not as long as B's columns",
        _HALF_EACH,
        (_A, "root.unsqueeze(1) * Vh[:rank] * (rank / alpha) ** 0.5"),
    ),
    slip(
        factors,
        "sigma-in-both",
        _ROOT,
        "S[:rank] * (rank / alpha) ** 0.5",
        "σ is in both factors, so their product has σ²",
        "Give each factor the root of σ",
    ),
    slip(
        factors,
        "root-forgotten",
        ".sqrt()",
        "",
        "the root is missing: both factors take all of σ · r/α, so the product has its square",
        "Give each factor the root of σ · r/α",
    ),
    slip(
        factors,
        "sigma-forgotten",
        "S[:rank] * rank",
        "torch.ones_like(S[:rank]) * rank",
        "the singular values are missing from both factors",
        "Multiply the columns of B and the rows of A by the root of σ",
    ),
    slip(
        factors,
        "swapped",
        "return B, A",
        "return A, B",
        "the two factors are swapped: B comes first",
        "Return B, (d_out, rank), and then A, (rank, d_in)",
    ),
    slip(
        factors,
        "a-transposed",
        "return B, A",
        "return B, A.T",
        "A is transposed: its shape has to be (rank, d_in)",
        "Take the rows of Vh as they are, and multiply each by its root",
    ),
    slip(
        factors,
        "b-transposed",
        "return B, A",
        "return B.T, A",
        "B is transposed: its shape has to be (d_out, rank)",
        "Take the columns of U as they are, and multiply each by its root",
    ),
    slip(
        factors,
        "not-cut",
        "S[:rank]",
        "S",
        "all terms are kept: the factors have to be cut after the first {rank}",
        "Slice U[:, :rank], S[:rank] and Vh[:rank]",
        ("U[:, :rank]", "U"),
        ("Vh[:rank]", "Vh"),
    ),
    slip(
        factors,
        "smallest-terms",
        "S[:rank]",
        "S[-rank:]",
        "the last terms are used, which have the smallest singular values",
        "torch sorts σ from large to small: keep [:rank]",
        ("U[:, :rank]", "U[:, -rank:]"),
        ("Vh[:rank]", "Vh[-rank:]"),
    ),
    slip(
        factors,
        "columns-of-vh",
        "Vh[:rank]",
        "Vh[:, :rank].T",
        "columns of Vh are used: the right singular vectors are its rows, for svd returns Vᵀ "
        "already",
        "Take Vh[:rank]",
    ),
    slip(
        factors,
        "whole-division",
        "* rank / alpha",
        "/ (alpha // rank)",
        "// drops the fraction of α/r",
        "Divide with /",
    ),
    slip(
        factors,
        "root-of-the-rank",
        "rank / alpha",
        "rank**0.5 / alpha",
        "the scale is taken as α over the root of r, as in rank-stabilised LoRA; here it is α/r",
        "Use σ · r/α",
    ),
    slip(
        factors,
        "alpha-alone",
        " * rank / alpha",
        " / alpha",
        "σ is divided by α alone: the layer's factor is α/r",
        "Use σ · r/α",
    ),
    Mutant(
        "balanced-as-a-whole",
        _balanced_as_a_whole,
        "A and B are equally large as a whole, but column i of B is not as long as row i of A",
        _HALF_EACH,
    ),
)

NORMS = "norms of B's columns over those of A's rows"


def _good_product(case: Case, expected: Outcome, observed: Outcome) -> bool:
    return agree(expected["B @ A"], observed.get("B @ A"))


def _poor_product(case: Case, expected: Outcome, observed: Outcome) -> bool:
    product = observed.get("B @ A")
    return (
        isinstance(product, Tensor)
        and product.shape == expected["B @ A"].shape
        and bool(product.isfinite().all())
        and rank_of(product) == case["rank"]
    )


SYMPTOMS = (
    Symptom(
        NORMS,
        "the product is right, but column i of B is not as long as row i of A",
        _HALF_EACH,
        when=_good_product,
    ),
    Symptom(
        "B @ A",
        "B·A has the right rank, but α/r times it is not the best approximation of ΔW: that comes "
        "from the first terms of the SVD",
        "Take U, σ and Vh of torch.linalg.svd(delta), and check that α/r · B·A adds up to their "
        "first terms",
        when=_poor_product,
    ),
)
