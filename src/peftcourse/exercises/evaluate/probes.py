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

# What an answer to evaluate.diagnose may return.
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
# Numbers for them that are no simple function of each other.
CODES = dict(zip(CAUSES, (1009, 2503, 4517, 7919, 12553, 19373, 28657, 41161, 57037), strict=True))


def number(value: Any) -> Any:
    """A tensor of one number as that number; whether it was one is not the question."""
    return value.item() if isinstance(value, Tensor) and value.numel() == 1 else value


def tokens(answer: Any, case: Case) -> Outcome:
    """The loss, and the gradient that a training step would use."""
    logits = case["logits"].requires_grad_()
    loss = answer(logits, case["labels"])
    gradient = torch.zeros_like(logits)
    if isinstance(loss, Tensor) and loss.requires_grad:
        (found,) = torch.autograd.grad(loss.sum(), [logits], allow_unused=True)
        gradient = gradient if found is None else found
    return {"loss": number(loss), "gradient of the logits": gradient}


def stop(answer: Any, case: Case) -> Outcome:
    """The pair for each series, by kind, and how many results are no index of their series."""
    kept, last = "kept evaluations that are no index", "last evaluations that are no index"
    outcome: Outcome = {kept: 0, last: 0}
    for kind, given in case["series"].items():
        pairs = []
        for losses, patience, min_delta in given:
            first, second = answer(losses, patience, min_delta)
            pairs.append([_as_float(first), _as_float(second)])
            outcome[kept] += pairs[-1][0] not in range(len(losses))
            outcome[last] += pairs[-1][1] not in range(len(losses))
        outcome[kind] = torch.tensor(pairs, dtype=torch.float64)
    both = torch.cat([outcome[kind] for kind in case["series"]])
    return outcome | {"all evaluations kept": both[:, 0], "all last evaluations": both[:, 1]}


def _as_float(value: Any) -> float:
    """A number of any kind; NaN for anything else."""
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):
        return math.nan


def bins(answer: Any, case: Case) -> Outcome:
    counts, confidence, accuracy = answer(case["confidence"], case["correct"], case["bins"])
    if isinstance(counts, Tensor):
        counts = counts.double()
    return {"counts": counts, "confidence": confidence, "accuracy": accuracy}


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
    """The code of the cause that is named for each kind of run, and what is named besides."""
    said: list[Any] = []

    def codes(runs: list[dict[str, float | None]]) -> Tensor:
        names = [_said(answer, run) for run in runs]
        said.extend(names)
        # A result that is no text at all need not be hashable.
        return torch.tensor([CODES.get(n, 0) if isinstance(n, str) else 0 for n in names])

    kinds = {kind: codes(runs) for kind, runs in case["runs"].items()}
    two = codes(case["two"])
    at, below = codes(case["border"])
    unknown = [name for name in said if isinstance(name, str) and name not in CODES]
    return {
        "answers that are None": sum(name is None for name in said),
        "answers that are no text": sum(not isinstance(n, str) and n is not None for n in said),
        "other capitals": sum(name.strip().lower() in CODES for name in unknown),
        "other names": sum(name.strip().lower() not in CODES for name in unknown),
        **kinds,
        "`first` is exactly 2 % off `start`": at - below,
        "two questions with a yes": two,
    }


def _said(answer: Any, run: dict[str, float | None]) -> Any:
    """What is said of a run. A case says None for NaN, which would not be equal to itself."""
    given = {key: math.nan if value is None else value for key, value in run.items()}
    try:
        return answer(given)
    finally:
        # What the answer changed has changed in the case.
        run.clear()
        run.update({key: None if value != value else value for key, value in given.items()})
