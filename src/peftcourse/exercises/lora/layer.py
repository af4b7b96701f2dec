"""Lesson 03, the layer: reference solutions and typical wrong answers.

A wrong answer is the solution with one idea changed. It runs and returns the right shapes, as the
mistakes that cost people an evening do.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from peftcourse.exercises.core import Mutant

# --- lora.delta -----------------------------------------------------------------------------------


def lora_delta(A: Tensor, B: Tensor, alpha: float) -> Tensor:
    rank = A.shape[0]
    return alpha / rank * (B @ A)


DELTA = (
    Mutant(
        "alpha-not-divided",
        lambda A, B, alpha: alpha * (B @ A),
        "exactly {ratio:.2f}× too large and r = {rank}: α instead of α/r?",
        "Divide α by the rank, which is the number of rows of A",
    ),
    Mutant(
        "no-scaling",
        lambda A, B, alpha: B @ A,
        "B·A alone: the factor α/r is missing",
        "Multiply by α/r",
    ),
    Mutant(
        "scaling-inverted",
        lambda A, B, alpha: A.shape[0] / alpha * (B @ A),
        "r/α instead of α/r",
        "Turn the fraction over: a larger α makes a larger update",
    ),
    Mutant(
        "square-root-of-rank",
        lambda A, B, alpha: alpha / math.sqrt(A.shape[0]) * (B @ A),
        "α/√r, which is rank-stabilised LoRA; LoRA itself divides by r",
        "Divide by r, not by its root",
    ),
    Mutant(
        "rank-from-wrong-axis",
        lambda A, B, alpha: alpha / A.shape[1] * (B @ A),
        "α/d_in instead of α/r: the rank was read off the wrong axis of A",
        "A has shape (r, d_in): take A.shape[0]",
    ),
)

# --- lora.init ------------------------------------------------------------------------------------


def lora_init(
    d_in: int, d_out: int, rank: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    A = torch.empty(rank, d_in)
    nn.init.kaiming_uniform_(A, a=math.sqrt(5), generator=generator)
    return A, torch.zeros(d_out, rank)


def _init_swapped(d_in, d_out, rank, generator):
    B = torch.empty(d_out, rank)
    nn.init.kaiming_uniform_(B, a=math.sqrt(5), generator=generator)
    return torch.zeros(rank, d_in), B


def _init_both_random(d_in, d_out, rank, generator):
    A, _ = lora_init(d_in, d_out, rank, generator)
    B, _ = lora_init(rank, d_out, d_out, generator)
    return A, B


def _init_default_gain(d_in, d_out, rank, generator):
    A = torch.empty(rank, d_in)
    nn.init.kaiming_uniform_(A, generator=generator)
    return A, torch.zeros(d_out, rank)


def _init_wrong_fan(d_in, d_out, rank, generator):
    A = torch.empty(d_in, rank)
    nn.init.kaiming_uniform_(A, a=math.sqrt(5), generator=generator)
    return A.T.contiguous(), torch.zeros(d_out, rank)


def _init_normal(d_in, d_out, rank, generator):
    A = torch.empty(rank, d_in)
    nn.init.normal_(A, std=1 / math.sqrt(3 * d_in), generator=generator)
    return A, torch.zeros(d_out, rank)


def _init_global(d_in, d_out, rank, generator):
    A = torch.empty(rank, d_in)
    nn.init.kaiming_uniform_(A, a=math.sqrt(5))
    return A, torch.zeros(d_out, rank)


INIT = (
    Mutant(
        "both-zero",
        lambda d_in, d_out, rank, generator: (torch.zeros(rank, d_in), torch.zeros(d_out, rank)),
        "A and B are both zero: each one's gradient is a product with the other, so neither moves",
        "Draw A at random, and leave B at zero",
    ),
    Mutant(
        "zero-and-random-swapped",
        _init_swapped,
        "A is zero and B is random: it would train, but LoRA starts the other way round",
        "Make B zero and A random",
    ),
    Mutant(
        "both-random",
        _init_both_random,
        "B is not zero: the fresh adapter already changes what the model says",
        "Make B zero",
    ),
    Mutant(
        "default-gain",
        _init_default_gain,
        "the values of A are √6 times too wide: `a` was left at 0",
        "Pass a=math.sqrt(5); the bound is then 1/√d_in",
    ),
    Mutant(
        "wrong-fan",
        _init_wrong_fan,
        "A's width follows r instead of d_in: it was drawn with its axes swapped",
        "Draw A as (r, d_in); Kaiming takes the second axis as the number of inputs",
    ),
    Mutant(
        "normal",
        _init_normal,
        "A has the right standard deviation but is normal: values beyond ±1/√d_in",
        "Use the uniform variant, kaiming_uniform_",
    ),
    Mutant(
        "generator-ignored",
        _init_global,
        "the same generator seed gave two different A: `generator` is not used",
        "Pass generator=generator on to the function that draws",
    ),
)

# --- lora.forward ---------------------------------------------------------------------------------


class LoRALinear(nn.Module):
    def __init__(self, base: nn.Linear, rank: int, alpha: float, dropout: float = 0.0) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        weight = base.weight
        self.A = nn.Parameter(torch.empty(rank, base.in_features, dtype=weight.dtype))
        self.B = nn.Parameter(torch.zeros(base.out_features, rank, dtype=weight.dtype))
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))
        self.scaling = alpha / rank
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + self.scaling * (self.dropout(x) @ self.A.T @ self.B.T)


class _ForwardUnfrozen(LoRALinear):
    def __init__(self, base, rank, alpha, dropout=0.0):
        super().__init__(base, rank, alpha, dropout)
        base.requires_grad_(True)


class _ForwardNoParameters(LoRALinear):
    def __init__(self, base, rank, alpha, dropout=0.0):
        super().__init__(base, rank, alpha, dropout)
        A, B = self.A.detach(), self.B.detach()
        del self.A, self.B
        self.A, self.B = A, B


class _ForwardAlphaOnly(LoRALinear):
    def __init__(self, base, rank, alpha, dropout=0.0):
        super().__init__(base, rank, alpha, dropout)
        self.scaling = alpha


class _ForwardRandomB(LoRALinear):
    def __init__(self, base, rank, alpha, dropout=0.0):
        super().__init__(base, rank, alpha, dropout)
        nn.init.kaiming_uniform_(self.B, a=math.sqrt(5))


class _ForwardScaledBase(LoRALinear):
    def forward(self, x):
        return self.scaling * (self.base(x) + self.dropout(x) @ self.A.T @ self.B.T)


class _ForwardNoBias(LoRALinear):
    def forward(self, x):
        update = self.dropout(x) @ self.A.T @ self.B.T
        return F.linear(x, self.base.weight) + self.scaling * update


class _ForwardDropoutEverywhere(LoRALinear):
    def forward(self, x):
        x = self.dropout(x)
        return self.base(x) + self.scaling * (x @ self.A.T @ self.B.T)


class _ForwardDropoutInside(LoRALinear):
    def forward(self, x):
        return self.base(x) + self.scaling * (self.dropout(x @ self.A.T) @ self.B.T)


class _ForwardDropoutAlways(LoRALinear):
    def forward(self, x):
        dropped = F.dropout(x, self.dropout.p)
        return self.base(x) + self.scaling * (dropped @ self.A.T @ self.B.T)


class _ForwardBranchOnly(LoRALinear):
    def forward(self, x):
        return self.scaling * (self.dropout(x) @ self.A.T @ self.B.T)


FORWARD = (
    Mutant(
        "base-not-frozen",
        _ForwardUnfrozen,
        "the base layer still trains: this is full fine-tuning with an adapter on top",
        "Call base.requires_grad_(False) in __init__",
    ),
    Mutant(
        "not-parameters",
        _ForwardNoParameters,
        "A and B are plain tensors: no optimizer would ever see them",
        "Wrap both in nn.Parameter",
    ),
    Mutant(
        "alpha-not-divided",
        _ForwardAlphaOnly,
        "the branch is {rank} times too strong and r = {rank}: α instead of α/r",
        "Scale the branch by alpha / rank",
    ),
    Mutant(
        "b-random",
        _ForwardRandomB,
        "a fresh layer does not yet compute what its base does: B does not start at zero",
        "Create B with torch.zeros",
    ),
    Mutant(
        "base-scaled-too",
        _ForwardScaledBase,
        "the scaling reaches the base output as well: the bracket is one term too wide",
        "Scale the branch alone: base(x) + scaling * (…)",
    ),
    Mutant(
        "bias-lost",
        _ForwardNoBias,
        "the base's bias is lost: its weight was used without its bias",
        "Call the layer itself, self.base(x)",
    ),
    Mutant(
        "dropout-on-base",
        _ForwardDropoutEverywhere,
        "dropout hits the base too: x was replaced by its dropped-out copy for both terms",
        "Give the dropped-out input to the branch only",
    ),
    Mutant(
        "dropout-after-a",
        _ForwardDropoutInside,
        "dropout after A: it drops whole directions of the update instead of inputs",
        "Apply dropout to x, before A",
    ),
    Mutant(
        "dropout-in-eval",
        _ForwardDropoutAlways,
        "dropout goes on in eval mode: F.dropout trains unless told otherwise",
        "Use nn.Dropout, or pass training=self.training",
    ),
    Mutant(
        "base-forgotten",
        _ForwardBranchOnly,
        "only the branch is returned: the frozen layer's own output is missing",
        "Add self.base(x)",
    ),
)
