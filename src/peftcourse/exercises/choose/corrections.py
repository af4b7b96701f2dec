"""Lesson 10, many comparisons at once: the reference solution and typical wrong answers."""

from __future__ import annotations

import torch
from torch import Tensor

from peftcourse.exercises.core import Mutant, slip


def holm(p: Tensor) -> Tensor:
    order = p.argsort()
    factors = torch.arange(len(p), 0, -1)
    products = p[order] * factors
    adjusted = products.cummax(0).values
    adjusted = adjusted.clamp(max=1)
    return torch.empty_like(p).scatter(0, order, adjusted)


def _holm_false_discovery(p):
    order = p.argsort(descending=True)
    factors = len(p) / torch.arange(len(p), 0, -1, dtype=p.dtype)
    adjusted = (p[order] * factors).cummin(0).values.clamp(max=1)
    return torch.empty_like(p).scatter(0, order, adjusted)


def _holm_maximum_in_given_order(p):
    rank = p.argsort().argsort()
    return (p * (len(p) - rank)).cummax(0).values.clamp(max=1)


_FACTORS = "Multiply the smallest by m, the next by m − 1, and so on, the largest by 1"
_MAXIMUM = "Take the running maximum over the sorted values: cummax"
_BACK = "Put each value back where its p-value was: result[order] = adjusted"

HOLM = (
    Mutant(
        "bonferroni",
        lambda p: (len(p) * p).clamp(max=1),
        "every value is multiplied by m: that is Bonferroni, which rejects less than it may",
        _FACTORS,
    ),
    slip(
        holm,
        "not-monotone",
        "products.cummax(0).values",
        "products",
        "a larger p-value can end below a smaller one: there is no running maximum",
        _MAXIMUM,
    ),
    slip(
        holm,
        "not-capped",
        "adjusted.clamp(max=1)",
        "adjusted",
        "some are above 1, which no probability can be",
        "Add clamp(max=1)",
    ),
    slip(
        holm,
        "left-sorted",
        "torch.empty_like(p).scatter(0, order, adjusted)",
        "adjusted",
        "the result is sorted, so values stand beside comparisons that they do not belong to",
        _BACK,
    ),
    slip(
        holm,
        "permuted-twice",
        "torch.empty_like(p).scatter(0, order, adjusted)",
        "adjusted[order]",
        "the sorted values are permuted once more, not put back in the places they came from",
        _BACK,
    ),
    slip(
        holm,
        "factors-upside-down",
        "torch.arange(len(p), 0, -1)",
        "torch.arange(1, len(p) + 1)",
        "the smallest is multiplied by 1 and the largest by m: the factors are the wrong way round",
        _FACTORS,
    ),
    slip(
        holm,
        "largest-first",
        "p.argsort()",
        "p.argsort(descending=True)",
        "the p-values are sorted the wrong way: the largest comes first, and is multiplied by m",
        _FACTORS,
    ),
    slip(
        holm,
        "factors-from-m-1",
        "torch.arange(len(p), 0, -1)",
        "torch.arange(len(p) - 1, -1, -1)",
        "off by one: the smallest is multiplied by m − 1, and the largest by 0",
        _FACTORS,
    ),
    slip(
        holm,
        "factors-from-m+1",
        "torch.arange(len(p), 0, -1)",
        "torch.arange(len(p) + 1, 1, -1)",
        "off by one: the smallest is multiplied by m + 1, and the largest by 2",
        _FACTORS,
    ),
    slip(
        holm,
        "only-the-one-before",
        "products.cummax(0).values",
        "torch.maximum(products, torch.cat([products[:1], products[:-1]]))",
        "each value is compared only with the product just before it, which is not the largest of "
        "all before",
        _MAXIMUM,
    ),
    slip(
        holm,
        "running-minimum",
        "products.cummax(0).values",
        "products.cummin(0).values",
        "a running minimum where the running maximum belongs: no value may be below the one before",
        _MAXIMUM,
    ),
    slip(
        holm,
        "hochberg",
        "products.cummax(0).values",
        "products.flip(0).cummin(0).values.flip(0)",
        "the running minimum from the largest down is Hochberg's procedure, not Holm's maximum",
        _MAXIMUM,
    ),
    slip(
        holm,
        "clamped-from-below",
        "clamp(max=1)",
        "clamp(1)",
        "clamp(1) raises every value to at least 1; none may be above 1",
        "Write clamp(max=1)",
    ),
    slip(
        holm,
        "summed-up",
        "products.cummax(0).values",
        "products.cumsum(0)",
        "a running sum where the running maximum belongs",
        _MAXIMUM,
    ),
    slip(
        holm,
        "divided",
        "p[order] * factors",
        "p[order] / factors",
        "the p-values are divided by m, m − 1, …; they have to be multiplied",
        _FACTORS,
    ),
    slip(
        holm,
        "largest-of-all",
        "products.cummax(0).values",
        "products.max().expand(len(p))",
        "every value is the largest product of all, not the largest of those before it",
        _MAXIMUM,
    ),
    Mutant(
        "bonferroni-not-capped",
        lambda p: len(p) * p,
        "every value is multiplied by m, as Bonferroni does, and values above 1 are left",
        f"{_FACTORS}, and add clamp(max=1)",
    ),
    slip(
        holm,
        "sidak",
        "p[order] * factors",
        "1 - (1 - p[order]) ** factors",
        "1 − (1 − p)ᵏ is Šidák's correction, which has powers; Holm multiplies",
        _FACTORS,
    ),
    Mutant(
        "maximum-in-given-order",
        _holm_maximum_in_given_order,
        "the running maximum goes along the order in which the p-values came, not the sorted one",
        _MAXIMUM,
    ),
    Mutant(
        "not-sorted",
        lambda p: (p * torch.arange(len(p), 0, -1)).cummax(0).values.clamp(max=1),
        "the p-values are not sorted before they get their factors",
        _FACTORS,
    ),
    Mutant(
        "not-sorted-not-monotone",
        lambda p: (p * torch.arange(len(p), 0, -1)).clamp(max=1),
        "the p-values are not sorted before they get their factors, and there is no running "
        "maximum",
        f"{_FACTORS}. {_MAXIMUM}",
    ),
    Mutant(
        "false-discovery",
        _holm_false_discovery,
        "this is Benjamini and Hochberg's method, which bounds a share of false findings, not the "
        "chance of any",
        "Multiply the k-th smallest by m − k + 1 and take the running maximum",
    ),
)
