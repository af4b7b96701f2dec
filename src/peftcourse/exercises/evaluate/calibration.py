"""Lesson 11, calibration: reference solutions and typical wrong answers."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from peftcourse.exercises.core import Mutant

# --- evaluate.bins --------------------------------------------------------------------------------


def bins(confidence: Tensor, correct: Tensor, bins: int) -> tuple[Tensor, Tensor, Tensor]:
    return _averages((confidence * bins).ceil().long() - 1, confidence, correct, bins)


def _averages(index, confidence, correct, bins):
    counts = torch.bincount(index, minlength=bins)
    summed = [
        torch.bincount(index, weights=values.to(confidence.dtype), minlength=bins)
        for values in (confidence, correct)
    ]
    filled = counts.clamp(min=1)
    return counts, summed[0] / filled, summed[1] / filled


def _bins_left(confidence, correct, bins):
    return _averages((confidence * bins).long().clamp(max=bins - 1), confidence, correct, bins)


def _bins_left_dropped(confidence, correct, bins):
    inside = confidence < 1
    return _bins_left(confidence[inside], correct[inside], bins)


def _bins_equal_mass(confidence, correct, bins):
    order = confidence.argsort()
    index = torch.empty_like(order)
    index[order] = torch.arange(len(order)) * bins // len(order)
    return _averages(index, confidence, correct, bins)


def _bins_over_all(confidence, correct, count):
    counts, sure, right = bins(confidence, correct, count)
    return counts, sure * counts / len(correct), right * counts / len(correct)


def _bins_centres(confidence, correct, count):
    counts, _, right = bins(confidence, correct, count)
    centres = (torch.arange(count, dtype=confidence.dtype) + 0.5) / count
    return counts, centres, right


BINS = (
    Mutant(
        "left-edges",
        _bins_left,
        "a confidence on the edge of two bins falls into the upper one",
        "A bin holds its right edge and not its left one: k / K < confidence ≤ (k + 1) / K",
    ),
    Mutant(
        "ones-lost",
        _bins_left_dropped,
        "a confidence of exactly 1 is in no bin",
        "The last bin holds 1: a bin holds its right edge",
    ),
    Mutant(
        "equal-mass",
        _bins_equal_mass,
        "the bins hold equally many predictions; they should be equally wide",
        "Put each confidence into the bin whose range it lies in",
    ),
    Mutant(
        "divided-by-all",
        _bins_over_all,
        "the sums of a bin are divided by the number of all predictions",
        "Divide by the number of predictions in the bin",
    ),
    Mutant(
        "centres",
        _bins_centres,
        "the confidence of a bin is its centre; its predictions may lie elsewhere",
        "Take the mean of the confidences that fell into the bin",
    ),
)

# --- evaluate.ece ---------------------------------------------------------------------------------


def ece(probabilities: Tensor, labels: Tensor, bins: int) -> float:
    confidence, predicted = probabilities.max(dim=1)
    return _gap(confidence, predicted == labels, bins)


def _gaps(confidence, correct, count):
    counts, sure, right = bins(confidence, correct, count)
    return counts.to(sure.dtype) / counts.sum(), right - sure


def _gap(confidence, correct, count):
    share, gap = _gaps(confidence, correct, count)
    return (share * gap.abs()).sum().item()


def _top(probabilities, labels):
    confidence, predicted = probabilities.max(dim=1)
    return confidence, predicted == labels


def _ece_of_label(probabilities, labels, count):
    given = probabilities.gather(1, labels[:, None])[:, 0]
    return _gap(given, _top(probabilities, labels)[1], count)


def _ece_unweighted(probabilities, labels, count):
    share, gap = _gaps(*_top(probabilities, labels), count)
    return gap[share > 0].abs().mean().item()


def _ece_largest(probabilities, labels, count):
    return _gaps(*_top(probabilities, labels), count)[1].abs().max().item()


def _ece_signed(probabilities, labels, count):
    share, gap = _gaps(*_top(probabilities, labels), count)
    return (share * gap).sum().abs().item()


def _ece_squared(probabilities, labels, count):
    share, gap = _gaps(*_top(probabilities, labels), count)
    return (share * gap.square()).sum().sqrt().item()


ECE = (
    Mutant(
        "of-the-label",
        _ece_of_label,
        "the confidence is that in the right class; a model that is wrong is sure of another one",
        "Take the largest probability, and whether its class is the right one",
    ),
    Mutant(
        "unweighted",
        _ece_unweighted,
        "all bins count the same, whether they hold three predictions or three hundred",
        "Weight each bin with its share of the predictions",
    ),
    Mutant(
        "largest-gap",
        _ece_largest,
        "this is the largest gap of any bin, the maximum calibration error",
        "Take the mean over bins, weighted with their shares",
    ),
    Mutant(
        "signed",
        _ece_signed,
        "gaps cancel: too sure in one bin makes up for not sure enough in another",
        "Take the absolute value in each bin, before the sum",
    ),
    Mutant(
        "squared",
        _ece_squared,
        "the gaps are squared, so large ones count more",
        "Take absolute values",
    ),
)

# --- evaluate.brier -------------------------------------------------------------------------------


def brier(probabilities: Tensor, labels: Tensor) -> float:
    truth = F.one_hot(labels, probabilities.shape[1])
    return (probabilities - truth).square().sum(dim=1).mean().item()


BRIER = (
    Mutant(
        "mean-over-classes",
        lambda probabilities, labels: brier(probabilities, labels) / probabilities.shape[1],
        "the squares of an example are averaged over the classes, which makes many classes look "
        "better",
        "Sum over the classes, then take the mean over the examples",
    ),
    Mutant(
        "right-class-only",
        lambda probabilities, labels: (
            (1 - probabilities.gather(1, labels[:, None])).square().mean().item()
        ),
        "only the right class counts; it matters where the rest of the probability went",
        "Sum the squares over all classes",
    ),
    Mutant(
        "top-class-only",
        lambda probabilities, labels: (
            (probabilities.max(1).values - (probabilities.argmax(1) == labels).double())
            .square()
            .mean()
            .item()
        ),
        "only the class with the largest probability counts",
        "Sum the squares over all classes",
    ),
    Mutant(
        "absolute",
        lambda probabilities, labels: (
            (probabilities - F.one_hot(labels, probabilities.shape[1]))
            .abs()
            .sum(dim=1)
            .mean()
            .item()
        ),
        "absolute differences instead of squares: that rule is not proper, overstating pays",
        "Square the differences",
    ),
    Mutant(
        "rooted",
        lambda probabilities, labels: brier(probabilities, labels) ** 0.5,
        "this is the root of the score",
        "Leave out the square root",
    ),
)

# --- evaluate.temperature -------------------------------------------------------------------------


def temperature(
    validation_logits: Tensor,
    validation_labels: Tensor,
    test_logits: Tensor,
    candidates: list[float],
) -> tuple[float, Tensor]:
    losses = [F.cross_entropy(validation_logits / T, validation_labels) for T in candidates]
    best = candidates[int(torch.stack(losses).argmin())]
    return best, (test_logits / best).softmax(dim=1)


def _temperature_by(score, logits, labels, test_logits, candidates):
    values = torch.stack([score((logits / T).softmax(1), labels) for T in candidates])
    best = candidates[int(values.argmax())]
    return best, (test_logits / best).softmax(dim=1)


def _temperature_multiplied(logits, labels, test_logits, candidates):
    losses = [F.cross_entropy(logits * T, labels) for T in candidates]
    best = candidates[int(torch.stack(losses).argmin())]
    return best, (test_logits * best).softmax(dim=1)


def _temperature_not_applied(logits, labels, test_logits, candidates):
    return temperature(logits, labels, test_logits, candidates)[0], test_logits.softmax(dim=1)


def _temperature_on_probabilities(logits, labels, test_logits, candidates):
    best, _ = temperature(logits, labels, test_logits, candidates)
    return best, (test_logits.softmax(dim=1) / best).softmax(dim=1)


def _accuracy(probabilities, labels):
    return (probabilities.argmax(dim=1) == labels).double().mean()


def _probability(probabilities, labels):
    return probabilities.gather(1, labels[:, None]).mean()


TEMPERATURE = (
    Mutant(
        "multiplied",
        _temperature_multiplied,
        "the logits are multiplied by the temperature: what should soften sharpens",
        "Divide the logits by the temperature",
    ),
    Mutant(
        "by-accuracy",
        lambda *inputs: _temperature_by(_accuracy, *inputs),
        "the temperature is chosen by accuracy, which no temperature changes: the first one wins",
        "Choose by the cross-entropy on the validation examples",
    ),
    Mutant(
        "by-probability",
        lambda *inputs: _temperature_by(_probability, *inputs),
        "the temperature is chosen by the mean probability of the right class, which rewards being "
        "too sure",
        "Choose by the mean logarithm of that probability: the cross-entropy",
    ),
    Mutant(
        "not-applied",
        _temperature_not_applied,
        "the temperature is right, and the test logits were not divided by it",
        "Return softmax(test_logits / T)",
    ),
    Mutant(
        "on-probabilities",
        _temperature_on_probabilities,
        "probabilities were divided in place of logits, and went through softmax twice",
        "Divide the logits, then take one softmax",
    ),
)
