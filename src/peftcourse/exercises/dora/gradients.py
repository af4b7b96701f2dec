"""Lesson 05, what detaching takes away: reference solution and typical wrong answers."""

from __future__ import annotations

import torch
from torch import Tensor

from peftcourse.exercises.compare import agree
from peftcourse.exercises.core import Symptom, slip
from peftcourse.exercises.observe import Case, Outcome


def gradients(G: Tensor, V: Tensor, magnitude: Tensor, detach: bool) -> tuple[Tensor, Tensor]:
    norm = V.norm(dim=1, keepdim=True)
    along = (G * V).sum(dim=1, keepdim=True)
    gradient = G if detach else G - along / norm**2 * V
    gain = magnitude[:, None] / norm
    return (along / norm)[:, 0], gain * gradient


_ALONG, _GM, _GAIN = (
    "(G * V).sum(dim=1, keepdim=True)",
    "(along / norm)[:, 0]",
    "magnitude[:, None] / norm",
)
_IF, _PROJECTED, _GV = "G if detach", "G - along / norm**2 * V", "gain * gradient"
_FACTOR = "Multiply each row by m / ‖V‖"
_SUBTRACT = "Subtract it: what is left is at right angles to V"
_TWICE = "Projecting on V twice must change nothing: (G·V)/‖V‖² · V"


def _gradients(id: str, old: str, new: str, diagnosis: str, action: str, *more: tuple[str, str]):
    return slip(gradients, id, old, new, diagnosis, action, *more)


# Those that are often made together come first: pairs are tried in this order.
GRADIENTS = (
    _gradients(
        "exchanged",
        _IF,
        "G if not detach",
        "the two cases are exchanged: what belongs to detach = True is done for False",
        "A detached norm projects nothing away",
    ),
    _gradients(
        "added",
        _PROJECTED,
        "G + along / norm**2 * V",
        "the sign of the projection is wrong: the part along V is added where it should be taken "
        "away",
        _SUBTRACT,
    ),
    _gradients(
        "m-not-divided",
        _GM,
        "along[:, 0]",
        "the gradient of m is G·V without 1/‖V‖: V is no unit vector",
        "W' = m V/‖V‖, so the gradient of m is (G·V)/‖V‖",
    ),
    _gradients(
        "no-gain",
        _GV,
        "gradient.clone()",
        "the gradient of V lacks its factor m/‖V‖",
        _FACTOR,
    ),
    _gradients(
        "never-projected",
        _IF,
        "G if True",
        "right with a detached norm; without, the part of the gradient along V must go",
        "If detach is False, subtract the projection of G on each row of V",
    ),
    _gradients(
        "always-projected",
        _IF,
        "G if False",
        "right with the norm in the graph; a detached norm projects nothing away",
        "If detach is True, the gradient of V is m/‖V‖ · G",
    ),
    _gradients(
        "norm-not-squared",
        _PROJECTED,
        "G - along / norm * V",
        "the projection is divided by ‖V‖ and not by its square",
        _TWICE,
    ),
    _gradients(
        "not-divided-at-all",
        _PROJECTED,
        "G - along * V",
        "the projection uses V itself, not the unit vector: it lacks 1/‖V‖²",
        _TWICE,
    ),
    _gradients(
        "kept-along",
        _PROJECTED,
        "along / norm**2 * V",
        "the projection itself is returned: the part along V is kept, and should be taken away",
        _SUBTRACT,
    ),
    _gradients(
        "m-missing",
        _GAIN,
        "1 / norm",
        "the gradient of V lacks the factor m: the magnitude is missing",
        _FACTOR,
    ),
    _gradients(
        "norm-missing",
        _GAIN,
        "magnitude[:, None]",
        "the gradient of V lacks the factor 1/‖V‖: it was not divided by the norm",
        _FACTOR,
    ),
    _gradients(
        "norm-twice",
        _GAIN,
        "magnitude[:, None] / norm**2",
        "the gradient of V is divided by ‖V‖ once too often: by the squared norm",
        _FACTOR,
    ),
    _gradients(
        "m-in-one-term",
        _PROJECTED,
        "G - along / norm**2 / magnitude[:, None] * V",
        "m multiplies G alone, and not the projection that is subtracted: it belongs to both terms",
        "m/‖V‖ · (G - projection), with parentheses",
    ),
    _gradients(
        "zero-when-detached",
        _IF,
        "0 * G if detach",
        "with a detached norm the gradient of V is zero here; only the norm is detached, and V "
        "still has the gradient m/‖V‖ · G",
        "If detach is True, the gradient of V is m/‖V‖ · G",
    ),
    _gradients(
        "m-zero-when-detached",
        _GM,
        "(0 if detach else 1) * (along / norm)[:, 0]",
        "with a detached norm the gradient of m is zero here; it is the same either way",
        "The gradient of m is (G·V)/‖V‖ in both cases",
    ),
    _gradients(
        "whole-matrix",
        _PROJECTED,
        "G - along.sum() / norm**2 * V",
        "the product of G and V is summed over the whole matrix, where each row has its own",
        "Sum over dim=1 with keepdim=True",
    ),
    _gradients(
        "whole-matrix-after-the-gain",
        _GV,
        "gain * G if detach else gain * G - (gain * G * V / norm).sum() * V / norm",
        "the projection is summed over the whole matrix, where each row has its own",
        "Sum over dim=1 with keepdim=True",
    ),
    _gradients(
        "mean-for-sum",
        _GM,
        "(along / norm)[:, 0] / G.shape[1]",
        "the gradient of m is a mean over the row, where it is a sum: too small by d_in",
        "(G * V / ‖V‖).sum(dim=1)",
    ),
    _gradients(
        "m-times-m",
        _GM,
        "magnitude * (along / norm)[:, 0]",
        "the gradient of m has a factor m: m is what is derived by",
        "W' = m V/‖V‖, so the gradient of m is (G·V)/‖V‖",
    ),
    _gradients(
        "m-by-the-square",
        _GM,
        "(along / norm**2)[:, 0]",
        "the gradient of m is divided by ‖V‖ once too often",
        "W' = m V/‖V‖, so the gradient of m is (G·V)/‖V‖",
    ),
)


def _right_m(case: Case, expected: Outcome, observed: Outcome) -> bool:
    return agree(expected["gradient of m"], observed["gradient of m"])


def _is(detach: bool):
    return lambda case, expected, observed: case["detach"] is detach


def _first_right(case: Case, expected: Outcome, observed: Outcome) -> bool:
    names = ("gradient of m", "gradient of V")
    return all(agree(expected[name], observed[name]) for name in names)


def _one_for_each_column(case: Case, expected: Outcome, observed: Outcome) -> bool:
    return observed["gradient of m"].shape == case["V"].shape[1:]


def _not_perpendicular(case: Case, expected: Outcome, observed: Outcome) -> bool:
    if case["detach"]:
        return False
    along = (observed["gradient of V"] * case["V"]).sum(dim=1)
    return not agree(torch.zeros_like(along), along)


GRADIENTS_SYMPTOMS = (
    Symptom(
        "gradient of m",
        "there is one gradient for each column, an input feature, where each row has a magnitude",
        "Norms and sums run over dim=1 of (d_out, d_in)",
        _one_for_each_column,
    ),
    Symptom(
        "second call: of V",
        "right at the first call, and not at the second with the same tensors: gradients add up in "
        "the .grad of the inputs themselves",
        "Work on copies: V.detach().clone().requires_grad_()",
        _first_right,
        decides=True,
    ),
    Symptom(
        "second call: gradient of m",
        "right at the first call, and not at the second with the same tensors: gradients add up in "
        "the .grad of the inputs themselves",
        "Work on copies: V.detach().clone().requires_grad_()",
        _first_right,
        decides=True,
    ),
    Symptom(
        "gradient of V",
        "the norm is in the graph, and the gradient of V is not at right angles to the rows of V: "
        "the part along V has to go, row by row",
        "Subtract the projection of G on each row of V, (G·V)/‖V‖² · V",
        _not_perpendicular,
    ),
    Symptom(
        "gradient of V",
        "with a detached norm the gradient of V is m/‖V‖ · G, and this is not",
        "If detach is True, the gradient of V is m/‖V‖ · G",
        _is(True),
    ),
    Symptom(
        "gradient of V",
        "the gradient of m is right, and that of V is not",
        _FACTOR,
        _right_m,
    ),
    Symptom(
        "gradient of m",
        "the gradient of m is not (G·V)/‖V‖, row by row",
        "W' = m V/‖V‖, so the gradient of m is (G·V)/‖V‖",
    ),
)
