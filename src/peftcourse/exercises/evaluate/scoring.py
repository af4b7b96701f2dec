"""Lesson 11, Brier score and temperature: solutions, typical wrong answers and symptoms."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from peftcourse.exercises.compare import agree
from peftcourse.exercises.core import Mutant, Symptom, slip
from peftcourse.exercises.observe import Case, Outcome

# --- evaluate.brier -------------------------------------------------------------------------------


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


def _first_rise(logits, labels, test_logits, candidates):
    """Stops where the loss rises, as if the candidates were in order."""
    losses = [float(F.cross_entropy(logits / T, labels)) for T in candidates]
    last = next((i for i in range(1, len(losses)) if losses[i] > losses[i - 1]), len(losses))
    best = candidates[last - 1]
    return best, (test_logits / best).softmax(dim=1)


def _inaccuracy(logits: Tensor, labels: Tensor) -> Tensor:
    return 1 - (logits.argmax(dim=1) == labels).double().mean()


def _improbability(logits: Tensor, labels: Tensor) -> Tensor:
    return 1 - logits.softmax(dim=1).gather(1, labels[:, None]).mean()


def squared_error(logits: Tensor, labels: Tensor) -> Tensor:
    """The Brier score, as a measure that chooses a temperature."""
    truth = F.one_hot(labels, logits.shape[1])
    return (logits.softmax(dim=1) - truth).square().sum(dim=1).mean()


def confidence_gap(logits: Tensor, labels: Tensor) -> Tensor:
    """How far the mean confidence is from the accuracy."""
    return (logits.softmax(dim=1).amax(dim=1).mean() - 1 + _inaccuracy(logits, labels)).abs()


def _by(id: str, measure: str, diagnosis: str) -> Mutant:
    return slip(
        temperature,
        id,
        "F.cross_entropy(",
        f"{measure}(",
        diagnosis,
        "Choose by the cross-entropy on the validation examples",
    )


def _among(id: str, change, diagnosis: str) -> Mutant:
    """The right temperature, of other candidates."""

    def answer(validation_logits, validation_labels, test_logits, candidates):
        others = change(candidates) or candidates
        return temperature(validation_logits, validation_labels, test_logits, others)

    return Mutant(id, answer, diagnosis, "Try all candidates, and no other temperature")


TEMPERATURE = (
    slip(
        temperature,
        "multiplied",
        "validation_logits / T",
        "validation_logits * T",
        "the logits are multiplied by the temperature: what should soften sharpens",
        "Divide the logits by the temperature",
        ("test_logits / best", "test_logits * best"),
    ),
    slip(
        temperature,
        "over-the-examples",
        "softmax(dim=1)",
        "softmax(dim=0)",
        "the softmax runs over the examples: the rows, over the classes, do not sum to 1",
        "Use dim=1, the classes",
    ),
    slip(
        temperature,
        "multiplied-on-test",
        "test_logits / best",
        "test_logits * best",
        "the temperature is right, and the test logits are multiplied by it, not divided",
        "Return softmax(test_logits / T)",
    ),
    slip(
        temperature,
        "not-applied",
        "test_logits / best",
        "test_logits",
        "the temperature is right, and the test logits were not divided by it",
        "Return softmax(test_logits / T)",
    ),
    slip(
        temperature,
        "logits-returned",
        ".softmax(dim=1)",
        "",
        "the scaled logits are returned; probabilities are asked for: the softmax is missing",
        "Return softmax(test_logits / T)",
    ),
    slip(
        temperature,
        "of-validation",
        "test_logits / best",
        "validation_logits / best",
        "these are the probabilities of the validation examples; those of test are asked for",
        "Return softmax(test_logits / T)",
    ),
    slip(
        temperature,
        "highest-loss",
        "argmin()",
        "argmax()",
        "the candidate with the highest cross-entropy is chosen; the lowest is asked for",
        "Use argmin: the lower the loss, the better",
    ),
    slip(
        temperature,
        "index",
        "return best,",
        "return candidates.index(best),",
        "the index of the candidate is returned, not its value",
        "Return candidates[index]",
    ),
    slip(
        temperature,
        "loss",
        "return best,",
        "return min(losses).item(),",
        "the lowest cross-entropy is returned, not the candidate that has it",
        "Return the temperature itself",
    ),
    slip(
        temperature,
        "softmax-twice",
        "F.cross_entropy(validation_logits / T,",
        "F.cross_entropy((validation_logits / T).softmax(dim=1),",
        "softmax is applied twice where the temperature is chosen: cross_entropy takes logits",
        "Give it the divided logits as they are",
    ),
    slip(
        temperature,
        "probabilities-divided",
        "(test_logits / best).softmax(dim=1)",
        "test_logits.softmax(dim=1) / best",
        "the probabilities are divided after the softmax, and no longer sum to 1: the logits are "
        "to be divided before it",
        "Return softmax(test_logits / T)",
    ),
    slip(
        temperature,
        "on-probabilities",
        "(test_logits / best).softmax(dim=1)",
        "(test_logits.softmax(dim=1) / best).softmax(dim=1)",
        "probabilities were divided in place of logits, and went through softmax twice",
        "Divide the logits, then take one softmax",
    ),
    _by(
        "by-accuracy",
        "_inaccuracy",
        "the temperature is chosen by accuracy, which no temperature changes: the first one wins",
    ),
    _by(
        "by-probability",
        "_improbability",
        "the temperature is chosen by the mean probability of the right class, which rewards being "
        "too sure",
    ),
    _by(
        "by-brier-score",
        "squared_error",
        "the temperature is chosen by the Brier score, squared errors, not by the cross-entropy",
    ),
    _by(
        "by-confidence",
        "confidence_gap",
        "the temperature is chosen by how near confidence is to accuracy, not by the cross-entropy",
    ),
    _among(
        "one-among-them",
        lambda candidates: [1.0, *candidates],
        "T = 1 wins although it is not among the candidates",
    ),
    _among(
        "above-one",
        lambda candidates: [T for T in candidates if T >= 1],
        "candidates below 1 are left out; a model that is not sure enough needs one",
    ),
    _among("last-left-out", lambda candidates: candidates[:-1], "the last candidate is not tried"),
    _among("first-left-out", lambda candidates: candidates[1:], "the first candidate is not tried"),
    Mutant(
        "first-rise",
        _first_rise,
        "the search stops at the first rise of the loss, as if the candidates were in order",
        "Try all candidates",
    ),
)


def _is_candidate(case: Case, right: Outcome, seen: Outcome) -> bool:
    value = seen["temperature"]
    return isinstance(value, (int, float)) and value in case["candidates"]


TEMPERATURE_SYMPTOMS = (
    Symptom(
        "temperature",
        "the temperature is none of the candidates: one of those in the list is asked for",
        "Return one of the candidates",
        lambda case, right, seen: (
            isinstance(seen["temperature"], (int, float)) and not _is_candidate(case, right, seen)
        ),
        decides=True,
    ),
    Symptom(
        "temperature",
        "the temperature is a candidate, but not that with the lowest cross-entropy on all "
        "validation examples: another measure chooses, or not all candidates are tried",
        "Compute F.cross_entropy(validation_logits / T, validation_labels) for each candidate",
        _is_candidate,
        decides=True,
    ),
    Symptom(
        "probabilities",
        "the temperature is right and the probabilities are not: they are those of the test "
        "examples, a softmax over the classes of their logits divided by it",
        "Return softmax(test_logits / T)",
        lambda case, right, seen: agree(right["temperature"], seen["temperature"]),
    ),
)
