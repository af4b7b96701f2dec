"""Lesson 10: what wrong parts of an outcome show, whatever the code is."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from peftcourse.exercises.core import Symptom
from peftcourse.exercises.observe import Case, Outcome

When = Callable[[Case, Outcome, Outcome], bool]


# --- choose.rate ----------------------------------------------------------------------------------


def _best_by(key: str, of: Callable[[Case, dict], bool]) -> When:
    """The rate that was returned is the best by this score of some runs, and not the right one."""

    def when(case: Case, expected: Outcome, observed: Outcome) -> bool:
        runs = [run for run in case["runs"] if run[key] is not None and of(case, run)]
        return bool(runs) and max(runs, key=lambda run: run[key])["rate"] == observed["rate"]

    return when


def _of_tuning_seed(case: Case, run: dict) -> bool:
    return run["seed"] == case["tuning_seed"]


def _no_rate(case: Case, expected: Outcome, observed: Outcome) -> bool:
    return observed["rate"] not in [run["rate"] for run in case["runs"]]


def _a_score(case: Case, expected: Outcome, observed: Outcome) -> bool:
    scores = [run[key] for run in case["runs"] for key in ("validation", "test")]
    return observed["rate"] in scores


def _diverged(case: Case, expected: Outcome, observed: Outcome) -> bool:
    runs = [run for run in case["runs"] if _of_tuning_seed(case, run)]
    scores = [run["validation"] for run in runs if run["rate"] == observed["rate"]]
    return None in scores


def _extreme(pick: Callable) -> When:
    return lambda case, expected, observed: (
        observed["rate"] == pick(run["rate"] for run in case["runs"])
    )


def _edge(said: int) -> When:
    return lambda case, expected, observed: (
        observed["rate"] == expected["rate"] and observed["optimum at the edge"] == said
    )


RATE = (
    Symptom(
        "rate",
        "a score is returned first, and its rate is asked for",
        "Take run['rate'] of the best run",
        _a_score,
    ),
    Symptom(
        "rate",
        "what is returned first is none of the rates",
        "Return run['rate'] of the best run",
        _no_rate,
    ),
    Symptom(
        "rate",
        "the rate that is returned diverged: with NaN, every comparison is False",
        "Drop the runs whose score is NaN before you compare: math.isnan",
        _diverged,
    ),
    Symptom(
        "rate",
        "the rate that is returned is the best by the test score, which a choice must not use",
        "Compare run['validation'] and leave run['test'] alone",
        _best_by("test", _of_tuning_seed),
    ),
    Symptom(
        "rate",
        "the rate that is returned is the best of all seeds; only the tuning seed may choose",
        "Keep the runs with run['seed'] == tuning_seed first",
        _best_by("validation", lambda case, run: True),
    ),
    Symptom(
        "rate",
        "always the highest of all rates is returned, whatever its score",
        "Take the rate of the best score, not the best of the rates",
        _extreme(max),
    ),
    Symptom(
        "rate",
        "always the lowest of all rates is returned, whatever its score",
        "Take the rate of the best score, not the best of the rates",
        _extreme(min),
    ),
    Symptom(
        "rate",
        "the rate that is returned is not the one with the tuning seed's best validation score",
        "Of the tuning seed's runs that did not diverge, take the one with the largest validation "
        "score",
        lambda case, expected, observed: not _no_rate(case, expected, observed),
    ),
    Symptom(
        "optimum at the edge",
        "the rate is right, and said to be at the edge although lower and higher ones were tried",
        "Compare it with min(rates) and max(rates), over all runs",
        _edge(1),
    ),
    Symptom(
        "optimum at the edge",
        "the rate is right, but the lowest or the highest that was tried, and not said to be",
        "Compare it with min(rates) and max(rates), over all runs",
        _edge(0),
    ),
    Symptom(
        "optimum at the edge",
        "the rate is right; whether it is the lowest or the highest of all rates is not",
        "Return best in (min(rates), max(rates)), over all runs",
        lambda case, expected, observed: observed["rate"] == expected["rate"],
    ),
)

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
    _NORMAL,
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

# --- choose.gain ----------------------------------------------------------------------------------


def _number(observed: Outcome, *parts: str) -> bool:
    return all(isinstance(observed[part], (int, float)) for part in parts)


GAIN = (
    Symptom(
        "percent",
        "a tensor is returned where a Python number is asked for",
        "Take the number out of the tensor: `.item()`",
        _is_tensor("percent"),
    ),
    Symptom(
        "percent of an untrained model",
        "a model that was not trained at all does not get 0 %: the gain does not start from the "
        "base model's score",
        "Subtract the base model's score from the mean score",
        lambda case, expected, observed: _number(observed, "percent of an untrained model"),
    ),
    Symptom(
        "percent of full fine-tuning",
        "full fine-tuning itself does not get 100 %",
        "Divide by full fine-tuning's gain over the base, and multiply by 100",
        lambda case, expected, observed: _number(observed, "percent of full fine-tuning"),
    ),
    Symptom(
        "percent",
        "a gain below zero, or above full fine-tuning's, is cut off",
        "Leave the result as it is, without clamp, min or max",
        lambda case, expected, observed: (
            _number(observed, "percent")
            and not 0 <= expected["percent"] <= 100
            and min(abs(observed["percent"]), abs(observed["percent"] - 100)) < 1e-3
        ),
    ),
    Symptom(
        "percent",
        "a gain has the wrong sign: a method that is worse than the base has a negative one",
        "Leave the signs of both gains as they are",
        lambda case, expected, observed: (
            _number(observed, "percent") and expected["percent"] * observed["percent"] < 0
        ),
    ),
    Symptom(
        "percent",
        "an untrained model gets 0 % and full fine-tuning 100 %, as it should be, but a method "
        "whose seeds differ does not get the share of its mean gain",
        "Take the mean of the scores over all seeds first",
        lambda case, expected, observed: _number(observed, "percent"),
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
        lambda case, expected, observed: _vector(observed["result"], expected["result"]),
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
        "some adjusted values are below their own p-values: they belong to other places, or have "
        "factors below 1",
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
