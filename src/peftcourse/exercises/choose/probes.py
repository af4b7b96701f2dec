"""Lesson 10: what an answer is made to do. Runs where the answer runs; imports torch only.

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

# 97.5 % quantiles of Student's t by degrees of freedom; of the normal distribution it is 1.960.
T = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}
T |= {10: 2.228, 11: 2.201, 12: 2.179, 13: 2.160, 14: 2.145, 15: 2.131, 16: 2.120, 17: 2.110}


def rate(answer: Any, case: Case) -> Outcome:
    """A run that diverged has no score in the case, and NaN for the answer."""
    runs = [
        {name: math.nan if value is None else value for name, value in run.items()}
        for run in case["runs"]
    ]
    given = list(runs)
    chosen, at_edge = answer(given, case["tuning_seed"])
    at_edge = _number(at_edge, tensors=True)
    kept = sum(one is other for one, other in zip(runs, given, strict=False))
    return {
        "runs left in their places": kept if len(given) == len(runs) else -1,
        "rate": _number(chosen),
        "optimum at the edge": int(at_edge) if isinstance(at_edge, bool) else at_edge,
    }


def interval(answer: Any, case: Case) -> Outcome:
    """Where the interval lies and how wide it is, for the scores and for scores spread twice."""
    outcome: Outcome = {}
    scores = case["scores"]
    for name, given in (("", scores), (", scores spread twice", 2 * scores - scores.mean())):
        low, high = answer(given, dict(T))
        low, high = _number(low), _number(high)
        if _numbers(low, high):
            outcome[f"middle{name}"] = (low + high) / 2
            outcome[f"half width{name}"] = (high - low) / 2
        else:
            outcome |= {f"middle{name}": low, f"half width{name}": high}
    return outcome


def paired(answer: Any, case: Case) -> Outcome:
    """Once with these scores, and once with scores that follow the seeds more strongly."""
    first, second = dict(case["first"]), dict(case["second"])
    mean, half_width = answer(first, second, dict(T))
    outcome = {
        "mean difference": _number(mean),
        "half width": _number(half_width),
        "seeds left to the caller": len(first) + len(second),
    }
    first, second = dict(case["first"]), dict(case["second"])
    # Seeds that are hard get harder, by the same for both: no difference changes.
    scores = {seed: [of[seed] for of in (first, second) if seed in of] for seed in first | second}
    hardness = {seed: sum(values) / len(values) for seed, values in scores.items()}
    middle = sum(hardness.values()) / len(hardness)
    noisy = [
        {seed: score + hardness[seed] - middle for seed, score in of.items()}
        for of in (first, second)
    ]
    mean, half_width = answer(*noisy, dict(T))
    return outcome | {
        "mean difference on harder seeds": _number(mean),
        "half width on harder seeds": _number(half_width),
    }


def gain(answer: Any, case: Case) -> Outcome:
    """Of the method, of a model that was not trained, and of full fine-tuning itself."""
    scores, full, base = case["scores"], case["full"], case["base"]
    return {
        "percent": _number(answer(scores, full, base)),
        "percent of an untrained model": _number(answer(torch.full_like(full, base), full, base)),
        "percent of full fine-tuning": _number(answer(full.clone(), full, base)),
    }


def ranks(answer: Any, case: Case) -> Outcome:
    """Whole numbers divided by 2 are float32 in torch; the exercise is not about dtypes."""
    result = answer(case["scores"])
    real = isinstance(result, Tensor) and not result.is_complex()
    return {"result": result.float() if real else result}


def holm(answer: Any, case: Case) -> Outcome:
    return {"result": answer(case["p"])}


def pareto(answer: Any, case: Case) -> Outcome:
    return {"result": answer(case["costs"], case["quality"])}


def decide(answer: Any, case: Case) -> Outcome:
    """The position of the method that the answer names; -1 for a name that is in no row, and -2
    for a number."""
    name = answer(case["rows"], case["memory"], case["must_merge"], case["margin"])
    names = [row["name"] for row in case["rows"]]
    if isinstance(name, (int, float, Tensor)):
        return {"number of the row": -2}
    if not isinstance(name, str):
        return {"number of the row": name}
    return {"number of the row": names.index(name) if name in names else -1}


def _number(value: Any, tensors: bool = False) -> Any:
    """A number of NumPy as one of Python; a tensor of one element, too, if ``tensors``."""
    if type(value).__module__ == "numpy" and getattr(value, "ndim", 1) == 0:
        return value.item()
    return value.item() if tensors and isinstance(value, Tensor) and value.numel() == 1 else value


def _numbers(*values: Any) -> bool:
    return all(isinstance(value, (int, float)) for value in values)
