"""Lesson 10: what wrong intervals, ranks and p-values show, whatever the code is."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from peftcourse.exercises.core import Symptom
from peftcourse.exercises.observe import Case, Outcome

When = Callable[[Case, Outcome, Outcome], bool]


# --- choose.interval and choose.paired ------------------------------------------------------------


def _ratio(numerator: str, denominator: str, low: float, high: float) -> When:
    """The quotient of two parts that were observed lies between two numbers."""

    def when(case: Case, expected: Outcome, observed: Outcome) -> bool:
        one, other = observed[numerator], observed[denominator]
        real = isinstance(one, float) and isinstance(other, float)
        return real and other != 0 and low < one / other < high

    return when


def _standard_errors(low: float, high: float) -> When:
    """The half width is about so many standard errors."""

    def when(case: Case, expected: Outcome, observed: Outcome) -> bool:
        scores = case["scores"].double()
        error = scores.std().item() / math.sqrt(len(scores))
        half = observed["half width"]
        return isinstance(half, float) and low < half / error < high

    return when


def _is_tensor(part: str) -> When:
    return lambda case, expected, observed: isinstance(observed[part], Tensor)


def _right(part: str) -> When:
    return lambda case, expected, observed: (
        isinstance(observed[part], float)
        and math.isclose(expected[part], observed[part], rel_tol=1e-5)
    )


def _as_tensor(part: str) -> Symptom:
    return Symptom(
        part,
        "a tensor is returned where a Python number is asked for",
        "Take the number out of the tensor: `.item()`",
        _is_tensor(part),
    )


_NORMAL = Symptom(
    "half width",
    "the half width is about 1.96 standard errors whatever n is: the normal quantile, not "
    "Student's t",
    "Use t[n - 1]",
    _standard_errors(1.94, 2.02),
)

_NINETY = Symptom(
    "half width",
    "the half width is about 1.645 standard errors whatever n is: the normal quantile of 90 %",
    "Use t[n - 1]",
    _standard_errors(1.63, 1.66),
)


def _rounded(case: Case, expected: Outcome, observed: Outcome) -> bool:
    """Both parts are nearly right."""
    return all(
        isinstance(observed[part], float) and abs(observed[part] - expected[part]) < 0.006
        for part in ("middle", "half width")
    )


INTERVAL = (
    _as_tensor("middle"),
    Symptom(
        "half width",
        "the interval has no width",
        "The ends are the mean minus and plus the half width",
        lambda case, expected, observed: observed["half width"] == 0,
    ),
    Symptom(
        "half width",
        "the upper end comes before the lower end: the two ends are swapped",
        "Return the lower end first",
        lambda case, expected, observed: (
            isinstance(observed["half width"], float) and observed["half width"] < 0
        ),
    ),
    Symptom(
        "half width",
        "scores that are spread twice as far give four times the width, as with a variance: the "
        "standard deviation is its root",
        "Use the standard deviation, scores.std()",
        _ratio("half width, scores spread twice", "half width", 3.9, 4.1),
    ),
    Symptom(
        "half width",
        "scores that are spread twice as far give an interval just as wide",
        "The width has the standard deviation as a factor",
        _ratio("half width, scores spread twice", "half width", 0.999, 1.001),
    ),
    Symptom(
        "half width",
        "both ends are nearly right, as if they were rounded",
        "Do not round",
        _rounded,
    ),
    _NORMAL,
    _NINETY,
    Symptom(
        "half width",
        "the interval lies around the mean, but has the wrong width",
        "The half width is t[n - 1] standard errors, and the standard error is the standard "
        "deviation divided by the root of n",
        _right("middle"),
    ),
    Symptom(
        "middle",
        "the interval does not lie around the mean of the scores",
        "Return the mean minus and the mean plus the half width",
    ),
)

PAIRED = (
    Symptom(
        "seeds left to the caller",
        "the caller's dictionaries are changed: seeds have been taken out, or put in",
        "Leave the arguments as they are, and collect the differences in a new list",
        decides=True,
    ),
    _as_tensor("mean difference"),
    _as_tensor("half width"),
    Symptom(
        "half width",
        "the interval gets wider when seeds get harder for both methods alike: what the methods "
        "share has not dropped out, so nothing is subtracted seed by seed",
        "Take the difference for each seed first, then the spread of these differences",
        lambda case, expected, observed: (
            isinstance(observed["half width"], float)
            and isinstance(observed["half width on harder seeds"], float)
            and observed["half width on harder seeds"] > 1.001 * observed["half width"]
        ),
    ),
    Symptom(
        "mean difference",
        "the mean difference changes when seeds get harder for both methods alike: scores of "
        "different seeds are compared",
        "Subtract seed by seed, for the seeds that both have",
        lambda case, expected, observed: (
            isinstance(observed["mean difference"], float)
            and isinstance(observed["mean difference on harder seeds"], float)
            and not math.isclose(
                observed["mean difference"],
                observed["mean difference on harder seeds"],
                rel_tol=1e-3,
            )
        ),
    ),
    Symptom(
        "half width",
        "the mean difference is right, and the half width of its interval is not",
        "The half width is t[n - 1] standard errors of the differences; the standard error is "
        "their standard deviation divided by the root of n",
        _right("mean difference"),
    ),
    Symptom(
        "mean difference",
        "the half width is right, and the mean difference is not",
        "Take the mean of first − second over the seeds that both have",
        _right("half width"),
    ),
)

# --- choose.ranks ---------------------------------------------------------------------------------


def _vector(value: Any, like: Tensor) -> bool:
    return isinstance(value, Tensor) and value.shape == like.shape and not value.is_complex()


def _sum_of_ranks(more: bool) -> When:
    def when(case: Case, expected: Outcome, observed: Outcome) -> bool:
        value, right = observed["result"], expected["result"]
        if not _vector(value, right):
            return False
        difference = (value.double().sum() - right.double().sum()).item()
        return difference > 1e-3 if more else difference < -1e-3

    return when


def _has_ties(case: Case) -> bool:
    return any(len(column.unique()) < len(column) for column in case["scores"].T)


def _a_value_per_task(case: Case, expected: Outcome, observed: Outcome) -> bool:
    value, (methods, tasks) = observed["result"], case["scores"].shape
    return isinstance(value, Tensor) and value.shape == (tasks,) and methods != tasks


def _untied_at_ties(case: Case, expected: Outcome, observed: Outcome) -> bool:
    return (
        _has_ties(case)
        and _vector(observed["result"], expected["result"])
        and math.isclose(
            observed["result"].double().sum(), expected["result"].double().sum(), abs_tol=1e-3
        )
    )


def _only_ties(when: When) -> When:
    return lambda case, expected, observed: _has_ties(case) and when(case, expected, observed)


_SHARE = "Give those that tie the mean of the ranks that they take together: better + (equal + 1)/2"


def _without_ties(rule: Callable[[Tensor], Tensor]) -> When:
    """The result is that of a rule wherever no scores tie, where a rule needs nothing more."""

    def when(case: Case, expected: Outcome, observed: Outcome) -> bool:
        value = observed["result"]
        if not _vector(value, expected["result"]):
            return False
        return _has_ties(case) or torch.allclose(value.double(), rule(case["scores"]), atol=1e-4)

    return when


RANKS = (
    Symptom(
        "result",
        "without ties, the lowest score gets rank 1; and where methods tie, the ranks are wrong, "
        "too",
        "Count how many scores are higher",
        _without_ties(lambda scores: (scores.argsort(0).argsort(0) + 1.0).double().mean(1)),
    ),
    Symptom(
        "result",
        "what comes out is argsort's: the method at each place, not the place of each method",
        "Count the scores that are higher: (scores[None] > scores[:, None]).sum(1)",
        _without_ties(lambda scores: (scores.argsort(0, descending=True) + 1.0).double().mean(1)),
    ),
    Symptom(
        "result",
        "one value for each task comes out: the mean goes over the methods, along the wrong axis",
        "Average along dim 1, over the tasks",
        _a_value_per_task,
    ),
    Symptom(
        "result",
        "only tasks with ties are wrong, where the ranks add up to too little: methods that tie do "
        "not share the mean of their ranks",
        _SHARE,
        _only_ties(_sum_of_ranks(more=False)),
    ),
    Symptom(
        "result",
        "only tasks with ties are wrong, where the ranks add up to too much: methods that tie do "
        "not share the mean of their ranks",
        _SHARE,
        _only_ties(_sum_of_ranks(more=True)),
    ),
    Symptom(
        "result",
        "only tasks with ties are wrong: methods that tie get different ranks, or share those of "
        "others",
        _SHARE,
        _untied_at_ties,
    ),
    Symptom(
        "result",
        "the ranks of a task add up to less than 1 + 2 + … + M",
        "The best method of a task has rank 1, the worst rank M",
        _sum_of_ranks(more=False),
    ),
    Symptom(
        "result",
        "the ranks of a task add up to more than 1 + 2 + … + M",
        "The best method of a task has rank 1, the worst rank M",
        _sum_of_ranks(more=True),
    ),
    Symptom(
        "result",
        "the ranks have the right sum, but other methods have them",
        "A method's rank is 1 plus the number of methods with a higher score on the task",
        lambda case, expected, observed: (
            _vector(observed["result"], expected["result"])
            and math.isclose(
                observed["result"].double().sum(),
                expected["result"].double().sum(),
                abs_tol=1e-3,
            )
        ),
    ),
)

# --- choose.holm ----------------------------------------------------------------------------------


def _adjusted(test: Callable[[Tensor, Tensor], bool]) -> When:
    """What holds for the p-values and what came out for them, both sorted by p-value."""

    def when(case: Case, expected: Outcome, observed: Outcome) -> bool:
        value = observed["result"]
        if not _vector(value, expected["result"]) or value.dtype == torch.bool:
            return False
        order = case["p"].argsort()
        return bool(test(case["p"][order], value.double()[order]))

    return when


def _smallest_not_times_m(p: Tensor, value: Tensor) -> bool:
    return not math.isclose(value[0], min(1.0, len(p) * p[0]), rel_tol=1e-4)


HOLM = (
    Symptom(
        "result",
        "True and False come back, and adjusted p-values are asked for",
        "Return the adjusted values themselves, without comparing them with 0.05",
        lambda case, expected, observed: (
            isinstance(observed["result"], Tensor) and observed["result"].dtype == torch.bool
        ),
    ),
    Symptom(
        "result",
        "some values are above 1, which no probability can be",
        "Add clamp(max=1)",
        _adjusted(lambda p, value: (value > 1 + 1e-6).any()),
    ),
    Symptom(
        "result",
        "some adjusted values are below their own p-values, which no factor from m to 1 makes them",
        "Multiply by m, m − 1, …, 1 in sorted order, and put each value back: result[order] = …",
        _adjusted(lambda p, value: (value < p - 1e-6).any()),
    ),
    Symptom(
        "result",
        "a larger p-value ends below a smaller one: no value may be below the one before it",
        "Take the running maximum over the sorted values: cummax",
        _adjusted(lambda p, value: (value.diff() < -1e-6).any()),
    ),
    Symptom(
        "result",
        "the smallest p-value is not multiplied by m",
        "Multiply the smallest by m, the next by m − 1, and so on, the largest by 1",
        _adjusted(_smallest_not_times_m),
    ),
    Symptom(
        "result",
        "the smallest p-value is right, and larger ones are not",
        "Multiply the next by m − 1, and so on, and take the running maximum of all before",
        _adjusted(lambda p, value: not _smallest_not_times_m(p, value)),
    ),
)
