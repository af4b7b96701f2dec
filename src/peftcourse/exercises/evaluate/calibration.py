"""Lesson 11, the calibration error: the reference solution, typical wrong answers and symptoms."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from peftcourse.exercises.core import Mutant, Symptom, slip
from peftcourse.exercises.observe import Case, Outcome


def ece(probabilities: Tensor, labels: Tensor, bins: int) -> float:
    confidence, predicted = probabilities.max(dim=1)
    correct = predicted == labels
    index = (confidence * bins).ceil().long() - 1
    surplus = confidence - correct.to(confidence.dtype)
    counts = torch.bincount(index, minlength=bins)
    gaps = torch.bincount(index, weights=surplus, minlength=bins) / counts.clamp(min=1)
    shares = counts / len(labels)
    return (shares * gaps.abs()).sum().item()


def _ece_every_class(probabilities, labels, bins):
    right = F.one_hot(labels, probabilities.shape[1]).flatten()
    binary = torch.stack([torch.full_like(probabilities.flatten(), -1), probabilities.flatten()])
    return ece(binary.T, right, bins)


_SUM = "(shares * gaps.abs()).sum()"
_TOP = "correct = predicted == labels"

ECE = (
    slip(
        ece,
        "unweighted",
        _SUM,
        "gaps[counts > 0].abs().mean()",
        "all filled bins count the same, whether they hold three predictions or three hundred: "
        "each is to weigh by its share",
        "Weight each bin with its share of the predictions",
    ),
    slip(
        ece,
        "unweighted-with-empty",
        _SUM,
        "gaps.abs().mean()",
        "this is a plain mean over all bins, empty ones included: each is to weigh by its share",
        "Weight each bin with its share of the predictions",
    ),
    slip(
        ece,
        "left-edges",
        "(confidence * bins).ceil().long() - 1",
        "(confidence * bins).long().clamp(max=bins - 1)",
        "a confidence on the edge of two bins falls into the upper one",
        "Use the bins of the last exercise, k / K < confidence ≤ (k + 1) / K",
    ),
    slip(
        ece,
        "ones-lost",
        "gaps.abs())",
        "gaps.abs())[:bins]",
        "a confidence of exactly 1 is in no bin, and one on the edge of two is in the upper one",
        "Use the bins of the last exercise, k / K < confidence ≤ (k + 1) / K",
        ("(confidence * bins).ceil().long() - 1", "(confidence * bins).long()"),
    ),
    slip(
        ece,
        "of-the-label",
        _TOP,
        f"{_TOP}; confidence = probabilities.gather(1, labels[:, None])[:, 0]",
        "the confidence is that in the right class; a model that is wrong is sure of another one: "
        "the largest probability is meant",
        "Take the largest probability, and whether its class is the right one",
    ),
    slip(
        ece,
        "largest-gap",
        _SUM,
        "gaps.abs().max()",
        "this is the largest gap of any bin, the maximum calibration error",
        "Take the mean over bins, weighted with their shares",
    ),
    slip(
        ece,
        "signed",
        _SUM,
        "(shares * gaps).sum().abs()",
        "gaps cancel: too sure in one bin makes up for not sure enough in another, as if all "
        "predictions were in one bin",
        "Take the absolute value in each bin, before the sum",
    ),
    slip(
        ece,
        "signed-throughout",
        "gaps.abs()",
        "gaps",
        "the absolute value is missing: gaps of different sign cancel, and the result can be "
        "negative",
        "Take the absolute value in each bin, before the sum",
    ),
    slip(
        ece,
        "signed-and-unweighted",
        _SUM,
        "gaps.mean()",
        "the absolute value is missing, so that gaps cancel; and all bins weigh the same",
        "Take the absolute value in each bin, and weight it with the bin's share",
    ),
    slip(
        ece,
        "squared",
        _SUM,
        "(shares * gaps.square()).sum().sqrt()",
        "the gaps are squared, so large ones count more",
        "Take absolute values",
    ),
    slip(
        ece,
        "squared-without-root",
        "gaps.abs()",
        "gaps.square()",
        "the gaps are squared; their absolute values are asked for",
        "Take absolute values",
    ),
    slip(
        ece,
        "without-bins",
        _SUM,
        "surplus.abs().mean()",
        "this is the gap of each single prediction: they are not grouped into bins",
        "Average within each bin before you take the absolute value",
    ),
    Mutant(
        "every-class",
        _ece_every_class,
        "all probabilities are put into bins, those of every class; only the largest of each "
        "prediction is meant",
        "Take the largest probability, and whether its class is the right one",
    ),
    slip(
        ece,
        "softmax-of-probabilities",
        "probabilities.max(dim=1)",
        "probabilities.softmax(dim=1).max(dim=1)",
        "softmax is taken of what are probabilities already",
        "Use the probabilities as they are",
    ),
    slip(
        ece,
        "first-bin-forgotten",
        _SUM,
        "(shares * gaps.abs())[1:].sum()",
        "predictions in the lowest bin, number 0, do not count",
        "Let the loop begin at bin 0",
    ),
    slip(
        ece,
        "last-bin-forgotten",
        _SUM,
        "(shares * gaps.abs())[:-1].sum()",
        "predictions in the highest bin do not count",
        "Let the loop end with the last bin",
    ),
    slip(
        ece,
        "centres",
        "surplus = confidence -",
        "surplus = (index + 0.5) / bins -",
        "the centre of a bin, its middle, stands for the mean confidence in it",
        "Take the mean of the confidences that fell into the bin",
    ),
    slip(
        ece,
        "divided-by-the-bins",
        "counts / len(labels)",
        "counts / bins",
        "the gaps times their counts are divided by the number of bins, not by that of the "
        "predictions, N",
        "Divide by the number of predictions",
    ),
    slip(
        ece,
        "not-divided",
        "counts / len(labels)",
        "counts",
        "the gaps times their counts are added up and not divided by the number of predictions",
        "Divide by the number of predictions",
    ),
    slip(
        ece,
        "divided-by-filled-bins",
        "counts / len(labels)",
        "counts / (counts > 0).sum()",
        "the gaps times their counts are divided by the number of filled bins, not by that of the "
        "predictions",
        "Divide by the number of predictions",
    ),
    slip(
        ece,
        "too-sure-only",
        "gaps.abs()",
        "gaps.clamp(min=0)",
        "only bins that are too sure count; a bin that is not sure enough has a gap, too",
        "Take the absolute value in each bin",
    ),
    slip(
        ece,
        "not-sure-enough-only",
        "gaps.abs()",
        "(-gaps).clamp(min=0)",
        "only bins that are not sure enough count; a bin that is too sure has a gap, too",
        "Take the absolute value in each bin",
    ),
    slip(
        ece,
        "equal-mass",
        "(confidence * bins).ceil().long() - 1",
        "confidence.argsort().argsort() * bins // len(confidence)",
        "the bins hold equally many predictions; they should be equally wide",
        "Put each confidence into the bin whose range it lies in",
    ),
    slip(
        ece,
        "one-bin-more",
        "(confidence * bins).ceil().long() - 1",
        "(confidence * (bins + 1)).ceil().long() - 1",
        "there is one bin too many",
        "Divide 0 to 1 into `bins` bins",
    ),
    slip(
        ece,
        "one-bin-fewer",
        "(confidence * bins).ceil().long() - 1",
        "(confidence * (bins - 1)).ceil().long() - 1",
        "there is one bin too few",
        "Divide 0 to 1 into `bins` bins",
    ),
    slip(
        ece,
        "wrong-for-right",
        _TOP,
        "correct = predicted != labels",
        "confidence is compared with the share of wrong answers, not of right ones",
        "A prediction is right where its class equals the label",
    ),
)


def _rounded(case: Case, right: Outcome, seen: Outcome) -> bool:
    """Whether the result is the right one to a few decimals."""
    value = seen["result"]
    return isinstance(value, float) and any(
        math.isclose(value, round(right["result"], digits), abs_tol=1e-12) for digits in range(1, 5)
    )


ECE_SYMPTOMS = (
    Symptom(
        "result",
        "the result is NaN: an empty bin divides zero by zero",
        "Leave empty bins out of the sum",
        lambda case, right, seen: isinstance(seen["result"], float) and math.isnan(seen["result"]),
        decides=True,
    ),
    Symptom(
        "result",
        "the result is right, but rounded to a few decimals",
        "Return the number as it is, without round",
        _rounded,
        decides=True,
    ),
)
