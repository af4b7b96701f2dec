"""Lesson 11, temperature scaling: the reference solution, typical wrong answers and symptoms."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from peftcourse.exercises.compare import agree
from peftcourse.exercises.core import Mutant, Symptom, slip
from peftcourse.exercises.observe import Case, Outcome


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
        "too sure: small temperatures win",
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
    slip(
        temperature,
        "subtracted",
        "validation_logits / T",
        "validation_logits - T",
        "the temperature is subtracted from the logits, which changes no probability",
        "Divide the logits by the temperature",
        ("test_logits / best", "test_logits - best"),
    ),
    slip(
        temperature,
        "largest",
        "candidates[int(torch.stack(losses).argmin())]",
        "max(candidates)",
        "the largest candidate is taken, whatever the validation examples say",
        "Choose by the cross-entropy on the validation examples",
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


def _no_distribution(case: Case, right: Outcome, seen: Outcome) -> bool:
    """Whether rows of the right shape do not sum to 1."""
    rows = seen["probabilities"]
    if not isinstance(rows, Tensor) or rows.shape != right["probabilities"].shape:
        return False
    return not agree(torch.ones(len(rows)), rows.double().sum(dim=1))


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
        "the rows of the probabilities do not sum to 1: a softmax over the classes, dim=1, is "
        "missing, or something follows it",
        "Return softmax(test_logits / T)",
        _no_distribution,
    ),
    Symptom(
        "probabilities",
        "the temperature is right and the probabilities are not: they are those of the test "
        "examples, a softmax over the classes of their logits divided by it",
        "Return softmax(test_logits / T)",
        lambda case, right, seen: agree(right["temperature"], seen["temperature"]),
    ),
)
