"""Lesson 03, the layer: reference solutions and typical wrong answers.

A wrong answer is the solution with one idea changed. It runs and returns the right shapes, as the
mistakes that cost people an evening do.
"""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor, nn

from peftcourse.exercises.core import slip

# --- lora.delta -----------------------------------------------------------------------------------


def lora_delta(A: Tensor, B: Tensor, alpha: float) -> Tensor:
    rank = A.shape[0]
    return alpha / rank * (B @ A)


_DELTA = partial(slip, lora_delta)

DELTA = (
    _DELTA(
        "alpha-not-divided",
        "alpha / rank",
        "alpha",
        "exactly {ratio:.2f}× too large and r = {rank}: α instead of α/r?",
        "Divide α by the rank, which is the number of rows of A",
    ),
    _DELTA(
        "no-scaling",
        "alpha / rank * (B @ A)",
        "B @ A",
        "B·A alone: the factor α/r is missing",
        "Multiply by α/r",
    ),
    _DELTA(
        "scaling-inverted",
        "alpha / rank",
        "rank / alpha",
        "r/α instead of α/r",
        "Turn the fraction over: a larger α makes a larger update",
    ),
    _DELTA(
        "square-root-of-rank",
        "alpha / rank",
        "alpha / math.sqrt(rank)",
        "α/√r, which is rank-stabilised LoRA; LoRA itself divides by r",
        "Divide by r, not by its root",
    ),
    _DELTA(
        "rank-from-wrong-axis",
        "A.shape[0]",
        "A.shape[1]",
        "α/d_in instead of α/r: the rank was read off the wrong axis of A",
        "A has shape (r, d_in): take A.shape[0]",
    ),
    _DELTA(
        "rank-from-b",
        "A.shape[0]",
        "B.shape[0]",
        "α/d_out instead of α/r: the rank was read off the wrong axis of B",
        "B has shape (d_out, r): take A.shape[0] or B.shape[1]",
    ),
    _DELTA(
        "rank-is-the-smallest-size",
        "A.shape[0]",
        "min(A.shape)",
        "r is taken for the smaller size of A: it is the number of rows of A, which may be larger "
        "than d_in",
        "Read r off the shape, A.shape[0]",
    ),
    _DELTA(
        "rank-of-the-numbers",
        "A.shape[0]",
        "int(torch.linalg.matrix_rank(A))",
        "r is taken for the rank that the numbers in A happen to have (matrix_rank): it is the "
        "number of rows of A",
        "Read r off the shape, A.shape[0]",
    ),
    *(
        _DELTA(
            f"rank-is-{number}",
            "A.shape[0]",
            str(number),
            f"the rank {number} is written in: r has to be read off A, as other adapters have "
            "another rank",
            "Read r off the shape, A.shape[0]",
        )
        for number in (4, 8, 16)
    ),
    _DELTA(
        "scale-added",
        "alpha / rank *",
        "alpha / rank +",
        "α/r is added to the product: it should multiply it",
        "Multiply B @ A by alpha / rank",
    ),
    _DELTA(
        "alpha-cut",
        "alpha / rank",
        "int(alpha) / rank",
        "α is cut to a whole number: it may be a fraction",
        "Use alpha as it is",
    ),
    _DELTA(
        "first-product-missing",
        "(B @ A)",
        "(B[:, 1:] @ A[1:])",
        "the first of the r products is left out: a loop that starts at 1?",
        "Add up over all r rows of A and columns of B, from index 0 on",
    ),
    _DELTA(
        "last-product-missing",
        "(B @ A)",
        "(B[:, :-1] @ A[:-1])",
        "the last of the r products is left out: a loop that ends too early?",
        "Add up over all r rows of A and columns of B",
    ),
    _DELTA(
        "last-product-only",
        "(B @ A)",
        "(B[:, -1:] @ A[-1:])",
        "only the last of the r products is left: `=` where `+=` should add them up",
        "Add up over all r rows of A and columns of B",
    ),
    _DELTA(
        "first-product-only",
        "(B @ A)",
        "(B[:, :1] @ A[:1])",
        "only the first of the r products is there: a return inside the loop?",
        "Add up over all r rows of A and columns of B",
    ),
    _DELTA(
        "whole-division",
        "alpha / rank",
        "alpha // rank",
        "α // r is rounded down to a whole number: an integer division",
        "Divide with one slash, alpha / rank",
    ),
    _DELTA(
        "multiplied-by-rank",
        "alpha / rank",
        "alpha * rank",
        "α·r instead of α/r: multiplied by the rank, not divided",
        "Divide α by the rank",
    ),
    _DELTA(
        "rank-squared",
        "alpha / rank",
        "alpha / rank**2",
        "divided by r twice",
        "Divide α by the rank once",
    ),
)

# --- lora.init ------------------------------------------------------------------------------------


def lora_init(
    d_in: int, d_out: int, rank: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    A = torch.empty(rank, d_in)
    nn.init.kaiming_uniform_(A, a=math.sqrt(5), generator=generator)
    return A, torch.zeros(d_out, rank)


_DRAW = "nn.init.kaiming_uniform_(A, a=math.sqrt(5), generator=generator)"
_INIT = partial(slip, lora_init)


def _bound(id: str, bound: str, diagnosis: str, action: str):
    return _INIT(
        id, _DRAW, f"A.uniform_(-{bound}, {bound}, generator=generator)", diagnosis, action
    )


def _normal(id: str, std: str, diagnosis: str):
    action = "Use the uniform variant, kaiming_uniform_ with a=√5: values within ±1/√d_in"
    return _INIT(id, _DRAW, f"A.normal_(0, {std}, generator=generator)", diagnosis, action)


INIT = (
    _INIT(
        "both-zero",
        _DRAW,
        "A.zero_()",
        "A and B are both zero: each one's gradient is a product with the other, so neither moves",
        "Draw A at random, and leave B at zero",
    ),
    _INIT(
        "zero-and-random-swapped",
        "return A, torch.zeros(d_out, rank)",
        "return torch.zeros(rank, d_in), A.new_ones(d_out, rank)",
        "A is zero and B is random: it would train, but LoRA starts the other way round",
        "Make B zero and A random",
    ),
    _INIT(
        "both-random",
        "torch.zeros(d_out, rank)",
        "torch.rand(d_out, rank, generator=generator)",
        "B is not zero: the fresh adapter already changes what the model says",
        "Make B zero",
    ),
    _INIT(
        "generator-ignored",
        ", generator=generator)",
        ")",
        "the same generator seed gave two different A: `generator` is not used",
        "Pass generator=generator on to the function that draws",
    ),
    _INIT(
        "reseeded",
        "A = torch.empty",
        "generator.manual_seed(0)\n    A = torch.empty",
        "A is the same whatever the generator: a seed is set inside (manual_seed), so every "
        "adapter starts from the same A",
        "Draw from the generator as it comes, without manual_seed",
    ),
    _bound(
        "default-gain",
        "math.sqrt(6 / d_in)",
        "the values of A are √6 times too wide: `a` was left at 0",
        "Pass a=math.sqrt(5); the bound is then 1/√d_in",
    ),
    _bound(
        "a-five",
        "math.sqrt(6 / 26 / d_in)",
        "the bound of A is that of a = 5, not of a = √5",
        "Pass a=math.sqrt(5); the bound is then 1/√d_in",
    ),
    _bound(
        "a-one",
        "math.sqrt(3 / d_in)",
        "the values of A are √3 times too wide: 1/√d_in is the bound of A, not its standard "
        "deviation",
        "The bound is 1/√d_in: kaiming_uniform_ with a=math.sqrt(5)",
    ),
    _bound(
        "half-as-wide",
        "0.5 / math.sqrt(d_in)",
        "A is half as wide as it should be: from -1/(2·√d_in) to 1/(2·√d_in)",
        "Draw from -1/√d_in to 1/√d_in: (2 * torch.rand(…) - 1) / √d_in",
    ),
    _bound(
        "twice-as-wide",
        "2 / math.sqrt(d_in)",
        "A is twice as wide as it should be: from -2/√d_in to 2/√d_in",
        "Draw from -1/√d_in to 1/√d_in: (2 * torch.rand(…) - 1) / √d_in",
    ),
    _bound(
        "xavier",
        "math.sqrt(6 / (d_in + rank))",
        "this is Xavier's bound, √(6/(d_in + r)): Kaiming-uniform with a = √5 has 1/√d_in",
        "Use kaiming_uniform_ with a=math.sqrt(5)",
    ),
    _bound(
        "no-root",
        "1 / d_in",
        "the bound of A is 1/d_in: the square root is missing, it should be 1/√d_in",
        "Take the square root of d_in",
    ),
    _bound(
        "wrong-fan",
        "1 / math.sqrt(rank)",
        "A's width follows r instead of d_in: it was drawn with its axes swapped, or with r for "
        "the number of inputs",
        "Draw A as (r, d_in); Kaiming takes the second axis as the number of inputs",
    ),
    _bound(
        "fan-is-d-out",
        "1 / math.sqrt(d_out)",
        "A's width follows d_out instead of d_in, the number of its inputs",
        "The bound is 1/√d_in",
    ),
    _bound(
        "not-scaled",
        "1",
        "A is drawn from -1 to 1, without the factor 1/√d_in",
        "Divide by √d_in, or use kaiming_uniform_ with a=math.sqrt(5)",
    ),
    _INIT(
        "rows-repeated",
        "    return A,",
        "    A = A[:1].repeat(rank, 1)\n    return A,",
        "rows of A are the same, so that its rank is 1: each number is to be drawn by itself",
        "Draw all r·d_in numbers",
    ),
    _INIT(
        "positive-only",
        _DRAW,
        "A.uniform_(0, 1 / math.sqrt(d_in), generator=generator)",
        "A is never negative: drawn from 0 to 1/√d_in, where both signs are asked for",
        "Draw from -1/√d_in to 1/√d_in: (2 * torch.rand(…) - 1) / √d_in",
    ),
    _INIT(
        "positive-unscaled",
        _DRAW,
        "A.uniform_(0, 1, generator=generator)",
        "A is never negative, and drawn from 0 to 1: the bounds should be ±1/√d_in",
        "Draw from -1/√d_in to 1/√d_in: (2 * torch.rand(…) - 1) / √d_in",
    ),
    _normal(
        "normal",
        "1 / math.sqrt(3 * d_in)",
        "A has the right standard deviation but is normal: values beyond ±1/√d_in",
    ),
    _normal(
        "normal-too-wide",
        "1 / math.sqrt(d_in)",
        "A is normal, not uniform; and its standard deviation is 1/√d_in, which is the bound asked "
        "for",
    ),
    _normal(
        "kaiming-normal",
        "math.sqrt(2 / d_in)",
        "A is normal, not uniform; and `a` was left at 0, so that it is √6 times too wide",
    ),
    _normal(
        "standard-normal",
        "1",
        "A is normal, not uniform; and of standard deviation 1, without any scale",
    ),
    _normal(
        "normal-by-rank",
        "1 / rank",
        "A is normal, not uniform; and its standard deviation 1/r follows the rank, not d_in",
    ),
    _normal(
        "normal-by-root-of-rank",
        "1 / math.sqrt(rank)",
        "A is normal, not uniform; and its standard deviation 1/√r follows the rank, not d_in",
    ),
    _normal(
        "normal-hundredth",
        "0.01",
        "A is normal, not uniform; and its standard deviation is 0.01 whatever d_in is",
    ),
    _normal(
        "normal-fiftieth",
        "0.02",
        "A is normal, not uniform; and its standard deviation is 0.02 whatever d_in is",
    ),
)
