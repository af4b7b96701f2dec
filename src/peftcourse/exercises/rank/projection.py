"""Lesson 02, all weights driven by a few numbers, rightly and wrongly."""

from __future__ import annotations

import torch
from torch import Tensor

from peftcourse.exercises.core import Mutant, Symptom, slip
from peftcourse.exercises.observe import Case, Outcome


def project(z: Tensor, coordinate: Tensor, sign: Tensor) -> Tensor:
    counts = torch.bincount(coordinate, minlength=len(z))
    scaled = z / counts.to(z.dtype).sqrt()
    return sign * scaled[coordinate]


def _project_transposed(z, coordinate, sign):
    return torch.zeros_like(z).index_add(0, coordinate, project(z, coordinate, sign) * sign)


def _project_transposed_twice(z, coordinate, sign):
    """Pᵀ of what P without its factors makes of z."""
    counts = torch.bincount(coordinate, minlength=len(z)).clamp(min=1).to(z.dtype)
    shares = sign * z[coordinate] / counts[coordinate].sqrt()
    return torch.zeros_like(z).index_add(0, coordinate, shares)


def _project_signs_counted(z, coordinate, sign):
    counts = torch.zeros_like(z).index_add(0, coordinate, sign.to(z.dtype)).abs()
    return z[coordinate] * sign / counts[coordinate].sqrt()


def _project_unit(z, coordinate, sign):
    result = sign * z[coordinate]
    return result / result.norm()


def _project_length_of_z(z, coordinate, sign):
    return _project_unit(z, coordinate, sign) * z.norm()


_ROOT = "counts.to(z.dtype).sqrt()"
_COUNT = "Count with torch.bincount how many weights each coordinate drives"
_SIGNS = (
    "the signs of a coordinate's weights are added up in place of counting them: they cancel",
    _COUNT,
)
_FROM_ONE = (
    "each weight takes the number of the coordinate before its own: off by one, for coordinates "
    "count from 0",
    "Index with coordinate as it is",
)
_TRANSPOSED = (
    "the weights are added up into coordinates: that is Pᵀ, and P gives one number for each weight",
    "Index z with coordinate, which gives (D,)",
)

PROJECT = (
    slip(
        project,
        "sign-forgotten",
        "sign * ",
        "",
        "the signs are not used: all weights of a coordinate would move the same way",
        "Multiply each weight's share by its sign",
    ),
    slip(
        project,
        "root-forgotten",
        ".sqrt()",
        "",
        "divided by n and not by √n: P's columns have length 1/√n",
        "Take the root of the number of weights",
    ),
    slip(
        project,
        "not-normalised",
        f" / {_ROOT}",
        "",
        "P's columns have length √n instead of 1: what drives many weights counts more",
        "Divide z by the root of how many weights it drives",
    ),
    slip(
        project,
        "multiplied",
        "z / counts",
        "z * counts",
        "multiplied by √n where it has to be divided",
        "Divide z by the root of how many weights it drives",
    ),
    slip(
        project,
        "detached",
        "z / counts",
        "z.detach() / counts",
        "z is detached: the weights are right, and no gradient ever reaches z, which is to train",
        "Compute with z itself",
    ),
    slip(
        project,
        "one-scale-for-all",
        _ROOT,
        "(len(sign) / len(z)) ** 0.5",
        "one factor for all coordinates: they do not drive equally many weights",
        _COUNT,
    ),
    slip(
        project,
        "number-of-weights",
        _ROOT,
        "len(sign) ** 0.5",
        "divided by the root of the number of all weights, not of those of the coordinate",
        _COUNT,
    ),
    slip(
        project,
        "number-of-coordinates",
        _ROOT,
        "len(z) ** 0.5",
        "divided by the root of the number of coordinates, not of how many weights each has",
        _COUNT,
    ),
    slip(
        project,
        "signs-counted",
        "torch.bincount(coordinate, minlength=len(z))",
        "torch.zeros_like(z).index_add(0, coordinate, sign.to(z.dtype)).abs()",
        *_SIGNS,
    ),
    Mutant("signs-counted-for-each-weight", _project_signs_counted, *_SIGNS),
    slip(
        project,
        "in-blocks",
        "scaled[coordinate]",
        "scaled.repeat_interleave(counts)",
        "z is spread in blocks, as if coordinate were sorted: it says which of them drives each "
        "weight",
        "Index with it: scaled[coordinate]",
    ),
    slip(
        project,
        "from-one",
        "scaled[coordinate]",
        "z[coordinate - 1] / counts[coordinate].sqrt()",
        *_FROM_ONE,
    ),
    slip(project, "scaled-from-one", "scaled[coordinate]", "scaled[coordinate - 1]", *_FROM_ONE),
    Mutant("transposed", _project_transposed, *_TRANSPOSED),
    Mutant("transposed-of-shares", _project_transposed_twice, *_TRANSPOSED),
    Mutant(
        "length-one",
        _project_unit,
        "the whole result is normalised to length 1: then it does not grow with z",
        "Normalise P's columns, each with its own 1/√n, and not the result",
    ),
    Mutant(
        "length-of-z",
        _project_length_of_z,
        "the whole result is brought to the length of z: each column of P needs its own 1/√n",
        _COUNT,
    ),
)


def _none(case: Case, expected: Outcome, observed: Outcome) -> bool:
    seen = observed.get("gradient of z")
    return isinstance(seen, Tensor) and not seen.any()


NO_GRADIENT = Symptom(
    "gradient of z",
    "no gradient reaches z, which is to train: it was detached, or numbers were taken out of it "
    "(`.item()`, `.tolist()`, `no_grad`) and put into a new tensor",
    "Compute the result from z with tensor operations alone",
    when=_none,
)
