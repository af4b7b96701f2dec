"""Lesson 05, the layer: reference solutions and typical wrong answers."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from peftcourse.exercises.core import Mutant

# --- dora.forward ---------------------------------------------------------------------------------


def forward(
    x: Tensor, W: Tensor, bias: Tensor, A: Tensor, B: Tensor, magnitude: Tensor, scaling: float
) -> Tensor:
    V = W + scaling * (B @ A)
    return x @ (magnitude[:, None] * V / V.norm(dim=1, keepdim=True)).T + bias


def _forward_output_normalised(x, W, bias, A, B, magnitude, scaling):
    update = scaling * (x @ A.T @ B.T)
    return x @ W.T + bias + magnitude * F.normalize(update, dim=-1)


def _forward_bias_scaled(x, W, bias, A, B, magnitude, scaling):
    V = W + scaling * (B @ A)
    return magnitude / V.norm(dim=1) * (x @ V.T + bias)


def _forward_old_norm(x, W, bias, A, B, magnitude, scaling):
    return magnitude / W.norm(dim=1) * (x @ (W + scaling * (B @ A)).T) + bias


def _forward_not_divided(x, W, bias, A, B, magnitude, scaling):
    return magnitude * (x @ (W + scaling * (B @ A)).T) + bias


def _forward_columns(x, W, bias, A, B, magnitude, scaling):
    V = W + scaling * (B @ A)
    return x @ (magnitude[:, None] * V / V.norm(dim=0, keepdim=True)).T + bias


def _forward_branch_only(x, W, bias, A, B, magnitude, scaling):
    V = W + scaling * (B @ A)
    return x @ W.T + bias + magnitude / V.norm(dim=1) * scaling * (x @ A.T @ B.T)


def _forward_unscaled(x, W, bias, A, B, magnitude, scaling):
    return forward(x, W, bias, A, B, magnitude, 1.0)


FORWARD = (
    Mutant(
        "output-normalised",
        _forward_output_normalised,
        "the branch's output is normalised, not the weight: this is not linear in x, and could "
        "never be merged",
        "Normalise the rows of W + s·B·A, which do not depend on x",
    ),
    Mutant(
        "bias-scaled",
        _forward_bias_scaled,
        "the bias was multiplied by m/‖V‖ too",
        "Scale V x alone, then add the bias",
    ),
    Mutant(
        "norm-of-W",
        _forward_old_norm,
        "divided by the norm of W, not of W + s·B·A: the direction has no unit length",
        "The norm follows the update: take it of V = W + s·B·A",
    ),
    Mutant(
        "not-divided",
        _forward_not_divided,
        "multiplied by m, but never divided by the norm of V",
        "The factor of each row is m / ‖V‖",
    ),
    Mutant(
        "wrong-axis",
        _forward_columns,
        "divided by the norms of the columns, one for each input feature",
        "V is (d_out, d_in): take its norm over dim=1",
    ),
    Mutant(
        "branch-only",
        _forward_branch_only,
        "m/‖V‖ scales the low-rank branch alone; W x is not in the sum that it scales",
        "Scale W x + s·B·A·x as a whole",
    ),
    Mutant(
        "no-scaling",
        _forward_unscaled,
        "B·A is added as it is: the scale is missing",
        "V is W + scaling · B A",
    ),
)

# --- dora.layer -----------------------------------------------------------------------------------


class DoRALinear(nn.Module):
    def __init__(self, base: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        weight = base.weight
        self.A = nn.Parameter(torch.empty(rank, base.in_features, dtype=weight.dtype))
        self.B = nn.Parameter(torch.zeros(base.out_features, rank, dtype=weight.dtype))
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))
        self.magnitude = nn.Parameter(weight.norm(dim=1).detach().clone())
        self.scaling = alpha / rank

    def norm(self, V: Tensor) -> Tensor:
        """What m is divided by; the mutants say otherwise."""
        return V.norm(dim=1).detach()

    def forward(self, x: Tensor) -> Tensor:
        V = self.base.weight + self.scaling * (self.B @ self.A)
        return self.magnitude / self.norm(V) * (x @ V.T) + self.base.bias


class _Ones(DoRALinear):
    def __init__(self, base: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__(base, rank, alpha)
        nn.init.ones_(self.magnitude)


class _NotDetached(DoRALinear):
    def norm(self, V: Tensor) -> Tensor:
        return V.norm(dim=1)


class _StartNorm(DoRALinear):
    def norm(self, V: Tensor) -> Tensor:
        return self.base.weight.norm(dim=1)


class _Everything(DoRALinear):
    def forward(self, x: Tensor) -> Tensor:
        V = self.base.weight + self.scaling * (self.B @ self.A)
        gain = (self.magnitude / V.norm(dim=1)).detach()
        return gain * (x @ V.T) + self.base.bias


class _FrozenMagnitude(DoRALinear):
    def __init__(self, base: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__(base, rank, alpha)
        self.magnitude.requires_grad_(False)


class _BaseTrains(DoRALinear):
    def __init__(self, base: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__(base, rank, alpha)
        self.base.requires_grad_(True)


class _AlphaAlone(DoRALinear):
    def __init__(self, base: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__(base, rank, alpha)
        self.scaling = alpha


LAYER = (
    Mutant(
        "magnitude-ones",
        _Ones,
        "the magnitude starts at 1: a new layer is not the one that was pretrained",
        "Start it as the norm of each row of the base weight",
    ),
    Mutant(
        "not-detached",
        _NotDetached,
        "outputs and the gradient of m are right; the norm is in the graph, so A and B get "
        "another gradient",
        "Take the norm of V.detach(), or call .detach() on it",
    ),
    Mutant(
        "norm-of-the-start",
        _StartNorm,
        "a new layer is right, a trained one not: the norm is that of W for ever",
        "Compute the norm of W + s·B·A in each forward pass; detached is not constant",
    ),
    Mutant(
        "all-detached",
        _Everything,
        "outputs are right, but m gets no gradient: it was detached with the norm",
        "Detach the norm alone and divide afterwards",
    ),
    Mutant(
        "magnitude-frozen",
        _FrozenMagnitude,
        "the magnitude does not train",
        "Make it an nn.Parameter: A, B and the magnitude all train",
    ),
    Mutant(
        "base-trains",
        _BaseTrains,
        "the base layer's weight and bias train as well",
        "Call base.requires_grad_(False)",
    ),
    Mutant(
        "alpha-not-divided",
        _AlphaAlone,
        "a new layer is right, a trained one not: α instead of α/r, with r = {rank}",
        "The scale is alpha / rank, as in LoRA",
    ),
)

# --- dora.gradients -------------------------------------------------------------------------------


def gradients(G: Tensor, V: Tensor, magnitude: Tensor, detach: bool) -> tuple[Tensor, Tensor]:
    norm = V.norm(dim=1, keepdim=True)
    along = (G * V).sum(dim=1, keepdim=True)
    gradient = G if detach else G - along / norm**2 * V
    return (along / norm)[:, 0], magnitude[:, None] / norm * gradient


def _gradients_never_projected(G, V, magnitude, detach):
    return gradients(G, V, magnitude, True)


def _gradients_always_projected(G, V, magnitude, detach):
    return gradients(G, V, magnitude, False)


def _gradients_norm_not_squared(G, V, magnitude, detach):
    norm = V.norm(dim=1, keepdim=True)
    along = (G * V).sum(dim=1, keepdim=True)
    gradient = G if detach else G - along / norm * V
    return (along / norm)[:, 0], magnitude[:, None] / norm * gradient


def _gradients_m_not_divided(G, V, magnitude, detach):
    return (G * V).sum(dim=1), gradients(G, V, magnitude, detach)[1]


def _gradients_without_gain(G, V, magnitude, detach):
    first, second = gradients(G, V, magnitude, detach)
    return first, second * V.norm(dim=1, keepdim=True) / magnitude[:, None]


def _gradients_added(G, V, magnitude, detach):
    norm = V.norm(dim=1, keepdim=True)
    along = (G * V).sum(dim=1, keepdim=True)
    gradient = G if detach else G + along / norm**2 * V
    return (along / norm)[:, 0], magnitude[:, None] / norm * gradient


GRADIENTS = (
    Mutant(
        "never-projected",
        _gradients_never_projected,
        "right with a detached norm; without, the part of the gradient along V must go",
        "If detach is False, subtract the projection of G on each row of V",
    ),
    Mutant(
        "always-projected",
        _gradients_always_projected,
        "right with the norm in the graph; a detached norm projects nothing away",
        "If detach is True, the gradient of V is m/‖V‖ · G",
    ),
    Mutant(
        "norm-not-squared",
        _gradients_norm_not_squared,
        "the projection is divided by ‖V‖ and not by its square",
        "Projecting on V twice must change nothing: (G·V)/‖V‖² · V",
    ),
    Mutant(
        "m-not-divided",
        _gradients_m_not_divided,
        "the gradient of m is G·V without 1/‖V‖: V is no unit vector",
        "W' = m V/‖V‖, so the gradient of m is (G·V)/‖V‖",
    ),
    Mutant(
        "no-gain",
        _gradients_without_gain,
        "the gradient of V lacks its factor m/‖V‖",
        "Multiply each row by m / ‖V‖",
    ),
    Mutant(
        "added",
        _gradients_added,
        "the part along V is added where it should be taken away",
        "Subtract it: what is left is at right angles to V",
    ),
)
