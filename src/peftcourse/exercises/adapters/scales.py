"""Lesson 07, merging IA³: reference solution and typical wrong answers."""

from __future__ import annotations

from torch import Tensor

from peftcourse.exercises.compare import agree
from peftcourse.exercises.core import Symptom, slip
from peftcourse.exercises.observe import Case, Outcome


def ia3(W: Tensor, bias: Tensor, scale: Tensor, where: str) -> tuple[Tensor, Tensor]:
    if where == "output":
        weight = scale[:, None] * W
        shift = scale * bias
    else:
        weight = W * scale
        shift = bias
    return weight, shift


_ROWS, _COLUMNS = "scale[:, None] * W", "W * scale"
_SCALED, _AS_IT_IS = "shift = scale * bias", "shift = bias"
_LINEAR = "l ⊙ (W x + b) = (l ⊙ W) x + l ⊙ b"

IA3 = (
    slip(
        ia3,
        "axes-swapped",
        _COLUMNS,
        "scale.unsqueeze(1) * W",
        "rows and columns are swapped; a square weight does not complain",
        "W is (d_out, d_in): outputs are its rows, scale[:, None] * W; inputs its columns",
        (_ROWS, "W * scale"),
    ),
    slip(
        ia3,
        "bias-forgotten",
        _SCALED,
        "shift = 1 * bias",
        "a scale of the output scales the bias too, and it is left as it was",
        _LINEAR,
    ),
    slip(
        ia3,
        "always-rows",
        _COLUMNS,
        "scale.unsqueeze(1) * W",
        "right for outputs; a scale of the input belongs to the columns",
        "For the input, multiply each column: W * scale",
    ),
    slip(
        ia3,
        "always-columns",
        _ROWS,
        "scale * W",
        "right for inputs; a scale of the output belongs to the rows",
        "For the output, multiply each row: scale[:, None] * W",
    ),
    slip(
        ia3,
        "bias-always-scaled",
        _AS_IT_IS,
        "shift = bias * scale",
        "a scale of the input never meets the bias, and it is scaled all the same",
        "W (l ⊙ x) + b: leave b as it is",
    ),
    slip(
        ia3,
        "bias-lost",
        _AS_IT_IS,
        "shift = 0 * bias",
        "the bias is zero where the input is scaled; it stays as it is",
        "W (l ⊙ x) + b: leave b as it is",
    ),
    slip(
        ia3,
        "where-exchanged",
        'where == "output"',
        'where != "output"',
        '"input" and "output" are exchanged, for the weight and for the bias',
        "Look at which branch belongs to which",
    ),
    slip(
        ia3,
        "always-output",
        'where == "output"',
        "True",
        "the input is treated like the output: `where` makes no difference",
        "A scale of the input belongs to the columns, and never meets the bias",
    ),
    slip(
        ia3,
        "always-input",
        'where == "output"',
        "False",
        "the output is treated like the input: `where` makes no difference",
        "A scale of the output belongs to the rows, and scales the bias too",
    ),
    slip(
        ia3,
        "divided",
        _ROWS,
        "W / scale[:, None]",
        "divided by the scale, and it multiplies",
        "Multiply by l itself",
        (_COLUMNS, "W / scale"),
        (_SCALED, "shift = bias / scale"),
    ),
    slip(
        ia3,
        "weight-divided",
        _ROWS,
        "W / scale[:, None]",
        "the weight is divided by the scale, and it multiplies",
        "Multiply by l itself",
        (_COLUMNS, "W / scale"),
    ),
    slip(
        ia3,
        "one-plus",
        _ROWS,
        "(1 + scale)[:, None] * W",
        "the scale is used as 1 + l: the adapter that does nothing has l = 1, not 0",
        "Multiply by l itself",
        (_COLUMNS, "W * (1 + scale)"),
        (_SCALED, "shift = (1 + scale) * bias"),
    ),
    slip(
        ia3,
        "weight-twice",
        _ROWS,
        "scale[:, None] ** 2 * W",
        "the scale is applied twice to the weight",
        "Multiply by l once",
        (_COLUMNS, "W * scale**2"),
    ),
    slip(
        ia3,
        "bias-twice",
        _SCALED,
        "shift = scale * scale * bias",
        "the scale is applied twice to the bias",
        _LINEAR,
    ),
    slip(
        ia3,
        "weight-by-the-mean",
        _ROWS,
        "scale.mean() * W",
        "the whole weight is multiplied by the mean of the scale; each row or column has a factor "
        "of its own",
        "scale[:, None] * W for the output, W * scale for the input",
        (_COLUMNS, "W * scale.mean()"),
    ),
    slip(
        ia3,
        "weight-as-it-was",
        _ROWS,
        "W.clone()",
        "the weight is left as it was, without the scale",
        "scale[:, None] * W for the output, W * scale for the input",
        (_COLUMNS, "W.clone()"),
    ),
    slip(
        ia3,
        "added",
        _ROWS,
        "scale[:, None] + W",
        "the scale is added to the weight, and it multiplies",
        "scale[:, None] * W for the output, W * scale for the input",
        (_COLUMNS, "W + scale"),
    ),
)


def _scales(which: str):
    return lambda case, expected, observed: case["where"] == which


def _right_weight(case: Case, expected: Outcome, observed: Outcome) -> bool:
    return agree(expected["weight"], observed["weight"])


IA3_SYMPTOMS = (
    Symptom(
        "bias",
        "where the input is scaled, the bias is not as it was: a scale of the input never meets it",
        "W (l ⊙ x) + b: leave b as it is",
        _scales("input"),
    ),
    Symptom(
        "bias",
        "where the output is scaled, the bias is not the old one times the scale, once",
        _LINEAR,
        _scales("output"),
    ),
    Symptom(
        "bias",
        "the weight is right and the bias is not, whichever is scaled",
        _LINEAR,
        _right_weight,
    ),
)
