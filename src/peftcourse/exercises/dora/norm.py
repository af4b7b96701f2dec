"""Lesson 05, the norm without the matrix, and merging: solutions and typical wrong answers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from peftcourse.exercises.core import Mutant

# --- dora.cheap_norm ------------------------------------------------------------------------------


def cheap_norm(W: Tensor, A: Tensor, B: Tensor, scaling: float) -> Tensor:
    cross = ((W @ A.T) * B).sum(dim=1)
    square = ((B @ (A @ A.T)) * B).sum(dim=1)
    return (W.norm(dim=1).square() + 2 * scaling * cross + scaling**2 * square).sqrt()


def _norm_terms(W, A, B, crosses, squares, gram=None):
    """√(‖W‖² + crosses · ⟨W Aᵀ, B⟩ + squares · ⟨B gram, B⟩)."""
    gram = A @ A.T if gram is None else gram
    cross = ((W @ A.T) * B).sum(dim=1)
    square = ((B @ gram) * B).sum(dim=1)
    total = W.square().sum(dim=1) + crosses * cross + squares * square
    return total.abs().sqrt()


def _norm_rows_of_a_alone(W, A, B, scaling):
    """As if the rows of A were at right angles to each other."""
    return _norm_terms(W, A, B, 2 * scaling, scaling**2, torch.diag((A * A).sum(dim=1)))


CHEAP_NORM = (
    Mutant(
        "dense",
        lambda W, A, B, scaling: (W + scaling * (B @ A)).norm(dim=1),
        "the values are right, but B·A was built: a product with as many entries as W",
        "Expand the square: no product needs more than r columns",
    ),
    Mutant(
        "factor-two-missing",
        lambda W, A, B, scaling: _norm_terms(W, A, B, scaling, scaling**2),
        "the cross term counts once; (a + b)² has 2ab",
        "Multiply ⟨W Aᵀ, B⟩ by 2 · scaling",
    ),
    Mutant(
        "scale-not-squared",
        lambda W, A, B, scaling: _norm_terms(W, A, B, 2 * scaling, scaling),
        "the last term has the scale once; the square of s·B·A has it twice",
        "Multiply ⟨B (A Aᵀ), B⟩ by scaling²",
    ),
    Mutant(
        "no-cross-term",
        lambda W, A, B, scaling: _norm_terms(W, A, B, 0.0, scaling**2),
        "the squares of W and of the update alone, as if they were at right angles",
        "Add the cross term 2 · scaling · ⟨W Aᵀ, B⟩",
    ),
    Mutant(
        "no-scaling",
        lambda W, A, B, scaling: _norm_terms(W, A, B, 2.0, 1.0),
        "the norm of W + B·A: the scale is missing",
        "The cross term has scaling, the last one its square",
    ),
    Mutant(
        "gram-diagonal",
        _norm_rows_of_a_alone,
        "products of different rows of A are missing: A·Aᵀ is not diagonal",
        "Use the whole matrix A @ A.T, (r, r)",
    ),
)

# --- dora.merge -----------------------------------------------------------------------------------


def _plain(weight: Tensor, bias: Tensor) -> nn.Linear:
    """A new linear layer with these values."""
    made = nn.Linear(weight.shape[1], weight.shape[0], dtype=weight.dtype)
    with torch.no_grad():
        made.weight.copy_(weight)
        made.bias.copy_(bias)
    return made


def _adapted(layer: nn.Module) -> Tensor:
    return layer.base.weight + layer.scaling * (layer.B @ layer.A)


def merge(layer: nn.Module) -> nn.Linear:
    V = _adapted(layer)
    gain = layer.magnitude / V.norm(dim=1)
    return _plain(gain[:, None] * V, layer.base.bias)


def _merge_as_lora(layer):
    return _plain(_adapted(layer), layer.base.bias)


def _merge_with_bias(layer):
    V = _adapted(layer)
    gain = layer.magnitude / V.norm(dim=1)
    return _plain(gain[:, None] * V, gain * layer.base.bias)


def _merge_old_norm(layer):
    V = _adapted(layer)
    gain = layer.magnitude / layer.base.weight.norm(dim=1)
    return _plain(gain[:, None] * V, layer.base.bias)


def _merge_branch_only(layer):
    gain = layer.magnitude / _adapted(layer).norm(dim=1)
    update = gain[:, None] * layer.scaling * (layer.B @ layer.A)
    return _plain(layer.base.weight + update, layer.base.bias)


def _merge_in_place(layer):
    made = merge(layer)
    with torch.no_grad():
        layer.base.weight.copy_(made.weight)
    return made


def _merge_without_bias(layer):
    made = merge(layer)
    nn.init.zeros_(made.bias)
    return made


MERGE = (
    Mutant(
        "as-lora",
        _merge_as_lora,
        "W + s·B·A, which is LoRA's merge: magnitude and norm are missing",
        "Multiply each row by m / ‖V‖",
    ),
    Mutant(
        "bias-scaled",
        _merge_with_bias,
        "the weight is right, but the bias was multiplied by m/‖V‖ too",
        "Copy the bias as it is",
    ),
    Mutant(
        "norm-of-W",
        _merge_old_norm,
        "divided by the norm of W instead of W + s·B·A",
        "Take the norm of the sum that you merge",
    ),
    Mutant(
        "branch-only",
        _merge_branch_only,
        "m/‖V‖ was applied to the update alone, not to W",
        "Scale whole rows of W + s·B·A",
    ),
    Mutant(
        "in-place",
        _merge_in_place,
        "the merged layer is right, but the base weight was overwritten: no way back",
        "Write into a new layer and leave layer.base as it is",
    ),
    Mutant(
        "bias-lost",
        _merge_without_bias,
        "the weight is right, but the bias is gone",
        "Copy layer.base.bias into the new layer",
    ),
)
