"""Lesson 07, the best linear stand-in: reference solution and typical wrong answers."""

from __future__ import annotations

import torch
from torch import Tensor

from peftcourse.exercises.compare import agree
from peftcourse.exercises.core import Symptom, slip
from peftcourse.exercises.observe import Case, Outcome


def affine(u: Tensor, added: Tensor) -> tuple[Tensor, Tensor, float]:
    design = torch.cat([u, u.new_ones(len(u), 1)], dim=1)
    solution = torch.linalg.lstsq(design, added).solution
    M, c = solution[:-1].T, solution[-1]
    left = added - (u @ M.T + c)
    residual = left.norm() / added.norm()
    return M, c, residual.item()


_FIT = "torch.linalg.lstsq(design, added).solution"
_RESIDUAL = "left.norm() / added.norm()"


def _affine(id: str, old: str, new: str, diagnosis: str, action: str, *more: tuple[str, str]):
    return slip(affine, id, old, new, diagnosis, action, *more)


def _wrong_residual(id: str, new: str, what: str, action: str):
    return _affine(id, _RESIDUAL, new, f"the map is right; {what}", action)


AFFINE = (
    _affine(
        "no-intercept",
        _FIT,
        "torch.cat([torch.linalg.lstsq(u, added).solution, torch.zeros_like(added[:1])])",
        "no constant was fitted: this is the best linear map, and a merge may use a bias too",
        "Give u a column of ones, and take its coefficients as c",
    ),
    _affine(
        "mean-as-intercept",
        "solution[-1]",
        "added.mean(0)",
        "c is the mean of what is added, as if the inputs were centred",
        "c = mean(added) - M mean(u), or fit it with a column of ones",
    ),
    _wrong_residual(
        "squared",
        "(left.norm() / added.norm()) ** 2",
        "the residual is the ratio of squares",
        "Divide norms, not their squares",
    ),
    _wrong_residual(
        "not-relative",
        "left.norm()",
        "the residual is not relative to what the adapter adds",
        "Divide by the norm of added",
    ),
    _wrong_residual(
        "relative-to-spread",
        "left.norm() / (added - added.mean(0)).norm()",
        "the residual is relative to the spread of what is added, not to all of it",
        "Divide by the norm of added, without taking away its mean",
    ),
    _wrong_residual(
        "mean-of-tokens",
        "(left.norm(dim=1) / added.norm(dim=1)).mean()",
        "a mean of each token's ratio counts tokens that get little like others",
        "Take one norm over all tokens, above and below",
    ),
    _wrong_residual(
        "mean-of-outputs",
        "(left.norm(dim=0) / added.norm(dim=0)).mean()",
        "a mean of each output's ratio counts outputs that get little like others",
        "Take one norm over all numbers, above and below",
    ),
    _wrong_residual(
        "relative-to-u",
        "left.norm() / u.norm()",
        "the residual is relative to u, what is read, and not to what is added",
        "Divide by the norm of added",
    ),
    _wrong_residual(
        "relative-to-the-fit",
        "left.norm() / (added - left).norm()",
        "the residual is relative to the fit, and not to what is added",
        "Divide by the norm of added",
    ),
    _wrong_residual(
        "spectral",
        "torch.linalg.norm(left, 2) / torch.linalg.norm(added, 2)",
        "the norm in the residual is the spectral one, and the Frobenius norm is asked for",
        "left.norm() of a matrix is its Frobenius norm; torch.linalg.norm(left, 2) is not",
    ),
    _wrong_residual(
        "absolute-values",
        "left.abs().sum() / added.abs().sum()",
        "the residual is made of absolute values, and the Frobenius norm takes squares",
        "Divide norms: (…).norm()",
    ),
    _wrong_residual(
        "share-explained",
        "1 - (left.norm() / added.norm()) ** 2",
        "this is the share that is explained (R²), not what is left",
        "Divide norms, not their squares, and do not subtract from 1",
    ),
    _affine(
        "half-the-tokens",
        _FIT,
        "torch.linalg.lstsq(design[::2], added[::2]).solution",
        "the fit uses every second input only",
        "Fit all rows of u and added",
    ),
    _affine(
        "first-half",
        _FIT,
        "torch.linalg.lstsq(design[: len(u) // 2], added[: len(u) // 2]).solution",
        "the fit uses the first half of the inputs only",
        "Fit all rows of u and added",
    ),
    _affine(
        "first-half-rounded-up",
        _FIT,
        "torch.linalg.lstsq(design[: (len(u) + 1) // 2], added[: (len(u) + 1) // 2]).solution",
        "the fit uses the first half of the inputs only",
        "Fit all rows of u and added",
    ),
    _affine(
        "fitted-backwards",
        "[u, u.new_ones(len(u), 1)]",
        "[added, u.new_ones(len(u), 1)]",
        "fitted backwards: the map from what is added to u",
        "lstsq(design, added): the design is made of u",
        (_FIT, "torch.linalg.lstsq(design, u).solution"),
        ("solution[:-1].T", "solution[:-1]"),
        ("added - (u @ M.T + c)", "u - (added @ M + c)"),
    ),
)


def _fits_less(case: Case, expected: Outcome, observed: Outcome) -> bool:
    """Whether M and c have the right shapes, and leave more than the best."""
    M, c = observed["M"], observed["c"]
    if M.shape != expected["M"].shape or c.shape != expected["c"].shape:
        return False
    left = case["added"] - (case["u"] @ M.to(case["u"]).T + c.to(case["u"]))
    best = case["added"] - (case["u"] @ expected["M"].T + expected["c"])
    return bool(left.norm() > best.norm() + 1e-6)


def _right_map(case: Case, expected: Outcome, observed: Outcome) -> bool:
    return all(agree(expected[name], observed[name]) for name in ("M", "c"))


_BEST = "Fit all rows of u and added in least squares, with a column of ones and no penalty"

AFFINE_SYMPTOMS = (
    Symptom(
        "M",
        "this map is not the closest in least squares: another one leaves less. It was not fitted "
        "to all rows of u and added, or with a penalty, or without a constant",
        _BEST,
        _fits_less,
    ),
    Symptom(
        "c",
        "M is right and c is not: with another c the map would leave less",
        "c = mean(added) - M mean(u), or fit it with a column of ones",
        _fits_less,
    ),
    Symptom(
        "residual",
        "the map is right, and the residual is not: it is the norm of what is left, divided by the "
        "norm of added",
        "(added - (u @ M.T + c)).norm() / added.norm()",
        _right_map,
    ),
)
