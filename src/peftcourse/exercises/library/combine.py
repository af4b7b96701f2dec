"""Lesson 09, one adapter from several: the reference solution and typical wrong answers."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from peftcourse.exercises.core import Mutant, slip

Adapter = tuple[Tensor, Tensor, float]


def combine(adapters: list[Adapter], weights: list[float], how: str) -> tuple[Tensor, Tensor]:
    factors = [weight * scaling for weight, (_, _, scaling) in zip(weights, adapters, strict=True)]
    As, Bs = [A for A, _, _ in adapters], [B for _, B, _ in adapters]
    if how == "cat":
        A = torch.cat([f * A for f, A in zip(factors, As, strict=True)])
        return A, torch.cat(Bs, dim=1)
    if how == "linear":
        signed = [math.copysign(math.sqrt(abs(f)), f) for f in factors]
        roots = [math.sqrt(abs(f)) for f in factors]
        A = sum(s * A for s, A in zip(signed, As, strict=True))
        return A, sum(root * B for root, B in zip(roots, Bs, strict=True))
    delta = sum(f * B @ A for f, A, B in zip(factors, As, Bs, strict=True))
    U, S, Vh = torch.linalg.svd(delta, full_matrices=False)
    rank = max(len(A) for A in As)
    return Vh[:rank], U[:, :rank] * S[:rank]


def _other_way(how: str, instead: str):
    """The solution, which takes one way for another."""

    def answer(adapters, weights, asked):
        return combine(adapters, weights, instead if asked == how else asked)

    return answer


_FACTORS = "weight * scaling for"
_CAT_A = "torch.cat([f * A for f, A in zip(factors, As, strict=True)])"
_CAT_B = "torch.cat(Bs, dim=1)"
_SIGNED = "signed = [math.copysign(math.sqrt(abs(f)), f) for f in factors]"
_ROOTS = "roots = [math.sqrt(abs(f)) for f in factors]"
_SVD = "Vh[:rank], U[:, :rank] * S[:rank]"
_RANK = "max(len(A) for A in As)"

_BOTH = "Use weight * scaling of each adapter as its factor"
_ROOT = "Give A and B the square root of the factor each"
_SIGN = "Put the sign of the factor in front of the root in A, and only there"
_A_ONLY = "Scale the rows of A only, and leave B as it is"
_CUT = "Keep the first max(r) singular vectors"
_IN_B = "Multiply the columns of U by S, and leave Vh as it is"

COMBINE = (
    slip(
        combine,
        "scaling-forgotten",
        _FACTORS,
        "weight for",
        "the adapters' own scalings are left out; the new adapter has scaling 1",
        _BOTH,
    ),
    slip(
        combine,
        "sign-lost",
        _SIGNED,
        "signed = [math.sqrt(abs(f)) for f in factors]",
        "a negative weight adds what it should subtract: its sign is lost under the root",
        _SIGN,
    ),
    slip(
        combine,
        "weights-forgotten",
        _FACTORS,
        "scaling for",
        "the weights are left out: each adapter counts with its scaling only",
        _BOTH,
    ),
    slip(
        combine,
        "divided-by-the-scaling",
        _FACTORS,
        "weight / scaling for",
        "the weight is divided by the scaling; the factor is weight times scaling",
        _BOTH,
    ),
    slip(
        combine,
        "no-roots",
        _SIGNED,
        "signed = factors",
        "with linear, A and B both have the whole factor, so it acts squared in the product",
        _ROOT,
        (_ROOTS, "roots = [abs(f) for f in factors]"),
    ),
    slip(
        combine,
        "sign-on-both",
        _ROOTS,
        "roots = signed",
        "a negative weight has its sign in A and in B, where the two cancel",
        _SIGN,
    ),
    slip(
        combine,
        "sign-with-B",
        _SIGNED,
        "signed = [math.sqrt(abs(f)) for f in factors]",
        "with linear, the sign of a negative weight goes with B; it belongs to A",
        _SIGN,
        (_ROOTS, "roots = [math.copysign(math.sqrt(abs(f)), f) for f in factors]"),
    ),
    slip(
        combine,
        "linear-in-A-only",
        _SIGNED,
        "signed = factors",
        "with linear, the whole factor is in A only; a root of it belongs into A and one into B",
        _ROOT,
        (_ROOTS, "roots = [1.0 for f in factors]"),
    ),
    slip(
        combine,
        "linear-unweighted",
        _SIGNED,
        "signed = [1.0 for f in factors]",
        "with linear, no factor is used: neither weight nor scaling",
        _ROOT,
        (_ROOTS, "roots = [1.0 for f in factors]"),
    ),
    Mutant(
        "linear-is-exact",
        _other_way("linear", "svd"),
        "linear adds up products; PEFT adds up the A and the B, which also mixes one with another",
        "For linear, sum the A, and sum the B; there is no product inside",
    ),
    Mutant(
        "linear-is-cat",
        _other_way("linear", "cat"),
        "linear puts the A above one another and the B side by side, as cat does; it adds them up",
        "For linear, sum the A, and sum the B",
    ),
    slip(
        combine,
        "cat-weighs-twice",
        _CAT_B,
        "torch.cat([f * B for f, B in zip(factors, Bs, strict=True)], dim=1)",
        "with cat, A and B both have the factor, so it acts squared in the product",
        _A_ONLY,
    ),
    slip(
        combine,
        "cat-unweighted",
        _CAT_A,
        "torch.cat(As)",
        "with cat, the factor is missing: neither weight nor scaling is used",
        _A_ONLY,
    ),
    slip(
        combine,
        "cat-weighs-B",
        _CAT_A,
        "torch.cat(As)",
        "with cat, the factor goes with B; the text asks for it with A, though the product is the "
        "same",
        _A_ONLY,
        (_CAT_B, "torch.cat([f * B for f, B in zip(factors, Bs, strict=True)], dim=1)"),
    ),
    slip(
        combine,
        "cat-by-roots",
        _CAT_A,
        "torch.cat([math.copysign(abs(f) ** 0.5, f) * A for f, A in zip(factors, As)])",
        "with cat, A and B have a root of the factor each, as with linear; all of it goes with A",
        _A_ONLY,
        (_CAT_B, "torch.cat([abs(f) ** 0.5 * B for f, B in zip(factors, Bs)], dim=1)"),
    ),
    Mutant(
        "svd-is-cat",
        _other_way("svd", "cat"),
        "with svd, the new rank is the sum of the ranks, and no singular values are used",
        _CUT,
    ),
    slip(
        combine,
        "svd-not-cut",
        _SVD,
        "Vh, U * S",
        "with svd, all singular values are kept; the new rank is the largest of the ranks",
        _CUT,
    ),
    slip(
        combine,
        "svd-sum-of-ranks",
        _RANK,
        "sum(len(A) for A in As)",
        "with svd, the new rank is the sum of the ranks; it should be the largest of them",
        _CUT,
    ),
    slip(
        combine,
        "svd-first-rank",
        _RANK,
        "len(As[0])",
        "with svd, the new rank is that of the first adapter; it should be the largest of all",
        _CUT,
    ),
    slip(
        combine,
        "svd-smallest-rank",
        _RANK,
        "min(len(A) for A in As)",
        "with svd, the new rank is the smallest of the ranks; it should be the largest of them",
        _CUT,
    ),
    slip(
        combine,
        "singular-values-lost",
        _SVD,
        "Vh[:rank], U[:, :rank]",
        "with svd, the singular values are missing: all directions come out equally strong",
        _IN_B,
    ),
    slip(
        combine,
        "singular-values-twice",
        _SVD,
        "S[:rank, None] * Vh[:rank], U[:, :rank] * S[:rank]",
        "with svd, the singular values are in A and in B, so they act squared",
        _IN_B,
    ),
    slip(
        combine,
        "singular-values-in-A",
        _SVD,
        "S[:rank, None] * Vh[:rank], U[:, :rank]",
        "with svd, the singular values are in A; they are to be put into B",
        _IN_B,
    ),
    slip(
        combine,
        "singular-values-by-roots",
        _SVD,
        "S[:rank, None].sqrt() * Vh[:rank], U[:, :rank] * S[:rank].sqrt()",
        "with svd, A and B have a root of the singular values each; all of them are put into B",
        _IN_B,
    ),
    slip(
        combine,
        "svd-keeps-the-smallest",
        _SVD,
        "Vh[-rank:], U[:, -rank:] * S[-rank:]",
        "with svd, the last singular values are kept, which are the smallest",
        _CUT,
    ),
    slip(
        combine,
        "full-Vh-transposed",
        _SVD,
        "Vh.T[:rank], U[:, :rank] * S[:rank]",
        "Vh, of full size, is transposed although torch.linalg.svd returns V transposed already",
        "Take the first rows of Vh",
        ("linalg.svd(delta, full_matrices=False)", "linalg.svd(delta)"),
    ),
    Mutant(
        "B-first",
        lambda adapters, weights, how: combine(adapters, weights, how)[::-1],
        "B is returned first: A and B are swapped",
        "Return A first, then B",
    ),
    Mutant(
        "cat-along-the-other-axes",
        lambda adapters, weights, how: (
            combine(adapters, weights, how) if how != "cat" else _cat_other_axes(adapters, weights)
        ),
        "with cat, A is stacked along its columns and B along its rows: the axes are exchanged",
        "Put the A above one another (dim 0) and the B side by side (dim 1)",
    ),
    slip(
        combine,
        "Vh-transposed",
        _SVD,
        "Vh.T[:rank], U[:, :rank] * S[:rank]",
        "Vh is transposed although torch.linalg.svd returns V transposed already",
        "Take the first rows of Vh",
    ),
)


def _cat_other_axes(adapters, weights):
    factors = [weight * scaling for weight, (_, _, scaling) in zip(weights, adapters, strict=True)]
    A = torch.cat([f * A for f, (A, _, _) in zip(factors, adapters, strict=True)], dim=1)
    return A, torch.cat([B for _, B, _ in adapters], dim=0)
