"""Lesson 11, the Brier score: the reference solution and typical wrong answers."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from peftcourse.exercises.core import slip


def brier(probabilities: Tensor, labels: Tensor) -> float:
    truth = F.one_hot(labels, probabilities.shape[1])
    squares = (probabilities - truth).square()
    return squares.sum(dim=1).mean().item()


BRIER = (
    slip(
        brier,
        "mean-over-classes",
        "sum(dim=1)",
        "mean(dim=1)",
        "the squares of an example are averaged over the classes, which makes many classes look "
        "better",
        "Sum over the classes, then take the mean over the examples",
    ),
    slip(
        brier,
        "absolute",
        "square()",
        "abs()",
        "absolute differences instead of squares: that rule is not proper, overstating pays",
        "Square the differences",
    ),
    slip(
        brier,
        "summed",
        "mean().item()",
        "sum().item()",
        "the scores of the examples are summed; their mean is asked for",
        "Divide by the number of examples",
    ),
    slip(
        brier,
        "right-class-only",
        "squares.sum(dim=1)",
        "squares.gather(1, labels[:, None])",
        "only the right class counts; it matters where the rest of the probability went",
        "Sum the squares over all classes",
    ),
    slip(
        brier,
        "top-class-only",
        "squares.sum(dim=1)",
        "squares.gather(1, probabilities.argmax(dim=1, keepdim=True))",
        "only the class with the largest probability counts",
        "Sum the squares over all classes",
    ),
    slip(
        brier,
        "wrong-classes-only",
        "squares.sum(dim=1)",
        "(squares * (1 - truth)).sum(dim=1)",
        "the right class is left out of the sum",
        "Sum the squares over all classes",
    ),
    slip(
        brier,
        "rooted",
        "mean().item()",
        "mean().sqrt().item()",
        "this is the root of the score",
        "Leave out the square root",
    ),
    slip(
        brier,
        "distance",
        "sum(dim=1)",
        "sum(dim=1).sqrt()",
        "this is the mean of the distances: the root of each sum of squares is taken",
        "Leave out the square root, or norm",
    ),
    slip(
        brier,
        "softmax-of-probabilities",
        "(probabilities - truth)",
        "(probabilities.softmax(dim=1) - truth)",
        "softmax is taken of what are probabilities already",
        "Use the probabilities as they are",
    ),
    slip(
        brier,
        "divided-by-the-classes",
        "sum(dim=1)",
        "sum(dim=0)",
        "the sum runs over the wrong axis: all squares are divided by the number of classes, not "
        "by that of the examples",
        "Sum over dim=1, the classes",
    ),
    slip(
        brier,
        "own-prediction",
        "F.one_hot(labels",
        "F.one_hot(probabilities.argmax(dim=1)",
        "the truth is taken from the predictions; the labels make no difference",
        "Make the one-hot rows of the labels",
    ),
    slip(
        brier,
        "square-of-the-sum",
        "(probabilities - truth).square()",
        "(probabilities - truth).sum(dim=1, keepdim=True).square()",
        "the result is zero: differences that are summed before they are squared cancel",
        "Square each difference, then sum",
    ),
    slip(
        brier,
        "without-the-truth",
        "(probabilities - truth)",
        "probabilities",
        "the probabilities themselves are squared: the truth is not subtracted, and the labels "
        "make no difference",
        "Subtract the one-hot rows of the labels first",
    ),
    slip(
        brier,
        "right-class-twice",
        "squares.sum(dim=1)",
        "(squares * truth + probabilities.square()).sum(dim=1)",
        "the right class counts twice: its probability is also among those that are squared",
        "Leave the right class out of the sum over the wrong ones",
    ),
    slip(
        brier,
        "error-rate",
        "squares.sum(dim=1)",
        "(probabilities.argmax(dim=1) != labels).double()",
        "this is the share of wrong predictions; how sure they are makes no difference",
        "Use the probabilities, not the predicted class alone",
    ),
    slip(
        brier,
        "cross-entropy",
        "squares.sum(dim=1)",
        "(-probabilities.gather(1, labels[:, None]).log())",
        "this is the cross-entropy, the logarithmic score; squared differences are asked for",
        "Sum the squares of probability - [class is right]",
    ),
    slip(
        brier,
        "cross-entropy-of-probabilities",
        "squares.sum(dim=1)",
        "F.cross_entropy(probabilities, labels)",
        "this is F.cross_entropy, which takes logits too; squared differences are asked for",
        "Sum the squares of probability - [class is right]",
    ),
)
