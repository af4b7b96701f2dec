"""Lesson 05, the layer that trains: reference solution and typical wrong answers."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: F401  (some slips need it)
from torch import Tensor, nn

from peftcourse.exercises.compare import agree
from peftcourse.exercises.core import Symptom, slip
from peftcourse.exercises.observe import Case, Outcome


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

    def forward(self, x: Tensor) -> Tensor:
        V = self.base.weight + self.scaling * (self.B @ self.A)
        norm = V.norm(dim=1).detach()
        y = self.magnitude / norm * (x @ V.T)
        return y + self.base.bias


_START, _SCALE = "weight.norm(dim=1).detach().clone()", "alpha / rank"
_NORM, _GAIN = "V.norm(dim=1).detach()", "self.magnitude / norm"
_Y, _SUM = "self.magnitude / norm * (x @ V.T)", "y + self.base.bias"
_UPDATE = "self.scaling * (self.B @ self.A)"
_AS_NORMS = "Start it as the norm of each row of the base weight"
_ANEW = "Compute the norm of W + s·B·A in each forward pass; detached is not constant"


def _layer(id: str, old: str, new: str, diagnosis: str, action: str, *more: tuple[str, str]):
    return slip(DoRALinear, id, old, new, diagnosis, action, *more)


# Those that are often made together come first: pairs are tried in this order.
LAYER = (
    _layer(
        "magnitude-ones",
        _START,
        "torch.ones_like(weight[:, 0])",
        "the magnitude starts at ones: a new layer is not the one that was pretrained",
        _AS_NORMS,
    ),
    _layer(
        "not-detached",
        _NORM,
        "V.norm(dim=1)",
        "the norm is not detached: it is in the graph, so A and B get another gradient",
        "Take the norm of V.detach(), or call .detach() on it",
    ),
    _layer(
        "alpha-not-divided",
        _SCALE,
        "alpha",
        "a new layer is right, a trained one not: α instead of α/r, with r = {rank}",
        "The scale is alpha / rank, as in LoRA",
    ),
    _layer(
        "bias-scaled",
        _SUM,
        "y + self.magnitude / norm * self.base.bias",
        "the bias is multiplied by m/‖V‖ too",
        "Scale V x alone, then add the bias",
    ),
    _layer(
        "no-bias",
        _SUM,
        "y",
        "the bias of the base is missing",
        "Add self.base.bias at the end",
    ),
    _layer(
        "base-trains",
        "base.requires_grad_(False)",
        "base.requires_grad_(True)",
        "the base layer's weight and bias train as well: it is not frozen",
        "Call base.requires_grad_(False)",
    ),
    _layer(
        "norm-of-the-start",
        _NORM,
        "self.base.weight.norm(dim=1)",
        "a new layer is right, a trained one not: the norm is that of W, as at the start, for ever",
        _ANEW,
    ),
    _layer(
        "magnitude-zeros",
        _START,
        "torch.zeros_like(weight[:, 0])",
        "the magnitude starts at zero: a new layer puts out the bias alone",
        _AS_NORMS,
    ),
    _layer(
        "magnitude-of-the-mean",
        _START,
        "weight.norm(dim=1).mean().repeat(weight.shape[0]).detach()",
        "all magnitudes start at the mean length, where each has to start at its own row's",
        _AS_NORMS,
    ),
    _layer(
        "all-detached",
        _GAIN,
        "(self.magnitude / norm).detach()",
        "outputs are right, but m gets no gradient: it was detached with the norm",
        "Detach the norm alone and divide afterwards",
    ),
    _layer(
        "magnitude-frozen",
        _START,
        "weight.norm(dim=1).detach().clone(), requires_grad=False",
        "the magnitude does not train: it is frozen, a buffer, or no parameter",
        "Make it an nn.Parameter: A, B and the magnitude all train",
    ),
    _layer(
        "rank-over-alpha",
        _SCALE,
        "rank / alpha",
        "the scale is upside down: r/α, where it should be α/r",
        "The scale is alpha / rank, as in LoRA",
    ),
    _layer(
        "rank-stabilised",
        _SCALE,
        "alpha / rank**0.5",
        "the scale is α/√r, where the text says α/r",
        "The scale is alpha / rank",
    ),
    _layer(
        "no-scaling",
        _UPDATE,
        "(self.B @ self.A)",
        "a new layer is right, a trained one not: the scale α/r is missing",
        "V = W + alpha / rank · B A",
    ),
    _layer(
        "norm-unscaled",
        _NORM,
        "(self.base.weight + self.B @ self.A).norm(dim=1).detach()",
        "the norm is that of W + B A, without the scaling that V has",
        "Take the norm of V itself",
    ),
    _layer(
        "magnitude-unused",
        _GAIN,
        "1",
        "forward computes V x + b, which is LoRA's: the magnitude and the norm are not used",
        "y = m / ‖V‖ · V x + b",
    ),
    _layer(
        "not-divided",
        _GAIN,
        "self.magnitude",
        "multiplied by m, but never divided by the norm of V",
        "y = m / ‖V‖ · V x + b",
    ),
    _layer(
        "base-twice",
        _SUM,
        "y + self.base(x)",
        "base(x) is added, and W x is in V x already: it is there twice",
        "Add the bias alone",
    ),
    _layer(
        "one-norm",
        _NORM,
        "V.norm().detach()",
        "one norm of the whole matrix, where each row has its own",
        "Take the norm over dim=1",
    ),
    _layer(
        "output-normalised",
        _Y,
        "self.magnitude * F.normalize(x @ V.T, dim=-1)",
        "the output is normalised, not the weight: this depends on x, and could never be merged",
        "Divide by the norm of each row of V",
    ),
    _layer(
        "branch-only",
        _Y,
        "x @ self.base.weight.T + self.magnitude / norm * (x @ (V - self.base.weight).T)",
        "m/‖V‖ scales the low-rank branch alone; W x is not in the sum that it scales",
        "Scale V x as a whole",
    ),
    _layer(
        "A-and-B-zero",
        "nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))",
        "nn.init.zeros_(self.A)",
        "A and B both start at zero: neither gets a gradient, so that they never train",
        "Let B start at zero, and A at random",
    ),
)


def _right(*names: str):
    return lambda case, expected, observed: all(agree(expected[n], observed[n]) for n in names)


def _is_zero(name: str):
    return lambda case, expected, observed: not observed[name].count_nonzero()


def _right_in_training(case: Case, expected: Outcome, observed: Outcome) -> bool:
    return agree(expected["gradient of A"], observed["gradient of A"])


_OUTPUT, _NEW = "output", "output of a new layer"
_KEEP = "Detach the norm, and nothing else"

LAYER_SYMPTOMS = (
    Symptom(
        "magnitude (its size)",
        "the magnitude does not have the shape (d_out,): one number for each row of the weight, "
        "without a second axis",
        "weight.norm(dim=1), without keepdim",
    ),
    Symptom(
        "A (its size)",
        "A does not have the shape (rank, d_in)",
        "A is (rank, base.in_features), B is (base.out_features, rank)",
    ),
    Symptom(
        "B (its size)",
        "B does not have the shape (d_out, rank)",
        "A is (rank, base.in_features), B is (base.out_features, rank)",
    ),
    Symptom(
        "weight of the base afterwards",
        "the base's weight has changed: a forward pass adds to it, in place, at each call",
        "Compute V = W + s·B·A as a new tensor",
        decides=True,
    ),
    Symptom(
        "magnitude of a new layer",
        "the magnitude of a new layer is not the norm of each row of the base weight, where it has "
        "to start, so that m/‖V‖ is 1",
        _AS_NORMS,
    ),
    Symptom(
        "BA of a new layer",
        "B A is not zero in a new layer, which is therefore not its base: B has to start at zero",
        "Let B start at zero, and A at random",
    ),
    Symptom(
        _NEW,
        "A, B and the magnitude start as they should, and a new layer still does not compute what "
        "the base does",
        "With B = 0 it is W x + b: m/‖V‖ is 1",
        _right("magnitude of a new layer", "BA of a new layer"),
    ),
    Symptom(
        "whether A or B of a new layer gets a gradient",
        "in a new layer neither A nor B gets a gradient: both are zero, detached or frozen",
        "Let B start at zero, and A at random; detach the norm alone",
        decides=True,
    ),
    Symptom(
        "output in evaluation mode",
        "right in training mode, and not in evaluation mode: there the norm is an old one, stored "
        "before A and B moved. It has to be computed anew at each call",
        _ANEW,
        _right(_OUTPUT),
        decides=True,
    ),
    Symptom(
        "gradient of A in evaluation mode",
        "in evaluation mode a gradient goes through the norm: it is detached in training mode only",
        "Detach the norm whatever the mode",
        _right_in_training,
        decides=True,
    ),
    Symptom(
        _OUTPUT,
        "right in evaluation mode, and not in training mode",
        "Nothing in this layer depends on the mode",
        _right("output in evaluation mode"),
    ),
    Symptom(
        "numbers of the base's weight that train",
        "the base's weight trains: it is not frozen",
        "Call base.requires_grad_(False)",
        decides=True,
    ),
    Symptom(
        "numbers of the base's bias that train",
        "the base's bias trains: it is not frozen",
        "Call base.requires_grad_(False), which freezes weight and bias",
        decides=True,
    ),
    Symptom(
        "gradient of A",
        "outputs are right, but A and B get no gradient: B A, or V as a whole, is detached",
        _KEEP,
        lambda *outcomes: (
            _right(_OUTPUT)(*outcomes)
            and _is_zero("gradient of A")(*outcomes)
            and _is_zero("gradient of B")(*outcomes)
        ),
    ),
    *(
        Symptom(
            f"gradient of {name}",
            f"outputs are right, but {name} gets no gradient: it is detached, frozen or no "
            "nn.Parameter",
            _KEEP,
            lambda *outcomes, name=name: (
                _right(_OUTPUT)(*outcomes) and _is_zero(f"gradient of {name}")(*outcomes)
            ),
        )
        for name in ("A", "B", "magnitude")
    ),
    Symptom(
        "gradient of x",
        "outputs are right, but the gradient of the input x is not: x is detached, or something "
        "that it goes through",
        _KEEP,
        _right(_OUTPUT),
    ),
    Symptom(
        "gradient of A",
        "outputs are right, but A and B get another gradient: more is in the graph than V itself, "
        "such as the norm, or less",
        "Detach the norm alone: V.norm(dim=1).detach()",
        _right(_OUTPUT),
    ),
    Symptom(
        "gradient of magnitude",
        "outputs are right, but the magnitude gets another gradient than it should",
        "Detach the norm alone and divide afterwards",
        _right(_OUTPUT),
    ),
    Symptom(
        "numbers of A, B and the magnitude that train",
        "not all of A, B and the magnitude trains: one is frozen, a buffer, or no nn.Parameter",
        "Make each an nn.Parameter",
        decides=True,
    ),
    Symptom(
        "other numbers that train",
        "something besides A, B and the magnitude trains",
        "Freeze base, and make no other parameter",
        decides=True,
    ),
    Symptom(
        _OUTPUT,
        "a new layer is right, a trained one is not: the magnitude, the norm or the scale of B A "
        "does not go in as it should",
        "y = m / ‖V‖ · V x + b with V = W + alpha / rank · B A",
        _right(_NEW),
    ),
)
