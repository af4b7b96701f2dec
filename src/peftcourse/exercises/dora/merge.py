"""Lesson 05, merging: reference solution and typical wrong answers."""

from __future__ import annotations

import torch
from torch import nn

from peftcourse.exercises.compare import agree
from peftcourse.exercises.core import Symptom, slip
from peftcourse.exercises.observe import Case, Outcome


def merge(layer: nn.Module) -> nn.Linear:
    W = layer.base.weight
    V = W + layer.scaling * (layer.B @ layer.A)
    gain = layer.magnitude / V.norm(dim=1)
    merged = nn.Linear(W.shape[1], W.shape[0], dtype=W.dtype)
    with torch.no_grad():
        merged.weight.copy_(gain[:, None] * V)
        merged.bias.copy_(layer.base.bias)
    return merged


_V, _GAIN, _NORM = (
    "layer.scaling * (layer.B @ layer.A)",
    "layer.magnitude / V.norm(dim=1)",
    "V.norm(dim=1)",
)
_WEIGHT, _BIAS, _RETURN = (
    "merged.weight.copy_(gain[:, None] * V)",
    "merged.bias.copy_(layer.base.bias)",
    "return merged",
)
_ROWS = "Multiply each row by m / ‖V‖"


def _merge(id: str, old: str, new: str, diagnosis: str, action: str, *more: tuple[str, str]):
    return slip(merge, id, old, new, diagnosis, action, *more)


# Those that are often made together come first: pairs are tried in this order.
MERGE = (
    _merge(
        "bias-scaled",
        _BIAS,
        "merged.bias.copy_(gain * layer.base.bias)",
        "the bias was multiplied by m/‖V‖ too",
        "Copy the bias as it is",
    ),
    _merge(
        "bias-lost",
        _BIAS,
        "merged.bias.zero_()",
        "the bias is gone: it is zero",
        "Copy layer.base.bias into the new layer",
    ),
    _merge(
        "as-lora",
        _WEIGHT,
        "merged.weight.copy_(V)",
        "W + s·B·A, which is LoRA's merge: magnitude and norm are missing",
        _ROWS,
    ),
    _merge(
        "in-place",
        _RETURN,
        "W.data.copy_(merged.weight.data); return merged",
        "the base weight was overwritten with the merged one: no way back",
        "Write into a new layer and leave layer.base as it is",
    ),
    _merge(
        "no-scaling",
        _V,
        "(layer.B @ layer.A)",
        "the scale of the update is missing",
        "V is W + scaling · B A",
    ),
    _merge(
        "norm-of-W",
        _NORM,
        "W.norm(dim=1)",
        "divided by the norm of W instead of W + s·B·A",
        "Take the norm of the sum that you merge",
    ),
    _merge(
        "wrong-axis",
        _GAIN,
        "layer.magnitude; V = V / V.norm(dim=0)",
        "divided by the norms of the columns, and not of the rows",
        "V is (d_out, d_in): take its norm over dim=1",
    ),
    _merge(
        "magnitude-missing",
        _GAIN,
        "1 / V.norm(dim=1)",
        "the magnitude m is missing: each row has length 1",
        _ROWS,
    ),
    _merge(
        "not-divided",
        _GAIN,
        "layer.magnitude",
        "multiplied by m, but never divided by the norm of V",
        _ROWS,
    ),
    _merge(
        "one-norm",
        _NORM,
        "V.norm()",
        "one norm of the whole matrix, where each row has its own",
        "Take the norm over dim=1",
    ),
    _merge(
        "magnitude-at-its-start",
        _GAIN,
        "W.norm(dim=1) / V.norm(dim=1)",
        "the norm of W, where the magnitude starts, is taken for the trained magnitude",
        "Use layer.magnitude",
    ),
    _merge(
        "norm-squared",
        _NORM,
        "V.square().sum(dim=1)",
        "divided by the squared norm: the root is missing",
        "Use V.norm(dim=1), which takes the root",
    ),
    _merge(
        "upside-down",
        _GAIN,
        "V.norm(dim=1) / layer.magnitude",
        "the factor is upside down: ‖V‖/m, where it should be m/‖V‖",
        _ROWS,
    ),
    _merge(
        "scaled-twice",
        _V,
        "layer.scaling**2 * (layer.B @ layer.A)",
        "the update is scaled twice",
        "V is W + scaling · B A",
    ),
    _merge(
        "scaled-over-rank",
        _V,
        "layer.scaling / len(layer.A) * (layer.B @ layer.A)",
        "scaling is divided by the rank r, and is α/r already",
        "V is W + scaling · B A",
    ),
    _merge(
        "branch-only",
        _WEIGHT,
        "merged.weight.copy_(W + gain[:, None] * (V - W))",
        "m/‖V‖ was applied to the update alone, not to W",
        "Scale whole rows of W + s·B·A",
    ),
    _merge(
        "update-outside",
        _WEIGHT,
        "merged.weight.copy_(gain[:, None] * W + (V - W))",
        "m/‖V‖ was applied to W alone, and the update is added outside of it",
        "Scale whole rows of W + s·B·A",
    ),
    _merge(
        "update-missing",
        _WEIGHT,
        "merged.weight.copy_(W)",
        "this is the base's weight as it is: nothing was merged into it",
        "Copy m/‖V‖ · V into the new layer",
    ),
    _merge(
        "bias-in-the-weight",
        _WEIGHT,
        "merged.weight.copy_(gain[:, None] * V + layer.base.bias[:, None])",
        "the bias is in each column of the weight: what the layer makes of the identity has the "
        "bias in it",
        "Take the bias away again, or use V itself",
    ),
)


def _has_none(case: Case, expected: Outcome, observed: Outcome) -> bool:
    return observed["bias of the merged layer"].numel() == 0


def _right_weight(case: Case, expected: Outcome, observed: Outcome) -> bool:
    name = "weight of the merged layer"
    return agree(expected[name], observed[name])


def _transposed(case: Case, expected: Outcome, observed: Outcome) -> bool:
    return observed["weight of the merged layer"].shape == case["W"].shape[::-1]


MERGE_SYMPTOMS = (
    Symptom(
        "whether it is an nn.Linear",
        "what is returned is no nn.Linear, which is a plain linear layer: a tensor, or a copy of "
        "the DoRA layer?",
        "Make nn.Linear(d_in, d_out, dtype=…), fill and return it",
        decides=True,
    ),
    Symptom(
        "weight of the merged layer",
        "the sizes of the new layer are swapped: nn.Linear takes d_in first, then d_out",
        "nn.Linear(d_in, d_out), whose weight is (d_out, d_in)",
        _transposed,
    ),
    Symptom(
        "bias of the merged layer",
        "the merged layer has no bias",
        "Make nn.Linear with a bias, and copy layer.base.bias into it",
        _has_none,
    ),
    Symptom(
        "times that the base itself is returned",
        "the base itself is returned, and not a new layer: layer.base has to stay as it was",
        "Make a new nn.Linear",
        decides=True,
    ),
    Symptom(
        "times that layer.base is still the base",
        "layer.base was replaced: the DoRA layer does not have its base any more, and it has to "
        "stay as it was",
        "Return the new layer, and assign nothing to layer.base",
        decides=True,
    ),
    Symptom(
        "weights of the base that changed",
        "the base's weight has changed: it was overwritten in place, or shared by a shallow copy",
        "Write into a new layer and leave layer.base as it is",
        decides=True,
    ),
    Symptom(
        "biases of the base that changed",
        "the base's bias has changed: it was overwritten in place, or shared by a shallow copy",
        "Write into a new layer and leave layer.base as it is",
        decides=True,
    ),
    Symptom(
        "bias of the merged layer",
        "the weight is right, and the bias is not the base's: it was not copied as it is",
        "Copy layer.base.bias into the new layer",
        _right_weight,
    ),
    Symptom(
        "weights that share memory with the base",
        "the new weight shares its memory with the base's",
        "Make a new nn.Linear, and copy into it",
        decides=True,
    ),
)
