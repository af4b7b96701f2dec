"""Lesson 10: what an answer is made to do. Runs where the answer runs; imports torch only.

Each probe takes an answer and a case, and returns tensors and numbers by name. Whether a value is
right is judged elsewhere.
"""

from __future__ import annotations

import math
from typing import Any

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
    chosen, at_edge = answer(runs, case["tuning_seed"])
    return {"rate": chosen, "optimum at the edge": int(at_edge)}


def interval(answer: Any, case: Case) -> Outcome:
    low, high = answer(case["scores"], dict(T))
    return {"lower end": _number(low), "upper end": _number(high)}


def paired(answer: Any, case: Case) -> Outcome:
    mean, half_width = answer(dict(case["first"]), dict(case["second"]), dict(T))
    return {"mean difference": _number(mean), "half width": _number(half_width)}


def gain(answer: Any, case: Case) -> Outcome:
    return {"result": _number(answer(case["scores"], case["full"], case["base"]))}


def ranks(answer: Any, case: Case) -> Outcome:
    """Whole numbers divided by 2 are float32 in torch; the exercise is not about dtypes."""
    result = answer(case["scores"])
    return {"result": result.float() if isinstance(result, Tensor) else result}


def holm(answer: Any, case: Case) -> Outcome:
    return {"result": answer(case["p"])}


def pareto(answer: Any, case: Case) -> Outcome:
    return {"result": answer(case["costs"], case["quality"])}


def decide(answer: Any, case: Case) -> Outcome:
    """The position of the method that the answer names, and -1 for a name that is in no row."""
    name = answer(case["rows"], case["memory"], case["must_merge"], case["margin"])
    names = [row["name"] for row in case["rows"]]
    return {"number of the row": names.index(name) if name in names else -1}


def _number(value: Any) -> Any:
    """A tensor of one element as a number; anything else as it is."""
    return value.item() if isinstance(value, Tensor) and value.numel() == 1 else value
