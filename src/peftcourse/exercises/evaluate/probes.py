"""Lesson 11: what an answer is made to do. Runs where the answer runs; imports torch only.

Each probe takes an answer and a case, and returns tensors and numbers by name. Whether a value is
right is judged elsewhere.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

Case = dict[str, Any]
Outcome = dict[str, Any]

# What an answer to evaluate.diagnose may return; anything else becomes -1.
CAUSES = (
    "healthy",
    "rate too high",
    "wrong targets",
    "frozen by mistake",
    "labels shifted",
    "padding in the loss",
    "overfitting",
    "wrong dtype",
    "merged twice",
)


def number(value: Any) -> Any:
    """A tensor of one number as that number; whether it was one is not the question."""
    return value.item() if isinstance(value, Tensor) and value.numel() == 1 else value


def tokens(answer: Any, case: Case) -> Outcome:
    """The loss, and the gradient that a training step would use."""
    logits = case["logits"].clone().requires_grad_()
    loss = answer(logits, case["labels"])
    gradient = torch.zeros_like(logits)
    if isinstance(loss, Tensor) and loss.requires_grad:
        (gradient,) = torch.autograd.grad(loss.sum(), [logits])
    return {"loss": number(loss), "gradient of the logits": gradient}


def stop(answer: Any, case: Case) -> Outcome:
    """Every series of a case, with the same patience."""
    pairs = [answer(list(row), case["patience"], case["min_delta"]) for row in case["series"]]
    kept, stopped = zip(*pairs, strict=True)
    return {
        "evaluation to keep": torch.tensor([int(i) for i in kept]),
        "evaluation to stop after": torch.tensor([int(i) for i in stopped]),
    }


def bins(answer: Any, case: Case) -> Outcome:
    counts, confidence, accuracy = answer(case["confidence"], case["correct"], case["bins"])
    dtype = case["confidence"].dtype
    return {
        "counts": counts.to(dtype) if isinstance(counts, Tensor) else counts,
        "confidence": confidence,
        "accuracy": accuracy,
    }


def ece(answer: Any, case: Case) -> Outcome:
    return {"result": number(answer(case["probabilities"], case["labels"], case["bins"]))}


def brier(answer: Any, case: Case) -> Outcome:
    return {"result": number(answer(case["probabilities"], case["labels"]))}


def temperature(answer: Any, case: Case) -> Outcome:
    chosen, probabilities = answer(
        case["validation_logits"],
        case["validation_labels"],
        case["test_logits"],
        list(case["candidates"]),
    )
    return {"temperature": number(chosen), "probabilities": probabilities}


def error(answer: Any, case: Case) -> Outcome:
    mean, over_examples, over_seeds = map(number, answer(case["scores"]))
    return {"mean": mean, "error over examples": over_examples, "error over seeds": over_seeds}


def tradeoff(answer: Any, case: Case) -> Outcome:
    learned, forgotten = answer(case["target"], case["story"])
    return {"learned": learned, "forgotten": forgotten}


def diagnose(answer: Any, case: Case) -> Outcome:
    """The number of the cause that is named for each run of a case."""
    # A case says None for NaN, which would not be equal to itself.
    runs = [{k: math.nan if v is None else v for k, v in run.items()} for run in case["runs"]]
    said = [answer(run) for run in runs]
    return {"causes": torch.tensor([CAUSES.index(s) if s in CAUSES else -1 for s in said])}
