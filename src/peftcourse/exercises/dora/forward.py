"""Lesson 05, the equation: reference solution and typical wrong answers."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: F401  (some slips need it)
from torch import Tensor

from peftcourse.exercises.compare import agree
from peftcourse.exercises.core import Symptom, slip
from peftcourse.exercises.observe import Case, Outcome


def forward(
    x: Tensor, W: Tensor, bias: Tensor, A: Tensor, B: Tensor, magnitude: Tensor, scaling: float
) -> Tensor:
    V = W + scaling * (B @ A)
    gain = magnitude / V.norm(dim=1)
    y = gain * (x @ V.T)
    return y + bias


_V, _GAIN, _NORM, _SUM = (
    "scaling * (B @ A)",
    "magnitude / V.norm(dim=1)",
    "V.norm(dim=1)",
    "y + bias",
)
_Y = "gain * (x @ V.T)"
_WEIGHT = "Normalise the rows of W + s·B·A, which do not depend on x"
_FACTOR = "The factor of each row is m / ‖V‖"


def _forward(id: str, old: str, new: str, diagnosis: str, action: str, *more: tuple[str, str]):
    return slip(forward, id, old, new, diagnosis, action, *more)


# Those that are often made together come first: pairs are tried in this order.
FORWARD = (
    _forward(
        "bias-scaled",
        _SUM,
        "y + gain * bias",
        "the bias was multiplied by m/‖V‖ too",
        "Scale V x alone, then add the bias",
    ),
    _forward(
        "no-scaling",
        _V,
        "(B @ A)",
        "B·A is added as it is: the scale is missing",
        "V is W + scaling · B A",
    ),
    _forward(
        "wrong-axis",
        _GAIN,
        "magnitude; V = V / V.norm(dim=0)",
        "divided by the norms of the columns, one for each input feature, and not of the rows",
        "V is (d_out, d_in): take its norm over dim=1",
    ),
    _forward(
        "no-bias",
        _SUM,
        "y",
        "the bias is missing",
        "Add the bias at the end",
    ),
    _forward(
        "norm-of-W",
        _NORM,
        "W.norm(dim=1)",
        "divided by the norm of W, not of W + s·B·A: the direction has no unit length",
        "The norm follows the update: take it of V = W + s·B·A",
    ),
    _forward(
        "not-divided",
        _GAIN,
        "magnitude",
        "multiplied by m, but never divided by the norm of V",
        _FACTOR,
    ),
    _forward(
        "one-norm",
        _NORM,
        "V.norm()",
        "one norm of the whole matrix, where each row has its own",
        "Take the norm over dim=1",
    ),
    _forward(
        "magnitude-missing",
        _GAIN,
        "1 / V.norm(dim=1)",
        "divided by the norm of V, and the magnitude m is missing",
        _FACTOR,
    ),
    _forward(
        "no-gain",
        _GAIN,
        "1",
        "V x + b is what LoRA computes: the magnitude and the norm are missing",
        _FACTOR,
    ),
    _forward(
        "magnitude-twice",
        _GAIN,
        "magnitude**2 / V.norm(dim=1)",
        "the magnitude is multiplied twice: it is squared",
        _FACTOR,
    ),
    _forward(
        "magnitude-added",
        _Y,
        "magnitude + x @ (V / V.norm(dim=1, keepdim=True)).T",
        "the magnitude is added to the unit outputs, and it multiplies them",
        _FACTOR,
    ),
    _forward(
        "times-the-norm",
        _GAIN,
        "magnitude * V.norm(dim=1)",
        "multiplied by the norm of V, where it should be divided",
        _FACTOR,
    ),
    _forward(
        "upside-down",
        _GAIN,
        "V.norm(dim=1) / magnitude",
        "the factor is upside down: ‖V‖/m, where it should be m/‖V‖",
        _FACTOR,
    ),
    _forward(
        "norm-squared",
        _NORM,
        "V.square().sum(dim=1)",
        "divided by the squared norm: the root is missing",
        "Use V.norm(dim=1), which takes the root",
    ),
    _forward(
        "mean-square",
        _NORM,
        "V.square().mean(dim=1).sqrt()",
        "the norm has the mean of the squares, where it should have their sum",
        "A norm is the root of the sum of squares",
    ),
    _forward(
        "absolute-values",
        _NORM,
        "V.abs().sum(dim=1)",
        "the norm is the sum of absolute values, and not the Euclidean norm",
        "Use V.norm(dim=1): squares, sum, root",
    ),
    _forward(
        "norm-unscaled",
        _NORM,
        "(W + B @ A).norm(dim=1)",
        "the norm is that of W + B A, without the scaling that V has",
        "Take the norm of V itself",
    ),
    _forward(
        "norm-of-the-update",
        _NORM,
        "(B @ A).norm(dim=1)",
        "the norm is that of the update B A alone, and should be that of V",
        "Take the norm of V itself",
    ),
    _forward(
        "norm-of-the-scaled-update",
        _NORM,
        "(scaling * (B @ A)).norm(dim=1)",
        "the norm is that of the update s·B·A alone, and should be that of V",
        "Take the norm of V itself",
    ),
    _forward(
        "scaled-over-rank",
        _V,
        "scaling / len(A) * (B @ A)",
        "scaling is divided by the rank r, and is α/r already",
        "V is W + scaling · B A",
    ),
    _forward(
        "scaled-twice",
        _V,
        "scaling * scaling * (B @ A)",
        "the update is scaled twice",
        "V is W + scaling · B A",
    ),
    _forward(
        "update-missing",
        "W + scaling * (B @ A)",
        "W",
        "the update B A is missing: V is W alone",
        "V is W + scaling · B A",
    ),
    _forward(
        "W-missing",
        "W + scaling * (B @ A)",
        "scaling * (B @ A)",
        "W is missing from V: it is the update alone",
        "V is W + scaling · B A",
    ),
    _forward(
        "bias-subtracted",
        _SUM,
        "y - bias",
        "the sign of the bias is wrong: it is subtracted",
        "Add the bias",
    ),
    _forward(
        "bias-and-magnitude-exchanged",
        _GAIN,
        "bias / V.norm(dim=1)",
        "bias and magnitude are exchanged: the bias scales and the magnitude is added",
        "gain = magnitude / V.norm(dim=1), and the bias is added",
        (_SUM, "y + magnitude"),
    ),
    _forward(
        "branch-only",
        _Y,
        "x @ W.T + gain * scaling * (x @ A.T @ B.T)",
        "m/‖V‖ scales the low-rank branch alone; W x is not in the sum that it scales",
        "Scale W x + s·B·A·x as a whole",
    ),
    _forward(
        "update-outside",
        _Y,
        "magnitude / W.norm(dim=1) * (x @ W.T) + scaling * (x @ A.T @ B.T)",
        "m/‖W‖ scales W x alone, and the update is added outside of it: it belongs to V",
        "Scale W x + s·B·A·x as a whole, by m/‖V‖",
    ),
    _forward(
        "update-outside-with-V",
        _Y,
        "gain * (x @ W.T) + scaling * (x @ A.T @ B.T)",
        "m/‖V‖ scales W x alone, and the update is added outside of it",
        "Scale W x + s·B·A·x as a whole, by m/‖V‖",
    ),
    _forward(
        "output-normalised",
        _Y,
        "x @ W.T + magnitude * F.normalize(scaling * (x @ A.T @ B.T), dim=-1)",
        "the branch's output is normalised, not the weight: this is not linear in x, and could "
        "never be merged",
        _WEIGHT,
    ),
    _forward(
        "whole-output-normalised",
        _Y,
        "magnitude * F.normalize(x @ V.T, dim=-1)",
        "the output is normalised, not the weight: this is not linear in x, and could never be "
        "merged",
        _WEIGHT,
    ),
    _forward(
        "output-and-bias-normalised",
        _SUM,
        "magnitude * F.normalize(x @ V.T + bias, dim=-1)",
        "the output is normalised, bias and all, and not the weight: this is not linear in x, and "
        "could never be merged",
        _WEIGHT,
    ),
)


def _scale_with_x(case: Case, expected: Outcome, observed: Outcome) -> bool:
    """Whether all rows of the output have one length, up to the magnitude."""
    units = (observed["result"] - case["bias"]) / case["magnitude"]
    lengths = units.flatten(0, -2).norm(dim=1)
    return agree(lengths[:1].expand_as(lengths), lengths)


FORWARD_SYMPTOMS = (
    Symptom(
        "result",
        "the output is normalised, not the weight: its length does not depend on x",
        _WEIGHT,
        _scale_with_x,
    ),
)
